"""The command line: ``worldmodel-trading JOB``."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TextIO

from worldmodel_trading.applications import APPLICATIONS, DATA_JOBS, Application
from worldmodel_trading.arguments import parser
from worldmodel_trading.config import RunConfig
from worldmodel_trading.dates import read_times
from worldmodel_trading.market.errors import (
    ConfigError,
    OtherMarketWarning,
    WorldModelTradingError,
)
from worldmodel_trading.market.files.writer import cannot_write
from worldmodel_trading.market.times import to_ms
from worldmodel_trading.output import is_begun, job_folder, refuse_taken
from worldmodel_trading.progress import be_quiet, say, tell
from worldmodel_trading.terminal import STOPPED, interruptible, ready_streams, refused_output

_FAILED, _REFUSED = 1, 2
_UNREAD = 141  # what a shell reports where nobody reads any more


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the job that the arguments name; returns the exit status."""
    ready_streams()
    options = argparse.Namespace()
    try:
        with interruptible(), _plain_warnings():
            return _do(arguments, options)
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


def _do(arguments: Sequence[str] | None, options: argparse.Namespace) -> int:
    """Do the job; the exit status is what it returns where that is a number, else 0."""
    try:
        parser(_JOBS).parse_args(arguments, options)
        be_quiet(options.quiet)
        _use_data_folder(options)
        job: Callable[[argparse.Namespace], object] = options.job
        status = job(options)
    finally:
        sys.stdout.flush()  # what cannot be written is found out here, not when Python ends
    return status if isinstance(status, int) else 0


def _refuse(message: str) -> int:
    print(f"worldmodel-trading: {message}", file=sys.stderr)
    return _REFUSED


def _kept(options: argparse.Namespace) -> str:
    """How to go on with what was stopped, where that is possible."""
    if "resume" not in options or not is_begun(Path(options.out)):
        return ""
    return f": the same command with --resume goes on from what is kept in {options.out}"


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Say the package's own warnings in a line each, without the place in the code."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", OtherMarketWarning)
        others = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, OtherMarketWarning):
                print(f"worldmodel-trading: {message}", file=sys.stderr)
            else:
                others(message, category, filename, lineno, file, line)

        warnings.showwarning = show  # catch_warnings puts the old one back
        yield


def _use_data_folder(options: argparse.Namespace) -> None:
    """Have everything that opens the store, worker processes too, look where the user says."""
    if getattr(options, "data_dir", None):
        from worldmodel_trading.market.bybit.table import DATA_VARIABLE

        os.environ[DATA_VARIABLE] = options.data_dir


def _run(options: argparse.Namespace) -> None:
    settings = {f.name: getattr(options, f.name) for f in fields(RunConfig)}
    settings["account"], settings["model"] = dict(options.account), dict(options.model)
    settings["candles"] = options.candles or "synthetic"
    if options.symbols or options.joint:
        return _run_symbols(options, settings)
    config = RunConfig(**settings)
    if options.symbol and not options.candles:
        config = _fetched(config, options)
    from worldmodel_trading.jobs.run import run

    _one_thread()
    run(config)


def _run_symbols(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    from worldmodel_trading.jobs.universe import UniverseConfig, run_universe

    if not options.candles:
        settings["candles"] = f"bybit:{options.category}:{{symbol}}:{options.interval or '60'}"
    symbols = tuple(filter(None, (options.symbols or "").split(",")))
    _one_thread()
    run_universe(UniverseConfig(symbols, settings, options.joint))


def _one_thread() -> None:
    """Keep PyTorch to one thread: on busy machines two of them wait for each other."""
    import torch

    torch.set_num_threads(1)


def _fetched(config: RunConfig, options: argparse.Namespace) -> RunConfig:
    """Fetch what the store lacks of a symbol; returns the run on what there is then."""
    if options.start is None:
        raise ConfigError("--symbol without --candles is fetched: give --start as well")
    refuse_taken(config.out_dir, "run", overwrite=config.overwrite)
    from worldmodel_trading.jobs.fetch import Hosts, fetch_symbol

    read_times({"start": options.start, "end": options.end})
    report = fetch_symbol(
        options.symbol,
        options.interval or "60",
        options.start,
        options.end,
        options.category,
        hosts=Hosts(options.base_url),
    )
    if report.start_ms is None or report.end_ms is None:
        raise ConfigError(f"the exchange has no bar of {options.symbol} between --start and --end")
    stored = f"bybit:{report.category}:{report.symbol}:{report.interval}"
    end = None if options.end is None else min(report.end_ms, to_ms(options.end))
    return replace(
        config, candles=stored, start=max(report.start_ms, to_ms(options.start)), end=end
    )


def _watch(options: argparse.Namespace) -> None:
    from worldmodel_trading.jobs.watch import watch
    from worldmodel_trading.market.bybit.feed import STREAM_URL
    from worldmodel_trading.market.bybit.transport import BASE_URL

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
        options.funding,
    )


def _forecast(options: argparse.Namespace) -> None:
    from worldmodel_trading.jobs.forecast import forecast

    _one_thread()
    forecast(
        options.world_model,
        options.candles,
        options.start,
        options.end,
        options.save,
        options.baselines,
    )


def _report(options: argparse.Namespace) -> None:
    from worldmodel_trading.jobs.report import report

    report(options.folder)


