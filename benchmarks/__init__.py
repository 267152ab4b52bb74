"""Benchmarks: every goal of docs/performance.md as a ratio, measured in one run.

``python -m benchmarks`` from the repository's root, or ``make bench``.
"""

from __future__ import annotations

import os

# One thread for every library; they read these variables when they are loaded.
for _name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "NUMBA"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"
