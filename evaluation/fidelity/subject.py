"""What is measured: a world model on its market, and what several measures look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ...market.candles import Candles
from ...market.errors import TrainingBarsError
from ...market.records import AT_LEAST_ONE, FROM_ZERO, Record
from ...market.times import format_time
from ...models.provenance import ALLOW_OTHER_MARKET
from ...models.world_model import WorldModel
from ..baselines.har import HAR
from ..baselines.scores import Baselines, fit_baselines
from ..comparison.rank_agreement import DREAMS
from ..density import WORLD_MODEL
from ..untrained import with_untrained_memory
from .generators import Generator, comparison_dreams
from .paths import Dreams, dream, recorded_paths, shown_columns
from .random_encoder import with_random_encoder

UNTRAINED_M = "untrained_m"
"""Name of the control whose M has random weights."""
TRAIN, VALIDATION, TEST = "train", "validation", "test"
"""Names of the ranges."""
Rows = tuple[int, int]
"""First row of a range of candles, and the row after its last."""
_SAME_CLOSE = 0.01  # sources of one market differ by less


@dataclass(frozen=True)
class FidelityConfig(Record):
    """How thoroughly to measure.

    Attributes:
        num_dreams: Dreams of the stylised facts.
        bars: Bars of each.
        decay_dreams: Dreams of the horizon decay, as long as the last of `AGES`.
        controllers: Random linear controllers of the rank agreement.
        rank_dreams: Dreams that score each of them.
        outlook_paths: Dreams that forecast from each recorded bar.
        control_epochs: Epochs of the M that a random encoder is given.
        drift: What a held position earns in dreams; see `with_drift`.
        seed: Makes all of it repeat.
    """

    num_dreams: int = 256
    bars: int = 720
    decay_dreams: int = 128
    controllers: int = 200
    rank_dreams: int = DREAMS
    outlook_paths: int = 128
    control_epochs: int = 20
    drift: str | float = "recorded"
    seed: int = 0

    _bounds = {  # noqa: RUF012
        **dict.fromkeys(
            (
                "num_dreams",
                "bars",
                "decay_dreams",
                "controllers",
                "rank_dreams",
                "outlook_paths",
                "control_epochs",
            ),
            AT_LEAST_ONE,
        ),
        "seed": FROM_ZERO,
    }


@dataclass(frozen=True)
class Ranges:
    """Rows of the candles: what was trained on, and what was held out.

    Attributes:
        train: The training range.
        held_out: Validation and test range, in this order, as far as the candles go.
    """

    train: Rows
    held_out: dict[str, Rows]

    @property
    def last(self) -> Rows:
        """The latest held-out range."""
        return list(self.held_out.values())[-1]

    @property
    def all(self) -> dict[str, Rows]:
        """Every range by name."""
        return {TRAIN: self.train, **self.held_out}


@dataclass(frozen=True, eq=False)
class Subject:
    """A world model on its market; what several measures look at is made once.

    Attributes:
        world_model: What is judged.
        candles: Of its market.
        ranges: Rows of them.
        config: How thoroughly to measure.
        generators: Whose paths stand beside the built-in generators'.
        beside: A subject of the same market whose generators, baselines and controls stand for this
            one's too, which are then not measured again.
    """

    world_model: WorldModel
    candles: Candles
    ranges: Ranges
    config: FidelityConfig
    generators: Mapping[str, Generator] = field(default_factory=dict)
    beside: Subject | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of the features [F]."""
        return shown_columns(self.world_model)

    @cached_property
    def train(self) -> Candles:
        """The training range: the record that dreams are compared with."""
        return self.candles.rows(*self.ranges.train)

    @cached_property
    def record(self) -> Dreams:
        """Recorded paths as long as the dreams."""
        return recorded_paths(self.train, self.config.bars, self.world_model.config.features)

    @cached_property
    def dreams(self) -> dict[str, Dreams]:
        """The world model's dreams and those to compare them with, by generator."""
        size, seed = (self.config.num_dreams, self.config.bars), self.config.seed
        ours = dream(self.world_model, *size, seed=seed)
        if self.beside is not None:
            return {WORLD_MODEL: ours}
        rivals = comparison_dreams(self.train, *size, seed=seed, others=self.generators)
        return {
            WORLD_MODEL: ours,
            **rivals,
            UNTRAINED_M: dream(self.untrained, *size, seed=seed),
        }

    @cached_property
    def baselines(self) -> Baselines:
        """Forecasts of the next return to stand beside the world model's."""
        other = self.beside
        if other is not None and other._is_alike(self):
            return other.baselines
        return fit_baselines(
            self.candles,
            self.ranges.train,
            seed=self.config.seed,
            settings=self.world_model.config,
        )

    @cached_property
    def har(self) -> HAR:
        """A HAR to simulate what may follow."""
        other = self.beside
        if other is not None and other.ranges.train == self.ranges.train:
            return other.har
        return HAR.fit(self.candles, self.ranges.train)

    def _is_alike(self, other: Subject) -> bool:
        """Whether the baselines of one are those of the other."""
        same_rows = self.ranges.train == other.ranges.train
        return same_rows and self.world_model.config == other.world_model.config

    @cached_property
    def untrained(self) -> WorldModel:
        """The world model with an M of random weights."""
        return with_untrained_memory(self.world_model, self.config.seed)

    @cached_property
    def controls(self) -> dict[str, WorldModel]:
        """World models that know less, by name; the random encoder needs a validation range."""
        if self.beside is not None:
            return {}
        controls = {UNTRAINED_M: self.untrained}
        if self.world_model.config.preset == "market" and VALIDATION in self.ranges.held_out:
            controls["random_encoder"] = with_random_encoder(
                self.world_model,
                self.train,
                self.candles.rows(*self.ranges.held_out[VALIDATION]),
                seed=self.config.seed,
                epochs=self.config.control_epochs,
            )
        return controls


