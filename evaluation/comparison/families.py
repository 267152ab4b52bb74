"""Do dreams rank policies of many kinds as the market does, in every world model and every window?

One family of policies, one world model and one range are one draw each. So the ranking is audited
(`audit`) family by family, over all of them and over all but one; in each of several world models of
a market, which are the unit of the interval; and in each calendar quarter of a range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...market.account.rules import BrokerConfig
from ...market.errors import ConfigError
from ...market.sources import open_candles
from ...models.drift import RECORDED, with_drift
from ...models.world_model import WorldModel
from ..ageing import calendar_quarters
from .audit import LEAST_POLICIES, RankAudit, audit_ranks, beyond_fixed
from .floors import dreamed_floors, recorded_floors
from .pay import Pay
from .pooled import Pooled
from .rank_agreement import DREAMS, RECENT
from .venues import Family, Rows, Seen, dreamed, pay_of

if TYPE_CHECKING:
    import pandas as pd

    from ...market.arrays import BoolArray
    from ...market.candles import Candles
    from ...market.sources import CandleSource

DREAM = "dream"
"""Name of the venue that promises."""
ALL = "all"
"""Name of the policies of every family."""
Kind = Literal["net", "gross"]
"""After costs, or with costs given back."""
KINDS: tuple[Kind, ...] = ("net", "gross")
Families = Callable[[WorldModel], Sequence[Family]]
"""The policies to audit with, for a world model: a linear controller reads one world model's z and h."""
_LEAST_WINDOW_DAYS = 30  # of a quarter; fewer bars rank by chance


@dataclass(frozen=True, eq=False)
class WorldPays:
    """What P policies are promised and paid, as seen through one world model; picklable.

    Attributes:
        family: Of each policy [P].
        policy: Name of each [P].
        dream: What dreams promise.
        ranges: What recorded ranges paid, by range.
        floors: What rankings promise that know nothing of the dream, by name.
        windows: What each calendar quarter of a range paid, by range and quarter; quarters of fewer
            than thirty days are left out.
    """

    family: tuple[str, ...]
    policy: tuple[str, ...]
    dream: Pay
    ranges: dict[str, Pay]
    floors: dict[str, Pay]
    windows: dict[str, dict[str, Pay]]

    @property
    def venues(self) -> dict[str, Pay]:
        """Dream, ranges and floors by name."""
        return {DREAM: self.dream, **self.ranges, **self.floors}

    def audit(self, some: BoolArray, range_: str, kind: Kind) -> RankAudit:
        """How the dream ranks some of the policies [P]."""
        paid = self.ranges[range_]
        floors = {name: getattr(pay, kind)[some] for name, pay in self.floors.items()}
        fixed = [paid.cost[some], paid.exposure[some]]
        return audit_ranks(
            getattr(self.dream, kind)[some], getattr(paid, kind)[some], fixed, floors
        )

    def beyond_in_windows(self, some: BoolArray, range_: str, kind: Kind) -> dict[str, float]:
        """Partial rank correlation of dream and pay beyond costs and exposure, by quarter."""
        promised = getattr(self.dream, kind)[some]
        return {
            name: beyond_fixed(
                promised, getattr(paid, kind)[some], [paid.cost[some], paid.exposure[some]]
            )
            for name, paid in self.windows[range_].items()
        }


@dataclass(frozen=True)
class Agreement:
    """How dreams rank some policies on one range, over world models.

    Attributes:
        models: The audit in each world model, by name.
        windows: Partial rank correlation beyond costs and exposure in each quarter, the median over
            world models.
    """

    models: dict[str, RankAudit]
    windows: dict[str, float]

    @cached_property
    def spearman(self) -> Pooled:
        """Rank correlation of dream and market."""
        return Pooled.of(audit.spearman.value for audit in self.models.values())

    @cached_property
    def beyond(self) -> Pooled:
        """The same with costs and exposure held fixed: what the dream adds."""
        return Pooled.of(audit.beyond.value for audit in self.models.values())

    @cached_property
    def over_windows(self) -> Pooled | None:
        """The same over quarters; None where there is none."""
        return Pooled.of(self.windows.values()) if self.windows else None

    @cached_property
    def floors(self) -> dict[str, Pooled]:
        """Rank correlation of each blind ranking and the market."""
        return self._pooled("floors")

    @cached_property
    def floors_beyond(self) -> dict[str, Pooled]:
        """The same with costs and exposure held fixed."""
        return self._pooled("floors_beyond")

    @property
    def strongest_floor(self) -> str | None:
        """The blind ranking that tells most beyond costs and exposure, by the median."""
        floors = self.floors_beyond
        return max(floors, key=lambda name: floors[name].median, default=None)

    @property
    def adds(self) -> bool:
        """Whether dreams tell more than costs, exposure and every floor.

        The interval over world models, or over policies where there is one world model, lies above 0,
        and the median above that of every floor.
        """
        span = self.beyond.interval or next(iter(self.models.values())).beyond
        others = [floor.median for floor in self.floors_beyond.values()]
        return span.low > 0.0 and self.beyond.median > max(others, default=-1.0)

    def to_dict(self) -> dict[str, object]:
        """Plain values that JSON can carry."""
        windows = self.over_windows
        return {
            "spearman": self.spearman.to_dict(),
            "beyond": self.beyond.to_dict(),
            "over_windows": None if windows is None else windows.to_dict(),
            "windows": self.windows,
            "floors": {name: each.to_dict() for name, each in self.floors.items()},
            "floors_beyond": {name: each.to_dict() for name, each in self.floors_beyond.items()},
            "strongest_floor": self.strongest_floor,
            "adds": self.adds,
            "models": {name: audit.to_dict() for name, audit in self.models.items()},
        }

    def _pooled(self, which: str) -> dict[str, Pooled]:
        every = [getattr(audit, which) for audit in self.models.values()]
        shared = [name for name in every[0] if all(name in one for one in every)]
        return {name: Pooled.of(one[name].value for one in every) for name in shared}


