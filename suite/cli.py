"""The command line: ``worldmodel-trading JOB``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from worldmodel_trading.config import RunConfig
from worldmodel_trading.market.errors import ConfigError, WorldModelTradingError
from worldmodel_trading.market.writer import cannot_write
from worldmodel_trading.terminal import STOPPED, interruptible, ready_streams, refused_output

_REFUSED = 2
_UNREAD = 141  # what a shell reports where nobody reads any more


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the job that the arguments name; returns the exit status."""
    ready_streams()
    options = argparse.Namespace()
    try:
        with interruptible():
            _do(arguments, options)
    except WorldModelTradingError as error:
        return _refuse(str(error))
    except BrokenPipeError:  # whoever read the output has gone, as `| head` does
        refused_output()
        return _UNREAD
    except OSError as error:
        where = error.filename or refused_output() or "the output"
        return _refuse(str(cannot_write(where, error)))
    except KeyboardInterrupt:
        print(f"\nstopped{_kept(options)}", file=sys.stderr)
        return STOPPED
    return 0


def _do(arguments: Sequence[str] | None, options: argparse.Namespace) -> None:
    try:
        _parser().parse_args(arguments, options)
        _use_data_folder(options)
        job: Callable[[argparse.Namespace], None] = options.job
        job(options)
    finally:
        sys.stdout.flush()  # what cannot be written is found out here, not when Python ends


def _refuse(message: str) -> int:
    print(f"worldmodel-trading: {message}", file=sys.stderr)
    return _REFUSED


def _kept(options: argparse.Namespace) -> str:
    return f"; finished stages are kept in {options.out}" if "out" in options else ""


def _use_data_folder(options: argparse.Namespace) -> None:
    """Have everything that opens the store, worker processes too, look where the user says."""
    if getattr(options, "data_dir", None):
        from worldmodel_trading.market.dataset import DATA_VARIABLE

        os.environ[DATA_VARIABLE] = options.data_dir


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="worldmodel-trading",
        description="Train agents in a dreamed market, and judge them in the recorded one.",
    )
    jobs = parser.add_subparsers(title="jobs", required=True, metavar="JOB")
    _add_run(jobs.add_parser("run", help="candles to world model to controller, dream and replay"))
    _add_fetch(jobs.add_parser("fetch", help="download candles, funding rates and rules"))
    _add_watch(jobs.add_parser("watch", help="follow the live market, bar by bar; no orders"))
    _add_dream(jobs.add_parser("dream", help="hallucinate markets from a recorded moment on"))
    _add_forecast(jobs.add_parser("forecast", help="forecast the next return, bar by bar"))
    _add_fidelity(jobs.add_parser("fidelity", help="measure how like the market the dreams are"))
    _add_pretrained(jobs.add_parser("pretrained", help="rebuild the world model that ships"))
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    defaults = {f.name: f.default for f in fields(RunConfig)}

    def add(flag: str, help_text: str, **settings: Any) -> None:
        default = defaults[flag.removeprefix("--").replace("-", "_")]
        shown = "" if default is None else f" (default: {default})"
        parser.add_argument(flag, default=default, help=help_text + shown, **settings)

    parser.add_argument(
        "--candles",
        help="file of candles, bybit:SYMBOL:INTERVAL (stored), or synthetic; without it, "
        "--symbol is fetched, or the synthetic market taken",
    )
    add("--symbol", "instrument")
    add("--interval", "bar length as Bybit's code: 1 … 720 minutes, D, W")
    for name in ("start", "train-end", "validation-end", "end"):
        add(f"--{name}", "ISO time, UTC; ends are exclusive")
    add("--preset", "world model", choices=("market", "paper"))
    add("--out", "folder for the results")
    for name in ("seed", "vae-epochs", "mdn-rnn-epochs", "population", "generations"):
        add(f"--{name}", name.replace("-", " "), type=int)
    for name in ("dreams", "horizon", "evaluation-dreams", "workers"):
        add(f"--{name}", name.replace("-", " "), type=int)
    add("--temperature", "τ of the dreams that train the controller", type=float)
    add("--recent", "share of the training range, the last, in which dreams begin", type=float)
    add("--taker-fee", "fraction of the notional traded", type=float)
    add("--slippage", "fraction of the notional traded", type=float)
    add("--funding", "file of rates, bybit:SYMBOL, a constant rate, or off", type=_number_or_text)
    add("--unrecorded-funding-rate", "where the record has none", type=float)
    add(
        "--device",
        "where V and M are trained and the search dreams",
        choices=("cpu", "cuda", "auto"),
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoints in the output folder"
    )
    parser.add_argument(
        "--account",
        action="append",
        default=[],
        type=_setting,
        metavar="NAME=VALUE",
        help="any other setting of the account, such as leverage=3 or fill_delay=1; repeatable",
    )
    _add_exchange(parser)
    _add_store(parser)
    parser.set_defaults(job=_run)


def _run(options: argparse.Namespace) -> None:
    settings = {f.name: getattr(options, f.name) for f in fields(RunConfig)}
    settings["account"] = dict(options.account)
    if options.candles is None:
        settings["candles"] = _fetched(options) if options.symbol else "synthetic"
    config = RunConfig(**settings)
    from worldmodel_trading.run import run

    _one_thread()
    run(config)


def _one_thread() -> None:
    """Keep PyTorch to one thread: on busy machines two of them wait for each other."""
    import torch

    torch.set_num_threads(1)


