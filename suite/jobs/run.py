"""The main job: from candles to a controller trained in the dream, judged in dream and replay."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np

from worldmodel_trading.agents.cma_es import Generation
from worldmodel_trading.agents.dream_search import (
    Searches,
    TrainedController,
    refuse_few_windows,
    train_controllers,
)
from worldmodel_trading.config import RunConfig
from worldmodel_trading.envs.dream_funding import DreamFunding
from worldmodel_trading.envs.opening import open_recorded
from worldmodel_trading.envs.scorers import open_scorer
from worldmodel_trading.evaluation.ageing import Quarter, bar_losses, losses_by_quarter
from worldmodel_trading.evaluation.baselines.memoryless import of_each_bar
from worldmodel_trading.evaluation.baselines.scores import (
    TITLES,
    Baselines,
    BaselineScores,
    compare_with_baselines,
    fit_baselines,
)
from worldmodel_trading.evaluation.density import WORLD_MODEL
from worldmodel_trading.evaluation.drift import DriftOutcome, RecordedDrift
from worldmodel_trading.evaluation.outcome import (
    CandleFacts,
    ControllerOutcome,
    RunResults,
    SearchOutcome,
    WorldModelOutcome,
)
from worldmodel_trading.evaluation.report.run_page import write_run
from worldmodel_trading.evaluation.report.sentences import drift_sentence, summarise
from worldmodel_trading.evaluation.report.text_table import comparison_rows, comparison_table
from worldmodel_trading.evaluation.results import write_results
from worldmodel_trading.jobs.contest import REPLAYS, Contest, hold_contest, open_replay
from worldmodel_trading.jobs.refit import refitted_losses, refuse_refits
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.inspection import inspect_candles
from worldmodel_trading.market.sources import source_name
from worldmodel_trading.market.times import format_time
from worldmodel_trading.models.devices import choose_device
from worldmodel_trading.models.drift import dreamed_drift, with_drift
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.models.machine import this_machine
from worldmodel_trading.models.provenance import library_versions
from worldmodel_trading.models.quality import mdn_rnn_quality, vae_quality
from worldmodel_trading.models.training.bar_ground import training_ranges
from worldmodel_trading.models.training.callbacks import (
    Row,
    TensorBoardCallback,
    TrainingHistory,
)
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel
from worldmodel_trading.output import refuse_taken, run_folder
from worldmodel_trading.progress import Counter, TrainingConsole, say, tell
from worldmodel_trading.split import Split, open_split


@dataclass
class Stages:
    """Names the stages as they pass and keeps their durations [s]."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str, title: str) -> Iterator[None]:
        """Time a stage."""
        say(title)
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began


def run(config: RunConfig) -> RunResults:
    """Do the main job and write its results; finished stages stay on disk if it is stopped.

    Returns:
        What ``results.json`` holds.
    """
    refuse_taken(config.out_dir, "run", overwrite=config.overwrite)
    stages = Stages()
    with stages("candles", f"Candles from {config.candles}"):
        split = open_split(config)
        say(f"  {split.candles!r}")
        for finding in inspect_candles(split.candles):
            say(f"  {finding}")
        refuse_impossible(config, split)
        given = given_world_model(config, split)
    content = split.content(config.funding)
    run_id = config.run_id(content if given is None else f"{content} {given.fingerprint}")
    resume, overwrite = config.resume, config.overwrite
    with run_folder(config.out_dir, run_id, resume=resume, overwrite=overwrite):
        return _work(config, split, run_id, stages, given)


def given_world_model(config: RunConfig, split: Split) -> WorldModel | None:
    """The world model that the run takes instead of training one, if any.

    Raises:
        ConfigError: It is of another preset, or has seen bars of the validation range or later ones.
        OtherMarketError: It is of another symbol or interval.
    """
    if config.world_model is None:
        return None
    found = open_world_model(config.world_model)
    made = found.provenance
    made.check_market(split.candles.symbol, split.candles.interval, allow_other=False)
    if found.config.preset != config.preset:
        raise ConfigError(
            f"the world model's preset is {found.config.preset}, the run's {config.preset}: name it with "
            "--preset"
        )
    if made.train_end_ms > split.validation[0] or made.validation_end_ms > split.test[0]:
        raise ConfigError(
            f"the world model learned from bars up to {format_time(made.train_end_ms)} and chose on bars up "
            f"to {format_time(made.validation_end_ms)}; the run's validation range begins "
            f"{format_time(split.validation[0])} and its test range {format_time(split.test[0])}: give "
            "later --train-end and --validation-end, or train one"
        )
    return found


