"""Drawn bars on the grid of prices, as tensors: `models.bars.grid` over lanes."""

from __future__ import annotations

import torch
from torch import Tensor

from ...market.ticks import NEAR


def nearest_on_grid(price: Tensor, tick: float) -> Tensor:
    """The prices of the grid that are nearest [L], at least a tick."""
    return (price / tick + 0.5).floor().clamp(min=1.0) * tick


def closed_on_grid(
    before: Tensor, units: Tensor, unit: float, tick: float
) -> tuple[Tensor, Tensor]:
    """Closes at the prices of the grid that are nearest to what was drawn.

    Args:
        before: Closes of the bars before [L], float64, quote currency.
        units: Drawn returns [L], float32, in units of log return.
        unit: Log return of one.
        tick: Quote currency.

    Returns:
        The log returns to them and the closes [L], float64.
    """
    wanted = before * (units.double() * unit).exp()
    close = nearest_on_grid(wanted, tick)
    return ((close - before) / before).log1p(), close


def wicks_on_grid(
    side: str, before: Tensor, close: Tensor, units: Tensor, unit: float, tick: float
) -> Tensor:
    """Wicks to prices of the grid [L], float64: at least a tick where one was drawn.

    Args:
        side: ``"upper"`` or ``"lower"``.
        before: Closes of the bars before [L].
        close: Of these bars [L].
        units: Drawn wicks [L], float32, in units of log return.
        unit: Log return of one.
        tick: Quote currency.
    """
    wick = units.double() * unit
    if side == "upper":
        top = torch.maximum(before, close)
        least = (top / tick + NEAR).floor() + 1.0
        high = torch.maximum(least, (top * wick.exp() / tick + 0.5).floor()) * tick
        settled = (high / top).log()
    else:
        bottom = torch.minimum(before, close)
        most = (bottom / tick - NEAR).ceil() - 1.0
        low = torch.minimum(most, (bottom * (-wick).exp() / tick + 0.5).floor()).clamp(min=1.0)
        settled = (bottom / torch.minimum(low * tick, bottom)).log()
    return settled.masked_fill(units <= 0.0, 0.0)
