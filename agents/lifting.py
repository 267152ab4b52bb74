"""Searches in dreams beside their rivals: what each is paid, generation by generation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..envs.population.jobs import Dreams
from ..envs.population.recorded_scorer import RecordedScorer
from ..envs.population.scorers import DreamWorkers, Scorer
from ..evaluation.comparison.floors import training_rows
from ..evaluation.comparison.lift import (
    DREAM,
    HOLDING,
    RANDOM,
    RECORDED_SEARCH,
    Climb,
    Lift,
    SearchLift,
)
from ..evaluation.comparison.rank_agreement import RECENT, random_controllers
from ..evaluation.comparison.venues import (
    Family,
    Rows,
    Seen,
    drawn,
    dreamed,
    dreaming,
    pay_of,
    rows_of,
)
from ..market.account.rules import BrokerConfig
from ..market.arrays import FloatArray, spread
from ..market.candles import Candles
from ..market.errors import ConfigError
from ..market.sources import open_candles
from ..models.drift import RECORDED, with_drift
from ..models.world_model import WorldModel
from .cma_es import SearchResult
from .dream_search import DreamSearchConfig, search_seeds, train_controller
from .families import SCALES
from .rules.constant import ConstantWeight

if TYPE_CHECKING:
    from ..market.sources import CandleSource


@dataclass(frozen=True)
class LiftConfig:
    """How a lift is measured.

    Attributes:
        search: The search, of linear controllers that read all of an observation.
        searches: How many in each world model.
        dreams: Fresh dreams that tell what a controller is promised.
        crossed_dreams: Of each world model, in which the others' winners are judged.
        recent: Share of the training range, the last, in which dreams begin.
        drift: What a held position earns in dreams; see `with_drift`.
        seed: Makes all of it repeat.
    """

    search: DreamSearchConfig
    searches: int = 2
    dreams: int = 256
    crossed_dreams: int = 64
    recent: float = RECENT
    drift: str | float = RECORDED
    seed: int = 0

    def __post_init__(self) -> None:
        whole = DreamSearchConfig()
        if (self.search.inputs, self.search.hidden_size) != (whole.inputs, 0):
            raise ConfigError(
                f"the search's inputs are {self.search.inputs}, its hidden_size "
                f"{self.search.hidden_size}; a lift is measured of linear controllers that read "
                f"{whole.inputs}"
            )
        if self.search.objective != whole.objective:
            raise ConfigError(
                f"the search's objective is {self.search.objective}; a lift is measured in log "
                "returns: expected log_return"
            )


class WorldLift(NamedTuple):
    """What searches in one world model's dreams bought; picklable.

    Attributes:
        searches: Each.
        winners: Their controllers [S, D + 1].
    """

    searches: tuple[SearchLift, ...]
    winners: FloatArray


def measure_lift(
    world_models: Mapping[str, WorldModel],
    candles: CandleSource,
    ranges: Mapping[str, Rows],
    broker: BrokerConfig | None = None,
    config: LiftConfig | None = None,
    progress: Callable[[str], None] | None = None,
) -> Lift:
    """Search in the dreams of several world models, and see what the market pays.

    Args:
        world_models: Of one market, by name; of the ``market`` preset.
        candles: All bars, the training range included if there shall be all rivals.
        ranges: Rows of each replay, by name.
        broker: The account's rules; Bybit's costs by default.
        config: How to measure.
        progress: Is told what is being done.

    Raises:
        ConfigError: A preset's dreams cannot be shared.
    """
    record, broker = open_candles(candles), broker or BrokerConfig()
    config, tell = config or LiftConfig(DreamSearchConfig()), progress or (lambda _: None)
    lifts = {}
    for name, world_model in world_models.items():
        tell(f"{name}: searches")
        lifts[name] = lift_in(name, world_model, record, ranges, broker, config)
    tell("winners in each other's dreams")
    winners = {name: lift.winners for name, lift in lifts.items()}
    crossed = judge_crossed(world_models, winners, record, broker, config)
    return Lift(tuple(one for lift in lifts.values() for one in lift.searches), crossed)


def lift_in(
    name: str,
    world_model: WorldModel,
    candles: Candles,
    ranges: Mapping[str, Rows],
    broker: BrokerConfig,
    config: LiftConfig,
) -> WorldLift:
    """The searches of one world model; see `measure_lift`.

    Raises:
        ConfigError: The preset's dreams cannot be shared.
    """
    if world_model.config.preset != "market":
        raise ConfigError(
            f"the preset is {world_model.config.preset!r}; a lift is measured in dreams that no action "
            "moves: expected 'market'"
        )
    bench = _Bench(world_model, candles, ranges, broker, config)
    searches = []
    winners = []
    for number, seed in enumerate(search_seeds(config.seed, config.searches)):
        found = bench.search(bench.dreams, seed)
        rivals = {RANDOM: bench.best_of_random(found.evaluations, seed)}
        if bench.recorded is not None:
            rivals[RECORDED_SEARCH] = bench.search(bench.recorded, seed).parameters
        climb, paid = bench.judge(found, rivals)
        searches.append(SearchLift(name, number, climb, paid))
        winners.append(found.parameters)
    return WorldLift(tuple(searches), np.stack(winners))


def judge_crossed(
    world_models: Mapping[str, WorldModel],
    winners: Mapping[str, FloatArray],
    candles: Candles,
    broker: BrokerConfig,
    config: LiftConfig,
) -> dict[str, dict[str, float]]:
    """What winners of each world model earn in the dreams of each, by trainer and judge.

    The judge draws the bars, and the trainer's z and h are what its winners see of them. Empty where
    the candles do not hold the training range that dreams go on from.
    """
    crossed: dict[str, dict[str, float]] = {}
    for trainer, world_model in world_models.items():
        rows = training_rows(world_model, candles)
        if rows[1] - rows[0] < 2:
            return {}
        family = _linear("winners", winners[trainer])
        crossed[trainer] = {}
        for judge, other in world_models.items():
            paths = drawn(
                world_model,
                candles.rows(*rows),
                dreaming(with_drift(other, config.drift)),
                config.crossed_dreams,
                config.search.horizon,
                np.random.default_rng([config.seed, other.provenance.seed]),
                series=config.crossed_dreams,
            )
            paid = pay_of(paths, [family], broker).net.mean()
            crossed[trainer][judge] = float(paid) * world_model.provenance.bars_per_year
    return crossed


class _Bench:
    """One world model's dreams and replays, in which searches and their rivals are judged."""

    def __init__(
        self,
        world_model: WorldModel,
        candles: Candles,
        ranges: Mapping[str, Rows],
        broker: BrokerConfig,
        config: LiftConfig,
    ) -> None:
        self._broker, self._config, self._ranges = broker, config, ranges
        self._assumed = with_drift(world_model.recent(config.recent), config.drift)
        self._year = world_model.provenance.bars_per_year
        self._seen = Seen.of(candles, world_model)
        self.dreams: Scorer = DreamWorkers(self._assumed, num_workers=0)
        rows, horizon = training_rows(world_model, candles), config.search.horizon
        self.recorded: Scorer | None = None
        if self._seen.tradable(rows) > horizon:
            record = rows_of(self._seen.latent, rows)
            self.recorded = RecordedScorer(self._assumed, record, horizon)

    def search(self, scorer: Scorer, seed: np.random.SeedSequence) -> SearchResult:
        """Search where a scorer scores; what the last generation stands for is what is found."""
        return train_controller(
            self._assumed, self._config.search, self._broker, seed=seed, scorer=scorer
        )[1]

    def best_of_random(self, count: int, seed: np.random.SeedSequence) -> FloatArray:
        """Of so many random controllers the one that dreams promise most [D + 1]."""
        rng = np.random.default_rng(seed.spawn(1)[0])
        account_size = len(self._broker.view.account_observation)
        parts = [
            random_controllers(
                self._assumed, len(some), rng, scale=scale, account_size=account_size
            )
            for scale, some in zip(
                SCALES, np.array_split(np.arange(count), len(SCALES)), strict=True
            )
            if len(some)
        ]
        candidates, search = np.concatenate(parts), self._config.search
        segments = spread(search.dreams, self.dreams.engine.num_segments)
        dreams = Dreams(segments, search.horizon, int(rng.integers(2**31)), search.temperature)
        scores = self.dreams.score(candidates, dreams, self._broker)
        best: FloatArray = candidates[scores.log_return.mean(axis=1).argmax()]
        return best

    def judge(
        self, found: SearchResult, rivals: Mapping[str, FloatArray]
    ) -> tuple[Climb, dict[str, dict[str, float]]]:
        """A search's generations and its rivals, in fresh dreams and on each range."""
        generations = len(found.centres)
        linear = _linear("linear", np.stack([*found.centres, *rivals.values()]))
        families = [linear, Family(HOLDING, (HOLDING,), [ConstantWeight(1.0)])]
        config, rng = self._config, np.random.default_rng([self._config.seed, 1])
        size = config.dreams, config.search.horizon
        paths = dreamed(self._assumed, *size, self._broker, rng)
        net = {DREAM: pay_of(paths, families, self._broker).net}
        for name, rows in self._ranges.items():
            net[name] = pay_of(self._seen.paths(rows), families, self._broker).net
        a_year = {venue: self._year * values for venue, values in net.items()}
        promised = np.array([one.best for one in found.history]) / config.search.horizon
        climb = Climb(
            self._year * promised,
            a_year[DREAM][:generations],
            {name: a_year[name][:generations] for name in self._ranges},
        )
        paid = {
            rival: {venue: float(values[generations + i]) for venue, values in a_year.items()}
            for i, rival in enumerate([*rivals, HOLDING])
        }
        return climb, paid


def _linear(name: str, parameters: FloatArray) -> Family:
    return Family(name, tuple(str(i) for i in range(len(parameters))), parameters)
