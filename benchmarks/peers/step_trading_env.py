"""Gym-Trading-Env with four static features, fees, and no log of episodes."""

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from answering import answer, given, read_columns, step_work


def main() -> None:
    import pandas as pd
    from gym_trading_env.environments import TradingEnv

    path, settings = given()
    columns = read_columns(path)
    times = pd.to_datetime(pd.Series(columns.pop("timestamp")), unit="ms")
    frame = pd.DataFrame(columns).set_index(pd.DatetimeIndex(times))
    frame["feature_close"] = frame["close"].pct_change()
    frame["feature_range"] = frame["high"] / frame["low"] - 1.0
    frame["feature_body"] = frame["close"] / frame["open"] - 1.0
    frame["feature_volume"] = frame["volume"] / frame["volume"].rolling(24).mean()
    env = TradingEnv(
        df=frame.dropna(),
        positions=[-1, 0, 1],
        trading_fees=settings["fee"],
        borrow_interest_rate=0.0,
        verbose=0,
    )
    draw = random.Random(0)
    answer(step_work(env, [draw.randrange(3) for _ in range(2_000)]))


main()
