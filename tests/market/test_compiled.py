"""Compiled functions: exact, cached, and compiled anew when what they call has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from worldmodel_trading.market.compiled import compiled

CALLEE = """
from worldmodel_trading.market.compiled import compiled

@compiled
def inner(x):
    return x + {constant}
"""

MIDDLE = """
from callee import inner
from worldmodel_trading.market.compiled import compiled

@compiled
def middle(x):
    return inner(x)
"""

CALLER = """
from middle import middle
from worldmodel_trading.market.compiled import compiled

@compiled
def outer(x):
    return 10.0 * middle(x)

print(outer(1.0), sum(outer.stats.cache_hits.values()))
"""


def run_caller(folder: Path) -> list[str]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
    result = subprocess.run(
        [sys.executable, "caller.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.split()


def test_a_change_of_what_is_called_compiles_the_caller_anew(tmp_path: Path) -> None:
    (tmp_path / "caller.py").write_text(CALLER)
    (tmp_path / "middle.py").write_text(MIDDLE)
    (tmp_path / "callee.py").write_text(CALLEE.format(constant=1.0))
    assert run_caller(tmp_path) == ["20.0", "0"]
    assert run_caller(tmp_path) == ["20.0", "1"], "unchanged, it comes from the cache"
    (tmp_path / "callee.py").write_text(CALLEE.format(constant=2.5))
    assert run_caller(tmp_path) == ["35.0", "0"]


@compiled
def ratio(x: float, y: float) -> float:
    return x / y


def test_division_by_zero_is_infinite_as_in_numpy() -> None:
    assert ratio(1.0, 0.0) == np.inf
    assert np.isnan(ratio(0.0, 0.0))


def test_the_function_as_written_stays_reachable() -> None:
    assert ratio.py_func(1.0, 4.0) == ratio(1.0, 4.0) == 0.25  # type: ignore[attr-defined]
