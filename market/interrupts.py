"""Ctrl-C where it would break what it interrupts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait for the block's end, and start processes in it deaf to it.

    For short blocks in code that Ctrl-C leaves broken: locks and queues that threads share stay taken, bare
    excepts swallow it, and a process that starts is torn amid its imports (it inherits the blocked signal;
    where signals cannot be blocked, as on Windows, it does not). Python handles signals in its main thread
    alone: elsewhere nothing needs to wait.
    """
    with _postponed(), _blocked():
        yield


@contextmanager
def _postponed() -> Iterator[None]:
    """Python's handler waits; it runs in the main thread whichever thread the system gave the signal."""
    before = signal.getsignal(signal.SIGINT)
    if before is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def _blocked() -> Iterator[None]:
    """The system holds the signal back from this thread, and from processes that it starts."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