@dataclass(frozen=True, eq=False)
class FamilyAudit:
    """How dreams rank policies of several families, over several world models.

    Attributes:
        pays: What each world model's policies are promised and paid, by its name.
        agreements: By policies (`ALL`, a family, ``"all but"`` a family), range and kind.
    """

    pays: dict[str, WorldPays]
    agreements: dict[str, dict[str, dict[Kind, Agreement]]]

    @classmethod
    def of(cls, pays: Mapping[str, WorldPays]) -> FamilyAudit:
        """Audit what was scored in each world model.

        A group of policies is audited in those world models that have at least eight of it.

        Raises:
            ConfigError: There are fewer than eight policies in all, or no world model.
        """
        if not pays:
            raise ConfigError("there is no world model; expected at least one")
        groups = {name: _groups(each.family) for name, each in pays.items()}
        names = list(dict.fromkeys(group for inside in groups.values() for group in inside))
        return cls(dict(pays), {name: _agreements(pays, groups, name) for name in names})

    @property
    def headline(self) -> dict[str, dict[Kind, Agreement]]:
        """Of all policies, by range and kind: what the dream adds."""
        return self.agreements[ALL]

    def scores_table(self) -> pd.DataFrame:
        """A row for each policy, venue and world model."""
        import pandas as pd

        tables = [
            pd.DataFrame(
                {
                    "world_model": world,
                    "venue": venue,
                    "family": pays.family,
                    "policy": pays.policy,
                    **pay._asdict(),
                }
            )
            for world, pays in self.pays.items()
            for venue, pay in pays.venues.items()
        ]
        return pd.concat(tables, ignore_index=True)

    def table(self) -> pd.DataFrame:
        """A row for each group of policies, range and kind."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"policies": group, "range": range_, "kind": kind, **_row(agreement)}
                for group, ranges in self.agreements.items()
                for range_, kinds in ranges.items()
                for kind, agreement in kinds.items()
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can carry."""
        every = [each.family.count for each in self.pays.values()]
        names = dict.fromkeys(name for each in self.pays.values() for name in each.family)
        return {
            "world_models": list(self.pays),
            "families": {name: max(count(name) for count in every) for name in names},
            "agreements": {
                group: {
                    range_: {kind: one.to_dict() for kind, one in kinds.items()}
                    for range_, kinds in ranges.items()
                }
                for group, ranges in self.agreements.items()
            },
        }


def audit_families(
    world_models: Mapping[str, WorldModel],
    candles: CandleSource,
    ranges: Mapping[str, Rows],
    broker: BrokerConfig | None = None,
    *,
    families: Families,
    seed: int = 0,
    dreams: int = DREAMS,
    bars: int = 720,
    recent: float = RECENT,
    drift: str | float = RECORDED,
    progress: Callable[[str], None] | None = None,
) -> FamilyAudit:
    """Score families of policies in the dreams of several world models and in replay, and audit.

    Args:
        world_models: Of one market, by name; of the ``market`` preset.
        candles: All bars, the training range included if there shall be all floors.
        ranges: Rows of each replay, by name.
        broker: The account's rules, everywhere; Bybit's costs by default.
        families: Makes the policies for a world model; see `agents.families`.
        seed: Of all dreams.
        dreams: Dreams of each world model and floor.
        bars: Bars of a dream.
        recent: Share of the training range, the last, in which dreams begin.
        drift: What a held position earns in them; see `with_drift`.
        progress: Is told what is being done.

    Raises:
        ConfigError: A preset's dreams cannot be shared, or there are fewer than eight policies.
    """
    record = open_candles(candles)
    pays = {}
    for name, world_model in world_models.items():
        pays[name] = score_families(
            world_model,
            record,
            ranges,
            broker,
            families=families(world_model),
            seed=seed,
            dreams=dreams,
            bars=bars,
            recent=recent,
            drift=drift,
            progress=None if progress is None else _named(progress, name),
        )
    return FamilyAudit.of(pays)


