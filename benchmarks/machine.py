"""The machine that the figures belong to."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("numpy", "torch", "numba", "gymnasium", "stable-baselines3", "worldmodel-trading")


def machine() -> dict[str, Any]:
    """Processor, cores, memory, load average and versions."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
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


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        first = info.read_text().split("\n\n")[0].splitlines()
        pairs = [line.split(":", 1) for line in first if ":" in line]
        fields = {name.strip(): value.strip() for name, value in pairs}
        numbers = "/".join(fields.get(key, "?") for key in ("cpu family", "model", "stepping"))
        return f"{fields.get('model name', platform.processor())} (family/model/stepping {numbers})"
    return platform.processor() or platform.machine()


def _memory_gb() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
