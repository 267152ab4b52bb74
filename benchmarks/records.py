"""A record and its ranges, as commands that measure on real bars take them."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.files.export import read_candles


def add_record(parser: argparse.ArgumentParser) -> None:
    """The file, and where its ranges begin and end."""
    parser.add_argument("--candles", type=Path, required=True, help="CSV or Parquet file")
    parser.add_argument("--symbol")
    parser.add_argument("--interval")
    parser.add_argument("--start", help="first bar, ISO time")
    parser.add_argument("--train-end", required=True)
    parser.add_argument("--validation-end", required=True)


def open_record(arguments: argparse.Namespace) -> Candles:
    """The bars from ``--start`` on."""
    candles = read_candles(arguments.candles, symbol=arguments.symbol, interval=arguments.interval)
    return candles.between(arguments.start, None)