def score_families(
    world_model: WorldModel,
    candles: Candles,
    ranges: Mapping[str, Rows],
    broker: BrokerConfig | None = None,
    *,
    families: Sequence[Family],
    seed: int = 0,
    dreams: int = DREAMS,
    bars: int = 720,
    recent: float = RECENT,
    drift: str | float = RECORDED,
    progress: Callable[[str], None] | None = None,
) -> WorldPays:
    """Score families in one world model's dreams, in replay and in the floors; see `audit_families`.

    Raises:
        ConfigError: The preset's dreams cannot be shared, or there are fewer than eight policies.
    """
    _check(world_model, families)
    tell = progress or (lambda _: None)
    broker = broker or BrokerConfig()
    late = world_model.recent(recent)
    tell("dreams")
    paths = dreamed(with_drift(late, drift), dreams, bars, broker, np.random.default_rng(seed))
    dream = pay_of(paths, families, broker)
    tell("replay")
    seen = Seen.of(candles, world_model)

    def replay(rows: Rows) -> Pay:
        return pay_of(seen.paths(rows), families, broker)

    replayed = {name: replay(rows) for name, rows in ranges.items()}
    windows = {
        name: {quarter: replay(some) for quarter, some in _windows(seen, rows)}
        for name, rows in ranges.items()
    }
    tell("floors")
    size = {"seed": seed, "dreams": dreams, "bars": bars}
    floors = {
        **recorded_floors(world_model, seen.latent, replay),
        **dreamed_floors(late, seen, families, broker, drift=drift, **size),
    }
    names = [(family.name, member) for family in families for member in family.members]
    family, policy = zip(*names, strict=True)
    return WorldPays(family, policy, dream, replayed, floors, windows)


def _check(world_model: WorldModel, families: Sequence[Family]) -> None:
    if world_model.config.preset != "market":
        raise ConfigError(
            f"dreams of the preset {world_model.config.preset!r} hear actions, and cannot be shared "
            "by families of policies: expected a world model of the preset 'market'"
        )
    count = sum(len(family) for family in families)
    if count < LEAST_POLICIES:
        raise ConfigError(
            f"there are {count} policies; a ranking is audited from {LEAST_POLICIES} on"
        )


def _windows(seen: Seen, rows: Rows) -> list[tuple[str, Rows]]:
    """The calendar quarters of some rows, those of fewer than thirty days left out."""
    candles = seen.latent.candles
    least = _LEAST_WINDOW_DAYS * 86_400_000 // candles.interval_ms
    quarters = [
        (name, (some.start, some.stop))
        for name, some in calendar_quarters(candles.open_time_ms, rows)
    ]
    return [(name, some) for name, some in quarters if seen.tradable(some) >= least]


def _groups(family: Sequence[str]) -> dict[str, BoolArray]:
    """Which policies [P] are of each group of at least eight."""
    each = np.array(family)
    names = list(dict.fromkeys(family))
    groups = {ALL: np.ones(len(each), dtype=np.bool_)}
    if len(names) > 1:
        groups |= {name: each == name for name in names}
        groups |= {f"all but {name}": each != name for name in names}
    return {name: some for name, some in groups.items() if some.sum() >= LEAST_POLICIES}


def _agreements(
    pays: Mapping[str, WorldPays], groups: Mapping[str, Mapping[str, BoolArray]], group: str
) -> dict[str, dict[Kind, Agreement]]:
    """Of one group of policies, by range and kind."""
    some = {name: groups[name][group] for name in pays if group in groups[name]}
    ranges = pays[next(iter(some))].ranges
    return {
        range_: {kind: _agreement(pays, some, range_, kind) for kind in KINDS} for range_ in ranges
    }


def _agreement(
    pays: Mapping[str, WorldPays], some: Mapping[str, BoolArray], range_: str, kind: Kind
) -> Agreement:
    models = {name: pays[name].audit(rows, range_, kind) for name, rows in some.items()}
    every = [pays[name].beyond_in_windows(rows, range_, kind) for name, rows in some.items()]
    shared = [name for name in every[0] if all(name in each for each in every)]
    windows = {name: float(np.median([each[name] for each in every])) for name in shared}
    return Agreement(models, windows)


def _row(agreement: Agreement) -> dict[str, Any]:
    beyond, span = agreement.beyond, agreement.beyond.interval
    floor = agreement.strongest_floor
    windows = agreement.over_windows
    first = next(iter(agreement.models.values()))
    return {
        "count": first.policies,
        "world_models": beyond.units,
        "spearman": agreement.spearman.median,
        "beyond": beyond.median,
        "lowest": beyond.low,
        "highest": beyond.high,
        "interval_low": None if span is None else span.low,
        "interval_high": None if span is None else span.high,
        "strongest_floor": floor,
        "floor_beyond": None if floor is None else agreement.floors_beyond[floor].median,
        "windows": 0 if windows is None else windows.units,
        "beyond_over_windows": None if windows is None else windows.median,
        "adds": agreement.adds,
    }


def _named(progress: Callable[[str], None], name: str) -> Callable[[str], None]:
    return lambda doing: progress(f"{name}: {doing}")
