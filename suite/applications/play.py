"""``worldmodel-trading play``: a page on which a person trades replay and dreams."""

from __future__ import annotations

import argparse

from worldmodel_trading.shared_arguments import (
    add_account_settings,
    add_candles,
    add_drift,
    add_overwrite,
    add_world_model,
)

SUMMARY = "write a page to trade recorded bars and dreams by hand, and to tell which is which"
_NUMBERS = {
    "bars": (240, "recorded bars that are played"),
    "horizon": (72, "bars of each dream"),
    "dreams": (3, "dreams of each moment, temperature and regime to choose from"),
    "seed": (0, "of the dreams and the quiz"),
}


def add(parser: argparse.ArgumentParser) -> None:
    """See `Application`."""
    add_world_model(parser)
    add_candles(parser)
    parser.add_argument(
        "--start",
        metavar="TIME",
        help="first bar that is played (default: the first that the world model has not seen)",
    )
    for name, (default, about) in _NUMBERS.items():
        parser.add_argument(
            f"--{name}",
            type=int,
            default=default,
            metavar="N",
            help=f"{about} (default: {default})",
        )
    parser.add_argument(
        "--temperatures",
        default="0.5,1,1.5",
        metavar="X,…",
        help="τ to choose from (default: 0.5,1,1.5)",
    )
    add_account_settings(parser)
    add_drift(parser)
    parser.add_argument(
        "--out", default="play.html", metavar="FILE", help="the page (default: play.html)"
    )
    add_overwrite(parser)


def do(options: argparse.Namespace) -> None:
    """See `Application`."""
    from worldmodel_trading.comparison.arguments import numbers
    from worldmodel_trading.jobs.play import play
    from worldmodel_trading.progress import tell

    page = play(
        options.world_model,
        options.candles,
        options.out,
        start=options.start,
        drift=options.drift,
        account=dict(options.account),
        overwrite=options.overwrite,
        temperatures=numbers(options.temperatures, "--temperatures"),
        **{name: getattr(options, name) for name in _NUMBERS},
    )
    tell(f"Page: {page}")
