"""How much of M's mean forecast is trusted: no more than the validation range paid for.

The mean of the next return is what a search inside the dream is sure to find, and what a market
repeats least. Trained on three years of hours, M's mean forecasts are too bold: returns of unseen
months follow them by half or less (the slope of Mincer & Zarnowitz 1969), while the forecast's
width and tails hold. So the part of the mean that varies is scaled by the slope on the validation
range, less one standard error.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..encoded import Encoded, scored_runs
from ..mdn_rnn import MDNRNN

_RIDGE = 1e-4  # of the mean variance of h


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


@torch.no_grad()
def mean_slope(mdn_rnn: MDNRNN, encoded: Encoded) -> Slope:
    """Regress the returns of the bars that count on M's mean forecasts, weighted by 1/σ²."""
    hidden, returns = _states(mdn_rnn, encoded)
    return slope_of(returns, *return_moments(mdn_rnn, hidden))


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


@torch.no_grad()
def scale_mean(mdn_rnn: MDNRNN, encoded: Encoded, share: float) -> None:
    """Scale how the mean forecast varies with h to a share of it, in place (``market``).

    The forecast mean Σ π_k(h) μ_k(h) is regressed on h over the training range, and all component
    means move by (share - 1) times that line: together, so that the shape of the mixture stays.

    Args:
        mdn_rnn: M, trained.
        encoded: The training range.
        share: In [0, 1].
    """
    hidden, _ = _states(mdn_rnn, encoded)
    mean, _ = return_moments(mdn_rnn, hidden)
    middle = hidden.mean(0)
    x = hidden - middle  # [N, H], float64
    normal = x.T @ x
    normal += _RIDGE * normal.diagonal().mean() * torch.eye(len(normal), dtype=normal.dtype)
    line = torch.linalg.solve(normal, x.T @ (mean - mean.mean()))
    head, k = mdn_rnn.return_head, mdn_rnn.num_components
    removed = (1.0 - share) * line
    head.weight[k : 2 * k] -= removed.to(head.weight.dtype)
    head.bias[k : 2 * k] += float(removed @ middle)


def return_moments(mdn_rnn: MDNRNN, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the standardised return's mixture, each [N], float64 (``market``)."""
    mixture = mdn_rnn.return_mixture(hidden.float())
    weights = torch.softmax(mixture.logits.double(), dim=-1)
    means, sigmas = mixture.means[..., 0].double(), mixture.log_sigmas[..., 0].double().exp()
    mean = (weights * means).sum(-1)
    return mean, (weights * (sigmas**2 + means**2)).sum(-1) - mean**2


def _states(mdn_rnn: MDNRNN, encoded: Encoded) -> tuple[Tensor, Tensor]:
    """States h before the bars that count [N, H], and their standardised returns [N], float64."""
    hidden, returns = [], []
    for states, latents in scored_runs(mdn_rnn, encoded):
        hidden.append(states.double())
        returns.append(torch.sinh(latents[1:, 0].double()))
    return torch.cat(hidden), torch.cat(returns)
