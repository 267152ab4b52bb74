import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, FeatureError, TrainingError
from worldmodel_trading.models.training.callbacks import TensorBoardCallback, TrainingCallback
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel


def weights(model: WorldModel) -> dict[str, torch.Tensor]:
    return {**model.vae.state_dict(), **model.mdn_rnn.state_dict()}


def assert_same(a: WorldModel, b: WorldModel) -> None:
    mine, theirs = weights(a), weights(b)
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert torch.equal(tensor, theirs[name]), name


def without_clocks(rows):
    return [{k: v for k, v in row.items() if k not in ("seconds", "memory_mb")} for row in rows]


class Recorder(TrainingCallback):
    def __init__(self):
        self.calls = []

    def on_stage_start(self, stage, epochs):
        self.calls.append(("start", stage, epochs))

    def on_epoch(self, row):
        self.calls.append(("epoch", row["stage"], row["epoch"]))

    def on_stage_end(self, stage):
        self.calls.append(("end", stage))


def test_the_same_seed_gives_the_same_model_and_another_another(split, paper_config, paper_model):
    again, _ = train_world_model(*split, paper_config, seed=5)
    assert_same(again, paper_model)
    other, _ = train_world_model(*split, paper_config, seed=6)
    assert not torch.equal(other.vae.decoder_log_variance, again.vae.decoder_log_variance)


def test_training_leaves_the_global_generators_alone(split, paper_config):
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    train_world_model(*split, paper_config, seed=5)
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


def test_rows_are_plain_and_callbacks_hear_every_epoch(split, paper_config):
    recorder = Recorder()
    _, history = train_world_model(*split, paper_config, seed=5, callbacks=[recorder])
    assert recorder.calls == [
        ("start", "vae", 3),
        *(("epoch", "vae", i) for i in (1, 2, 3)),
        ("end", "vae"),
        ("start", "mdn_rnn", 3),
        *(("epoch", "mdn_rnn", i) for i in (1, 2, 3)),
        ("end", "mdn_rnn"),
    ]
    assert len(history.rows) == 6
    for row in history.rows:
        assert all(type(value) in (str, int, float) for value in row.values())
        assert {"train_loss", "validation_loss", "seconds", "memory_mb"} <= row.keys()


def test_training_lowers_the_loss(split, paper_config):
    longer = replace(paper_config, vae_epochs=12, mdn_rnn_epochs=20, mdn_rnn_batch_size=4)
    _, history = train_world_model(*split, longer, seed=5)
    for stage in ("vae", "mdn_rnn"):
        losses = [row["train_loss"] for row in history.stage(stage)]
        assert losses[-1] < losses[0] - 0.1


def test_early_stopping_keeps_the_best_epoch(split, paper_config):
    config = replace(
        paper_config, mdn_rnn_epochs=40, mdn_rnn_learning_rate=0.1, patience_epochs=2, ema_decay=0.0
    )
    _, history = train_world_model(*split, config, seed=5)
    losses = [row["validation_loss"] for row in history.stage("mdn_rnn")]
    best = int(np.argmin(losses))
    assert len(losses) < 40
    assert len(losses) - 1 - best == 2


def test_tensorboard_gets_every_epoch(split, paper_config, tmp_path):
    train_world_model(*split, paper_config, seed=5, callbacks=[TensorBoardCallback(tmp_path)])
    for stage in ("vae", "mdn_rnn"):
        assert shown(tmp_path, stage) == [1, 2, 3]
        assert shown(tmp_path, stage, "seconds") == [1, 2, 3]
    assert shown(tmp_path, "mdn_rnn", "train_loss") == [1, 2, 3]


def shown(folder: Path, stage: str, name: str = "validation_loss") -> list[int]:
    """The epochs that TensorBoard shows of one number."""
    accumulator = EventAccumulator(str(folder / stage))
    accumulator.Reload()
    return [event.step for event in accumulator.Scalars(f"{stage}/{name}")]


class Stops(Recorder):
    """Stops the training once an epoch was told."""

    def __init__(self, stage, epoch):
        super().__init__()
        self.at = (stage, epoch)

    def on_resume(self, stage, rows):
        self.calls.append(("resume", stage, len(rows)))

    def on_epoch(self, row):
        super().on_epoch(row)
        if (row["stage"], row["epoch"]) == self.at:
            raise KeyboardInterrupt


