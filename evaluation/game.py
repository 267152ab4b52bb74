"""A market to play by hand: recorded bars, what dreams would make of each moment, and a quiz.

All paths are dreamed beforehand, so that a page can play them without a computer behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..envs.engine.bar_engine import BarEngine
from ..envs.engine.opening import open_engine
from ..market.account.costs import Fee, Slippage
from ..market.account.rules import BrokerConfig
from ..market.arrays import FloatArray, IntArray
from ..market.candles import Candles
from ..market.errors import ConfigError
from ..market.records import AT_LEAST_ONE, FROM_ZERO, TEMPERATURES, Record
from ..models.world_model import WorldModel

_QUIZ, _QUIZ_BARS, _WARM = 20, 72, 48
"""Windows of the quiz, bars of each, and bars that a dream of it has gone on before."""


@dataclass(frozen=True)
class GameConfig(Record):
    """What is dreamed for a game.

    Attributes:
        bars: Recorded bars that are played.
        past: Bars that are shown before them.
        horizon: Bars of each dream.
        dreams: Of each moment, temperature and regime.
        temperatures: τ to choose from.
        seed: Of the dreams and the quiz.
    """

    bars: int = 240
    past: int = 72
    horizon: int = 72
    dreams: int = 3
    temperatures: tuple[float, ...] = (0.5, 1.0, 1.5)
    seed: int = 0

    _bounds = {  # noqa: RUF012
        "bars": AT_LEAST_ONE,
        "past": AT_LEAST_ONE,
        "horizon": AT_LEAST_ONE,
        "dreams": AT_LEAST_ONE,
        "seed": FROM_ZERO,
    }

    def __post_init__(self) -> None:
        """Refuse what cannot be, before any work."""
        super().__post_init__()
        for temperature in self.temperatures:
            if not TEMPERATURES.hold(temperature):
                raise ConfigError(
                    f"temperature is {temperature!r}; expected {TEMPERATURES.describe('temperature')}"
                )
        if not self.temperatures:
            raise ConfigError("there is no temperature; expected at least one, such as 1")


@dataclass(frozen=True, eq=False)
class Game:
    """Everything that a page plays.

    Bars are [.., 3]: log return, upper and lower wick, both in logs.

    Attributes:
        candles: The recorded bars, `GameConfig.past` of them before the game begins.
        first: Row of the last of those.
        dreams: From the close of each row of the game on [τ, D, B, T, 3].
        regimes: From recorded moments of each regime on, by its name [τ, D, T, 3].
        windows: Of the quiz: open, high, low and close, the first open being 100 [Q, W, 4].
        dreamed: Which of those are dreams [Q].
        config: What was asked for.
        fee: Fraction of what is traded.
        slippage: Likewise.
    """

    candles: Candles
    first: int
    dreams: FloatArray
    regimes: Mapping[str, FloatArray]
    windows: FloatArray
    dreamed: FloatArray
    config: GameConfig
    fee: float
    slippage: float


@dataclass(frozen=True, eq=False)
class Setup:
    """What a game is made of.

    Attributes:
        world_model: Of the ``market`` preset.
        candles: The record.
        rows: First row that is played and the row after the last that may be.
        broker: The account's rules.
        regimes: Segments of the bank that end in each regime, by its name.
    """

    world_model: WorldModel
    candles: Candles
    rows: tuple[int, int]
    broker: BrokerConfig = field(default_factory=BrokerConfig)
    regimes: Mapping[str, IntArray] = field(default_factory=dict)


def make_game(setup: Setup, config: GameConfig | None = None) -> Game:
    """Dream everything.

    Raises:
        ConfigError: The preset's dreams are no bars, the account has rules that a page does not know, or
            the rows are too few.
    """
    config = config or GameConfig()
    fee, slippage = _costs(setup.broker)
    engine = _engine(setup.world_model)
    begin = setup.rows[0]
    _refuse_short(setup, config, engine)
    rng = np.random.default_rng(config.seed)
    rows = np.arange(begin - 1, begin - 1 + config.bars)
    starts = np.tile(rows, config.dreams)
    dreams = [
        dreamed_bars(engine, engine.after(setup.candles, starts), config.horizon, rng, temperature)
        for temperature in config.temperatures
    ]
    shape = (len(dreams), config.dreams, config.bars, config.horizon, 3)
    regimes = {
        name: _of_segments(engine, segments, config, rng)
        for name, segments in setup.regimes.items()
        if len(segments)
    }
    windows, dreamed = _quiz(engine, setup.candles, setup.rows, rng)
    first = config.past - 1
    played = setup.candles.rows(begin - config.past, begin + config.bars)
    return Game(
        played, first, np.reshape(dreams, shape), regimes, windows, dreamed, config, fee, slippage
    )


def dreamed_bars(
    engine: BarEngine, state: Any, bars: int, rng: np.random.Generator, temperature: float = 1.0
) -> FloatArray:
    """Log returns and wicks of dreams that go on from states of N lanes [N, T, 3]."""
    count = len(state.z)
    made, idle = np.empty((count, bars, 3)), np.zeros(count)
    for t, noise in enumerate(engine.draw_steps(rng, count, bars)):
        engine.step(state, idle, noise, temperature)
        made[:, t] = state.bars[:, :3]
    return made


def _of_segments(
    engine: BarEngine, segments: IntArray, config: GameConfig, rng: np.random.Generator
) -> FloatArray:
    some = rng.choice(segments, config.dreams)
    made = [
        dreamed_bars(engine, engine.start(some), config.horizon, rng, temperature)
        for temperature in config.temperatures
    ]
    return np.stack(made)


def _quiz(
    engine: BarEngine, candles: Candles, rows: tuple[int, int], rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Windows, each recorded or dreamed with even chances, from moments of the same range."""
    length = _WARM + _QUIZ_BARS
    places = rows[0] - 1 + np.arange(_QUIZ) * ((rows[1] - rows[0] - length) // (_QUIZ - 1))
    dreamed = rng.random(_QUIZ) < 0.5
    state = engine.after(candles, places)
    paths = dreamed_bars(engine, state, length, rng)[:, _WARM:]
    recorded = _bars_of(candles)
    for number, place in enumerate(places.tolist()):
        if not dreamed[number]:
            first = place + 1 + _WARM
            paths[number] = recorded[first : first + _QUIZ_BARS]
    order = rng.permutation(_QUIZ)
    return prices(paths, 100.0)[order], dreamed[order].astype(np.float64)


def prices(bars: FloatArray, before: float) -> FloatArray:
    """Open, high, low and close [.., T, 4] of bars [.., T, 3] that go on from a close."""
    close = np.log(before) + np.cumsum(bars[..., 0], axis=-1)
    opening = close - bars[..., 0]
    high = np.maximum(opening, close) + bars[..., 1]
    low = np.minimum(opening, close) - bars[..., 2]
    whole: FloatArray = np.exp(np.stack([opening, high, low, close], axis=-1))
    return whole


def _bars_of(candles: Candles) -> FloatArray:
    """Log returns and wicks of recorded bars [T, 3], the open being the close before."""
    close = np.log(candles.close)
    before = np.concatenate([np.log(candles.open[:1]), close[:-1]])
    upper = np.log(candles.high) - np.maximum(before, close)
    lower = np.minimum(before, close) - np.log(candles.low)
    return np.stack([close - before, np.maximum(upper, 0.0), np.maximum(lower, 0.0)], axis=-1)


def _engine(world_model: WorldModel) -> BarEngine:
    engine = open_engine(world_model)
    if not isinstance(engine, BarEngine):
        raise ConfigError(
            f"dreams of the preset {world_model.config.preset!r} are latents, not bars to be shown: give a "
            "world model of the preset 'market'"
        )
    return engine


def _costs(broker: BrokerConfig) -> tuple[float, float]:
    """Fee and slippage of an account that has no other rules than those.

    Raises:
        ConfigError: It has others, which the page does not compute.
    """
    fee = next(model for model in broker.costs if isinstance(model, Fee))
    slippage = next(model for model in broker.costs if isinstance(model, Slippage))
    plain = BrokerConfig(costs=(Fee(fee.taker_fee), Slippage(slippage.slippage)), view=broker.view)
    if broker.to_dict() != plain.to_dict():
        raise ConfigError(
            "the page plays an account with taker_fee and slippage alone: leave the other settings out"
        )
    return fee.taker_fee, slippage.slippage


def _refuse_short(setup: Setup, config: GameConfig, engine: BarEngine) -> None:
    begin, end = setup.rows
    needed = max(config.bars, _QUIZ * (_QUIZ_BARS + _WARM))
    past = max(config.past, engine.config.features.warmup + engine.warmup)
    if end - begin < needed or begin < past:
        raise ConfigError(
            f"the range that is played has {end - begin} bars, and {begin} are before it; expected at "
            f"least {needed} and {past}: give a longer record, or a shorter game"
        )
