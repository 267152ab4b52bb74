"""The tables of a comparison's page, from ``comparison.json`` as it was read; what is not there is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .components import table
from .sentences import growth, share_text, signed

Told = Mapping[str, Any]
"""``comparison.json``, parsed."""

HOLDING, DREAM = "hold", "dream"
KINDS = {"gross": "before costs", "net": "after costs"}


def percent(log_return: float) -> str:
    """A log return as people think of it."""
    grown = growth(log_return)
    return f"{grown:+,.0%}" if abs(grown) >= 10 else f"{grown:+.1%}"


def agent_name(agent: str) -> str:
    """An agent as people read it."""
    return {HOLDING: "holding", "flat": "staying out"}.get(agent, agent)


def places(told: Told) -> list[str]:
    """Recorded ranges, then the dreams."""
    found = dict.fromkeys(place for by in told["summary"].values() for place in by)
    return sorted(found, key=lambda place: place.startswith(DREAM))


def recorded(told: Told) -> list[str]:
    """The recorded ranges, the one that judges first."""
    ranges = [place for place in places(told) if not place.startswith(DREAM)]
    return sorted(ranges, key=lambda place: place != "test")


def span(found: Mapping[str, float] | None, shown: Callable[[float], str]) -> str:
    """An estimate with its interval beneath."""
    if not found:
        return "–"
    return f"{shown(found['value'])}\n{shown(found['low'])} to {shown(found['high'])}"


def _figure(figure: Mapping[str, float] | None, shown: Callable[[float], str]) -> str:
    """A median, its range beneath where that can be told from it."""
    if not figure:
        return "–"
    median, low, high = (shown(figure[end]) for end in ("median", "low", "high"))
    return median if low == high else f"{median}\n{low} to {high}"


def _ratio(value: float) -> str:
    return f"{value:+.2f}"


def _days(value: float) -> str:
    return f"{value:,.0f} d"


def _money(value: float) -> str:
    return f"${value:,.0f}"


_MEASURES: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("a year", "annual_log_return", percent),
    ("Sharpe", "sharpe", _ratio),
    ("Sortino", "sortino", _ratio),
    ("Calmar", "calmar", _ratio),
    ("worst days lose", "daily_cvar", share_text),
    ("worst fall", "max_drawdown", share_text),
    ("under water", "under_water", share_text),
    ("longest", "longest_under_water_days", _days),
    ("held", "exposure", share_text),
    ("traded a bar", "turnover", share_text),
    ("halved at", "capacity_halved_usdt", _money),
    ("gone at", "capacity_gone_usdt", _money),
)
EARNINGS_NOTE = (
    "After costs; each figure is the median over seeds, world models and windows, over its range. Against "
    "holding: wealth after a year ÷ holding's, less 1, with a 95% interval by blocks of time. Worst days lose: the mean "
    "loss of the worst 5% of days. Under water: the share of the time below an earlier peak, and the longest such "
    "spell. Held: the mean size of the position ÷ equity. Halved at, gone at: the capital at which market impact takes half of the "
    "return, and all of it, at most that at which the largest order is all of its bar's turnover."
)


def earnings_table(told: Told, caption: str) -> str:
    """Every agent in every place."""
    shown = [m for m in _MEASURES if any(m[1] in one for one in _cells(told))]
    header = ["", "", "a year", "against holding", *(title for title, _, _ in shown[1:])]
    groups = []
    for agent, by_place in told["summary"].items():
        rows = []
        for place in [each for each in places(told) if each in by_place]:
            first, *rest = (_figure(by_place[place].get(key), f) for _, key, f in shown)
            beside = span(told.get("over_holding", {}).get(agent, {}).get(place), percent)
            rows.append(["", place, first, beside, *rest])
        rows[0][0] = _with_kind(told, agent)
        groups.append(rows)
    return table(header, groups, text_columns=2, caption=caption)


def _cells(told: Told) -> list[Mapping[str, Any]]:
    return [measures for by in told["summary"].values() for measures in by.values()]


def _with_kind(told: Told, agent: str) -> str:
    facts = told.get("agents", {}).get(agent, {})
    parts = [facts.get("kind", ""), _SIGHTS.get(_sight(facts), "")]
    return "\n".join(filter(None, [agent_name(agent), ", ".join(filter(None, parts))]))


_SIGHTS = {  # the worst first
    "seen": "has seen some of these bars",
    "unknown": "bars seen: unknown",
    "unseen": "has seen none of these bars",
}


def _sight(facts: Mapping[str, Any]) -> str:
    """Of all recorded ranges together; empty where nobody asked."""
    found = facts.get("seen", {}).values()
    return next((one for one in _SIGHTS if one in found), "")


def sight_notes(agents: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is to be said of agents that have seen bars they are judged on, or do not say.

    Args:
        agents: What each agent is; see `Facts`.
    """
    notes = [
        f"{agent} has seen bars of {' and '.join(seen)}."
        for agent, facts in agents.items()
        if (seen := [name for name, one in facts.get("seen", {}).items() if one == "seen"])
    ]
    silent = [agent for agent, facts in agents.items() if _sight(facts) == "unknown"]
    if silent:
        they = "it does" if len(silent) == 1 else "they do"
        notes.append(
            f"Whether the bars are new to {' and '.join(silent)} is unknown: {they} not say (`seen`)."
        )
    return notes


