"""vectorbt's sweep of moving-average pairs: averages, crossings, portfolios with fees, returns."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from answering import answer, given, read_columns


def main() -> None:
    import numpy as np
    import pandas as pd
    import vectorbt as vbt

    path, settings = given()
    columns = read_columns(path)
    times = pd.to_datetime(pd.Series(columns["timestamp"]), unit="ms")
    close = pd.Series(columns["close"], index=pd.DatetimeIndex(times))
    windows = np.arange(settings["windows"]) * 4 + 2

    def work() -> float:
        fast, slow = vbt.MA.run_combs(close, window=windows, r=2, short_names=["fast", "slow"])
        entries, exits = fast.ma_crossed_above(slow), fast.ma_crossed_below(slow)
        portfolio = vbt.Portfolio.from_signals(close, entries, exits, fees=settings["fee"])
        returns = portfolio.total_return()
        return len(returns) * len(close)

    answer(work)


main()
