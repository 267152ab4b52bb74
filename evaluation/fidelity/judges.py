"""Learners that try to tell two sets of windows apart (Lopez-Paz & Oquab 2017).

Each is trained on four fifths of the time and judges the fifth that it has not seen. What one sees
another may miss: trees and a regression read summaries of a window, boosted trees its bars one by one
as well, a convolutional network the bars in their order.

Chance is 0 (of the area under a curve, 0.5). Clearly below it is no virtue: the learner met the other
side's copies of what it judges, see `copies`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import torch
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]
from torch import Tensor, nn

from ...market.arrays import FloatArray, IntArray, spread
from ...market.errors import ConfigError
from ..significance import Interval
from .stylised import autocorrelation
from .windows import Windows

_FOLDS = 5
_MIN_WINDOWS = 20
_MAX_RATIO = 3  # of the larger to the smaller set
_ABS_LAGS = (1, 2, 3, 6, 12, 24)
_REPLICATIONS = 500
_EPOCHS, _BATCH, _CHANNELS = 30, 64, 24
_SMALL = 1e-6

Learner = Callable[[], Any]


def summaries_score(first: Windows, second: Windows, *, seed: int) -> Interval:
    """Balanced accuracy − 0.5 of the better of two learners on summaries of the windows.

    The learners are randomised trees and a logistic regression on quantile scores: trees see
    thresholds and interactions, the regression faint shifts of many summaries at once.

    Args:
        first: Windows in time order.
        second: Windows in time order.
        seed: Of the bootstrap.

    Raises:
        ConfigError: A side has fewer than 20 windows.
    """
    return rows_score([describe(side) for side in (first, second)], seed=seed)


def boosting_score(first: Windows, second: Windows, *, seed: int) -> Interval:
    """Balanced accuracy − 0.5 of gradient boosting on every bar and the summaries.

    Args, raises: As `summaries_score`.
    """
    sides = [
        np.concatenate([describe(side), _channels(side).reshape(len(side), -1)], axis=1)
        for side in (first, second)
    ]
    return rows_score(sides, (_Boosting,), seed=seed)


def rows_score(
    sides: Sequence[FloatArray], learners: Sequence[Learner] = (), *, seed: int
) -> Interval:
    """Balanced accuracy − 0.5 of the best of some learners on rows [n, F], in time order.

    The larger side is thinned evenly to three times the smaller one; classes weigh the same.

    Args:
        sides: What to tell apart.
        learners: Makers of classifiers; by default trees and a regression.
        seed: Of the bootstrap.

    Raises:
        ConfigError: A side has fewer than 20 rows.
    """
    sides = _thinned(sides)
    makers = learners or (_trees, _regression)
    with threadpool_limits(1):  # of one machine's cores several runs may want a share
        judged = [_cross_validated_hits(sides, make) for make in makers]
    hits = max(judged, key=lambda pair: float(pair[0].mean() + pair[1].mean()))
    return _excess_accuracy(hits, np.random.default_rng(seed))


def convolution_score(first: Windows, second: Windows, *, seed: int) -> Interval:
    """Area under the ROC curve of a small convolutional network on held-out windows; 0.5 is chance.

    Args:
        first: Windows in time order.
        second: Windows in time order.
        seed: Of the network and the bootstrap.

    Raises:
        ConfigError: A side has fewer than 20 windows.
    """
    sides = _thinned([_channels(side) for side in (first, second)])
    inputs, labels, fold = _stacked(sides)
    scores = np.empty(len(labels))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for k in range(_FOLDS):
            inside = fold != k
            scores[~inside] = _convolved(inputs[inside], labels[inside], inputs[~inside])
    return _area(scores, labels, fold, np.random.default_rng(seed))


def describe(windows: Windows) -> FloatArray:
    """Summaries [n, S] of windows: of returns, and of ranges, volumes and wicks where they are."""
    returns = windows.log_return
    columns = _return_summaries(returns)
    if windows.upper is not None and windows.lower is not None:
        height = np.abs(returns) + windows.upper + windows.lower
        for values in (height, windows.upper, windows.lower):
            columns += _level_summaries(values, returns)
    if windows.log_volume is not None:
        columns += _level_summaries(windows.log_volume, returns)
    return np.stack(columns, axis=1)


def _thinned(sides: Sequence[FloatArray]) -> list[FloatArray]:
    count = min(map(len, sides))
    if count < _MIN_WINDOWS:
        raise ConfigError(f"{count} windows on one side; the test needs {_MIN_WINDOWS} a side")
    return [side[spread(min(len(side), _MAX_RATIO * count), len(side))] for side in sides]


def _channels(windows: Windows) -> FloatArray:
    """Bars as a network reads them [n, C, W]: in units of a mean bar, wicks by their share of it."""
    returns = windows.log_return
    unit = np.abs(returns).mean(axis=1, keepdims=True) + _SMALL
    channels = [np.arcsinh(returns / unit), np.log(np.abs(returns) + _SMALL)]
    if windows.upper is not None and windows.lower is not None:
        height = np.abs(returns) + windows.upper + windows.lower
        safe = np.maximum(height, _SMALL)
        channels += [np.log(safe), windows.upper / safe, windows.lower / safe]
    if windows.log_volume is not None:
        channels.append(windows.log_volume)
    return np.stack(channels, axis=1)


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
    """Level, spread, memory and link to |r| of ranges, wicks or log volumes."""
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


class _Boosting:
    """Gradient boosting whose odds are judged against the share of the second side.

    Class weights would say the same, but with them scikit-learn bins its inputs very slowly.
    """

    def fit(self, rows: FloatArray, labels: IntArray) -> Self:
        """Learn to tell sides apart."""
        from sklearn.ensemble import HistGradientBoostingClassifier  # slow to import

        self._share = float(labels.mean())
        self._learner = HistGradientBoostingClassifier(
            max_iter=100, max_leaf_nodes=8, max_features=0.3, max_bins=32, random_state=0
        ).fit(rows, labels)
        return self

    def predict(self, rows: FloatArray) -> IntArray:
        """The likelier side of each, sides being as likely before."""
        chances = self._learner.predict_proba(rows)[:, 1]
        return np.asarray(chances > self._share, dtype=np.int64)


def _stacked(sides: Sequence[FloatArray]) -> tuple[FloatArray, IntArray, IntArray]:
    """All rows, which side each is of, and the stretch of time that it lies in."""
    folds = [np.arange(len(side)) * _FOLDS // len(side) for side in sides]
    labels = np.repeat([0, 1], [len(side) for side in sides])
    return np.concatenate(sides), labels, np.concatenate(folds)


def _cross_validated_hits(
    sides: Sequence[FloatArray], make: Learner
) -> tuple[FloatArray, FloatArray]:
    """Which rows of each side a learner that never saw their stretch of time judged rightly."""
    rows, labels, fold = _stacked(sides)
    hits = np.zeros(len(rows))
    for k in range(_FOLDS):
        learner = make().fit(rows[fold != k], labels[fold != k])
        hits[fold == k] = learner.predict(rows[fold == k]) == labels[fold == k]
    return hits[labels == 0], hits[labels == 1]


def _excess_accuracy(hits: tuple[FloatArray, FloatArray], rng: np.random.Generator) -> Interval:
    """Balanced accuracy − 0.5 and its interval when the judged rows are resampled."""
    draws = np.zeros(_REPLICATIONS)
    for side in hits:
        rows = rng.integers(len(side), size=(_REPLICATIONS, len(side)))
        draws += side[rows].mean(axis=1) / 2
    low, high = np.quantile(draws - 0.5, [0.025, 0.975])
    value = float(sum(side.mean() for side in hits) / 2 - 0.5)
    return Interval(value, float(low), float(high))


class _Convolution(nn.Module):
    """Two convolutions, then the mean and the largest of each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(channels, _CHANNELS, 5, padding=2),
            nn.SiLU(),
            nn.Conv1d(_CHANNELS, _CHANNELS, 5, stride=2, padding=2),
            nn.SiLU(),
        )
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(2 * _CHANNELS, 1)

    def forward(self, bars: Tensor) -> Tensor:
        """Log odds [n] that windows [n, C, W] are of the second side."""
        found = self.layers(bars)
        pooled = torch.cat([found.mean(dim=2), found.amax(dim=2)], dim=1)
        odds: Tensor = self.head(self.drop(pooled))[:, 0]
        return odds


