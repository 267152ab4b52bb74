"""What follows a training with Stable-Baselines3: trading measures, validation in replay, checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter

from ..evaluation.performance import Performance
from ..market.arrays import BoolArray, FloatArray
from ..market.interrupts import interrupts_held
from ..models.training.tracking import Tracker
from .sb3 import NativeVecEnv

Judge = Callable[[Any], Performance]
"""How a policy did on validation."""


class Look(NamedTuple):
    """One look at validation.

    Attributes:
        steps: Bars trained on before it.
        log_return: Annual log return after costs.
        sharpe: Annual Sharpe ratio.
    """

    steps: int
    log_return: float
    sharpe: float


class Board(KVWriter):  # type: ignore[misc, unused-ignore]
    """Writes numbers to TensorBoard, and goes on where a stopped training's checkpoint stands.

    Args:
        folder: For the event files.
        steps: Bars trained on so far; what was written of later ones is no longer shown.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        with interrupts_held():
            self._writer: Any = SummaryWriter(str(folder), purge_step=steps + 1)

    def write(
        self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0
    ) -> None:
        """Write the numbers of a step."""
        with interrupts_held():
            for name, value in _numbers(key_values).items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        with interrupts_held():
            self._writer.close()


class TrackerBoard(KVWriter):  # type: ignore[misc, unused-ignore]
    """Hands the same numbers to a tracker, which stays open.

    Args:
        tracker: Where they go.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def write(
        self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0
    ) -> None:
        """Write the numbers of a step."""
        self._tracker.log(_numbers(key_values), step)

    def close(self) -> None:
        """Leave the tracker to who made it."""


def _numbers(key_values: dict[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in key_values.items()
        if isinstance(value, int | float | np.number)
    }


class TradingMeasures(BaseCallback):  # type: ignore[misc, unused-ignore]
    """Records what the lanes did since the last rollout: ``trading/…``.

    ``cost`` and ``turnover`` (means of a bar), ``exposure`` (mean weight) and ``gross_exposure`` (its
    size); of ended episodes ``equity``, ``log_return`` and ``ruined`` (their share).

    Args:
        lanes: What is traded.
        every: Steps of all lanes between two records.
    """

    def __init__(self, lanes: NativeVecEnv, every: int) -> None:
        super().__init__()
        self._lanes, self._every = lanes, every
        self._next = 0
        self._clear()

    def _clear(self) -> None:
        self._bars: dict[str, list[float]] = {}
        self._ended: list[FloatArray] = []
        self._ruined: list[BoolArray] = []

    def _init_callback(self) -> None:
        self._next = self.model.num_timesteps + self._every

    def _on_step(self) -> bool:
        info, dones = self._lanes.last_info, self.locals["dones"]
        lived = info.get("final_info", info)  # of lanes that ended: as they ended
        for name, values in (
            ("cost", lived["cost"]),
            ("turnover", lived["turnover"]),
            ("exposure", lived["weight"]),
            ("gross_exposure", np.abs(lived["weight"])),
        ):
            self._bars.setdefault(name, []).append(float(np.mean(values)))
        if dones.any():
            self._ended.append(lived["equity"][dones])
            ruined = [not end["TimeLimit.truncated"] for end in self.locals["infos"] if end]
            self._ruined.append(np.array(ruined, dtype=np.bool_))
        if self.model.num_timesteps >= self._next:
            self._next += self._every
            self._record()
        return True

    def _record(self) -> None:
        for name, values in self._bars.items():
            self.logger.record(f"trading/{name}", float(np.mean(values)))
        if self._ended:
            equity = np.concatenate(self._ended)
            self.logger.record("trading/equity", float(equity.mean()))
            growth = np.log(np.maximum(equity, 1e-12))
            self.logger.record("trading/log_return", float(growth.mean()))
            self.logger.record("trading/ruined", float(np.concatenate(self._ruined).mean()))
        self._clear()
        self.logger.dump(self.model.num_timesteps)


class Milestones(BaseCallback):  # type: ignore[misc, unused-ignore]
    """Between rollouts: looks at validation, keeps the best, ends early, and writes checkpoints.

    Args:
        judge: How the agent does on validation; None looks at nothing.
        keep: Writes the model as the best so far.
        checkpoint: Writes all that going on needs, this callback's `state` too.
        every: Steps between two looks, and two checkpoints.
        patience: Looks without a better one after which training ends; None never ends early.
        told: Receives each look.

    Attributes:
        looks: At validation so far.
        best: Number of the best of them; None where there is none.
        stopped: Whether patience has ended the training.
    """

    def __init__(
        self,
        judge: Judge | None,
        keep: Callable[[Any], None],
        checkpoint: Callable[[Any, dict[str, Any]], None],
        every: int,
        patience: int | None = None,
        told: Callable[[int, Look | None], None] | None = None,
    ) -> None:
        super().__init__()
        self._judge, self._keep, self._checkpoint = judge, keep, checkpoint
        self._every, self._patience = every, patience
        self._told = told or (lambda steps, look: None)
        self._next, self._reached = every, -1
        self.looks: list[Look] = []
        self.best: int | None = None
        self.stopped = False

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"looks": [list(look) for look in self.looks], "best": self.best}

    def restore(self, state: dict[str, Any], steps: int) -> None:
        """Go on from a checkpoint at so many steps."""
        self.looks = [Look(int(a), float(b), float(c)) for a, b, c in state["looks"]]
        self.best = state["best"]
        self._next = steps + self._every
        self._run_out()

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps >= self._next:
            self._next = self.model.num_timesteps + self._every
            self.reach()

    def _on_step(self) -> bool:
        return not self.stopped

    def reach(self) -> None:
        """Look, and write a checkpoint, here and now."""
        steps = int(self.model.num_timesteps)
        if steps == self._reached:
            return
        self._reached = steps
        look = None if self._judge is None else self._look(steps, self._judge(self.model))
        self._checkpoint(self.model, self.state())
        self._told(steps, look)

    def _run_out(self) -> None:
        if self._patience is not None and self.best is not None:
            self.stopped = len(self.looks) - 1 - self.best >= self._patience

    def _look(self, steps: int, measured: Performance) -> Look:
        look = Look(steps, measured.annual_log_return, measured.sharpe)
        self.looks.append(look)
        if self.best is None or look.log_return > self.looks[self.best].log_return:
            self.best = len(self.looks) - 1
            self._keep(self.model)
        self._run_out()
        for name, value in look._asdict().items():
            if name != "steps":
                self.logger.record(f"validation/{name}", value)
        self.logger.dump(steps)
        return look
