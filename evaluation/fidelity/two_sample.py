"""Classifier two-sample test (Lopez-Paz & Oquab 2017): can a learner tell dream from record?

Windows that do not overlap are described by summaries of their returns (scale, tails, asymmetry,
the autocorrelation of absolute returns, volatility's course through the window) and, where there
are any, of ranges and volumes. A learner is trained on four fifths of the time and scored on the
fifth that it has not seen. |accuracy − 0.5| is 0 where nothing tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ...market.arrays import FloatArray, spread
from ...market.errors import ConfigError
from ..density import WORLD_MODEL
from ..significance import Interval
from .goals import Goal, Part
from .paths import Dreams, recorded_paths
from .stylised import autocorrelation
from .subject import Subject

WINDOW_BARS = 48
_FORTNIGHT_BARS = 336
_FOLDS = 5
_MIN_WINDOWS = 20
_MAX_RATIO = 3  # of the larger to the smaller set
_ABS_LAGS = (1, 2, 3, 6, 12, 24)


@dataclass(frozen=True)
class RecordFloor:
    """What the test says of the record against itself.

    Attributes:
        shuffled_fortnights: Random fortnights against the others: what noise alone gives.
        first_half_against_second: What the drift of the market alone gives.
    """

    shuffled_fortnights: Interval
    first_half_against_second: Interval


@dataclass(frozen=True)
class TwoSample(Part):
    """|balanced accuracy − 0.5| of a learner that tells windows of 48 bars apart.

    Attributes:
        returns: Every generator's windows from the record's, by their returns alone.
        returns_floor: The record from itself.
        with_features: The world model's windows, by returns, ranges and volumes.
        with_features_floor: The record from itself, by the same.
    """

    returns: dict[str, Interval]
    returns_floor: RecordFloor
    with_features: Interval
    with_features_floor: RecordFloor

    @classmethod
    def measure(cls, subject: Subject) -> Self:
        """Train the learners on every generator's windows."""
        seed, names = subject.config.seed, subject.names
        record = recorded_paths(subject.train, WINDOW_BARS, subject.world_model.config.features)
        ours = subject.dreams[WORLD_MODEL]
        return cls(
            returns={
                name: two_sample_score(record, paths, seed=seed)
                for name, paths in subject.dreams.items()
            },
            returns_floor=real_against_real(record, seed=seed),
            with_features=two_sample_score(record, ours, seed=seed, feature_names=names),
            with_features_floor=real_against_real(record, seed=seed, feature_names=names),
        )

    def goals(self) -> list[Goal]:
        """The learner hardly does better than chance."""
        floor = f"{self.returns_floor.shuffled_fortnights.value:.3f}"
        ours = self.returns[WORLD_MODEL]
        return [Goal.of("two-sample test, |accuracy − 0.5|", ours, None, 0.12, floor)]

    def to_dict(self) -> Mapping[str, object]:
        """All of it under ``two_sample``."""
        return {
            "two_sample": {
                "returns": self.returns,
                "returns_noise_floor": self.returns_floor,
                "returns_ranges_volumes": {
                    WORLD_MODEL: self.with_features,
                    **vars(self.with_features_floor),
                },
            }
        }


def two_sample_score(
    first: Dreams,
    second: Dreams,
    *,
    seed: int,
    window: int = WINDOW_BARS,
    feature_names: Sequence[str] = (),
) -> Interval:
    """|balanced accuracy − 0.5| of the better of two learners, with a bootstrap interval.

    The learners are randomised trees and a logistic regression on quantile scores: trees see
    thresholds and interactions, the regression faint shifts of many summaries at once. The larger
    set is thinned evenly to three times the smaller one; classes weigh the same.

    Args:
        first: Paths in time order.
        second: Paths in time order (dreams: by the bank's order, which is that of time).
        seed: Of the learners and the bootstrap.
        window: Bars in a window.
        feature_names: Columns of the paths' features; given, ``range`` and ``log_volume`` are
            judged as well as returns.

    Raises:
        ConfigError: A side has fewer than 20 windows.
    """
    sides = [describe_windows(paths, window, feature_names) for paths in (first, second)]
    count = min(map(len, sides))
    if count < _MIN_WINDOWS:
        raise ConfigError(f"{count} windows of {window} bars; the test needs {_MIN_WINDOWS} a side")
    sides = [side[spread(min(len(side), _MAX_RATIO * count), len(side))] for side in sides]
    judged = [_cross_validated_hits(sides, make) for make in (_trees, _regression)]
    hits = max(judged, key=lambda pair: float(pair[0].mean() + pair[1].mean()))
    return _excess_accuracy(hits, np.random.default_rng(seed))


def describe_windows(paths: Dreams, window: int, feature_names: Sequence[str] = ()) -> FloatArray:
    """Summaries [windows, S] of windows that do not overlap."""
    columns = _return_summaries(_windows(paths.log_return, window))
    for name in ("range", "log_volume"):
        if name in feature_names and paths.features is not None:
            values = paths.features[..., list(feature_names).index(name)]
            columns += _level_summaries(
                _windows(values, window), _windows(paths.log_return, window)
            )
    return np.stack(columns, axis=1)


