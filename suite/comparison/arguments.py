"""The arguments of the job that compares dreams with replay."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from worldmodel_trading.agent_arguments import add_account, add_judging, add_ranges
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.shared_arguments import add_resume, add_workers

Setting = Callable[[str], tuple[str, Any]]


def add_compare(compare: argparse.ArgumentParser, setting: Setting) -> None:
    """What `compare` takes, beside candles, account, drift, seed and folder.

    Args:
        compare: The parser.
        setting: Reads NAME=VALUE.
    """
    compare.add_argument(
        "agent",
        nargs="*",
        metavar="AGENT",
        help="an agent's folder, a rule or an algorithm to be trained (agents list), or module:callable, "
        "which is run; holding and doing nothing are always beside them",
    )
    compare.add_argument(
        "--self-test",
        metavar="AGENT",
        help="compare nothing, but find out whether an agent can learn here at all: on a market whose edge "
        "is known, by name (agents list) or module:callable, which is given an environment and returns a "
        "policy; --seeds, --seed and --set hold",
    )
    compare.add_argument(
        "--world-model",
        action="append",
        metavar="FOLDER",
        help="a trained world model, or several of one market, such as one of each seed (repeatable; "
        "default: the one that ships)",
    )
    compare.add_argument(
        "--venues",
        default="dream,test",
        metavar="NAMES",
        help="where to judge, of dream, train, validation and test (default: dream,test)",
    )
    compare.add_argument(
        "--temperatures",
        default="1",
        metavar="X,…",
        help="τ of the dreams, such as 0.5,1,1.3 (default: 1)",
    )
    compare.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="so many of dreams, and of agents that are trained here, from --seed on (default: 1; of a "
        "self-test 3)",
    )
    add_judging(compare)
    compare.add_argument(
        "--set",
        action="append",
        default=[],
        type=setting,
        metavar="AGENT.NAME=VALUE",
        help="a setting of a rule or of an agent's training, such as momentum.horizon=24 or "
        "ppo.steps=300000; repeatable",
    )
    add_workers(compare)
    compare.add_argument(
        "--no-audit",
        dest="audit",
        action="store_false",
        help="leave out families of policies, and what is asked of the world model: minutes less",
    )
    compare.add_argument(
        "--policy-dreams",
        type=int,
        default=512,
        metavar="N",
        help="dreams in which each policy of the families trades (default: 512)",
    )
    compare.add_argument(
        "--searches",
        type=int,
        default=1,
        metavar="N",
        help="CMA-ES searches in each world model, beside their rivals: what searching in dreams buys "
        "(default: 1)",
    )
    compare.add_argument(
        "--allow-in-sample",
        action="store_true",
        help="measure also on bars that model, search or choice has seen; every table then says so",
    )
    _add_windows(compare, setting)
    add_ranges(compare)
    compare.add_argument(
        "--end", metavar="TIME", help="end of the test range, exclusive (default: the record's)"
    )
    add_account(compare)
    add_resume(compare)


def _add_windows(compare: argparse.ArgumentParser, setting: Setting) -> None:
    group = compare.add_argument_group("walking forward")
    group.add_argument(
        "--walk-forward",
        type=int,
        default=0,
        metavar="N",
        help="cut the test range into so many windows, and train world models and agents for each on what "
        "came before it alone (default: 0, the world models that are given)",
    )
    group.add_argument(
        "--purge",
        type=int,
        metavar="BARS",
        help="left out between training, validation and test range (default: the features' look-back "
        "and one)",
    )
    group.add_argument(
        "--embargo",
        type=int,
        default=0,
        metavar="BARS",
        help="left out besides, before the test range (default: 0)",
    )
    group.add_argument(
        "--rolling", action="store_true", help="forget the oldest bars, instead of keeping all"
    )
    group.add_argument(
        "--model-seeds", type=int, default=1, metavar="N", help="world models a window (default: 1)"
    )
    group.add_argument(
        "--model",
        action="append",
        default=[],
        type=setting,
        metavar="NAME=VALUE",
        help="a setting of the windows' world models, such as preset=paper; repeatable",
    )


def by_agent(given: Sequence[tuple[str, Any]]) -> dict[str, dict[str, Any]]:
    """Settings by agent, from pairs of ``AGENT.NAME`` and value.

    Raises:
        ConfigError: A name has no point.
    """
    settings: dict[str, dict[str, Any]] = {}
    for name, value in given:
        agent, point, own = name.partition(".")
        if not point:
            raise ConfigError(
                f"--set {name} names no agent; expected AGENT.NAME=VALUE, such as ppo.steps=300000"
            )
        settings.setdefault(agent, {})[own] = value
    return settings


def numbers(text: str, flag: str) -> tuple[float, ...]:
    """Numbers between commas.

    Raises:
        ConfigError: One is none.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{flag} is {text!r}; expected numbers between commas") from None
