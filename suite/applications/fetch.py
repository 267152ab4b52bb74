"""``fetch``: Bybit's data into the store."""

from __future__ import annotations

import argparse

from worldmodel_trading.dates import read_times
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.shared_arguments import TIME, add_exchange, add_store

SUMMARY = "download candles, funding rates, rules and series, of one symbol or of a universe"
_FAILED = 1


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the job takes."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--symbol", help="instrument, such as BTCUSDT")
    which.add_argument(
        "--universe",
        choices=("linear", "inverse", "spot"),
        help="all instruments of a market, one after the other; what fails is named at the end",
    )
    parser.add_argument("--interval", default="60", help="bar length, Bybit's code (default: 60)")
    parser.add_argument(
        "--start", metavar="TIME", help=f"first bar; {TIME} (of a universe, default: each launch)"
    )
    parser.add_argument("--end", metavar="TIME", help="end, exclusive (default: now)")
    parser.add_argument(
        "--series",
        default="",
        metavar="NAMES",
        help="what to bring beside candles and funding rates, with commas between: open-interest, "
        "account-ratio, premium-index, mark, index; from the archive of trades, which is large: "
        "taker-imbalance, point-of-control, volume-above-close",
    )
    group = parser.add_argument_group("the universe")
    group.add_argument(
        "--quote", metavar="COIN", help="the coin that prices are in, such as USDT (default: any)"
    )
    group.add_argument(
        "--status",
        default="trading",
        choices=("trading", "all"),
        help="all are those to come and those that have ended as well: without them only survivors "
        "are in it (default: trading)",
    )
    group.add_argument(
        "--as-of",
        metavar="TIME",
        help="the symbols of the list that was stored by then, instead of today's",
    )
    add_exchange(parser)
    parser.add_argument(
        "--archive-url", metavar="URL", help="of the archive of trades (default: Bybit's)"
    )
    add_store(parser)


def do(options: argparse.Namespace) -> int:
    """Fetch; 1 if any symbol failed."""
    from worldmodel_trading.jobs.fetch import Hosts, fetch_symbol, fetch_symbols

    read_times({"start": options.start, "end": options.end})
    read_times({"as_of": options.as_of})
    series = tuple(filter(None, options.series.split(",")))
    hosts = Hosts(options.base_url, options.archive_url)
    asked = (options.interval, options.start, options.end)
    if options.universe:
        report = fetch_symbols(
            options.universe,
            options.quote or "",
            options.status,
            options.as_of,
            *asked,
            series,
            hosts,
        )
        return _FAILED if report.of("failed") else 0
    if options.start is None:
        raise ConfigError("--symbol takes --start, the first bar that is wanted")
    fetch_symbol(options.symbol, *asked, options.category, series, hosts)
    return 0