def find_ranges(world_model: WorldModel, candles: Candles) -> Ranges:
    """Training, validation and test rows by the model's provenance.

    Raises:
        TrainingBarsError: The candles hold none of the training range, or nothing after it.
    """
    p = world_model.provenance
    edges = [p.train_start_ms, p.train_end_ms, p.validation_start_ms, p.validation_end_ms]
    first, last, start, stop = (int(i) for i in np.searchsorted(candles.open_time_ms, edges))
    if last - first < 2 or first == len(candles):
        raise TrainingBarsError(
            f"the candles hold no bars of the training range "
            f"{format_time(p.train_start_ms)} to {format_time(p.train_end_ms)}; the dream is compared "
            "with it, so give the file that the world model was trained on"
        )
    held_out = {VALIDATION: (start, stop), TEST: (stop, len(candles))}
    held_out = {name: rows for name, rows in held_out.items() if rows[1] - rows[0] >= 2}
    if not held_out:
        raise TrainingBarsError(
            f"the candles end at {format_time(int(candles.open_time_ms[-1]))}, inside the training "
            "range: a forecast judged on bars that were trained on proves nothing; give later bars"
        )
    return Ranges((first, last), held_out)


def check_closes(world_model: WorldModel, candles: Candles) -> None:
    """Symbols are only names: the closes that the model keeps tell whether it met these candles.

    Raises:
        TrainingBarsError: The closes of the same times are others.
    """
    bank = world_model.bank
    _, rows, kept = np.intersect1d(candles.open_time_ms, bank.open_time_ms, return_indices=True)
    away = np.abs(candles.close[rows] / bank.close[kept] - 1.0)
    if len(rows) and np.median(away) > _SAME_CLOSE:
        row, other = rows[away.argmax()], kept[away.argmax()]
        raise TrainingBarsError(
            f"the close of {format_time(int(candles.open_time_ms[row]))} is {candles.close[row]:g} in "
            f"these candles, and was {bank.close[other]:g} where the world model was trained "
            f"({world_model.provenance.symbol}): give candles of the same market, or "
            f"{ALLOW_OTHER_MARKET}"
        )
