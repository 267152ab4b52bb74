"""Models age: what forecasts lose in each calendar quarter after the bars that they were fitted on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..market.arrays import FloatArray, IntArray
from .baselines.scores import HAR_T, TITLES
from .baselines.student_t import Forecast, finite_scores, scored_rows
from .density import WORLD_MODEL
from .loss_tests import LossDifference, diebold_mariano

REFITTED, HAR_T_REFITTED = f"{WORLD_MODEL}_refitted", f"{HAR_T}_refitted"
FORECASTERS = {
    WORLD_MODEL: "world model",
    REFITTED: "world model, refitted",
    HAR_T_REFITTED: f"{TITLES[HAR_T]}, refitted",
    **TITLES,
}
"""Names of forecasters as people read them."""
_LEAST_BARS = 10  # of a quarter; fewer say nothing


@dataclass(frozen=True)
class Quarter:
    """Losses of the bars of one calendar quarter, or of the part of it that lies in a range.

    Attributes:
        name: Year and quarter (UTC), such as ``2024 Q1``.
        range: Which range the bars are of.
        bars: How many all forecast.
        nll: Mean negative log-likelihood [nats] by forecaster.
        gap: The world model's loss minus each other's [nats]: negative where the world model, as
            it was first trained, is better.
    """

    name: str
    range: str
    bars: int
    nll: Mapping[str, float]
    gap: Mapping[str, LossDifference]

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return {
            "name": self.name,
            "range": self.range,
            "bars": self.bars,
            "nll": dict(self.nll),
            "world_model_minus_this": {name: gap.to_dict() for name, gap in self.gap.items()},
        }


def bar_losses(forecasts: Mapping[str, Forecast], returns: FloatArray) -> dict[str, FloatArray]:
    """Negative log-likelihood [nats] of every bar's return [T] by forecaster.

    NaN where the return is not known, or not forecast.

    Args:
        forecasts: Row t is the density of bar t's return.
        returns: Log returns [T], percent.

    Raises:
        ConfigError: A density fails on a known return.
    """
    losses = {}
    for name, forecast in forecasts.items():
        known = scored_rows([forecast], returns)
        losses[name] = np.full(len(returns), np.nan)
        scores = forecast.log_prob(returns)[known]
        losses[name][known] = -finite_scores(scores, f"{name}'s log density")
    return losses


def losses_by_quarter(
    losses: Mapping[str, FloatArray],
    open_time_ms: IntArray,
    ranges: Mapping[str, tuple[int, int]],
) -> tuple[Quarter, ...]:
    """Mean losses and their differences, by the calendar quarter in which bars open.

    A forecaster that has no loss in a quarter at all is left out of it; of the others those bars
    count that all of them have. Quarters of fewer than ten such bars are left out.

    Args:
        losses: By forecaster, of each bar [T]; ``world_model`` is held against the others.
        open_time_ms: When bars open [T].
        ranges: Rows to score, by name.
    """
    return tuple(
        quarter
        for label, rows in ranges.items()
        for name, some in calendar_quarters(open_time_ms, rows)
        if (quarter := _quarter(name, label, {n: each[some] for n, each in losses.items()}))
    )


def calendar_quarters(open_time_ms: IntArray, rows: tuple[int, int]) -> Iterator[tuple[str, slice]]:
    """Names (UTC, ``2024 Q1``) of the quarters that rows touch, and which of them lie in each."""
    months = open_time_ms[slice(*rows)].astype("datetime64[ms]").astype("datetime64[M]")
    numbers = months.astype(np.int64) // 3  # quarters since 1970
    found, firsts = np.unique(numbers, return_index=True)
    edges = [*(rows[0] + firsts), rows[1]]
    for number, first, end in zip(found, edges[:-1], edges[1:], strict=True):
        yield f"{1970 + number // 4} Q{number % 4 + 1}", slice(int(first), int(end))


def _quarter(name: str, label: str, losses: Mapping[str, FloatArray]) -> Quarter | None:
    losses = {each: values for each, values in losses.items() if np.isfinite(values).any()}
    if WORLD_MODEL not in losses:
        return None
    known = np.isfinite(np.stack(list(losses.values()))).all(axis=0)
    if known.sum() < _LEAST_BARS:
        return None
    scored = {each: values[known] for each, values in losses.items()}
    ours = scored[WORLD_MODEL]
    return Quarter(
        name,
        label,
        int(known.sum()),
        {each: float(values.mean()) for each, values in scored.items()},
        {each: diebold_mariano(ours, v) for each, v in scored.items() if each != WORLD_MODEL},
    )
