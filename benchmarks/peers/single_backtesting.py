"""backtesting.py: one crossing of two moving averages, with commission; bars of that one run."""

import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from answering import answer, given, read_columns


def main() -> None:
    warnings.simplefilter("ignore")
    import pandas as pd
    from backtesting import Backtest, Strategy
    from backtesting.lib import crossover

    path, settings = given()
    columns = read_columns(path)
    times = pd.to_datetime(pd.Series(columns.pop("timestamp")), unit="ms")
    frame = pd.DataFrame({name.title(): values for name, values in columns.items()})
    frame.index = pd.DatetimeIndex(times)

    class Crossing(Strategy):
        def init(self) -> None:
            close = pd.Series(self.data.Close)
            self.fast = self.I(lambda: close.rolling(10).mean())
            self.slow = self.I(lambda: close.rolling(50).mean())

        def next(self) -> None:
            if crossover(self.fast, self.slow):
                self.position.close()
                self.buy()
            elif crossover(self.slow, self.fast):
                self.position.close()
                self.sell()

    def work() -> float:
        Backtest(frame, Crossing, cash=1e9, commission=settings["fee"], finalize_trades=True).run()
        return len(frame)

    answer(work)


main()
