"""Dreams that begin in a regime and stay in it: splitting, by the filter, at every bar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from ...market.arrays import FloatArray, IntArray
from ...market.errors import ConfigError
from ...market.records import AT_LEAST_ONE, TEMPERATURES, Record
from ...models.regimes.chain import likeliest
from ...models.regimes.following import RegimeFilter
from ...models.regimes.regimes import Regimes
from ...models.world_model import WorldModel
from ..significance import Interval
from ..stress.steppers import DreamStepper

_GROUPS = 8  # independent repetitions, for the interval


@dataclass(frozen=True)
class Stay(Record):
    """How long dreams stay.

    Attributes:
        bars: Of each path.
        paths: How many, in 8 independent groups.
        temperature: τ.
        seed: The same seed, the same paths.
    """

    bars: int = 72
    paths: int = 1024
    temperature: float = 1.0
    seed: int = 0

    _bounds = {  # noqa: RUF012
        "bars": AT_LEAST_ONE,
        "paths": (2 * _GROUPS, 1e7),
        "temperature": TEMPERATURES,
    }


@dataclass(frozen=True, eq=False)
class Stayed:
    """Paths that were in one regime at every close, as filtered.

    Attributes:
        bars: Of N paths [N, T, 4], columns `market.streams.BAR_NUMBERS`.
        weights: What each path counts [N]; they sum to 1.
        probability: That a dream begun in the regime stays so long, with a 95% interval.
        effective: Effective number of paths: 1 ÷ Σ w² over the dreams that they descend from.
    """

    bars: FloatArray
    weights: FloatArray
    probability: Interval
    effective: float


def stay_in_regime(
    world_model: WorldModel,
    regimes: Regimes,
    name: str,
    *,
    bars: int = 72,
    paths: int = 1024,
    temperature: float = 1.0,
    seed: int = 0,
) -> Stayed:
    """Dream paths that begin in a regime and do not leave it.

    Nothing is forced: after every bar, lanes whose likeliest regime is another are replaced by copies of
    lanes that stayed, drawn evenly (a particle filter of the event; Del Moral & Garnier 2005). The paths
    are the model's own given that they stay, the shares that stayed multiply to the probability of
    that, and copies have bars in common, which the effective number tells.

    Args:
        world_model: Of the preset ``market``.
        regimes: Found in it.
        name: Of the regime.
        bars: And the three that follow: see `Stay`.
        paths: See there.
        temperature: See there.
        seed: See there.

    Raises:
        ConfigError: There is no such regime, a setting is impossible, or no dream stays so long.
    """
    asked = Stay(bars, paths, temperature, seed)
    stepper, wanted = DreamStepper(world_model, asked.temperature), regimes.index(name)
    begun = regimes.segments(world_model, name)
    after = regimes.after_bank(world_model)
    rngs = np.random.default_rng(asked.seed).spawn(_GROUPS)
    sizes = [len(part) for part in np.array_split(np.arange(asked.paths), _GROUPS)]
    found = [
        _Group(stepper, regimes, wanted, rng.choice(begun, size), after).run(asked.bars, rng)
        for rng, size in zip(rngs, sizes, strict=True)
    ]
    chances = np.array([chance for _, _, chance in found])
    if not chances.any():
        raise ConfigError(
            f"none of {asked.paths} dreams stays in {name!r} for {asked.bars} bars: ask for fewer bars or "
            "more paths"
        )
    return _joined(found, chances)


class _Group:
    """A population that is split."""

    def __init__(
        self,
        stepper: DreamStepper,
        regimes: Regimes,
        wanted: int,
        segments: IntArray,
        after: RegimeFilter,
    ) -> None:
        count = len(segments)
        self._stepper, self._wanted = stepper, wanted
        self._heard = stepper.engine.world_model.heard
        self._state = stepper.engine.start(segments)
        self._followed = regimes.follow(count)
        heard = segments % len(
            stepper.engine.world_model.bank
        )  # whichever of several members dreams
        self._followed.put(np.ones(count, dtype=np.bool_), after, heard)
        self._founder: IntArray = np.arange(count)

    def run(self, bars: int, rng: np.random.Generator) -> tuple[FloatArray, IntArray, float]:
        """Bars of the paths [N, T, 4], the dreams they descend from [N], and the chance to stay."""
        lived: FloatArray = np.empty((len(self._founder), bars, 4))
        chance = 1.0
        for bar in range(bars):
            lived[:, bar] = self._stepper.step(self._state, rng)
            believed = self._followed.update(self._heard(self._state.z), self._state.open_time_ms)
            staying = np.flatnonzero(likeliest(believed) == self._wanted)
            chance *= len(staying) / len(believed)
            if not len(staying):
                return lived[:0], self._founder[:0], 0.0
            which = np.arange(len(believed))
            left = np.setdiff1d(which, staying)
            which[left] = rng.choice(staying, len(left))
            lived[:, : bar + 1] = lived[which, : bar + 1]
            self._become(which)
        return lived, self._founder, chance

    def _become(self, which: IntArray) -> None:
        self._state = self._stepper.copy(self._state, which)
        self._followed.keep(which)
        self._founder = self._founder[which]


def _joined(found: list[tuple[FloatArray, IntArray, float]], chances: FloatArray) -> Stayed:
    """The groups together, each counted by its chance."""
    shares = chances / chances.sum()
    weights = [
        np.full(len(b), s / max(len(b), 1)) for (b, _, _), s in zip(found, shares, strict=True)
    ]
    counted = sum(
        float(np.square(share * np.bincount(founder) / len(founder)).sum())
        for (_, founder, _), share in zip(found, shares, strict=True)
        if len(founder)
    )
    mean = float(chances.mean())
    error = float(chances.std(ddof=1) / np.sqrt(_GROUPS) * student_t.ppf(0.975, _GROUPS - 1))
    interval = Interval(mean, max(mean - error, 0.0), min(mean + error, 1.0))
    bars = np.concatenate([lived for lived, _, _ in found])
    return Stayed(bars, np.concatenate(weights), interval, 1.0 / counted)
