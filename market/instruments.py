"""What an exchange publishes about a symbol beside its candles: trading rules and funding."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .candles import FloatArray, IntArray, format_time, interval_ms
from .errors import StoreError

CATEGORIES = ("linear", "inverse", "spot")
"""Bybit's markets: perpetuals settled in USDT or USDC, in the coin itself, and spot."""

_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9-]{0,39}")


def check_market(category: str, symbol: str, interval: str | None = None) -> None:
    """Refuse a market that cannot exist, and any name that could leave its folder.

    Raises:
        StoreError: The category is unknown, or the symbol is not written as Bybit writes them.
        CandleError: The interval is unknown.
    """
    if category not in CATEGORIES:
        raise StoreError(f"category is {category!r}; expected one of {', '.join(CATEGORIES)}")
    if not isinstance(symbol, str) or not _SYMBOL.fullmatch(symbol):
        raise StoreError(
            f"symbol is {symbol!r}; expected capital letters, digits and hyphens, such as BTCUSDT"
        )
    if interval is not None:
        interval_ms(interval)


@dataclass(frozen=True)
class Instrument:
    """A symbol's trading rules; zero where the market has no such rule.

    Attributes:
        symbol: The instrument's name, ``BTCUSDT``.
        category: One of `CATEGORIES`.
        tick_size: Smallest price step [quote currency].
        quantity_step: Smallest step of an order's size [base currency].
        min_quantity: Smallest order [base currency].
        min_notional: Smallest order [quote currency].
        min_leverage: Lowest leverage.
        max_leverage: Highest leverage.
        funding_interval_minutes: Time between two funding payments; 0 on spot.
        launch_time_ms: First trading day [ms UTC]; 0 where unpublished.
    """

    symbol: str
    category: str
    tick_size: float
    quantity_step: float
    min_quantity: float
    min_notional: float
    min_leverage: float
    max_leverage: float
    funding_interval_minutes: int
    launch_time_ms: int


@dataclass(frozen=True, eq=False)
class FundingRates:
    """Recorded funding rates of one symbol; a long position pays a positive rate.

    Attributes:
        time_ms: When each was charged [n], int64 ms UTC, strictly increasing.
        rate: Fraction of the position's value [n], float64.
        symbol: The instrument's name.

    Raises:
        StoreError: Times that do not increase, rates that are no numbers, lengths that differ.
    """

    time_ms: IntArray
    rate: FloatArray
    symbol: str = "UNKNOWN"

    def __post_init__(self) -> None:
        object.__setattr__(self, "time_ms", np.array(self.time_ms, dtype=np.int64))
        object.__setattr__(self, "rate", np.array(self.rate, dtype=np.float64))
        if self.time_ms.shape != self.rate.shape or self.time_ms.ndim != 1:
            raise StoreError(
                f"funding times {self.time_ms.shape} and rates {self.rate.shape} differ in shape"
            )
        backward = np.zeros(len(self), dtype=bool)
        backward[1:] = np.diff(self.time_ms) <= 0
        self._refuse(backward, "is not later than the row before")
        self._refuse(~(np.abs(self.rate) < 1), "has a rate that is no fraction of the position")
        self.time_ms.setflags(write=False)
        self.rate.setflags(write=False)

    def __len__(self) -> int:
        return len(self.time_ms)

    def _refuse(self, wrong: NDArray[np.bool_], what: str) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            raise StoreError(
                f"funding row {row} ({format_time(int(self.time_ms[row]))}, "
                f"rate {self.rate[row]}) {what}"
            )