_STEPS = (
    ("before costs", "gross"),
    ("fees", "fees"),
    ("slippage", "slippage"),
    ("funding", "funding"),
    ("after costs", "net"),
    ("compounding", "compounding"),
)


_PAID = ("fees", "slippage", "funding")


def waterfall_steps(told: Told, agent: str, place: str) -> dict[str, float]:
    """From gross to net in a year: what was paid is negative; empty where it was not measured."""
    measures = told["summary"][agent].get(place, {})
    if "gross" not in measures:
        return {}
    return {
        title: 0.0 - measures[key]["median"] if key in _PAID else measures[key]["median"]
        for title, key in _STEPS
        if key in measures
    }


def waterfall_table(told: Told, caption: str) -> str:
    """From gross to net, by agent and recorded range."""
    groups = []
    for agent in told["summary"]:
        rows = [
            ["", place, *(f"{value:+.2%}" for value in steps.values())]
            for place in recorded(told)
            if (steps := waterfall_steps(told, agent, place))
        ]
        if rows:
            rows[0][0] = agent_name(agent)
            groups.append(rows)
    header = ["", "", *(title for title, _ in _STEPS)]
    return table(header, groups, text_columns=2, caption=caption) if groups else ""


def promises_table(told: Told, caption: str) -> str:
    """What dreams of each temperature promised, and what was paid."""
    groups: dict[str, list[list[str]]] = {}
    tones: dict[str, list[list[str]]] = {}
    for one in told.get("promises", ()):
        alarm = one["alarm"]
        row = [
            "", f"{one['temperature']:g}", one["venue"], _figure(one["promised"], percent),
            _figure(one["paid"], percent), f"{one['errors']:+.1f}", alarm,
        ]  # fmt: skip
        groups.setdefault(one["agent"], []).append(row)
        tones.setdefault(one["agent"], []).append(
            [""] * 5 + ['class="text long no"' if alarm else ""]
        )
    for agent, rows in groups.items():
        rows[0][0] = agent_name(agent)
    header = ["", "temperature", "range", "promised a year", "paid a year", "gap ÷ error", ""]
    if not groups:
        return ""
    return table(header, [*groups.values()], tones=[*tones.values()], caption=caption)


def luck_table(told: Told, range_: str, caption: str) -> str:
    """How far each agent's result on one range is from luck, and who is called good."""
    luck = told["luck"][range_]
    verdicts = told.get("verdicts", {}).get(range_, {})
    rows, tones = [], []
    for agent, one in luck["policies"].items():
        good = verdicts.get(agent)
        rows.append(
            [
                agent_name(agent),
                "–" if good is None else ("yes" if good["good"] else "no"),
                percent(one["annual_log_return"]),
                span(one["sharpe"], _ratio),
                f"{one['probabilistic_sharpe']:.3f}",
                f"{one['deflated_sharpe']:.3f}",
                span(one["over_holding"], signed),
                "yes" if one["superior"] else "no",
                "–" if good is None else ("yes" if good["holds"] else "no"),
            ]
        )
        tones.append([_tone(cell) for cell in rows[-1][1:]])
    header = ["", "good?", "a year", "Sharpe", "probabilistic", "deflated", "over holding"]
    header += ["beats the field", "in every seed"]
    return table(header, [rows], tones=[tones], caption=caption)


