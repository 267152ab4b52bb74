"""The arguments of the jobs that train agents and judge them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from worldmodel_trading.agents.registry import ALGORITHMS, LEARNED
from worldmodel_trading.shared_arguments import add_account_settings, number_or_text

Setting = Callable[[str], tuple[str, Any]]
_VENUES = ("dream", "validation", "test")


def add_train(train: argparse.ArgumentParser, setting: Setting) -> None:
    """What `train` takes, beside world model, candles, account, seed and folder.

    Args:
        train: The parser.
        setting: Reads NAME=VALUE.
    """
    train.add_argument(
        "--agent",
        default="ppo",
        choices=LEARNED,
        help="what learns (default: ppo; agents list says more)",
    )
    train.add_argument(
        "--env",
        default="dream",
        choices=("dream", "replay"),
        help="where: in dreams, or in replay of the world model's training range (default: dream)",
    )
    train.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help=f"bars to train on, all lanes together (default: {ALGORITHMS['ppo'].steps:,} for ppo and "
        "a2c, 300,000 for others)",
    )
    train.add_argument(
        "--objective",
        default="log_return",
        metavar="NAME",
        help="what is maximised: log_return, simple_return or differential_sharpe; by cma_es log_return, "
        "sharpe, sortino, calmar, cvar or mean_deviation (default: log_return)",
    )
    train.add_argument(
        "--set",
        action="append",
        default=[],
        type=setting,
        metavar="NAME=VALUE",
        help="a setting of the algorithm, such as gamma=0.95 or net_arch=[64,64]; repeatable",
    )
    train.add_argument(
        "--lanes", type=int, default=64, metavar="N", help="markets traded at once (default: 64)"
    )
    train.add_argument(
        "--horizon",
        type=int,
        metavar="N",
        help="bars of an episode (default: 256, and 720 for cma_es)",
    )
    train.add_argument(
        "--temperature", type=float, default=1.0, metavar="X", help="τ of the dreams (default: 1.0)"
    )
    train.add_argument(
        "--pessimism",
        type=float,
        default=0.0,
        metavar="X",
        help="λ: a position is paid so much less where the world model's members disagree "
        "(default: 0)",
    )
    train.add_argument(
        "--every",
        type=int,
        metavar="N",
        help="bars between looks at validation, and checkpoints (default: a tenth of the steps)",
    )
    train.add_argument(
        "--patience",
        type=int,
        metavar="N",
        help="end after so many looks without a better one (default: never)",
    )
    add_ranges(train)
    add_account(train)
    train.add_argument(
        "--resume", action="store_true", help="go on from the newest checkpoint in the folder"
    )


def add_evaluate(evaluate: argparse.ArgumentParser, setting: Setting) -> None:
    """What `evaluate` takes, beside world model, candles, account, seed and folder.

    Args:
        evaluate: The parser.
        setting: Reads NAME=VALUE.
    """
    evaluate.add_argument(
        "agent",
        nargs="+",
        metavar="AGENT",
        help="an agent's folder, a rule's name (agents list), or module:callable, which is run",
    )
    evaluate.add_argument(
        "--venues",
        default=",".join(_VENUES),
        metavar="NAMES",
        help="where to judge, of dream, validation and test (default: all three)",
    )
    add_judging(evaluate)
    add_ranges(evaluate)
    add_account(evaluate)


def add_judging(judging: argparse.ArgumentParser) -> None:
    """How agents are judged: in which dreams, and how they are opened."""
    judging.add_argument(
        "--dreams", type=int, default=256, metavar="N", help="dreams that measure (default: 256)"
    )
    judging.add_argument(
        "--horizon", type=int, default=720, metavar="N", help="bars of each (default: 720)"
    )
    add_opening(judging)


def add_opening(opening: argparse.ArgumentParser) -> None:
    """How agents that are named are opened."""
    opening.add_argument(
        "--observation",
        default="latent",
        choices=("latent", "features"),
        help="what a module:callable looks at (default: latent)",
    )
    opening.add_argument(
        "--trust",
        action="store_true",
        help="unpickle a bare Stable-Baselines3 zip, which runs what its author wrote",
    )


def add_agents(agents: argparse.ArgumentParser) -> None:
    """What `agents` takes."""
    agents.add_argument("what", choices=("list",), help="list: learned agents, rules, packages")


def add_ranges(group: Any) -> None:
    """Where the record is cut."""
    for name, about in (
        ("start", "first bar of the training range"),
        ("train-end", "end of the training range, exclusive; never later than the world model's"),
        ("validation-end", "end of the validation range, exclusive"),
    ):
        group.add_argument(
            f"--{name}", metavar="TIME", help=f"{about} (default: the world model's)"
        )


def add_account(group: Any) -> None:
    """What the account pays, and all its other settings."""
    group.add_argument(
        "--funding",
        default="off",
        type=number_or_text,
        metavar="SOURCE",
        help="what positions pay: a file of rates, bybit:SYMBOL, a constant rate, or off (default)",
    )
    add_account_settings(group)
