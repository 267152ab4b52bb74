"""Does the dream rank policies as the market does?

Many random linear controllers are scored in the dream and in replay, after costs, and the two
rankings are correlated. It is the number that decides whether training in the dream means
anything: a search inside the dream climbs the dream's ranking, whatever the market's is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ...envs.engine.opening import open_engine
from ...envs.population.scoring import Scores, dream_paths, score_lanes, score_paths
from ...envs.recorded import latent_record
from ...market.account.rules import BrokerConfig
from ...market.arrays import FloatArray, spread
from ...market.errors import ConfigError
from ...market.sources import open_candles
from ...models.drift import with_drift
from ...models.world_model import WorldModel
from ..ranks import rank_correlations
from ..significance import Interval
from .audit import LEAST_POLICIES, RankAudit, audit_ranks
from .floors import recorded_floors
from .pay import Pay, replay_pay
from .venues import Rows, rows_of

if TYPE_CHECKING:
    from ...market.sources import CandleSource

Reads = Literal["both", "z", "h"]
PARAMETER_SCALE = 0.1
"""Standard deviation of random controllers' parameters: where a CMA-ES search begins."""
DREAMS = 512
"""Dreams that score a controller: with 64, chance alone lowers the correlation by about 0.05."""
RECENT = 0.25
"""Share of the training range, the last, in which those dreams begin: as a search for the months
after it would have them begin."""
_PAPER_SHARE = 16  # with ``paper`` every controller steps M itself: so many times fewer dreams


class NetAndGross(NamedTuple):
    """The audits of one range.

    Attributes:
        net: After costs.
        gross: Where costs are given back.
    """

    net: RankAudit
    gross: RankAudit


@dataclass(frozen=True, eq=False)
class RankAgreement:
    """Scores of P random controllers, and how alike their rankings are.

    Attributes:
        dream: Mean log return per bar in the dream [P].
        replay: The same in replay [P], by range.
        spearman: Rank correlation of dream and replay, by range, with a bootstrap interval over
            controllers.
        between_ranges: The same of two ranges with each other, by ``"first, second"``: what can be
            expected of a perfect dream of the first.
        before_costs: Of both kinds, by the same names, where costs are given back: the rankings by
            what controllers earn, whatever they trade.
        audits: Of the dream with each range, after and before costs, by range: what is left of it
            beyond costs and exposure, and what blind rankings reach.
    """

    dream: FloatArray
    replay: dict[str, FloatArray]
    spearman: dict[str, Interval]
    between_ranges: dict[str, Interval]
    before_costs: dict[str, Interval]
    audits: dict[str, NetAndGross]

    def between(self, first: str, second: str) -> Interval:
        """How alike two ranges rank, in their order."""
        return self.between_ranges[f"{first}, {second}"]

    def to_dict(self) -> dict[str, object]:
        """The correlations, by name."""
        return {
            "controllers": len(self.dream),
            "spearman": {name: span.to_dict() for name, span in self.spearman.items()},
            "between_ranges": {name: span.to_dict() for name, span in self.between_ranges.items()},
            "before_costs": {name: span.to_dict() for name, span in self.before_costs.items()},
            "audits": {
                name: {"after_costs": both.net.to_dict(), "before_costs": both.gross.to_dict()}
                for name, both in self.audits.items()
            },
        }


