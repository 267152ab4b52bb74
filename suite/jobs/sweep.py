"""Settings of world model and search, swept on validation: ``worldmodel-trading sweep``, and `sweep`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from worldmodel_trading.config import RunConfig
from worldmodel_trading.envs.population.crew import Crew, Workers
from worldmodel_trading.evaluation.report.sweep_page import sweep_page
from worldmodel_trading.evaluation.results import write_results
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import TrainingError
from worldmodel_trading.market.files.writer import write_whole
from worldmodel_trading.market.records import AT_LEAST_ONE, FROM_ZERO, Record
from worldmodel_trading.market.times import iso_text
from worldmodel_trading.models.provenance import library_versions
from worldmodel_trading.models.training.bar_ground import training_ranges
from worldmodel_trading.output import refuse_taken, run_folder
from worldmodel_trading.pool import Piece, work_through
from worldmodel_trading.progress import Counter
from worldmodel_trading.split import open_split
from worldmodel_trading.sweeping.space import (
    Variable,
    arguments,
    read_space,
    refuse_space,
    run_config,
)
from worldmodel_trading.sweeping.trials import (
    COMPLETE,
    CONTROLLER,
    NLL,
    Again,
    Place,
    Told,
    Trial,
    forget_running,
    open_study,
)

RESULTS, PAGE, BEST = "sweep.json", "sweep.html", "best.json"


@dataclass(frozen=True)
class SweepConfig(Record):
    """How settings are swept.

    Attributes:
        objective: ``nll``, what the world model's forecasts lose on validation [nats a bar]; or
            ``controller``, the score there of a controller that was searched for in dreams.
        trials: How many.
        pruner: Which ends poor trials early: ``median``, ``hyperband`` or ``none``.
        again: Other seeds with which the best settings and the given ones are tried once more.
    """

    objective: str = NLL
    trials: int = 20
    pruner: str = "median"
    again: int = 2

    _bounds = {"trials": AT_LEAST_ONE, "again": FROM_ZERO}  # noqa: RUF012
    _choices = {  # noqa: RUF012
        "objective": (NLL, CONTROLLER),
        "pruner": ("median", "hyperband", "none"),
    }


def sweep(
    vary: Mapping[str, str] | Sequence[tuple[str, str]],
    study: str | Path = "runs/sweep",
    *,
    space: str | None = None,
    objective: str = NLL,
    trials: int = 20,
    pruner: str = "median",
    again: int = 2,
    resume: bool = False,
    overwrite: bool = False,
    workers: Workers = 0,
    **settings: Any,
) -> dict[str, Any]:
    """Try settings, choose by validation alone, and write a folder; the test range is cut off first.

    ::

        sweep({"model.hidden_size": "32:128:log", "model.trunk_size": "32,64"}, candles="BTCUSDT-60.csv")

    Args:
        vary: What is varied: ``LOW:HIGH``, ``LOW:HIGH:log``, or ``VALUE,VALUE,…`` by name; the names are
            ``model.NAME`` for any setting of the world model, and those of `RunConfig`.
        study: Folder for ``sweep.json``, ``sweep.html``, ``best.json``, and the study's journal.
        space: A TOML or JSON file of more to vary.
        objective: See `SweepConfig`; so are the next three.
        trials: How many; a study goes on to more with ``resume``.
        pruner: Which ends poor trials early.
        again: Other seeds.
        resume: Go on with the trials that are not there yet.
        overwrite: Replace what a job has left there.
        workers: Processes on the one study, or a `Crew`. With one, or none, what is tried is the same each
            time; with several, each sees the trials that happen to have ended.
        settings: Of all trials: any field of `RunConfig`.

    Returns:
        What ``sweep.json`` holds.

    Raises:
        ConfigError: A setting is impossible, or the objective does not depend on what is varied.
        MissingPackageError: Optuna is not installed.
        OutputError: The folder holds something else.
        TrainingError: No trial came to its end.
    """
    config = SweepConfig(objective, trials, pruner, again)
    refuse_taken(study, "sweep", overwrite=overwrite)
    pairs = list(vary.items()) if isinstance(vary, Mapping) else list(vary)
    variables = read_space(pairs, space)
    refuse_space(variables, settings, objective)
    base = RunConfig.from_dict({**settings, "model": dict(settings.get("model", {}))})
    place = _place(base, settings, objective, Path(study))
    open_study_of = _identity(config, variables, place)
    with run_folder(study, open_study_of, job="sweep", resume=resume, overwrite=overwrite) as kept:
        (kept / "checkpoints").mkdir(exist_ok=True)
        return _Sweeping(config, variables, place, Crew.of(workers)).run()


@dataclass(frozen=True, eq=False)
class _Sweeping:
    """A sweep under way."""

    config: SweepConfig
    space: tuple[Variable, ...]
    place: Place
    crew: Crew

    def run(self) -> dict[str, Any]:
        """Try, choose, try again, write."""
        forget_running(open_study(self.place, self.config.pruner))
        tried = [
            Trial(self.place, self.space, number, self.config.pruner, self._file(f"trial-{number}"))
            for number in range(self.config.trials)
        ]
        self._work("trials", tried)
        results = [one.result() for one in tried]
        best = self._best(results)
        seed = int(self.place.base.get("seed", 0))
        given = [self._again("given", {}, seed + k) for k in range(self.config.again + 1)]
        chosen = [
            self._again(f"best-{best.number}", best.values, seed + k)
            for k in range(1, self.config.again + 1)
        ]
        self._work("again", [*given, *chosen])
        told = self._told(results, best, given, chosen)
        folder = self.place.folder
        write_whole(folder / BEST, json.dumps(told["best"], indent=2))
        write_whole(folder / PAGE, sweep_page(told))
        write_results(folder / RESULTS, told)
        return told

    def _best(self, results: Sequence[Told]) -> Told:
        ended = [one for one in results if one.value is not None]
        if not ended:
            notes = sorted({one.note for one in results if one.note})
            raise TrainingError(
                f"no trial came to its end: {'; '.join(notes) or 'all were pruned'}"
            )
        sign = 1.0 if self.config.objective == NLL else -1.0
        return min(ended, key=lambda one: sign * (one.value or 0.0))

    def _again(self, name: str, values: Mapping[str, Any], seed: int) -> Again:
        return Again(self.place, name, values, seed, self._file(f"{name}-seed-{seed}"))

    def _told(
        self, results: Sequence[Told], best: Told, given: Sequence[Again], chosen: Sequence[Again]
    ) -> dict[str, Any]:
        place, config = self.place, self.config
        return {
            "config": config.to_dict(),
            "settings": run_config(place.base, {}).to_dict(),
            "space": [asdict(one) for one in self.space],
            "market": {"symbol": place.candles.symbol, "interval": place.candles.interval},
            "ranges": {
                name: [iso_text(one) for one in getattr(place, name)]
                for name in ("train", "validation")
            },
            "trials": [one._asdict() for one in results],
            "best": {
                "trial": best.number,
                "value": best.value,
                "settings": best.values,
                "arguments": arguments(best.values),
            },
            "given": [one.result().value for one in given],
            "best_again": [one.result().value for one in chosen],
            "rival": {"HAR-t": place.har()} if config.objective == NLL else {"doing nothing": 0.0},
            "complete": sum(one.state == COMPLETE for one in results),
            "versions": library_versions(),
        }

    def _file(self, name: str) -> Path:
        return self.place.folder / "checkpoints" / f"{name}.json"

    def _work(self, title: str, pieces: Sequence[Piece]) -> None:
        if pieces:
            with Counter(title, len(pieces), "piece") as counter:
                work_through(pieces, self.crew, lambda told: counter(f"  {told}" if told else ""))


def _place(base: RunConfig, settings: Mapping[str, Any], objective: str, folder: Path) -> Place:
    """Training and validation range; the test range is cut off before anything else is looked at."""
    split = open_split(base)
    seen: Candles = split.candles.between(split.train[0], split.validation[1])
    training_ranges(
        seen.between(*split.train), seen.between(*split.validation), base.training(seen.interval)
    )
    return Place(seen, split.train, split.validation, dict(settings), objective, folder)


def _identity(config: SweepConfig, space: Sequence[Variable], place: Place) -> str:
    """12 hexadecimal digits of the hash of all that decides the trials; their number does not."""
    parts = {
        "objective": config.objective,
        "pruner": config.pruner,
        "space": [asdict(one) for one in space],
        "settings": run_config(place.base, {}).run_id(place.candles.data_hash()),
        "ranges": [place.train, place.validation],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
