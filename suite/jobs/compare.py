"""Dream against replay, for any agents: ``worldmodel-trading compare``, and `compare`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from worldmodel_trading.agents.folder import AGENT_FILE
from worldmodel_trading.agents.registry import LEARNED
from worldmodel_trading.agents.rules.known import RULES
from worldmodel_trading.comparison.audits import joined_lift
from worldmodel_trading.comparison.cells import Cell, Lived, is_given, is_trained
from worldmodel_trading.comparison.checks import (
    given_agents,
    refuse_learned,
    refuse_missing,
    refuse_rules,
    refuse_seen,
    refuse_unfit,
)
from worldmodel_trading.comparison.config import TRAIN, CompareConfig
from worldmodel_trading.comparison.measure import measure_comparison, write_comparison
from worldmodel_trading.comparison.plan import Plan
from worldmodel_trading.comparison.stages import (
    Stages,
    given_stages,
    keep_models,
    trainings,
    walked_stages,
)
from worldmodel_trading.comparison.windows import Gaps, Window, walk_forward
from worldmodel_trading.entrants import BESIDE, find_entrant
from worldmodel_trading.envs.population.crew import Crew, Workers
from worldmodel_trading.evaluation.comparison.results import Comparison, Facts
from worldmodel_trading.evaluation.policy import Sight, sight
from worldmodel_trading.ground import Cuts
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.sources import EMBEDDED, open_candles, open_funding, source_name
from worldmodel_trading.market.times import iso_text
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.models.presets import default_config
from worldmodel_trading.models.provenance import library_versions
from worldmodel_trading.output import refuse_taken, run_folder
from worldmodel_trading.pool import Piece, work_through
from worldmodel_trading.progress import Counter
from worldmodel_trading.split import cut_rows


def compare(
    agents: Sequence[str],
    world_model: Any = "default",
    candles: Any = None,
    out: str | Path = "runs/comparison",
    *,
    start: Any = None,
    train_end: Any = None,
    validation_end: Any = None,
    end: Any = None,
    resume: bool = False,
    overwrite: bool = False,
    workers: Workers = None,
    **settings: Any,
) -> Comparison:
    """Compare what dreams promise agents with what the market pays them, and write a folder.

    ::

        compare(["runs/ppo", "cma_es", "momentum"], "runs/btc/world_model", "BTCUSDT-60.csv", seeds=5)

    Args:
        agents: Agents' folders, rules' names, ``module:callable``, or names of `LEARNED`, which are
            trained for every world model and seed.
        world_model: A `WorldModel`, its folder, ``"default"``, or a list of them: one of each seed.
        candles: Anything `open_candles` opens; None is the embedded market.
        out: Folder for ``comparison.json``, ``report.html``, and ``cells.parquet``, ``curves.parquet``
            and ``dreams.parquet``.
        start: First bar of the training range; None is the world model's.
        train_end: Its end, exclusive.
        validation_end: End of the validation range, exclusive; the test range begins there.
        end: End of the test range, exclusive.
        resume: Go on with the cells that are not there yet.
        overwrite: Replace what a job has left there.
        workers: Processes that compute cells, 0 for this one alone, None for one a core; or a `Crew`. The
            results are the same.
        settings: Any field of `CompareConfig`.

    Returns:
        What was measured.

    Raises:
        ConfigError: A setting is impossible, or an agent cannot be found.
        TrainingBarsError: Something would be measured on bars that were seen.
        OutputError: The folder holds something else.
    """
    config = CompareConfig.from_dict(settings)
    for name in agents:
        if not isinstance(name, str | Path):
            raise ConfigError(
                f"an agent is {type(name).__name__}; expected a folder that `train` wrote, a rule's name, "
                f"one of {', '.join(LEARNED)}, or module:callable, which is given the world model and "
                "returns what has `predict`; `evaluate_policy` takes objects"
            )
    refuse_taken(out, "compare", overwrite=overwrite)
    crew = Crew.of(workers)
    job = _Job(config, tuple(dict.fromkeys([*agents, *BESIDE])), Path(out), crew)
    cuts = Cuts(start, train_end, validation_end, end)
    sources = list(world_model) if isinstance(world_model, list | tuple) else [world_model]
    if config.walk_forward:
        return job.walk(candles, cuts, resume=resume, overwrite=overwrite)
    return job.judge(sources, candles, cuts, resume=resume, overwrite=overwrite)


@dataclass(frozen=True)
class _Job:
    """A comparison under way."""

    config: CompareConfig
    agents: tuple[str, ...]
    out: Path
    crew: Crew

    def judge(
        self, sources: Sequence[Any], candles: Any, cuts: Cuts, *, resume: bool, overwrite: bool
    ) -> Comparison:
        """Compare in the world models that are given."""
        stages = given_stages(sources, candles, cuts, self.out)
        accounts = refuse_unfit(self.agents, self.config, stages.fingerprints.values())
        refuse_missing(self.config, stages)
        refuse_seen(self.agents, self.config, stages)
        first = next(iter(stages.by_name.values()))
        training = None
        if first.candles is not None and TRAIN in first.ranges:
            training = first.candles.between(*first.ranges[TRAIN])
        refuse_rules(
            self.agents,
            self.config,
            training,
            open_world_model(sources[0]).config.features,
            accounts,
        )
        name = self._name([*stages.models.values()], candles, stages.windows)
        with run_folder(self.out, name, job="compare", resume=resume, overwrite=overwrite):
            keep_models(sources, self.out)
            return self._measure(stages, candles, accounts)

    def walk(self, candles: Any, cuts: Cuts, *, resume: bool, overwrite: bool) -> Comparison:
        """Compare in windows that walk forward."""
        for name in filter(is_given, self.agents):
            raise _of_its_own(name)
        accounts = refuse_unfit(self.agents, self.config, None)
        for name in given_agents(self.agents):
            policy = find_entrant(name, self.config.observation).policy
            if getattr(policy, "world_model_hash", None):
                raise _of_its_own(name)
        record = open_candles(candles).between(cuts.start, cuts.end)
        settings = default_config(record.interval, **self.config.model)
        windows = self._windows(record, cuts, settings.features.warmup + 1)
        refuse_rules(
            self.agents, self.config, record.between(*windows[0].train), settings.features, accounts
        )
        seeds = range(self.config.seed, self.config.seed + self.config.model_seeds)
        ranges = {window.name: window.ranges() for window in windows}
        refuse_learned(self.agents, self.config, ranges)
        training = trainings(windows, record, settings, seeds, self.out, _source(candles))
        name = self._name([], candles, ranges)
        with run_folder(self.out, name, job="compare", resume=resume, overwrite=overwrite):
            self._work("world models", list(training.values()))
            return self._measure(walked_stages(training), candles, accounts)

    def _windows(self, record: Candles, cuts: Cuts, look_back: int) -> list[Window]:
        rows = cut_rows(record, cuts.train_end, cuts.validation_end)
        purge = look_back if self.config.purge is None else self.config.purge
        gaps = Gaps(purge, self.config.embargo)
        return walk_forward(
            record,
            self.config.walk_forward,
            rows[1],
            rows[1] - rows[0],
            gaps,
            rolling=self.config.rolling,
        )

    def _name(self, models: list[str], candles: Any, windows: Any) -> str:
        """12 hexadecimal digits of the hash of all that decides the result."""
        rates = open_funding(self.config.funding)
        parts = {
            **asdict(self.config),
            "funding": rates if isinstance(rates, float) else rates.data_hash(),
            "models": models,
            "agents": [_identity(name) for name in self.agents],
            "candles": None if candles is None else open_candles(candles).data_hash(),
            "windows": windows,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    def _measure(self, stages: Stages, candles: Any, account: Mapping[str, Any]) -> Comparison:
        plan = Plan(self.config, self.agents, stages, account, self.out)
        cells = plan.cells()
        self._work("cells", cells)
        lived = {task.cell: task.result() for task in cells}
        ranks, lifts, ladder = plan.ranks(cells), plan.lifts(), plan.ladder()
        self._work("audit", [*ladder, *ranks, *lifts])
        crossed = plan.crossed(lifts)
        self._work("audit", crossed)
        comparison = measure_comparison(
            self._facts(plan, candles, lived),
            lived,
            {task.model: task.result() for task in ranks},
            joined_lift(lifts, crossed),
            [rung for task in ladder for rung in task.result()],
        )
        write_comparison(self.out, comparison, lived)
        return comparison

    def _work(self, title: str, pieces: Sequence[Piece]) -> None:
        if not pieces:
            return
        with Counter(title, len(pieces), "piece") as counter:
            work_through(pieces, self.crew, lambda told: counter(f"  {told}" if told else ""))

    def _facts(self, plan: Plan, candles: Any, lived: Mapping[Cell, Lived]) -> Facts:
        stages = plan.stages
        record = next(iter(stages.by_name.values())).candles
        trials = dict.fromkeys(plan.titles.values(), 0)
        for cell, one in lived.items():
            trials[cell.agent] = max(trials[cell.agent], one.trials)
        config = replace(self.config, account=plan.account).to_dict()
        return Facts(
            config={**config, "workers": self.crew.workers, "executor": self.crew.executor},
            agents={
                title: {"kind": _kind(name), "trials": trials[title], **self._sights(name, stages)}
                for name, title in plan.titles.items()
            },
            models=stages.models,
            windows={
                window: {name: (iso_text(a), iso_text(b)) for name, (a, b) in ranges.items()}
                for window, ranges in stages.windows.items()
            },
            candles={
                "source": None if record is None else _source(candles),
                "symbol": stages.symbol,
                "interval": stages.interval,
                "bars": 0 if record is None else len(record),
                "data_hash": None if record is None else record.data_hash(),
            },
            in_sample=self.config.allow_in_sample,
            bars_per_year=stages.bars_per_year,
            versions=library_versions(),
        )

    def _sights(self, name: str, stages: Stages) -> dict[str, dict[str, Sight]]:
        """Whether an agent that somebody brought along has seen bars of each recorded range."""
        if name not in given_agents([name]):
            return {}
        policy = find_entrant(name, self.config.observation, trust=self.config.trust).policy
        found: dict[str, Sight] = {}
        for venue in self.config.recorded:
            ends = [ranges[venue] for ranges in stages.windows.values() if venue in ranges]
            sights = [sight(policy, each, name) for each in ends]
            found[venue] = "seen" if "seen" in sights else sights[0]
        return {"seen": found}


def _of_its_own(name: str) -> ConfigError:
    return ConfigError(
        f"{name} was trained in a world model of its own, and each window has another: name one to be "
        f"trained there ({', '.join(LEARNED)}), a rule, or a module:callable without one"
    )


def _identity(name: str) -> str:
    """What tells an agent from another: of a folder its content."""
    path = Path(name)
    if not is_given(name):
        return name
    file = path / AGENT_FILE if path.is_dir() else path
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else name


def _kind(name: str) -> str:
    if name in RULES:
        return "rule"
    return "trained here" if is_trained(name) else "given"


def _source(candles: Any) -> str:
    """Where the candles come from, in words."""
    if candles is None:
        return EMBEDDED
    return source_name(candles) if isinstance(candles, str) else "candles in memory"
