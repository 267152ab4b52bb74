"""Classifier two-sample tests: can a learner tell dream from record?

Both are cut into windows that begin at the same hours of the week (`windows`), and judged by several
learners (`judges`): by their returns, by their whole bars, and by what an agent sees of them. Beside
every score stands the record against itself, and a bootstrap of its bars.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from ...market.arrays import BoolArray, FloatArray
from ...market.intervals import INTERVALS_MS
from ..density import WORLD_MODEL
from ..significance import Interval
from .generators import BLOCKS
from .goals import Goal, Part
from .judges import boosting_score, convolution_score, rows_score, summaries_score
from .paths import Dreams
from .subject import Subject
from .windows import WINDOW_BARS, Windows

SUMMARIES, BOOSTING, CONVOLUTION = "summaries", "boosting", "convolution"
JUDGES: dict[str, Callable[..., Interval]] = {
    SUMMARIES: summaries_score,
    BOOSTING: boosting_score,
    CONVOLUTION: convolution_score,
}
"""Who judges whole bars: the last gives an area under the curve, the others accuracy − 0.5."""
_AT_MOST = {SUMMARIES: 0.06, BOOSTING: 0.05, CONVOLUTION: 0.58}
_AT_MOST_RETURNS, _AT_MOST_SEEN = 0.06, 0.10
_LEAST_HALF = 20
_WORDS = {
    SUMMARIES: "whole bars, accuracy − 0.5",
    BOOSTING: "whole bars by gradient boosting, accuracy − 0.5",
    CONVOLUTION: "whole bars by a convolutional network, area under the curve",
}


@dataclass(frozen=True)
class RecordFloor:
    """What a test says of the record against itself.

    Attributes:
        alternate_months: Every other month against the others: what noise alone gives.
        first_half_against_second: What the drift of the market alone gives.
    """

    alternate_months: Interval
    first_half_against_second: Interval


@dataclass(frozen=True)
class TwoSample(Part):
    """How well learners tell windows of 48 bars apart.

    Attributes:
        returns: Every generator's windows from the record's, by their returns alone.
        returns_floor: The record from itself.
        whole: By judge and generator: by returns, wicks and volumes.
        whole_floor: By judge: the record's alternate months from the others.
        seen: The world model's [z, h] from those encoded on the record.
        seen_floor: The record's from itself, alternate months.
        impossible: Share of bars whose high or low lies inside their body, by generator.
    """

    returns: dict[str, Interval]
    returns_floor: RecordFloor
    whole: dict[str, dict[str, Interval]]
    whole_floor: dict[str, Interval]
    seen: Interval
    seen_floor: Interval
    impossible: dict[str, float]

    @classmethod
    def measure(cls, subject: Subject) -> Self:
        """Train the judges on every generator's windows."""
        seed = subject.config.seed
        record = Windows.recorded(subject.train, WINDOW_BARS)
        sets = {name: _windows(subject, paths) for name, paths in subject.dreams.items()}
        alone = {name: windows.returns_alone() for name, windows in sets.items()}
        bare, odd = record.returns_alone(), alternate(record)
        judged = {name: windows for name, windows in sets.items() if windows.whole}
        seen, recorded_seen = _seen(subject, sets[WORLD_MODEL], record)
        return cls(
            returns={n: summaries_score(bare, w, seed=seed) for n, w in alone.items()},
            returns_floor=RecordFloor(
                summaries_score(bare.chosen(odd), bare.chosen(~odd), seed=seed),
                _halves(bare, seed),
            ),
            whole={
                judge: {name: score(record, w, seed=seed) for name, w in judged.items()}
                for judge, score in JUDGES.items()
            },
            whole_floor={
                judge: score(record.chosen(odd), record.chosen(~odd), seed=seed)
                for judge, score in JUDGES.items()
            },
            seen=rows_score([recorded_seen[0], seen], seed=seed),
            seen_floor=rows_score(
                [recorded_seen[0][recorded_seen[1]], recorded_seen[0][~recorded_seen[1]]], seed=seed
            ),
            impossible=_impossible(subject.dreams),
        )

    def goals(self) -> list[Goal]:
        """The judges hardly do better than chance, and no bar is impossible."""
        floor = f"{self.returns_floor.alternate_months.value:.3f}"
        rows = [
            Goal.of(
                "two-sample test, returns, accuracy − 0.5",
                self.returns[WORLD_MODEL],
                None,
                _AT_MOST_RETURNS,
                floor,
            )
        ]
        for judge, scores in self.whole.items():
            if WORLD_MODEL in scores:
                floor = self._floor(judge)
                words = f"two-sample test, {_WORDS[judge]}"
                rows.append(Goal.of(words, scores[WORLD_MODEL], None, _AT_MOST[judge], floor))
        rows.append(
            Goal.of(
                "two-sample test, [z, h], accuracy − 0.5",
                self.seen,
                None,
                _AT_MOST_SEEN,
                f"{self.seen_floor.value:.3f}",
            )
        )
        if WORLD_MODEL in self.impossible:
            rows.append(Goal.of("impossible bars, share", self.impossible[WORLD_MODEL], None, 0.0))
        return rows

    def _floor(self, judge: str) -> str:
        words = f"{self.whole_floor[judge].value:.3f}"
        blocks = self.whole[judge].get(BLOCKS)
        return words if blocks is None else f"{words}; bootstrap {blocks.value:.3f}"

    def to_dict(self) -> Mapping[str, object]:
        """All of it under ``two_sample``."""
        return {"two_sample": vars(self)}


def alternate(windows: Windows) -> BoolArray:
    """Every other month's windows [n]; every other week's where the months are too few."""
    odd = windows.odd_month
    if min(odd.sum(), (~odd).sum()) >= _LEAST_HALF:
        return odd
    return np.asarray(windows.open_time_ms // INTERVALS_MS["W"] % 2 == 0)


def _halves(windows: Windows, seed: int) -> Interval:
    early = np.arange(len(windows)) < len(windows) // 2
    return summaries_score(windows.chosen(early), windows.chosen(~early), seed=seed)


def _windows(subject: Subject, paths: Dreams) -> Windows:
    assert paths.whole is not None  # every generator tells its bars' times
    return Windows.of(paths.whole, subject.candles.interval_ms)


def _impossible(dreams: Mapping[str, Dreams]) -> dict[str, float]:
    shares = {name: p.whole.impossible for name, p in dreams.items() if p.whole is not None}
    return {name: share for name, share in shares.items() if share is not None}


def _seen(
    subject: Subject, windows: Windows, record: Windows
) -> tuple[FloatArray, tuple[FloatArray, BoolArray]]:
    """[z, h] at the last bar of windows [n, Z + H], dreamed and encoded; and `alternate` of those."""
    dreams = subject.dreams[WORLD_MODEL]
    assert dreams.z is not None
    assert dreams.h is not None
    ends = windows.start + WINDOW_BARS - 1
    dreamed = np.concatenate([dreams.z[windows.path, ends], dreams.h[windows.path, ends]], axis=1)
    latents = subject.world_model.latents(subject.train)
    last = record.start + WINDOW_BARS - 1
    known = latents.valid[last]
    encoded = np.concatenate([latents.z[last[known]], latents.h[last[known]]], axis=1)
    halves = alternate(record.chosen(known))
    return dreamed.astype(np.float64), (encoded.astype(np.float64), halves)
