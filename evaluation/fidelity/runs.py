"""Fidelity of several world models and seeds of their dreams: medians, ranges, and what they decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...market.errors import ConfigError
from ...market.sources import open_candles
from ..checks import check_whole
from ..results import to_plain
from ..significance import Interval
from .goals import Goal
from .measure import Fidelity, Progress, measure_parts, open_subject
from .pictures import Pictures
from .results import FidelityResults
from .subject import FidelityConfig

if TYPE_CHECKING:
    from ...market.sources import CandleSource
    from ...models.world_model import WorldModel
    from .generators import Generator


@dataclass(frozen=True, eq=False)
class FidelityRuns:
    """What was measured over several world models and seeds of their dreams.

    Attributes:
        first: The first run, whole, with the generators and controls beside it.
        results: Every run's results by name, the first among them; the others are of the world model
            alone.
    """

    first: Fidelity
    results: dict[str, FidelityResults]

    @property
    def goals(self) -> list[Goal]:
        """The goals over all runs, in the order of the first."""
        runs = [{goal.name: goal for goal in results.goals} for results in self.results.values()]
        return [over_runs([run[name] for run in runs if name in run]) for name in runs[0]]

    def to_dict(self) -> dict[str, Any]:
        """The first run's ``fidelity.json``, goals over all runs, and every run's under ``runs``.

        Raises:
            ConfigError: A number is not finite; its place is named.
        """
        plain: Any = to_plain(
            {
                "goals": self.goals,
                "runs": {name: results.goals for name, results in self.results.items()},
            },
            "fidelity",
        )
        return {**self.first.results.to_dict(), **plain}


def measure_runs(
    world_models: Mapping[str, WorldModel],
    candles: CandleSource,
    config: FidelityConfig | None = None,
    progress: Progress | None = None,
    *,
    seeds: int = 1,
    allow_other_market: bool = False,
    generators: Mapping[str, Generator] | None = None,
) -> FidelityRuns:
    """Measure several world models of one market, such as one of each training seed.

    Generators, baselines and controls are measured once, beside the first.

    Args:
        world_models: What to judge, by name.
        candles: Of their market, see `measure_fidelity`.
        config: How thoroughly; its seed is that of the first dreams.
        progress: Called with the name of each stage as it begins.
        seeds: How often each dreams: with the seeds from the config's on.
        allow_other_market: Measure against a market that they were not trained on.
        generators: Other generators of bars to measure beside the first.

    Raises:
        ConfigError: There is no world model, or no seed.
        TrainingBarsError: See `measure_fidelity`.
        OtherMarketError: Likewise.
    """
    check_whole("seeds", seeds, 1)
    if not world_models:
        raise ConfigError("there is no world model to measure")
    config, candles = config or FidelityConfig(), open_candles(candles)
    say = progress or (lambda stage: None)
    first = subject = None
    results: dict[str, FidelityResults] = {}
    for name, world_model in world_models.items():
        for seed in range(config.seed, config.seed + seeds):
            run = f"{name}, dreams {seed}"
            opened = open_subject(
                world_model,
                candles,
                replace(config, seed=seed),
                allow_other_market=allow_other_market,
                generators=generators,
                beside=subject,
            )
            if len(world_models) * seeds > 1:
                say(run)
            results[run] = measure_parts(opened, say)
            if subject is None:
                subject = opened
                first = Fidelity(results[run], Pictures.of(subject, results[run]))
    assert first is not None
    return FidelityRuns(first, results)


def over_runs(goals: Sequence[Goal]) -> Goal:
    """One goal over several runs: the median, its range, and an interval that holds both doubts.

    The interval reaches from the median of the runs' lower ends, or their least value, to the median
    of the upper ends, or the greatest value: what one run cannot tell, and what seeds change.
    """
    first = goals[0]
    if len(goals) == 1:
        return first
    values = [goal.value for goal in goals]
    lows = [goal.value if goal.low is None else goal.low for goal in goals]
    highs = [goal.value if goal.high is None else goal.high for goal in goals]
    span = Interval(
        float(np.median(values)),
        min(float(np.median(lows)), *values),
        max(float(np.median(highs)), *values),
    )
    judged = Goal.of(first.name, span, *first.goal, first.floor)
    return replace(judged, range=(min(values), max(values)))
