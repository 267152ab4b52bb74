"""Dream work cut into blocks of fixed size, so that it does not matter who computes which.

A block of dreams has a seed of its own: its numbers are the same bits in this process and in any
worker.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from ...market.account.rules import BrokerConfig
from ...market.arrays import FloatArray, IntArray
from ...market.errors import ConfigError
from ...market.settings import seed_number, whole_number
from ...models.world_model import WorldModel
from ..dream_funding import DreamFunding
from ..dream_lanes import check_temperature
from ..engine.base import Engine
from ..engine.pessimism import check_pessimism
from .executors import Result
from .policies import hidden_units, policy_size
from .scoring import MarketPaths, Scores, dream_paths, score_lanes, score_paths

FEWEST_DREAMS = 32
"""Dreams in a block at least: fewer at once step through M much slower."""
MOST_DREAMS = 128
"""Dreams in a block at most: more at once step hardly faster."""
FEWEST_BLOCKS = 4
"""Blocks of dreams wanted, so that there is something to share out."""
BLOCK_LANES = 1_024
"""Lanes in a block where every candidate dreams for itself (``paper``)."""


@dataclass(frozen=True, eq=False)
class Dreams:
    """Which dreams are dreamed.

    Attributes:
        segments: Warm-up segment of each of N dreams [N].
        num_bars: T, bars of each.
        seed: Of the noise; the same seed dreams the same dreams.
        temperature: τ.
        funding: What a position held through a bar is charged; None is nothing.
        pessimism: λ; see `Pessimism`.

    Raises:
        ConfigError: There are no dreams, or no bars.
    """

    segments: IntArray
    num_bars: int
    seed: int
    temperature: float = 1.0
    funding: DreamFunding | None = None
    pessimism: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "segments", np.array(self.segments, dtype=np.int64))
        bars = whole_number(self.num_bars)
        if self.segments.ndim != 1 or not len(self.segments) or bars is None or bars < 1:
            raise ConfigError(
                f"dreams of {self.num_bars} bars from segments {self.segments.shape}; expected "
                "at least 1 bar and segments [N]"
            )
        object.__setattr__(self, "num_bars", bars)
        object.__setattr__(self, "seed", seed_number(self.seed))
        object.__setattr__(self, "temperature", check_temperature(self.temperature))

    def blocks(self) -> list[slice]:
        """The dreams of each block: equal shares, which depend on their number alone."""
        count = len(self.segments)
        wanted = min(count // FEWEST_DREAMS, FEWEST_BLOCKS)
        shares = max(1, wanted, math.ceil(count / MOST_DREAMS))
        edges = [count * i // shares for i in range(shares + 1)]
        return [slice(*pair) for pair in itertools.pairwise(edges)]

    def generator(self, block: int) -> np.random.Generator:
        """The generator of a block: a child of the seed, by the block's number."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(block,)))

    def check(self, world_model: WorldModel) -> None:
        """Raise `ConfigError` for segments that the world model's bank does not hold.

        And for pessimism where there are no members to disagree.
        """
        check_pessimism(self.pessimism, world_model)
        available = world_model.num_segments
        if self.segments.min() < 0 or self.segments.max() >= available:
            raise ConfigError(
                f"segments run from {self.segments.min()} to {self.segments.max()}; expected "
                f"indices of the {available} segments in the world model's bank"
            )


def check_parameters(parameters: FloatArray, world_model: WorldModel, broker: BrokerConfig) -> None:
    """Raise `ConfigError` for controllers that do not fit the world model and the account."""
    sizes = (world_model.config.latent_size, world_model.config.hidden_size)
    observed = sum(sizes) + len(broker.view.account_observation)
    shape = np.shape(parameters)
    if len(shape) != 2 or not shape[0]:
        raise ConfigError(
            f"parameters have shape {shape}; this world model's controllers take "
            f"[P, {policy_size(observed)}]"
        )
    hidden_units(shape[1], observed)


class Block(NamedTuple):
    """A part of a population's dreams: which block of dreams, and which candidates trade them."""

    dreams: int
    candidates: slice


