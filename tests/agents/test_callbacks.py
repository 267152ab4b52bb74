"""What follows a training with Stable-Baselines3."""

from __future__ import annotations

from pathlib import Path

from interrupted_queue import interrupt_queue, shown

from worldmodel_trading.agents.callbacks import Board


def test_ctrl_c_leaves_the_board_whole(tmp_path: Path) -> None:
    board = Board(tmp_path, steps=0)
    numbers = {"trading/cost": 0.5, "trading/turnover": 0.25}
    interrupt_queue(lambda: board.write(numbers, {}, step=3))
    board.close()
    assert shown(tmp_path) == {"trading/cost": [(3, 0.5)], "trading/turnover": [(3, 0.25)]}
