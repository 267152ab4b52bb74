"""``regimes``: the market's moods, and who earned what in each."""

from __future__ import annotations

import argparse

from worldmodel_trading.agent_arguments import add_account, add_opening, add_ranges
from worldmodel_trading.shared_arguments import add_candles, add_seed_and_out, add_world_model

SUMMARY = "find a market's regimes in the latent space, name them, and see agents by regime"


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the job takes."""
    add_world_model(parser)
    add_candles(parser)
    parser.add_argument(
        "--agent",
        action="append",
        default=[],
        metavar="AGENT",
        help="an agent's folder, a rule's name (agents list), or module:callable, which is run "
        "(repeatable; holding and staying out are beside them)",
    )
    parser.add_argument(
        "--count",
        type=int,
        metavar="N",
        help="how many regimes, 2 to 8 (default: by BIC, of those that resampled blocks find again)",
    )
    parser.add_argument(
        "--method",
        default="hmm",
        choices=("hmm", "mixture"),
        help="a hidden Markov model, or a Gaussian mixture, which has no memory (default: hmm)",
    )
    parser.add_argument(
        "--bootstraps",
        type=int,
        default=5,
        metavar="N",
        help="fits on resampled blocks for each number of regimes (default: 5)",
    )
    add_opening(parser)
    add_ranges(parser)
    add_account(parser)
    add_seed_and_out(parser, "runs/regimes", "the regimes and the page", "resamples and intervals")


def do(options: argparse.Namespace) -> None:
    """Find, play and write."""
    from worldmodel_trading.ground import Cuts
    from worldmodel_trading.jobs.regimes import find_regimes

    named = ("count", "method", "bootstraps", "observation", "trust", "funding", "seed")
    find_regimes(
        options.world_model,
        options.candles,
        options.agent,
        options.out,
        cuts=Cuts(options.start, options.train_end, options.validation_end),
        overwrite=options.overwrite,
        account=dict(options.account),
        **{name: getattr(options, name) for name in named},
    )
