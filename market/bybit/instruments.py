"""What an exchange publishes about a symbol beside its prices: its trading rules."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..candles import interval_ms
from ..errors import StoreError

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
