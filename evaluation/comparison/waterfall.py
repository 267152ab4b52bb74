"""Where a policy's return went: from what the price gave to what is left after costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from ...market.errors import ConfigError
from ..checks import check_number
from ..episodes import Episodes


@dataclass(frozen=True)
class Waterfall:
    """A year's return of one policy in one venue, step by step: means per bar × bars per year.

    ``gross − fees − slippage − funding = net`` and ``net + compounding = log_return``, fractions of
    the equity. All bars of all episodes count alike, those after an early end with zeros.

    Attributes:
        gross: What the price gave the positions held; what a liquidation or ruin took is in it.
        fees: Paid to the exchange, the fee of a liquidation included; negative is a rebate.
        slippage: Paid by fills away from the close, market impact included.
        funding: Paid for holding; negative is received.
        net: Sum of the simple returns.
        compounding: What leads from there to the log return: about minus half the variance.
        log_return: The annual log return, as `Performance.annual_log_return`.
    """

    gross: float
    fees: float
    slippage: float
    funding: float
    net: float
    compounding: float
    log_return: float

    def to_dict(self) -> dict[str, float]:
        """The steps by name."""
        return asdict(self)


def measure_waterfall(episodes: Episodes, bars_per_year: float) -> Waterfall:
    """From gross to net of N episodes, pooled.

    Args:
        episodes: Of one policy in one venue; all zeros where they have no bars.
        bars_per_year: 8,760 for hourly bars.

    Raises:
        ConfigError: A year has no bars, or a number is not finite.
    """
    check_number("bars_per_year", bars_per_year, above=0.0)
    if not episodes.cost.size:
        return Waterfall(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    columns = (episodes.returns, episodes.cost, episodes.slippage, episodes.funding)
    net, cost, slippage, funding = (bars_per_year * float(column.mean()) for column in columns)
    log_return = episodes.performance(bars_per_year).annual_log_return
    if not np.isfinite([net, cost, slippage, funding]).all():
        raise ConfigError("a cost or funding of the episodes is not finite; leave out such bars")
    return Waterfall(
        gross=net + cost + funding,
        fees=cost - slippage,
        slippage=slippage,
        funding=funding,
        net=net,
        compounding=log_return - net,
        log_return=log_return,
    )
