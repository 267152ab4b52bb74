"""Populations scored on a device: `DreamWorkers` for one GPU instead of some processes."""

from __future__ import annotations

import os
from typing import NamedTuple, Self

import numpy as np
import torch

from ...market.account.population import SCORE_FIELDS
from ...market.account.rules import BrokerConfig
from ...market.arrays import FloatArray
from ...market.errors import ConfigError
from ...models.devices import choose_device
from ...models.load import open_world_model
from ...models.world_model import WorldModel
from ..engine.opening import open_engine
from ..population.jobs import Dreams, ScoreJob
from ..population.policies import policy_size
from ..population.scoring import Scores
from .dream import DeviceDream
from .graph import GraphMaker, on_device
from .noise import DreamNoise
from .opening import open_device_dream
from .rollout import Plan, Rollout

SEPARATE_LANES = 65_536
"""Lanes through M at once: about 5 KB each."""
SHARED_LANES = 262_144
"""Accounts on shared dreams at once: about 0.5 KB each."""
CHUNK_BARS = 64
"""Bars of a CUDA graph at most; a graph of more is slow to make and saves little."""
CHUNK_ROWS = 131_072
"""Dreams × bars of a chunk at most: many dreams keep a GPU busy in short chunks too."""


class DeviceDreams:
    """Scores linear controllers in dreams on one device; a context manager.

    The same dreams as `DreamWorkers` gives for the same seed, and the same scores to rounding: noise
    is drawn on the CPU and goes to the device; M's arithmetic there is float32, the account's
    float64. On CUDA a chunk of bars is captured once as a graph; another call of the same shape
    and rules replays it. On a CPU the same code runs step by step, slower than the compiled
    engine: it is there to be compared with.

    TensorFloat-32 products round to 10 bits. They are off unless the program allows them
    (``torch.backends.cuda.matmul.allow_tf32``), which this class neither reads nor changes.

    Args:
        world_model: A `WorldModel`, the folder of one, or ``"default"``.
        device: ``"cuda"``, ``"cpu"``, or ``"auto"`` for CUDA where there is one.
        warmup: Recorded bars that M hears first; None takes all that the bank holds.
        shared: Whether candidates share dreams; None: wherever the world model allows it.
        max_lanes: Candidates × dreams at once, which bounds the memory; None is `SHARED_LANES` or
            `SEPARATE_LANES`.
        chunk_bars: Bars of a graph at most.
        graph: Whether CUDA captures graphs; without, it computes the same, kernel by kernel.

    Attributes:
        engine: The dream, as the CPU sees it.
        device: Where scores are computed.

    Raises:
        ConfigError: The device is not there, or ``shared`` is asked of a dream that hears actions.
    """

    def __init__(
        self,
        world_model: WorldModel | str | os.PathLike[str] = "default",
        device: str = "auto",
        warmup: int | None = None,
        *,
        shared: bool | None = None,
        max_lanes: int | None = None,
        chunk_bars: int = CHUNK_BARS,
        graph: bool = True,
    ) -> None:
        self.device = choose_device(device)
        self.engine = open_engine(open_world_model(world_model), warmup)
        hears = self.engine.config.preset == "paper"
        if shared and hears:
            raise ConfigError("dreams of the 'paper' preset hear actions; they cannot be shared")
        self._shared = not hears if shared is None else shared
        if max_lanes is None:
            max_lanes = SHARED_LANES if self._shared else SEPARATE_LANES
        if max_lanes < 1 or chunk_bars < 1:
            raise ConfigError(
                f"max_lanes is {max_lanes}, chunk_bars {chunk_bars}; expected 1 or more"
            )
        self._max_lanes, self._chunk_bars = max_lanes, chunk_bars
        self._graphs = GraphMaker(self.device, graph)
        self._dream: DeviceDream | None = None
        self._rollout: tuple[Plan, Rollout] | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the device's memory back."""
        self._closed = True
        self._forget()
        self._dream = None

    @torch.no_grad()
    def score(self, parameters: FloatArray, dreams: Dreams, broker: BrokerConfig) -> Scores:
        """Trade P linear controllers in N dreams; see `DreamWorkers.score`.

        Args:
            parameters: W and b of each candidate [P, D + 1].
            dreams: Which dreams.
            broker: The account's rules.

        Raises:
            ConfigError: The job does not fit the world model or the device, or this object is
                closed.
        """
        if self._closed:
            raise ConfigError("these dreams are gone: the device's memory was given back")
        ScoreJob(parameters, dreams, broker).check(self.engine.world_model)
        if np.shape(parameters)[1] != policy_size(self._observed(broker)):
            raise ConfigError(
                "a device scores linear controllers alone: search without a hidden layer, or on a "
                "processor (device 'cpu')"
            )
        if dreams.pessimism > 0.0:
            raise ConfigError(
                f"pessimism is {dreams.pessimism:g}, and dreams on a device have none: score them by "
                "processes (DreamWorkers, device='cpu')"
            )
        try:
            return self._score(parameters, dreams, broker)
        except torch.cuda.OutOfMemoryError as error:
            self._forget()
            raise ConfigError(
                f"the device has no memory for {self._max_lanes} lanes at once: give DeviceDreams "
                "a smaller max_lanes"
            ) from error

    def _observed(self, broker: BrokerConfig) -> int:
        """How many numbers a controller reads."""
        config = self.engine.config
        inputs = len(broker.view.account_observation)
        return int(config.latent_size + config.hidden_size + inputs)

    def _score(self, parameters: FloatArray, dreams: Dreams, broker: BrokerConfig) -> Scores:
        tiles = Tiles.of(len(parameters), dreams, self._max_lanes)
        out = np.empty((len(SCORE_FIELDS), len(parameters), len(dreams.segments)))
        with on_device(self.device):
            rollout = self._ready(self._plan(tiles, dreams, broker))
            for wave in tiles.waves:
                here = slice(dreams.blocks()[wave[0]].start, dreams.blocks()[wave[-1]].stop)
                for some in tiles.candidates:
                    noise = DreamNoise(self.engine, dreams, wave, self._shared)
                    out[:, some, here] = rollout.score(
                        parameters[some], dreams.segments[here], noise
                    )
        return Scores(*[*out, np.zeros(out.shape[1:])])

    def _plan(self, tiles: Tiles, dreams: Dreams, broker: BrokerConfig) -> Plan:
        bars = max(1, CHUNK_ROWS // tiles.most_dreams)
        return Plan(
            candidates=tiles.most_candidates,
            dreams=tiles.most_dreams,
            num_bars=dreams.num_bars,
            chunk_bars=chunk_length(dreams.num_bars, min(self._chunk_bars, bars)),
            temperature=dreams.temperature,
            broker=broker,
            funded=dreams.funding is not None and not dreams.funding.is_off,
            shared=self._shared,
        )

    def _ready(self, plan: Plan) -> Rollout:
        """The rollout of a plan: the last one, or a new one in its place."""
        if self._rollout is None or self._rollout[0] != plan:
            self._forget()
            self._dream = self._dream or open_device_dream(self.engine, self.device)
            self._rollout = plan, Rollout(self._dream, plan, self._graphs)
        return self._rollout[1]

    def _forget(self) -> None:
        if self._rollout is not None:
            self._rollout[1].forget()
            self._rollout = None


class Tiles(NamedTuple):
    """A population's dreams cut to what a device holds at once.

    Attributes:
        candidates: Of each tile.
        waves: Numbers of the blocks of dreams of each tile.
        most_candidates: In a tile.
        most_dreams: In a tile.
    """

    candidates: list[slice]
    waves: list[list[int]]
    most_candidates: int
    most_dreams: int

    @classmethod
    def of(cls, count: int, dreams: Dreams, max_lanes: int) -> Self:
        """Cut P candidates and some dreams; a block of dreams stays whole."""
        widths = [block.stop - block.start for block in dreams.blocks()]
        size = min(count, max(1, max_lanes // max(widths)))
        together = max(1, max_lanes // (size * max(widths)))
        waves = [list(wave) for wave in _batched(range(len(widths)), together)]
        return cls(
            [slice(first, min(first + size, count)) for first in range(0, count, size)],
            waves,
            size,
            max(sum(widths[block] for block in wave) for wave in waves),
        )


def _batched(numbers: range, size: int) -> list[range]:
    return [numbers[first : first + size] for first in range(0, len(numbers), size)]


def chunk_length(num_bars: int, most: int) -> int:
    """Bars of a chunk: of the lengths from half of ``most`` on, the one that leaves the fewest over."""
    if num_bars <= most:
        return num_bars
    return min(range(most // 2 + 1, most + 1), key=lambda bars: (num_bars % bars, -bars))
