"""``transfer``: what a world model of another market is worth where few bars are known."""

from __future__ import annotations

import argparse

from worldmodel_trading.shared_arguments import (
    CANDLES,
    TIME,
    add_overwrite,
    add_resume,
    add_store,
    add_workers,
    crew_of,
)

SUMMARY = "fine-tune a world model of another market, and measure what that is worth by bars known"


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the job takes."""
    parser.add_argument(
        "--from",
        dest="parents",
        action="append",
        required=True,
        metavar="FOLDER",
        help="a world model, or a joint one; several: seed s takes the s-th",
    )
    parser.add_argument("--candles", required=True, metavar="SOURCE", help=f"the target: {CANDLES}")
    add_store(parser)
    parser.add_argument(
        "--bars",
        default="500,2000,8000,all",
        metavar="N,N,…",
        help="how many of the last bars before the test range are known; the last quarter of them chooses "
        "(default: 500,2000,8000,all)",
    )
    parser.add_argument("--start", metavar="TIME", help=f"first bar that may be known; {TIME}")
    parser.add_argument(
        "--train-end",
        metavar="TIME",
        help="no more bars choose than lie between this and --validation-end (default: 70%% of the record)",
    )
    parser.add_argument(
        "--validation-end", metavar="TIME", help="where the test range begins (default: 85%%)"
    )
    parser.add_argument("--end", metavar="TIME", help="its end (default: the record's)")
    parser.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="trainings of each (default: 1)"
    )
    parser.add_argument("--freeze-encoder", action="store_true", help="leave V as it is")
    parser.add_argument(
        "--audited",
        type=int,
        default=1,
        metavar="N",
        help="of how many seeds dreams and ranks are measured (default: 1)",
    )
    parser.add_argument(
        "--audited-bars",
        type=int,
        default=2000,
        metavar="N",
        help="from how many known bars on (default: 2000)",
    )
    add_workers(parser)
    add_resume(parser)
    parser.add_argument(
        "--out",
        default="runs/transfer",
        metavar="FOLDER",
        help="for the results (default: runs/transfer)",
    )
    add_overwrite(parser)


def do(options: argparse.Namespace) -> None:
    """Measure and tell."""
    from worldmodel_trading.evaluation.report.transfer_page import transfer_text
    from worldmodel_trading.jobs.transfer import transfer
    from worldmodel_trading.market.errors import ConfigError
    from worldmodel_trading.progress import tell

    try:
        bars = tuple(n if n == "all" else int(n) for n in options.bars.split(","))
    except ValueError:
        raise ConfigError(
            f"--bars is {options.bars!r}; expected numbers and all, such as 500,2000,all"
        ) from None
    names = ("start", "train_end", "validation_end", "end", "resume", "overwrite")
    found = transfer(
        options.parents,
        options.candles,
        options.out,
        bars=bars,
        seeds=options.seeds,
        freeze_encoder=options.freeze_encoder,
        audited=options.audited,
        audited_bars=options.audited_bars,
        workers=crew_of(options),
        **{name: getattr(options, name) for name in names},
    )
    tell(f"{transfer_text(found)}\n\nReport: {options.out}/transfer.html")
