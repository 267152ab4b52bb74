"""What the cells of a comparison come to, and its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel_trading.comparison.cells import Cell, Lived
from worldmodel_trading.comparison.ladder import climb_agents, climb_lift, climb_ranks
from worldmodel_trading.entrants import BESIDE
from worldmodel_trading.evaluation.comparison.families import FamilyAudit, WorldPays
from worldmodel_trading.evaluation.comparison.lift import Lift
from worldmodel_trading.evaluation.comparison.luck import Luck, Verdict, hold_together, measure_luck
from worldmodel_trading.evaluation.comparison.promise import (
    annual_error,
    annual_interval,
    dream_error,
    promises,
)
from worldmodel_trading.evaluation.comparison.results import (
    DREAM,
    Comparison,
    Facts,
    Row,
    Rung,
)
from worldmodel_trading.evaluation.performance import RUIN_EQUITY, simple_returns
from worldmodel_trading.evaluation.report.comparison_page import RESULTS, write_comparison_page
from worldmodel_trading.evaluation.results import write_results
from worldmodel_trading.evaluation.significance import Interval
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.files.writer import whole_file

HOLD = BESIDE[0]


def measure_comparison(
    facts: Facts,
    lived: Mapping[Cell, Lived],
    pays: Mapping[str, WorldPays] | None = None,
    lift: Lift | None = None,
    rungs: Sequence[Rung] = (),
) -> Comparison:
    """Everything that follows from the cells, and from what was asked of the world models.

    Args:
        facts: What was compared.
        lived: What each cell came to.
        pays: What families of policies were promised and paid, by world model.
        lift: What searching in the world models' dreams bought.
        rungs: What was asked of a world model; see `climb_model`.
    """
    rows = [row for one in lived.values() for row in one.rows]
    series = mean_series(lived)
    errors = _errors(facts, lived, series)
    ranges = list(dict.fromkeys(row.venue for row in rows if row.venue != DREAM))
    told = tuple(found for venue in ranges for found in promises(rows, venue, errors))
    luck = {name: _luck(facts, lived, name) for name in ranges}
    earned = {name: _earned(rows, name) for name in ranges}
    ranks = FamilyAudit.of(pays) if pays else None
    first, last = rungs[:-1], rungs[-1:]  # uncertainty comes last, beside what was promised
    ladder = [*first, *climb_ranks(ranks), *climb_lift(lift)]
    ladder += [*climb_agents(told), *last]
    return Comparison(
        facts,
        tuple(rows),
        told,
        _over_holding(series, facts.bars_per_year),
        luck,
        {name: _verdicts(one, earned[name]) for name, one in luck.items()},
        {
            name: {agent: hold_together(values) for agent, values in found.items()}
            for name, found in earned.items()
        },
        ranks,
        lift,
        tuple(ladder),
    )


def _luck(facts: Facts, lived: Mapping[Cell, Lived], range_: str) -> Luck:
    """Of the median seed of each agent, beside holding, by all candidates that were scored."""
    field: dict[str, FloatArray] = {}
    trials: dict[str, int] = {}
    for agent in facts.agents:
        seeds = _by_seed(lived, agent, range_)
        if not seeds:
            continue
        totals = [float(np.log1p(np.maximum(one, RUIN_EQUITY - 1)).sum()) for one in seeds]
        field[agent] = seeds[int(np.argsort(totals)[(len(totals) - 1) // 2])]
        searched = {
            (cell.window, cell.model, cell.seed if _is_searched(facts, agent) else 0): one.trials
            for cell, one in lived.items()
            if cell.agent == agent
        }
        trials[agent] = sum(searched.values())
    length = max(map(len, field.values()))
    held = {name: _filled(returns, length) for name, returns in field.items()}
    trials |= dict.fromkeys(BESIDE, 1)
    return measure_luck(held, held[HOLD], bars_per_year=facts.bars_per_year, trials=trials)


def _is_searched(facts: Facts, agent: str) -> bool:
    """Whether every seed found its own, instead of judging what was given."""
    return bool(facts.agents[agent]["kind"] == "trained here")


def _by_seed(lived: Mapping[Cell, Lived], agent: str, range_: str) -> list[FloatArray]:
    """Simple returns per bar [T] of each seed and world model, its windows one after the other."""
    found: dict[tuple[str, int], dict[str, FloatArray]] = {}
    for cell, one in lived.items():
        if cell.agent == agent and range_ in one.curves:
            returns = simple_returns(one.curves[range_].equity)
            found.setdefault((cell.model, cell.seed), {})[cell.window] = returns
    return [
        np.concatenate([windows[name] for name in sorted(windows)]) for windows in found.values()
    ]


def _earned(rows: Sequence[Row], range_: str) -> dict[str, FloatArray]:
    """Annual log returns [S, W] by agent: of every seed and world model, in every window."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if row.venue == range_:
            windows = found.setdefault(row.agent, {})
            windows.setdefault(row.window, []).append(row.measures["annual_log_return"])
    return {agent: np.array(list(windows.values())).T for agent, windows in found.items()}


