"""Measure figures anew, and write them into the pages: ``python -m benchmarks.figures --help``."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from worldmodel_trading.models.machine import num_cores, processor_name

from . import __doc__ as about
from .cells import UnknownValueError
from .listing import list_lines
from .registry import FIGURES, Figure
from .store import Measured, fill, pages, read_figures, write_figures, write_list
from .work import Missing, Work


def main(given: Sequence[str] | None = None) -> int:
    """Measure what is asked for; always write the pages."""
    options = _options(given)
    figures, failed = read_figures(), []
    if not options.pages:
        work = Work(options.work, options.candles)
        for figure in _chosen(options.only):
            try:
                figures[figure.name] = _measure(figure, work)
                write_figures(figures)
            except Missing as missing:
                print(f"{figure.name}: kept as it was, for want of {missing}", file=sys.stderr)
            except subprocess.CalledProcessError:
                failed.append(figure.name)
    complete = all([_filled(page, figures) for page in pages()])
    write_list(list_lines(figures))
    if failed:
        print(f"kept as they were, for their commands failed: {failed}", file=sys.stderr)
    return 0 if complete and not failed else 1


def _filled(page: Path, figures: Mapping[str, Measured]) -> bool:
    """Write a page; whether all that it shows exists."""
    try:
        fill(page, figures)
    except UnknownValueError as error:
        print(error, file=sys.stderr)
        return False
    return True


def _chosen(names: Sequence[str]) -> list[Figure]:
    known = {figure.name: figure for figure in FIGURES}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"unknown figures {unknown}; there are {list(known)}")
    return [known[name] for name in names] if names else list(FIGURES)


def _measure(figure: Figure, work: Work) -> Measured:
    """Today's text, with its day and machine."""
    began = time.monotonic()
    for command in figure.commands:
        work.check(command)
    text = figure.make(work)
    seconds = round(time.monotonic() - began)
    print(f"{figure.name}: {seconds} s", file=sys.stderr, flush=True)
    machine = f"{processor_name()}, {num_cores()} cores"
    return Measured(text, datetime.now(UTC).date().isoformat(), machine, seconds)


def _options(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.figures",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--candles", type=Path, help="folder of the recorded files; see RECORDS")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="of these figures")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("runs/figures"),
        help="where commands run and leave what others use; a finished one does not run again",
    )
    parser.add_argument("--pages", action="store_true", help="measure nothing, write the pages")
    return parser.parse_args(given)


if __name__ == "__main__":
    raise SystemExit(main())
