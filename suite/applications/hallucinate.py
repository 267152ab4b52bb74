"""``hallucinate``: whole candles that a world model dreams."""

from __future__ import annotations

import argparse

from worldmodel_trading.shared_arguments import (
    TIME,
    add_candles,
    add_drift,
    add_overwrite,
    add_world_model,
)

SUMMARY = "dream markets and write them down as candles"


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the job takes."""
    add_world_model(parser)
    add_candles(parser)
    parser.add_argument(
        "--like",
        metavar="TIME",
        help=f"begin as the record stood at that moment, when bars up to it had closed; {TIME} (default: "
        "the end of --candles; without those, segments of the training range)",
    )
    parser.add_argument(
        "--from-regime",
        metavar="NAME",
        help="begin in segments of the training range that end in that regime",
    )
    parser.add_argument(
        "--regimes",
        metavar="FOLDER",
        help="where regimes were saved (default: three are found in the model's own bank)",
    )
    parser.add_argument(
        "--paths", type=int, default=256, metavar="N", help="markets (default: 256)"
    )
    parser.add_argument(
        "--bars", type=int, default=720, metavar="N", help="bars of each (default: 720)"
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="X",
        help="τ: above 1 the paths are wilder than the market, 0 always takes the likeliest bar "
        "(default: 1.0)",
    )
    parser.add_argument(
        "--start-price",
        type=float,
        metavar="X",
        help="where the first bars open (default: the close that they follow)",
    )
    parser.add_argument(
        "--start-time",
        metavar="TIME",
        help="when the first bars open (default: after the bar that they follow)",
    )
    add_drift(parser)
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="same seed, same paths (default: 0)"
    )
    parser.add_argument(
        "--ood",
        action="store_true",
        help="a column that says how far from the training range each bar is, 0 to 1",
    )
    parser.add_argument(
        "--picture", metavar="FILE", help="a .png file for a fan of the first 1,000 paths"
    )
    parser.add_argument(
        "--out",
        default="dreams.parquet",
        metavar="TARGET",
        help="a .parquet or .csv file for one table, or a folder with a file for each path (default: "
        "dreams.parquet)",
    )
    add_overwrite(parser)


def do(options: argparse.Namespace) -> None:
    """Dream and write."""
    from worldmodel_trading.jobs.hallucinate import hallucinate
    from worldmodel_trading.models.hallucination import Hallucination

    settings = Hallucination(
        options.paths,
        options.bars,
        options.temperature,
        options.seed,
        options.start_price,
        options.start_time,
        options.drift,
    )
    hallucinate(
        options.world_model,
        settings,
        options.out,
        candles=options.candles,
        like=options.like,
        from_regime=options.from_regime,
        regimes=options.regimes,
        ood=options.ood,
        picture=options.picture,
        overwrite=options.overwrite,
    )