def _tone(cell: str) -> str:
    return {"yes": 'class="yes"', "no": 'class="no"'}.get(cell, "")


def luck_note(luck: Mapping[str, Any]) -> str:
    """What the field as a whole says."""
    snooping, parts = luck["snooping"], []
    parts.append(
        f"Good is what earns, has a deflated Sharpe ratio of 0.95 or more against the best of {luck['trials']:,} "
        f"worthless trials, beats {luck['benchmark']} by the step-down test of the whole field (Romano & Wolf), and "
        "lost in no seed and window."
    )
    parts.append(
        f"That no agent beats {luck['benchmark']} has p = {snooping['consistent']:.2f} (Hansen's SPA) and "
        f"{snooping['reality_check']:.2f} (White's reality check)."
    )
    if luck.get("overfitting") is not None:
        parts.append(
            f"Whoever chooses the best of one half finds it below the median in the other in "
            f"{luck['overfitting']:.0%} of the halvings; 50% is luck."
        )
    return " ".join(parts)


def ranks_table(
    ranks: Mapping[str, Any], caption: str, policies: Sequence[str] | None = None
) -> str:
    """How dreams rank policies, by group, range and kind, beside the strongest blind floor."""
    groups, tones = [], []
    for group, ranges in ranks["agreements"].items():
        if policies is not None and group not in policies:
            continue
        rows, shades = [], []
        for range_, kinds in ranges.items():
            for kind, one in kinds.items():
                rows.append(["", range_, KINDS.get(kind, kind), *_agreement(one)])
                shades.append([""] * 6 + [_tone(rows[-1][-1])])
        rows[0][0] = "all policies" if group == "all" else group
        groups.append(rows)
        tones.append(shades)
    header = ["policies", "range", "pay", "correlation", "beyond costs and exposure"]
    header += ["strongest blind floor", "its", "dream adds"]
    return table(header, groups, text_columns=3, tones=tones, caption=caption)


def _agreement(one: Mapping[str, Any]) -> list[str]:
    floor = one["strongest_floor"]
    below = "–" if floor is None else f"{one['floors_beyond'][floor]['median']:+.2f}"
    return [
        _pooled(one["spearman"]), _pooled(one["beyond"]), floor or "–", below,
        "yes" if one["adds"] else "no",
    ]  # fmt: skip


def _pooled(found: Mapping[str, Any]) -> str:
    shown = f"{found['median']:+.2f}"
    ends = found["interval"] or found
    if found["units"] == 1:
        return shown
    return f"{shown}\n{ends['low']:+.2f} to {ends['high']:+.2f}"


def lift_table(lift: Mapping[str, Any], caption: str) -> str:
    """What the searches' winners were paid more than their rivals."""
    rows = [
        [
            one["rival"], one["range"], f"{one['median']:+.4f}", f"{one['low']:+.4f} to {one['high']:+.4f}",
            f"{one['above']:.0f} of {one['searches']:.0f}",
        ]
        for one in lift["lift"]
    ]  # fmt: skip
    header = ["paid more than", "range", "median", "over searches", "above 0"]
    return table(header, [rows], text_columns=2, caption=caption)


def crossed_table(lift: Mapping[str, Any]) -> str:
    """Trained in one world model, judged in another."""
    crossed = lift["crossed"]
    judges = list(dict.fromkeys(judge for row in crossed.values() for judge in row))
    rows = [
        [trained, *(f"{row[judge]:+.4f}" if judge in row else "–" for judge in judges)]
        for trained, row in crossed.items()
    ]
    return table(["trained in, judged in", *judges], [rows]) if len(crossed) > 1 else ""


def ladder_table(told: Told) -> str:
    """The questions in their order, what was found, and whether one would wish for that."""
    words = {True: "yes", False: "no", None: "open"}
    tones = {True: "yes", False: "no", None: "open"}
    rungs = told.get("ladder", ())
    if not rungs:
        return ""
    rows = [[one["question"], words[one["met"]], one["answer"]] for one in rungs]
    shades = [[f'class="{tones[one["met"]]}"', 'class="text long"'] for one in rungs]
    return table(["question", "met", "what was found"], [rows], tones=[shades])