class Job(Protocol[Result]):
    """`Work` that a world model's dreams are wanted for."""

    def check(self, world_model: WorldModel) -> None:
        """Raise `ConfigError` for what the world model cannot do."""

    def blocks(self, world_model: WorldModel) -> Sequence[object]:
        """The parts of the work, whoever does it."""

    def compute(self, engine: Engine, number: int, /) -> Result:
        """Do one part."""

    def assemble(self, parts: Sequence[Result]) -> Result:
        """Join the parts, which come in the order of the blocks."""


@dataclass(frozen=True, eq=False)
class ScoreJob:
    """A population of P controllers, to be scored in N dreams.

    With the ``market`` preset all candidates share the dreamed paths. With ``paper`` each dreams
    in lanes of its own, on the noise of the dreams, which is the same for every candidate.

    Attributes:
        parameters: Of each candidate [P, S]; see `Layers`.
        dreams: Which dreams.
        broker: The account's rules.
    """

    parameters: FloatArray
    dreams: Dreams
    broker: BrokerConfig

    def check(self, world_model: WorldModel) -> None:
        """Raise `ConfigError` for segments or controllers that do not fit the world model."""
        self.dreams.check(world_model)
        check_parameters(self.parameters, world_model, self.broker)

    def blocks(self, world_model: WorldModel) -> list[Block]:
        """Blocks of dreams; in ``paper`` each is cut again by candidates."""
        count, dreams = len(self.parameters), self.dreams.blocks()
        size = count
        if world_model.config.preset == "paper":
            size = max(1, BLOCK_LANES // max(block.stop - block.start for block in dreams))
        parts = [slice(first, min(first + size, count)) for first in range(0, count, size)]
        return [Block(number, part) for number in range(len(dreams)) for part in parts]

    def compute(self, engine: Engine, number: int, /) -> Scores:
        """Score a block's candidates in its dreams."""
        dreams, block = self.dreams, self.blocks(engine.world_model)[number]
        segments, rng = (
            dreams.segments[dreams.blocks()[block.dreams]],
            dreams.generator(block.dreams),
        )
        candidates = self.parameters[block.candidates]
        if engine.config.preset == "paper":
            return score_lanes(
                engine,
                candidates,
                segments,
                dreams.num_bars,
                rng,
                self.broker,
                dreams.temperature,
                dreams.funding,
            )
        paths = dream_paths(
            engine,
            segments,
            dreams.num_bars,
            rng,
            dreams.temperature,
            dreams.funding,
            self.broker,
            dreams.pessimism,
        )
        return score_paths(paths, candidates, self.broker)

    def assemble(self, parts: Sequence[Scores]) -> Scores:
        """The scores [P, N]."""
        rows = len(parts) // len(self.dreams.blocks())  # blocks of candidates to one of dreams
        columns = [
            [np.concatenate(column) for column in zip(*parts[first : first + rows], strict=True)]
            for first in range(0, len(parts), rows)
        ]
        return Scores(*(np.concatenate(fields, axis=1) for fields in zip(*columns, strict=True)))


@dataclass(frozen=True, eq=False)
class PathsJob:
    """Dreamed paths that no action moves (``market`` preset).

    Attributes:
        dreams: Which dreams.
    """

    dreams: Dreams

    def check(self, world_model: WorldModel) -> None:
        """Raise `ConfigError` where actions move the dream."""
        self.dreams.check(world_model)
        if world_model.config.preset == "paper":
            raise ConfigError(
                "dreams of the 'paper' preset hear actions; they have no shared paths"
            )

    def blocks(self, world_model: WorldModel) -> list[slice]:
        """Blocks of dreams."""
        return self.dreams.blocks()

    def compute(self, engine: Engine, number: int, /) -> MarketPaths:
        """Dream a block."""
        dreams = self.dreams
        return dream_paths(
            engine,
            dreams.segments[dreams.blocks()[number]],
            dreams.num_bars,
            dreams.generator(number),
            dreams.temperature,
            dreams.funding,
            pessimism=dreams.pessimism,
        )

    def assemble(self, parts: Sequence[MarketPaths]) -> MarketPaths:
        """All N paths."""
        doubt = [part.doubt for part in parts if part.doubt is not None]
        return MarketPaths(
            np.concatenate([part.view for part in parts]),
            np.concatenate([part.bars for part in parts]),
            np.concatenate(doubt) if doubt else None,
        )
