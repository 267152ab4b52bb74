"""How time and memory of the main job grow with the record.

``python -m benchmarks.growth [--bars N …] [--interval 1] [--out FILE]``: the main job at its default
settings on synthetic records of growing length, one process after the other. Memory is the largest
sum over the job's processes of what each holds for itself or its share of (PSS), or, where the system
does not tell it, of what is resident (RSS).
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from worldmodel_trading.evaluation.results import write_results
from worldmodel_trading.market.files.export import write_candles
from worldmodel_trading.market.synthetic import synthetic_candles

from .machine import machine, machine_text
from .results import Benchmark, Line, Result, Results
from .timing import Settings

SIZES = (50_000, 400_000, 2_600_000)
_QUICK_SIZES = (1_600, 3_200)
_QUICK = (
    "--vae-epochs 1 --mdn-rnn-epochs 1 --population 8 --generations 2 --search-seeds 1 --dreams 8 "
    "--horizon 24 --evaluation-dreams 8"
)
_LOOK_S = 0.25
_SHARED = Path("/proc/self/smaps_rollup").exists()
_MEMORY = ("smaps_rollup", "Pss:") if _SHARED else ("status", "VmRSS:")


def main(given: list[str] | None = None) -> None:
    """Measure records of the sizes asked for, and print a row for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--bars", type=int, nargs="+", default=SIZES, help="lengths of the records")
    parser.add_argument("--interval", default="1", help="Bybit's code of their bars")
    parser.add_argument("--out", type=Path, help="also write JSON there")
    options, run = parser.parse_known_args(given)
    print(machine_text(machine()))
    rows = []
    for bars in options.bars:
        rows.append(row := grown(bars, options.interval, run))
        stages = ", ".join(f"{name} {s:.0f}" for name, s in row["stages_s"].items())
        print(f"{bars:>9} bars  {row['seconds']:6.0f} s  {row['peak_mb']:6.0f} MB  ({stages})")
        sys.stdout.flush()
    if len(rows) > 1:
        print(", ".join(f"{name} ~ bars^{n:.2f}" for name, n in exponents(rows).items()))
    if options.out is not None:
        write_results(options.out, {"machine": machine(), "rows": rows})


def grown(bars: int, interval: str, options: list[str]) -> dict[str, Any]:
    """The main job on a synthetic record: its seconds, by stage too, and its peak memory [MB]."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "candles.parquet", Path(folder) / "run"
        write_candles(synthetic_candles(bars=bars, interval=interval), file)
        command = [sys.executable, "-m", "worldmodel_trading", "run", "--candles", str(file)]
        start = time.perf_counter()
        with subprocess.Popen(
            [*command, "--out", str(out), *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as job:
            looking = _Memory(job.pid)
            _, said = job.communicate()
            seconds, peak = time.perf_counter() - start, looking.stop()
        if job.returncode:
            raise RuntimeError(f"the main job failed: {said.decode()[-2000:]}")
        stages = json.loads((out / "results.json").read_text())["timings_s"]
    return {"bars": bars, "seconds": seconds, "peak_mb": peak, "stages_s": stages}


def exponents(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The exponent n of bars^n between the shortest and the longest record, of seconds and of memory."""
    first, last = rows[0], rows[-1]
    longer = math.log(last["bars"] / first["bars"])
    return {name: math.log(last[name] / first[name]) / longer for name in ("seconds", "peak_mb")}


class _Memory:
    """Looks at a session's processes until it is told to stop.

    Args:
        session: Its number.
    """

    def __init__(self, session: int) -> None:
        self._session, self._peak_mb, self._done = session, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """The highest sum so far [MB]."""
        self._done.set()
        self._thread.join()
        return self._peak_mb

    def _look(self) -> None:
        while not self._done.wait(_LOOK_S):
            self._peak_mb = max(self._peak_mb, sum(_held_mb(self._session)))


def _held_mb(session: int) -> Iterator[float]:
    """Of each process of a session, its proportional set size [MB]."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rsplit(")", 1)[1].split()[3]) != session:
                continue
            file, field = _MEMORY
            lines = (folder / file).read_text().splitlines()
        except (OSError, IndexError):  # it has ended
            continue
        yield sum(int(line.split()[1]) for line in lines if line.startswith(field)) * 1.024e-3


def _growth(settings: Settings) -> Results:
    if settings.quick:
        rows = [grown(bars, "60", _QUICK.split()) for bars in _QUICK_SIZES]
    else:
        rows = [grown(bars, "1", []) for bars in SIZES]
    power, last = exponents(rows), rows[-1]
    of = f"{rows[0]['bars']:,} to {last['bars']:,} bars"
    stages = ", ".join(f"{name} {s:.0f}" for name, s in last["stages_s"].items())
    return {
        "growth-seconds": Result(last["seconds"], f"s; {stages}", details={"rows": rows}),
        "growth-memory": Result(last["peak_mb"], "MB, all processes of the job"),
        "growth-seconds-exponent": Result(power["seconds"], of),
        "growth-memory-exponent": Result(power["peak_mb"], of),
    }


BENCHMARKS = (
    Benchmark(
        "growth",
        (
            Line(
                "growth-seconds", "the main job on 2.6 million one-minute bars: seconds", 900, True
            ),
            Line("growth-memory", "the same: MB at its peak", 3_000, True),
            Line("growth-seconds-exponent", "its seconds grow as bars to this power", 1, True),
            Line("growth-memory-exponent", "its memory grows as bars to this power", 1, True),
        ),
        _growth,
        long=True,
    ),
)


if __name__ == "__main__":
    main()
