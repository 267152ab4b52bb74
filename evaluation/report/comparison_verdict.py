"""What a comparison comes to, in a word that its numbers decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .comparison_tables import HOLDING, KINDS, Told, agent_name, percent, recorded
from .components import Tile, Tone, Verdict

_BESIDE = (HOLDING, "flat")


def best_first(told: Told) -> list[str]:
    """The agents, best paid first on the range that judges; holding and doing nothing last."""
    ranges = recorded(told)
    given = [agent for agent in told["summary"] if agent not in _BESIDE]
    if ranges:
        given.sort(key=lambda agent: -_paid(told, agent, ranges[0]))
    return [*given, *(agent for agent in _BESIDE if agent in told["summary"])]


def _paid(told: Told, agent: str, place: str) -> float:
    found = told["summary"][agent].get(place, {}).get("annual_log_return")
    return float("-inf") if found is None else float(found["median"])


def best_agent(told: Told) -> str | None:
    """The one that was paid best; None where nobody but holding was judged."""
    return next((agent for agent in best_first(told) if agent not in _BESIDE), None)


def comparison_verdict(told: Told) -> Verdict:
    """Who is better than holding, on the range that judges.

    An agent is called better where the whole 95% interval of its return above holding is above 0, and,
    where luck was measured, it is called good (`Luck.verdict`).
    """
    ranges, best = recorded(told), best_agent(told)
    if not ranges:
        nothing = "No replay was measured, and dreams alone prove nothing."
        return Verdict("Cannot tell", "unsure", nothing)
    if best is None:
        return Verdict("Nobody to judge", "plain", "Only holding and staying out were compared.")
    place = ranges[0]
    word, tone = _word(told, place)
    return Verdict(word, tone, _deciding(told, best, place), tuple(_tiles(told, best, place)))


def _word(told: Told, place: str) -> tuple[str, Tone]:
    given = [agent for agent in told["summary"] if agent not in _BESIDE]
    better = [agent for agent in given if _is_better(told, agent, place)]
    if better:
        named = (
            agent_name(better[0]) if len(better) == 1 else f"{len(better)} of {len(given)} agents"
        )
        return f"{named} {'beats' if len(better) == 1 else 'beat'} holding", "good"
    spans = [told.get("over_holding", {}).get(agent, {}).get(place) for agent in given]
    if all(span is not None and span["high"] < 0 for span in spans):
        return "All worse than holding", "bad"
    return "Nobody is known to beat holding", "unsure"


def _is_better(told: Told, agent: str, place: str) -> bool:
    span = told.get("over_holding", {}).get(agent, {}).get(place)
    if span is None or span["low"] <= 0:
        return False
    verdict = told.get("verdicts", {}).get(place, {}).get(agent)
    return verdict is None or bool(verdict["good"])


def _deciding(told: Told, best: str, place: str) -> str:
    """How the best paid agent stands beside holding."""
    made = percent(_paid(told, best, place))
    said = f"On the {place} range the best paid agent, {agent_name(best)}, made {made} a year after costs"
    if HOLDING in told["summary"]:
        said += f", and holding {percent(_paid(told, HOLDING, place))}"
    span = told.get("over_holding", {}).get(best, {}).get(place)
    if span is None:
        return f"{said}."
    interval = f"95% interval {percent(span['low'])} to {percent(span['high'])}"
    return f"{said}: wealth against holding's {percent(span['value'])} a year ({interval})."


def _tiles(told: Told, best: str, place: str) -> list[Tile]:
    measures = told["summary"][best][place]
    made = measures["annual_log_return"]
    over = f"{percent(made['low'])} to {percent(made['high'])} over {made['count']}"
    tiles = [
        Tile(
            f"{agent_name(best)}, a year", percent(made["median"]), (over,) if made["count"] > 1 else ()
        )
    ]  # fmt: skip
    if "max_drawdown" in measures:
        tiles.append(Tile("Its worst fall", f"{measures['max_drawdown']['median']:.1%}"))
    if "costs" in measures:
        tiles.append(Tile("Paid in costs, of equity", f"{measures['costs']['median']:.1%}"))
    return [*tiles, *_promised(told, best, place), *_ranked(told, place), *_climbed(told)]


def _promised(told: Told, best: str, place: str) -> list[Tile]:
    own = [p for p in told.get("promises", ()) if p["agent"] == best and p["venue"] == place]
    if not own:
        return []
    one = min(own, key=lambda promise: abs(promise["temperature"] - 1.0))
    note = f"a year; that is {one['errors']:+.1f} standard errors from what was paid"
    return [Tile("The dream promised it", percent(one["promised"]["median"]), (note,))]


def _ranked(told: Told, place: str) -> list[Tile]:
    """What the dream's ranking adds to costs and exposure, before costs where that was measured."""
    everyone: Mapping[str, Any] = ((told.get("ranks") or {}).get("agreements") or {}).get("all", {})
    kinds: Mapping[str, Any] = everyone.get(place) or next(iter(everyone.values()), {})
    kind = next((each for each in KINDS if each in kinds), None)
    if kind is None:
        return []
    one = kinds[kind]
    floor = one["strongest_floor"]
    notes = ["rank correlation beyond costs and exposure"]
    if floor is not None:
        notes.append(f"{floor}, which is blind: {one['floors_beyond'][floor]['median']:+.2f}")
    return [Tile("The dream's ranking adds", f"{one['beyond']['median']:+.2f}", tuple(notes))]


def _climbed(told: Told) -> list[Tile]:
    rungs = told.get("ladder", ())
    if not rungs:
        return []
    met = sum(one["met"] is True for one in rungs)
    return [Tile("Questions met", f"{met} of {len(rungs)}", ("the ladder, below",))]
