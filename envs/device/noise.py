"""Noise for dreams on a device: drawn on the CPU, so that a seed dreams the same dreams everywhere."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...market.arrays import Float32Array, FloatArray, IntArray
from ..dream_funding import DreamFunding
from ..engine.base import Engine
from ..population.jobs import Dreams


class DreamNoise:
    """The noise of some blocks of dreams side by side, bar by bar, drawn as `ScoreJob` draws it.

    Args:
        engine: Draws.
        dreams: Which dreams.
        blocks: Numbers of the blocks.
        shared: Whether candidates share the paths. `dream_paths` draws funding after the whole
            noise, `score_lanes` bar by bar.

    Attributes:
        lanes: How many dreams the blocks hold.
    """

    def __init__(self, engine: Engine, dreams: Dreams, blocks: Sequence[int], shared: bool) -> None:
        slices = [dreams.blocks()[number] for number in blocks]
        edges = np.cumsum([0, *(part.stop - part.start for part in slices)])
        self.lanes = int(edges[-1])
        self._sources = [
            _Source(engine, dreams, number, dreams.segments[part], shared)
            for number, part in zip(blocks, slices, strict=True)
        ]
        self._columns = [slice(*map(int, pair)) for pair in itertools.pairwise(edges)]

    def draw(self, noise: Float32Array, funding: FloatArray | None) -> None:
        """Draw the next bars.

        Args:
            noise: The engine's tables [B, R, L], written.
            funding: Rates charged [B, L], written; None where nothing is charged.
        """
        for source, column in zip(self._sources, self._columns, strict=True):
            for row in range(len(noise)):
                rate = source.next(noise[row, :, column])
                if funding is not None:
                    funding[row, column] = rate


class _Source:
    """The noise of one block of dreams."""

    def __init__(
        self, engine: Engine, dreams: Dreams, number: int, segments: IntArray, shared: bool
    ) -> None:
        self._engine, self._count = engine, len(segments)
        self._rng = dreams.generator(number)
        self._rates = _no_rates(self._count)
        if dreams.funding is not None and not dreams.funding.is_off:
            began = engine.world_model.bank.open_time_ms
            first = began[segments % len(began)] + engine.interval_ms  # whichever member dreams
            times = first[:, None] + engine.interval_ms * np.arange(dreams.num_bars)
            if shared:
                self._rates = iter(self._rates_after(dreams.generator(number), dreams, times))
            else:
                self._rates = self._rates_between(dreams.funding, times)

    def next(self, out: Float32Array) -> FloatArray:
        """Draw one bar's noise into [R, L]; returns the rates it charges [L]."""
        out[:] = self._engine.draw_noise(self._rng, self._count).table
        return next(self._rates)

    def _rates_after(self, rng: np.random.Generator, dreams: Dreams, times: IntArray) -> FloatArray:
        """Rates [T, L] drawn once all noise is: the noise is drawn twice, and kept nowhere."""
        assert dreams.funding is not None
        for _ in range(dreams.num_bars):
            self._engine.draw_noise(rng, self._count)
        return dreams.funding.charge(times, rng).T

    def _rates_between(self, funding: DreamFunding, times: IntArray) -> Iterator[FloatArray]:
        for column in times.T:
            yield funding.charge(column, self._rng)


def _no_rates(count: int) -> Iterator[FloatArray]:
    return itertools.repeat(np.zeros(count))


class Staging:
    """Two buffers on the CPU, filled in turns while the device reads the other.

    Args:
        noise: [B, R, L] on the device, float32, which receives the noise.
        funding: [B, L] on the device, float64; None where nothing is charged.
    """

    def __init__(self, noise: Tensor, funding: Tensor | None) -> None:
        targets = [noise] if funding is None else [noise, funding]
        self._slots = [_Slot(targets) for _ in range(2)]

    def send(self, source: DreamNoise, bars: int) -> None:
        """Draw the next bars' noise and queue its way to the device."""
        slot = self._slots[0]
        self._slots.reverse()
        slot.wait()
        slot.fill(source, bars)


class _Slot:
    """Page-locked memory where there is CUDA, and the event of its last copy."""

    def __init__(self, targets: list[Tensor]) -> None:
        self._targets = targets
        cuda = targets[0].device.type == "cuda"
        # zeros: lanes that no dream fills must hold numbers
        self._buffers = [torch.zeros(t.shape, dtype=t.dtype, pin_memory=cuda) for t in targets]
        self._copied = _event() if cuda else None

    def wait(self) -> None:
        """Until the last copy has left the buffers."""
        if self._copied is not None:
            self._copied.synchronize()

    def fill(self, source: DreamNoise, bars: int) -> None:
        """Draw, and queue the copies behind what the device does now."""
        arrays: list[Any] = [buffer[:bars, ..., : source.lanes].numpy() for buffer in self._buffers]
        source.draw(arrays[0], arrays[1] if len(arrays) > 1 else None)
        for target, buffer in zip(self._targets, self._buffers, strict=True):
            target[:bars].copy_(buffer[:bars], non_blocking=True)
        if self._copied is not None:
            self._copied.record()


def _event() -> torch.cuda.Event:
    return torch.cuda.Event()  # type: ignore[no-untyped-call, unused-ignore]
