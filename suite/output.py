"""The folder of a job: one process writes to it at a time, and it holds one job's results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from worldmodel_trading.market.errors import OutputError
from worldmodel_trading.market.files.writer import (
    clear_left_behind,
    refuse_unwritable,
    sole_writer,
    write_whole,
)
from worldmodel_trading.progress import say

Job = Literal[
    "run",
    "train",
    "fidelity",
    "evaluate",
    "compare",
    "stress",
    "regimes",
    "explore",
    "transfer",
    "sweep",
    "universe",
    "pretrained",
]

_RUN_FILE = "run.json"  # says whose a folder is; a world model's manifest says so itself
_RESULTS = "results.json"
_FOLDERS = ("world_model", "refits", "checkpoints", "tensorboard", "candidates.parquet")
_MANIFEST = "manifest.json"
_FILES: dict[Job, tuple[str, ...]] = {
    "run": (
        _RESULTS,
        "report.html",
        "page.json",
        "curves.parquet",
        "controller.safetensors",
        "controller.json",
        *_FOLDERS,
    ),
    "train": (
        "agent.json",
        "agent.zip",
        "controller.safetensors",
        "controller.json",
        "evaluation.json",
        "checkpoints",
        "tensorboard",
    ),
    "evaluate": ("evaluation.json", "curves.parquet"),
    "compare": (
        "comparison.json",
        "report.html",
        "cells.parquet",
        "curves.parquet",
        "dreams.parquet",
        "policies.parquet",
        "searches.parquet",
        "world_models",
        "checkpoints",
    ),
    "explore": (
        "explore.json",
        "explore.html",
        "candidates.parquet",
        "world_models",
        "checkpoints",
    ),
    "transfer": ("transfer.json", "transfer.html", "models", "checkpoints"),
    "sweep": ("sweep.json", "sweep.html", "best.json", "checkpoints"),
    "universe": ("universe.json", "universe.html", "world_model", "symbols", "checkpoints"),
    "fidelity": ("fidelity.json", "fidelity.html", "page.json"),
    "stress": ("stress.json", "stress.html"),
    "regimes": ("regimes.json", "periods.json", "regimes.html"),
    "pretrained": (_MANIFEST, "config.json", "model.safetensors"),
}
_LAST = {
    "run": _RESULTS,
    "train": "agent.json",
    "compare": "comparison.json",
    "explore": "explore.json",
    "transfer": "transfer.json",
    "sweep": "sweep.json",
    "universe": "universe.json",
}  # of the jobs that can be gone on with
_NOUNS = {
    "run": "run",
    "train": "training",
    "compare": "comparison",
    "explore": "exploration",
    "transfer": "transfer",
    "sweep": "sweep",
    "universe": "run of several symbols",
}
_UNTOLD = "one that cannot be told"


class Held(NamedTuple):
    """Whose results a folder holds.

    Attributes:
        job: Which job wrote them.
        run_id: The name of a run or a training; None for the other jobs.
    """

    job: Job
    run_id: str | None = None

    def __str__(self) -> str:
        if self.job not in _NOUNS:
            return f"the job {self.job}"
        return f"a {_NOUNS[self.job]}, {self.run_id}"


def refuse_taken(path: str | Path, job: Job, *, overwrite: bool = False) -> None:
    """Refuse, before any work, a folder that holds results or that cannot be written to.

    A run's own folder passes, and a training's: whether it holds the same one `run_folder` finds out.
    Nothing is made.

    Raises:
        OutputError: The folder is taken or unfit; the message names the cure.
    """
    refuse_unwritable(path)
    folder = Path(path)
    held = _held(folder)
    if held is not None and not (overwrite or (held.job == job and job in _LAST)):
        raise OutputError(
            f"{folder} holds the results of {held}: name another folder with --out, or replace "
            "them with --overwrite"
        )
    _refuse_unclaimed(folder, job, held)


@contextmanager
def job_folder(
    path: str | Path, job: Job, *, overwrite: bool = False
) -> Iterator[Callable[[], Path]]:
    """Hold a folder for a job; what lies there stays until the job has something to write.

    Args:
        path: The folder; made if need be.
        job: Which job writes there.
        overwrite: Let its results take the place of those there.

    Yields:
        To be called when the work is done: removes the results there, and returns the folder.

    Raises:
        OutputError: As `refuse_taken` raises it, or another process writes there.
    """
    with sole_writer(path) as folder:
        refuse_taken(folder, job, overwrite=overwrite)
        yield lambda: _take(folder, Held(job))


@contextmanager
def run_folder(
    path: str | Path,
    run_id: str,
    *,
    job: Job = "run",
    resume: bool = False,
    overwrite: bool = False,
) -> Iterator[Path]:
    """Hold a folder for a run or a training, emptied of what an earlier one left unless that is gone on with.

    Args:
        path: The folder; made if need be.
        run_id: The run's name.
        job: One that can be gone on with.
        resume: Go on with the same run.
        overwrite: Let this run take the place of another, or begin the same one anew.

    Raises:
        OutputError: Another process writes there, another run's or job's results are there, or this
            run's own, unfinished, and it was not said what to do with them.
    """
    ours = Held(job, run_id)
    with sole_writer(path) as folder:
        refuse_taken(folder, job, overwrite=overwrite)
        held = _held(folder)
        if not overwrite:
            _refuse_mixing(folder, held, ours, resume)
        if not (resume and held == ours and _has_checkpoints(folder)):
            if resume:
                say(f"  nothing to resume in {folder}: the {_NOUNS[job]} begins anew")
            _take(folder, ours)
        for left in (folder / name for name in _FOLDERS):
            clear_left_behind(left)
        yield folder


def job_of(path: str | Path) -> Job | None:
    """Which job's results a folder holds, by its own mark; None if it holds none."""
    held = _held(Path(path))
    return None if held is None else held.job


