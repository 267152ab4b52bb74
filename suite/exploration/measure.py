"""What the pieces of an exploration come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from worldmodel_trading.agents.search_spaces import SPACES, Place, described, draw_block
from worldmodel_trading.entrants import BESIDE
from worldmodel_trading.evaluation.comparison.luck import Luck, measure_luck
from worldmodel_trading.evaluation.comparison.pay import Pay
from worldmodel_trading.evaluation.performance import simple_returns
from worldmodel_trading.exploration.pieces import (
    COLUMNS,
    Chosen,
    FreshPiece,
    ReplayPiece,
    Setting,
    SweepPiece,
)
from worldmodel_trading.market.arrays import FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

DREAM, RIVAL, BLIND = "dream", "record", "chance"
"""Who chose a candidate: the dreams, the recorded training range, or nobody."""
HOLD = BESIDE[0]
SETTINGS_OF_DRAW = 2  # of a candidate drawn by chance, beside the seed


class Replayed(NamedTuple):
    """A policy's replay, and who chose it: some of `DREAM`, `RIVAL` and `BLIND`, nobody a rule."""

    piece: ReplayPiece
    chosen_by: tuple[str, ...]


@dataclass(frozen=True)
class Verified:
    """A policy that was replayed.

    Attributes:
        name: Of the candidate, or the rule.
        chosen_by: See `Replayed`.
        what: Its settings in words.
        swept: Mean log return a bar in the dreams of the sweep; None of a rule.
        fresh: What fresh dreams promise; None where it was not asked.
        performance: By recorded range.
    """

    name: str
    chosen_by: tuple[str, ...]
    what: str
    swept: float | None
    fresh: float | None
    performance: Mapping[str, Mapping[str, float]]


def candidates_table(sweep: Sequence[SweepPiece], rival: Sequence[SweepPiece]) -> pd.DataFrame:
    """A row for each candidate: space, number, settings, `COLUMNS`, and the rival's score."""
    import pandas as pd

    parts = []
    for number, piece in enumerate(sweep):
        columns = piece.result()
        first = sum(one.size for one in sweep[:number] if one.space == piece.space)
        part = pd.DataFrame({name: columns.pop(name) for name in COLUMNS})
        part.insert(0, "space", piece.space)
        part.insert(1, "number", np.arange(first, first + piece.size))
        if rival:
            part["recorded"] = rival[number].result()["score"]
        parts.append(part.assign(**columns))
    return pd.concat(parts, ignore_index=True)


def best_rows(scores: FloatArray, count: int) -> IntArray:
    """Rows of the highest scores, the best first; those that are no numbers come last."""
    known = np.where(np.isfinite(scores), scores, -np.inf)
    return np.argsort(-known, kind="stable")[:count]


def chosen(table: pd.DataFrame, rows: Sequence[int] | IntArray) -> tuple[Chosen, ...]:
    """The candidates of some rows."""
    spaces, numbers = table["space"].to_numpy(), table["number"].to_numpy()
    return tuple(Chosen(str(spaces[row]), int(numbers[row])) for row in rows)


def by_chance(table: pd.DataFrame, count: int, seed: int) -> tuple[Chosen, ...]:
    """Candidates that nobody chose."""
    rng = np.random.default_rng([seed, SETTINGS_OF_DRAW])
    return chosen(table, rng.choice(len(table), min(count, len(table)), replace=False))


def best_of(
    fresh: Mapping[str, Pay], finalists: Sequence[Chosen], count: int
) -> tuple[Chosen, ...]:
    """The finalists of whom fresh dreams promise most."""
    return tuple(sorted(finalists, key=lambda one: -float(fresh[one.name].net))[:count])


def verified(
    setting: Setting,
    replays: Mapping[str, Replayed],
    table: pd.DataFrame,
    fresh: Mapping[str, Pay],
) -> list[Verified]:
    """Every policy that was replayed.

    Args:
        setting: Of the exploration.
        replays: By name.
        table: Of the candidates.
        fresh: What fresh dreams promise finalists, by name.
    """
    nets = table.set_index(["space", "number"])["net"]
    place, found = setting.place(), []
    for name, (piece, by) in replays.items():
        told = {range_: one[1] for range_, one in piece.result().items()}
        if isinstance(piece.who, str):
            found.append(Verified(name, by, "", None, None, told))
            continue
        promise = fresh.get(name)
        swept = float(nets[piece.who.space, piece.who.number])
        what = _settings_of(setting, place, piece.who)
        promised = None if promise is None else float(promise.net)
        found.append(Verified(name, by, what, swept, promised, told))
    return found


def _settings_of(setting: Setting, place: Place, one: Chosen) -> str:
    size = SPACES[one.space].together
    block, row = divmod(one.number, size)
    made = draw_block(one.space, place, setting.config.seed, block, row + 1)
    return described({name: values[row] for name, values in made.settings.items()})


def luck_on(
    range_: str,
    replays: Mapping[str, Replayed],
    trials: int,
    bars_per_year: float,
) -> Luck:
    """How much of the verified policies' results is luck, counting every candidate."""
    returns = {
        name: simple_returns(piece.result()[range_][0]) for name, (piece, _) in replays.items()
    }
    length = max(map(len, returns.values()))
    filled = {name: np.pad(one, (0, length - len(one))) for name, one in returns.items()}
    counted = {**dict.fromkeys(filled, 0), **dict.fromkeys(BESIDE, 1), "every candidate": trials}
    return measure_luck(filled, filled[HOLD], bars_per_year=bars_per_year, trials=counted)


def regression(table: pd.DataFrame, fresh: FreshPiece) -> dict[str, float]:
    """What was left of the finalists' promise in fresh dreams, in mean log returns a bar."""
    from scipy.stats import spearmanr

    nets = table.set_index(["space", "number"])["net"]
    promise = fresh.result()
    swept = np.array([nets[one.space, one.number] for one in fresh.finalists])
    again = np.array([promise[one.name].net for one in fresh.finalists])
    told = {"swept": float(swept.mean()), "fresh": float(again.mean())}
    if len(swept) > 2 and np.ptp(swept) > 0 and np.ptp(again) > 0:
        told["rank_correlation"] = float(spearmanr(swept, again).statistic)
    return told
