"""The pieces of a sweep: a trial each, and the same settings again with other seeds."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from worldmodel_trading.agents.cma_es import Generation
from worldmodel_trading.agents.dream_search import train_controllers
from worldmodel_trading.config import RunConfig
from worldmodel_trading.envs.dream_funding import DreamFunding
from worldmodel_trading.envs.opening import open_recorded
from worldmodel_trading.evaluation.ageing import bar_losses
from worldmodel_trading.evaluation.baselines.har import HAR
from worldmodel_trading.evaluation.baselines.memoryless import of_each_bar
from worldmodel_trading.evaluation.baselines.student_t import Forecast
from worldmodel_trading.evaluation.density import WORLD_MODEL
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, FeatureError, TrainingError
from worldmodel_trading.market.extras import require
from worldmodel_trading.market.files.writer import write_whole
from worldmodel_trading.models.drift import with_drift
from worldmodel_trading.models.training.callbacks import Row, TrainingCallback
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel
from worldmodel_trading.sweeping.space import Variable, run_config

JOURNAL = "study.journal"
STUDY = "sweep"
NLL, CONTROLLER = "nll", "controller"
COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
_FIRST_PRUNED = 5  # trials that end whole before any is pruned

Report = Callable[[int, float], None]
"""Is told a step and a value on the way; may raise `optuna.TrialPruned`."""


class Told(NamedTuple):
    """What a piece came to.

    Attributes:
        number: Of the trial, or the seed.
        state: `COMPLETE`, `PRUNED` or `FAILED`.
        value: The objective; None unless it is complete.
        values: What was varied, by name.
        seconds: How long it took.
        note: Why it failed.
    """

    number: int
    state: str
    value: float | None
    values: dict[str, Any]
    seconds: float
    note: str = ""


@dataclass(frozen=True, eq=False)
class Place:
    """Where all trials are held: bars up to the end of validation, and no others.

    Attributes:
        candles: Training and validation range; the test range is cut off.
        train: When the training range begins and ends [ms UTC].
        validation: Likewise.
        base: Settings that all share, as `RunConfig` takes them.
        objective: `NLL` or `CONTROLLER`.
        folder: Of the study.
    """

    candles: Candles
    train: tuple[int, int]
    validation: tuple[int, int]
    base: Mapping[str, Any]
    objective: str
    folder: Path

    def value(self, config: RunConfig, report: Report = lambda step, value: None) -> float:
        """What settings are worth on validation: NLL [nats a bar], or a controller's score."""
        if self.objective == NLL:
            return self._nll(_train(self, config, _Epochs(report)))
        return self._score(_train(self, config, TrainingCallback()), config, report)

    def har(self) -> float:
        """What HAR-t loses on validation [nats a bar], fitted on the training range."""
        rows = self.candles.row_range(*self.train)
        return self._loss(HAR.fit(self.candles, rows).forecast(self.candles))

    def _nll(self, world_model: WorldModel) -> float:
        return self._loss(of_each_bar(world_model.return_forecast(self.candles)))

    def _loss(self, forecast: Forecast) -> float:
        returns: FloatArray = 100 * self.candles.log_returns()
        losses = bar_losses({WORLD_MODEL: forecast}, returns)[WORLD_MODEL]
        first, stop = self.candles.row_range(*self.validation)
        return float(np.nanmean(losses[first:stop]))

    def _score(self, world_model: WorldModel, config: RunConfig, report: Report) -> float:
        """The median over the searches of the best score that each had on validation."""
        dreamed = with_drift(world_model.recent(config.recent), config.drift)
        validation = open_recorded(
            self.candles, dreamed, *self.validation, config.funding, config.unrecorded_rate()
        )
        best = -np.inf

        def lived(generation: Generation) -> None:
            nonlocal best
            if generation.validation is not None and not generation.search:
                best = max(best, generation.validation)
                report(generation.generation, best)

        found = train_controllers(
            dreamed,
            config.search(),
            config.broker(),
            searches=config.num_searches(),
            seed=config.seed,
            funding=DreamFunding(config.funding, dreamed, config.instrument),
            validation=validation,
            callback=lived,
        )
        scores = [one.found.validation for one in found.trained]
        return float(np.median([score for score in scores if score is not None]))


