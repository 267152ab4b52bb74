"""gym-anytrading's stock environment, window of one bar, its smallest; its reward knows no fees."""

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from answering import answer, given, read_columns, step_work


def main() -> None:
    import pandas as pd
    from gym_anytrading.envs import StocksEnv

    path, _ = given()
    columns = read_columns(path)
    frame = pd.DataFrame({name.title(): values for name, values in columns.items()})
    env = StocksEnv(df=frame, window_size=1, frame_bound=(1, len(frame)))
    draw = random.Random(0)
    answer(step_work(env, [draw.randrange(2) for _ in range(2_000)]))


main()
