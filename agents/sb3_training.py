"""Learning with Stable-Baselines3 in a folder: it can be killed at any moment and gone on with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import CallbackList
from stable_baselines3.common.logger import Logger

from ..market.errors import TrainingError
from ..market.files.writer import write_whole
from ..models.training.tracking import Tracker
from .callbacks import Board, Judge, Look, Milestones, TrackerBoard, TradingMeasures
from .folder import MODEL_FILE
from .registry import Algorithm
from .sb3 import NativeVecEnv
from .sb3_models import learning_model
from .sb3_state import read_parameters, read_rest, save_model, write_rest

CHECKPOINTS, TENSORBOARD = "checkpoints", "tensorboard"
_NEWEST = "newest.json"  # names the files of the newest whole checkpoint


@dataclass(frozen=True)
class Course:
    """How an agent learns.

    Attributes:
        algorithm: Which.
        settings: All of its settings.
        steps: Bars to train on.
        every: Bars between looks and checkpoints.
        patience: Looks without a better one that end it; None never does.
        seed: Of networks, lanes and draws.
    """

    algorithm: Algorithm
    settings: Mapping[str, Any]
    steps: int
    every: int
    patience: int | None
    seed: int


class Checkpoints:
    """The newest state of a training, as files that are exchanged all at once.

    Args:
        folder: Theirs alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep_best(self, model: Any) -> None:
        """Write the model as the best at its steps; it counts from the next checkpoint on."""
        save_model(model, self._best(int(model.num_timesteps)))

    def write(self, model: Any, state: Mapping[str, Any]) -> None:
        """Write the model and all that going on needs; a reader finds the old checkpoint or this."""
        steps = int(model.num_timesteps)
        save_model(model, self._folder / f"{steps}.zip")
        write_rest(model, self._folder / f"{steps}.safetensors", state)
        write_whole(self._folder / _NEWEST, json.dumps({"steps": steps}))
        best = state["looks"][state["best"]][0] if state["best"] is not None else None
        kept = {f"{steps}.zip", f"{steps}.safetensors", self._best(best or 0).name, _NEWEST}
        for old in self._folder.iterdir():
            if old.name not in kept and not old.name.startswith("."):
                old.unlink()

    def newest(self) -> int | None:
        """Steps of the newest checkpoint; None where there is none.

        Raises:
            TrainingError: It is damaged.
        """
        try:
            return int(json.loads((self._folder / _NEWEST).read_bytes())["steps"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(
                f"the checkpoint in {self._folder} is damaged ({error}): train anew with --overwrite"
            ) from None

    def read(self, model: Any, steps: int) -> dict[str, Any]:
        """Put a model where a checkpoint stands; returns the state that was written with it."""
        read_parameters(model, self._folder / f"{steps}.zip")
        return read_rest(model, self._folder / f"{steps}.safetensors")

    def read_best(self, model: Any, steps: int) -> None:
        """Give a model the parameters of the best look."""
        read_parameters(model, self._best(steps))

    def _best(self, steps: int) -> Path:
        return self._folder / f"best-{steps}.zip"


def learn(
    course: Course,
    lanes: NativeVecEnv,
    folder: Path,
    *,
    judge: Judge | None,
    resume: bool,
    on_look: Callable[[int, Look | None], None],
    on_resume: Callable[[int], None],
    trackers: Sequence[Tracker] = (),
) -> tuple[list[Look], int | None, int]:
    """Train, and write ``agent.zip``: the agent of the best look, or the last where none was taken.

    Args:
        course: How.
        lanes: What is traded.
        folder: The agent's.
        judge: How a model does on validation; None where nothing does.
        resume: Go on from the newest checkpoint.
        on_look: Receives steps and look, at every checkpoint.
        on_resume: Receives the steps that a resumed training goes on from.
        trackers: Receive the numbers that TensorBoard does; they stay open.

    Returns:
        The looks, the number of the best, and the steps trained.
    """
    model = learning_model(course.algorithm, course.settings, lanes, course.seed)
    checkpoints = Checkpoints(folder / CHECKPOINTS)
    milestones = Milestones(
        judge, checkpoints.keep_best, checkpoints.write, course.every, course.patience, on_look
    )
    begun = checkpoints.newest() if resume else None
    if begun is not None:
        milestones.restore(checkpoints.read(model, begun), begun)
        lanes.seed(course.seed + begun)  # lanes begin anew there, not where they began at first
        on_resume(begun)
    board = Board(folder / TENSORBOARD, begun or 0)
    model.set_logger(Logger(None, [board, *map(TrackerBoard, trackers)]))
    left = course.steps - (begun or 0)
    if left > 0 and not milestones.stopped:
        measures = TradingMeasures(lanes, max(course.every // 5, lanes.num_envs))
        follow = CallbackList([measures, milestones])
        model.learn(left, follow, log_interval=_NEVER, reset_num_timesteps=begun is None)
        if not milestones.stopped:
            milestones.reach()
    steps = int(model.num_timesteps)
    board.close()
    if milestones.best is not None:
        checkpoints.read_best(model, milestones.looks[milestones.best].steps)
    save_model(model, folder / MODEL_FILE)
    return milestones.looks, milestones.best, steps


_NEVER = 1_000_000_000  # `TradingMeasures` and `Milestones` dump what is recorded, theirs and SB3's
