"""What a run comes to, in a word that its numbers decide."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..outcome import RunResults
from ..performance import Performance
from ..seeds import SeedRange
from ..significance import Interval
from .charts import HOLDING
from .components import Tile, Tone, Verdict
from .curves import Curves
from .sentences import growth, is_holding, last_replay, main_policy, never_traded
from .track import against

Measure = Callable[[Performance], float]


def run_verdict(results: RunResults, curves: Curves) -> Verdict:
    """The verdict on a run's policy, by the last recorded range.

    "Better" and "worse than holding" need the 95% interval of the deployed policy's wealth ÷
    holding's (by blocks of days) to lie on one side of 1, and every search on the same side; "lost
    money" needs every search to have lost.
    """
    policy = main_policy(results.performance)
    venue = last_replay(results, policy)
    if venue is None:
        told = "No replay was measured, and a dream alone proves nothing."
        return Verdict("Cannot tell", "unsure", told)
    replay = results.ranges(policy)[venue]
    holding = results.performance.get(HOLDING, {}).get(venue) if policy != HOLDING else None
    span = _against(curves, policy, venue) if holding else None
    word, tone = _word(replay, holding, span)
    tiles = _tiles(results, policy, venue, replay, holding, span)
    return Verdict(word, tone, _deciding(word, replay, holding, span, venue), tuple(tiles))


def _against(curves: Curves, policy: str, venue: str) -> Interval | None:
    both = [curves.get(name, {}).get(venue) for name in (policy, HOLDING)]
    return None if both[0] is None or both[1] is None else against(both[0], both[1])


def _word(
    replay: SeedRange[Performance], holding: Performance | None, span: Interval | None
) -> tuple[str, Tone]:
    if never_traded(replay):
        return "Never traded", "plain"
    if holding is not None and is_holding(replay, holding):
        return "Same as holding", "plain"
    if replay.high.log_return < 0:
        return "Lost money", "bad"
    if holding is None:
        return ("Made money", "good") if replay.low.log_return > 0 else ("Cannot tell", "unsure")
    least, most = (each.log_return - holding.log_return for each in (replay.low, replay.high))
    if least > 0 and (span is None or span.low > 0):
        return "Better than holding", "good"
    if most < 0 and (span is None or span.high < 0):
        return "Worse than holding", "bad"
    return "Cannot tell", "unsure"


def _deciding(
    word: str,
    replay: SeedRange[Performance],
    holding: Performance | None,
    span: Interval | None,
    venue: str,
) -> str:
    """Why the word is what it is."""
    if word == "Never traded":
        held = "" if holding is None else f", while holding made {_made(holding):+.1%}"
        return f"It found nothing worth trading and stayed out of the market{held}."
    if word == "Same as holding":
        return "It held all along: the search found nothing that is better than that."
    if word == "Lost money":
        return f"{_every(replay, 'lost')} on the {venue} range, after costs{_beside(holding)}."
    if holding is None:
        return f"{_every(replay, 'made money')} on the {venue} range, after costs."
    if span is None:
        return f"On the {venue} range it is judged by what it made alone{_beside(holding)}."
    ended = f"On the {venue} range the deployed policy ended with {_more(span.value)} than holding"
    interval = f"95% interval: {span.low:+.0%} to {span.high:+.0%}"
    if word != "Cannot tell":
        return f"{ended} ({interval}), and every search {'more' if span.low > 0 else 'less'}."
    why = _unsure(replay, holding, span)
    return f"{ended} ({interval}): {why}."


def _unsure(replay: SeedRange[Performance], holding: Performance, span: Interval) -> str:
    ends = [each.log_return > holding.log_return for each in (replay.low, replay.high)]
    if ends[0] != ends[1]:
        return "the seed of the search decides whether it is more or less"
    return "as much could be chance" if span.low <= 0 <= span.high else "searches disagree"


def _every(replay: SeedRange[Performance], did: str) -> str:
    return f"It {did}" if replay.count == 1 else f"All {replay.count} searches {did}"


def _beside(holding: Performance | None) -> str:
    return "" if holding is None else f"; holding made {_made(holding):+.1%}"


def _more(share: float) -> str:
    return f"{abs(share):.0%} {'more' if share > 0 else 'less'}"


def _tiles(
    results: RunResults,
    policy: str,
    venue: str,
    replay: SeedRange[Performance],
    holding: Performance | None,
    span: Interval | None,
) -> list[Tile]:
    other = "" if holding is None else f"holding {_made(holding):+.1%}"
    tiles = [_tile("Made, after costs", replay, _made, "{:+.1%}", other)]
    if span is not None:
        interval = f"95% interval {span.low:+.0%} to {span.high:+.0%}"
        tiles.append(Tile("Wealth against holding's", f"{span.value:+.1%}", (interval,)))
    if never_traded(replay):
        return tiles
    fell = "" if holding is None else f"holding {holding.max_drawdown:.1%}"
    tiles += [
        _tile("Worst fall from a peak", replay, lambda one: one.max_drawdown, "{:.1%}", fell),
        _tile("Paid in costs, of equity", replay, lambda one: one.costs, "{:.1%}"),
    ]
    dream = results.ranges(policy).get("dream")
    if dream is not None:
        paid = f"a year; the market paid {_yearly(replay.median):+.1%}"
        tiles.append(_tile("The dream promised", dream, _yearly, "{:+.1%}", paid))
    ratio = "" if holding is None else f"holding {holding.sharpe:.2f}"
    tiles.append(_tile("Sharpe ratio, a year", replay, lambda one: one.sharpe, "{:.2f}", ratio))
    return tiles


def _tile(
    title: str, spread: SeedRange[Performance], figure: Measure, shape: str, beside: str = ""
) -> Tile:
    """A figure's median, its range over searches beneath."""
    low, high = (shape.format(figure(each)) for each in (spread.low, spread.high))
    ends = f"{low} to {high} over {spread.count} searches" if low != high else ""
    return Tile(title, shape.format(figure(spread.median)), tuple(filter(None, [beside, ends])))


def _made(measured: Performance) -> float:
    return math.expm1(measured.log_return)


def _yearly(measured: Performance) -> float:
    return growth(measured.annual_log_return)
