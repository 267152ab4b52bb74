"""Where a comparison is held: given world models on one record, or windows that walk forward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldmodel_trading.comparison.cells import Stage
from worldmodel_trading.comparison.windows import Window
from worldmodel_trading.ground import Cuts, Recorded, open_recorded_ranges
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.models.presets import AnyConfig
from worldmodel_trading.models.training.bar_ground import training_ranges
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel

MODELS = "world_models"
_MANIFEST = "manifest.json"


@dataclass(frozen=True, eq=False)
class Stages:
    """Every stage by window and world model.

    Attributes:
        by_name: The stages; the window's name is empty where there is one alone.
        fingerprints: Of each one's world model.
        seen_until_ms: End of what any world model was trained and chosen on [ms UTC].
        bars_per_year: 8,760 for hourly bars.
        symbol: Of all of them.
        interval: Likewise.
    """

    by_name: Mapping[tuple[str, str], Stage]
    fingerprints: Mapping[tuple[str, str], str]
    seen_until_ms: int
    bars_per_year: float
    symbol: str
    interval: str

    @property
    def models(self) -> dict[str, str]:
        """Fingerprints, by the name under which tables have the world model."""
        return {", ".join(filter(None, key)): mark for key, mark in self.fingerprints.items()}

    @property
    def windows(self) -> dict[str, Mapping[str, tuple[int, int]]]:
        """Ranges of each window [ms UTC]."""
        return {window: stage.ranges for (window, _), stage in self.by_name.items()}


def given_stages(sources: Sequence[Any], candles: Any, cuts: Cuts, folder: Path) -> Stages:
    """One stage for each world model that is given.

    Args:
        sources: Folders, ``default``, or world models.
        candles: Anything `open_candles` opens, or None.
        cuts: Where the ranges are cut.
        folder: World models that lie in no folder are kept in it, when `keep_models` is called.

    Raises:
        ConfigError: World models were trained on other bars than the first, or are the same.
    """
    opened = {_model_name(source, k): source for k, source in enumerate(sources)}
    if len(opened) < len(sources):
        raise ConfigError("a world model is named twice: leave one out")
    found = {name: open_recorded_ranges(source, candles, cuts) for name, source in opened.items()}
    _refuse_different(found)
    first = next(iter(found.values()))
    stages = {
        ("", name): Stage(_folder_of(opened[name], name, folder), one.candles, one.ranges)
        for name, one in found.items()
    }
    made = first.world_model.provenance
    return Stages(
        stages,
        {("", name): one.world_model.fingerprint for name, one in found.items()},
        made.validation_end_ms,
        made.bars_per_year,
        made.symbol,
        made.interval,
    )


def _model_name(source: Any, number: int) -> str:
    if isinstance(source, WorldModel):
        return f"model {number + 1}"
    path = Path(str(source))
    return path.parent.name or path.name if path.name == "world_model" else path.name


def _folder_of(source: Any, name: str, folder: Path) -> str:
    return str(folder / MODELS / name) if isinstance(source, WorldModel) else str(source)


def keep_models(sources: Sequence[Any], folder: Path) -> None:
    """Write the world models that lie in no folder."""
    for number, source in enumerate(sources):
        if isinstance(source, WorldModel):
            source.save_pretrained(folder / MODELS / _model_name(source, number))


def _refuse_different(found: Mapping[str, Recorded]) -> None:
    (first, one), *others = found.items()
    for name, other in others:
        ours, theirs = one.world_model.provenance, other.world_model.provenance
        if ours.data_hash != theirs.data_hash or one.ranges != other.ranges:
            raise ConfigError(
                f"{first} and {name} were trained on different bars: a comparison takes world models of "
                "one market and one training range, such as one of each seed"
            )


@dataclass(frozen=True, eq=False)
class Training:
    """A world model of a window, to be trained.

    Attributes:
        window: Its ranges.
        candles: The record.
        config: Settings of the training.
        seed: Of the training.
        folder: Where the world model goes.
        checkpoints: Where its checkpoints go.
        source: Where the candles come from, in words.
    """

    window: Window
    candles: Candles
    config: AnyConfig
    seed: int
    folder: Path
    checkpoints: Path
    source: str = field(default="")

    @property
    def file(self) -> Path:
        """What is written last."""
        return self.folder / _MANIFEST

    @property
    def told(self) -> str:
        """What a person is told of it."""
        return f"world model {self.folder.name}"

    def run(self) -> None:
        """Train the world model on what came before its window, and write its folder."""
        world_model, _ = train_world_model(
            self.candles.between(*self.window.train),
            self.candles.between(*self.window.validation),
            self.config,
            seed=self.seed,
            source=self.source,
            checkpoint_dir=self.checkpoints,
            resume=True,
        )
        world_model.save_pretrained(self.folder)


def trainings(
    windows: Sequence[Window],
    candles: Candles,
    config: AnyConfig,
    seeds: Sequence[int],
    folder: Path,
    source: str,
) -> dict[tuple[str, str], Training]:
    """What has to be trained, by window and name of the world model.

    Raises:
        TrainingError: A window's ranges are too short to learn from.
    """
    for window in windows:
        training_ranges(candles.between(*window.train), candles.between(*window.validation), config)
    found = {}
    for window in windows:
        for seed in seeds:
            slug = f"{window.name}-{seed}"
            places = folder / MODELS / slug, folder / "checkpoints" / MODELS / slug
            training = Training(window, candles, config, seed, *places, source)
            found[window.name, f"seed {seed}"] = training
    return found


def walked_stages(training: Mapping[tuple[str, str], Training]) -> Stages:
    """The stages, once their world models are there."""
    stages = {
        name: Stage(str(one.folder), one.candles, one.window.ranges())
        for name, one in training.items()
    }
    prints = {name: open_world_model(one.folder).fingerprint for name, one in training.items()}
    first = next(iter(training.values()))
    candles, seen = first.candles, first.window.validation[1]
    return Stages(stages, prints, seen, candles.bars_per_year, candles.symbol, candles.interval)
