"""Running the commands of figures, as they stand on the pages, in a folder of their own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from .registry import RECORDS, SHARED
from .store import ROOT

_TABLE = re.compile(r"(?:^\|.*\|$\n?)+", re.MULTILINE)


class Missing(Exception):
    """A file of candles that a figure needs was not given."""


class Work:
    """A folder in which commands run; what one of them left is used by the others.

    Args:
        folder: Is made; what a finished command left there is not made again.
        candles: Folder of the recorded files, or None: what needs them is skipped.
    """

    def __init__(self, folder: Path, candles: Path | None) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.records = self._linked(candles) if candles is not None else set()
        self._said: dict[str, str] = {}

    def _linked(self, candles: Path) -> set[str]:
        """Names under which the files' rows can be read in the folder."""
        there = set()
        for name, source in RECORDS.items():
            if (candles / source).exists():
                link = self.folder / name
                link.unlink(missing_ok=True)
                link.symlink_to((candles / source).resolve())
                there.add(name)
        return there

    def check(self, command: str) -> None:
        """See that a command's files of candles are there.

        Raises:
            Missing: One is not.
        """
        for name in RECORDS:
            if name in command and name not in self.records:
                raise Missing(f"{name} ({RECORDS[name]} of --candles)")

    def share(self, name: str) -> Path:
        """The folder that a shared command leaves; run it if it has not been."""
        folder = self.folder / name
        if not folder.exists():
            self.run(SHARED[name])
        return folder

    def run(self, command: str) -> str:
        """Standard output of a command, which runs once, after those whose folders it names.

        Raises:
            subprocess.CalledProcessError: It failed.
        """
        if command not in self._said:
            self.check(command)
            for name in SHARED:
                if f" {name}/" in command:
                    self.share(name)
            print(f"$ {command}", file=sys.stderr, flush=True)
            words = shlex.split(command)
            if words[0] == "python":
                words[0] = sys.executable
            else:
                words[:1] = [sys.executable, "-m", "worldmodel_trading"]
            done = subprocess.run(
                words,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            self._said[command] = done.stdout
        return self._said[command]

    def tables(self, command: str) -> list[str]:
        """The Markdown tables that a command prints."""
        return [found.strip() for found in _TABLE.findall(self.run(command))]
