"""The pictures of a comparison's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...market.arrays import FloatArray
from .comparison_tables import HOLDING, KINDS, Told, agent_name, waterfall_steps
from .plot import Plot

if TYPE_CHECKING:
    import pandas as pd

_HUES = ("c0", "c2", "c3", "c4", "bad", "ink")
_DRAWN = 6  # agents in a picture, beside holding
_EVERYONE = "all"


def hues(agents: Sequence[str]) -> dict[str, str]:
    """A colour for each agent; holding's is the second on every page."""
    others = [agent for agent in agents if agent not in (HOLDING, "flat")]
    found = {agent: _HUES[i % len(_HUES)] for i, agent in enumerate(others)}
    return {agent: {HOLDING: "c1", "flat": "c5"}.get(agent) or found[agent] for agent in agents}


def equity_of_all(curves: pd.DataFrame, place: str, agents: Sequence[str]) -> Plot:
    """What 100 became with the best paid agents: over seeds and world models the geometric mean."""
    plot = Plot(f"Equity on {place}", "", "what 100 became", time_x=True, log_y=True, height=400)
    colors = hues(agents)
    lines = {}
    shown = [agent for agent in agents if agent != HOLDING][:_DRAWN]
    for agent in [*shown, HOLDING]:
        rows = curves[(curves["agent"] == agent) & (curves["place"] == place)]
        if len(rows):
            lines[agent] = mean_path(rows)
            plot.line(*lines[agent], colors[agent], agent_name(agent))
    for agent in (
        HOLDING,
        next((each for each in agents if each in lines and each != HOLDING), ""),
    ):
        if agent in lines:
            plot.tag(*lines[agent], agent_name(agent), colors[agent])
    return plot.rule(y=100.0)


