"""The machine that numbers were made on: what rounds them, and how many threads did."""

from __future__ import annotations

import dataclasses
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite.binding  # type: ignore[import-untyped, unused-ignore]
import numba
import torch
from threadpoolctl import threadpool_info  # type: ignore[import-untyped, unused-ignore]


@dataclass(frozen=True)
class Machine:
    """What decides the last bit of a number, beside its seed and the libraries' versions.

    Attributes:
        processor: Its name, family, model and stepping, as far as the system tells.
        cores: That this process may use.
        instruction_sets: What the libraries compute with, by library: they choose by what the
            processor has, or by variables such as ``ATEN_CPU_CAPABILITY``.
        threads: How many each library may use in this process.
    """

    processor: str
    cores: int
    instruction_sets: dict[str, str]
    threads: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return dataclasses.asdict(self)


def this_machine() -> Machine:
    """The machine and the process that ask."""
    blas = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    numba_says: Any = numba.config
    torch_says: Any = torch.backends.cpu.get_cpu_capability()  # type: ignore[no-untyped-call, unused-ignore]
    return Machine(
        processor=processor_name(),
        cores=num_cores(),
        instruction_sets={
            "torch": str(torch_says),
            "numba": str(numba_says.CPU_NAME or llvmlite.binding.get_host_cpu_name()),
            **{pool["internal_api"]: str(pool.get("architecture")) for pool in blas},
        },
        threads={
            "torch": torch.get_num_threads(),
            "numba": numba.get_num_threads(),
            **{pool["internal_api"]: int(pool["num_threads"]) for pool in blas},
        },
    )


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    """The processor as the system names it; its architecture where there is no name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        first = info.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
        pairs = [line.split(":", 1) for line in first if ":" in line]
        fields = {name.strip(): value.strip() for name, value in pairs}
        if "model name" in fields:
            numbers = "/".join(fields.get(key, "?") for key in ("cpu family", "model", "stepping"))
            return f"{fields['model name']} (family/model/stepping {numbers})"
    return platform.processor() or platform.machine()
