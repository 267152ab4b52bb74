"""The command line: ``worldmodel-trading JOB``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields

from worldmodel_trading.config import RunConfig
from worldmodel_trading.market.errors import WorldModelTradingError

_STOPPED = 130  # what a shell reports for Ctrl-C
_REFUSED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the job that the arguments name; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    job: Callable[[argparse.Namespace], None] = options.job
    try:
        job(options)
    except WorldModelTradingError as error:
        print(f"worldmodel-trading: {error}", file=sys.stderr)
        return _REFUSED
    except KeyboardInterrupt:
        kept = f"; finished stages are kept in {options.out}" if "out" in options else ""
        print(f"\nstopped{kept}", file=sys.stderr)
        return _STOPPED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="worldmodel-trading",
        description="Train agents in a dreamed market, and judge them in the recorded one.",
    )
    jobs = parser.add_subparsers(title="jobs", required=True, metavar="JOB")
    _add_run(jobs.add_parser("run", help="candles to world model to controller, dream and replay"))
    _add_pretrained(jobs.add_parser("pretrained", help="rebuild the world model that ships"))
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    defaults = {f.name: f.default for f in fields(RunConfig)}

    def add(flag: str, help_text: str, **settings: object) -> None:
        name = flag.removeprefix("--").replace("-", "_")
        default = defaults[name]
        shown = "" if default is None else f" (default: {default})"
        parser.add_argument(flag, default=default, help=help_text + shown, **settings)  # type: ignore[arg-type]

    add("--candles", "CSV or Parquet file, bybit:SYMBOL:INTERVAL, or synthetic")
    add("--symbol", "name of the instrument")
    add("--interval", "bar length as Bybit's code: 1 … 720 minutes, D, W")
    for name in ("start", "train-end", "validation-end", "end"):
        add(f"--{name}", "ISO time, UTC; ends are exclusive")
    add("--preset", "world model", choices=("market", "paper"))
    add("--out", "folder for the results")
    for name in ("seed", "vae-epochs", "mdn-rnn-epochs", "population", "generations"):
        add(f"--{name}", name.replace("-", " "), type=int)
    for name in ("dreams", "horizon", "evaluation-dreams"):
        add(f"--{name}", name.replace("-", " "), type=int)
    for name in ("temperature", "taker-fee", "slippage"):
        add(f"--{name}", name.replace("-", " "), type=float)
    parser.set_defaults(job=_run)


def _run(options: argparse.Namespace) -> None:
    from worldmodel_trading.run import run

    run(RunConfig(**{f.name: getattr(options, f.name) for f in fields(RunConfig)}))


def _add_pretrained(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, help="folder for the world model")
    parser.set_defaults(job=_pretrained)


def _pretrained(options: argparse.Namespace) -> None:
    from worldmodel_trading.models.default_model import main as build

    build([options.out])


if __name__ == "__main__":
    sys.exit(main())
