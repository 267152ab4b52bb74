"""What a world model of another market is worth where a market has few bars: a learning curve."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..market.arrays import BoolArray, FloatArray
from .loss_tests import LossDifference, diebold_mariano

FINE_TUNED, SCRATCH, NOT_ADAPTED, HAR_T = "fine-tuned", "from scratch", "not adapted", "HAR-t"
LEARNERS = (FINE_TUNED, SCRATCH, NOT_ADAPTED, HAR_T)
"""Who forecasts: the parent fine-tuned, a world model of the same bars alone, the parent as it is, and
HAR-t fitted on the same bars."""

Key = tuple[str, int]
"""A learner, and how many bars of the target it knew; of the parent as it is, the most."""


@dataclass(frozen=True, eq=False)
class TransferCell:
    """One learner, once.

    Attributes:
        learner: One of `LEARNERS`.
        bars: Bars of the target that it knew.
        seed: Of its training.
        train_bars: How many of them it learned from.
        validation_bars: How many of them, the last, chose.
        losses: -log p of the return of each bar of the test range, in percent [T]; NaN where it says
            nothing. Empty where it could not be made.
        note: Why not, or what its training said.
        seconds: Of its training.
        figures: Of its dreams beside the test range, by name; empty where not measured.
    """

    learner: str
    bars: int
    seed: int
    train_bars: int
    validation_bars: int
    losses: FloatArray
    note: str = ""
    seconds: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """What seeds are of."""
        return self.learner, self.bars

    @property
    def made(self) -> bool:
        """Whether it could be."""
        return len(self.losses) > 0


@dataclass(frozen=True, eq=False)
class TransferRow:
    """A learner and what it knew, over its seeds.

    Attributes:
        learner: One of `LEARNERS`.
        bars: Bars of the target.
        nll: Median over seeds; None where it could not be made.
        low: The best seed's.
        high: The worst seed's.
        seeds: How many.
        note: Why it could not be made; else empty.
        figures: Medians of what was measured of dreams.
    """

    learner: str
    bars: int
    nll: float | None
    low: float | None
    high: float | None
    seeds: int
    note: str
    figures: dict[str, float]


@dataclass(frozen=True, eq=False)
class Transfer:
    """A learning curve.

    Attributes:
        parent: Symbols that the parents learned.
        parents: Their fingerprints, in the order of seeds.
        symbol: Of the target.
        interval: Of both.
        test: Its first open time and end [ms UTC].
        cells: All that was measured.
    """

    parent: str
    parents: tuple[str, ...]
    symbol: str
    interval: str
    test: tuple[int, int]
    cells: tuple[TransferCell, ...]

    @property
    def scored(self) -> BoolArray:
        """Which bars of the test range all learners have a forecast for [T]."""
        made = [cell.losses for cell in self.cells if cell.made]
        return np.asarray(np.isfinite(np.stack(made)).all(axis=0))

    def losses(self, key: Key) -> FloatArray:
        """Losses of the scored bars, the mean over seeds [N]."""
        kept = self.scored
        found = [cell.losses[kept] for cell in self.cells if cell.key == key and cell.made]
        return np.asarray(np.mean(found, axis=0))

    @property
    def keys(self) -> tuple[Key, ...]:
        """Learners in their order, each with its bars in theirs."""
        known = {cell.key for cell in self.cells}
        return tuple(sorted(known, key=lambda key: (LEARNERS.index(key[0]), key[1])))

    @property
    def rows(self) -> tuple[TransferRow, ...]:
        """One for each key."""
        return tuple(self._row(key) for key in self.keys)

    def row(self, key: Key) -> TransferRow:
        """That of a key."""
        return self._row(key)

    def _row(self, key: Key) -> TransferRow:
        cells = [cell for cell in self.cells if cell.key == key]
        kept = self.scored
        nll = [float(cell.losses[kept].mean()) for cell in cells if cell.made]
        notes = [cell.note for cell in cells if not cell.made]
        names = dict.fromkeys(name for cell in cells for name in cell.figures)
        figures = {n: _median(c.figures[n] for c in cells if n in c.figures) for n in names}
        if not nll:
            return TransferRow(*key, None, None, None, 0, notes[0], figures)
        return TransferRow(*key, _median(nll), min(nll), max(nll), len(nll), "", figures)

    def difference(self, first: Key, second: Key) -> LossDifference | None:
        """Mean loss of the first less that of the second; None where one could not be made."""
        if self.row(first).nll is None or self.row(second).nll is None:
            return None
        return diebold_mariano(self.losses(first), self.losses(second))

    @property
    def differences(self) -> tuple[tuple[Key, Key, LossDifference], ...]:
        """Of fine-tuning less every other learner, however many bars that knew."""
        tuned = [key for key in self.keys if key[0] == FINE_TUNED]
        rivals = [key for key in self.keys if key[0] != FINE_TUNED]
        found = []
        for one in tuned:
            for other in rivals:
                gap = self.difference(one, other)
                if gap is not None:
                    found.append((one, other, gap))
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers by name; losses of single bars are left out."""
        return {
            "parent": self.parent,
            "parents": list(self.parents),
            "symbol": self.symbol,
            "interval": self.interval,
            "test": {
                "start_ms": self.test[0],
                "end_ms": self.test[1],
                "bars": int(self.scored.sum()),
            },
            "rows": [vars(row) for row in self.rows],
            "cells": [self._cell(cell) for cell in self.cells],
            "differences": [
                {"learner": a[0], "bars": a[1], "than": b[0], "than_bars": b[1], **gap.to_dict()}
                for a, b, gap in self.differences
            ],
        }

    def _cell(self, cell: TransferCell) -> dict[str, Any]:
        kept = self.scored
        said = {name: value for name, value in vars(cell).items() if name != "losses"}
        return {**said, "nll": float(cell.losses[kept].mean()) if cell.made else None}


def _median(values: Iterable[float]) -> float:
    return float(np.median(list(values)))