def _convolved(known: FloatArray, labels: IntArray, unseen: FloatArray) -> FloatArray:
    """Log odds [m] of unseen windows, by a network trained on known ones."""
    centre = known.mean(axis=(0, 2), keepdims=True)
    width = known.std(axis=(0, 2), keepdims=True) + _SMALL
    inputs, judged = (
        torch.from_numpy(((part - centre) / width).astype(np.float32)) for part in (known, unseen)
    )
    targets = torch.from_numpy(labels.astype(np.float32))
    weight = torch.tensor(float((labels == 0).sum() / max((labels == 1).sum(), 1)))
    network = _Convolution(known.shape[1])
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.05)
    loss_of = nn.BCEWithLogitsLoss(pos_weight=weight)
    for _ in range(_EPOCHS):
        for rows in torch.split(torch.randperm(len(inputs)), _BATCH):
            loss = loss_of(network(inputs[rows]), targets[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    network.eval()
    with torch.no_grad():
        odds: FloatArray = network(judged).numpy().astype(np.float64)
    return odds


def _area(
    scores: FloatArray, labels: IntArray, fold: IntArray, rng: np.random.Generator
) -> Interval:
    """Mean over folds of the area under the curve, with its interval over resampled windows."""
    value = _mean_area(scores, labels, fold)
    draws = []
    for _ in range(_REPLICATIONS // 2):
        rows = rng.integers(len(labels), size=len(labels))
        draws.append(_mean_area(scores[rows], labels[rows], fold[rows]))
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def _mean_area(scores: FloatArray, labels: IntArray, fold: IntArray) -> float:
    areas = []
    for k in range(_FOLDS):
        inside = fold == k
        ranks, second = rankdata(scores[inside]), labels[inside] == 1
        count, others = int(second.sum()), int((~second).sum())
        if count and others:
            areas.append((ranks[second].sum() - count * (count + 1) / 2) / (count * others))
    return float(np.mean(areas)) if areas else 0.5