def refuse_impossible(config: RunConfig, split: Split) -> None:
    """Refuse what some later stage would refuse, after the work of those before it."""
    choose_device(config.device)
    if config.unrecorded_funding_rate is None:
        split.refuse_uncovered(config.funding)
    training_ranges(
        split.part("train"), split.part("validation"), config.training(split.candles.interval)
    )
    for venue in REPLAYS:
        open_replay(config, split, venue)
    refuse_refits(config, split)
    search = config.search()
    refuse_few_windows(search, len(split.part("validation")) // search.horizon)


def _work(
    config: RunConfig, split: Split, run_id: str, stages: Stages, given: WorldModel | None
) -> RunResults:
    with stages("baselines", f"Baselines: {', '.join(TITLES.values())}"):
        baselines = _baselines(config, split)
    with stages("world_model", f"World model: V, then M ({config.preset} preset)"):
        world_model, history = (
            _train(config, split) if given is None else (given, TrainingHistory())
        )
        world_model.save_pretrained(config.out_dir / "world_model")
    refitted = {}
    if config.refit is not None:
        with stages("refits", f"World models trained anew, every {config.refit} bars"):
            refitted = refitted_losses(config, split, world_model)
    with stages(
        "controller", f"Controller: CMA-ES in the dream, searches: {config.num_searches()}"
    ):
        dreamed = with_drift(world_model.recent(config.recent), config.drift)
        drift = _drift(config, split, dreamed)
        say(f"  {drift_sentence(drift)}")
        searches = _search(config, split, dreamed)
        deployed = searches.trained[searches.deployed]
        _deploy(config, deployed, run_id)
    with stages("evaluation", "Evaluation in dream, validation and test"):
        contest = hold_contest(config, split, dreamed, searches)
    results = RunResults(
        performance={name: judged.performance for name, judged in contest.policies.items()},
        run_id=run_id,
        seed=config.seed,
        versions=library_versions(),
        machine=this_machine(),
        config=config.to_dict(),
        candles=_describe(config, split),
        world_model=_quality(split, world_model, baselines, refitted),
        controller=_found(config, searches, contest),
        drift=drift,
        significance={name: judged.significance for name, judged in contest.policies.items()},
        timings_s=stages.seconds,
    )
    histories: dict[str, Any] = {stage: history.stage(stage) for stage in history.stages}
    histories["controller"] = [asdict(generation) for generation in deployed.found.history]
    report = write_run(config.out_dir, results, contest.curves(), histories)
    write_results(config.out_dir / "results.json", results.to_dict())
    tell("\n" + comparison_table(comparison_rows(results)))
    for sentence in summarise(results):
        tell(sentence)
    tell(f"\nReport: {report}")
    return results


def _train(config: RunConfig, split: Split) -> tuple[WorldModel, TrainingHistory]:
    world_model, history = train_world_model(
        split.part("train"),
        split.part("validation"),
        config.training(split.candles.interval),
        seed=config.seed,
        source=source_name(config.candles),
        callbacks=[TrainingConsole(), TensorBoardCallback(config.out_dir / "tensorboard")],
        checkpoint_dir=config.out_dir / "checkpoints",
        resume=config.resume,
        device=config.device,
    )
    return world_model, history


def _baselines(config: RunConfig, split: Split) -> Baselines:
    rows = split.candles.row_range(*split.train)
    settings = config.training(split.candles.interval)
    first = split.candles.row_range(*split.validation)[0]
    baselines = fit_baselines(split.candles, rows, seed=config.seed, settings=settings, first=first)
    for name, note in baselines.notes.items():
        say(f"  {TITLES[name]}: {note}")
    return baselines


def _compared(
    split: Split,
    world_model: WorldModel,
    baselines: Baselines,
    refitted: Mapping[str, FloatArray],
) -> tuple[dict[str, BaselineScores], tuple[Quarter, ...]]:
    """The world model's forecasts beside the baselines': by range, and by quarter.

    Rows are counted from the first of the validation range: what was learned from is not scored.
    """
    candles, first = split.candles, split.candles.row_range(*split.validation)[0]
    rows = {name: candles.row_range(*getattr(split, name)) for name in REPLAYS}
    later = {name: (start - first, stop - first) for name, (start, stop) in rows.items()}
    made = of_each_bar(world_model.return_forecast(candles, (first - 1, len(candles))))
    ours, returns = made.rows(1, len(made)), 100 * candles.log_returns()[first:]
    losses = bar_losses({WORLD_MODEL: ours, **baselines.forecasts}, returns)
    losses |= {name: each[first:] for name, each in refitted.items()}
    return (
        compare_with_baselines(ours, baselines, returns, later),
        losses_by_quarter(losses, candles.open_time_ms[first:], later),
    )


def _drift(config: RunConfig, split: Split, dreamed: WorldModel) -> DriftOutcome:
    """What holding pays in the dreams, and paid in the training range."""
    train = split.part("train")
    first = len(train) - math.ceil(config.recent * len(train))
    return DriftOutcome(
        config.drift,
        dreamed_drift(dreamed),
        RecordedDrift.of(train),
        RecordedDrift.of(train.rows(first, len(train))),
        config.recent,
    )


def _search(config: RunConfig, split: Split, world_model: WorldModel) -> Searches:
    search, searches = config.search(), config.num_searches()
    validation = open_recorded(
        split.candles,
        world_model,
        *split.validation,
        config.funding,
        config.unrecorded_rate(),
    )

    generations = config.generations * (config.restarts + 1)
    device = "cpu" if config.hidden_size else config.device

    def line(lived: Generation) -> str:
        done = lived.generation + 1
        looks, rest = divmod(done, search.cma_es.validate_every)
        told = done == generations or (rest == 0 and looks % searches == 0)
        return _generation_line(lived, searches) if told else ""

    with (
        open_scorer(world_model, device, config.crew()) as scorer,
        Counter("C", searches * generations, "generation") as counter,
        _SearchBoard(config) as board,
    ):

        def callback(lived: Generation) -> None:
            counter(line(lived))
            board(lived)

        return train_controllers(
            world_model,
            search,
            config.broker(),
            searches=searches,
            seed=config.seed,
            funding=DreamFunding(config.funding, world_model, config.instrument),
            validation=validation,
            callback=callback,
            scorer=scorer,
            checkpoint_dir=config.out_dir,
            resume=config.resume,
        )


class _SearchBoard:
    """Writes the generations of every search to TensorBoard, one folder a search."""

    def __init__(self, config: RunConfig) -> None:
        self._board = TensorBoardCallback(config.out_dir / "tensorboard")
        self._generations = config.generations * (config.restarts + 1)
        self._search: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._search is not None:
            self._board.on_stage_end(self._search)

    def __call__(self, lived: Generation) -> None:
        """A generation is done."""
        search = f"controller-{lived.search + 1}"
        if search != self._search:
            self.__exit__()
            self._board.on_stage_start(search, self._generations)
            self._search = search
        row: Row = {"stage": "controller", "epoch": lived.generation + 1, "best": lived.best}
        row |= {"mean": lived.mean, "worst": lived.worst, "sigma": lived.sigma}
        if lived.validation is not None:
            row["validation"] = lived.validation
        self._board.on_epoch(row)


def _generation_line(lived: Generation, searches: int) -> str:
    which = f" {lived.search + 1}/{searches}" if searches > 1 else ""
    return (
        f"  C{which} generation {lived.generation + 1:>3}  dream: best {lived.best:+.4f}, mean "
        f"{lived.mean:+.4f}  validation {lived.validation:+.4f}"
    )


def _deploy(config: RunConfig, trained: TrainedController, run_id: str) -> None:
    trained.controller.save(
        config.out_dir / "controller.safetensors",
        run_id=run_id,
        preset=config.preset,
        evaluations=trained.found.evaluations,
        validation=trained.found.validation,
    )


def _found(config: RunConfig, searches: Searches, contest: Contest) -> ControllerOutcome:
    return ControllerOutcome(
        parameters=searches.trained[0].found.parameters.size,
        dream_steps=searches.evaluations * config.dreams * config.horizon,
        looks=searches.looks,
        deployed=searches.deployed,
        searches=tuple(
            SearchOutcome(
                validation=one.found.validation,
                looks=one.found.looks,
                generations=len(one.found.history),
                evaluations=one.found.evaluations,
                performance=judged.performance,
                significance=judged.significance,
            )
            for one, judged in zip(searches.trained, contest.searches, strict=True)
        ),
    )


def _quality(
    split: Split,
    world_model: WorldModel,
    baselines: Baselines,
    refitted: Mapping[str, FloatArray],
) -> WorldModelOutcome:
    scores, ageing = _compared(split, world_model, baselines, refitted)
    return WorldModelOutcome(
        preset=world_model.config.preset,
        vae=vae_quality(world_model, split.candles, *split.test),
        mdn_rnn={
            name: mdn_rnn_quality(world_model, split.candles, *getattr(split, name))
            for name in REPLAYS
        },
        baselines=scores,
        ageing=ageing,
    )


def _describe(config: RunConfig, split: Split) -> CandleFacts:
    candles = split.candles
    ranges = (split.train, split.validation, split.test)
    train, validation, test = ((_iso(start), _iso(end)) for start, end in ranges)
    return CandleFacts(
        source=source_name(config.candles),
        symbol=candles.symbol,
        interval=candles.interval,
        bars=len(candles),
        data_hash=candles.data_hash(),
        train=train,
        validation=validation,
        test=test,
    )


def _iso(time_ms: int) -> str:
    return str(np.datetime64(time_ms, "ms").astype("datetime64[s]")) + "Z"
