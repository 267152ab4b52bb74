"""The main job: from candles to a controller trained in the dream, judged in dream and replay."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worldmodel_trading.agents.cma_es import CMAESConfig, SearchResult
from worldmodel_trading.agents.dream_search import DreamSearchConfig, train_controller
from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.config import RunConfig
from worldmodel_trading.envs.dream_funding import DreamFunding
from worldmodel_trading.envs.population.scorers import open_scorer
from worldmodel_trading.envs.replay import open_tape
from worldmodel_trading.evaluation.baselines import baseline_return_nll
from worldmodel_trading.evaluation.report.run_page import write_report
from worldmodel_trading.evaluation.report.sentences import summarise
from worldmodel_trading.evaluation.report.text_table import comparison_table
from worldmodel_trading.evaluation.results import write_results
from worldmodel_trading.evaluation.significance import sharpe_evidence
from worldmodel_trading.jobs.contest import entrants, judge
from worldmodel_trading.market.inspection import inspect_candles
from worldmodel_trading.models.config import WorldModelConfig
from worldmodel_trading.models.provenance import library_versions
from worldmodel_trading.models.quality import mdn_rnn_quality, vae_quality
from worldmodel_trading.models.training.callbacks import TensorBoardCallback, TrainingHistory
from worldmodel_trading.models.world_model import WorldModel, train_world_model
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


def run(config: RunConfig) -> dict[str, Any]:
    """Do the main job and write its results; finished stages stay on disk if it is stopped.

    Returns:
        What ``results.json`` holds.
    """
    stages = Stages()
    config.out_dir.mkdir(parents=True, exist_ok=True)
    with stages("candles", f"Candles from {config.candles}"):
        split = open_split(config)
        say(f"  {split.candles!r}")
        for finding in inspect_candles(split.candles):
            say(f"  {finding}")
    with stages("baselines", "Baselines: Student-t, GARCH, GJR-GARCH"):
        baselines = _baselines(split)
    with stages("world_model", f"World model: V, then M ({config.preset} preset)"):
        world_model, history = _train(config, split)
    with stages("controller", "Controller: CMA-ES in the dream"):
        controller, found = _search(config, split, world_model.recent(config.recent))
    with stages("evaluation", "Evaluation in dream, validation and test"):
        performance, curves = judge(config, split, world_model, entrants(controller, world_model))
    results = {
        "run_id": config.run_id(),
        "seed": config.seed,
        "versions": library_versions(),
        "config": config.to_dict(),
        "candles": _describe(config, split),
        "world_model": {**_quality(split, world_model), "baselines": baselines},
        "controller": {
            "parameters": controller.parameters.size,
            "generations": len(found.history),
            "evaluations": found.evaluations,
            "dream_steps": found.evaluations * config.dreams * config.horizon,
        },
        "performance": performance,
        "significance": sharpe_evidence(
            curves, split.candles.bars_per_year, {"controller": {"validation": _looks(found)}}
        ),
        "timings_s": stages.seconds,
    }
    write_results(config.out_dir / "results.json", results)
    histories: dict[str, Any] = {stage: history.stage(stage) for stage in ("vae", "mdn_rnn")}
    histories["controller"] = [{"validation": None, **row} for row in found.history]
    report = write_report(config.out_dir / "report.html", results, curves, histories)
    tell("\n" + comparison_table(performance))
    for sentence in summarise(results):
        tell(sentence)
    tell(f"\nReport: {report}")
    return results


def _looks(found: SearchResult) -> int:
    """How many controllers were compared on validation: the trials behind the one chosen."""
    return sum("validation" in row for row in found.history) + 1


def _train(config: RunConfig, split: Split) -> tuple[WorldModel, TrainingHistory]:
    settings: dict[str, Any] = {"preset": config.preset}
    for name in ("vae_epochs", "mdn_rnn_epochs"):
        if getattr(config, name) is not None:
            settings[name] = getattr(config, name)
    world_model, history = train_world_model(
        split.part("train"),
        split.part("validation"),
        WorldModelConfig(**settings),
        seed=config.seed,
        source=config.candles,
        callbacks=[TrainingConsole(), TensorBoardCallback(config.out_dir / "tensorboard")],
        checkpoint_dir=config.out_dir / "checkpoints",
        resume=config.resume,
        device=config.device,
    )
    world_model.save_pretrained(config.out_dir / "world_model")
    return world_model, history


def _baselines(split: Split) -> dict[str, Any]:
    candles = split.candles
    later = {name: candles.row_range(*getattr(split, name)) for name in ("validation", "test")}
    percent = 100 * candles.log_returns()
    baselines = baseline_return_nll(percent, candles.row_range(*split.train), later)
    for name, scores in baselines.items():
        if "note" in scores:
            say(f"  {name.replace('_', '-')}: {scores['note']}")
    return baselines


def _search(
    config: RunConfig, split: Split, world_model: WorldModel
) -> tuple[LinearController, SearchResult]:
    search = DreamSearchConfig(
        CMAESConfig(population=config.population, generations=config.generations),
        dreams=config.dreams,
        horizon=config.horizon,
        temperature=config.temperature,
    )
    validation = open_tape(
        split.candles,
        world_model,
        *split.validation,
        config.funding,
        config.unrecorded_funding_rate,
    )
    with (
        open_scorer(world_model, config.device, config.num_workers()) as workers,
        Counter("C", config.generations, "generation", _generation_line) as counter,
    ):
        controller, found = train_controller(
            world_model,
            search,
            config.broker(),
            seed=config.seed,
            funding=DreamFunding(config.funding, world_model),
            validation=validation,
            callback=counter,
            workers=workers,
        )
    controller.save(
        config.out_dir / "controller.safetensors",
        run_id=config.run_id(),
        preset=config.preset,
        evaluations=found.evaluations,
    )
    return controller, found


def _generation_line(row: dict[str, float]) -> str | None:
    if "validation" not in row:
        return None
    return (
        f"  C generation {row['generation'] + 1:>3}  dream: best {row['best']:+.4f}, mean "
        f"{row['mean']:+.4f}  validation {row['validation']:+.4f}"
    )


def _quality(split: Split, world_model: WorldModel) -> dict[str, Any]:
    vae = vae_quality(world_model, split.candles, *split.test)
    m = {
        name: mdn_rnn_quality(world_model, split.candles, *getattr(split, name))
        for name in ("validation", "test")
    }
    return {
        "preset": world_model.config.preset,
        "vae": {"r2": vae.r2, "kl": float(np.sum(vae.kl)), "active_units": vae.active_units},
        "mdn_rnn": {
            "nll": {name: quality.nll for name, quality in m.items()},
            "return_nll": {name: quality.return_nll for name, quality in m.items()},
        },
    }


def _describe(config: RunConfig, split: Split) -> dict[str, Any]:
    candles = split.candles
    return {
        "source": config.candles,
        "symbol": candles.symbol,
        "interval": candles.interval,
        "bars": len(candles),
        **{
            name: [_iso(time_ms) for time_ms in getattr(split, name)]
            for name in ("train", "validation", "test")
        },
    }


def _iso(time_ms: int) -> str:
    return str(np.datetime64(time_ms, "ms").astype("datetime64[s]")) + "Z"
