"""What follows a training."""

from __future__ import annotations

from pathlib import Path

from interrupted_queue import interrupt_queue, shown

from worldmodel_trading.models.training.callbacks import Row, TensorBoardCallback


def test_ctrl_c_leaves_the_board_whole(tmp_path: Path) -> None:
    board = TensorBoardCallback(tmp_path)
    board.on_stage_start("vae", 2)
    row: Row = {"stage": "vae", "epoch": 1, "train_loss": 0.5, "validation_loss": 0.25}
    interrupt_queue(lambda: board.on_epoch(row))
    board.on_stage_end("vae")
    assert shown(tmp_path / "vae") == {
        "vae/train_loss": [(1, 0.5)],
        "vae/validation_loss": [(1, 0.25)],
    }
