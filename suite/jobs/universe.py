"""The main job of several symbols: a run for each, and one page beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from worldmodel_trading.config import RunConfig
from worldmodel_trading.envs.population.crew import PROCESSES, Crew
from worldmodel_trading.evaluation.report.universe_page import (
    RESULTS_FILE,
    universe_sentence,
    universe_text,
    write_universe,
)
from worldmodel_trading.evaluation.results import read_results, write_results
from worldmodel_trading.evaluation.universe import UniverseOutcome, outcome_of
from worldmodel_trading.jobs.run import given_world_model, refuse_impossible, run
from worldmodel_trading.market.errors import ConfigError, WorldModelTradingError
from worldmodel_trading.market.files.writer import write_whole
from worldmodel_trading.market.sources import source_name
from worldmodel_trading.models.bars.config import MarketConfig
from worldmodel_trading.models.joint_world_model import JointWorldModel, is_joint
from worldmodel_trading.models.training.callbacks import TensorBoardCallback
from worldmodel_trading.models.training.joint import refuse_leaks
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.output import is_begun, run_folder
from worldmodel_trading.pool import work_through
from worldmodel_trading.progress import Counter, TrainingConsole, say, tell
from worldmodel_trading.split import Split, open_split

_SYMBOL = "{symbol}"
_MANY = 3  # symbols that a refusal tells of


@dataclass(frozen=True)
class UniverseConfig:
    """Which symbols, and how each is run.

    Attributes:
        symbols: Their names.
        settings: Of a run (`RunConfig`), ``candles``, ``funding``, ``instrument`` and ``world_model`` with
            ``{symbol}`` where it differs; ``out`` is the folder of all, ``workers``, ``executor`` and
            ``ray_address`` work on symbols (`Crew`).
        joint: Whether one world model learns all symbols.

    Raises:
        ConfigError: There are fewer than two symbols, one comes twice, all would run on the same candles, or
            a setting of a run is impossible.
    """

    symbols: tuple[str, ...]
    settings: Mapping[str, Any]
    joint: bool = False

    def __post_init__(self) -> None:
        if len(set(self.symbols)) < max(2, len(self.symbols)):
            raise ConfigError(
                f"--symbols names {', '.join(self.symbols) or 'none'}; expected at least two, each once"
            )
        if _SYMBOL not in str(self.settings["candles"]):
            raise ConfigError(
                f"--candles is {self.settings['candles']!r} for several symbols; expected {_SYMBOL} in it, "
                "such as 'candles/{symbol}.csv', or none for what is stored"
            )
        if self.joint and self.settings.get("world_model") is not None:
            raise ConfigError(
                "--joint trains a world model, and --world-model gives one: leave one out"
            )
        assert self.crew  # is refused before any work
        if self.joint and self.whole.preset != "market":
            raise ConfigError(
                f"--joint is of the market preset, not {self.whole.preset!r}: leave it out, and every symbol "
                "has a world model of its own"
            )

    @property
    def out(self) -> Path:
        """Where the results go."""
        return Path(self.settings["out"])

    def folder(self, symbol: str) -> Path:
        """Where those of a symbol go."""
        return self.out / "symbols" / symbol

    def of(self, symbol: str) -> RunConfig:
        """The run of a symbol."""
        own: dict[str, Any] = {
            name: value.replace(_SYMBOL, symbol) if isinstance(value, str) else value
            for name, value in self.settings.items()
        }
        own |= {"symbol": symbol, "out": str(self.folder(symbol))}
        own |= {"workers": 0, "executor": PROCESSES, "ray_address": None}
        return RunConfig(**own)

    @cached_property
    def crew(self) -> Crew:
        """Who works on the symbols."""
        given = (self.settings.get(name) for name in ("workers", "executor", "ray_address"))
        workers, executor, address = given
        alone = workers is None and executor in (None, PROCESSES)
        return Crew(0 if alone else workers, executor or PROCESSES, address)

    @cached_property
    def whole(self) -> RunConfig:
        """The settings that all have in common."""
        return self.of(self.symbols[0])


@dataclass(frozen=True)
class _Piece:
    """One symbol's run."""

    config: RunConfig

    @property
    def file(self) -> Path:
        return self.config.out_dir / "results.json"

    @property
    def told(self) -> str:
        return str(self.config.symbol)

    def run(self) -> None:
        resume = is_begun(self.config.out_dir)
        run(replace(self.config, resume=resume, overwrite=False))


