"""The pieces of an exploration: paths, blocks of candidates, finalists, replays, and the audit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.agents.objectives import Merit
from worldmodel_trading.agents.search_spaces import LINEAR, SPACES, Drawn, Place, draw_block
from worldmodel_trading.agents.training import broker_of
from worldmodel_trading.comparison.audits import read_pays, write_pays
from worldmodel_trading.comparison.cells import Stage
from worldmodel_trading.comparison.config import TRAIN
from worldmodel_trading.entrants import Entrant, rule_entrant
from worldmodel_trading.envs.population.scoring import MarketPaths, Scores
from worldmodel_trading.evaluation.comparison.families import WorldPays, score_families
from worldmodel_trading.evaluation.comparison.pay import Pay
from worldmodel_trading.evaluation.comparison.venues import Seen, dreamed, pay_of, promised, stacked
from worldmodel_trading.exploration.config import ExploreConfig
from worldmodel_trading.ground import Recorded
from worldmodel_trading.market.arrays import FloatArray, IntArray, spread
from worldmodel_trading.market.files.writer import whole_file
from worldmodel_trading.models.drift import with_drift
from worldmodel_trading.playing import Markets

COLUMNS = ("score", "net", "gross", "cost", "exposure", "turnover", "max_drawdown")
"""What is kept of each candidate: the objective; the mean log return, the mean simple return before
costs and the costs a bar; mean weight; mean |Δw|; mean over paths of the maximum drawdown."""
DREAMED, RECORDED = "dreams", "record"
_KEPT = ("view", "bars", "features", "expected")
_FRESH = 1  # beside the seed of the dreams: others


class Chosen(NamedTuple):
    """A candidate: its space and its number there."""

    space: str
    number: int

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.space} {self.number}"


@dataclass(frozen=True, eq=False)
class Setting:
    """What all pieces share.

    Attributes:
        config: How.
        stage: The world model and its record.
    """

    config: ExploreConfig
    stage: Stage

    def place(self) -> Place:
        """What candidates are drawn for."""
        world_model = self.stage.open().world_model
        return Place(world_model, broker_of(self.config.account, world_model))

    def drawn(self, candidates: Sequence[Chosen]) -> list[Drawn]:
        """The policies of some candidates, by space, in the order in which they come."""
        place, found = self.place(), list[Drawn]()
        for space in dict.fromkeys(one.space for one in candidates):
            numbers = np.array([one.number for one in candidates if one.space == space])
            found += self._of_space(place, space, numbers)
        return found

    def _of_space(self, place: Place, space: str, numbers: IntArray) -> Iterable[Drawn]:
        size = SPACES[space].together
        for block in dict.fromkeys((numbers // size).tolist()):
            whole = draw_block(space, place, self.config.seed, block, size)
            yield whole.some(numbers[numbers // size == block] % size)


@dataclass(frozen=True, eq=False)
class PathsPiece:
    """The paths that all candidates trade.

    Attributes:
        setting: What all pieces share.
        kind: `DREAMED`, or `RECORDED`: windows of the training range.
        file: Where they go.
    """

    setting: Setting
    kind: str
    file: Path

    @property
    def told(self) -> str:
        """What a person is told of it."""
        return "the dreams" if self.kind == DREAMED else "windows of the record"

    def run(self) -> None:
        """Make them."""
        paths = self._dreams() if self.kind == DREAMED else self._windows()
        kept = {name: getattr(paths, name) for name in _KEPT if getattr(paths, name) is not None}
        with whole_file(self.file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **kept)

    def _dreams(self) -> MarketPaths:
        config, place = self.setting.config, self.setting.place()
        paths = dreamed(
            with_drift(place.world_model, config.drift),
            config.dreams,
            config.horizon,
            place.broker,
            np.random.default_rng(config.seed),
            config.temperature,
        )
        return stacked(list(paths))

    def _windows(self) -> MarketPaths:
        """Whole windows spread over the training range, at most as many as dreams."""
        recorded, config = self.setting.stage.open(), self.setting.config
        assert recorded.candles is not None
        rows = recorded.candles.row_range(*recorded.ranges[TRAIN])
        found = Seen.of(recorded.candles, recorded.world_model).paths(rows, config.horizon)
        some = spread(min(config.dreams, len(found)), len(found))
        return stacked([found[number] for number in some])


@dataclass(frozen=True, eq=False)
class SweepPiece:
    """A block of candidates on paths.

    Attributes:
        setting: What all pieces share.
        space: Name.
        block: Number.
        size: Candidates.
        paths: What they trade.
        file: Where the columns go.
    """

    setting: Setting
    space: str
    block: int
    size: int
    paths: Path
    file: Path

    @property
    def told(self) -> str:
        """Nothing: there are too many."""
        return ""

    def run(self) -> None:
        """Score them."""
        place, config = self.setting.place(), self.setting.config
        made = draw_block(self.space, place, config.seed, self.block, self.size)
        scores = promised(made.family, _read_paths(self.paths), place.broker)
        bars_per_year = place.world_model.provenance.bars_per_year
        merit = Merit(config.objective).of(scores, bars_per_year)
        columns = {**_summed(scores), "score": merit, **made.settings}
        with whole_file(self.file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **columns)  # type: ignore[arg-type]

    def result(self) -> dict[str, FloatArray]:
        """What was written: `COLUMNS`, and the candidates' settings [P]."""
        with np.load(self.file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}


