"""The drift of dreams: what a position that is held earns in them, which is an assumption.

Years of bars tell what a market pays on average to a third of its volatility, a day's tell its
volatility to a tenth; and a ranking of policies by what they earned is for the most part a ranking
by how long they held what rose. So the drift is a setting of dreams, beside the model that was
learned: z, h and forecasts of spread and shape are the same under any.
"""

from __future__ import annotations

import itertools
import math
from copy import deepcopy
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..market.errors import ConfigError
from ..market.records import Bounds
from ..market.settings import plain, real_number
from .bar_world_model import BarWorldModel, chosen, draw_bar_noise, noise_rows, start_lanes
from .bars.dreaming import dream_bars
from .bars.packed import BarLanes
from .latent_dreams import free_dreams
from .paper_world_model import PaperWorldModel
from .vae import LATENT_LIMIT
from .world_model import WorldModel

RECORDED: Literal["recorded"] = "recorded"
ZERO: Literal["zero"] = "zero"
DRIFTS = Bounds(-10.0, 10.0)
"""Simple returns a year that may be assumed, as fractions."""

_LANES, _BARS, _LOOK_EVERY = 256, 720, 6
_ROUNDS = 2  # a shift moves momentum as well, and that the mean: the second finds what is left
_ONE = np.float32(1.0)


def drift_setting(drift: object) -> str | float:
    """The setting, if it is one: ``"recorded"``, ``"zero"``, or a simple return a year.

    Args:
        drift: What was given.

    Raises:
        ConfigError: It is no such setting.
    """
    if isinstance(drift, str) and drift == RECORDED:
        return drift
    number = 0.0 if isinstance(drift, str) and drift == ZERO else real_number(drift)
    if number is None or not DRIFTS.hold(number):
        raise ConfigError(
            f"drift is {plain(drift)!r}; expected {RECORDED}, {ZERO}, or the mean simple return a "
            f"year as a fraction, {DRIFTS.describe('drift')}"
        )
    return ZERO if drift == ZERO else float(number)


def with_drift(world_model: WorldModel, drift: str | float) -> WorldModel:
    """The same world model, whose dreams pay a held position so much a year.

    One constant is added to the mean of every log return, so that the mean simple return of a bar,
    over dreams of 720 bars from the whole bank at a temperature of 1, is the drift ÷ bars a year.
    What the mean forecast varies around it stays as it is, and so do z and h.

    Args:
        world_model: Whose dreams; one of `WorldModel.recent` is measured where those begin.
        drift: ``"recorded"`` leaves the dreams as they were trained, ``"zero"`` is 0.0: a position
            that is held earns nothing on average, before costs. A number is the mean simple return
            of a bar times the bars of a year, as a fraction.

    Raises:
        ConfigError: The drift is no such setting.
    """
    drift = drift_setting(drift)
    if drift == RECORDED:
        return world_model
    wanted = 0.0 if drift == ZERO else float(drift)
    if wanted not in world_model.assumed:
        world_model.assumed[wanted] = _paying(world_model, wanted)
    return world_model.assumed[wanted]


def _paying(world_model: WorldModel, wanted: float) -> WorldModel:
    if isinstance(world_model, PaperWorldModel):
        a_bar, years = _measured(world_model), world_model.provenance.bars_per_year
        missing = math.log1p(wanted / years) - math.log1p(a_bar / years)
        return world_model.drifting(world_model.drift + missing)
    assert isinstance(world_model, BarWorldModel)
    shifted = world_model
    for _ in range(_ROUNDS):
        shifted = _shifted(shifted, wanted - _measured(shifted))
    others = (with_drift(other, wanted) for other in world_model.others)
    shifted.others = tuple(other for other in others if isinstance(other, BarWorldModel))
    return shifted


def dreamed_drift(world_model: WorldModel) -> float:
    """Mean simple return a year of free dreams of 720 bars, in which nobody trades, as a fraction.

    By the expectation of each bar's mixture, which chance blurs far less than draws of it. Of several
    members the mean.
    """
    return float(np.mean([_measured(member) for member in world_model.members]))


