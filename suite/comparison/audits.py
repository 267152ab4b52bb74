"""What is asked of each world model of a comparison, as tasks that anybody may do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel_trading.agents.families import given_family, linear_family, standard_families
from worldmodel_trading.agents.folder import load_agent
from worldmodel_trading.agents.lifting import LiftConfig, WorldLift, judge_crossed, lift_in
from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.agents.training import broker_of
from worldmodel_trading.comparison.cells import Stage
from worldmodel_trading.comparison.ladder import climb_model
from worldmodel_trading.evaluation.comparison.families import WorldPays, score_families
from worldmodel_trading.evaluation.comparison.lift import Lift, SearchLift
from worldmodel_trading.evaluation.comparison.pay import Pay
from worldmodel_trading.evaluation.comparison.results import Rung
from worldmodel_trading.evaluation.comparison.venues import Family
from worldmodel_trading.evaluation.results import write_results
from worldmodel_trading.market.files.writer import whole_file, write_whole

_NAMES = ("family", "policy")


@dataclass(frozen=True, eq=False)
class RankTask:
    """Families of policies in one world model's dreams, in replay and in what knows less.

    Attributes:
        model: Name of the world model.
        stage: Where.
        ranges: Names of the recorded ranges.
        account: Any setting of the account.
        searched: Folders of agents that were trained in it, by name.
        seed: Of dreams and random controllers.
        drift: What a held position earns in dreams.
        dreams: How many.
        horizon: Bars of each.
        file: Where the result goes.
    """

    model: str
    stage: Stage
    ranges: tuple[str, ...]
    account: Mapping[str, Any]
    searched: Mapping[str, Path]
    seed: int
    drift: str | float
    dreams: int
    horizon: int
    file: Path

    @property
    def told(self) -> str:
        """What a person is told of it."""
        return f"families of policies, {self.model}"

    def run(self) -> None:
        """Score the families, and write the file."""
        recorded = self.stage.open()
        world_model, candles = recorded.world_model, recorded.candles
        assert candles is not None
        broker = broker_of(self.account, world_model)
        pays = score_families(
            world_model,
            candles,
            {name: candles.row_range(*recorded.ranges[name]) for name in self.ranges},
            broker,
            families=[*standard_families(world_model, broker, seed=self.seed), *self._trained()],
            seed=self.seed,
            dreams=self.dreams,
            bars=self.horizon,
            drift=self.drift,
        )
        write_pays(self.file, pays)

    def result(self) -> WorldPays:
        """What was written."""
        return read_pays(self.file)

    def _trained(self) -> list[Family]:
        """Agents that were trained in the world model: controllers, and all others."""
        policies = {name: load_agent(folder).policy for name, folder in self.searched.items()}
        linear = {
            name: policy
            for name, policy in policies.items()
            if isinstance(policy, LinearController) and _reads_all(policy)
        }
        others = {name: policy for name, policy in policies.items() if name not in linear}
        families = [linear_family("searched for", linear)] if linear else []
        return families + ([given_family("learned", others)] if others else [])


def _reads_all(policy: LinearController) -> bool:
    return not getattr(policy, "hidden_size", 0)


def write_pays(file: Path, pays: WorldPays) -> None:
    """Write what policies were promised and paid, whole or not at all."""
    with whole_file(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **dict(_columns(pays)))


def read_pays(file: Path) -> WorldPays:
    """Read what `write_pays` wrote."""
    with np.load(file, allow_pickle=False) as stored:
        return _pays({name: stored[name] for name in stored.files})


def _columns(pays: WorldPays) -> Iterator[tuple[str, Any]]:
    """Arrays by name: of a venue [4, P]."""
    for name in _NAMES:
        yield name, np.array(getattr(pays, name))
    yield "dream", np.stack(pays.dream)
    for kind in ("ranges", "floors"):
        for name, pay in getattr(pays, kind).items():
            yield f"{kind}/{name}", np.stack(pay)
    for name, windows in pays.windows.items():
        for quarter, pay in windows.items():
            yield f"windows/{name}/{quarter}", np.stack(pay)


def _pays(columns: Mapping[str, Any]) -> WorldPays:
    found: dict[str, dict[str, Any]] = {"ranges": {}, "floors": {}, "windows": {}}
    for name, values in columns.items():
        kind, _, rest = name.partition("/")
        if kind == "windows":
            range_, _, quarter = rest.partition("/")
            found[kind].setdefault(range_, {})[quarter] = Pay(*values)
        elif rest:
            found[kind][rest] = Pay(*values)
    for range_ in found["ranges"]:
        found["windows"].setdefault(range_, {})
    family, policy = (tuple(columns[name].tolist()) for name in _NAMES)
    return WorldPays(family, policy, Pay(*columns["dream"]), **found)


@dataclass(frozen=True, eq=False)
class LiftTask:
    """Searches in one world model's dreams, and what the market pays their winners.

    Attributes:
        model: Name of the world model.
        stage: Where.
        ranges: Names of the recorded ranges.
        account: Any setting of the account.
        config: How to measure.
        file: Where the result goes.
    """

    model: str
    stage: Stage
    ranges: tuple[str, ...]
    account: Mapping[str, Any]
    config: LiftConfig
    file: Path

    @property
    def told(self) -> str:
        """What a person is told of it."""
        return f"what searching buys, {self.model}"

    def run(self) -> None:
        """Search, and write the file."""
        recorded = self.stage.open()
        world_model, candles = recorded.world_model, recorded.candles
        assert candles is not None
        ranges = {name: candles.row_range(*recorded.ranges[name]) for name in self.ranges}
        broker = broker_of(self.account, world_model)
        found = lift_in(self.model, world_model, candles, ranges, broker, self.config)
        told = {
            "searches": [search.to_dict() for search in found.searches],
            "winners": found.winners.tolist(),
        }
        write_results(self.file, told)

    def result(self) -> WorldLift:
        """What was written."""
        told = json.loads(self.file.read_bytes())
        searches = tuple(SearchLift.from_dict(search) for search in told["searches"])
        return WorldLift(searches, np.array(told["winners"]))


@dataclass(frozen=True, eq=False)
class CrossTask:
    """What the winners of each world model of a window earn in the others' dreams.

    Attributes:
        lifts: Of the world models.
        file: Where the result goes.
    """

    lifts: tuple[LiftTask, ...]
    file: Path

    @property
    def told(self) -> str:
        """What a person is told of it."""
        return "winners in each other's dreams"

    def run(self) -> None:
        """Judge them, and write the file."""
        first = self.lifts[0]
        models = {task.model: task.stage.open().world_model for task in self.lifts}
        winners = {task.model: task.result().winners for task in self.lifts}
        candles = first.stage.candles
        assert candles is not None
        broker = broker_of(first.account, models[first.model])
        write_results(self.file, judge_crossed(models, winners, candles, broker, first.config))

    def result(self) -> dict[str, dict[str, float]]:
        """What was written."""
        crossed: dict[str, dict[str, float]] = json.loads(self.file.read_bytes())
        return crossed


def joined_lift(lifts: Sequence[LiftTask], crossed: Sequence[CrossTask]) -> Lift | None:
    """What searching bought in all world models; None where nothing was searched for."""
    if not lifts:
        return None
    searches = tuple(one for task in lifts for one in task.result().searches)
    judged = {trainer: row for task in crossed for trainer, row in task.result().items()}
    return Lift(searches, judged)


@dataclass(frozen=True, eq=False)
class LadderTask:
    """What can be asked of one world model without any agent.

    Attributes:
        stage: Where.
        seed: Of dreams.
        drift: What a held position earns in them.
        file: Where the result goes.
    """

    stage: Stage
    seed: int
    drift: str | float
    file: Path

    @property
    def told(self) -> str:
        """What a person is told of it."""
        return "what can be asked of the world model alone"

    def run(self) -> None:
        """Ask, and write the file."""
        rungs = climb_model(self.stage.open(), self.seed, self.drift)
        write_whole(self.file, json.dumps([asdict(rung) for rung in rungs]) + "\n")

    def result(self) -> list[Rung]:
        """What was written."""
        return [Rung(**told) for told in json.loads(self.file.read_bytes())]
