"""``data``: what the store holds, and whether it is whole."""

from __future__ import annotations

import argparse

from worldmodel_trading.shared_arguments import add_store

SUMMARY = "list what is stored of the exchange, or read all of it and say what is damaged"


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the job takes."""
    parser.add_argument(
        "what",
        choices=("list", "verify"),
        help="list: every table's first and last bar, gaps, size and instrument, without reading "
        "them; verify: read everything, exit status 1 if anything is damaged",
    )
    parser.add_argument("--symbol", help="list only this one")
    parser.add_argument("--json", action="store_true", help="as JSON, with the stretches fetched")
    add_store(parser)


def do(options: argparse.Namespace) -> int:
    """List or verify; 1 if anything is damaged."""
    from worldmodel_trading.jobs.data import list_stored, verify_stored

    if options.what == "list":
        list_stored(options.symbol, options.json)
        return 0
    return verify_stored(options.json)
