"""The folder of a run: one process writes to it at a time, and it holds one run's results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worldmodel_trading.market.errors import OutputError
from worldmodel_trading.market.files.writer import clear_left_behind, sole_writer, write_whole
from worldmodel_trading.progress import say

_RUN_FILE = "run.json"
_RESULTS = "results.json"
_FOLDERS = ("world_model", "checkpoints", "tensorboard")
_PARTS = (_RESULTS, "report.html", "controller.safetensors", "controller.json", *_FOLDERS)


@contextmanager
def run_folder(
    path: Path, run_id: str, *, resume: bool = False, overwrite: bool = False
) -> Iterator[Path]:
    """Hold a folder for a run, emptied of what an earlier one left unless that is gone on with.

    Only what a run writes is ever removed, and only where `run.json` says that a run wrote it.

    Args:
        path: The folder; made if need be.
        run_id: The run's name.
        resume: Go on with the same run.
        overwrite: Let this run take the place of another, or begin the same one anew.

    Raises:
        OutputError: Another process writes there, another run's results are there, or this run's
            own, unfinished, and it was not said what to do with them.
    """
    with sole_writer(path) as folder:
        held = _held_run(folder)
        if not overwrite:
            _refuse_mixing(folder, held, run_id, resume)
        if not (resume and held == run_id and _has_checkpoints(folder)):
            if resume:
                say(f"  nothing to resume in {folder}: the run begins anew")
            _clear(folder, held)
            write_whole(folder / _RUN_FILE, json.dumps({"run_id": run_id}) + "\n")
        for left in (folder / name for name in _FOLDERS):
            clear_left_behind(left)
        yield folder


def is_begun(path: Path) -> bool:
    """Whether a folder holds a run that can be gone on with."""
    return _is_unfinished(path) and (path / _RUN_FILE).is_file()


def _held_run(folder: Path) -> str | None:
    """The run whose results a folder holds; None if it holds none."""
    try:
        return str(json.loads((folder / _RUN_FILE).read_bytes())["run_id"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return "one that cannot be told"


def _refuse_mixing(folder: Path, held: str | None, run_id: str, resume: bool) -> None:
    if held not in (None, run_id):
        raise OutputError(
            f"{folder} holds the results of another run, {held}; this one is {run_id}, of other "
            "data or settings: name another folder with --out, or replace them with --overwrite"
        )
    if held == run_id and _is_unfinished(folder) and not resume:
        raise OutputError(
            f"{folder} holds this run, stopped before its end: go on with --resume, or begin it "
            "anew with --overwrite"
        )


def _is_unfinished(folder: Path) -> bool:
    return _has_checkpoints(folder) and not (folder / _RESULTS).exists()


def _has_checkpoints(folder: Path) -> bool:
    return any((folder / "checkpoints").glob("*.safetensors"))


def _clear(folder: Path, held: str | None) -> None:
    """Remove a run's results; refuse a folder in which things of a run's names are not a run's."""
    there = [folder / name for name in _PARTS if (folder / name).exists()]
    if there and held is None:
        raise OutputError(
            f"{folder} holds {', '.join(path.name for path in there)}, but no {_RUN_FILE} that "
            "says that a run wrote them: name another folder with --out, or remove them"
        )
    for path in there:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
