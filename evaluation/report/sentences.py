"""The result in words: what the policy earned, lost, and what that proves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ...market.errors import ConfigError

_MAX_LOG = 20.0  # a growth beyond e²⁰ is no longer a number that anyone reads
_YEAR_S = 365 * 86_400
_ALARM_GAP = 0.10  # annual log return by which a dream may promise more before it is said
_SIGNIFICANT = 1.96
_SAME_LOG_RETURN, _SAME_SHARPE = 0.01, 0.02  # nearer than this, two policies did the same


def main_policy(performance: Mapping[str, Any]) -> str:
    """The policy that a report is about: ``controller``, or else the first."""
    if not performance:
        raise ConfigError("results hold no performance: there is nothing to report")
    return "controller" if "controller" in performance else next(iter(performance))


def summarise(results: Mapping[str, Any]) -> list[str]:
    """Sentences on the main policy, the plainest first; gains and losses alike.

    Args:
        results: As written to ``results.json``; parts that are absent are passed over.
    """
    performance = results["performance"]
    policy = main_policy(performance)
    sentences = [
        *_outcome(results, policy),
        *_against_holding(performance, policy),
        *_significance(results, policy),
        *_dream_against_market(performance, policy),
        *_density(results),
    ]
    return sentences


def range_years(results: Mapping[str, Any], world: str) -> float | None:
    """Length of a recorded range in years, from ``candles`` in the results; None if unknown."""
    ends = results.get("candles", {}).get(world)
    if not ends or len(ends) != 2:
        return None
    start, end = (_time(end) for end in ends)
    return (end - start).total_seconds() / _YEAR_S


def _outcome(results: Mapping[str, Any], policy: str) -> list[str]:
    """What the account made of 100 units of money on the last recorded range."""
    world = _held_out_world(results["performance"][policy])
    if world is None:
        return ["No replay was measured: a dream alone proves nothing."]
    measured = results["performance"][policy][world]
    log_return = float(measured["log_return"])
    change = math.expm1(log_return)
    ends = results.get("candles", {}).get(world)
    when = f", {_day(ends[0])} to {_day(ends[1])}," if ends else ""
    name = policy.replace("_", " ")
    if measured["turnover"] < 1e-6:
        verb = "never traded: it stayed out of the market"
    elif abs(change) < 5e-4:
        verb = "broke even"
    else:
        verb = f"{'made' if change > 0 else 'lost money:'} {change:+.1%}"
    return [
        f"In replay on the {world} range{when} the {name} {verb} after {measured['costs']:.1%} of "
        f"equity in costs, with a worst drawdown of {measured['max_drawdown']:.1%}."
    ]


def _against_holding(performance: Mapping[str, Any], policy: str) -> list[str]:
    world = _held_out_world(performance[policy])
    holding = performance.get("buy_and_hold", {}).get(world)
    if holding is None or policy == "buy_and_hold":
        return []
    ours, theirs = (float(p["log_return"]) for p in (performance[policy][world], holding))
    ratio, other = (float(p["sharpe"]) for p in (performance[policy][world], holding))
    if abs(ours - theirs) < _SAME_LOG_RETURN and abs(ratio - other) < _SAME_SHARPE:
        return ["That is what buy-and-hold did: the search found nothing better."]
    verdict = "did better than" if ours > theirs else "did worse than"
    return [
        f"It {verdict} buy-and-hold, which returned {math.expm1(theirs):+.1%} "
        f"(Sharpe {ratio:.2f} against {other:.2f})."
    ]


def _significance(results: Mapping[str, Any], policy: str) -> list[str]:
    world = _held_out_world(results["performance"][policy])
    years = range_years(results, world) if world else None
    if world is None or not years or years <= 0:
        return []
    ratio = float(results["performance"][policy][world]["sharpe"])
    error = 1 / math.sqrt(years)
    if ratio > _SIGNIFICANT * error:
        claim = "more than luck usually gives one strategy, but many were tried"
    elif ratio < -_SIGNIFICANT * error:
        claim = "worse than bad luck usually explains"
    else:
        claim = "not distinguishable from zero"
    return [
        f"Over {years:.1f} years an annual Sharpe ratio has a standard error of about {error:.2f}: "
        f"{ratio:.2f} is {claim}."
    ]


def _dream_against_market(performance: Mapping[str, Any], policy: str) -> list[str]:
    by_world = performance[policy]
    world = _held_out_world(by_world)
    if world is None or "dream" not in by_world:
        return []
    dream, replay = (float(by_world[w]["annual_log_return"]) for w in ("dream", world))
    promised, paid = (math.expm1(min(value, _MAX_LOG)) for value in (dream, replay))
    sentence = f"Its dream promised {promised:+.1%} a year; the market paid {paid:+.1%}."
    if dream - replay > _ALARM_GAP:
        sentence += " A dream that promises more than the market pays is an alarm, not a success."
    return [sentence]


def _density(results: Mapping[str, Any]) -> list[str]:
    """Whether M forecasts better than the strongest baseline on the test range."""
    model = results.get("world_model", {})
    ours = model.get("mdn_rnn", {}).get("return_nll", {}).get("test")
    rivals = {
        name: scores["return_nll"]["test"]
        for name, scores in model.get("baselines", {}).items()
        if "test" in scores.get("return_nll", {})
    }
    if ours is None or not rivals:
        return []
    best = min(rivals, key=lambda name: float(rivals[name]))
    gap = float(ours) - float(rivals[best])
    word = "better" if gap < 0 else "worse"
    return [
        f"As a forecast of the next return the world model is {abs(gap):.3f} nats {word} than "
        f"{best.replace('_', '-')} on the test range."
    ]


def _held_out_world(by_world: Mapping[str, Any]) -> str | None:
    return next((world for world in ("test", "validation") if world in by_world), None)


def _time(value: Any) -> datetime:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value / 1000, UTC)
    text = str(value).removesuffix(" UTC")
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _day(value: Any) -> str:
    return f"{_time(value):%Y-%m-%d}"