def run_universe(config: UniverseConfig) -> UniverseOutcome:
    """Run every symbol and write one table and page; finished symbols stay if it is stopped.

    Returns:
        What ``universe.json`` holds.

    Raises:
        ConfigError: A symbol cannot be run; nothing was begun then.
    """
    splits = _opened(config)
    overwrite, resume = config.whole.overwrite, config.whole.resume
    with run_folder(
        config.out, _run_id(config, splits), job="universe", resume=resume, overwrite=overwrite
    ):
        write_whole(config.out / "checkpoints" / "symbols.txt", "\n".join(config.symbols) + "\n")
        joint = _joint(config, splits) if config.joint else None
        pieces = [_Piece(_with(config.of(symbol), joint)) for symbol in config.symbols]
        with Counter("symbols", len(pieces), "symbol") as counter:
            work_through(pieces, config.crew, counter)
        results = [read_results(piece.file, ("performance",), "run") for piece in pieces]
        found = outcome_of(config.joint, results)
        page = write_universe(config.out, found)
        write_results(config.out / RESULTS_FILE, found)
    tell("\n" + universe_text(found))
    tell(universe_sentence(found))
    tell(f"\nReport: {page}")
    return found


def _opened(config: UniverseConfig) -> dict[str, Split]:
    """The candles of every symbol, cut; what would be refused later is refused at once."""
    splits, wrong = {}, []
    for symbol in config.symbols:
        own = config.of(symbol)
        try:
            splits[symbol] = split = open_split(own)
            refuse_impossible(own, split)
            given_world_model(own, split)
        except WorldModelTradingError as error:
            wrong.append(f"{symbol}: {error}")
    if wrong:
        more = f"\nand {len(wrong) - _MANY} more" if len(wrong) > _MANY else ""
        raise ConfigError(
            f"{len(wrong)} of {len(config.symbols)} symbols cannot be run:\n"
            + "\n".join(wrong[:_MANY])
            + more
        )
    if config.joint:
        refuse_leaks([(split.part("train"), split.part("validation")) for split in splits.values()])
    return splits


def _run_id(config: UniverseConfig, splits: Mapping[str, Split]) -> str:
    """A name for all runs together, by what decides their results."""
    parts: list[Any] = [config.joint]
    for symbol, split in splits.items():
        own = config.of(symbol)
        model = None if own.world_model is None else source_name(own.world_model)
        parts.append([symbol, own.run_id(split.content(own.funding)), model])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def _joint(config: UniverseConfig, splits: Mapping[str, Split]) -> Path:
    """The folder of the joint world model, trained if it is not there."""
    folder, whole = config.out / "world_model", config.whole
    if is_joint(folder):
        return folder
    say(f"World model of {len(splits)} symbols: V, then M")
    train, validation = (
        [split.part(name) for split in splits.values()] for name in ("train", "validation")
    )
    settings = whole.training(train[0].interval)
    assert isinstance(settings, MarketConfig)
    found, _ = train_world_model(
        train,
        validation,
        settings,
        seed=whole.seed,
        source=", ".join(config.symbols),
        callbacks=[TrainingConsole(), TensorBoardCallback(config.out / "checkpoints" / "board")],
        checkpoint_dir=config.out / "checkpoints" / "joint",
        resume=whole.resume,
        device=whole.device,
    )
    assert isinstance(found, JointWorldModel)  # Candles are a source by themselves, too
    found.save_pretrained(folder)
    return folder


def _with(config: RunConfig, joint: Path | None) -> RunConfig:
    """The run of a symbol, on its own part of the joint world model if there is one."""
    return config if joint is None else replace(config, world_model=str(joint / str(config.symbol)))