def real_against_real(real: Dreams, *, seed: int, feature_names: Sequence[str] = ()) -> RecordFloor:
    """The noise floor: random fortnights against the others, and first against second half.

    Args:
        real: Recorded windows of `WINDOW_BARS` bars in time order.
        seed: Of the choice and the test.
        feature_names: As in `two_sample_score`.
    """
    fortnight = np.arange(len(real)) // (_FORTNIGHT_BARS // real.bars)
    order = np.random.default_rng(seed).permutation(fortnight[-1] + 1)
    chosen = np.isin(fortnight, order[::2])
    early = np.arange(len(real)) < len(real) // 2
    fortnights, halves = (
        two_sample_score(
            real.lanes(np.flatnonzero(side)),
            real.lanes(np.flatnonzero(~side)),
            seed=seed,
            feature_names=feature_names,
        )
        for side in (chosen, early)
    )
    return RecordFloor(fortnights, halves)


def _windows(values: FloatArray, window: int) -> FloatArray:
    whole = values.shape[1] // window * window
    return values[:, :whole].reshape(-1, window)


def _return_summaries(returns: FloatArray) -> list[FloatArray]:
    magnitude = np.abs(returns)
    variance = np.maximum((returns**2).mean(axis=1), 1e-30)
    ordered = np.sort(returns, axis=1)
    course = np.array_split(magnitude, 8, axis=1)
    return [
        returns.mean(axis=1),
        np.log(variance),
        (returns**3).mean(axis=1) / variance**1.5,
        (returns**4).mean(axis=1) / variance**2,
        ordered[:, -1],
        ordered[:, -2],
        ordered[:, 0],
        ordered[:, 1],
        np.abs(np.cumsum(returns, axis=1)).max(axis=1),
        magnitude.mean(axis=1),
        *np.quantile(magnitude, [0.1, 0.25, 0.5, 0.75, 0.9], axis=1),
        *(part.mean(axis=1) for part in course),
        *autocorrelation(magnitude, max(_ABS_LAGS))[:, np.array(_ABS_LAGS) - 1].T,
        *autocorrelation(returns, 2).T,
    ]


def _level_summaries(values: FloatArray, returns: FloatArray) -> list[FloatArray]:
    """Level, spread, memory and link to |r| of ranges or log volumes."""
    magnitude = np.abs(returns)
    centred = values - values.mean(axis=1, keepdims=True)
    other = magnitude - magnitude.mean(axis=1, keepdims=True)
    scale = np.sqrt((centred**2).sum(axis=1) * (other**2).sum(axis=1))
    link = np.where(scale > 1e-30, (centred * other).sum(axis=1) / np.maximum(scale, 1e-30), 0.0)
    steps = np.diff(values, axis=1)
    return [
        values.mean(axis=1),
        values.std(axis=1),
        values.min(axis=1),
        values.max(axis=1),
        steps.std(axis=1),
        link,
        *autocorrelation(values, 24)[:, [0, 23]].T,
    ]


def _trees() -> Any:
    from sklearn.ensemble import ExtraTreesClassifier  # slow to import

    return ExtraTreesClassifier(
        60, min_samples_leaf=3, max_features=0.5, class_weight="balanced", random_state=0
    )


def _regression() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer

    scores = QuantileTransformer(n_quantiles=30, output_distribution="normal", random_state=0)
    return make_pipeline(scores, LogisticRegression(C=0.1, max_iter=500, class_weight="balanced"))


def _cross_validated_hits(
    sides: Sequence[FloatArray], make: Callable[[], Any]
) -> tuple[FloatArray, FloatArray]:
    """Which windows of each side a learner that never saw their stretch of time judged rightly."""
    folds = [np.arange(len(side)) * _FOLDS // len(side) for side in sides]
    fold, rows = np.concatenate(folds), np.concatenate(sides)
    labels = np.repeat([0, 1], [len(side) for side in sides])
    hits = np.zeros(len(rows))
    for k in range(_FOLDS):
        learner = make().fit(rows[fold != k], labels[fold != k])
        hits[fold == k] = learner.predict(rows[fold == k]) == labels[fold == k]
    return hits[labels == 0], hits[labels == 1]


def _excess_accuracy(
    hits: tuple[FloatArray, FloatArray], rng: np.random.Generator, replications: int = 500
) -> Interval:
    """|balanced accuracy − 0.5| and its interval when the judged windows are resampled."""
    draws = np.zeros(replications)
    for side in hits:
        rows = rng.integers(len(side), size=(replications, len(side)))
        draws += side[rows].mean(axis=1) / 2
    low, high = np.quantile(draws - 0.5, [0.025, 0.975])
    value = float(sum(side.mean() for side in hits) / 2 - 0.5)
    nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return Interval(abs(value), float(nearest), float(max(abs(low), abs(high))))
