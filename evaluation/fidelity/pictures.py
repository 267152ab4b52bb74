"""What the fidelity page draws and the file of numbers does not hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from ...market.arrays import FloatArray
from ..baselines.scores import GJR_GARCH_CLOCK
from ..density import WORLD_MODEL
from .paths import Dreams, recorded_latents
from .results import FidelityResults
from .stylised import volatility_cone
from .subject import Subject

RECORD = "real"
"""Name of the record among the generators."""
RETURN_EDGES = np.linspace(-12, 12, 97)
"""Between which returns are counted, in the record's standard deviations."""
_TAIL = np.logspace(-3.7, np.log10(0.5), 60)
LEVELS = np.concatenate([_TAIL, 1 - _TAIL[::-1]])
"""Of quantiles, dense in the tails."""
CONE_HORIZONS = (6, 12, 24, 48, 96, 168, 336, 720)
_DRAWN = (RECORD, WORLD_MODEL, GJR_GARCH_CLOCK)
_PATHS = 12
_LATENTS = 3_000


@dataclass(frozen=True, eq=False)
class LatentMap:
    """Recorded latents on a plane.

    Attributes:
        position: Along their two principal directions [n, 2].
        volatility: What each decodes to [n].
    """

    position: FloatArray
    volatility: FloatArray


@dataclass(frozen=True, eq=False)
class Pictures:
    """Arrays by generator, the record among them.

    Attributes:
        paths: Log returns of some paths [12, T], of the record and the world model.
        densities: Of a bar's return ÷ σ of the record, between `RETURN_EDGES` [B].
        quantiles: Of a bar's return, at `LEVELS` [L].
        abs_acf: Autocorrelation of absolute returns, where paths are long enough [48].
        cone: Quantiles of realised volatility [horizons, 3], of the record and the world model.
        latents: Recorded z.
    """

    paths: dict[str, FloatArray]
    densities: dict[str, FloatArray]
    quantiles: dict[str, FloatArray]
    abs_acf: dict[str, FloatArray]
    cone: dict[str, FloatArray]
    latents: LatentMap

    @classmethod
    def of(cls, subject: Subject, results: FidelityResults) -> Self:
        """What was measured, as it is drawn."""
        sets = {RECORD: subject.record, **subject.dreams}
        pair = {name: sets[name] for name in (RECORD, WORLD_MODEL)}
        drawn = {name: sets[name].log_return for name in _DRAWN if name in sets}
        sigma = float(drawn[RECORD].std()) or 1.0
        facts = {RECORD: results.facts.record, **results.facts.generated}
        return cls(
            paths={name: _some(paths) for name, paths in pair.items()},
            densities={name: _density(returns / sigma) for name, returns in drawn.items()},
            quantiles={name: np.quantile(returns, LEVELS) for name, returns in drawn.items()},
            abs_acf={k: each.abs_acf for k, each in facts.items() if each.abs_acf is not None},
            cone={
                name: volatility_cone(
                    paths.log_return, [h for h in CONE_HORIZONS if h <= paths.bars]
                )
                for name, paths in pair.items()
            },
            latents=_latent_map(subject),
        )


def _density(returns: FloatArray) -> FloatArray:
    counts, _ = np.histogram(returns, bins=RETURN_EDGES)
    density: FloatArray = counts / counts.sum() / (RETURN_EDGES[1] - RETURN_EDGES[0])
    return density


def _some(paths: Dreams) -> FloatArray:
    """A few paths, spread evenly."""
    return paths.log_return[:: max(1, len(paths) // _PATHS)][:_PATHS]


def _latent_map(subject: Subject) -> LatentMap:
    z, _ = recorded_latents(subject.world_model, subject.train, _LATENTS)
    centred: FloatArray = z.astype(np.float64) - z.mean(axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:2]
    names = subject.world_model.config.features.names
    column = next(i for i, name in enumerate(names) if name.startswith("volatility"))
    return LatentMap(centred @ directions.T, subject.world_model.decode(z)[:, column])
