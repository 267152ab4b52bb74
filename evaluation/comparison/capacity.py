"""How much money a policy could manage before its own orders eat what it earns."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from ...market.account.costs import CostRules, Fill, SquareRootImpact
from ...market.arrays import FloatArray, IntArray
from ...market.candles import Candles
from ...market.errors import ConfigError
from ...market.numerics.compiled import interpreted
from ..checks import check_number
from ..episodes import Episodes

IMPACT: Final = 1.0
"""Coefficient of the square-root law, which is of order 1 in every market that was measured."""
_rate = interpreted(SquareRootImpact.rate)


@dataclass(frozen=True)
class Capacity:
    """What an account may be worth at its start [USDT] until market impact takes its return.

    Attributes:
        impact: Coefficient of `SquareRootImpact` that was assumed.
        halved_usdt: Capital at which impact takes half of the annual return after costs; None where
            nothing is earned, or no order moved a market.
        gone_usdt: Capital at which it takes all of it.
        whole_bar_usdt: Capital at which the largest order, beside the turnover of its bar, is all of that:
            beyond, the law says nothing.
    """

    impact: float
    halved_usdt: float | None
    gone_usdt: float | None
    whole_bar_usdt: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        """The numbers by name."""
        return asdict(self)


def measure_capacity(
    episodes: Episodes, candles: Candles, bars_per_year: float, impact: float = IMPACT
) -> Capacity:
    """The capital that a policy's recorded orders leave room for.

    An order of the share q of an account that grew from C to C·E costs ``impact · σ · √(C·E·q ÷
    turnover)`` of its notional, as `SquareRootImpact` charges it (σ and turnover of the bar at whose
    close it is filled). Over a year that is k·√C of the equity, so with an annual return μ after all
    costs, as a sum of simple returns, half of it is gone at C = (μ ÷ 2k)², all of it at four times
    that. That impact also slows the account's growth, and with it the orders, is left out.

    Args:
        episodes: One episode in replay, without impact.
        candles: That it was played on.
        bars_per_year: 8,760 for hourly bars.
        impact: Coefficient.

    Raises:
        ConfigError: There are several episodes or they tell no times, the candles lack a bar of it,
            or a number is impossible.
    """
    check_number("bars_per_year", bars_per_year, above=0.0)
    check_number("impact", impact, above=0.0)
    if episodes.time_ms is None or len(episodes.equity) != 1:
        raise ConfigError(
            f"capacity needs one episode with its times; got {len(episodes.equity)} "
            f"{'without' if episodes.time_ms is None else 'with'} times: measure it in replay"
        )
    if not episodes.turnover.size:
        return Capacity(impact, None, None)
    rows = _rows(candles, episodes.time_ms[:-1])
    earned = float(episodes.returns.mean()) * bars_per_year
    lost = _impact_of_one_usdt(episodes, candles, rows, impact) * bars_per_year
    if earned <= 0.0 or lost <= 0.0:
        return Capacity(impact, None, None)
    gone = (earned / lost) ** 2
    return Capacity(impact, gone / 4.0, gone, _whole_bar(episodes, candles, rows))


def _whole_bar(episodes: Episodes, candles: Candles, rows: IntArray) -> float:
    orders = episodes.equity[0, :-1] * episodes.turnover[0]
    shares = orders / np.maximum(candles.turnover[rows], 1.0)
    return float(1.0 / shares.max())


def _impact_of_one_usdt(
    episodes: Episodes, candles: Candles, rows: IntArray, impact: float
) -> float:
    """Mean share of the equity per bar that impact takes where the account is worth 1 USDT."""
    (root,) = SquareRootImpact(impact, 1.0).values(None)
    costs = CostRules(**{**dict.fromkeys(CostRules._fields, 0.0), "impact_of_root": root})
    traded = episodes.turnover[0]
    ranges = np.log(candles.high[rows] / candles.low[rows])
    orders = episodes.equity[0, :-1] * traded
    charged: FloatArray = _rate(
        costs, Fill(ranges, np.maximum(candles.turnover[rows], 1.0), orders)
    )
    return float((charged * traded).mean())


def _rows(candles: Candles, time_ms: IntArray) -> IntArray:
    """Rows of the candles that opened at these times."""
    times = candles.open_time_ms
    rows = np.minimum(np.searchsorted(times, time_ms), len(times) - 1)
    missing = int((times[rows] != time_ms).sum())
    if missing:
        raise ConfigError(
            f"the candles lack {missing} of the episode's {len(time_ms)} bars; give those that it "
            "was played on"
        )
    return rows
