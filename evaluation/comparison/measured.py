"""All that a comparison's tables say of one policy in one venue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...market.candles import Candles
from ..episodes import Episodes
from ..performance import Performance
from .capacity import Capacity, measure_capacity
from .risk import Risk, measure_risk
from .waterfall import Waterfall, measure_waterfall


@dataclass(frozen=True)
class Measured:
    """One policy in one venue.

    Attributes:
        performance: How the accounts did.
        waterfall: From gross to net.
        risk: What was risked, held and traded.
        capacity: Capital that its orders leave room for; None in dreams, which trade no turnover.
    """

    performance: Performance
    waterfall: Waterfall
    risk: Risk
    capacity: Capacity | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can carry."""
        return {
            "performance": self.performance.to_dict(),
            "waterfall": self.waterfall.to_dict(),
            "risk": self.risk.to_dict(),
            "capacity": None if self.capacity is None else self.capacity.to_dict(),
        }


def measure_policy(
    episodes: Episodes, bars_per_year: float, candles: Candles | None = None
) -> Measured:
    """Measure what a policy's accounts lived through.

    Args:
        episodes: ``evaluate_policy(…).episodes``, ``play_through(…).episodes`` or ``run_lanes(…)``.
        bars_per_year: 8,760 for hourly bars.
        candles: That one episode was played on; None in dreams.

    Raises:
        ConfigError: As `measure_waterfall`, `measure_risk` and `measure_capacity`.
    """
    return Measured(
        episodes.performance(bars_per_year),
        measure_waterfall(episodes, bars_per_year),
        measure_risk(episodes, bars_per_year),
        None if candles is None else measure_capacity(episodes, candles, bars_per_year),
    )