def mean_path(rows: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """Times [ms] and 100 × the geometric mean of equity over cells; windows follow one another."""
    logs = np.log(rows["equity"].clip(lower=1e-12))
    means = logs.groupby([rows["window"], rows["open_time_ms"]]).mean()
    times, levels, start = [], [], 0.0
    for _, path in means.groupby(level=0):
        times.append(path.index.get_level_values(1).to_numpy(dtype=np.float64))
        levels.append(start + path.to_numpy(dtype=np.float64))
        start = float(levels[-1][-1])
    return np.concatenate(times), 100 * np.exp(np.concatenate(levels))


def waterfall(told: Told, agent: str, place: str) -> Plot:
    """From what the price gave to what was left, one agent."""
    steps = waterfall_steps(told, agent, place)
    plot = Plot(f"From gross to net: {agent}", "", "a year", percent_y=True, height=300)
    kept = {title: value for title, value in steps.items() if title != "compounding"}
    return plot.steps(list(kept), list(kept.values()))


def waterfalls(told: Told, agents: Sequence[str], place: str) -> Plot:
    """From gross to net, agents beside each other."""
    plot = Plot(f"From gross to net on {place}", "", "a year", percent_y=True, height=340)
    colors = hues(agents)
    for agent in agents[: _DRAWN + 1]:
        steps = waterfall_steps(told, agent, place)
        if steps:
            plot.columns(list(steps), list(steps.values()), colors[agent], agent_name(agent))
    return plot


def temperatures(promises: Sequence[Mapping[str, Any]], agents: Sequence[str]) -> Plot:
    """What dreams promise at each temperature (a line), and what was paid (dashed)."""
    plot = Plot("Promised and paid", "temperature of the dreams", "a year", percent_y=True)
    colors = hues(agents)
    promised_to = {one["agent"] for one in promises} - {"flat"}
    shown = [agent for agent in agents if agent in promised_to][: _DRAWN + 1]
    for agent in shown:
        own = sorted((p for p in promises if p["agent"] == agent), key=lambda p: p["temperature"])
        x = [one["temperature"] for one in own]
        promised, paid = (
            {end: _grown([one[which][end] for one in own]) for end in ("median", "low", "high")}
            for which in ("promised", "paid")
        )
        name = agent_name(agent)
        plot.line(x, promised["median"], colors[agent], f"{name}, promised", "dots")
        if len(x) > 1:
            plot.band(x, promised["low"], promised["high"], colors[agent], f"{name}, promised")
        plot.line(x, paid["median"], colors[agent], f"{name}, paid", "dashed dots")
    return plot.rule(y=0.0)


def _grown(log_returns: Sequence[float]) -> FloatArray:
    grown: FloatArray = np.expm1(np.minimum(log_returns, 50.0))
    return grown


def floors(agreement: Mapping[str, Any], range_: str, kind: str) -> Plot:
    """What the dream's ranking tells beyond costs and exposure, and what blind ones tell."""
    label = f"Beyond costs and exposure, {range_}, {KINDS.get(kind, kind)}"
    plot = Plot(label, "rank correlation", "")
    blind = agreement["floors_beyond"]
    names = ["the dream", *blind]
    plot.height = 120 + 30 * len(names)
    spans = [agreement["beyond"], *blind.values()]
    ends = [one["interval"] or one for one in spans]
    plot.spans(
        names,
        [one["median"] for one in spans],
        [min(one["low"], each["median"]) for one, each in zip(ends, spans, strict=True)],
        [max(one["high"], each["median"]) for one, each in zip(ends, spans, strict=True)],
    )
    return plot.rule(x=0.0)


def rank_scatter(policies: pd.DataFrame, range_: str, kind: str) -> Plot:
    """Policies by their rank in the first world model's dreams and on one range, by family."""
    first = policies[policies["world_model"] == policies["world_model"].iloc[0]]
    both = (
        first[first["venue"] == venue].set_index(["family", "policy"])[kind].rank()
        for venue in ("dream", range_)
    )
    dreamed, paid = both
    plot = Plot(
        f"Ranks in dreams and on {range_}", "rank in dreams", f"rank on {range_}", height=420
    )
    for i, family in enumerate(dict.fromkeys(dreamed.index.get_level_values(0))):
        chosen = dreamed.loc[[family]]
        names = [str(policy) for policy in chosen.index.get_level_values(1)]
        at = paid.reindex(chosen.index)
        plot.points(chosen, at, f"c{i % 6}", str(family), 7.0, texts=names)
    ends = [0, len(dreamed) + 1]
    return plot.line(ends, ends, "muted", "the same rank", "dashed")


def climbs(lift: Mapping[str, Any]) -> Plot:
    """A year's promise and pay along the generations of the searches: each thin, the median strong."""
    plot = Plot("Along the search", "generation", "log return", whole_x=True, height=360)
    searches = lift["searches"]
    ranges = list(searches[0]["market"])
    lines = {"in dreams": [one["dream"] for one in searches]}
    lines |= {f"on {name}": [one["market"][name] for one in searches] for name in ranges}
    for i, (name, several) in enumerate(lines.items()):
        for one in several if len(several) > 1 else ():
            plot.line(np.arange(len(one)), one, f"c{i}", f"{name}, each search", "thin")
        length = min(map(len, several))
        middle = np.median([one[:length] for one in several], axis=0)
        plot.line(np.arange(length), middle, f"c{i}", name)
    return plot.rule(y=0.0)


def windows(cells: pd.DataFrame, place: str, agents: Sequence[str]) -> Plot:
    """A year's return of each agent in each window: the median over seeds and world models."""
    plot = Plot(f"Window by window, {place}", "", "a year", percent_y=True, height=340)
    colors = hues(agents)
    rows = cells[cells["venue"] == place]
    for agent in agents[: _DRAWN + 1]:
        made = rows[rows["agent"] == agent].groupby("window")["annual_log_return"].median()
        if len(made):
            names = [str(name) for name in made.index]
            plot.columns(names, _grown(made.tolist()), colors[agent], agent_name(agent))
    return plot