def _verdicts(luck: Luck, earned: Mapping[str, FloatArray]) -> dict[str, Verdict]:
    """Who is called good: in every seed, world model and window."""
    return {agent: luck.verdict(agent, earned[agent]) for agent in luck.policies}


def mean_series(lived: Mapping[Cell, Lived]) -> dict[tuple[str, str], FloatArray]:
    """Log returns per bar [T] by agent and recorded range: the mean over seeds and world models.

    Windows follow one another.
    """
    found: dict[tuple[str, str], dict[str, list[FloatArray]]] = {}
    for cell, one in lived.items():
        for place, curve in one.curves.items():
            returns = np.diff(np.log(np.maximum(curve.equity, RUIN_EQUITY)))
            found.setdefault((cell.agent, place), {}).setdefault(cell.window, []).append(returns)
    return {
        key: np.concatenate([_mean(windows[name]) for name in sorted(windows)])
        for key, windows in found.items()
    }


def _mean(several: list[FloatArray]) -> FloatArray:
    """Of series, of which some may end early: an account that is gone earns nothing."""
    length = max(map(len, several))
    held = [np.append(one, np.zeros(length - len(one))) for one in several]
    mean: FloatArray = np.mean(held, axis=0)
    return mean


def _errors(
    facts: Facts,
    lived: Mapping[Cell, Lived],
    series: Mapping[tuple[str, str], FloatArray],
) -> dict[tuple[str, str], float]:
    years, horizon = facts.bars_per_year, int(facts.config["horizon"])
    dreams: dict[tuple[str, str], list[FloatArray]] = {}
    for cell, one in lived.items():
        for place, returns in one.dreamed.items():
            dreams.setdefault((cell.agent, place), []).append(returns)
    errors = {
        key: dream_error(np.concatenate(some), horizon, years) for key, some in dreams.items()
    }
    return errors | {key: annual_error(returns, years) for key, returns in series.items()}


def _over_holding(
    series: Mapping[tuple[str, str], FloatArray], bars_per_year: float
) -> dict[str, dict[str, Interval]]:
    """Annual log return above holding, by agent and range."""
    found: dict[str, dict[str, Interval]] = {}
    for (agent, place), returns in series.items():
        held = series.get((HOLD, place))
        if held is None or agent == HOLD:
            continue
        length = max(len(returns), len(held))
        over = _filled(returns, length) - _filled(held, length)
        found.setdefault(agent, {})[place] = annual_interval(over, bars_per_year)
    return found


def _filled(returns: FloatArray, length: int) -> FloatArray:
    return np.append(returns, np.zeros(length - len(returns)))


def write_comparison(folder: Path, comparison: Comparison, lived: Mapping[Cell, Lived]) -> None:
    """Write the tables and the page, then ``comparison.json``, with which the folder is whole."""
    for name, table in (
        ("cells.parquet", _cells_table(comparison.rows)),
        ("curves.parquet", _curves_table(lived)),
        ("dreams.parquet", _dreams_table(lived)),
        *_audit_tables(comparison),
    ):
        with whole_file(folder / name) as temporary:
            table.to_parquet(temporary, index=False)
    write_comparison_page(folder, comparison.to_dict())
    write_results(folder / RESULTS, comparison.to_dict())


def _audit_tables(comparison: Comparison) -> list[tuple[str, Any]]:
    """What every policy of the families was promised and paid, and how the searches went."""
    tables = []
    if comparison.ranks is not None:
        tables.append(("policies.parquet", comparison.ranks.scores_table()))
    if comparison.lift is not None:
        tables.append(("searches.parquet", comparison.lift.curves()))
    return tables


def _cells_table(rows: tuple[Row, ...]) -> Any:
    """A row for each cell and place."""
    import pandas as pd

    keys = ("agent", "venue", "temperature", "seed", "model", "window")
    return pd.DataFrame([{k: getattr(row, k) for k in keys} | dict(row.measures) for row in rows])


def _curves_table(lived: Mapping[Cell, Lived]) -> Any:
    """A row for each cell, recorded range and bar."""
    import pandas as pd

    parts = [
        pd.DataFrame(
            {
                **_named(cell, place),
                "open_time_ms": curve.time_ms,
                "equity": curve.equity,
                "weight": curve.weight,
            }
        )
        for cell, one in lived.items()
        for place, curve in one.curves.items()
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _dreams_table(lived: Mapping[Cell, Lived]) -> Any:
    """A row for each cell, temperature and dream."""
    import pandas as pd

    parts = [
        pd.DataFrame(
            {**_named(cell, place), "dream": np.arange(len(returns)), "log_return": returns}
        )
        for cell, one in lived.items()
        for place, returns in one.dreamed.items()
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _named(cell: Cell, place: str) -> dict[str, Any]:
    return {
        "agent": cell.agent,
        "place": place,
        "seed": cell.seed,
        "model": cell.model,
        "window": cell.window,
    }
