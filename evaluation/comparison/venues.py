"""Where policies are scored: dreams, recorded ranges, and dreams of generators that know less.

Every venue is paths of bars that no action moves, seen through one world model, so that each policy
is the same policy in all of them: as [z, h] by those that look at that, as raw features by others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from ...envs.engine.bar_engine import BarEngine
from ...envs.engine.opening import open_engine
from ...envs.population.given import score_policies
from ...envs.population.scoring import MarketPaths, Scores, dream_paths, replay_paths, score_paths
from ...envs.recorded import RecordedMarket, as_seen, latent_record, restrict
from ...envs.spaces import ObservationKind
from ...market.account.rules import BrokerConfig
from ...market.account.settlement import BAR_FIELDS
from ...market.arrays import Float32Array, FloatArray, IntArray, spread
from ...market.candles import Candles
from ...market.errors import ConfigError
from ...market.features import compute_features
from ...models.world_model import WorldModel
from ..baselines.bars import Bars
from ..policy import Policy
from .pay import Pay

Rows = tuple[int, int]
"""First row of a range of candles, and the row after its last."""
Draw = Callable[[Candles, IntArray, int, np.random.Generator], Bars]
"""Draws from a training range, N of its rows and a number of bars what may follow them [N, bars]."""

_TOGETHER = 128  # dreams that step as one
_SERIES = 16  # long paths that a generator draws, to be cut into windows
_RETURN = BAR_FIELDS.index("simple_return")


@dataclass(frozen=True, eq=False)
class Family:
    """Policies of one kind.

    Attributes:
        name: Of the family.
        members: Of each policy [P].
        policies: Parameters [P, S] of controllers that see z, h and the account, see `Layers`; or P objects
            with ``predict``.
        observation: What the objects see.

    Raises:
        ConfigError: There are no policies, or not as many as names.
    """

    name: str
    members: tuple[str, ...]
    policies: FloatArray | Sequence[Policy]
    observation: ObservationKind = "features"

    def __post_init__(self) -> None:
        if not self.members or len(self.members) != len(self.policies):
            raise ConfigError(
                f"the family {self.name!r} has {len(self.policies)} policies and "
                f"{len(self.members)} names; expected as many, and at least one"
            )

    def __len__(self) -> int:
        return len(self.members)

    def score(self, paths: MarketPaths, broker: BrokerConfig) -> Scores:
        """Trade them along paths [P, N]."""
        if isinstance(self.policies, np.ndarray):
            return score_paths(paths, self.policies, broker)
        features = self.observation == "features"
        return score_policies(paths, self.policies, broker, sees_features=features)


@dataclass(frozen=True, eq=False)
class Seen:
    """Recorded bars as policies of either kind see them through a world model.

    Attributes:
        latent: What shows [z, h].
        features: Raw features of each row [T, F], inside the bounds of an observation.
    """

    latent: RecordedMarket
    features: Float32Array

    @classmethod
    def of(cls, candles: Candles, world_model: WorldModel) -> Self:
        """See candles."""
        spec = world_model.config.features
        return cls(latent_record(candles, world_model), as_seen(compute_features(candles, spec)))

    def tradable(self, rows: Rows) -> int:
        """How many of some rows an episode can start at."""
        return int(np.count_nonzero(self.latent.steps_left[slice(*rows)] >= 1))

    def paths(self, rows: Rows, window: int | None = None) -> list[MarketPaths]:
        """The stretches of some rows without a gap; see `replay_paths`."""
        return replay_paths(rows_of(self.latent, rows), window, self.features)


def rows_of(recorded: RecordedMarket, rows: Rows) -> RecordedMarket:
    """The bars of some rows."""
    times = recorded.candles.open_time_ms
    end = None if rows[1] >= len(times) else int(times[rows[1]])
    return restrict(recorded, int(times[rows[0]]), end)


def pay_of(paths: Iterable[MarketPaths], families: Sequence[Family], broker: BrokerConfig) -> Pay:
    """What paths pay the policies of all families, one after the other.

    Where the paths tell what each bar was expected to return, the return drawn is replaced by that: a
    dream promises its expectation, and what chance adds in a few hundred dreams says nothing of it.
    """
    parts = [_joined([promised(family, some, broker) for family in families], 0) for some in paths]
    return Pay.of(_joined(parts, 1))


def promised(family: Family, paths: MarketPaths, broker: BrokerConfig) -> Scores:
    """Scores with the luck of the draw taken out of the returns, the deviations' cost left in.

    Args:
        family: P policies.
        paths: N paths; of those that expect nothing the scores are as drawn.
        broker: The account's rules.
    """
    drawn = family.score(paths, broker)
    if paths.expected is None:
        return drawn
    bars = paths.bars.copy()
    bars[..., _RETURN] = paths.expected
    expected = family.score(replace(paths, bars=bars), broker)
    lived = expected.steps == drawn.steps  # not ruined on the way
    luck = np.where(lived, drawn.return_sum - expected.return_sum, 0.0)
    return drawn._replace(log_return=drawn.log_return - luck, return_sum=drawn.return_sum - luck)


def dreamed(
    world_model: WorldModel,
    dreams: int,
    bars: int,
    broker: BrokerConfig,
    rng: np.random.Generator,
    temperature: float = 1.0,
) -> Iterator[MarketPaths]:
    """A world model's dreams, from starts spread over its bank."""
    engine = open_engine(world_model)
    segments = spread(dreams, engine.num_segments)
    for first in range(0, dreams, _TOGETHER):
        some = segments[first : first + _TOGETHER]
        yield dream_paths(engine, some, bars, rng, temperature, broker=broker, in_full=True)


