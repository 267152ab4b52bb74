"""The pieces of a comparison: every cell, and every audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldmodel_trading.agents.lifting import LiftConfig
from worldmodel_trading.agents.registry import LEARNED
from worldmodel_trading.agents.rules.known import RULES
from worldmodel_trading.agents.training import TrainConfig
from worldmodel_trading.comparison.audits import CrossTask, LadderTask, LiftTask, RankTask
from worldmodel_trading.comparison.cells import Cell, Stage, Task, is_trained, slug_of
from worldmodel_trading.comparison.checks import given_agents
from worldmodel_trading.comparison.config import TEST, CompareConfig
from worldmodel_trading.comparison.stages import Stages
from worldmodel_trading.entrants import find_entrant, titles_of
from worldmodel_trading.evaluation.comparison.results import DREAM
from worldmodel_trading.market.errors import ConfigError

# Settings of `cma_es` that a lift's search shares.
_SEARCH = ("generations", "population", "dreams")
_CELLS, _AGENTS = "cells", "agents"


@dataclass(frozen=True, eq=False)
class Plan:
    """All that there is to do.

    Attributes:
        config: How.
        agents: As the user named them.
        stages: Where.
        account: Settings of the account that all have.
        out: The comparison's folder.
    """

    config: CompareConfig
    agents: tuple[str, ...]
    stages: Stages
    account: Mapping[str, Any]
    out: Path

    def ranks(self, cells: Sequence[Task]) -> list[RankTask]:
        """One for each world model whose dreams a population can share."""
        config, tasks = self.config, []
        for (window, model), (name, stage) in self._shared().items():
            trained = {
                f"{task.cell.agent}, seed {task.cell.seed}": task.training
                for task in cells
                if is_trained(task.name) and (task.cell.window, task.cell.model) == (window, model)
            }
            settings = (config.seed, config.drift, config.policy_dreams, config.horizon)
            file = self.audit_file(f"{slug_of(name)}.npz")
            tasks.append(
                RankTask(name, stage, self.config.recorded, self.account, trained, *settings, file)
            )
        return tasks

    def lifts(self) -> list[LiftTask]:
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
                *(name, stage, self.config.recorded, self.account, how),
                self.audit_file(f"lift-{slug_of(name)}.json"),
            )
            for name, stage in self._shared().values()
        ]

    def audit_file(self, name: str) -> Path:
        """Where an audit's result goes."""
        return self.out / "checkpoints" / "audit" / name

    def _shared(self) -> dict[tuple[str, str], tuple[str, Stage]]:
        """Stages whose dreams a population can share, with their names; none without an audit."""
        if not (self.config.audit and self.config.recorded):
            return {}
        return {
            key: (", ".join(filter(None, key)), stage)
            for key, stage in self.stages.by_name.items()
            if stage.open().world_model.config.preset == "market"
        }

    def ladder(self) -> list[LadderTask]:
        """Of the first world model of the last window."""
        if not self.config.audit or TEST not in self.config.venues:
            return []
        last = max(window for window, _ in self.stages.by_name)
        stage = next(one for (window, _), one in self.stages.by_name.items() if window == last)
        file = self.audit_file("ladder.json")
        return [LadderTask(stage, self.config.seed, self.config.drift, file)]

    def cells(self) -> list[Task]:
        """Every cell; a recorded range is replayed once by whoever is the same for every seed."""
        tasks, replayed = [], set()
        for (window, model), stage in self.stages.by_name.items():
            for name, title in self.titles.items():
                if not _belongs(name, self.stages.fingerprints[window, model], self.config.trust):
                    continue
                for seed in range(self.config.seed, self.config.seed + self.config.seeds):
                    same = (window, model, name) if name not in RULES else (window, name)
                    again = same in replayed and not is_trained(name)
                    replayed.add(same)
                    kept = tuple(v for v in self.config.venues if v == DREAM or not again)
                    if kept:
                        cell = Cell(title, seed, model, window)
                        tasks.append(self._task(cell, name, stage, kept))
        if not tasks:
            raise ConfigError("there is nothing to compare: no agent plays in any venue")
        return tasks

    def _task(
        self,
        cell: Cell,
        name: str,
        stage: Stage,
        venues: tuple[str, ...],
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
            self.account,
            config.own(name),
            config.observation,
            config.trust,
            kept / _CELLS / f"{cell.slug}.npz",
            kept / _AGENTS / cell.slug,
        )

    @property
    def titles(self) -> dict[str, str]:
        """What each agent is called."""
        return titles_of(self.agents, [*RULES, *LEARNED])

    def crossed(self, lifts: Sequence[LiftTask]) -> list[CrossTask]:
        """Of several world models of one window."""
        if len(lifts) < 2 or self.config.walk_forward:
            return []
        return [CrossTask(tuple(lifts), self.audit_file("crossed.json"))]


def _belongs(name: str, fingerprint: str, trust: bool) -> bool:
    """Whether an agent can see through a world model: a trained one through its own alone."""
    if not given_agents([name]):
        return True
    learned = find_entrant(name, "latent", trust=trust).policy
    own = getattr(learned, "world_model_hash", None)
    return own is None or own == fingerprint
