"""What an exchange publishes about a symbol beside its prices: its trading rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from .errors import ConfigError, StoreError
from .intervals import interval_ms
from .settings import real_number, whole_number
from .times import to_ms

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
    """A symbol's trading rules; zero where the market has no such rule, or where it is unknown.

    Attributes:
        symbol: The instrument's name, ``BTCUSDT``.
        category: One of `CATEGORIES`.
        tick_size: Smallest price step [quote currency].
        quantity_step: Smallest step of an order's size [base currency].
        min_quantity: Smallest order [base currency].
        min_notional: Smallest order [quote currency].
        min_leverage: Lowest leverage.
        max_leverage: Highest leverage.
        funding_interval_minutes: Present time between two funding payments; 0 on spot.
        launch_time_ms: First trading day [ms UTC]; 0 where unpublished.
        delivery_time_ms: When the contract ends or ended, delivered or delisted [ms UTC]; 0 where
            no end is known.
        status: What the exchange says of it: ``Trading``, ``Closed``, …; empty where unknown.

    Raises:
        ConfigError: A number that is negative or not finite, or a category that is none.
    """

    symbol: str
    category: str = "linear"
    tick_size: float = 0.0
    quantity_step: float = 0.0
    min_quantity: float = 0.0
    min_notional: float = 0.0
    min_leverage: float = 0.0
    max_leverage: float = 0.0
    funding_interval_minutes: int = 0
    launch_time_ms: int = 0
    delivery_time_ms: int = 0
    status: str = ""

    def __post_init__(self) -> None:
        if self.category not in CATEGORIES:
            raise ConfigError(
                f"the instrument's category is {self.category!r}; expected one of "
                f"{', '.join(CATEGORIES)}"
            )
        for field in fields(self):
            if field.type != "str":
                number = self._checked(field.name, whole=field.type == "int")
                object.__setattr__(self, field.name, number)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From a mapping, such as parsed JSON; its times may be anything `to_ms` takes.

        Raises:
            ConfigError: An unknown name, or an impossible value.
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise ConfigError(f"an instrument has no {name!r}; expected {', '.join(known)}")
        times = {n: to_ms(v) for n, v in values.items() if n.endswith("_time_ms") and v}
        return cls(**{**values, **times})

    def _checked(self, name: str, whole: bool) -> int | float:
        """A rule as a plain number, which JSON can hold."""
        value = getattr(self, name)
        number = whole_number(value) if whole else real_number(value)
        if number is None or number < 0:
            raise ConfigError(
                f"{name} of the instrument {self.symbol} is {value!r}; expected a "
                f"{'whole ' if whole else ''}number, 0 or more"
            )
        return number if whole else float(number)

    def order_rules(self) -> dict[str, float]:
        """How its orders are rounded, as the account's settings name it (`Rounding`).

        Empty where its smallest step is unknown.

        Raises:
            ConfigError: Orders are counted in another currency than the account.
        """
        if self.category == "inverse":
            raise ConfigError(
                f"orders of the inverse contract {self.symbol} are counted in its quote currency; "
                "an account with a capital in USDT trades linear contracts and spot"
            )
        if not self.quantity_step:
            return {}
        return {
            "qty_step": self.quantity_step,
            "tick_size": self.tick_size,
            "min_notional_usdt": self.min_notional,
        }
