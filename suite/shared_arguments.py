"""Arguments that several jobs take alike."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldmodel_trading.envs.population.crew import Crew

CANDLES = "file of candles (docs/candles.md), bybit:SYMBOL:INTERVAL (stored), or synthetic"
TIME = (
    "ISO time, UTC unless it says otherwise, such as 2024-01-01 or '2024-01-01 12:00'; or seconds or "
    "milliseconds since 1970"
)


DRIFT = (
    "what a held position earns in dreams, an assumption: recorded, as the world model was trained; "
    "zero, nothing on average; or the mean simple return a year, such as 0.2 "
    "(default: recorded)"
)


def add_exchange(group: Any) -> None:
    """Where an exchange is asked."""
    group.add_argument(
        "--category",
        default="linear",
        choices=("linear", "inverse", "spot"),
        help="of the exchange's products (default: linear)",
    )
    group.add_argument("--base-url", metavar="URL", help="of the REST interface (default: Bybit's)")


def add_store(group: Any) -> None:
    """Where fetched data are kept."""
    group.add_argument(
        "--data-dir",
        metavar="FOLDER",
        help="the store of fetched data (default: $WORLDMODEL_TRADING_DATA, or the user's data "
        "folder)",
    )


def add_world_model(group: Any) -> None:
    """One world model."""
    group.add_argument(
        "--world-model",
        default="default",
        metavar="FOLDER",
        help="a trained world model (default: the one that ships)",
    )


def add_candles(group: Any) -> None:
    """A record."""
    group.add_argument(
        "--candles", metavar="SOURCE", help=f"{CANDLES}; the default is the synthetic market"
    )
    add_store(group)


def add_drift(group: Any) -> None:
    """What a held position earns in dreams."""
    group.add_argument(
        "--drift",
        default="recorded",
        type=number_or_text,
        metavar="DRIFT",
        help=DRIFT,
    )


def add_seed_and_out(
    group: Any, folder: str, content: str, of: str = "the dreams: the same seed, the same dreams"
) -> None:
    """A seed, and a folder for the results."""
    group.add_argument("--seed", type=int, default=0, metavar="N", help=f"of {of} (default: 0)")
    group.add_argument(
        "--out",
        default=folder,
        metavar="FOLDER",
        help=f"folder for {content} alone (default: {folder})",
    )
    add_overwrite(group)


def add_overwrite(group: Any) -> None:
    """Whether results in the folder may be replaced."""
    group.add_argument(
        "--overwrite", action="store_true", help="replace the results of a job in the folder"
    )


def add_account_settings(group: Any) -> None:
    """Any setting of the account."""
    group.add_argument(
        "--account",
        action="append",
        default=[],
        type=setting,
        metavar="NAME=VALUE",
        help="any setting of the account, such as taker_fee=0.0002 or leverage=3; repeatable",
    )


EXECUTOR = (
    "who works: serial, this process alone; processes of this machine; or ray (docs/scale.md)"
)
RAY_ADDRESS = (
    "of the Ray cluster, HOST:PORT or auto; without it an instance on this machine is started"
)
EXECUTORS = ("serial", "processes", "ray")


def add_workers(group: Any) -> None:
    """Who works, and how many."""
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes, 0 for this one alone; the results are the same (default: one a core)",
    )
    group.add_argument(
        "--executor",
        default="processes",
        choices=EXECUTORS,
        help=f"{EXECUTOR} (default: processes)",
    )
    group.add_argument("--ray-address", metavar="ADDRESS", help=RAY_ADDRESS)


def crew_of(options: argparse.Namespace) -> Crew:
    """Who works, as the arguments say."""
    from worldmodel_trading.envs.population.crew import Crew

    return Crew(options.workers, options.executor, options.ray_address)


def add_resume(group: Any) -> None:
    """Whether stopped work is gone on with."""
    group.add_argument(
        "--resume", action="store_true", help="go on with what is not there yet, to the same result"
    )


def number_or_text(text: str) -> float | str:
    """A number, or what is not one as it stands."""
    try:
        return float(text)
    except ValueError:
        return text


def setting(text: str) -> tuple[str, Any]:
    """NAME=VALUE, whose value is JSON or text."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
