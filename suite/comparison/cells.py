"""The cells of a comparison: one agent, of one seed, through every venue of one world model.

A cell is a pure function of its task, so that anybody may compute it, in any order; what it came to lies
in one file, whole or not at all, and a comparison that was stopped goes on with the cells that lack
theirs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from worldmodel_trading.agents.folder import AGENT_FILE, EVALUATION_FILE, load_agent
from worldmodel_trading.agents.registry import CMA_ES, LEARNED
from worldmodel_trading.agents.rules.known import RULES
from worldmodel_trading.agents.training import TrainConfig, train_in_folder
from worldmodel_trading.entrants import Entrant, find_entrant, rule_entrant
from worldmodel_trading.envs.spaces import ObservationKind
from worldmodel_trading.evaluation.comparison.measured import Measured
from worldmodel_trading.evaluation.comparison.results import DREAM, Row, place_of
from worldmodel_trading.evaluation.performance import log_returns_total
from worldmodel_trading.evaluation.rollout import Curve
from worldmodel_trading.ground import Recorded
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.files.writer import whole_file
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.models.storage import MANIFEST_FILE
from worldmodel_trading.models.world_model import WorldModel
from worldmodel_trading.playing import Markets


@dataclass(frozen=True)
class Cell:
    """Which one.

    Attributes:
        agent: Its title.
        seed: Of its training and of the dreams.
        model: Name of the world model.
        window: Name of the window.
    """

    agent: str
    seed: int
    model: str
    window: str

    @property
    def slug(self) -> str:
        """A file's name."""
        parts = [self.window, self.model, self.agent, str(self.seed)]
        mark = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:6]  # names may look alike
        return slug_of("_".join([*filter(None, parts), mark]))


