"""How agents are compared: the settings of `compare`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worldmodel_trading.agents.rules.known import RULES
from worldmodel_trading.agents.training import TrainConfig
from worldmodel_trading.envs.spaces import ObservationKind
from worldmodel_trading.evaluation.comparison.results import DREAM
from worldmodel_trading.market.errors import ConfigError, TrainingBarsError
from worldmodel_trading.market.records import AT_LEAST_ONE, FROM_ZERO, TEMPERATURES, Record

TRAIN, VALIDATION, TEST = "train", "validation", "test"
"""Names of the recorded ranges."""
_SEEN = (TRAIN, VALIDATION)  # what model, search and choice have used up


@dataclass(frozen=True)
class CompareConfig(Record):
    """How agents are compared.

    Attributes:
        venues: Some of ``dream``, ``train``, ``validation`` and ``test``.
        temperatures: τ of the dreams.
        seeds: How many: of dreams, and of agents that are trained here.
        seed: The first of them.
        dreams: That measure, of each temperature and seed.
        horizon: Bars of each.
        observation: What a ``module:callable`` looks at.
        trust: Unpickle bare zips.
        drift: What a held position earns in dreams.
        funding: What positions pay.
        account: Any setting of the account; empty is that of the agents' own training.
        settings: By agent, settings of a rule, or of a training: fields of `TrainConfig`, or the
            algorithm's own.
        walk_forward: Number of windows, for each of which world models and agents are trained; 0 takes
            the world models that are given.
        purge: Bars between training, validation and test range of a window; None is the features'
            look-back and one.
        embargo: More of them before the test range.
        rolling: Whether windows forget the oldest bars.
        model_seeds: World models of each window.
        model: Settings of the windows' world models, ``preset`` among them.
        audit: Whether dreams' rankings of families of policies are audited, and the ladder is climbed.
        policy_dreams: Dreams in which each policy of the families trades.
        searches: For each world model, beside their rivals, to find out what searching in dreams buys;
            their settings are those of ``cma_es``.
        allow_in_sample: Measure also on bars that model, search or choice has seen.
    """

    venues: tuple[str, ...] = (DREAM, TEST)
    temperatures: tuple[float, ...] = (1.0,)
    seeds: int = 1
    seed: int = 0
    dreams: int = 256
    horizon: int = 720
    observation: ObservationKind = "latent"
    trust: bool = False
    drift: str | float = "recorded"
    funding: str | float = "off"
    account: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    walk_forward: int = 0
    purge: int | None = None
    embargo: int = 0
    rolling: bool = False
    model_seeds: int = 1
    model: Mapping[str, Any] = field(default_factory=dict)
    audit: bool = True
    policy_dreams: int = 512
    searches: int = 1
    allow_in_sample: bool = False

    _bounds = {  # noqa: RUF012
        "seeds": AT_LEAST_ONE,
        "seed": FROM_ZERO,
        "dreams": AT_LEAST_ONE,
        "horizon": AT_LEAST_ONE,
        "walk_forward": FROM_ZERO,
        "purge": FROM_ZERO,
        "embargo": FROM_ZERO,
        "model_seeds": AT_LEAST_ONE,
        "policy_dreams": AT_LEAST_ONE,
        "searches": FROM_ZERO,
    }
    _choices = {"observation": ("latent", "features")}  # noqa: RUF012

    def __post_init__(self) -> None:
        """Refuse what cannot be, before any work."""
        super().__post_init__()
        known = (DREAM, *_SEEN, TEST)
        for venue in self.venues:
            if venue not in known:
                raise ConfigError(f"venue {venue!r} is none; expected some of {', '.join(known)}")
        for temperature in self.temperatures:
            if not 0 < temperature < TEMPERATURES.high:
                raise ConfigError(
                    f"temperature is {temperature!r}; expected a number above 0, below 100"
                )
        seen = [venue for venue in self.venues if venue in _SEEN]
        if seen and not self.allow_in_sample:
            raise TrainingBarsError(
                f"{' and '.join(seen)} {'was' if len(seen) == 1 else 'were'} seen by model, search or "
                "choice: leave it out of the venues, or say --allow-in-sample, and every table will "
                "say so"
            )

    def own(self, agent: str) -> dict[str, Any]:
        """Settings of a rule, or of an agent's training as `TrainConfig` takes them."""
        if agent in RULES:
            return dict(self.settings.get(agent, {}))
        fields = set(TrainConfig.__dataclass_fields__) - {"agent", "seed", "settings"}
        given = dict(self.settings.get(agent, {}))
        own = {name: given.pop(name) for name in list(given) if name in fields}
        return own | ({"settings": given} if given else {})

    @property
    def recorded(self) -> tuple[str, ...]:
        """The venues that are replayed."""
        return tuple(venue for venue in self.venues if venue != DREAM)
