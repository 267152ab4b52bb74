"""How much of M's mean forecast is trusted: no more than the validation range paid for.

The mean of the next return is what a search inside the dream is sure to find, and what a market
repeats least. Trained on three years of hours, M's mean forecasts are too bold: returns of unseen
months follow them by half or less (the slope of Mincer & Zarnowitz 1969), while the forecast's
width and tails hold. So the part of the mean that varies is scaled by the slope on the validation
range, less one standard error.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Slope(NamedTuple):
    """A regression of returns on their mean forecasts, both standardised.

    Attributes:
        value: 1 where the forecasts are as bold as the market, 0 where returns ignore them.
        standard_error: Of it, robust to changing volatility (White 1980).
    """

    value: float
    standard_error: float

    def __str__(self) -> str:
        return (
            f"returns of the validation range follow M's mean forecast with slope {self.value:.2f} ± "
            f"{self.standard_error:.2f}: {self.trusted:.0%} of it is trusted"
        )

    @property
    def trusted(self) -> float:
        """The share of the forecast that is kept: one standard error below the slope, in [0, 1]."""
        return min(max(self.value - self.standard_error, 0.0), 1.0)


def slope_of(returns: Tensor, mean: Tensor, variance: Tensor) -> Slope:
    """The slope of returns [N] on their forecast means [N], weighted by 1 ÷ variance [N]; float64."""
    weight = 1.0 / variance
    x = mean - (weight * mean).sum() / weight.sum()
    information = float((weight * x * x).sum())
    if information < 1e-12:
        return Slope(0.0, 0.0)
    y = returns - (weight * returns).sum() / weight.sum()
    slope = float((weight * x * y).sum()) / information
    error = float(((weight * x * (y - slope * x)) ** 2).sum()) ** 0.5 / information
    return Slope(slope, error)
