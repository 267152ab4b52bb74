"""Other people's libraries take our environments as they are.

Each client has a process of its own: some change how processes start, or numpy, when imported.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parent.parent / "clients"


@pytest.mark.parametrize("library", ["torchrl", "skrl"])
def test_a_client_library_runs_our_environments(library: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    script = CLIENTS / f"{library}_client.py"
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
