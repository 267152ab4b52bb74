"""Families of policies: many of a kind, to find out whether dreams rank them as the market does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..envs.spaces import ObservationKind
from ..evaluation.comparison.rank_agreement import random_controllers
from ..evaluation.comparison.venues import Family
from ..evaluation.policy import Policy
from ..market.account.rules import BrokerConfig
from ..market.features import Features
from ..models.world_model import WorldModel
from .cma_es import CMAESConfig
from .dream_search import DreamSearchConfig, train_controllers
from .linear import LinearController
from .rules.columns import horizons
from .rules.constant import ConstantWeight
from .rules.trend import Momentum, Reversion
from .rules.volatility import VolatilityTarget

SCALES = (0.03, 0.1, 0.3, 1.0)
"""Standard deviations of random controllers' parameters, from nearly flat to all in or all out."""
SIZES = (0.1, 0.25, 0.5, 1.0)
"""What rules of the trend hold on either side."""
TARGETS = (0.1, 0.2, 0.3, 0.4, 0.6)
"""Annual volatilities that an account may be meant to have, as fractions."""
SHORT_SEARCH = DreamSearchConfig(CMAESConfig(population=32, generations=15), dreams=32)
"""A search of seconds, whose winners are still unlike each other."""
_PER_SCALE, _WEIGHTS = 50, 41


def standard_families(
    world_model: WorldModel,
    broker: BrokerConfig | None = None,
    *,
    seed: int = 0,
    per_scale: int = _PER_SCALE,
    searches: int = 0,
) -> list[Family]:
    """Random linear controllers, constant weights, rules over a grid, and what searches found.

    Args:
        world_model: What linear controllers see.
        broker: The account's rules; the default ones.
        seed: Of the random controllers.
        per_scale: Random controllers of each of `SCALES`.
        searches: Short searches in the world model's dreams, of different seeds; 0 leaves them out.
    """
    broker, features = broker or BrokerConfig(), world_model.config.features
    families = [
        random_family(world_model, broker, seed=seed, per_scale=per_scale),
        constant_family(),
        *_rules(world_model, features, broker),
    ]
    if searches:
        families.append(searched_family(world_model, broker, seed=seed, searches=searches))
    return [family for family in families if family is not None]


def random_family(
    world_model: WorldModel, broker: BrokerConfig, *, seed: int, per_scale: int = _PER_SCALE
) -> Family:
    """Linear controllers on [z, h, account] with random parameters of several scales."""
    rng = np.random.default_rng(seed)
    account_size = len(broker.view.account_observation)
    parameters = [
        random_controllers(world_model, per_scale, rng, scale=scale, account_size=account_size)
        for scale in SCALES
    ]
    names = [f"scale {scale:g}, {i}" for scale in SCALES for i in range(per_scale)]
    return Family("random linear", tuple(names), np.concatenate(parameters))


def constant_family(count: int = _WEIGHTS) -> Family:
    """Weights held for ever, spread evenly from −1 to 1."""
    weights = np.linspace(-1.0, 1.0, count)
    names = tuple(f"{weight:+.2f}" for weight in weights)
    return Family("constant weight", names, [ConstantWeight(float(weight)) for weight in weights])


def linear_family(name: str, controllers: Mapping[str, LinearController]) -> Family:
    """Trained linear controllers of one world model, such as what several searches found."""
    parameters = np.stack([one.parameters for one in controllers.values()])
    return Family(name, tuple(controllers), parameters.astype(np.float64))


def searched_family(
    world_model: WorldModel,
    broker: BrokerConfig,
    *,
    seed: int,
    searches: int,
    config: DreamSearchConfig = SHORT_SEARCH,
) -> Family:
    """What searches of different seeds found in a world model's dreams; no validation chooses."""
    found = train_controllers(world_model, config, broker, searches=searches, seed=seed)
    named = {f"search {i}": one.controller for i, one in enumerate(found.trained)}
    return linear_family("CMA-ES", named)


def given_family(
    name: str, policies: Mapping[str, Policy], observation: ObservationKind = "latent"
) -> Family:
    """Any other policies, such as Stable-Baselines3's agents of several runs."""
    return Family(name, tuple(policies), list(policies.values()), observation)


def _rules(
    world_model: WorldModel, features: Features, broker: BrokerConfig
) -> Sequence[Family | None]:
    """Rules over a grid; None where the features do not tell what they read."""
    momenta, volatilities = horizons(features, "momentum"), horizons(features, "volatility")
    trends = [(horizon, size) for horizon in momenta for size in SIZES]
    aims = [(horizon, target) for horizon in volatilities for target in TARGETS]
    year, leverage = world_model.provenance.bars_per_year, broker.margin.leverage
    return [
        _grid("momentum", trends, lambda bars, size: Momentum(bars, features, size)),
        _grid("reversion", trends, lambda bars, size: Reversion(bars, features, size)),
        _grid(
            "volatility target",
            aims,
            lambda bars, target: VolatilityTarget(target, bars, features, year, leverage),
        ),
    ]


def _grid(
    name: str, settings: Sequence[tuple[int, float]], make: Callable[[int, float], Policy]
) -> Family | None:
    if not settings:
        return None
    names = tuple(f"{bars} bars, {number:g}" for bars, number in settings)
    return Family(name, names, [make(*each) for each in settings])