def test_a_resumed_training_tells_no_epoch_twice(split, paper_config, tmp_path):
    """Stopped in V's third epoch, then in M's second, then done: TensorBoard shows each once."""
    board, checkpoints = tmp_path / "board", tmp_path / "checkpoints"

    def go_on(stage: str = "", epoch: int = 0):
        recorder = Stops(stage, epoch)
        callbacks = [TensorBoardCallback(board), recorder]
        try:
            result = train_world_model(
                *split,
                paper_config,
                seed=5,
                callbacks=callbacks,
                checkpoint_dir=checkpoints,
                resume=True,
            )
        except KeyboardInterrupt:
            result = None
        return recorder.calls, result

    calls, _ = go_on("vae", 3)
    assert calls == [
        ("start", "vae", 3), *(("epoch", "vae", i) for i in (1, 2, 3)), ("end", "vae"),
    ]  # fmt: skip
    calls, _ = go_on("mdn_rnn", 2)
    assert calls == [
        ("start", "vae", 3), ("resume", "vae", 3), ("end", "vae"),
        ("start", "mdn_rnn", 3), ("epoch", "mdn_rnn", 1), ("epoch", "mdn_rnn", 2),
        ("end", "mdn_rnn"),
    ]  # fmt: skip
    calls, result = go_on()
    assert [call for call in calls if call[0] != "end"] == [
        ("start", "vae", 3), ("resume", "vae", 3),
        ("start", "mdn_rnn", 3), ("resume", "mdn_rnn", 2), ("epoch", "mdn_rnn", 3),
    ]  # fmt: skip
    assert [row["epoch"] for row in result[1].rows] == [1, 2, 3, 1, 2, 3]
    for stage in ("vae", "mdn_rnn"):
        assert shown(board, stage) == [1, 2, 3]


def flat(candles: Candles, **columns) -> Candles:
    return replace(candles, **{name: np.full(len(candles), v) for name, v in columns.items()})


def test_constant_prices_are_refused_before_training(split, paper_config):
    train, validation = split
    still = flat(train, open=100.0, high=100.0, low=100.0, close=100.0)
    with pytest.raises(FeatureError, match=r"log_return.*never changes.*prices or volume"):
        train_world_model(still, validation, paper_config)


def test_zero_volume_is_refused_before_training(split, paper_config):
    train, validation = split
    with pytest.raises(FeatureError, match="log_volume never changes"):
        train_world_model(flat(train, volume=0.0), validation, paper_config)


def test_short_ranges_are_refused_before_training(split, paper_config):
    train, validation = split
    with pytest.raises(TrainingError, match="expected at least 49: give a longer range"):
        train_world_model(train.rows(0, 200), validation, paper_config)
    with pytest.raises(TrainingError, match="validation range has 1 bars"):
        train_world_model(train, validation.rows(0, 1), paper_config)


@pytest.mark.parametrize("device", ["tpu", "CPU"])
def test_an_unknown_device_is_refused(split, paper_config, device):
    with pytest.raises(ConfigError, match="expected cpu, cuda or auto"):
        train_world_model(*split, paper_config, device=device)


@pytest.mark.parametrize("stage", ["vae", "mdn_rnn"])
def test_a_loss_that_is_not_finite_names_the_batch_and_keeps_the_checkpoint(
    split, paper_config, tmp_path, stage, monkeypatch
):
    from worldmodel_trading.models.training import loops

    # V: 4 batches an epoch and one validation; M: 1 batch an epoch
    loss, calls, nth = getattr(loops, f"{stage}_loss"), [], 7 if stage == "vae" else 3

    def poisoned(*arguments):
        value = loss(*arguments)
        calls.append(value)
        return value * float("nan") if len(calls) == nth else value

    monkeypatch.setattr(loops, f"{stage}_loss", poisoned)
    file = tmp_path / f"{stage}.safetensors"
    with pytest.raises(
        TrainingError, match=rf"{stage}: the loss is nan at epoch \d, batch \d of \d"
    ):
        train_world_model(*split, paper_config, seed=5, checkpoint_dir=tmp_path)
    monkeypatch.undo()
    assert file.exists()
    resumed, _ = train_world_model(
        *split, paper_config, seed=5, checkpoint_dir=tmp_path, resume=True
    )
    straight, _ = train_world_model(*split, paper_config, seed=5)
    assert_same(resumed, straight)


