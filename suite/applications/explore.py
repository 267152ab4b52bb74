"""``worldmodel-trading explore``: thousands of policies in dreams, the few best in replay."""

from __future__ import annotations

import argparse

from worldmodel_trading.agent_arguments import add_ranges
from worldmodel_trading.shared_arguments import (
    add_account_settings,
    add_candles,
    add_drift,
    add_resume,
    add_seed_and_out,
    add_workers,
    add_world_model,
    crew_of,
)

SUMMARY = "sweep thousands of policies in dreams, and verify the few best in replay"
_NUMBERS = {
    "count": (int, "N", 100_000, "candidates in all, shared out equally over the spaces"),
    "dreams": (int, "N", 64, "dreams in which each trades, the same for all"),
    "horizon": (int, "N", 720, "bars of each"),
    "temperature": (float, "X", 1.0, "τ of the dreams"),
    "finalists": (int, "N", 500, "the best so many are scored again, in fresh dreams"),
    "fresh-dreams": (int, "N", 512, "how many"),
    "best": (int, "N", 5, "of the finalists so many are replayed"),
    "audited": (int, "N", 300, "candidates whose ranking is held against blind ones; 0 for none"),
}


def add(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument(
        "spaces",
        nargs="*",
        metavar="SPACE",
        help="what candidates are drawn from: linear (controllers), or rules by their settings: momentum, "
        "reversion, volatility_target, constant (default: linear)",
    )
    add_world_model(parser)
    add_candles(parser)
    for name, (kind, metavar, default, about) in _NUMBERS.items():
        parser.add_argument(
            f"--{name}",
            type=kind,
            default=default,
            metavar=metavar,
            help=f"{about} (default: {default:,})",
        )
    parser.add_argument(
        "--objective",
        default="log_return",
        metavar="NAME",
        help="what ranks them: log_return, sharpe, sortino, calmar, cvar or mean_deviation "
        "(default: log_return)",
    )
    parser.add_argument(
        "--no-rival",
        action="store_true",
        help="do without the same sweep on the recorded training range, which takes as long again",
    )
    add_ranges(parser)
    add_account_settings(parser)
    add_drift(parser)
    add_workers(parser)
    add_resume(parser)
    add_seed_and_out(
        parser, "runs/explore", "the candidates and the page", of="candidates and dreams"
    )


def do(options: argparse.Namespace) -> None:
    """Do it."""
    from worldmodel_trading.evaluation.report.explore_page import REPORT
    from worldmodel_trading.jobs.explore import explore
    from worldmodel_trading.progress import tell

    taken = ("objective", "drift", "seed", *(name.replace("-", "_") for name in _NUMBERS))
    where = ("start", "train_end", "validation_end", "resume", "overwrite")
    explore(
        options.world_model,
        options.candles,
        options.out,
        spaces=tuple(options.spaces or ("linear",)),
        rival=not options.no_rival,
        account=dict(options.account),
        workers=crew_of(options),
        **{name: getattr(options, name) for name in (*taken, *where)},
    )
    tell(f"\nPage: {options.out}/{REPORT}")
