"""The machine that the figures belong to."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from worldmodel_trading.models.machine import num_cores, processor_name

_PACKAGES = ("numpy", "torch", "numba", "gymnasium", "stable-baselines3", "worldmodel-trading")


def machine() -> dict[str, Any]:
    """Processor, cores, memory, load average and versions."""
    return {
        "processor": processor_name(),
        "cores": num_cores(),
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def machine_text(facts: dict[str, Any]) -> str:
    """The same in two lines."""
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['memory_gb']} GB, "
        f"{facts['system']}, load average {facts['load_average'][0]}\n"
        f"Python {facts['python']}, {versions}; one thread"
    )


def _memory_gb() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
