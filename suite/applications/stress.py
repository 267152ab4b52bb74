"""Tail scenarios of dreams, and what agents lose in them."""

from __future__ import annotations

import argparse

from worldmodel_trading.agent_arguments import add_account, add_opening, add_ranges
from worldmodel_trading.shared_arguments import (
    add_candles,
    add_drift,
    add_seed_and_out,
    add_world_model,
    setting,
)

SUMMARY = "put agents through crashes, squeezes, spikes and droughts, dreamed and recorded"


def add(parser: argparse.ArgumentParser) -> None:
    """See `Application`."""
    parser.add_argument(
        "--agent",
        action="append",
        default=[],
        metavar="AGENT",
        help="an agent's folder, a rule's name (agents list), or module:callable, which is run "
        "(repeatable; holding and staying out are always beside them)",
    )
    add_world_model(parser)
    add_candles(parser)
    parser.add_argument(
        "--stress",
        default="crash,squeeze,vol-spike,drought",
        metavar="NAMES",
        help="events, of crash, squeeze, vol-spike and drought (default: all four)",
    )
    parser.add_argument(
        "--condition",
        action="append",
        default=[],
        metavar="TEXT",
        help="what else shall happen, such as 'return < -0.15 within 72'; of return, range, volatility "
        "and volume (repeatable)",
    )
    parser.add_argument(
        "--bars", type=int, default=72, metavar="N", help="bars of every path (default: 72)"
    )
    parser.add_argument(
        "--paths",
        type=int,
        default=4096,
        metavar="N",
        help="dreams of each scenario (default: 4096)",
    )
    parser.add_argument(
        "--leverage",
        type=float,
        metavar="X",
        help="what an action of 1 holds (default: the account's)",
    )
    parser.add_argument(
        "--widen",
        action="append",
        default=[],
        type=setting,
        metavar="NAME=VALUE",
        help="how costs and delays are in such hours: slippage_multiple (default: 3), "
        "slippage_per_range (0.1), fee_multiple (1), fill_delay (1); repeatable",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=setting,
        metavar="RULE.NAME=VALUE",
        help="a setting of a rule, such as momentum.horizon=24; repeatable",
    )
    parser.add_argument(
        "--temperature", type=float, default=1.0, metavar="X", help="τ of the dreams (default: 1.0)"
    )
    add_opening(parser)
    add_ranges(parser)
    add_account(parser)
    add_drift(parser)
    add_seed_and_out(parser, "runs/stress", "the numbers and the page")


def do(options: argparse.Namespace) -> None:
    """See `Application`."""
    from worldmodel_trading.comparison.arguments import by_agent
    from worldmodel_trading.ground import Cuts
    from worldmodel_trading.jobs.stress import Widened, stress

    account = dict(options.account)
    if options.leverage is not None:
        account["leverage"] = options.leverage
    named = ("bars", "paths", "temperature", "observation", "trust", "drift", "funding", "seed")
    stress(
        options.agent,
        options.world_model,
        options.candles,
        options.out,
        events=tuple(filter(None, options.stress.split(","))),
        conditions=tuple(options.condition),
        account=account,
        widened=Widened.from_dict(dict(options.widen)),
        settings=by_agent(options.set),
        cuts=Cuts(options.start, options.train_end, options.validation_end),
        overwrite=options.overwrite,
        **{name: getattr(options, name) for name in named},
    )
