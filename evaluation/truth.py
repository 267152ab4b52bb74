"""How far a world model is from the truth, where the truth is known: in the synthetic market."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..market.arrays import FloatArray
from ..market.errors import ConfigError
from ..market.sources import open_candles
from ..market.streams import BAR_NUMBERS
from ..market.synthetic import SyntheticMarket
from ..models.bar_world_model import BarWorldModel
from ..models.world_model import WorldModel
from .loss_tests import LossDifference, diebold_mariano

if TYPE_CHECKING:
    from ..market.candles import Candles
    from ..market.sources import CandleSource

WHOLE_BAR = "bar"
"""Name of the sum of a bar's parts."""


def bar_log_probs(
    forecaster: WorldModel | SyntheticMarket, candles: Candles
) -> dict[str, FloatArray]:
    """Log densities of the bar after each [T], nats, by part; NaN where there is none.

    The parts are those of `BAR_NUMBERS`, each given those before it, in units that no model chose:
    percent, and the logarithms of wicks and volume. A world model that draws no bars tells of the
    return alone.
    """
    if isinstance(forecaster, BarWorldModel | SyntheticMarket):
        parts = forecaster.bar_log_prob_parts(candles)
        return dict(zip(BAR_NUMBERS, parts.T, strict=True))
    following = np.append(100 * candles.log_returns()[1:], np.nan)
    return {BAR_NUMBERS[0]: forecaster.return_forecast(candles).log_prob(following)}


def distance_to_truth(
    forecaster: WorldModel | SyntheticMarket,
    candles: CandleSource,
    rows: tuple[int, int],
    edge: float = 1.0,
) -> dict[str, LossDifference]:
    """Mean of the true log density minus the forecaster's, nats a bar, by part and of whole bars.

    Without bias the mean Kullback–Leibler divergence of the next bar's forecast from the truth, given
    all bars before: 0 for the truth, above 0 in the mean for all else.

    Args:
        forecaster: A world model of the synthetic market, or another such market.
        candles: Of that market, those before the rows included, without which the truth knows less.
        rows: Bars to score; trained on, they would flatter.
        edge: With which the market was made.

    Returns:
        By the names of `BAR_NUMBERS`, and of `WHOLE_BAR` where all of them are told.

    Raises:
        ConfigError: No bar has enough bars before it, or a density is not finite.
    """
    candles = open_candles(candles)
    scored = slice(max(rows[0] - 1, 0), rows[1] - 1)
    truth = bar_log_probs(SyntheticMarket(edge, candles.interval, candles.symbol), candles)
    told = bar_log_probs(forecaster, candles)
    known = ~np.isnan([part[scored] for part in (*told.values(), *truth.values())]).any(axis=0)
    if not known.any():
        raise ConfigError("no bar in the range has enough bars before it to be forecast")
    losses = {
        name: (-part[scored][known], -truth[name][scored][known]) for name, part in told.items()
    }
    if len(losses) == len(BAR_NUMBERS):
        ours, true = (np.sum(side, axis=0) for side in zip(*losses.values(), strict=True))
        losses[WHOLE_BAR] = (ours, true)
    return {name: diebold_mariano(ours, true) for name, (ours, true) in losses.items()}