def test_resuming_after_the_end_trains_nothing_more(split, paper_config, tmp_path):
    first, history = train_world_model(*split, paper_config, seed=5, checkpoint_dir=tmp_path)
    again, told = train_world_model(
        *split, paper_config, seed=5, checkpoint_dir=tmp_path, resume=True
    )
    assert_same(again, first)
    assert told.rows == history.rows


def test_not_resuming_starts_anew(split, paper_config, tmp_path):
    train_world_model(*split, paper_config, seed=5, checkpoint_dir=tmp_path)
    other = replace(paper_config, mdn_rnn_epochs=1)
    _, history = train_world_model(*split, other, seed=5, checkpoint_dir=tmp_path)
    assert len(history.stage("mdn_rnn")) == 1


@pytest.mark.parametrize("change", ["seed", "config", "candles"])
def test_a_checkpoint_of_another_training_is_refused(split, paper_config, tmp_path, change):
    train_world_model(*split, paper_config, seed=5, checkpoint_dir=tmp_path)
    train, validation = split
    seed = 6 if change == "seed" else 5
    config = replace(paper_config, kl_weight=0.4) if change == "config" else paper_config
    if change == "candles":
        train = train.rows(1, len(train))
    with pytest.raises(TrainingError, match="belongs to other candles, settings or another seed"):
        train_world_model(
            train, validation, config, seed=seed, checkpoint_dir=tmp_path, resume=True
        )


@pytest.mark.parametrize("damage", ["truncated", "emptied", "pickled"])
def test_a_damaged_checkpoint_is_refused(split, paper_config, tmp_path, damage):
    train_world_model(*split, paper_config, seed=5, checkpoint_dir=tmp_path)
    file = tmp_path / "mdn_rnn.safetensors"
    if damage == "pickled":
        torch.save({"a": 1}, file)
    else:
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    with pytest.raises(TrainingError, match="is damaged"):
        train_world_model(*split, paper_config, seed=5, checkpoint_dir=tmp_path, resume=True)


SCRIPT = """
import json, os, signal, sys, torch
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.config import PaperConfig
from worldmodel_trading.models.training.callbacks import TrainingCallback
from worldmodel_trading.models.training.train import train_world_model

class Killer(TrainingCallback):
    left = int(sys.argv[4])  # epochs until then; 0 lets it live

    def on_epoch(self, row):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
candles = synthetic_candles(seed=5, bars=2_600)
config = PaperConfig.from_dict(json.loads(sys.argv[1]))
model, _ = train_world_model(
    candles.rows(0, 1_200), candles.rows(1_200, 1_600), config,
    seed=5, source="synthetic", checkpoint_dir=sys.argv[2], resume=True, callbacks=[Killer()],
)
model.save_pretrained(sys.argv[3])
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_training_killed_again_and_again_ends_the_same_bit_for_bit(
    split, paper_config, paper_model, tmp_path
):
    import json

    out = tmp_path / "model"
    arguments = [json.dumps(paper_config.to_dict()), str(tmp_path / "checkpoints"), str(out)]
    command = [sys.executable, "-c", SCRIPT, *arguments]
    for epochs in (2, 2, 1):  # in V, after M's first epoch, after its second
        killed = subprocess.run([*command, str(epochs)], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert not out.exists()
    subprocess.run([*command, "0"], check=True)
    assert_same(WorldModel.from_pretrained(out), paper_model)


def test_an_epoch_learns_from_no_more_bars_than_it_may(split, paper_config, tmp_path):
    train_world_model(*split, paper_config, seed=5, checkpoint_dir=tmp_path / "whole")
    short = replace(paper_config, epoch_bars=2 * paper_config.vae_batch_size)
    train_world_model(*split, short, seed=5, checkpoint_dir=tmp_path / "short")

    def steps(folder: str, stage: str) -> int:
        with safe_open(tmp_path / folder / f"{stage}.safetensors", framework="np") as stored:
            return json.loads(stored.metadata()["state"])["progress"]["steps"]

    epochs, stride = paper_config.vae_epochs, paper_config.chunk_bars - paper_config.burn_in_bars
    assert steps("short", "vae") == 2 * epochs < steps("whole", "vae")
    chunks = -(-short.epoch_bars // stride)
    batches = max(1, chunks // paper_config.mdn_rnn_batch_size)
    assert steps("short", "mdn_rnn") == batches * paper_config.mdn_rnn_epochs
    assert steps("short", "mdn_rnn") <= steps("whole", "mdn_rnn")