def drawn(
    world_model: WorldModel,
    train: Candles,
    draw: Draw,
    dreams: int,
    bars: int,
    rng: np.random.Generator,
    drift: float | None = None,
    series: int = _SERIES,
) -> Iterator[MarketPaths]:
    """What a generator of bars draws, as policies see it through a world model.

    A few long series follow recorded bars, from which features and M know their past, and are cut
    into windows as long as dreams, in each of which accounts begin anew.

    Args:
        world_model: What the bars are seen through.
        train: The training range.
        draw: Draws the bars.
        dreams: Windows.
        bars: Bars of each.
        rng: Draws.
        drift: Mean simple return of a bar that they are shifted to; None leaves it to them.
        series: How many long series, at most one for each window.

    Raises:
        ConfigError: The training range is too short to know its past.
    """
    past = world_model.config.features.settled + world_model.config.warmup_bars
    series = min(series, dreams)
    rows = _starts(train, past, series)
    length = -(-dreams // series) * bars
    made = draw(train, rows, length, rng)
    if drift is not None:
        made = made.shifted(drift - float(np.expm1(made.log_return).mean()))
    for number, row in enumerate(rows.tolist()):
        candles = _following(train.rows(row + 1 - past, row + 1), made, number)
        paths = stacked(Seen.of(candles, world_model).paths((past - 1, len(candles)), bars))
        if made.expected is not None:
            paths = replace(paths, expected=made.expected[number].reshape(paths.bars.shape[:2]))
        yield paths


def dreaming(world_model: WorldModel) -> Draw:
    """A world model as a generator of bars: others may look at what it dreams."""
    engine = open_engine(world_model)
    assert isinstance(engine, BarEngine)

    def draw(train: Candles, rows: IntArray, bars: int, rng: np.random.Generator) -> Bars:
        state = engine.after(train, rows)
        made, expected = np.empty((len(rows), bars, 4)), np.empty((len(rows), bars))
        for t in range(bars):
            expected[:, t] = engine.expect(state)
            engine.step(state, np.zeros(len(rows)), engine.draw_noise(rng, len(rows)))
            made[:, t] = state.bars
        times = train.open_time_ms[rows, None] + train.interval_ms * np.arange(1, bars + 1)
        returns, upper, lower, volume = np.moveaxis(made, -1, 0)
        return Bars(times, returns, upper, lower, volume, expected)

    return draw


def _starts(train: Candles, past: int, count: int) -> IntArray:
    """Rows [N] spread over those with so many bars up to them, without a gap.

    Raises:
        ConfigError: There is none.
    """
    known = [np.arange(first + past - 1, last) for first, last in train.segments()]
    rows = np.concatenate(known)
    if not len(rows):
        raise ConfigError(
            f"the longest stretch of the training range without a gap is shorter than {past} bars: "
            "features would not know their past"
        )
    return np.asarray(rows[spread(count, len(rows))])


def _following(past: Candles, made: Bars, number: int) -> Candles:
    """Recorded bars, and one of the paths after them."""
    path = made.candles(number, float(past.close[-1]), past)
    columns = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(past, name), getattr(path, name)]) for name in columns
    }
    return replace(past, **joined)


def stacked(paths: Sequence[MarketPaths]) -> MarketPaths:
    """Paths of one length that tell their features as one array of paths [N, T]."""
    features = [one.features for one in paths if one.features is not None]
    expected = [one.expected for one in paths if one.expected is not None]
    return MarketPaths(
        np.concatenate([one.view for one in paths]),
        np.concatenate([one.bars for one in paths]),
        features=np.concatenate(features),
        expected=np.concatenate(expected) if expected else None,
    )


def _joined(parts: Sequence[Scores], axis: int) -> Scores:
    return Scores(*(np.concatenate(columns, axis=axis) for columns in zip(*parts, strict=True)))
