"""Run the benchmarks: ``python -m benchmarks [--only NAME …] [--quick] [--out FILE]``."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from worldmodel_trading.evaluation.results import write_results
from worldmodel_trading.market.files.writer import write_whole

from . import (
    bars,
    device,
    dreams,
    environments,
    exploring,
    growth,
    learning,
    live,
    populations,
    processes,
    profile,
    rays,
    rendering,
)
from .machine import machine, machine_text
from .results import HEADER, Benchmark, Results, markdown, missing, row_json, row_text
from .timing import Settings

BENCHMARKS: tuple[Benchmark, ...] = (
    *dreams.BENCHMARKS,
    *bars.BENCHMARKS,
    *populations.BENCHMARKS,
    *environments.BENCHMARKS,
    *rendering.BENCHMARKS,
    *learning.BENCHMARKS,
    *live.BENCHMARKS,
    *rays.BENCHMARKS,
    *processes.BENCHMARKS,
    *exploring.BENCHMARKS,
    *growth.BENCHMARKS,
    *device.BENCHMARKS,
)


def main(given: list[str] | None = None) -> int:
    """Measure what is asked for; 1 if a benchmark failed to run."""
    arguments = _arguments(given)
    if arguments.list:
        print(_listing())
        return 0
    torch.set_num_threads(1)
    quick = arguments.quick
    settings = Settings(
        quick, arguments.rounds or (2 if quick else 9), 0.02 if quick else arguments.slice
    )
    if arguments.profile:
        print(profile.profile(settings))
        return 0
    return _measure(_chosen(arguments.only), settings, arguments.out)


def _measure(chosen: list[Benchmark], settings: Settings, out: Path | None) -> int:
    facts = machine()
    print(f"{machine_text(facts)}\n\n{HEADER}", flush=True)
    rows: list[dict[str, Any]] = []
    failed = False
    started = datetime.now(UTC)
    for benchmark in chosen:
        results, seconds, broken = _results(benchmark, settings)
        failed |= broken
        for line in benchmark.lines:
            result = results.get(line.name, missing("not measured"))
            print(row_text(line, result), flush=True)
            rows.append(row_json(line, result) | {"benchmark": benchmark.name, "run_s": seconds})
    if out is not None:
        content = {
            "started": started.isoformat(timespec="seconds"),
            "machine": facts,
            "settings": {
                "quick": settings.quick,
                "rounds": settings.rounds,
                "slice_s": settings.slice_s,
            },
            "rows": rows,
        }
        write_results(out, content)
        write_whole(out.with_suffix(".md"), f"{machine_text(facts)}\n\n{markdown(rows)}")
        print(f"\nwrote {out} and {out.with_suffix('.md').name}")
    return int(failed)


def _results(benchmark: Benchmark, settings: Settings) -> tuple[Results, float, bool]:
    start = time.perf_counter()
    try:
        results, broken = benchmark.run(settings), False
    except Exception as error:  # one benchmark that breaks leaves the others their turn
        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}"
        results, broken = {line.name: missing(reason) for line in benchmark.lines}, True
    return results, round(time.perf_counter() - start, 1), broken


def _chosen(names: list[str] | None) -> list[Benchmark]:
    if not names:
        return [benchmark for benchmark in BENCHMARKS if not benchmark.long]
    known = {b.name: b for b in BENCHMARKS} | {x.name: b for b in BENCHMARKS for x in b.lines}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"unknown: {', '.join(unknown)}; see python -m benchmarks --list")
    return list({known[name].name: known[name] for name in names}.values())


def _listing() -> str:
    lines = []
    for benchmark in BENCHMARKS:
        lines.append(benchmark.name)
        lines += [f"  {x.name:<28} {x.goal_text():<7} {x.what}" for x in benchmark.lines]
    return "\n".join(lines)


def _arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Benchmarks, as ratios; see docs/performance.md."
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these benchmarks or figures")
    parser.add_argument("--quick", action="store_true", help="small: shows that all works")
    parser.add_argument("--rounds", type=int, help="slices of each task (default: 9)")
    parser.add_argument("--slice", type=float, default=0.25, help="least seconds of a slice")
    parser.add_argument(
        "--out", type=Path, help="also write JSON there, and a Markdown table beside it"
    )
    parser.add_argument("--list", action="store_true", help="name the benchmarks and stop")
    parser.add_argument("--profile", action="store_true", help="time the engine's stages and stop")
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