@dataclass(frozen=True, eq=False)
class FreshPiece:
    """What fresh dreams promise finalists: their expectation, not what was drawn.

    Attributes:
        setting: What all pieces share.
        finalists: Who.
        file: Where it goes.
    """

    setting: Setting
    finalists: tuple[Chosen, ...]
    file: Path

    @property
    def told(self) -> str:
        """What a person is told of it."""
        return f"{len(self.finalists)} finalists in fresh dreams"

    def run(self) -> None:
        """Score them again."""
        config, place = self.setting.config, self.setting.place()
        families = [made.family for made in self.setting.drawn(self.finalists)]
        paths = dreamed(
            with_drift(place.world_model, config.drift),
            config.fresh_dreams,
            config.horizon,
            place.broker,
            np.random.default_rng([config.seed, _FRESH]),
            config.temperature,
        )
        pay = pay_of(paths, families, place.broker)
        names = np.array([name for family in families for name in family.members])
        with whole_file(self.file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, names=names, **pay._asdict())

    def result(self) -> dict[str, Pay]:
        """A bar's pay by a finalist's name."""
        with np.load(self.file, allow_pickle=False) as stored:
            columns = [stored[name] for name in Pay._fields]
            return {
                name: Pay(*(column[row] for column in columns))
                for row, name in enumerate(stored["names"].tolist())
            }


@dataclass(frozen=True, eq=False)
class ReplayPiece:
    """One policy through the recorded ranges that no model saw.

    Attributes:
        setting: What all pieces share.
        who: A candidate, or the name of a rule.
        ranges: Names.
        file: Where it goes.
    """

    setting: Setting
    who: Chosen | str
    ranges: tuple[str, ...]
    file: Path

    @property
    def told(self) -> str:
        """What a person is told of it."""
        return f"replay of {self.who if isinstance(self.who, str) else self.who.name}"

    def run(self) -> None:
        """Replay it."""
        recorded = self.setting.stage.open()
        account = self.setting.config.account
        markets, entrant = Markets(recorded, account=account), self._entrant(recorded)
        kept: dict[str, Any] = {}
        for name in self.ranges:
            played = markets.play(entrant, name)
            kept[f"{name}/equity"] = played.curve.equity
            kept[f"{name}/performance"] = np.array(json.dumps(played.performance.to_dict()))
        with whole_file(self.file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **kept)

    def result(self) -> dict[str, tuple[FloatArray, Mapping[str, Any]]]:
        """Equity and performance by range."""
        with np.load(self.file, allow_pickle=False) as stored:
            return {
                name: (
                    stored[f"{name}/equity"],
                    json.loads(str(stored[f"{name}/performance"])),
                )
                for name in self.ranges
            }

    def _entrant(self, recorded: Recorded) -> Entrant:
        if isinstance(self.who, str):
            return rule_entrant(self.who, recorded, self.setting.config.account)
        return Entrant(policy_of(self.setting, self.who), observed_by(self.who))


@dataclass(frozen=True, eq=False)
class AuditPiece:
    """How dreams rank a sample of the candidates, beside what ranks them blindly.

    Attributes:
        setting: What all pieces share.
        ranges: Names of recorded ranges.
        file: Where it goes.
    """

    setting: Setting
    ranges: tuple[str, ...]
    file: Path

    @property
    def told(self) -> str:
        """What a person is told of it."""
        return "ranks of a sample, and blind ones"

    def run(self) -> None:
        """Score the sample everywhere."""
        config, place = self.setting.config, self.setting.place()
        candles = self.setting.stage.candles
        assert candles is not None
        share = -(-config.audited // len(config.spaces))
        sample = [
            Chosen(space, number)
            for space, count in config.counts.items()
            for number in range(min(share, count))
        ]
        pays = score_families(
            place.world_model,
            candles,
            {name: candles.row_range(*self.setting.stage.ranges[name]) for name in self.ranges},
            place.broker,
            families=[made.family for made in self.setting.drawn(sample)],
            seed=config.seed,
            bars=config.horizon,
            drift=config.drift,
        )
        write_pays(self.file, pays)

    def result(self) -> WorldPays:
        """What was written."""
        return read_pays(self.file)


def policy_of(setting: Setting, candidate: Chosen) -> Any:
    """A candidate as a policy that `evaluate_policy` takes."""
    policies = setting.drawn([candidate])[0].family.policies
    if candidate.space != LINEAR:
        return policies[0]
    return LinearController(np.asarray(policies[0]), setting.stage.open().world_model.fingerprint)


def observed_by(candidate: Chosen) -> Any:
    """What a candidate looks at."""
    return "latent" if candidate.space == LINEAR else "features"


def _summed(scores: Scores) -> dict[str, FloatArray]:
    pay, steps = Pay.of(scores), scores.steps.sum(axis=1)
    turnover = scores.turnover.sum(axis=1) / steps
    return {
        **pay._asdict(),
        "turnover": turnover,
        "max_drawdown": scores.max_drawdown.mean(axis=1),
    }


def _read_paths(file: Path) -> MarketPaths:
    with np.load(file, allow_pickle=False) as stored:
        return MarketPaths(**{name: stored[name] for name in stored.files})
