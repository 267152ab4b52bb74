"""Dream against replay, for any agents: ``worldmodel-trading compare``, and `compare`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from worldmodel_trading.agents.folder import AGENT_FILE
from worldmodel_trading.agents.lifting import LiftConfig
from worldmodel_trading.agents.registry import LEARNED
from worldmodel_trading.agents.rules.known import RULES, make_rule
from worldmodel_trading.agents.training import TrainConfig
from worldmodel_trading.cells import Cell, Lived, Stage, Task, is_trained, slug_of
from worldmodel_trading.comparing import measure_comparison, write_comparison
from worldmodel_trading.entrants import common_account, find_entrant, title_of
from worldmodel_trading.envs.spaces import ObservationKind
from worldmodel_trading.evaluation.checks import check_whole
from worldmodel_trading.evaluation.comparison.lift import Lift
from worldmodel_trading.evaluation.comparison.results import DREAM, Comparison, Facts
from worldmodel_trading.ground import Cuts
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, TrainingBarsError
from worldmodel_trading.market.features import Features
from worldmodel_trading.market.records import AT_LEAST_ONE, FROM_ZERO, TEMPERATURES, Record
from worldmodel_trading.market.sources import EMBEDDED, open_candles, open_funding, source_name
from worldmodel_trading.market.times import format_time, iso_text, to_ms
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.models.machine import num_cores
from worldmodel_trading.models.presets import default_config
from worldmodel_trading.models.provenance import library_versions
from worldmodel_trading.output import refuse_taken, run_folder
from worldmodel_trading.pool import Piece, work_through
from worldmodel_trading.progress import Counter
from worldmodel_trading.split import cut_rows
from worldmodel_trading.stages import (
    Stages,
    given_stages,
    keep_models,
    trainings,
    walked_stages,
)
from worldmodel_trading.windows import Gaps, Window, walk_forward
from worldmodel_trading.world_audits import CrossTask, LadderTask, LiftTask, RankTask

_BESIDE = ("hold", "flat")  # always in the table
_SEEN = ("train", "validation")  # what model, search and choice have used up
_SEARCH = (
    "generations",
    "population",
    "dreams",
)  # settings of `cma_es` that a lift's search shares
_CELLS, _AGENTS = "cells", "agents"
TEST = "test"


@dataclass(frozen=True)
class CompareConfig(Record):
    """How agents are compared.

    Attributes:
        venues: Some of ``dream``, ``train``, ``validation`` and ``test``.
        temperatures: τ of the dreams.
        seeds: How many: of dreams, and of agents that are trained here.
        seed: The first of them.
        dreams: That measure, of each temperature and seed.
        horizon: Bars of each.
        observation: What a ``module:callable`` looks at.
        trust: Unpickle bare zips.
        drift: What a held position earns in dreams.
        funding: What positions pay.
        account: Any setting of the account; empty is that of the agents' own training.
        settings: By agent, settings of a rule, or of a training: fields of `TrainConfig`, or the
            algorithm's own.
        walk_forward: Number of windows, for each of which world models and agents are trained; 0 takes
            the world models that are given.
        purge: Bars between training, validation and test range of a window; None is the features'
            look-back and one.
        embargo: More of them before the test range.
        rolling: Whether windows forget the oldest bars.
        model_seeds: World models of each window.
        model: Settings of the windows' world models, ``preset`` among them.
        audit: Whether dreams' rankings of families of policies are audited, and the ladder is climbed.
        policy_dreams: Dreams in which each policy of the families trades.
        searches: For each world model, beside their rivals, to find out what searching in dreams buys;
            their settings are those of ``cma_es``.
        allow_in_sample: Measure also on bars that model, search or choice has seen.
    """

    venues: tuple[str, ...] = (DREAM, TEST)
    temperatures: tuple[float, ...] = (1.0,)
    seeds: int = 1
    seed: int = 0
    dreams: int = 256
    horizon: int = 720
    observation: ObservationKind = "latent"
    trust: bool = False
    drift: str | float = "recorded"
    funding: str | float = "off"
    account: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    walk_forward: int = 0
    purge: int | None = None
    embargo: int = 0
    rolling: bool = False
    model_seeds: int = 1
    model: Mapping[str, Any] = field(default_factory=dict)
    audit: bool = True
    policy_dreams: int = 512
    searches: int = 1
    allow_in_sample: bool = False

    _bounds = {  # noqa: RUF012
        "seeds": AT_LEAST_ONE,
        "seed": FROM_ZERO,
        "dreams": AT_LEAST_ONE,
        "horizon": AT_LEAST_ONE,
        "walk_forward": FROM_ZERO,
        "purge": FROM_ZERO,
        "embargo": FROM_ZERO,
        "model_seeds": AT_LEAST_ONE,
        "policy_dreams": AT_LEAST_ONE,
        "searches": FROM_ZERO,
    }
    _choices = {"observation": ("latent", "features")}  # noqa: RUF012

    def __post_init__(self) -> None:
        """Refuse what cannot be, before any work."""
        super().__post_init__()
        known = (DREAM, *_SEEN, TEST)
        for venue in self.venues:
            if venue not in known:
                raise ConfigError(f"venue {venue!r} is none; expected some of {', '.join(known)}")
        for temperature in self.temperatures:
            if not 0 < temperature < TEMPERATURES.high:
                raise ConfigError(
                    f"temperature is {temperature!r}; expected a number above 0, below 100"
                )
        seen = [venue for venue in self.venues if venue in _SEEN]
        if seen and not self.allow_in_sample:
            raise TrainingBarsError(
                f"{' and '.join(seen)} {'was' if len(seen) == 1 else 'were'} seen by model, search or "
                "choice: leave it out of the venues, or say --allow-in-sample, and every table will "
                "say so"
            )

    def own(self, agent: str) -> dict[str, Any]:
        """Settings of a rule, or of an agent's training as `TrainConfig` takes them."""
        if agent in RULES:
            return dict(self.settings.get(agent, {}))
        fields = set(TrainConfig.__dataclass_fields__) - {"agent", "seed", "settings"}
        given = dict(self.settings.get(agent, {}))
        own = {name: given.pop(name) for name in list(given) if name in fields}
        return own | ({"settings": given} if given else {})


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
    workers: int | None = None,
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
        workers: Processes that compute cells, 0 for this one alone, None for one a core; the results are
            the same.
        settings: Any field of `CompareConfig`.

    Returns:
        What was measured.

    Raises:
        ConfigError: A setting is impossible, or an agent cannot be found.
        TrainingBarsError: Something would be measured on bars that were seen.
        OutputError: The folder holds something else.
    """
    config = CompareConfig(**settings)
    refuse_taken(out, "compare", overwrite=overwrite)
    processes = num_cores() if workers is None else workers
    check_whole("workers", processes, 0)
    job = _Job(config, tuple(dict.fromkeys([*agents, *_BESIDE])), Path(out), processes)
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
    workers: int

    def judge(
        self, sources: Sequence[Any], candles: Any, cuts: Cuts, *, resume: bool, overwrite: bool
    ) -> Comparison:
        """Compare in the world models that are given."""
        stages = given_stages(sources, candles, cuts, self.out)
        accounts = self._refuse_unfit(stages)
        self._refuse_seen(stages)
        first = next(iter(stages.by_name.values()))
        known = "train" in first.ranges and first.candles
        training = known.between(*first.ranges["train"]) if known else None
        self._refuse_rules(training, open_world_model(sources[0]).config.features, accounts)
        name = self._name([*stages.models.values()], candles, stages.windows)
        with run_folder(self.out, name, job="compare", resume=resume, overwrite=overwrite):
            keep_models(sources, self.out)
            return self._measure(stages, candles, accounts)

    def walk(self, candles: Any, cuts: Cuts, *, resume: bool, overwrite: bool) -> Comparison:
        """Compare in windows that walk forward."""
        for name in self.agents:
            if Path(name).exists():
                raise ConfigError(
                    f"{name} was trained in a world model of its own, and each window has another: name "
                    f"one to be trained there ({', '.join(LEARNED)}), a rule, or module:callable"
                )
        accounts = self._refuse_unfit(None)
        record = open_candles(candles).between(cuts.start, cuts.end)
        settings = default_config(record.interval, **self.config.model)
        windows = self._windows(record, cuts, settings.features.warmup + 1)
        self._refuse_rules(record.between(*windows[0].train), settings.features, accounts)
        seeds = range(self.config.seed, self.config.seed + self.config.model_seeds)
        training = trainings(windows, record, settings, seeds, self.out, _source(candles))
        name = self._name([], candles, {window.name: window.ranges() for window in windows})
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

    def _refuse_unfit(self, stages: Stages | None) -> dict[str, Any]:
        """Refuse agents that cannot be, before any work; returns the account that all have."""
        accounts = {}
        for name in self.agents:
            if name in RULES:
                continue
            if is_trained(name):
                TrainConfig(agent=name, **self.config.own(name))
                continue
            if not Path(name).exists() and ":" not in name:
                raise ConfigError(
                    f"there is no agent {name!r}; expected an agent's folder, module:callable, a rule "
                    f"({', '.join(RULES)}), or one to be trained ({', '.join(LEARNED)})"
                )
            entrant = find_entrant(name, self.config.observation, trust=self.config.trust)
            learned = getattr(entrant.policy, "world_model_hash", None)
            if stages and learned and learned not in stages.fingerprints.values():
                raise ConfigError(
                    f"{name} was trained in the world model {learned[:12]}, which is none of those "
                    "given: name its own with --world-model"
                )
            record = getattr(entrant.policy, "record", None)
            if record is not None:
                accounts[name] = record.account
        for name in self.config.settings:
            if name not in self.agents or not (is_trained(name) or name in RULES):
                raise ConfigError(
                    f"there are settings of {name!r}, and no such rule or agent to be trained is compared"
                )
        return common_account(self.config.account, accounts)

    def _refuse_rules(
        self, training: Candles | None, features: Features, account: Mapping[str, Any]
    ) -> None:
        """Refuse rules whose settings are not theirs, or that lack bars to be fitted on."""
        leverage = float(account.get("leverage", 1.0))
        year = None if training is None else training.bars_per_year
        for name in filter(RULES.__contains__, self.agents):
            make_rule(name, training, features, leverage, year or 1.0, **self.config.own(name))

    def _refuse_seen(self, stages: Stages) -> None:
        """Refuse a test range that a world model or an agent has seen."""
        if self.config.allow_in_sample or TEST not in self.config.venues:
            return
        for stage in stages.by_name.values():
            if TEST in stage.ranges and stage.ranges[TEST][0] < stages.seen_until_ms:
                raise TrainingBarsError(
                    f"the test range begins before {format_time(stages.seen_until_ms)}, up to where "
                    "the world model was trained and chosen: begin later, or say --allow-in-sample, and "
                    "every table will say so"
                )
            for agent in self.agents:
                _refuse_learned(agent, self.config, stage)

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
        cells = self._tasks(stages, account)
        self._work("cells", cells)
        lived = {task.cell: task.result() for task in cells}
        ranks = self._rank_tasks(stages, account, cells)
        lifts = self._lift_tasks(stages, account)
        ladder = self._ladder_tasks(stages)
        self._work("audit", [*ladder, *ranks, *lifts])
        comparison = measure_comparison(
            self._facts(stages, candles, account, lived),
            lived,
            {task.model: task.result() for task in ranks},
            self._lift(lifts),
            [rung for task in ladder for rung in task.result()],
        )
        write_comparison(self.out, comparison, lived)
        return comparison

    def _work(self, title: str, pieces: Sequence[Piece]) -> None:
        if not pieces:
            return
        with Counter(title, len(pieces), "piece") as counter:
            work_through(pieces, self.workers, lambda told: counter(f"  {told}" if told else ""))

    def _rank_tasks(
        self, stages: Stages, account: Mapping[str, Any], cells: Sequence[Task]
    ) -> list[RankTask]:
        """One for each world model whose dreams a population can share."""
        config, tasks = self.config, []
        for (window, model), (name, stage) in self._shared(stages).items():
            trained = {
                f"{task.cell.agent}, seed {task.cell.seed}": task.training
                for task in cells
                if is_trained(task.name) and (task.cell.window, task.cell.model) == (window, model)
            }
            settings = (config.seed, config.drift, config.policy_dreams, config.horizon)
            file = self._audit_file(f"{slug_of(name)}.npz")
            tasks.append(RankTask(name, stage, self._recorded(), account, trained, *settings, file))
        return tasks

    def _lift_tasks(self, stages: Stages, account: Mapping[str, Any]) -> list[LiftTask]:
        """One for each of them, too."""
        config = self.config
        if not config.searches:
            return []
        own = config.own("cma_es")
        given = {name: value for name, value in own.get("settings", {}).items() if name in _SEARCH}
        search = TrainConfig(agent="cma_es", horizon=config.horizon, settings=given).search()
        how = LiftConfig(search, config.searches, drift=config.drift, seed=config.seed)
        return [
            LiftTask(
                *(name, stage, self._recorded(), account, how),
                self._audit_file(f"lift-{slug_of(name)}.json"),
            )
            for name, stage in self._shared(stages).values()
        ]

    def _lift(self, tasks: Sequence[LiftTask]) -> Lift | None:
        """What searching bought; the winners of several world models in each other's dreams, too."""
        if not tasks:
            return None
        crossed: dict[str, dict[str, float]] = {}
        if len(tasks) > 1 and not self.config.walk_forward:
            task = CrossTask(tuple(tasks), self._audit_file("crossed.json"))
            self._work("audit", [task])
            crossed = task.result()
        return Lift(tuple(one for task in tasks for one in task.result().searches), crossed)

    def _recorded(self) -> tuple[str, ...]:
        return tuple(venue for venue in self.config.venues if venue != DREAM)

    def _audit_file(self, name: str) -> Path:
        return self.out / "checkpoints" / "audit" / name

    def _shared(self, stages: Stages) -> dict[tuple[str, str], tuple[str, Stage]]:
        """Stages whose dreams a population can share, with their names; none without an audit."""
        if not (self.config.audit and self._recorded()):
            return {}
        return {
            key: (", ".join(filter(None, key)), stage)
            for key, stage in stages.by_name.items()
            if stage.open().world_model.config.preset == "market"
        }

    def _ladder_tasks(self, stages: Stages) -> list[LadderTask]:
        """Of the first world model of the last window."""
        if not self.config.audit or TEST not in self.config.venues:
            return []
        last = max(window for window, _ in stages.by_name)
        stage = next(one for (window, _), one in stages.by_name.items() if window == last)
        file = self._audit_file("ladder.json")
        return [LadderTask(stage, self.config.seed, self.config.drift, file)]

    def _tasks(self, stages: Stages, account: Mapping[str, Any]) -> list[Task]:
        """Every cell; a recorded range is replayed once by whoever is the same for every seed."""
        tasks, replayed = [], set()
        for (window, model), stage in stages.by_name.items():
            venues = _venues(self.config, stage)
            for name, title in self._titles().items():
                if not _belongs(name, stages.fingerprints[window, model], self.config.trust):
                    continue
                for seed in range(self.config.seed, self.config.seed + self.config.seeds):
                    same = (window, model, name) if name not in RULES else (window, name)
                    again = same in replayed and not is_trained(name)
                    replayed.add(same)
                    kept = tuple(v for v in venues if v == DREAM or not again)
                    if kept:
                        cell = Cell(title, seed, model, window)
                        tasks.append(self._task(cell, name, stage, kept, account))
        if not tasks:
            raise ConfigError("there is nothing to compare: no agent plays in any venue")
        return tasks

    def _task(
        self,
        cell: Cell,
        name: str,
        stage: Stage,
        venues: tuple[str, ...],
        account: Mapping[str, Any],
    ) -> Task:
        config, kept = self.config, self.out / "checkpoints"
        return Task(
            cell,
            name,
            stage,
            venues,
            config.temperatures,
            config.dreams,
            config.horizon,
            config.drift,
            config.funding,
            account,
            config.own(name),
            config.observation,
            config.trust,
            kept / _CELLS / f"{cell.slug}.npz",
            kept / _AGENTS / cell.slug,
        )

    def _titles(self) -> dict[str, str]:
        """What each agent is called: the last part of its path, or all of it where that is taken."""
        titles: dict[str, str] = {}
        for name in self.agents:
            title = title_of(name)
            titles[name] = title if title not in titles.values() else name
        return titles

    def _facts(
        self,
        stages: Stages,
        candles: Any,
        account: Mapping[str, Any],
        lived: Mapping[Cell, Lived],
    ) -> Facts:
        record = next(iter(stages.by_name.values())).candles
        kinds = {title: _kind(name) for name, title in self._titles().items()}
        trials = {title: 0 for title in kinds}
        for cell, one in lived.items():
            trials[cell.agent] = max(trials[cell.agent], one.trials)
        config = replace(self.config, account=account).to_dict()
        return Facts(
            config={**config, "workers": self.workers},
            agents={t: {"kind": kind, "trials": trials[t]} for t, kind in kinds.items()},
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


def _venues(config: CompareConfig, stage: Stage) -> tuple[str, ...]:
    """The venues that there are bars for.

    Raises:
        ConfigError: One has none.
    """
    lacking = [venue for venue in config.venues if venue != DREAM and venue not in stage.ranges]
    if lacking:
        raise ConfigError(
            f"the candles hold no bars of {' and '.join(lacking)}: give the file that goes on with "
            "--candles, or leave it out of --venues"
        )
    return config.venues


def _belongs(name: str, fingerprint: str, trust: bool) -> bool:
    """Whether an agent can see through a world model: a trained one through its own alone."""
    if not Path(name).exists():
        return True
    learned = find_entrant(name, "latent", trust=trust).policy
    own = getattr(learned, "world_model_hash", None)
    return own is None or own == fingerprint


def _refuse_learned(name: str, config: CompareConfig, stage: Stage) -> None:
    """Refuse an agent that was trained or chosen on bars of the test range."""
    if not Path(name).exists():
        return
    policy = find_entrant(name, config.observation, trust=config.trust).policy
    record = getattr(policy, "record", None)
    if record is None or TEST not in stage.ranges:
        return
    for what, (begin, end) in record.ranges.items():
        if to_ms(end) > stage.ranges[TEST][0] and to_ms(begin) < stage.ranges[TEST][1]:
            raise TrainingBarsError(
                f"{name} has seen bars of the test range ({what}, to {end}): begin it later with "
                "--validation-end, or say --allow-in-sample, and every table will say so"
            )


def _identity(name: str) -> str:
    """What tells an agent from another: of a folder its content."""
    path = Path(name)
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
