"""Numbers of a training in MLflow and Weights & Biases: the real libraries, without a network."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from worldmodel_trading.models.training.callbacks import row_numbers
from worldmodel_trading.models.training.tracking import (
    MLflowTracker,
    TrackerCallback,
    WandbTracker,
)

ROWS: list[dict[str, float | str]] = [
    {"stage": "vae", "epoch": 1, "train_loss": 2.0, "validation_loss": 2.5, "seconds": 0.5},
    {"stage": "vae", "epoch": 2, "train_loss": 1.0, "validation_loss": 1.5, "seconds": 0.5},
    {"stage": "mdn_rnn", "epoch": 1, "train_loss": 3.0},
]


def follow(callback: TrackerCallback) -> None:
    """A training whose first epoch was lived before it was stopped."""
    callback.on_stage_start("vae", 2)
    callback.on_resume("vae", ROWS[:1])
    callback.on_epoch(ROWS[1])
    callback.on_stage_end("vae")
    callback.on_stage_start("mdn_rnn", 1)
    callback.on_epoch(ROWS[2])
    callback.on_stage_end("mdn_rnn")


def test_numbers_are_named_by_stage() -> None:
    assert row_numbers(ROWS[2]) == {"mdn_rnn/train_loss": 3.0}
    assert set(row_numbers(ROWS[0])) == {"vae/train_loss", "vae/validation_loss", "vae/seconds"}


def test_mlflow_gets_every_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = pytest.importorskip("mlflow.tracking", reason="MLflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = tmp_path.as_uri()
    for _ in range(2):  # the second run joins the experiment of the first
        tracker = MLflowTracker("worlds", "first", store)
        follow(TrackerCallback(tracker))
        tracker.close()
    client: Any = tracking.MlflowClient(tracking_uri=store)
    assert client.get_run(tracker.run_id).info.status == "FINISHED"
    shown = client.get_metric_history(tracker.run_id, "vae/train_loss")
    assert [(one.step, one.value) for one in shown] == [(1, 2.0), (2, 1.0)]
    assert client.get_run(tracker.run_id).data.metrics["mdn_rnn/train_loss"] == 3.0
    experiment = client.get_experiment_by_name("worlds").experiment_id
    assert len(client.search_runs([experiment])) == 2


def test_wandb_gets_every_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="Weights & Biases is not installed")
    monkeypatch.setenv("WANDB_SILENT", "true")
    tracker = WandbTracker("worlds", "first", tmp_path, "offline")
    follow(TrackerCallback(tracker))
    tracker.close()
    (kept,) = tmp_path.rglob("*.wandb")
    names = ("vae/train_loss", "vae/validation_loss", "mdn_rnn/train_loss")
    deadline = time.monotonic() + 60  # the library's own process writes it, in its own time
    while not all(name.encode() in kept.read_bytes() for name in names):
        assert time.monotonic() < deadline, kept.read_bytes()
        time.sleep(0.05)
    assert kept.read_bytes().count(b"vae/train_loss") >= 2