def _measured(world_model: WorldModel) -> float:
    if isinstance(world_model, BarWorldModel):
        expected = _bars_pay(world_model)
    else:
        assert isinstance(world_model, PaperWorldModel)
        expected = _latents_pay(world_model)
    return float(np.mean(expected)) * world_model.provenance.bars_per_year


@torch.no_grad()
def _latents_pay(world_model: PaperWorldModel) -> list[float]:
    """Mean simple return of some bars along dreams of latents, over dreams."""
    normals, interval_ms = torch.Generator().manual_seed(1), world_model.provenance.interval_ms
    parts = (world_model.mdn_rnn, world_model.bank, interval_ms, _BARS)
    dreamed = free_dreams(*parts, torch.Generator().manual_seed(0))
    looked = itertools.islice(dreamed, 0, None, _LOOK_EVERY)
    return [_decoded_return(world_model, bar.state.hidden, normals) for bar in looked]


def _decoded_return(
    world_model: PaperWorldModel, hidden: Tensor, generator: torch.Generator
) -> float:
    """Mean simple return of the next bar, over lanes.

    By a pair of opposite draws from every component: their mean has the decoder's expectation, of which
    `decoded_return_mixture` is an approximation.
    """
    mixture = world_model.mdn_rnn.latent_mixture(hidden)
    strays = mixture.log_sigmas.exp() * torch.randn(mixture.means.shape, generator=generator)
    pairs = torch.stack([mixture.means + strays, mixture.means - strays])
    decoded = world_model.vae.decode(pairs.clamp(-LATENT_LIMIT, LATENT_LIMIT))[..., 0]
    scale, mean = world_model.return_scaling
    simple = torch.expm1(decoded.double() * scale + mean).mean(0)
    return float((torch.softmax(mixture.logits.double(), dim=-1) * simple).sum(-1).mean())


def _bars_pay(world_model: BarWorldModel) -> list[float]:
    """The same along dreams of bars."""
    starts = start_lanes(world_model)
    count = max(_LANES, len(starts.z))
    lanes = chosen(starts, np.resize(np.arange(len(starts.z)), count))
    noises = draw_bar_noise(np.random.default_rng(0), count, _BARS, noise_rows(world_model.config))
    expected = []
    for bar, noise in enumerate(noises):
        if bar % _LOOK_EVERY == 0:
            expected.append(_expected_return(world_model, lanes))
        dream_bars(*lanes, *world_model.network, noise, 0, _ONE, False)
    return expected


@torch.no_grad()
def _expected_return(world_model: BarWorldModel, lanes: BarLanes) -> float:
    """Mean simple return of the next bar, over lanes: Σ π (exp(µ + σ²/2) − 1)."""
    mdn_rnn, config = world_model.mdn_rnn, world_model.config
    told = world_model.calendars(lanes.open_time_ms + world_model.provenance.interval_ms)
    known = np.ascontiguousarray(lanes.z[:, : config.forecast_size])
    trunk = mdn_rnn.trunk(*(torch.from_numpy(part) for part in (known, told, lanes.h)))
    level = torch.from_numpy(lanes.features[:, config.features.names.index("level")])
    shift, _, pull, middle = mdn_rnn.calibration
    mixture = mdn_rnn.return_mixture(trunk, shift + pull * (middle - level))
    scale = float(mdn_rnn.return_scale)
    means, sigmas = mixture.means[..., 0].double(), mixture.log_sigmas[..., 0].double().exp()
    weights = torch.softmax(mixture.logits.double(), dim=-1)
    simple = torch.expm1(scale * means + 0.5 * (scale * sigmas) ** 2)
    return float((weights * simple).sum(-1).mean())


def _shifted(world_model: BarWorldModel, missing: float) -> BarWorldModel:
    """Dreams that pay so much a year more."""
    mdn_rnn = deepcopy(world_model.mdn_rnn)
    a_bar = missing / world_model.provenance.bars_per_year
    mdn_rnn.drift += a_bar / float(mdn_rnn.return_scale)
    return world_model.remembering(mdn_rnn)
