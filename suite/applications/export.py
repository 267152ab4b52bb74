"""``export``: episodes of any agent as data for offline learning."""

from __future__ import annotations

import argparse

from worldmodel_trading.agent_arguments import add_account, add_opening, add_ranges
from worldmodel_trading.shared_arguments import add_candles, add_drift, add_world_model

SUMMARY = "write episodes of an agent to Parquet and Minari, for offline learning"


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the job takes."""
    parser.add_argument(
        "agent",
        metavar="AGENT",
        help="an agent's folder, a rule's name (agents list), or module:callable, which is run",
    )
    add_world_model(parser)
    add_candles(parser)
    parser.add_argument(
        "--venue",
        default="dream",
        choices=("dream", "train", "validation", "test"),
        help="where: in dreams, or in replay of a range of the record (default: dream)",
    )
    parser.add_argument(
        "--episodes", type=int, default=100, metavar="N", help="how many (default: 100)"
    )
    parser.add_argument(
        "--horizon", type=int, default=720, metavar="N", help="bars of each (default: 720)"
    )
    parser.add_argument(
        "--stochastic",
        action="store_true",
        help="let a learned policy draw its actions, instead of taking its mode",
    )
    parser.add_argument(
        "--temperature", type=float, default=1.0, metavar="X", help="τ of dreams (default: 1.0)"
    )
    add_drift(parser)
    add_ranges(parser)
    add_account(parser)
    add_opening(parser)
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the first episode (default: 0)"
    )
    parser.add_argument("--out", metavar="FILE", help="a .parquet file")
    parser.add_argument(
        "--minari", metavar="ID", help="a data set of Minari, such as bybit/btc-momentum-v0"
    )
    parser.add_argument(
        "--minari-folder",
        metavar="FOLDER",
        help="where data sets of Minari are kept (default: $MINARI_DATASETS_PATH, or Minari's own)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the .parquet file")


def do(options: argparse.Namespace) -> None:
    """Play and write."""
    from worldmodel_trading.ground import Cuts
    from worldmodel_trading.jobs.export import ExportConfig, export

    config = ExportConfig(
        account=dict(options.account), **{name: getattr(options, name) for name in _CONFIG}
    )
    export(
        options.agent,
        config,
        options.world_model,
        options.candles,
        Cuts(options.start, options.train_end, options.validation_end),
        out=options.out,
        minari=options.minari,
        minari_folder=options.minari_folder,
        overwrite=options.overwrite,
    )


_CONFIG = (
    *("venue", "episodes", "horizon", "seed", "stochastic", "temperature", "drift", "funding"),
    *("observation", "trust"),
)
