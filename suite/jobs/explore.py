"""Thousands of policies swept in dreams, the few best verified: ``worldmodel-trading explore``, `explore`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldmodel_trading.comparison.cells import Stage
from worldmodel_trading.comparison.config import TEST, TRAIN, VALIDATION
from worldmodel_trading.comparison.stages import given_stages, keep_models
from worldmodel_trading.entrants import BESIDE
from worldmodel_trading.envs.population.crew import Crew, Workers
from worldmodel_trading.evaluation.comparison.families import FamilyAudit
from worldmodel_trading.evaluation.report.explore_page import (
    CANDIDATES,
    RESULTS,
    write_explore_page,
)
from worldmodel_trading.evaluation.report.explore_text import explore_text
from worldmodel_trading.evaluation.results import write_results
from worldmodel_trading.exploration.config import ExploreConfig
from worldmodel_trading.exploration.measure import (
    BLIND,
    DREAM,
    RIVAL,
    Replayed,
    Verified,
    best_of,
    best_rows,
    by_chance,
    candidates_table,
    chosen,
    luck_on,
    regression,
    verified,
)
from worldmodel_trading.exploration.pieces import (
    DREAMED,
    RECORDED,
    AuditPiece,
    Chosen,
    FreshPiece,
    PathsPiece,
    ReplayPiece,
    Setting,
    SweepPiece,
    policy_of,
)
from worldmodel_trading.ground import Cuts
from worldmodel_trading.market.errors import ConfigError, TrainingBarsError
from worldmodel_trading.market.files.writer import whole_file
from worldmodel_trading.market.times import format_time
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.output import refuse_taken, run_folder
from worldmodel_trading.pool import Piece, work_through
from worldmodel_trading.progress import Counter, tell

if TYPE_CHECKING:
    import pandas as pd

    from worldmodel_trading.evaluation.policy import Policy


@dataclass(frozen=True, eq=False)
class Exploration:
    """What an exploration found.

    Attributes:
        told: Everything in ``explore.json``.
        candidates: A row for each candidate.
        best: The policies that were verified, the one of which fresh dreams promise most first; linear
            ones look at ``latent`` observations, rules at ``features``.
    """

    told: Mapping[str, Any]
    candidates: pd.DataFrame
    best: Mapping[str, Policy]


def explore(
    world_model: Any = "default",
    candles: Any = None,
    out: str | Path = "runs/explore",
    *,
    start: Any = None,
    train_end: Any = None,
    validation_end: Any = None,
    end: Any = None,
    resume: bool = False,
    overwrite: bool = False,
    workers: Workers = None,
    **settings: Any,
) -> Exploration:
    """Score thousands of candidates in dreams, verify the few best in replay, and write a folder.

    ::

        explore("runs/btc/world_model", "BTCUSDT-60.csv", spaces=("linear", "momentum"), count=100_000)

    Args:
        world_model: A `WorldModel` of the ``market`` preset, its folder, or ``"default"``.
        candles: Anything `open_candles` opens; None is the embedded market.
        out: Folder for ``explore.json``, ``candidates.parquet``, ``explore.html``.
        start: First bar of the training range; None is the world model's.
        train_end: Its end, exclusive.
        validation_end: End of the validation range, exclusive; the test range begins there.
        end: End of the test range, exclusive.
        resume: Go on with what is not there yet.
        overwrite: Replace what a job has left there.
        workers: Processes, 0 for this one alone, None for one a core; or a `Crew`. The results are
            the same.
        settings: Any field of `ExploreConfig`.

    Raises:
        ConfigError: A setting is impossible, or the preset's dreams cannot be shared.
        TrainingBarsError: The test range reaches into bars that trained or chose the world model.
        OutputError: The folder holds something else.
    """
    config = ExploreConfig.from_dict(settings)
    refuse_taken(out, "explore", overwrite=overwrite)
    crew = Crew.of(workers)
    stages = given_stages(
        [world_model], candles, Cuts(start, train_end, validation_end, end), Path(out)
    )
    stage, fingerprint = (
        next(iter(stages.by_name.values())),
        next(iter(stages.fingerprints.values())),
    )
    if open_world_model(world_model).config.preset != "market":
        raise ConfigError(
            "dreams of the preset 'paper' hear actions, and thousands of candidates cannot share them: "
            "give a world model of the preset 'market'"
        )
    _refuse_seen(stage, stages.seen_until_ms)
    name = _run_id(config, fingerprint, stage)
    with run_folder(out, name, job="explore", resume=resume, overwrite=overwrite) as folder:
        keep_models([world_model], folder)
        return _Exploring(Setting(config, stage), folder, crew).run()


@dataclass(frozen=True)
class _Exploring:
    """An exploration under way."""

    setting: Setting
    folder: Path
    crew: Crew

    @property
    def _config(self) -> ExploreConfig:
        return self.setting.config

    @property
    def _ranges(self) -> tuple[str, ...]:
        return tuple(name for name in (VALIDATION, TEST) if name in self.setting.stage.ranges)

    def run(self) -> Exploration:
        """Sweep, choose, verify, audit, write."""
        sweep, rival = self._sweep(DREAMED), self._rival()
        self._work("sweep", [*sweep, *rival])
        table = candidates_table(sweep, rival)
        finalists = chosen(table, best_rows(table["score"].to_numpy(), self._config.finalists))
        fresh = FreshPiece(self.setting, finalists, self._file("fresh.npz"))
        audit = self._audit()
        self._work("finalists", [fresh, *audit])
        best = best_of(fresh.result(), finalists, self._config.best)
        replays = self._replays(best, table)
        self._work("replay", [one.piece for one in replays.values()])
        found = verified(self.setting, replays, table, fresh.result())
        told = self._told(table, fresh, found, replays, audit)
        policies = {one.name: policy_of(self.setting, one) for one in best}
        self._write(told, table)
        tell(explore_text(told))
        return Exploration(told, table, policies)

    def _sweep(self, kind: str) -> list[SweepPiece]:
        paths = self._file(f"{kind}.npz")
        self._work(kind, [PathsPiece(self.setting, kind, paths)])
        return [
            SweepPiece(
                self.setting, space, block, size, paths, self._file(f"{kind}-{space}-{block}.npz")
            )
            for space, block, size in self._config.blocks()
        ]

    def _rival(self) -> list[SweepPiece]:
        known = self._config.rival and TRAIN in self.setting.stage.ranges
        return self._sweep(RECORDED) if known else []

    def _audit(self) -> list[AuditPiece]:
        if not (self._config.audited and self._ranges):
            return []
        return [AuditPiece(self.setting, self._ranges, self._file("audit.npz"))]

    def _replays(self, best: Sequence[Chosen], table: pd.DataFrame) -> dict[str, Replayed]:
        """By name, and by whom each was chosen."""
        if not self._ranges:
            return {}
        count = self._config.best
        sides: list[tuple[Chosen | str, str]] = [(one, DREAM) for one in best]
        if "recorded" in table:
            rows = best_rows(table["recorded"].to_numpy(), count)
            sides += [(one, RIVAL) for one in chosen(table, rows)]
        sides += [(one, BLIND) for one in by_chance(table, count, self._config.seed)]
        sides += [(name, "") for name in BESIDE]
        found: dict[str, Replayed] = {}
        for who, by in sides:
            name = who if isinstance(who, str) else who.name
            file = self._file(f"replay-{name.replace(' ', '-')}.npz")
            piece = ReplayPiece(self.setting, who, self._ranges, file)
            before = found[name].chosen_by if name in found else ()
            found[name] = Replayed(piece, (*before, by) if by else ())
        return found

    def _told(
        self,
        table: pd.DataFrame,
        fresh: FreshPiece,
        found: Sequence[Verified],
        replays: Mapping[str, Replayed],
        audit: Sequence[AuditPiece],
    ) -> dict[str, Any]:
        world_model = self.setting.place().world_model
        bars_per_year = world_model.provenance.bars_per_year
        trials = len(table) * (1 + ("recorded" in table))
        luck = {name: luck_on(name, replays, trials, bars_per_year) for name in self._ranges}
        ranks = FamilyAudit.of({"": audit[0].result()}) if audit else None
        return {
            "config": self._config.to_dict(),
            "world_model": world_model.fingerprint,
            "market": {
                "symbol": world_model.provenance.symbol,
                "interval": world_model.provenance.interval,
                "bars_per_year": bars_per_year,
            },
            "candidates": len(table),
            "trials": trials,
            "ranges": {name: list(self.setting.stage.ranges[name]) for name in self._ranges},
            "finalists": regression(table, fresh),
            "verified": [asdict(one) for one in found],
            "luck": {name: one.to_dict() for name, one in luck.items()},
            "verdicts": {
                name: {who: one.verdict(who).to_dict() for who in one.policies}
                for name, one in luck.items()
            },
            "ranks": None if ranks is None else ranks.to_dict(),
        }

    def _write(self, told: Mapping[str, Any], table: pd.DataFrame) -> None:
        with whole_file(self.folder / CANDIDATES) as temporary:
            table.to_parquet(temporary, index=False)
        write_explore_page(self.folder, told, table)
        write_results(self.folder / RESULTS, told)

    def _file(self, name: str) -> Path:
        return self.folder / "checkpoints" / name

    def _work(self, title: str, pieces: Sequence[Piece]) -> None:
        with Counter(title, len(pieces), "piece") as counter:
            work_through(pieces, self.crew, lambda said: counter(f"  {said}" if said else ""))


def _refuse_seen(stage: Stage, seen_until_ms: int) -> None:
    if TEST in stage.ranges and stage.ranges[TEST][0] < seen_until_ms:
        raise TrainingBarsError(
            f"the test range begins before {format_time(seen_until_ms)}, up to where the world model "
            "was trained and chosen: begin it later with --validation-end"
        )


def _run_id(config: ExploreConfig, fingerprint: str, stage: Stage) -> str:
    """12 hexadecimal digits of the hash of all that decides the result."""
    parts = {
        "config": config.to_dict(),
        "world_model": fingerprint,
        "candles": None if stage.candles is None else stage.candles.data_hash(),
        "ranges": dict(stage.ranges),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
