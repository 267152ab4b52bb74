"""What a fresh process needs: memory of large rollouts, and the time that imports take."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from .results import Benchmark, Line, Result, Results
from .timing import Settings

_HEAVY = ("torch", "arch", "scoringrules")
_IMPORT = "import time; t = time.perf_counter(); import {0}; print(time.perf_counter() - t)"
_HELP_MODULES = (
    "import sys\nfrom worldmodel_trading.cli import main\n"
    "try:\n    main(['--help'])\nexcept SystemExit:\n    assert True\n"
)
_MODULES = "import sys; print(sorted(set({0}) & set(sys.modules)), file=sys.stderr)"


def _memory(settings: Settings) -> Results:
    lanes, bars = settings.size(8_192, 256), settings.size(720, 8)
    results: Results = {}
    for kind in ("lanes", "shared"):
        command = [sys.executable, "-m", "benchmarks.memory_probe", kind, str(lanes), str(bars)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found: dict[str, Any] = json.loads(said)
        used = found["peak_mb"] - found["idle_mb"]
        note = f"MB: peak {found['peak_mb']:.0f} − idle {found['idle_mb']:.0f}; {lanes} × {bars}"
        results[f"memory-{kind}"] = Result(used, note, details=found)
    return results


def _imports(settings: Settings) -> Results:
    seconds: dict[str, list[float]] = {name: [] for name in ("ours", "gym", "gym all", "help")}
    for _ in range(settings.rounds + 1):
        seconds["ours"].append(_import_s("worldmodel_trading"))
        seconds["gym"].append(_import_s("gymnasium"))
        seconds["gym all"].append(_process_s(["-c", "import gymnasium"]))
        seconds["help"].append(_process_s(["-m", "worldmodel_trading", "--help"]))
    # the first turn fills the file caches
    middle = {name: statistics.median(each[1:]) for name, each in seconds.items()}
    imported = _imported("import worldmodel_trading"), _imported(_HELP_MODULES)
    return {
        "import-package": _seconds_ratio(middle, "ours", "gym", "inside the processes"),
        "import-help": _seconds_ratio(middle, "help", "gym all", "whole processes"),
        "import-heavy": Result(
            float(len(imported[0]) + len(imported[1])),
            f"of {', '.join(_HEAVY)}: import {imported[0] or 'none'}, --help {imported[1] or 'none'}",
        ),
    }


def _seconds_ratio(middle: dict[str, float], ours: str, theirs: str, how: str) -> Result:
    note = f"{1e3 * middle[ours]:.0f} ÷ {1e3 * middle[theirs]:.0f} ms, {how}"
    return Result(middle[ours] / middle[theirs], note, details={"seconds": middle})


def _import_s(module: str) -> float:
    return float(_run(["-c", _IMPORT.format(module)]).stdout)


def _process_s(arguments: list[str]) -> float:
    start = time.perf_counter()
    _run(arguments)
    return time.perf_counter() - start


def _imported(code: str) -> list[str]:
    done = _run(["-c", f"{code}\n{_MODULES.format(_HEAVY)}"])
    names: list[str] = json.loads(done.stderr.strip().splitlines()[-1].replace("'", '"'))
    return names


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run Python away from the repository's folders."""
    return subprocess.run(
        [sys.executable, *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=tempfile.gettempdir(),
    )


BENCHMARKS = (
    Benchmark(
        "memory",
        (
            Line(
                "memory-lanes", "8,192 lanes × 720 steps of M: MB above the idle process", 400, True
            ),
            Line("memory-shared", "8,192 shared dreams × 720 steps: the same", 400, True),
        ),
        _memory,
    ),
    Benchmark(
        "imports",
        (
            Line("import-package", "import worldmodel_trading ÷ import gymnasium", 1.3, True),
            Line("import-help", "worldmodel-trading --help ÷ import gymnasium", 2, True),
            Line("import-heavy", "heavy packages that both import", 0, True),
        ),
        _imports,
    ),
)
