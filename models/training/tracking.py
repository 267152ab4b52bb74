"""Where else a training's numbers may go: MLflow, and Weights & Biases, where they are installed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ...market.extras import require
from .callbacks import Row, TrainingCallback, row_numbers


class Tracker(Protocol):
    """Receives numbers by name and step."""

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Take the numbers of a step, such as an epoch, a generation, or bars trained on."""

    def close(self) -> None:
        """Nothing more comes."""


class MLflowTracker:
    """A run of MLflow.

    Args:
        experiment: Its name; made where there is none.
        run_name: The run's; None lets MLflow choose.
        tracking_uri: Of the server or store; None is MLflow's own setting.

    Attributes:
        run_id: What MLflow calls the run.

    Raises:
        MissingPackageError: MLflow is not installed.
    """

    def __init__(
        self,
        experiment: str = "worldmodel-trading",
        run_name: str | None = None,
        tracking_uri: str | None = None,
    ) -> None:
        require("mlflow", "MLflowTracker")
        from mlflow.tracking import MlflowClient

        self._client: Any = MlflowClient(tracking_uri=tracking_uri)
        found = self._client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else self._client.create_experiment(experiment)
        self.run_id: str = self._client.create_run(number, run_name=run_name).info.run_id

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Write a step's numbers at once."""
        from mlflow.entities import Metric

        now = int(time.time() * 1_000)
        metrics = [Metric(name, value, now, step) for name, value in numbers.items()]
        self._client.log_batch(self.run_id, metrics=metrics)

    def close(self) -> None:
        """End the run."""
        self._client.set_terminated(self.run_id)


class WandbTracker:
    """A run of Weights & Biases, whose numbers stand over ``step``, of each stage by itself.

    Args:
        project: Its name.
        name: The run's; None lets the library choose.
        folder: Where the library writes; None is its own setting.
        mode: ``online``, ``offline``, or None for the library's own setting.

    Raises:
        MissingPackageError: The library, wandb, is not installed.
    """

    def __init__(
        self,
        project: str = "worldmodel-trading",
        name: str | None = None,
        folder: str | Path | None = None,
        mode: Any = None,
    ) -> None:
        require("wandb", "WandbTracker")
        import wandb

        place = None if folder is None else str(folder)
        self._run: Any = wandb.init(project=project, name=name, dir=place, mode=mode)
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Write a step's numbers."""
        self._run.log({**numbers, "step": step})

    def close(self) -> None:
        """End the run; the library writes what is left in its own time, before the process ends."""
        self._run.finish()


class TrackerCallback(TrainingCallback):
    """Follows the training of a world model with a tracker: the same numbers as TensorBoard's.

    The tracker stays open; who made it closes it.

    Args:
        tracker: Where they go.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def on_resume(self, stage: str, rows: Sequence[Row]) -> None:
        """Write the epochs so far."""
        for row in rows:
            self.on_epoch(row)

    def on_epoch(self, row: Row) -> None:
        """Write one row."""
        self._tracker.log(row_numbers(row), int(row["epoch"]))
