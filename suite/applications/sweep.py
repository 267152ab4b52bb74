"""``sweep``: settings of world model and search, tried on validation; the test range is cut off first."""

from __future__ import annotations

import argparse

from worldmodel_trading.shared_arguments import (
    TIME,
    add_overwrite,
    add_resume,
    add_store,
    add_workers,
    crew_of,
    setting,
)

SUMMARY = "try settings of world model and search, and choose on validation alone"
_CUTS = ("start", "train_end", "validation_end")


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the job takes."""
    parser.add_argument(
        "candles",
        nargs="?",
        default="synthetic",
        metavar="CANDLES",
        help="file of candles (docs/candles.md), bybit:SYMBOL:INTERVAL (stored), or synthetic (the default)",
    )
    add_store(parser)
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=VALUES",
        help="what to vary: LOW:HIGH, LOW:HIGH:log, or VALUE,VALUE,…; names are model.NAME for any setting of "
        "the world model, and run's options of epochs and search, such as population; repeatable",
    )
    parser.add_argument(
        "--space", metavar="FILE", help='more to vary: TOML or JSON, "NAME" = "LOW:HIGH" for each'
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=setting,
        metavar="NAME=VALUE",
        help="a setting of all trials, named likewise; repeatable",
    )
    parser.add_argument(
        "--objective",
        default="nll",
        choices=("nll", "controller"),
        help="what is wanted of validation: a low NLL of the world model's forecasts, or a high score of a "
        "controller that was searched for in dreams (default: nll)",
    )
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="(default: 20)")
    parser.add_argument(
        "--pruner",
        default="median",
        choices=("median", "hyperband", "none"),
        help="what ends poor trials early (default: median)",
    )
    parser.add_argument(
        "--again",
        type=int,
        default=2,
        metavar="N",
        help="other seeds with which the best settings and the given ones are tried once more (default: 2)",
    )
    for name in _CUTS:
        parser.add_argument(
            f"--{name.replace('_', '-')}", metavar="TIME", help=f"as of run; {TIME}"
        )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of all trials (default: 0)"
    )
    add_workers(parser)
    add_resume(parser)
    parser.add_argument(
        "--study",
        dest="out",
        default="runs/sweep",
        metavar="FOLDER",
        help="for the study and its results (default: runs/sweep)",
    )
    add_overwrite(parser)


def do(options: argparse.Namespace) -> None:
    """Sweep and tell."""
    from worldmodel_trading.evaluation.report.sweep_page import sweep_text
    from worldmodel_trading.jobs.sweep import BEST, PAGE, sweep
    from worldmodel_trading.progress import tell
    from worldmodel_trading.sweeping.space import MODEL

    fixed = dict(options.set)
    model = {
        name.removeprefix(MODEL): fixed.pop(name) for name in list(fixed) if name.startswith(MODEL)
    }
    given = {name: getattr(options, name) for name in (*_CUTS, "seed")}
    told = sweep(
        options.vary,
        options.out,
        space=options.space,
        objective=options.objective,
        trials=options.trials,
        pruner=options.pruner,
        again=options.again,
        resume=options.resume,
        overwrite=options.overwrite,
        workers=crew_of(options),
        candles=options.candles,
        model=model,
        **{**given, **fixed},
    )
    tell(f"{sweep_text(told)}\n\nBest: {options.out}/{BEST}; page: {options.out}/{PAGE}")


def _pair(text: str) -> tuple[str, str]:
    name, separator, values = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUES")
    return name, values
