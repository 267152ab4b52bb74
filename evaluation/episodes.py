"""What accounts lived through, bar by bar, as plain arrays that any measure can be taken from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..market.arrays import BoolArray, FloatArray, IntArray
from .performance import Performance, measure_performance, simple_returns

BAR_COLUMNS: Final = ("market_return", "turnover", "cost", "slippage", "funding")
"""What `Episodes` knows of each bar beside the equity."""


@dataclass(frozen=True, eq=False)
class Episodes:
    """N episodes of one policy, padded to the T bars of the longest.

    An account that ended early holds its last equity and nothing else: its later bars are zeros.
    Costs are fractions of the equity before the bar, so with simple returns r of the equity the
    price gave r + cost + funding.

    Attributes:
        equity: Equity [N, T + 1], 1 at the start.
        weight: Weight at each close [N, T + 1], before the trade of that close.
        market_return: Simple return of each bar [N, T].
        turnover: |Δw| traded [N, T].
        cost: Fees and slippage [N, T].
        slippage: The part of the cost that is no fee [N, T].
        funding: Paid [N, T]; negative is received.
        terminated: Accounts that ended by liquidation, ruin or delivery [N].
        time_ms: Open time of the bar that just closed at each close [T + 1], ms UTC; None where
            there are several episodes, or no record.
    """

    equity: FloatArray
    weight: FloatArray
    market_return: FloatArray
    turnover: FloatArray
    cost: FloatArray
    slippage: FloatArray
    funding: FloatArray
    terminated: BoolArray
    time_ms: IntArray | None = None

    @property
    def returns(self) -> FloatArray:
        """Simple return of the equity in each bar [N, T]."""
        return simple_returns(self.equity)

    def performance(self, bars_per_year: float) -> Performance:
        """How the accounts did, pooled as `measure_performance` documents."""
        return measure_performance(
            self.equity, self.turnover, self.cost, bars_per_year=bars_per_year
        )
