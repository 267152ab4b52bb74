"""``worldmodel-trading transfer``, and `transfer`: what another market's world model is worth on few bars.

Of the target's last bars before the test range so many are known; the last quarter of them chooses
(no more than lie after ``train_end``, and fewer where training would otherwise lack its look-back and
the bars of a beginning), the others teach. Every learner forecasts the same test range, with the whole
record for its look-back. HAR-t, which needs no bars to choose by, is fitted on all that are known.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from worldmodel_trading.envs.population.crew import Crew, Workers
from worldmodel_trading.evaluation.baselines.har import HAR
from worldmodel_trading.evaluation.comparison.audit import LEAST_POLICIES
from worldmodel_trading.evaluation.comparison.rank_agreement import DREAMS, measure_rank_agreement
from worldmodel_trading.evaluation.fidelity.distances import compare_facts
from worldmodel_trading.evaluation.fidelity.judges import summaries_score
from worldmodel_trading.evaluation.fidelity.paths import dream, recorded_paths, shown_columns
from worldmodel_trading.evaluation.fidelity.stylised import PathFacts
from worldmodel_trading.evaluation.fidelity.windows import Windows
from worldmodel_trading.evaluation.report.transfer_page import transfer_page
from worldmodel_trading.evaluation.results import write_results
from worldmodel_trading.evaluation.transfer import (
    FINE_TUNED,
    HAR_T,
    NOT_ADAPTED,
    SCRATCH,
    Transfer,
    TransferCell,
)
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, OtherMarketWarning, TrainingError
from worldmodel_trading.market.files.writer import write_whole
from worldmodel_trading.market.records import AT_LEAST_ONE, FROM_ZERO, MANY, Record
from worldmodel_trading.market.sources import open_candles
from worldmodel_trading.market.times import Time, format_time
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.joint_world_model import JointWorldModel, is_joint
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.models.training.fine_tuning import FineTuneConfig, fine_tune
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.output import refuse_taken, run_folder
from worldmodel_trading.pool import work_through
from worldmodel_trading.progress import Counter
from worldmodel_trading.split import cut_rows

Parent = BarWorldModel | JointWorldModel
_DREAMS, _BARS = 256, 720  # that figures are measured on
_LEAST_BARS = 200
_JUDGED_BARS = 1200  # of the test range: fewer hold too few windows for a judge


@dataclass(frozen=True)
class TransferConfig(Record):
    """What is measured.

    Attributes:
        bars: How many bars of the target are known: numbers, ``"all"``.
        seeds: Trainings of each.
        freeze_encoder: Whether V stays as it is.
        audited: Of how many seeds dreams are measured.
        audited_bars: And from how many known bars on.
        controllers: Random controllers that dreams and test range rank.
        rank_dreams: Dreams that score each of them.
    """

    bars: tuple[int | Literal["all"], ...] = (500, 2000, 8000, "all")
    seeds: int = 1
    freeze_encoder: bool = False
    audited: int = 1
    audited_bars: int = 2000
    controllers: int = 200
    rank_dreams: int = DREAMS

    _bounds = {  # noqa: RUF012
        "seeds": AT_LEAST_ONE,
        "audited": FROM_ZERO,
        "audited_bars": AT_LEAST_ONE,
        "controllers": (LEAST_POLICIES, MANY),
        "rank_dreams": AT_LEAST_ONE,
    }


def transfer(
    parents: Any,
    candles: Any,
    out: str | Path = "runs/transfer",
    *,
    start: Time | None = None,
    train_end: Time | None = None,
    validation_end: Time | None = None,
    end: Time | None = None,
    resume: bool = False,
    overwrite: bool = False,
    workers: Workers = None,
    **settings: Any,
) -> Transfer:
    """Measure the learning curve of a parent that is fine-tuned on few bars of a target.

    Args:
        parents: A world model or a joint one, or its folder; or several, seed s takes the s-th.
        candles: Of the target: anything `open_candles` opens.
        out: Folder for ``transfer.json``, ``transfer.html`` and the fine-tuned world models.
        start: First bar that may be known.
        train_end: Where the validation range of all bars begins; 70% of them if None.
        validation_end: Where the test range begins; 85% if None.
        end: Its end.
        resume: Go on with the same measurement.
        overwrite: Replace results in the folder.
        workers: Processes, 0 for this one alone, None for one a core; or a `Crew`. The results are
            the same.
        settings: Fields of `TransferConfig`.

    Raises:
        ConfigError: A parent knows bars of the test range's time, or more bars are asked for than there
            are.
        OtherMarketError: The interval is another.
    """
    config = TransferConfig.from_dict(settings)
    refuse_taken(out, "transfer", overwrite=overwrite)
    crew = Crew.of(workers)
    opened = tuple(map(open_parent, parents if isinstance(parents, list | tuple) else [parents]))
    target = Target.of(open_candles(candles), start, train_end, validation_end, end)
    target.refuse(opened)
    counts = target.counts(config.bars)
    told = [[one.fingerprint for one in opened], target.name(), counts, config.to_dict()]
    name = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]
    with run_folder(out, name, job="transfer", resume=resume, overwrite=overwrite) as folder:
        pieces = _pieces(folder, opened, target, counts, config)
        with Counter("Transfer", len(pieces), "piece") as counter:
            work_through(pieces, crew, lambda one: counter(f"  {one}" if one else ""))
        found = Transfer(
            " + ".join(dict.fromkeys(s for one in opened for s in symbols_of(one))),
            tuple(one.fingerprint for one in opened),
            target.candles.symbol,
            target.candles.interval,
            target.test_ms,
            tuple(piece.read() for piece in pieces),
        )
        write_whole(folder / "transfer.html", transfer_page(found))
        write_results(folder / "transfer.json", found)
    return found


def open_parent(source: Any) -> Parent:
    """A parent from wherever it is.

    Raises:
        ConfigError: Its preset cannot be fine-tuned.
    """
    if isinstance(source, JointWorldModel):
        return source
    if isinstance(source, str | Path) and is_joint(source):
        return JointWorldModel.from_pretrained(source)
    found = open_world_model(source)
    if not isinstance(found, BarWorldModel):
        raise ConfigError(
            f"the world model's preset is {found.config.preset!r}; only 'market' can be fine-tuned: "
            "give one of those"
        )
    return found


def symbols_of(parent: Parent) -> tuple[str, ...]:
    """What it learned."""
    return tuple(member.provenance.symbol for member in members_of(parent))


def members_of(parent: Parent) -> list[BarWorldModel]:
    """The world model, or those of a joint one."""
    return list(parent) if isinstance(parent, JointWorldModel) else [parent]


@dataclass(frozen=True, eq=False)
class Target:
    """A market of which little is known.

    Attributes:
        candles: The record.
        test: Rows of the test range.
        choosing: The most bars that choose.
    """

    candles: Candles
    test: tuple[int, int]
    choosing: int

    @classmethod
    def of(
        cls,
        record: Candles,
        start: Time | None,
        train_end: Time | None,
        validation_end: Time | None,
        end: Time | None,
    ) -> Target:
        """Cut the record.

        Raises:
            ConfigError: A range would be empty.
        """
        candles = record.between(start, end)
        middle, late = cut_rows(candles, train_end, validation_end)
        return cls(candles, (late, len(candles)), late - middle)

    @property
    def test_ms(self) -> tuple[int, int]:
        """When the test range begins and ends."""
        times, (first, stop) = self.candles.open_time_ms, self.test
        return int(times[first]), int(times[stop - 1]) + self.candles.interval_ms

    def name(self) -> list[Any]:
        """What tells it from another."""
        return [self.candles.data_hash(), *self.test, self.choosing]

    def refuse(self, parents: Sequence[Parent]) -> None:
        """Refuse parents that know the test range's time, or read other bars.

        Raises:
            ConfigError: One was trained or chosen on bars that are as late.
            OtherMarketError: The interval is another.
        """
        for member in (member for parent in parents for member in members_of(parent)):
            made = member.provenance
            made.check_interval(self.candles.interval)
            if made.validation_end_ms > self.test_ms[0]:
                raise ConfigError(
                    f"the world model of {made.symbol} was chosen on bars up to "
                    f"{format_time(made.validation_end_ms)}, and the test range of {self.candles.symbol} "
                    f"begins at {format_time(self.test_ms[0])}: markets move together, so end the "
                    "former before the latter (--validation-end)"
                )

    def counts(self, asked: Sequence[int | str]) -> list[int]:
        """How many bars are known, each once, increasing.

        Raises:
            ConfigError: There are not so many, or it is too few to split.
        """
        there = self.test[0]
        counts = [there if count == "all" else int(count) for count in asked]
        odd = [count for count in counts if not _LEAST_BARS <= count <= there]
        if odd or not counts:
            raise ConfigError(
                f"bars are {', '.join(map(str, asked))}; expected numbers from {_LEAST_BARS} to "
                f"{there:,}, the bars before the test range, or all"
            )
        return sorted(set(counts))

    def known(self, bars: int, least: int) -> tuple[Candles, Candles]:
        """The last bars before the test range: those that teach, and those that choose.

        Args:
            bars: How many in all.
            least: Bars that training needs, if it can have them.
        """
        choosing = max(min(bars // 4, self.choosing, bars - least), 24)
        first, middle, late = self.test[0] - bars, self.test[0] - choosing, self.test[0]
        return self.candles.rows(first, middle), self.candles.rows(middle, late)


@dataclass(frozen=True, eq=False)
class Cell:
    """One learner, once: a piece of work.

    Attributes:
        learner: One of `LEARNERS`.
        bars: Bars of the target that it may know.
        seed: Of its training.
        target: The market.
        parent: Of the fine-tuned; the settings of the others.
        config: What is measured.
        folder: The job's.
    """

    learner: str
    bars: int
    seed: int
    target: Target
    parent: Parent
    config: TransferConfig
    folder: Path

    @property
    def file(self) -> Path:
        """What is there once it is done."""
        return self.folder / "checkpoints" / f"{self.slug}.json"

    @property
    def slug(self) -> str:
        """Its name in file names."""
        return f"{self.learner.replace(' ', '-').lower()}-{self.bars}-{self.seed}"

    @property
    def told(self) -> str:
        """What it is called."""
        return f"{self.learner}, {self.bars:,} bars, seed {self.seed}"

    def run(self) -> None:
        """Do it, and write the file."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OtherMarketWarning)  # it is asked for
            cell = self._measured()
        losses = [None if np.isnan(x) else round(float(x), 6) for x in cell.losses]
        write_whole(self.file, json.dumps({**vars(cell), "losses": losses}))

    def read(self) -> TransferCell:
        """What was measured."""
        said = json.loads(self.file.read_text(encoding="utf-8"))
        losses = np.array([np.nan if x is None else x for x in said["losses"]], dtype=np.float64)
        return TransferCell(**{**said, "losses": losses})

    def _measured(self) -> TransferCell:
        settings = members_of(self.parent)[0].config
        parts = self.target.known(self.bars, settings.features.warmup + settings.warmup_bars)
        empty = TransferCell(
            self.learner, self.bars, self.seed, len(parts[0]), len(parts[1]), np.empty(0)
        )
        begun = time.perf_counter()
        if self.learner == HAR_T:
            losses, note = self._har()
            return replace(empty, losses=losses, note=note, seconds=time.perf_counter() - begun)
        try:
            world_model, note = self._world_model(*parts)
        except TrainingError as error:
            return replace(empty, note=str(error))
        seconds = time.perf_counter() - begun
        losses = self._losses(world_model)
        figures = self._figures(world_model) if self._audited else {}
        return replace(empty, losses=losses, note=note, seconds=seconds, figures=figures)

    @property
    def _audited(self) -> bool:
        config = self.config
        return self.seed < config.audited and self.bars >= config.audited_bars

    def _har(self) -> tuple[FloatArray, str]:
        candles, (first, stop) = self.target.candles, self.target.test
        model = HAR.fit(candles, (first - self.bars, first))
        returns = 100 * candles.log_returns()[first:stop]
        return -model.forecast(candles).rows(first, stop).log_prob(returns), model.note

    def _world_model(self, train: Candles, validation: Candles) -> tuple[BarWorldModel, str]:
        """What the learner makes of the bars, and what it said of it."""
        if self.learner == NOT_ADAPTED:
            return self._nearest(), ""
        if self.learner == SCRATCH:
            settings = members_of(self.parent)[0].config
            made, _ = train_world_model(train, validation, settings, seed=self.seed)
            assert isinstance(made, BarWorldModel)
            return made, ""
        tuning = FineTuneConfig(freeze_encoder=self.config.freeze_encoder)
        made, history = fine_tune(self.parent, train, validation, tuning, seed=self.seed)
        made.save_pretrained(self.folder / "models" / self.slug)
        return made, "; ".join(note for note in history.notes if not note.startswith("dreams "))

    def _nearest(self) -> BarWorldModel:
        """Of a joint parent's symbols the one under which the known bars are likeliest."""
        members, first = members_of(self.parent), self.target.test[0]
        if len(members) == 1:
            return members[0]
        known = self.target.candles.rows(first - self.bars, first)
        returns = np.append(100 * np.log(known.close[1:] / known.close[:-1]), np.nan)
        nll = [-np.nanmean(one.return_forecast(known).log_prob(returns)) for one in members]
        return members[int(np.argmin(nll))]

    def _losses(self, world_model: BarWorldModel) -> FloatArray:
        candles, (first, stop) = self.target.candles, self.target.test
        returns = 100 * candles.log_returns()[first:stop]
        forecast = world_model.return_forecast(candles).rows(first - 1, stop - 1)
        losses: FloatArray = -forecast.log_prob(returns)
        return losses

    def _figures(self, world_model: BarWorldModel) -> dict[str, float]:
        """Dreams beside the test range, and whether they rank controllers as it does."""
        candles, rows, spec = self.target.candles, self.target.test, world_model.config.features
        record, bars = candles.rows(*rows), min(_BARS, rows[1] - rows[0])
        names = shown_columns(world_model)
        dreams = dream(world_model, _DREAMS, bars, seed=self.seed)
        looked_back = candles.rows(max(0, rows[0] - spec.warmup), rows[1])
        sides = (dreams, recorded_paths(looked_back, bars, spec))
        facts = compare_facts(*(PathFacts(paths, names).facts() for paths in sides))
        assert dreams.whole is not None
        windows = [Windows.of(dreams.whole, record.interval_ms), Windows.recorded(record)]
        found: dict[str, float | None] = {
            "σ ÷ real": facts.sigma_ratio,
            "kurtosis ÷ real": facts.kurtosis_ratio_1,
            "ACF of abs. r, RMSE": facts.abs_acf_rmse,
        }
        if len(record) >= _JUDGED_BARS:
            found["whole bars, from chance"] = summaries_score(*windows, seed=0).value
        agreement = measure_rank_agreement(
            world_model,
            candles,
            {"test": rows},
            seed=self.seed,
            controllers=self.config.controllers,
            dreams=self.config.rank_dreams,
            allow_other_market=True,
        )
        found["ranks"] = agreement.spearman["test"].value
        found["ranks, lowest"] = agreement.spearman["test"].low
        found["ranks, highest"] = agreement.spearman["test"].high
        audit = agreement.audits["test"].gross
        found["ranks before costs, costs and exposure fixed"] = audit.beyond.value
        return {name: value for name, value in found.items() if value is not None}


def _pieces(
    folder: Path,
    parents: Sequence[Parent],
    target: Target,
    counts: Sequence[int],
    config: TransferConfig,
) -> list[Cell]:
    """All that is to be done; those that hold for every seed or number of bars, once."""

    def cell(learner: str, bars: int, seed: int) -> Cell:
        parent = parents[seed % len(parents)]
        return Cell(learner, bars, seed, target, parent, config, folder)

    seeds, most = range(config.seeds), counts[-1]
    return [
        *(cell(NOT_ADAPTED, most, seed) for seed in seeds if seed < len(parents)),
        *(cell(HAR_T, bars, 0) for bars in counts),
        *(cell(FINE_TUNED, bars, seed) for bars in counts for seed in seeds),
        *(cell(SCRATCH, bars, seed) for bars in counts for seed in seeds),
    ]