@dataclass(frozen=True, eq=False)
class Trial:
    """One trial of the study.

    Attributes:
        place: Where.
        space: What is varied.
        number: Of the trial in the sweep.
        pruner: Its name.
        file: Where it is told.
    """

    place: Place
    space: tuple[Variable, ...]
    number: int
    pruner: str
    file: Path

    @property
    def told(self) -> str:
        """What a person is told of it."""
        return f"trial {self.number + 1}"

    def run(self) -> None:
        """Ask the study for settings, try them, and tell it what they are worth."""
        import optuna

        study = open_study(self.place, self.pruner, self.number)
        began, trial = time.perf_counter(), study.ask()
        values = {one.name: one.suggest(trial) for one in self.space}

        def report(step: int, value: float) -> None:
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned

        state, value, note = COMPLETE, None, ""
        try:
            value = self.place.value(run_config(self.place.base, values), report)
            if not np.isfinite(value):
                raise TrainingError(f"the objective is {value}")
            study.tell(trial, value)
        except optuna.TrialPruned:
            state = PRUNED
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        except (ConfigError, TrainingError, FeatureError) as error:
            state, value, note = FAILED, None, str(error)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        _write(
            self.file, Told(self.number, state, value, values, time.perf_counter() - began, note)
        )

    def result(self) -> Told:
        """What was written."""
        return _read(self.file)


@dataclass(frozen=True, eq=False)
class Again:
    """Settings once more, with another seed: what a difference of trials has to be seen beside.

    Attributes:
        place: Where.
        name: What they are called.
        values: What differs from the settings that all share.
        seed: Of training and search.
        file: Where it is told.
    """

    place: Place
    name: str
    values: Mapping[str, Any]
    seed: int
    file: Path

    @property
    def told(self) -> str:
        """What a person is told of it."""
        return f"{self.name}, seed {self.seed}"

    def run(self) -> None:
        """Try them."""
        began = time.perf_counter()
        value = self.place.value(run_config({**self.place.base, "seed": self.seed}, self.values))
        seconds = time.perf_counter() - began
        _write(self.file, Told(self.seed, COMPLETE, value, dict(self.values), seconds))

    def result(self) -> Told:
        """What was written."""
        return _read(self.file)


class _Epochs(TrainingCallback):
    """Reports what the forecast of returns loses on validation, epoch by epoch of its stages."""

    def __init__(self, report: Report) -> None:
        self._report, self._step, self._best = report, 0, np.inf

    def on_epoch(self, row: Row) -> None:
        """An epoch ended."""
        if str(row["stage"]).startswith(("teacher", "forecast", "mdn_rnn")):
            self._best = min(self._best, float(row["validation_loss"]))
            self._report(self._step, self._best)
            self._step += 1


def _train(place: Place, config: RunConfig, callback: TrainingCallback) -> WorldModel:
    world_model, _ = train_world_model(
        place.candles.between(*place.train),
        place.candles.between(*place.validation),
        config.training(place.candles.interval),
        seed=config.seed,
        callbacks=[callback],
    )
    return world_model


def open_study(place: Place, pruner: str, number: int = 0) -> Any:
    """The study in the folder's journal, which several processes write to.

    What a trial tries depends on the seed, its number and the trials told before it.

    Raises:
        MissingPackageError: Optuna is not installed.
    """
    require("optuna", "a sweep")
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seeds = np.random.SeedSequence([int(place.base.get("seed", 0)), number]).generate_state(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.create_study(
            study_name=STUDY,
            storage=optuna.storages.JournalStorage(
                JournalFileBackend(str(place.folder / "checkpoints" / JOURNAL))
            ),
            sampler=optuna.samplers.TPESampler(seed=int(seeds[0])),
            pruner=_pruner(optuna, pruner),
            direction="minimize" if place.objective == NLL else "maximize",
            load_if_exists=True,
        )


def forget_running(study: Any) -> None:
    """Trials that were killed will not end: nobody is to wait for them."""
    import optuna

    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _pruner(optuna: Any, name: str) -> Any:
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=_FIRST_PRUNED, n_warmup_steps=1)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner()
    return optuna.pruners.NopPruner()


def _write(file: Path, told: Told) -> None:
    write_whole(file, json.dumps(told._asdict()))


def _read(file: Path) -> Told:
    return Told(**json.loads(file.read_text(encoding="utf-8")))