def measure_rank_agreement(
    world_model: WorldModel,
    candles: CandleSource,
    ranges: Mapping[str, tuple[int, int]],
    *,
    seed: int,
    controllers: int = 200,
    dreams: int = DREAMS,
    bars: int = 720,
    reads: Reads = "both",
    recent: float = RECENT,
    drift: str | float = "recorded",
    broker: BrokerConfig | None = None,
    allow_other_market: bool = False,
) -> RankAgreement:
    """Score the same random linear controllers in the dream and in replay.

    Args:
        world_model: The dream.
        candles: All bars, those before the ranges included: anything `open_candles` opens.
        ranges: Rows of each replay, by name.
        seed: Of controllers and dreams.
        controllers: P.
        dreams: Dreams of each; a sixteenth of it with the ``paper`` preset, where every controller
            steps M in lanes of its own.
        bars: Bars of a dream.
        reads: Which part of the observation the controllers see beside the account.
        recent: Share of the training range, the last, in which dreams begin.
        drift: What a held position earns in them; see `with_drift`.
        broker: The account's rules, in both; Bybit's costs by default.
        allow_other_market: Rank on bars of another symbol than the world model's.

    Raises:
        OtherMarketError: The candles are of another market, and that is not allowed.
    """
    if controllers < LEAST_POLICIES:
        raise ConfigError(
            f"controllers is {controllers}; a ranking needs at least {LEAST_POLICIES}"
        )
    candles = open_candles(candles)
    world_model.provenance.check_market(
        candles.symbol, candles.interval, allow_other=allow_other_market
    )
    broker = broker or BrokerConfig()
    rng = np.random.default_rng(seed)
    parameters = random_controllers(world_model, controllers, rng, reads)
    assumed = with_drift(world_model.recent(recent), drift)
    dreamed = Pay.of(_dream_scores(assumed, parameters, dreams, bars, broker, rng))
    recorded = latent_record(candles, world_model)

    def replay(rows: Rows) -> Pay:
        return replay_pay(world_model, rows_of(recorded, rows), parameters, broker)

    replayed = {name: replay(rows) for name, rows in ranges.items()}
    net = {name: pay.net for name, pay in replayed.items()}
    with_dream, between = _correlations(dreamed.net, net, rng)
    gross = {name: pay.gross for name, pay in replayed.items()}
    first, second = _correlations(dreamed.gross, gross, rng)
    floors = recorded_floors(world_model, recorded, replay)
    audits = {name: _audited(dreamed, pay, floors) for name, pay in replayed.items()}
    return RankAgreement(dreamed.net, net, with_dream, between, first | second, audits)


def _audited(dreamed: Pay, paid: Pay, floors: Mapping[str, Pay]) -> NetAndGross:
    """What the dream's ranking is worth on one range."""
    fixed = (paid.cost, paid.exposure)
    net = {name: floor.net for name, floor in floors.items()}
    gross = {name: floor.gross for name, floor in floors.items()}
    return NetAndGross(
        audit_ranks(dreamed.net, paid.net, fixed, net),
        audit_ranks(dreamed.gross, paid.gross, fixed, gross),
    )


def _correlations(
    dreamed: FloatArray, replayed: Mapping[str, FloatArray], rng: np.random.Generator
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Of the dream with each range, and of each two ranges."""
    return (
        {name: spearman(dreamed, scores, rng) for name, scores in replayed.items()},
        {
            f"{a}, {b}": spearman(replayed[a], replayed[b], rng)
            for a, b in combinations(replayed, 2)
        },
    )


def random_controllers(
    world_model: WorldModel,
    count: int,
    rng: np.random.Generator,
    reads: Reads = "both",
    scale: float = PARAMETER_SCALE,
    account_size: int = 1,
) -> FloatArray:
    """Parameters [P, D + 1] of linear controllers on [z, h, account], bias last.

    Args:
        world_model: Whose z and h.
        count: P.
        rng: Draws them.
        reads: Which part they see beside the account.
        scale: Standard deviation of the parameters.
        account_size: K, numbers that they see of the account.
    """
    z, h = world_model.config.latent_size, world_model.config.hidden_size
    parameters = scale * rng.standard_normal((count, z + h + account_size + 1))
    if reads == "z":
        parameters[:, z : z + h] = 0.0
    if reads == "h":
        parameters[:, :z] = 0.0
    return parameters


def spearman(
    first: FloatArray, second: FloatArray, rng: np.random.Generator, replications: int = 500
) -> Interval:
    """Rank correlation of two scores [P] and its bootstrap interval over the P."""
    rows = rng.integers(len(first), size=(replications, len(first)))
    low, high = np.quantile(rank_correlations(first[rows], second[rows]), [0.025, 0.975])
    (value,) = rank_correlations(first[np.newaxis], second[np.newaxis])
    return Interval(float(value), float(low), float(high))


def _dream_scores(
    world_model: WorldModel,
    parameters: FloatArray,
    dreams: int,
    bars: int,
    broker: BrokerConfig,
    rng: np.random.Generator,
) -> Scores:
    engine = open_engine(world_model)
    if world_model.config.preset == "paper":
        segments = spread(max(1, dreams // _PAPER_SHARE), engine.num_segments)
        return score_lanes(engine, parameters, segments, bars, rng, broker)
    segments = spread(dreams, engine.num_segments)
    return score_paths(dream_paths(engine, segments, bars, rng), parameters, broker)