def _fidelity(options: argparse.Namespace) -> None:
    from worldmodel_trading.evaluation.checks import check_whole
    from worldmodel_trading.evaluation.fidelity.generators import open_generator
    from worldmodel_trading.evaluation.fidelity.report import fidelity_summary, write_fidelity
    from worldmodel_trading.evaluation.fidelity.runs import measure_runs
    from worldmodel_trading.evaluation.fidelity.subject import FidelityConfig
    from worldmodel_trading.market.sources import open_candles
    from worldmodel_trading.models.load import open_world_model

    check_whole("seeds", options.seeds, 1)
    config = FidelityConfig(drift=options.drift, seed=options.seed)
    generators = dict(map(open_generator, options.generator))
    refuse_taken(options.out, "fidelity", overwrite=options.overwrite)
    candles = open_candles(options.candles)
    world_models = {name: open_world_model(name) for name in options.world_model or ["default"]}
    _one_thread()
    with job_folder(options.out, "fidelity", overwrite=options.overwrite) as emptied:
        measured = measure_runs(
            world_models,
            candles,
            config,
            lambda stage: say(f"Measuring {stage}"),
            seeds=options.seeds,
            allow_other_market=options.allow_other_market,
            generators=generators,
        )
        _, page = write_fidelity(emptied(), measured)
    tell(f"{fidelity_summary(measured)}\n\nReport: {page}")


def _train(options: argparse.Namespace) -> None:
    from worldmodel_trading.jobs.train import train_agent

    _one_thread()
    train_agent(
        options.agent,
        options.world_model,
        options.out,
        candles=options.candles,
        resume=options.resume,
        overwrite=options.overwrite,
        settings=dict(options.set),
        account=dict(options.account),
        **{name: getattr(options, name) for name in _TRAIN},
    )
    tell(f"Agent: {options.out}")


_TRAIN = (
    *("env", "steps", "objective", "seed", "lanes", "horizon", "temperature", "drift", "funding"),
    "pessimism",
    *("every", "patience", "start", "train_end", "validation_end"),
)


def _evaluate(options: argparse.Namespace) -> None:
    from worldmodel_trading.ground import Cuts
    from worldmodel_trading.jobs.evaluate import EvaluateConfig, evaluate

    _one_thread()
    config = EvaluateConfig(
        tuple(options.venues.split(",")),
        options.dreams,
        options.horizon,
        options.observation,
        options.trust,
        options.drift,
        options.funding,
        dict(options.account),
        options.seed,
    )
    cuts = Cuts(options.start, options.train_end, options.validation_end)
    out, overwrite = options.out, options.overwrite
    evaluate(options.agent, config, options.world_model, options.candles, cuts, out, overwrite)


def _compare(options: argparse.Namespace) -> int:
    from worldmodel_trading.comparison.arguments import by_agent, numbers
    from worldmodel_trading.evaluation.report.comparison_text import comparison_text
    from worldmodel_trading.jobs.compare import compare
    from worldmodel_trading.shared_arguments import crew_of

    _one_thread()
    if options.self_test is not None:
        return _self_test(options)
    if not options.agent:
        raise ConfigError(
            "there is no agent to compare: name one, such as momentum (see agents list)"
        )
    comparison = compare(
        options.agent,
        options.world_model or ["default"],
        options.candles,
        options.out,
        resume=options.resume,
        overwrite=options.overwrite,
        workers=crew_of(options),
        seeds=1 if options.seeds is None else options.seeds,
        venues=tuple(options.venues.split(",")),
        temperatures=numbers(options.temperatures, "--temperatures"),
        settings=by_agent(options.set),
        account=dict(options.account),
        model=dict(options.model),
        **{name: getattr(options, name) for name in _COMPARE},
    )
    tell(f"\n{comparison_text(comparison)}\n\nComparison: {options.out}")
    return 0


def _self_test(options: argparse.Namespace) -> int:
    from worldmodel_trading.comparison.arguments import by_agent
    from worldmodel_trading.jobs.self_test import self_test

    settings = by_agent(options.set).get(options.self_test, {})
    steps = {"steps": settings.pop("steps")} if "steps" in settings else {}
    seeds = {} if options.seeds is None else {"seeds": options.seeds}
    found = self_test(options.self_test, seed=options.seed, settings=settings, **steps, **seeds)
    tell(str(found))
    return 0 if found.passed else _FAILED


_COMPARE = (
    *("seed", "dreams", "horizon", "observation", "trust", "drift", "funding"),
    *("walk_forward", "purge", "embargo", "rolling", "model_seeds", "allow_in_sample"),
    *("audit", "policy_dreams", "searches"),
    *("start", "train_end", "validation_end", "end"),
)


def _agents(options: argparse.Namespace) -> None:
    from worldmodel_trading.agents.registry import listed

    rows = [
        (one.name, one.kind, "" if one.installed else "not installed", one.about)
        for one in listed()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        tell("  ".join(cells).rstrip())


def _pretrained(options: argparse.Namespace) -> None:
    from worldmodel_trading.jobs.pretrained import build_pretrained

    _one_thread()
    build_pretrained(options.out, overwrite=options.overwrite)
    tell(f"World model: {options.out}")


def _applied(application: Application) -> Callable[[argparse.Namespace], object]:
    def do(options: argparse.Namespace) -> object:
        _one_thread()
        return application.do(options)

    return do


_JOBS: dict[str, Callable[[argparse.Namespace], object]] = {
    "run": _run,
    "train": _train,
    "evaluate": _evaluate,
    "compare": _compare,
    "agents": _agents,
    "watch": _watch,
    "forecast": _forecast,
    "fidelity": _fidelity,
    "report": _report,
    "pretrained": _pretrained,
    **{name: one.do for name, one in DATA_JOBS.items()},
    **{name: _applied(one) for name, one in APPLICATIONS.items()},
}


if __name__ == "__main__":
    sys.exit(main())
