"""The command's way with its terminal: any encoding, a closed output, Ctrl-C at any moment.

It imports nothing of the package, so that it is there before anything else loads.
"""

from __future__ import annotations

import atexit
import codecs
import gc
import io
import os
import signal
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

STOPPED = 130
"""Exit status after Ctrl-C, as shells report it."""

_RARELY = 10_000  # objects more than before; Python's own is 700 or 2,000

_PLAIN_ERRORS = "worldmodel-trading-plain"
_PLAIN = {
    "τ": "tau", "σ": "sigma", "Σ": "sum", "γ": "gamma", "μ": "mu", "µ": "mu", "ν": "nu",
    "ε": "eps", "η": "eta", "β": "beta", "ρ": "rho", "Φ": "Phi", "ω": "omega", "α": "alpha",
    "λ": "lambda", "π": "pi", "Δ": "d", "√": "sqrt", "‖": "|", "│": "|", "─": "-", "┼": "+",
    "−": "-", "–": "-", "⁻": "-", "…": "...", "·": "*", "×": "x", "÷": "/", "±": "+/-",
    "≈": "~", "≤": "<=", "≥": ">=", "→": "->", "φ": "phi", "½": "1/2", "’": "'", "“": "\"", "”": "\"",
}  # fmt: skip


def _write_plainly(error: UnicodeError) -> tuple[str, int]:
    """Spell characters that a terminal cannot show: τ as tau, é as e, and what is left as ?."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_spelled, error.object[error.start : error.end])), error.end


def _spelled(character: str) -> str:
    if character in _PLAIN:
        return _PLAIN[character]
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain or "?"


codecs.register_error(_PLAIN_ERRORS, _write_plainly)


def ready_streams() -> None:
    """Have both outputs exist, and take every character."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the process was started with it closed
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_PLAIN_ERRORS)


def refused_output() -> str | None:
    """The name of an output that takes nothing any more; from then on it is thrown away."""
    refused = None
    for title, stream in (("standard output", sys.stdout), ("standard error", sys.stderr)):
        try:
            stream.flush()
        except OSError:
            _throw_away(stream)
            refused = refused or title
    return refused


def _throw_away(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def is_command() -> bool:
    """Whether this process is the command line, by its script or by ``python -m``."""
    started = (getattr(sys, "argv", None) or [""])[0]
    if started == "-m":  # while runpy still looks for the module
        return "worldmodel_trading" in sys.orig_argv
    return Path(started).name.removesuffix(".exe") == "worldmodel-trading"


def collect_rarely() -> None:
    """Have Python look for dead cycles less often, and no more once the process ends.

    A command loads hundreds of thousands of objects that live to its end. Python walks them again
    and again while they load, and twice when it ends: a third of the time of a short job. What is
    registered here before all else runs after all else that waits for the end; objects that no
    cycle holds are still taken down one by one.
    """
    gc.set_threshold(max(_RARELY, gc.get_threshold()[0]), *gc.get_threshold()[1:])
    atexit.register(gc.freeze)


def end_quietly_on_ctrl_c() -> None:
    """End the process with one line on Ctrl-C: while modules load there is nothing to tidy up.

    Where the process was started deaf to Ctrl-C, as in a shell's background, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def _end(_signal: int, _frame: FrameType | None) -> None:
    os.write(2, b"\nstopped\n")
    os._exit(STOPPED)


@contextmanager
def interruptible() -> Iterator[None]:
    """Have Ctrl-C raise `KeyboardInterrupt` in the block, for the work in it to be left in order."""
    quiet = signal.getsignal(signal.SIGINT) is _end
    if quiet:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if quiet:
            signal.signal(signal.SIGINT, _end)