def slug_of(name: str) -> str:
    """A name as that of a file."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)


@dataclass(frozen=True, eq=False)
class Stage:
    """A window seen through a world model, told so that a worker can open it.

    Attributes:
        world_model: Its folder.
        candles: The record; None where there is none.
        ranges: Of the window [ms UTC].
    """

    world_model: str
    candles: Candles | None
    ranges: Mapping[str, tuple[int, int]]

    def open(self) -> Recorded:
        """The world model and its record."""
        return Recorded(_opened(self.world_model), self.candles, dict(self.ranges))


class Lived(NamedTuple):
    """What a cell came to.

    Attributes:
        rows: A row for each place.
        curves: Of each recorded range.
        dreamed: Log return of each dream [N], by place.
        trials: How many candidates were scored to find the agent.
    """

    rows: list[Row]
    curves: dict[str, Curve]
    dreamed: dict[str, FloatArray]
    trials: int


@dataclass(frozen=True, eq=False)
class Task:
    """All that a cell takes.

    Attributes:
        cell: Which one.
        name: The agent as the user named it.
        stage: Where.
        venues: Names of them; of recorded ranges those that this cell has to replay.
        temperatures: τ of the dreams.
        dreams: How many.
        horizon: Bars of each.
        drift: What a held position earns in dreams.
        funding: What positions pay.
        account: Any setting of the account.
        settings: Of the rule, or of the training of an agent that is trained here.
        observation: What a ``module:callable`` looks at.
        trust: Unpickle a bare zip.
        file: Where the result goes.
        training: Folder for the training.
    """

    cell: Cell
    name: str
    stage: Stage
    venues: tuple[str, ...]
    temperatures: tuple[float, ...]
    dreams: int
    horizon: int
    drift: str | float
    funding: str | float
    account: Mapping[str, Any]
    settings: Mapping[str, Any]
    observation: ObservationKind
    trust: bool
    file: Path
    training: Path

    def markets(self) -> Markets:
        """Where it is played."""
        where = self.stage.open()
        return Markets(
            where, self.dreams, self.horizon, self.drift, self.funding, dict(self.account)
        )

    def places(self) -> list[tuple[str, float | None]]:
        """Every venue, the dream once for each temperature."""
        found: list[tuple[str, float | None]] = []
        for venue in self.venues:
            found += [(DREAM, t) for t in self.temperatures] if venue == DREAM else [(venue, None)]
        return found

    @property
    def told(self) -> str:
        """What a person is told of it."""
        cell = self.cell
        parts = (cell.agent, str(cell.seed), cell.model, cell.window)
        return ", ".join(part for part in parts if part)

    def run(self) -> None:
        """Compute the cell, and write its file."""
        markets = self.markets()
        entrant, trials = _entrant(self, markets.recorded)
        told: dict[str, Any] = {"trials": trials, "places": []}
        arrays: dict[str, Any] = {}
        for venue, temperature in self.places():
            played = markets.play(entrant, venue, self.cell.seed, temperature or 1.0)
            place, curve = place_of(venue, temperature), played.curve
            told["places"].append([venue, temperature, _figures(played.measured)])
            if venue == DREAM:
                arrays[f"{place}/log_return"] = log_returns_total(curve.equity)
                continue
            arrays |= {f"{place}/equity": curve.equity, f"{place}/weight": curve.weight}
            arrays[f"{place}/time_ms"] = curve.time_ms
        with whole_file(self.file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, told=np.array(json.dumps(told)), **arrays)

    def result(self) -> Lived:
        """What was written."""
        with np.load(self.file, allow_pickle=False) as stored:
            told = json.loads(str(stored["told"]))
            arrays = {name: stored[name] for name in stored.files if name != "told"}
        rows, curves, dreamed = [], {}, {}
        for venue, temperature, measures in told["places"]:
            place = place_of(venue, temperature)
            rows.append(
                Row(
                    self.cell.agent,
                    venue,
                    temperature,
                    self.cell.seed,
                    self.cell.model,
                    self.cell.window,
                    measures,
                )
            )
            if venue == DREAM:
                dreamed[place] = arrays[f"{place}/log_return"]
            else:
                parts = (arrays[f"{place}/{name}"] for name in ("equity", "weight", "time_ms"))
                curves[place] = Curve(*parts)
        return Lived(rows, curves, dreamed, int(told["trials"]))


def _figures(measured: Measured) -> dict[str, float]:
    """Every figure that was measured, by name; a capacity that there is none of is left out."""
    found: dict[str, float] = {**measured.performance.to_dict(), **measured.risk.to_dict()}
    steps = measured.waterfall.to_dict()
    del steps["log_return"]  # the annual one, which the performance has
    found |= steps
    room = measured.capacity
    if room is not None and room.whole_bar_usdt is not None:
        for name in ("halved_usdt", "gone_usdt"):
            found[f"capacity_{name}"] = min(getattr(room, name), room.whole_bar_usdt)
    return found


def is_given(name: str) -> bool:
    """Whether a name is a folder's or file's; rules and algorithms go before what is called like them."""
    return name not in RULES and not is_trained(name) and Path(name).exists()


def is_trained(name: str) -> bool:
    """Whether an agent is trained for each world model and seed."""
    return name in LEARNED


def _entrant(task: Task, recorded: Recorded) -> tuple[Entrant, int]:
    """Who plays, and how many candidates it took to find it."""
    if task.name in RULES:
        return rule_entrant(task.name, recorded, task.account, task.settings), 1
    if not is_trained(task.name):
        folder = Path(task.name)
        trials = _trials(folder) if (folder / AGENT_FILE).is_file() else 1
        return find_entrant(task.name, task.observation, trust=task.trust), trials
    if not (task.training / AGENT_FILE).is_file():
        task.training.mkdir(parents=True, exist_ok=True)
        train_in_folder(_train_config(task), recorded.ground(), task.training, resume=True)
    agent = load_agent(task.training)
    return Entrant(agent, "latent", agent.actions), _trials(task.training)


def _train_config(task: Task) -> TrainConfig:
    """How the cell's agent is trained: as `train` would, with the comparison's account."""
    own = {"drift": task.drift, "funding": task.funding, "account": dict(task.account)}
    return TrainConfig(**{**own, **task.settings, "agent": task.name, "seed": task.cell.seed})


def _trials(folder: Path) -> int:
    """Candidates of a search, or looks at validation of a training."""
    record = json.loads((folder / AGENT_FILE).read_bytes())
    looks = json.loads((folder / EVALUATION_FILE).read_bytes())["looks"]
    if record["algorithm"] == CMA_ES:
        bars = record["settings"]["dreams"] * record["environment"]["horizon"]
        return max(1, int(record["steps"] // bars))
    return max(1, len(looks))


def _opened(folder: str) -> WorldModel:
    """The world model that lies in a folder now: another may have been written there since."""
    manifest = Path(folder, MANIFEST_FILE)
    return _read(folder, manifest.read_bytes() if manifest.is_file() else b"")


@lru_cache(maxsize=4)
def _read(folder: str, _manifest: bytes) -> WorldModel:
    return open_world_model(folder)
