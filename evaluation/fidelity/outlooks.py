"""Dreams as forecasts: what the next hours and days hold, from where the record stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from ...envs.engine.opening import open_engine
from ...market.arrays import FloatArray, IntArray
from ...market.candles import Candles
from ...market.errors import ConfigError
from ...market.features import valid_rows
from ...models.world_model import WorldModel
from ..baselines.bars import Bars
from ..baselines.garch import GarchModel
from ..baselines.scores import GJR_GARCH_CLOCK, HAR_T
from ..density import WORLD_MODEL
from ..horizons import HorizonScores, Simulator, compare_horizons
from ..significance import Interval, share_interval
from .goals import Goal, Part
from .paths import dream_on
from .subject import Subject

_DAY = 24  # bars
_COVERED = (0.86, 0.94)


@dataclass(frozen=True)
class Outlooks(Part):
    """Forecasts of 1, 24 and 168 bars by simulated paths, on the last held-out range.

    Attributes:
        by_horizon: Scores by bars ahead and simulator; differences are from HAR's.
    """

    by_horizon: dict[int, dict[str, HorizonScores]]

    @classmethod
    def measure(cls, subject: Subject) -> Self:
        """Dream on from recorded bars, and simulate HAR and GARCH from the same."""
        candles, config = subject.candles, subject.config
        simulators: dict[str, Simulator] = {
            WORLD_MODEL: DreamSimulator(subject.world_model),
            HAR_T: subject.har,
        }
        if subject.beside is None:
            simulators[GJR_GARCH_CLOCK] = GarchModel.fit(candles, subject.ranges.train)
        return cls(
            compare_horizons(
                simulators,
                candles,
                subject.ranges.last,
                seed=config.seed,
                paths=config.outlook_paths,
                against=HAR_T,
            )
        )

    def goals(self) -> list[Goal]:
        """Of a day: no worse than HAR, and neither too wide nor too narrow."""
        if _DAY not in self.by_horizon:
            return []
        ours = self.by_horizon[_DAY][WORLD_MODEL]
        gap = ours.minus["qlike"]
        span = Interval(gap.value, gap.low, gap.high)
        refused = sum(test.refused for test in ours.var)
        return [
            Goal.of("volatility of the next 24 bars, QLIKE minus HAR-t's", span, None, 0.0),
            Goal.of(
                "coverage of the 90% interval of 24 bars",
                share_interval(ours.covered, ours.origins),
                *_COVERED,
            ),
            Goal.of("1% and 5% value at risk of 24 bars, tests that refuse it", refused, None, 0.0),
        ]

    def to_dict(self) -> Mapping[str, object]:
        """Scores by horizon and simulator, under ``outlooks``."""
        return {"outlooks": self.by_horizon}


class DreamSimulator:
    """Dreams that follow recorded bars, flat all along.

    Args:
        world_model: What dreams.
    """

    def __init__(self, world_model: WorldModel) -> None:
        self._engine = open_engine(world_model)

    def simulate(
        self, candles: Candles, rows: IntArray, paths: int, bars: int, rng: np.random.Generator
    ) -> FloatArray:
        """Log returns [N, paths, bars] in percent that may follow each of N rows."""
        drawn = self.bars(candles, rows, paths, bars, rng)
        return 100 * drawn.log_return.reshape(len(rows), paths, bars)

    def bars(
        self, candles: Candles, rows: IntArray, paths: int, bars: int, rng: np.random.Generator
    ) -> Bars:
        """So many paths [N · paths, bars] after each of N rows, side by side.

        Raises:
            ConfigError: A row has no complete warm-up before it.
        """
        engine = self._engine
        windows = rows[:, None] + np.arange(1 - engine.warmup, 1)
        known = valid_rows(engine.world_model.features(candles))
        if windows.min() < 0 or not known[windows].all():
            raise ConfigError(
                f"a dream needs {engine.warmup} bars with complete features before it begins: give "
                "the candles before the range that is forecast, without gaps"
            )
        state = engine.after(candles, rows).repeated(paths)
        drawn = dream_on(engine, state, bars, rng, keep_states=False).whole
        assert drawn is not None
        return drawn
