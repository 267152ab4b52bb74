"""Spaces of policies to draw candidates from: thousands of a kind, the n-th always the same one.

Candidates are drawn in blocks of fixed size, each with a generator of its own, so that a candidate does
not depend on how many there are or on who draws it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..envs.population.policies import policy_size
from ..evaluation.comparison.venues import Family
from ..evaluation.policy import Policy
from ..market.account.rules import BrokerConfig
from ..market.arrays import FloatArray, IntArray
from ..market.errors import ConfigError
from ..market.features import Features
from ..models.world_model import WorldModel
from .rules.columns import horizons
from .rules.constant import ConstantWeight
from .rules.trend import Momentum, Reversion
from .rules.volatility import VolatilityTarget

LINEAR = "linear"
_SCALES = (0.01, 1.0)  # of a controller's weights: from nearly constant to all in or all out
_BIAS = 0.5
_TARGETS = (0.05, 1.0)  # annual volatilities


class Place(NamedTuple):
    """What a candidate is drawn for.

    Attributes:
        world_model: What it sees the market through.
        broker: The account's rules.
    """

    world_model: WorldModel
    broker: BrokerConfig

    @property
    def features(self) -> Features:
        """What rules see."""
        features: Features = self.world_model.config.features
        return features


@dataclass(frozen=True, eq=False)
class Drawn:
    """Some candidates of a space.

    Attributes:
        family: The policies, ready to be scored.
        settings: What a person would call each by [P], by name.
    """

    family: Family
    settings: Mapping[str, FloatArray]

    def some(self, rows: IntArray) -> Drawn:
        """Those of some rows [n]."""
        policies = self.family.policies
        chosen = (
            policies[rows]
            if isinstance(policies, np.ndarray)
            else [policies[row] for row in rows.tolist()]
        )
        members = tuple(self.family.members[row] for row in rows.tolist())
        family = replace(self.family, members=members, policies=chosen)
        return Drawn(family, {name: values[rows] for name, values in self.settings.items()})


@dataclass(frozen=True)
class Space:
    """Policies of one kind.

    Attributes:
        about: What they are, in words.
        together: Candidates of a block.
        draw: Draws so many.
    """

    about: str
    together: int
    draw: Callable[[Place, np.random.Generator, int], Drawn]


def draw_block(name: str, place: Place, seed: int, block: int, count: int) -> Drawn:
    """The candidates of a block.

    Args:
        name: Of a space, see `SPACES`.
        place: What they are drawn for.
        seed: Of the sweep.
        block: Number of the block.
        count: Its first so many candidates, at most `Space.together`.

    Raises:
        ConfigError: The features do not tell what the policies read.
    """
    space = SPACES[name]
    key = (list(SPACES).index(name), block)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    whole = space.draw(place, rng, space.together)
    first = block * space.together
    members = tuple(f"{name} {first + row}" for row in range(space.together))
    named = Drawn(replace(whole.family, name=name, members=members), whole.settings)
    return named.some(np.arange(count))


def blocks_of(name: str, count: int) -> list[int]:
    """Sizes of the blocks that so many candidates of a space are drawn in."""
    together = SPACES[name].together
    full, rest = divmod(count, together)
    return [together] * full + ([rest] if rest else [])


def _linear(place: Place, rng: np.random.Generator, count: int) -> Drawn:
    config = place.world_model.config
    account = len(place.broker.view.account_observation)
    observed = config.latent_size + config.hidden_size + account
    scale = _log_uniform(rng, _SCALES, count)
    parameters = rng.standard_normal((count, policy_size(observed)))
    parameters[:, :-1] *= scale[:, None]
    parameters[:, -1] *= _BIAS
    settings = {"scale": scale, "bias": parameters[:, -1].copy()}
    return Drawn(Family(LINEAR, _numbered(count), parameters, "latent"), settings)


def _trend(kind: Callable[..., Policy]) -> Callable[[Place, np.random.Generator, int], Drawn]:
    def draw(place: Place, rng: np.random.Generator, count: int) -> Drawn:
        bars = _horizons(place.features, "momentum", rng, count)
        size = rng.uniform(0.02, 1.0, count)
        made = [
            kind(int(look_back), place.features, float(held))
            for look_back, held in zip(bars, size, strict=True)
        ]
        return _rules(made, horizon=bars, size=size)

    return draw


def _volatility(place: Place, rng: np.random.Generator, count: int) -> Drawn:
    bars = _horizons(place.features, "volatility", rng, count)
    target = _log_uniform(rng, _TARGETS, count)
    year, leverage = place.world_model.provenance.bars_per_year, place.broker.margin.leverage
    made = [
        VolatilityTarget(float(aim), int(look_back), place.features, year, leverage)
        for look_back, aim in zip(bars, target, strict=True)
    ]
    return _rules(made, horizon=bars, target=target)


def _constant(_: Place, rng: np.random.Generator, count: int) -> Drawn:
    weight = rng.uniform(-1.0, 1.0, count)
    return _rules([ConstantWeight(float(one)) for one in weight], weight=weight)


def _rules(policies: Sequence[Policy], **settings: FloatArray) -> Drawn:
    return Drawn(Family("rules", _numbered(len(policies)), policies), settings)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def _log_uniform(rng: np.random.Generator, ends: tuple[float, float], count: int) -> FloatArray:
    low, high = map(math.log, ends)
    return np.asarray(np.exp(rng.uniform(low, high, count)))


def _horizons(features: Features, kind: str, rng: np.random.Generator, count: int) -> FloatArray:
    known = sorted(horizons(features, kind))
    if not known:
        raise ConfigError(
            f"the world model's features tell no {kind} over any horizon: leave the rules that read it out"
        )
    return rng.choice(np.array(known, dtype=np.float64), count)


SPACES: Mapping[str, Space] = MappingProxyType(
    {
        LINEAR: Space("linear controllers on [z, h, account], random weights", 4_096, _linear),
        "momentum": Space("with the trend: horizon and size", 256, _trend(Momentum)),
        "reversion": Space("against the trend: horizon and size", 256, _trend(Reversion)),
        "volatility_target": Space("constant volatility: horizon and target", 256, _volatility),
        "constant": Space("one weight for ever", 256, _constant),
    }
)
"""By name; new ones are added at the end, since a candidate's draw depends on its space's place."""


def described(settings: Mapping[str, Any]) -> str:
    """Settings of a candidate in words, such as ``horizon 24, size 0.50``."""
    return ", ".join(f"{name} {value:.3g}" for name, value in settings.items())
