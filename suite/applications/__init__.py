"""What dreams are good for: a job each, in a module that says what it takes and what it does."""

from __future__ import annotations

import argparse
from typing import Protocol

from worldmodel_trading.applications import (
    data,
    explore,
    export,
    fetch,
    hallucinate,
    play,
    regimes,
    stress,
    sweep,
    transfer,
)


class Application(Protocol):
    """A module of this package; none imports what is slow before it is asked to do something."""

    SUMMARY: str

    def add(self, parser: argparse.ArgumentParser) -> None:
        """Add what the job takes, beside ``--quiet``."""

    def do(self, options: argparse.Namespace) -> object:
        """Do it; what it returns is the exit status where that is a number, else 0."""


APPLICATIONS: dict[str, Application] = {
    "hallucinate": hallucinate,
    "export": export,
    "stress": stress,
    "regimes": regimes,
    "explore": explore,
    "transfer": transfer,
    "sweep": sweep,
    "play": play,
}
"""By the job's name, in the order that ``--help`` lists them."""

DATA_JOBS: dict[str, Application] = {"fetch": fetch, "data": data}
"""Jobs about data, likewise: they load no PyTorch."""