def _fetched(options: argparse.Namespace) -> str:
    """Fetch what the store lacks of a symbol; returns the name of the stored candles."""
    source = f"bybit:{options.category}:{options.symbol}:{options.interval or '60'}"
    if options.start is None:
        raise ConfigError("--symbol without --candles is fetched: give --start as well")
    _fetch(options)
    return source


def _add_fetch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--symbol", required=True, help="instrument, such as BTCUSDT")
    parser.add_argument("--interval", default="60", help="bar length, Bybit's code (default: 60)")
    parser.add_argument("--start", required=True, help="ISO time, UTC")
    parser.add_argument("--end", help="ISO time, UTC, exclusive (default: now)")
    _add_exchange(parser)
    _add_store(parser)
    parser.set_defaults(job=_fetch)


def _add_exchange(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--category", default="linear", choices=("linear", "inverse", "spot"))
    parser.add_argument("--base-url", help="of the exchange's REST interface")


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", help="folder of the store (default: the user's data folder)")


def _fetch(options: argparse.Namespace) -> None:
    from worldmodel_trading.market.fetch import fetch
    from worldmodel_trading.market.store import Store
    from worldmodel_trading.market.transport import BASE_URL
    from worldmodel_trading.progress import Amount

    with Amount(f"{options.symbol} {options.interval or '60'}", "bar") as amount:
        report = fetch(
            options.symbol,
            options.interval or "60",
            options.start,
            options.end,
            options.category,
            options.base_url or BASE_URL,
            Store(),
            amount,
        )
    print(report)


def _add_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--symbol", required=True, help="instrument, such as BTCUSDT")
    parser.add_argument("--interval", default="60", help="bar length, Bybit's code (default: 60)")
    parser.add_argument("--world-model", default="default", help="folder of a world model")
    parser.add_argument("--controller", help="file of a linear controller (default: stay flat)")
    parser.add_argument("--bars", type=int, help="stop after so many closed candles")
    parser.add_argument("--stream-url", help="of the exchange's public WebSocket")
    _add_exchange(parser)
    parser.set_defaults(job=_watch)


def _watch(options: argparse.Namespace) -> None:
    from worldmodel_trading.market.feed import STREAM_URL
    from worldmodel_trading.market.transport import BASE_URL
    from worldmodel_trading.watch import watch

    _one_thread()
    watch(
        options.symbol,
        options.interval,
        options.category,
        options.world_model,
        options.controller,
        options.base_url or BASE_URL,
        options.stream_url or STREAM_URL,
        options.bars,
    )


def _add_dream(parser: argparse.ArgumentParser) -> None:
    _add_world_and_candles(parser)
    parser.add_argument("--at", help="last bar that the dreams know, ISO time (default: the last)")
    parser.add_argument("--count", type=int, default=256, help="dreams (default: 256)")
    parser.add_argument("--bars", type=int, default=168, help="bars of each (default: 168)")
    parser.add_argument("--temperature", type=float, default=1.0, help="τ (default: 1.0)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
    parser.add_argument("--out", default="runs/dream", help="folder (default: runs/dream)")
    parser.set_defaults(job=_dream)


def _dream(options: argparse.Namespace) -> None:
    from worldmodel_trading.dream import dream

    _one_thread()
    picture = dream(
        options.world_model,
        options.candles,
        options.at,
        options.count,
        options.bars,
        options.temperature,
        options.seed,
        options.out,
    )
    print(f"Picture: {picture}")


def _add_forecast(parser: argparse.ArgumentParser) -> None:
    _add_world_and_candles(parser)
    parser.add_argument("--start", help="ISO time, UTC: forecasts made from this bar on")
    parser.add_argument("--end", help="ISO time, UTC, exclusive")
    parser.add_argument("--save", metavar="FILE", help="a .csv or .parquet file for all of them")
    parser.set_defaults(job=_forecast)


def _forecast(options: argparse.Namespace) -> None:
    from worldmodel_trading.forecast import forecast

    _one_thread()
    forecast(options.world_model, options.candles, options.start, options.end, options.save)


def _add_fidelity(parser: argparse.ArgumentParser) -> None:
    _add_world_and_candles(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the dreams (default: 0)")
    parser.add_argument("--out", default="runs/fidelity", help="folder (default: runs/fidelity)")
    parser.set_defaults(job=_fidelity)


def _fidelity(options: argparse.Namespace) -> None:
    from worldmodel_trading.envs.worlds import open_world_model
    from worldmodel_trading.evaluation.fidelity import FidelityConfig, fidelity
    from worldmodel_trading.evaluation.fidelity_report import fidelity_summary, write_fidelity
    from worldmodel_trading.market.sources import open_candles
    from worldmodel_trading.progress import say

    _one_thread()
    measured = fidelity(
        open_world_model(options.world_model),
        open_candles(options.candles),
        FidelityConfig(seed=options.seed),
        lambda stage: say(f"Measuring {stage}"),
    )
    _, page = write_fidelity(options.out, measured)
    print(f"{fidelity_summary(measured.results)}\n\nReport: {page}")


def _add_world_and_candles(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--world-model", default="default", help="folder (default: the shipped one)"
    )
    parser.add_argument(
        "--candles", help="file of candles, bybit:SYMBOL:INTERVAL, or synthetic (the default)"
    )
    _add_store(parser)


def _add_pretrained(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, help="folder for the world model")
    parser.set_defaults(job=_pretrained)


def _pretrained(options: argparse.Namespace) -> None:
    from worldmodel_trading.models.default_model import main as build

    build([options.out])


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _setting(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


if __name__ == "__main__":
    sys.exit(main())
