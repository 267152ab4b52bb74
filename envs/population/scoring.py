"""Scores of many linear controllers at once, in shared dreams, in lanes of their own, or in replay.

A controller is a = tanh(W·[z, h, account] + b) (Ha & Schmidhuber 2018, eq. 1), or has one hidden layer
(`policies`). Where no action moves the market, W·[z, h] of all bars and candidates is one matrix
product, and only the account's part is left to a loop over bars.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...market.account.population import SCORE_FIELDS, LaneSums, PopulationBook
from ...market.account.rules import BrokerConfig
from ...market.account.settlement import BAR_FIELDS
from ...market.arrays import Float32Array, FloatArray, IntArray
from ...market.numerics.products import CACHE_LINE, aligned, product
from ..dream_bars import lived_bars
from ..dream_funding import DreamFunding
from ..engine.base import Engine, Noise
from ..engine.many_lanes import tile_lanes
from ..engine.pessimism import Pessimism
from ..recorded import RecordedMarket, as_seen
from ..recorded_state import RecordedState
from .policies import Layers, choose_actions

_BARS_AT_ONCE, _CANDIDATES_AT_ONCE = 512, 256
"""A product's size: half a megabyte, still in the second-level cache when it is read; the accounts
of so many candidates stay in the first-level cache."""
_LANES_AHEAD = 2_048  # noise of so many lanes' steps is drawn at once


@dataclass(frozen=True, eq=False)
class MarketPaths:
    """N paths of T bars that no action moves.

    Attributes:
        view: What a policy sees of the market before each bar [N, T, D - 1], float32.
        bars: What each bar does to an account [N, T, 8], columns `BAR_FIELDS`.
        doubt: What each takes from the reward of a weight of 1 [N, T]; None for nothing.
        features: What policies see instead that look at raw features [N, T, F], float32; None where
            nobody asked for them.
        expected: Mean simple return of each bar, as the dream knew it before it drew one [N, T]; None
            where nobody asked, or nobody knows.
    """

    view: Float32Array
    bars: FloatArray
    doubt: FloatArray | None = None
    features: Float32Array | None = None
    expected: FloatArray | None = None


class Scores(NamedTuple):
    """How P candidates fared on N paths; arrays [P, N].

    Attributes:
        log_return: Log of the final equity.
        return_sum: Sum over bars of the simple return.
        square_sum: Sum over bars of its square.
        turnover: Sum over bars of |Δw|.
        cost: Sum over bars of the cost as a fraction of equity.
        steps: Bars until the end, or until ruin.
        loss_square_sum: Sum over bars of the square of the simple return, of those below 0.
        max_drawdown: Deepest fall of equity from a peak, as a fraction of the peak.
        exposure: Sum over bars of the weight held through them.
        penalty: Sum over bars of what pessimism takes from the reward.
    """

    log_return: FloatArray
    return_sum: FloatArray
    square_sum: FloatArray
    turnover: FloatArray
    cost: FloatArray
    steps: FloatArray
    loss_square_sum: FloatArray
    max_drawdown: FloatArray
    exposure: FloatArray
    penalty: FloatArray

    def paid(self) -> Scores:
        """The scores of what pessimism leaves: log return and sum of returns less the penalty.

        Deviations, drawdowns, turnover and costs are those of the account.
        """
        return self._replace(
            log_return=self.log_return - self.penalty, return_sum=self.return_sum - self.penalty
        )


def dream_paths(
    engine: Engine,
    segments: IntArray,
    num_bars: int,
    rng: np.random.Generator,
    temperature: float = 1.0,
    funding: DreamFunding | None = None,
    broker: BrokerConfig | None = None,
    pessimism: float = 0.0,
    *,
    in_full: bool = False,
) -> MarketPaths:
    """Dream N paths that every candidate of a population can share where no action moves them.

    Args:
        engine: Dreams.
        segments: Warm-up segment of each path [N].
        num_bars: T.
        rng: Draws the noise.
        temperature: τ.
        funding: What a position held through a bar is charged; None is nothing.
        broker: The rules of the account that will trade them; None are the defaults.
        pessimism: λ; see `Pessimism`.
        in_full: Tell of bars their features and expected returns too; not with the ``paper`` preset.
    """
    state = engine.start(segments)
    count, size = len(segments), state.z.shape[1] + state.h.shape[1]
    dreamed = lived_bars(engine, count, broker or BrokerConfig())
    dreamed.begin(state, *engine.levels(segments))
    view = np.empty((count, num_bars, size), dtype=np.float32)
    bars = np.empty((count, num_bars, len(BAR_FIELDS)))
    watch = _Watch(engine, count, num_bars if in_full else 0)
    idle = np.zeros(count)
    cautious = Pessimism.of(engine, pessimism)
    doubt = None if cautious is None else np.empty((count, num_bars))
    open_time_ms = state.open_time_ms[:, None] + engine.interval_ms * np.arange(1, num_bars + 1)
    for t, noise in enumerate(_noise(engine, rng, count, num_bars, ahead=True)):
        engine.view(state, view[:, t])
        if in_full:
            watch.see(t, state)
        if cautious is not None and doubt is not None:
            doubt[:, t] = cautious.doubt(state)
        bars[:, t] = dreamed.step(state, engine.step(state, idle, noise, temperature))
        if cautious is not None:
            cautious.follow(state)
    if funding is not None and not funding.is_off:
        bars[..., 4] = funding.charge(open_time_ms, rng)
    return MarketPaths(view, bars, doubt, *(watch.seen() if in_full else ()))


class _Watch:
    """Features and expected returns of N dreams of T bars."""

    def __init__(self, engine: Any, count: int, num_bars: int) -> None:
        self._engine = engine
        self._features = np.empty((count, num_bars, len(engine.config.features.names)))
        self._expected = np.empty((count, num_bars))

    def see(self, bar: int, state: Any) -> None:
        """Before a bar is drawn."""
        self._features[:, bar] = state.features
        self._expected[:, bar] = self._engine.expect(state)

    def seen(self) -> tuple[Float32Array, FloatArray]:
        """All of them."""
        return as_seen(self._features), self._expected


def stretches(recorded: RecordedMarket, window: int | None = None) -> list[tuple[int, int]]:
    """Rows [start, stop) of the stretches of a record without a gap.

    Args:
        recorded: The record.
        window: Cut them to whole windows of so many bars; what is left of a stretch is left out.
    """
    found = []
    for first in recorded.starts(None).tolist():
        bars = int(recorded.steps_left[first])
        length = window or bars
        found += [(start, start + length) for start in range(first, first + bars, length)]
    return [(start, stop) for start, stop in found if stop <= start + recorded.steps_left[start]]


def replay_paths(
    recorded: RecordedMarket, window: int | None = None, features: Float32Array | None = None
) -> list[MarketPaths]:
    """The stretches of a record, each as one path [1, T]; see `stretches`.

    Args:
        recorded: The record.
        window: See `stretches`.
        features: What policies see of each of its rows that look at raw features [T, F].
    """
    paths = []
    for start, stop in stretches(recorded, window):
        lived = recorded.bars[np.newaxis, start + 1 : stop + 1]
        shown = None if features is None else features[np.newaxis, start:stop]
        paths.append(MarketPaths(recorded.view[np.newaxis, start:stop], lived, features=shown))
    return paths


def score_replay(
    recorded: RecordedMarket,
    parameters: FloatArray,
    broker: BrokerConfig,
    state: RecordedState | None = None,
    window: int | None = None,
) -> Scores:
    """Trade P controllers through a whole record; stretches between gaps are paths [P, N].

    Args:
        recorded: The record, seen through a world model.
        parameters: Of each candidate [P, S]; see `Layers`.
        broker: The account's rules.
        state: M's state of P lanes, where it depends on the actions (``paper`` preset).
        window: Cut the stretches to windows of so many bars, each begun with a fresh account.
    """
    if state is None:
        parts = _score_each(replay_paths(recorded, window), parameters, broker)
    else:
        parts = [
            _score_recorded(recorded, rows, parameters, broker, state)
            for rows in stretches(recorded, window)
        ]
    return Scores(*(np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True)))


def score_paths(paths: MarketPaths, parameters: FloatArray, broker: BrokerConfig) -> Scores:
    """Trade P controllers along shared paths.

    Args:
        paths: N paths of T bars.
        parameters: Of each candidate [P, S]; see `Layers`.
        broker: The account's rules.
    """
    return _score_each([paths], parameters, broker)[0]


def _score_each(
    several: Sequence[MarketPaths], parameters: FloatArray, broker: BrokerConfig
) -> list[Scores]:
    """The same of several sets of paths: what each candidate needs is laid out once for all."""
    size = several[0].view.shape[2]
    layers = Layers.of(parameters, size + len(broker.view.indices))
    count = len(parameters)
    out = [np.empty((len(SCORE_FIELDS) + 1, len(paths.view), count)) for paths in several]
    at_once = max(CACHE_LINE, _CANDIDATES_AT_ONCE // layers.bias.shape[1])
    for some in _shares(count, at_once):
        weights = layers.weights[some].transpose(
            1, 2, 0
        )  # [D, U, C]: D - K of the market, K beside
        seen = np.ascontiguousarray(weights[:size]).reshape(size, -1)
        share = weights[size:].transpose(1, 0, 2)
        book = PopulationBook(share, layers.bias[some].T, layers.output[some].T, broker)
        scores = aligned(_BARS_AT_ONCE, seen.shape[1])
        for paths, found in zip(several, out, strict=True):
            _trade(paths, seen, book, scores, found[:, :, some])
    return [Scores(*found.transpose(0, 2, 1)) for found in out]


def _trade(
    paths: MarketPaths,
    seen: Float32Array,
    book: PopulationBook,
    scores: Float32Array,
    out: FloatArray,
) -> None:
    """Trade the book's candidates along each of the paths.

    Args:
        paths: N paths of T bars.
        seen: What the candidates multiply the market by [D - K, U C].
        book: Their accounts.
        scores: Room for the products of `_BARS_AT_ONCE` bars.
        out: Totals and penalty, written [F + 1, N, C].
    """
    num_paths, num_bars, _ = paths.view.shape
    doubt = np.empty((num_paths, 0)) if paths.doubt is None else paths.doubt
    stretches = _shares(num_bars, _BARS_AT_ONCE)
    for path in range(num_paths):
        book.begin()
        for bars in stretches:
            view = np.ascontiguousarray(paths.view[path, bars])
            product(view, seen, scores[: len(view)])  # [B, D - K] @ [D - K, U C]
            lived = np.ascontiguousarray(paths.bars[path, bars])
            book.step(scores[: len(view)], lived, np.ascontiguousarray(doubt[path, bars]))
        out[:-1, path], out[-1, path] = book.totals(), book.penalty


def _shares(count: int, most: int) -> list[slice]:
    """Equal shares of at most so many."""
    parts = math.ceil(count / most)
    edges = [count * i // parts for i in range(parts + 1)]
    return [slice(*pair) for pair in itertools.pairwise(edges)]


def score_lanes(
    engine: Engine,
    parameters: FloatArray,
    segments: IntArray,
    num_bars: int,
    rng: np.random.Generator,
    broker: BrokerConfig,
    temperature: float = 1.0,
    funding: DreamFunding | None = None,
) -> Scores:
    """Trade P controllers, each in lanes of its own: the dream may hear its actions.

    Candidates share segments and noise, so that they differ by what they do alone.

    Args:
        engine: Dreams.
        parameters: Of each candidate [P, S]; see `Layers`.
        segments: Warm-up segment of each of a candidate's N dreams [N].
        num_bars: T.
        rng: Draws the noise.
        broker: The account's rules.
        temperature: τ.
        funding: What a position held through a bar is charged; None is nothing.
    """
    candidates, dreams = len(parameters), len(segments)
    lanes = candidates * dreams
    state = engine.start(np.tile(segments, candidates))
    market_size = state.z.shape[1] + state.h.shape[1]
    book = _LaneBook(parameters, market_size, lanes, broker)
    dreamed = lived_bars(engine, lanes, broker)
    begun = np.tile(segments, candidates)
    dreamed.begin(state, *engine.levels(begun))
    charged = funding is not None and not funding.is_off
    table = np.empty((engine.noise_rows, lanes), dtype=np.float32)
    shared = Noise(table)
    # what positions are charged comes from the same generator, between one step's noise and the next
    for noise in _noise(engine, rng, dreams, num_bars, ahead=not charged):
        targets = book.choose(state.z, state.h)
        tile_lanes(noise.table, table)
        log_return = engine.step(state, targets, shared, temperature)
        bars = dreamed.step(state, log_return)
        if funding is not None and charged:
            bars[:, 4] = np.tile(funding.charge(state.open_time_ms[:dreams], rng), candidates)
        book.settle(targets, bars)
    return book.scores(candidates)


def _noise(
    engine: Engine, rng: np.random.Generator, lanes: int, num_bars: int, ahead: bool
) -> Iterator[Noise]:
    """Each bar's noise of N lanes, drawn for many bars at a time where ``ahead`` allows it."""
    steps = max(1, _LANES_AHEAD // lanes) if ahead else 1
    for first in range(0, num_bars, steps):
        yield from engine.draw_steps(rng, lanes, min(steps, num_bars - first))


def _score_recorded(
    recorded: RecordedMarket,
    rows: tuple[int, int],
    parameters: FloatArray,
    broker: BrokerConfig,
    state: RecordedState,
) -> Scores:
    count, size = len(parameters), recorded.layout["latent"].stop
    book = _LaneBook(parameters, recorded.view.shape[1], count, broker)
    state.begin(np.ones(count, dtype=np.bool_), np.full(count, rows[0]))
    for row in range(*rows):
        seen = np.repeat(recorded.view[row : row + 1, :size], count, axis=0)
        targets = book.choose(seen, state.hidden)
        book.settle(targets, np.repeat(recorded.bars[row + 1 : row + 2], count, axis=0))
        state.advance(targets, np.full(count, row + 1))
    return book.scores(count)


class _LaneBook:
    """Scores L lanes of P policies [P, S], each in L ÷ P lanes in a row."""

    def __init__(
        self, parameters: FloatArray, market_size: int, lanes: int, broker: BrokerConfig
    ) -> None:
        self._sums = LaneSums(lanes, broker)
        self._layers = Layers.of(parameters, market_size + self._sums.seen.shape[1])
        self._targets = np.empty(lanes)

    def choose(self, z: Float32Array, h: Float32Array) -> FloatArray:
        """Target weights [L] from latents [L, Z] and hidden states [L, H]."""
        observations = np.concatenate([z, h, self._sums.seen], axis=1)
        choose_actions(observations, *self._layers, self._targets)
        return self._targets

    def settle(self, targets: FloatArray, bars: FloatArray) -> None:
        """Live one bar."""
        self._sums.step(targets, bars)

    def scores(self, candidates: int) -> Scores:
        """The lanes' results as [P, L ÷ P]."""
        totals = self._sums.totals().reshape(len(SCORE_FIELDS), candidates, -1)
        return Scores(*[*totals, np.zeros(totals.shape[1:])])
