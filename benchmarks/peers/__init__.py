"""Other people's software to compare with, each in a process and an environment of its own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..timing import Slice, Task

HERE = Path(__file__).parent
FOLDER_VARIABLE = "WORLDMODEL_TRADING_PEERS"
INSTALL_HINT = "peer not installed: python -m benchmarks.peers --install"


@dataclass(frozen=True)
class Peer:
    """Something to compare with.

    Attributes:
        name: Of its requirements file and its environment.
        script: Measures it; run by the environment's own Python.
    """

    name: str
    script: str

    @property
    def requirements(self) -> Path:
        """Pinned versions of all that it needs."""
        return HERE / f"{self.name}.txt"

    @property
    def environment(self) -> Path:
        """Its virtual environment."""
        return peers_folder() / self.name

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        windows = self.environment / "Scripts" / "python.exe"
        return windows if os.name == "nt" else self.environment / "bin" / "python"

    @property
    def stamp(self) -> Path:
        """Written when the installation is complete; holds the hash of the requirements."""
        return self.environment / "installed"

    def requirements_hash(self) -> str:
        """SHA-256 of the requirements."""
        return hashlib.sha256(self.requirements.read_bytes()).hexdigest()

    def is_installed(self) -> bool:
        """Whether the environment holds what the requirements say."""
        return self.stamp.exists() and self.stamp.read_text() == self.requirements_hash()


PEERS = {
    peer.name: peer
    for peer in (
        Peer("vectorbt", "sweep_vectorbt.py"),
        Peer("backtesting", "single_backtesting.py"),
        Peer("gym-anytrading", "step_anytrading.py"),
        Peer("gym-trading-env", "step_trading_env.py"),
        Peer("finrl", "step_finrl.py"),
    )
}


def peers_folder() -> Path:
    """Where the environments lie: the variable's folder, or the user's cache."""
    if FOLDER_VARIABLE in os.environ:
        return Path(os.environ[FOLDER_VARIABLE])
    import platformdirs

    return Path(platformdirs.user_cache_dir("worldmodel-trading")) / "peers"


@contextmanager
def serving(peer: Peer, candles: Path, **settings: Any) -> Iterator[Task]:
    """A process of the peer, which works when it is asked to.

    Args:
        peer: Installed.
        candles: CSV that it reads.
        settings: Plain values that its script understands.

    Yields:
        The task to measure; its times are taken inside the peer's process.
    """
    # -P: no folder of ours on the path, only what the script adds by itself
    command = [str(peer.python), "-P", str(HERE / peer.script), str(candles), json.dumps(settings)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if process.stdin is None or process.stdout is None:
        raise RuntimeError(f"{peer.name}: no pipes to its process")
    try:
        yield _task(peer, process.stdin, process.stdout)
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _task(peer: Peer, questions: IO[str], answers: IO[str]) -> Task:
    def task(least_s: float) -> Slice:
        try:
            questions.write(f"{least_s}\n")
            questions.flush()
            answer = answers.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise RuntimeError(f"{peer.name}: its process ended; its message is above")
        return Slice(**json.loads(answer))

    return task
