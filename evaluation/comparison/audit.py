"""What a dream's ranking of policies is worth, beside rankings that know nothing.

A dream that ranks policies as the market does may have learned no more than that trading costs
money, and that a market which rose pays those who hold it. So its ranking is audited: what is left
of the correlation where costs and exposure are held fixed, what rankings by costs or exposure alone
reach, and what following the dream would have lost against the best there was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import norm, rankdata

from ...market.arrays import FloatArray
from ...market.errors import ConfigError
from ..significance import Interval

REGRETS = (1, 5, 10)
"""How many of the most promising policies one may try before the regret is counted."""
LEAST_POLICIES = 8
"""Fewer leave no interval once two things are held fixed."""
_CONFIDENCE = 0.95
_AT_ONCE = 256  # rankings without one policy each


@dataclass(frozen=True)
class RankAudit:
    """How a promise ranks policies, against what they were paid.

    Attributes:
        policies: P.
        spearman: Rank correlation of promise and pay; Fisher's interval.
        beyond: The same with costs and exposure held fixed: the partial rank correlation.
        dropped: The largest change of `spearman` when one policy is left out.
        regret: Pay of the best policy less that of the best among the k most promising, by k, in
            units of the pay.
        floors: Rank correlation of each blind ranking with the pay, by name.
        floors_beyond: The same with costs and exposure held fixed.
    """

    policies: int
    spearman: Interval
    beyond: Interval
    dropped: float
    regret: dict[int, float]
    floors: dict[str, Interval]
    floors_beyond: dict[str, Interval]

    @property
    def strongest_floor(self) -> str | None:
        """Name of the blind ranking that comes nearest to the pay; None where there is none."""
        return max(self.floors, key=lambda name: self.floors[name].value, default=None)

    @property
    def adds(self) -> bool:
        """Whether the promise tells more than costs, exposure and every floor.

        Its correlation beyond costs and exposure has an interval above 0, and is above that of every
        floor.
        """
        others = [floor.value for floor in self.floors_beyond.values()]
        return self.beyond.low > 0.0 and self.beyond.value > max(others, default=-1.0)

    def to_dict(self) -> dict[str, object]:
        """Plain values that JSON can carry."""
        return {
            **asdict(self),
            "regret": {str(tried): lost for tried, lost in self.regret.items()},
            "strongest_floor": self.strongest_floor,
            "adds": self.adds,
        }


def audit_ranks(
    promised: FloatArray,
    paid: FloatArray,
    held_fixed: Sequence[FloatArray],
    floors: Mapping[str, FloatArray] | None = None,
) -> RankAudit:
    """Audit a ranking of P policies.

    Args:
        promised: What the dream pays each [P].
        paid: What the market paid [P].
        held_fixed: What may explain both, such as costs and mean exposure, each [P].
        floors: Rankings that know nothing of the dream, by name, each [P].

    Raises:
        ConfigError: There are fewer than eight policies, or scores of other numbers of them, or one
            that is not finite.
    """
    floors = floors or {}
    count = len(paid)
    columns = {"promised": promised, "paid": paid, **floors}
    columns |= {f"held fixed {number}": values for number, values in enumerate(held_fixed)}
    for name, values in columns.items():
        if np.shape(values) != (count,) or not np.isfinite(values).all():
            raise ConfigError(
                f"{name} has shape {np.shape(values)}; expected {count} finite scores"
            )
    if count < LEAST_POLICIES:
        raise ConfigError(
            f"there are {count} policies; a ranking is audited from {LEAST_POLICIES} on"
        )
    ranked, pay = rankdata(promised), rankdata(paid)
    fixed = [rankdata(values) for values in held_fixed]
    blind = {name: rankdata(values) for name, values in floors.items()}
    return RankAudit(
        count,
        fisher_interval(correlation(ranked, pay), count),
        partial_correlation(ranked, pay, fixed),
        _dropped(np.asarray(promised), np.asarray(paid)),
        _regret(np.asarray(promised), np.asarray(paid)),
        {n: fisher_interval(correlation(ranks, pay), count) for n, ranks in blind.items()},
        {n: partial_correlation(ranks, pay, fixed) for n, ranks in blind.items()},
    )


def beyond_fixed(promised: FloatArray, paid: FloatArray, held_fixed: Sequence[FloatArray]) -> float:
    """Spearman's partial correlation of promise and pay [P], others [P] held fixed."""
    fixed = [rankdata(values) for values in held_fixed]
    return partial_correlation(rankdata(promised), rankdata(paid), fixed).value


def correlation(first: FloatArray, second: FloatArray) -> float:
    """Pearson's correlation of two columns [P]; 0 where one of them does not vary."""
    a, b = first - first.mean(), second - second.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 1e-9 * len(a) else 0.0


def partial_correlation(
    first: FloatArray, second: FloatArray, fixed: Sequence[FloatArray]
) -> Interval:
    """The correlation [-1, 1] of what others leave unexplained of two columns [P].

    Of ranks it is Spearman's partial correlation; where what is held fixed explains nearly all of both
    ranks, it is too high by some 0.06, since ranks follow it in a curve. The interval is Fisher's, with as many degrees of
    freedom fewer as there are others (Fisher 1924).
    """
    others = np.column_stack([np.ones(len(first)), *fixed])
    left = [
        values - others @ np.linalg.lstsq(others, values, rcond=None)[0]
        for values in (first, second)
    ]
    return fisher_interval(correlation(*left), len(first), len(fixed))


def fisher_interval(value: float, count: int, fixed: int = 0) -> Interval:
    """The 95% interval of a correlation of ``count`` pairs with ``fixed`` others held fixed.

    tanh(atanh ρ ± 1.96 s), s² = (1 + ρ² ÷ 2) ÷ (n - k - 3): the variance that ranks have (Bonett &
    Wright 2000).
    """
    spread = math.sqrt((1.0 + 0.5 * value * value) / max(count - fixed - 3, 1))
    reach = float(norm.ppf(0.5 + 0.5 * _CONFIDENCE)) * spread
    middle = math.atanh(min(max(value, -1.0 + 1e-12), 1.0 - 1e-12))
    return Interval(value, math.tanh(middle - reach), math.tanh(middle + reach))


def _dropped(promised: FloatArray, paid: FloatArray) -> float:
    whole = correlation(rankdata(promised), rankdata(paid))
    kept = ~np.eye(len(paid), dtype=np.bool_)
    others: list[float] = []
    for begin in range(0, len(kept), _AT_ONCE):
        some = kept[begin : begin + _AT_ONCE]
        ranks = (rankdata([values[rows] for rows in some], axis=1) for values in (promised, paid))
        others += map(correlation, *ranks)
    return max((other - whole for other in others), key=abs)


def _regret(promised: FloatArray, paid: FloatArray) -> dict[int, float]:
    order = np.argsort(-promised, kind="stable")
    best = float(paid.max())
    return {k: best - float(paid[order[:k]].max()) for k in REGRETS if k <= len(paid)}
