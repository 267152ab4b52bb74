"""Drawn bars on the grid of prices: their closes, highs and lows are multiples of the tick."""

from __future__ import annotations

from ...market.arrays import Float32Array, FloatArray
from ...market.numerics.compiled import compiled
from ...market.ticks import close_on_grid, high_on_grid, log_ratio, low_on_grid, moved


@compiled
def settle_closes(
    tick: float,
    unit: float,
    units: Float32Array,
    drawn: FloatArray,
    close: FloatArray,
    before: FloatArray,
) -> None:
    """Move closes to prices of the grid that are nearest to what was drawn.

    Args:
        tick: Quote currency.
        unit: Log return of a unit.
        units: Drawn returns [N]; those of the prices are written.
        drawn: The bars [N, 4], whose log returns are written.
        close: Of the bars before [N]; then of these. A lane whose close is not known, 0, is left
            alone.
        before: [N], written: the closes of the bars before.
    """
    for n in range(close.shape[0]):
        before[n] = close[n]
        if close[n] > 0.0:
            close[n] = close_on_grid(moved(before[n], unit * units[n]), tick)
            drawn[n, 0] = log_ratio(close[n], before[n])
            units[n] = drawn[n, 0] / unit


@compiled
def settle_wicks(
    lower: int,
    tick: float,
    unit: float,
    units: Float32Array,
    drawn: FloatArray,
    close: FloatArray,
    before: FloatArray,
) -> None:
    """Move highs, or lows, to the grid: a wick that was drawn is at least a tick, none stays none.

    Args:
        lower: 1 for the lower wicks, 0 for the upper ones.
        tick: Quote currency.
        unit: Log return of a unit.
        units: Drawn wicks [N]; those of the prices are written.
        drawn: The bars [N, 4], whose wicks on that side are written.
        close: Of the bars [N].
        before: Of the bars before [N].
    """
    for n in range(close.shape[0]):
        if units[n] > 0.0 and close[n] > 0.0:
            wick = unit * units[n]
            if lower:
                bottom = min(close[n], before[n])
                low = low_on_grid(moved(bottom, -wick), bottom, tick)
                wick = log_ratio(bottom, min(low, bottom))
            else:
                top = max(close[n], before[n])
                wick = log_ratio(high_on_grid(moved(top, wick), top, tick), top)
            drawn[n, 1 + lower] = wick
            units[n] = wick / unit
