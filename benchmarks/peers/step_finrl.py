"""FinRL's numpy stock environment with one stock; its module alone.

The package's own imports ask for data providers and agents that the environment does not use.
"""

import importlib.util
import random
import sys
from importlib.metadata import distribution
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from answering import answer, given, read_columns, step_work

MODULE = "finrl/meta/env_stock_trading/env_stocktrading_np.py"


def main() -> None:
    import numpy as np

    path, settings = given()
    columns = read_columns(path)
    spec = importlib.util.spec_from_file_location(
        "env_stocktrading_np", distribution("FinRL").locate_file(MODULE)
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    close = np.array(columns["close"])
    features = np.column_stack(
        [np.array(columns[name]) / close for name in ("open", "high", "low", "volume")]
    )
    env = module.StockTradingEnv(
        {
            "price_array": close[:, None],
            "tech_array": features,
            "turbulence_array": np.zeros(len(close)),
            "if_train": False,
        },
        buy_cost_pct=settings["fee"],
        sell_cost_pct=settings["fee"],
    )
    draw = random.Random(0)
    actions = [np.array([draw.uniform(-1.0, 1.0)], dtype=np.float32) for _ in range(2_000)]
    answer(step_work(env, actions))


main()
