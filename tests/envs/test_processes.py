"""Processes: children of a parent that has computed step as it does, and never wait for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from worldmodel_trading.models.world_model import WorldModel

CLIENT = Path(__file__).parent.parent / "clients" / "processes_client.py"
PATIENCE_S = 600  # a hang is a failure; a busy machine is not

FORK = """
import os
import torch
import worldmodel_trading

big = torch.ones(1 << 20)
torch.set_num_threads(2)
big.exp()  # the pool is there
child = os.fork()
if not child:
    assert torch.get_num_threads() == 1
    assert big.exp().sum() > 0
    (torch.ones(512, 512) @ torch.ones(512, 512)).sum()
    os._exit(0)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
big.exp()
print("child ended with", status, "and its parent has", torch.get_num_threads(), "threads")
"""


def run_with_a_pool(*arguments: str) -> str:
    """Run Python where PyTorch has threads, and end it with all its children if it hangs."""
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"it hangs; so far it said:\n{process.communicate()[0]}")
    assert process.returncode == 0, said
    return said


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux does")
@pytest.mark.parametrize("methods", [["fork"], ["forkserver", "spawn"]], ids=" ".join)
def test_processes_step_as_their_parent_does(
    methods: list[str], paper_model: WorldModel, tmp_path: Path
) -> None:
    paper_model.save_pretrained(tmp_path)
    said = run_with_a_pool("-W", "error", str(CLIENT), str(tmp_path), *methods)
    assert said.splitlines()[-1] == "done"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_computes_on_one_thread_and_its_parent_as_before() -> None:
    said = run_with_a_pool("-c", FORK)
    assert said.splitlines()[-1] == "child ended with 0 and its parent has 2 threads"
