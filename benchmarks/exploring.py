"""What a user waits for a sweep of many controllers, from the command to the page."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .results import Benchmark, Line, Result, Results
from .timing import Settings


def _explore(settings: Settings) -> Results:
    count, dreams, bars = (
        settings.size(*sizes) for sizes in ((100_000, 1_000), (64, 4), (720, 24))
    )
    with tempfile.TemporaryDirectory() as folder:
        given = ["explore", "--count", count, "--dreams", dreams, "--horizon", bars]
        given += ["--no-rival", "--audited", 0, "--out", Path(folder) / "explore"]
        command = [sys.executable, "-m", "worldmodel_trading", *map(str, given)]
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=folder)
        seconds = time.perf_counter() - start
    note = f"s; {count * dreams * bars / seconds:,.0f} candidate-steps a second, twice each"
    return {"explore": Result(seconds, note)}


BENCHMARKS = (
    Benchmark(
        "exploring",
        (
            Line(
                "explore",
                "explore 100,000 controllers, 64 dreams × 720 bars, one worker a core: seconds",
                60,
                True,
            ),
        ),
        _explore,
    ),
)
