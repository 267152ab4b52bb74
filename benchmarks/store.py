"""What a store of hundreds of markets takes: to list, to verify; and a day of trades, to sum.

``python -m benchmarks.store --markets 500 --bars 43800``
"""

from __future__ import annotations

import argparse
import io
import resource
import tempfile
import time
from collections.abc import Callable
from typing import BinaryIO, TypeVar, cast

import numpy as np

from worldmodel_trading.market.bybit.catalogue import list_data, verify_data
from worldmodel_trading.market.bybit.store import Store
from worldmodel_trading.market.bybit.trades import read_day
from worldmodel_trading.market.instruments import Instrument
from worldmodel_trading.market.synthetic import synthetic_candles

_HEADER = (
    "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,"
    "foreignNotional"
)
_DAY_MS = 1_704_067_200_000
_T = TypeVar("_T")

_LINES = 20_000  # of different trades; a day repeats them


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markets", type=int, default=500)
    parser.add_argument("--bars", type=int, default=43_800, help="of each, hourly")
    parser.add_argument("--trades", type=int, default=3_000_000, help="of one day")
    options = parser.parse_args(arguments)
    _sum_a_day(options.trades)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        _fill(store, options.markets, options.bars)
        listed, took = _timed(lambda: list_data(store))
        print(f"list {len(listed)} tables: {took:.2f} s")
        found, took = _timed(lambda: verify_data(store))
        assert not found.damage
        print(
            f"verify {found.bytes / 1e6:,.0f} MB: {took:.1f} s, {found.bytes / took / 1e6:.0f} MB/s"
        )


def _sum_a_day(trades: int) -> None:
    day = _Day(trades)
    read_day(cast(BinaryIO, _Day(_LINES)), _DAY_MS, "60")  # first calls compile and import
    before = _peak_mb()
    page, took = _timed(lambda: read_day(cast(BinaryIO, day), _DAY_MS, "60"))
    counted = int(page.values[:, 2].sum())
    print(
        f"sum {counted:,} trades, {day.bytes / 1e6:.0f} MB of text: {took:.1f} s, "
        f"{counted / took / 1e6:.1f} million a second, {_peak_mb() - before:.0f} MB more at peak"
    )


def _fill(store: Store, markets: int, bars: int) -> None:
    candles = synthetic_candles(seed=0, bars=bars)
    span = (int(candles.open_time_ms[0]), int(candles.open_time_ms[-1]) + candles.interval_ms)
    for number in range(markets):
        symbol = f"M{number:04d}USDT"
        store.save_instrument(Instrument(symbol, tick_size=0.1, launch_time_ms=span[0]))
        store.add_candles("linear", symbol, "60", [candles], (span,))


class _Day(io.RawIOBase):
    """A day's CSV as the archive has it, the same trades again and again."""

    def __init__(self, trades: int) -> None:
        rng = np.random.default_rng(0)
        seconds = _DAY_MS / 1000 + rng.uniform(0, 86_400, _LINES)
        lines = [
            f"{second:.4f},BTCUSDT,{'Buy' if number % 2 else 'Sell'},0.013,{price:.1f},PlusTick,"
            "9b7e4e1c-1f0a-5d1e-8a0c-0123456789ab,6.1e+10,0.013,786.5\n"
            for number, (second, price) in enumerate(
                zip(seconds, rng.normal(6e4, 300, _LINES), strict=True)
            )
        ]
        block = "".join(lines).encode()
        self._blocks = iter([f"{_HEADER}\n".encode(), *[block] * (trades // _LINES)])
        self.bytes = 0

    def read(self, size: int = -1, /) -> bytes:
        block = next(self._blocks, b"")
        self.bytes += len(block)
        return block


def _timed(work: Callable[[], _T]) -> tuple[_T, float]:
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    main()
