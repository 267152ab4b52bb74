"""Does a dream freeze, explode or drift as it ages, and how far does it go from the record?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...market.arrays import FloatArray
from ...market.candles import Candles
from ...market.errors import ConfigError
from ...models.ood import OODMeter
from ...models.world_model import WorldModel
from .paths import Dreams
from .stylised import ACF_LAGS, PathFacts, compare_facts

AGES = ((0, 24), (24, 168), (168, 720), (720, 2160))
"""Dream ages in bars over which decay is measured."""
_FROZEN = 0.05  # of the record's σ: a path that moves less stands still


def meter_readings(meter: OODMeter, dreams: Dreams) -> FloatArray:
    """The out-of-distribution meter's readings [N, T] along dreams."""
    if dreams.z is None or dreams.h is None:
        raise ConfigError(f"{dreams.name} keep no states: the meter has nothing to read")
    return meter.read(np.concatenate([dreams.z, dreams.h], axis=2))


def recorded_ood(
    world_model: WorldModel,
    candles: Candles,
    ranges: Mapping[str, tuple[int, int]],
    meter: OODMeter,
) -> dict[str, Any]:
    """What the meter reads on recorded bars, by range: its calibration, and what is new there.

    Returns:
        By range ``ood_median``, ``ood_above_95`` and ``ood_above_99``; None where no bar has
        enough bars before it.
    """
    table = {}
    for name, (start, stop) in ranges.items():
        latents = world_model.latents(candles.rows(0, stop))
        states = np.concatenate([latents.z, latents.h], axis=1)[start:][latents.valid[start:]]
        table[name] = _shares(meter.read(states)) if len(states) else None
    return table


def _shares(readings: FloatArray) -> dict[str, float]:
    return {
        "ood_median": float(np.median(readings)),
        "ood_above_95": float((readings > 0.95).mean()),
        "ood_above_99": float((readings > 0.99).mean()),
    }


def horizon_decay(
    long: Dreams, real: Dreams, names: Sequence[str], meter: OODMeter
) -> list[dict[str, Any]]:
    """Distances from the record by dream age.

    Args:
        long: Dreams with their states, as long as the last of `AGES`.
        real: Recorded paths.
        names: Columns of both sides' features.
        meter: Reads the dreams' states.

    Returns:
        A row per age: ``from_bar``, ``to_bar``, ``mean`` return, the share of ``frozen`` dreams,
        the meter's shares, and the distances of `compare_facts`.
    """
    recorded = PathFacts(real, names)
    truth = recorded.facts()
    rows = []
    for start, stop in AGES:
        part = long.ages(start, stop)
        facts = PathFacts(part, names, recorded.decile_edges).facts()
        scores = compare_facts(facts, truth)
        if part.bars < 2 * ACF_LAGS:
            scores.pop("return_acf_1", None)
        mean_per_bar = float(part.log_return.mean())
        frozen = float((part.log_return.std(axis=1) < _FROZEN * truth.sigma).mean())
        ages = {"from_bar": start, "to_bar": stop}
        odd = _shares(meter_readings(meter, part))
        rows.append({**ages, "mean": mean_per_bar, "frozen": frozen, **odd, **scores})
    return rows
