"""How well V and M describe candles that they were not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..market.candles import Candles
from ..market.errors import TrainingError
from ..market.features import candles_for, features_of
from ..market.times import Time
from .bar_world_model import BarWorldModel
from .encoded import encode_range, scaled_tensor, validation_nll
from .feature_range import FeatureRange, feature_range
from .vae import active_units
from .world_model import WorldModel

if TYPE_CHECKING:
    from ..market.sources import CandleSource

_LEAST_VARIANCE = 1e-24  # of a feature that changes at all


@dataclass(frozen=True)
class VAEQuality:
    """V on a range of candles.

    Attributes:
        r2: Share of each feature's variance that the decoded posterior mean explains; 1 where it
            never changes in the range.
        kl: KL of each latent dimension from the prior, nats, mean over bars; 0 where the
            dimension is known exactly (``market``: what forecasts), and where it is held at 0.
        active_units: Latent dimensions whose posterior mean varies by more than 0.01 (Burda et
            al. 2016).
    """

    r2: dict[str, float]
    kl: tuple[float, ...]
    active_units: int


@dataclass(frozen=True)
class MDNRNNQuality:
    """M on a range of candles, one step ahead.

    Attributes:
        return_nll: Mean -log density of the log return in percent, by `WorldModel.return_forecast`.
        nll: Mean -log density of the whole next latent, posterior means, nats; of the whole next bar
            where M draws bars.
        bars: How many bars were forecast.
    """

    return_nll: float
    nll: float
    bars: int


def vae_quality(
    world_model: WorldModel,
    candles: CandleSource,
    start: Time | None = None,
    end: Time | None = None,
) -> VAEQuality:
    """Measure V on the bars of ``candles`` in [start, end); bars before serve as look-back.

    Args:
        world_model: Whose V.
        candles: Anything `open_candles` opens.
        start: Time of the first bar measured; None is the first there is.
        end: Time after the last; None is the end.

    Raises:
        TrainingError: Fewer than two bars have complete features.
    """
    candles = candles_for(world_model.config.features, candles)
    source = _scored_range(world_model, candles, start, end)
    features = features_of(source.candles, source.spec, source.complete.complete_rows)
    if len(features) < 2:
        raise TrainingError("fewer than two bars with complete features to measure V on")
    names = world_model.config.features.names
    decoded = world_model.decode(world_model.encode(features))
    variance, error = features.var(axis=0), ((features - decoded) ** 2).mean(axis=0)
    varies = variance > _LEAST_VARIANCE
    r2 = 1 - np.where(varies, error, 0.0) / np.where(varies, variance, 1.0)
    vae = world_model.vae
    with torch.no_grad():
        posterior = vae.encode(scaled_tensor(world_model.scaler.transform(features)))
        learned = [float(v) for v in vae.kl(posterior).mean(0)]
    kl = [0.0] * (vae.latent_size - len(learned)) + learned
    for dimension in getattr(world_model.mdn_rnn, "held", ()):
        kl[dimension] = 0.0
    active = active_units(posterior.mean)
    return VAEQuality(dict(zip(names, map(float, r2), strict=True)), tuple(kl), active)


def mdn_rnn_quality(
    world_model: WorldModel,
    candles: CandleSource,
    start: Time | None = None,
    end: Time | None = None,
) -> MDNRNNQuality:
    """Measure M's forecasts of the bars of ``candles`` in [start, end).

    The forecast of the first bar comes from the bar before it, so give the candles before
    ``start`` too.

    Args:
        world_model: Whose M.
        candles: Anything `open_candles` opens.
        start: Time of the first bar measured; None is the first there is.
        end: Time after the last; None is the end.
    """
    candles = candles_for(world_model.config.features, candles)
    first, last = candles.row_range(start, end)
    forecast = world_model.return_forecast(candles, (max(first - 1, 0), last - 1))
    returns = 100 * candles.log_returns()[max(first, 1) : last]
    rows = forecast.valid
    if not rows.any():
        raise TrainingError("no bar in the range has enough bars before it to be forecast")
    scored = -forecast.log_prob(returns)[rows]
    if isinstance(world_model, BarWorldModel):
        nll = -world_model.bar_log_prob(candles, (max(first - 1, 0), last - 1))
        return MDNRNNQuality(float(scored.mean()), float(np.nanmean(nll)), int(rows.sum()))
    source = _scored_range(world_model, candles, start, end)
    scaled = scaled_tensor(world_model.scaler.transform(source.features))
    encoded = encode_range(world_model.vae, scaled, source)
    latent = validation_nll(world_model.mdn_rnn, encoded)
    return MDNRNNQuality(float(scored.mean()), latent, int(rows.sum()))


def _scored_range(
    world_model: WorldModel, candles: Candles, start: Time | None, end: Time | None
) -> FeatureRange:
    world_model.provenance.check_market(candles.symbol, candles.interval)
    first, last = candles.row_range(start, end)
    context = candles.rows(0, first) if first else None
    bars = world_model.config.warmup_bars + 1
    return feature_range(candles.rows(first, last), world_model.config.features, context, bars)
