"""Packages that only some work needs; each comes with an extra of this package's installation."""

from __future__ import annotations

import importlib.util
import sys
from typing import Final

from .errors import MissingPackageError

EXTRAS: Final = {
    "huggingface_hub": "hub",
    "minari": "minari",
    "mlflow": "mlflow",
    "optuna": "sweep",
    "pygame": "render",
    "ray": "ray",
    "sb3_contrib": "agents",
    "wandb": "wandb",
    "websockets": "live",
}
"""By its import name, the extra that brings a package; `pyproject.toml` says the same."""


def require(
    package: str, work: str, error: type[MissingPackageError] = MissingPackageError
) -> None:
    """See that a package is there before work begins; it is not imported.

    Args:
        package: One of `EXTRAS`.
        work: What needs it, as the error's first words.
        error: What is raised.

    Raises:
        MissingPackageError: The package is not installed; the error names the extra.
    """
    if package in sys.modules:
        there = sys.modules[package] is not None
    else:
        there = importlib.util.find_spec(package) is not None
    if not there:
        raise error(
            f"{work} needs {package}, which is not installed: "
            f"pip install 'worldmodel-trading[{EXTRAS[package]}]'"
        )
