"""Ctrl-C where it would break what it interrupts."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from worldmodel_trading.market.interrupts import interrupts_held


def press(done: list[str]) -> None:
    signal.raise_signal(signal.SIGINT)
    done.append("the rest")


def hold(work: Callable[[list[str]], None], done: list[str]) -> None:
    with interrupts_held():
        work(done)
    done.append("after")


def fail(done: list[str]) -> None:
    press(done)
    raise ValueError("of the block")


def test_an_interrupt_waits_for_the_end_of_the_block() -> None:
    done: list[str] = []
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        hold(press, done)
    assert done == ["the rest"]
    assert signal.getsignal(signal.SIGINT) is handler


def test_nested_blocks_hold_until_the_outer_one_ends() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        hold(lambda done: hold(press, done), done)
    assert done == ["the rest", "after"]


def test_an_error_in_the_block_is_the_context_of_the_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        hold(fail, [])
    assert str(caught.value.__context__) == "of the block"


def test_who_is_deaf_to_interrupts_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_holds_nothing_back() -> None:
    handlers = []

    def work() -> None:
        with interrupts_held():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals cannot be blocked")
def test_a_process_started_in_the_block_does_not_hear_of_it() -> None:
    ask = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    with interrupts_held():
        inside = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
    outside = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
    assert (inside.stdout, outside.stdout) == ("True\n", "False\n")