def is_begun(path: Path) -> bool:
    """Whether a folder holds a run that can be gone on with."""
    held = _held(path)
    return held is not None and held.job in _LAST and _is_unfinished(path, held.job)


def _held(folder: Path) -> Held | None:
    """Whose results a folder holds; None if it holds none."""
    said = _written_there(folder)
    return said if said is not None and _lying(folder, said.job) else None


def _written_there(folder: Path) -> Held | None:
    """Who said that the folder is theirs."""
    try:
        said = json.loads((folder / _RUN_FILE).read_bytes())
        job = said.get("job", "run")
        if job in ("fidelity", "evaluate", "stress", "regimes"):
            return Held(job)
        return Held(job if job in _LAST else "run", str(said["run_id"]))
    except FileNotFoundError:
        return Held("pretrained") if _is_world_model(folder) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Held("run", _UNTOLD)


def _is_world_model(folder: Path) -> bool:
    if not (folder / _MANIFEST).is_file():
        return False
    from worldmodel_trading.models.storage import FORMAT

    try:
        return bool(json.loads((folder / _MANIFEST).read_bytes())["format"] == FORMAT)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _lying(folder: Path, job: Job) -> list[Path]:
    """What lies in a folder under the names that a job writes."""
    return [folder / name for name in _FILES[job] if (folder / name).exists()]


def _refuse_mixing(folder: Path, held: Held | None, ours: Held, resume: bool) -> None:
    if held not in (None, ours):
        raise OutputError(
            f"{folder} holds the results of another {_NOUNS[ours.job]}, {held.run_id}; this one is "
            f"{ours.run_id}, of other data or settings: name another folder with --out, or "
            "replace them with --overwrite"
        )
    if held == ours and _is_unfinished(folder, ours.job) and not resume:
        raise OutputError(
            f"{folder} holds this {_NOUNS[ours.job]}, stopped before its end: go on with --resume, or begin it "
            "anew with --overwrite"
        )


def _refuse_unclaimed(folder: Path, job: Job, held: Held | None) -> None:
    """Refuse to write over what has a job's names, and of which nothing says that a job wrote it."""
    claimed = [] if held is None else _lying(folder, held.job)
    unclaimed = [path for path in _lying(folder, job) if path not in claimed]
    if unclaimed:
        mark = _MANIFEST if job == "pretrained" else _RUN_FILE
        raise OutputError(
            f"{folder} holds {', '.join(path.name for path in unclaimed)}, but no {mark} that "
            f"says that the job {job} wrote them: name another folder with --out, or remove them"
        )


def _is_unfinished(folder: Path, job: Job) -> bool:
    return _has_checkpoints(folder) and not (folder / _LAST[job]).exists()


def _has_checkpoints(folder: Path) -> bool:
    return any((folder / "checkpoints").glob("[!.]*"))


def _take(folder: Path, ours: Held) -> Path:
    """Remove the results there, and say whose the folder is from now on; returns it."""
    held = _held(folder)
    for path in _lying(folder, held.job) if held is not None else []:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    if ours.job == "pretrained":
        (folder / _RUN_FILE).unlink(missing_ok=True)
    else:
        said = {"job": ours.job} | ({"run_id": ours.run_id} if ours.run_id else {})
        write_whole(folder / _RUN_FILE, json.dumps(said) + "\n")
    return folder
