"""Compiled functions: exact, cached, and compiled anew when what they call has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from worldmodel_trading.envs.engine import many_lanes as kernels
from worldmodel_trading.market.arrays import Float32Array
from worldmodel_trading.market.numerics import compiled as compiling
from worldmodel_trading.market.numerics import vector_width
from worldmodel_trading.market.numerics.compiled import compiled, compiled_fused

CALLEE = """
from worldmodel_trading.market.numerics.compiled import compiled

@compiled
def inner(x):
    return x + {constant}
"""

MIDDLE = """
from callee import inner
from worldmodel_trading.market.numerics.compiled import compiled

@compiled
def middle(x):
    return inner(x)
"""

CALLER = """
from middle import middle
from worldmodel_trading.market.numerics.compiled import compiled

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


def halve(values: Float32Array) -> None:
    for i in range(values.shape[0]):
        values[i] *= np.float32(0.5)


def test_compiled_functions_prefer_long_vectors() -> None:
    values = np.full(40, 3.0, dtype=np.float32)
    wide, plain = njit(pipeline_class=vector_width.WideCompiler)(halve), njit(halve)
    wide(values)
    plain(values)
    assert (values == 0.75).all()
    (code,) = wide.inspect_llvm().values()
    assert vector_width.ATTRIBUTE in code
    (code,) = plain.inspect_llvm().values()
    assert "prefer-vector-width" not in code, "others in the process are left alone"
    assert kernels.lstm_cell._compiler.pipeline_class is vector_width.WideCompiler  # type: ignore[attr-defined]


def test_functions_compile_where_numba_has_no_such_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "WideCompiler", None)
    values = np.ones(3, dtype=np.float32)
    compiled(halve)(values)
    assert (values == 0.5).all()


@compiled
def exact(x: float) -> float:
    return x * x - (1.0 + 2.0**-26)


@compiled_fused
def calls_exact(x: float) -> float:
    return exact(x)


def test_a_fused_caller_that_compiles_a_function_first_leaves_it_as_it_is() -> None:
    x = 1.0 + 2.0**-27  # whose square, fused with the sum, would leave 2^-54
    assert calls_exact(x) == 0.0
    assert exact(x) == 0.0
