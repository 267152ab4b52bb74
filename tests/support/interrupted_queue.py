"""Ctrl-C at the worst moment of a queue, and what TensorBoard shows afterwards."""

from __future__ import annotations

import queue
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def interrupt_queue(work: Callable[[], None]) -> None:
    """Press Ctrl-C once in ``work``, as it puts a value into a queue whose lock is taken; it must end by that."""
    pressed: list[bool] = []
    put = queue.Queue.put

    def press(self: queue.Queue[Any], *arguments: Any, **options: Any) -> None:
        if not pressed:
            pressed.append(True)
            with self.mutex:
                signal.raise_signal(signal.SIGINT)
        put(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(queue.Queue, "put", press)
        with pytest.raises(KeyboardInterrupt):
            work()
    assert pressed


def shown(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of each name that TensorBoard shows."""
    board = EventAccumulator(str(folder))
    board.Reload()
    names = board.Tags()["scalars"]
    return {name: [(event.step, event.value) for event in board.Scalars(name)] for name in names}
