"""Does a dream follow its start? What it dreams after quiet and after loud bars, beside what came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from ...market.arrays import FloatArray, IntArray
from ...market.candles import Candles
from ...market.errors import ConfigError
from ..baselines.scores import HAR_T
from ..density import WORLD_MODEL
from ..horizons import forecast_origins
from ..ranks import rank_correlations
from ..significance import Interval, percentile_interval, stationary_bootstrap_rows
from .distances import Span
from .goals import Goal, Part
from .outlooks import DreamSimulator
from .subject import Subject

AHEAD = 24
"""Bars that are dreamed from each start."""
PERSISTENCE = "persistence"
"""What forecasts the next bars by as many that were recorded before them."""
_VOLUME_BARS = 168  # before a start: volume is told against their mean
_FIFTH = 5
_SHARED_STARTS = 7.0  # mean block of the bootstrap: starts are a day apart, and share their week
_REPLICATIONS = 500
_LEAST_STARTS = 20
_FOLLOWS = (0.75, 1.33)


@dataclass(frozen=True)
class Response:
    """How one quantity of the next 24 bars follows the start, over starts of the last range.

    Attributes:
        starts: How many.
        correlation: Rank correlation of what was forecast and what came, by forecaster.
        minus: The world model's less each other forecaster's.
        shuffled: What the world model's would be with starts shuffled, 95 times in 100.
        spread: Log ratio of what was dreamed from the loudest fifth of starts and from the quietest ÷
            the same of what came: 1 where dreams follow their starts as far as the market does, 0
            where they forget them. Loud are starts after bars that had much of it.
    """

    starts: int
    correlation: dict[str, Interval]
    minus: dict[str, Interval]
    shuffled: Span
    spread: Interval

    @classmethod
    def of(
        cls, forecasts: Mapping[str, FloatArray], came: FloatArray, rng: np.random.Generator
    ) -> Self:
        """Of logs.

        Args:
            forecasts: By forecaster [N], `WORLD_MODEL` and `PERSISTENCE` among them, in time order.
            came: What was recorded [N].
            rng: Draws the bootstrap.

        Raises:
            ConfigError: There are fewer than 20 starts.
        """
        count = len(came)
        if count < _LEAST_STARTS:
            raise ConfigError(f"{count} starts; whether dreams follow them needs {_LEAST_STARTS}")
        resamples = [
            stationary_bootstrap_rows(count, _SHARED_STARTS, rng) for _ in range(_REPLICATIONS)
        ]
        shuffled = np.stack([rng.permutation(forecasts[WORLD_MODEL]) for _ in resamples])
        floor = percentile_interval(
            0.0, rank_correlations(shuffled, np.tile(came, (len(shuffled), 1))).tolist()
        )
        rows = np.stack([np.arange(count), *resamples])  # the starts themselves are the first
        came_of = came[rows]
        agree = {name: rank_correlations(each[rows], came_of) for name, each in forecasts.items()}
        ours, before = forecasts[WORLD_MODEL], forecasts[PERSISTENCE]
        spread = [_spread(ours[each], came[each], before[each]) for each in rows]
        return cls(
            starts=count,
            correlation={name: _interval(each) for name, each in agree.items()},
            minus={
                name: _interval(agree[WORLD_MODEL] - theirs)
                for name, theirs in agree.items()
                if name != WORLD_MODEL
            },
            shuffled=Span(floor.low, floor.high),
            spread=_interval(np.array(spread)),
        )


def _interval(values: FloatArray) -> Interval:
    """Of a number of the starts themselves, then of each of their resamples."""
    return percentile_interval(float(values[0]), values[1:].tolist())


@dataclass(frozen=True)
class Starts(Part):
    """Whether dreams of the next 24 bars follow the recorded bars that they begin after.

    Attributes:
        volatility: Of √Σr².
        volume: Of the volume against the 168 bars before; None where dreams draw none.
    """

    volatility: Response | None
    volume: Response | None

    @classmethod
    def measure(cls, subject: Subject) -> Self:
        """Dream on from bars spread over the last range; nothing is said of fewer than 20."""
        candles, config = subject.candles, subject.config
        try:
            rows = _starts(candles, subject.ranges.last)
        except ConfigError:  # shorter than two outlooks
            return cls(None, None)
        if len(rows) < _LEAST_STARTS:
            return cls(None, None)
        rng = np.random.default_rng([config.seed, AHEAD])
        paths = config.outlook_paths
        dreams = DreamSimulator(subject.world_model).bars(candles, rows, paths, AHEAD, rng)
        har = subject.har.simulate(candles, rows, paths, AHEAD, rng)
        came, before = (
            _log_size(candles.log_returns()[rows[:, None] + bars]) for bars in (_NEXT, _LAST)
        )
        each = (len(rows), paths, AHEAD)
        forecasts = {
            WORLD_MODEL: _log_size(dreams.log_return.reshape(each)).mean(axis=1),
            HAR_T: _log_size(har / 100).mean(axis=1),
            PERSISTENCE: before,
        }
        volatility = Response.of(forecasts, came, rng)
        if dreams.volume is None:
            return cls(volatility, None)
        usual, came, before = (
            np.log(candles.volume[rows[:, None] + bars].mean(axis=1))
            for bars in (np.arange(1 - _VOLUME_BARS, 1), _NEXT, _LAST)
        )
        drawn = np.log(dreams.volume.reshape(each).mean(axis=2)).mean(axis=1)
        forecasts = {WORLD_MODEL: drawn - usual, PERSISTENCE: before - usual}
        return cls(volatility, Response.of(forecasts, came - usual, rng))

    def goals(self) -> list[Goal]:
        """Dreams know more of what comes than the bars before them, and move with them as far."""
        goals = []
        for name, response in (("volatility", self.volatility), ("volume", self.volume)):
            if response is not None:
                floor = response.shuffled
                goals += [
                    Goal.of(
                        f"{name} of 24 bars, dreamed and recorded, rank correlation minus persistence's",
                        response.minus[PERSISTENCE],
                        0.0,
                        None,
                        f"shuffled starts: {floor.low:.2f} to {floor.high:.2f}",
                    ),
                    Goal.of(
                        f"{name} after loud starts ÷ after quiet ones, log ratio ÷ the record's",
                        response.spread,
                        *_FOLLOWS,
                    ),
                ]
        return goals

    def to_dict(self) -> Mapping[str, object]:
        """What could be measured, under ``starts``."""
        return {"starts": {name: each for name, each in vars(self).items() if each is not None}}


_NEXT, _LAST = np.arange(1, AHEAD + 1), np.arange(1 - AHEAD, 1)


def _starts(candles: Candles, last: tuple[int, int]) -> IntArray:
    """Rows of the range after which 24 bars follow without a gap, 168 before them."""
    rows = forecast_origins(candles, last, AHEAD)
    rows = rows[rows >= _VOLUME_BARS]
    span = candles.open_time_ms[rows] - candles.open_time_ms[rows - _VOLUME_BARS]
    return np.asarray(rows[span == _VOLUME_BARS * candles.interval_ms])


def _log_size(returns: FloatArray) -> FloatArray:
    """Log of √Σr² [...] of returns [..., T], finite where nothing moves."""
    size: FloatArray = 0.5 * np.log((returns**2).sum(axis=-1) + 1e-12)
    return size


def _spread(dreamed: FloatArray, came: FloatArray, before: FloatArray) -> float:
    """How far dreams move from the quietest to the loudest fifth of starts ÷ how far the record does."""
    order = np.argsort(before, kind="stable")
    fifth = len(order) // _FIFTH
    quiet, loud = order[:fifth], order[-fifth:]
    theirs = float(came[loud].mean() - came[quiet].mean())
    return float(dreamed[loud].mean() - dreamed[quiet].mean()) / theirs if theirs else 0.0
