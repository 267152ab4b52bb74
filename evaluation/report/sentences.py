"""The result in words: what the policy earned, lost, and what that proves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from ...market.errors import ConfigError
from ..baselines.scores import TITLES
from ..drift import DriftOutcome
from ..outcome import CONTROLLER, ByVenue, ControllerOutcome, RunResults
from ..performance import Performance
from ..seeds import SeedRange

_MAX_LOG = 20.0  # a growth beyond e²⁰ is no longer a number that anyone reads
_YEAR_S = 365 * 86_400
_ALARM_GAP = 0.10  # annual log return by which a dream may promise more before it is said
_SIGNIFICANT = 1.96
_SAME_LOG_RETURN, _SAME_SHARPE = 0.01, 0.02  # nearer than this, two policies did the same
_EVEN, _IDLE = 5e-4, 1e-6  # a change of equity, a turnover, that is none


def main_policy(performance: Mapping[str, ByVenue]) -> str:
    """The policy that a report is about: ``controller``, or else the first."""
    if not performance:
        raise ConfigError("results hold no performance: there is nothing to report")
    return CONTROLLER if CONTROLLER in performance else next(iter(performance))


def summarise(results: RunResults) -> list[str]:
    """Sentences on the main policy, the plainest first; gains and losses alike.

    What several searches found is told as median and range, and judged by its range.

    Args:
        results: What a run came to; parts that are absent are passed over.
    """
    policy = main_policy(results.performance)
    venue = last_replay(results, policy)
    if venue is None:
        proven = ["No replay was measured: a dream alone proves nothing."]
    else:
        replay = results.ranges(policy)[venue]
        proven = [
            _outcome(results, policy, venue, replay),
            *_searches(results, policy, venue),
            *_against_holding(results, policy, venue, replay),
            *_significance(results, venue, replay),
            *_deflation(results, policy),
            *_dream_against_market(results, policy, replay),
            *([drift_sentence(results.drift)] if results.drift else []),
        ]
    return [*proven, *_density(results)]


def last_replay(results: RunResults, policy: str) -> str | None:
    """The recorded range by which a policy is judged; None where there is none."""
    return next((v for v in ("test", "validation") if v in results.performance[policy]), None)


def range_years(results: RunResults, venue: str) -> float | None:
    """Length of a recorded range in years; None if unknown."""
    ends = results.candles and results.candles.ends(venue)
    if not ends:
        return None
    start, end = (_time(end) for end in ends)
    return (end - start).total_seconds() / _YEAR_S


def in_range(
    spread: SeedRange[Performance],
    figure: Callable[[Performance], float],
    shown: Callable[[float], str],
) -> str:
    """A figure's median, and its range in brackets where that can be told from it."""
    median, low, high = (
        shown(figure(measured)) for measured in (spread.median, spread.low, spread.high)
    )
    return median if low == high else f"{median} ({low} to {high})"


def _outcome(results: RunResults, policy: str, venue: str, replay: SeedRange[Performance]) -> str:
    """What the account made of 100 units of money on the last recorded range."""
    ends = results.candles and results.candles.ends(venue)
    when = f", {_day(ends[0])} to {_day(ends[1])}," if ends else ""
    costs = in_range(replay, lambda measured: measured.costs, share_text)
    drawdown = in_range(replay, lambda measured: measured.max_drawdown, share_text)
    return (
        f"In replay on the {venue} range{when} the {policy.replace('_', ' ')} "
        f"{_made(replay)} after {costs} of equity in costs, with a worst drawdown of {drawdown}."
    )


def _made(replay: SeedRange[Performance]) -> str:
    """Gain or loss, in words that hold for the whole range."""
    low, high = math.expm1(replay.low.log_return), math.expm1(replay.high.log_return)
    change = in_range(replay, lambda measured: math.expm1(measured.log_return), signed)
    if never_traded(replay):
        return "never traded: it stayed out of the market"
    if max(abs(low), abs(high)) < _EVEN:
        return "broke even"
    if low > -_EVEN:
        return f"made {change}"
    if high < _EVEN:
        return f"lost money: {change}"
    return f"made or lost money by the seed of its search: {change}"


def _searches(results: RunResults, policy: str, venue: str) -> list[str]:
    """Over how many searches the figures range."""
    found = _found(results, policy)
    if found is None:
        return []
    if len(found.searches) == 1:
        return [
            "One search found it, which is one draw: another seed, or another processor's "
            "rounding, finds another controller (--search-seeds)."
        ]
    deployed = found.searches[found.deployed].performance[venue]
    return [
        f"That is the median of {len(found.searches)} searches, and their range; the one that "
        f"validation chose made {math.expm1(deployed.log_return):+.1%}."
    ]


def _against_holding(
    results: RunResults, policy: str, venue: str, replay: SeedRange[Performance]
) -> list[str]:
    holding = results.performance.get("buy_and_hold", {}).get(venue)
    if holding is None or policy == "buy_and_hold":
        return []
    if is_holding(replay, holding):
        return ["That is what buy-and-hold did: the search found nothing better."]
    held = f"It {_compared(replay, holding)} buy-and-hold, which returned {math.expm1(holding.log_return):+.1%}"
    if never_traded(replay):
        return [f"{held}."]
    ratio = in_range(replay, lambda measured: measured.sharpe, _ratio)
    return [f"{held}; its Sharpe ratio was {ratio} against {holding.sharpe:.2f}."]


def never_traded(replay: SeedRange[Performance]) -> bool:
    """Whether no search's policy ever held anything."""
    return replay.high.turnover < _IDLE


def is_holding(replay: SeedRange[Performance], holding: Performance) -> bool:
    """Whether every search's policy did what holding did."""
    return all(
        abs(measured.log_return - holding.log_return) < _SAME_LOG_RETURN
        and abs(measured.sharpe - holding.sharpe) < _SAME_SHARPE
        for measured in (replay.low, replay.high)
    )


def _compared(replay: SeedRange[Performance], holding: Performance) -> str:
    """Better or worse, as far as the whole range says so."""
    low, high = (
        0.0 if abs(gap) < _SAME_LOG_RETURN else gap
        for gap in (
            measured.log_return - holding.log_return for measured in (replay.low, replay.high)
        )
    )
    if low == high == 0.0:
        return "earned as much as"
    if low >= 0.0:
        return "did better than" if low > 0.0 else "did no worse than"
    if high <= 0.0:
        return "did worse than" if high < 0.0 else "did no better than"
    return "did better or worse, by the seed of its search, than"


def _significance(results: RunResults, venue: str, replay: SeedRange[Performance]) -> list[str]:
    years = range_years(results, venue)
    if not years or years <= 0 or never_traded(replay):
        return []
    error = 1 / math.sqrt(years)
    low, high, edge = replay.low.sharpe, replay.high.sharpe, _SIGNIFICANT * error
    if low > edge:
        claim = "more than luck usually gives one strategy, but many were tried"
    elif high < -edge:
        claim = "worse than bad luck usually explains"
    elif -edge <= low and high <= edge:
        claim = "not distinguishable from zero"
    else:
        claim = "distinguishable from zero for some seeds of the search, and not for others"
    ratio = in_range(replay, lambda measured: measured.sharpe, _ratio)
    return [
        f"Over {years:.1f} years an annual Sharpe ratio has a standard error of about {error:.2f}: "
        f"{ratio} is {claim}."
    ]


def _deflation(results: RunResults, policy: str) -> list[str]:
    """What the looks on validation leave of the ratio that was chosen there."""
    found, evidence = _found(results, policy), results.significance.get(policy, {})
    if found is None or "validation" not in evidence:
        return []
    if never_traded(results.ranges(policy)["validation"]):
        return []
    return [
        f"Validation compared {found.looks} controllers; the one that it chose has a deflated "
        f"Sharpe ratio of {evidence['validation'].deflated_sharpe:.2f} there. Above 0.95 it would "
        "be more than luck explains."
    ]


def _dream_against_market(
    results: RunResults, policy: str, replay: SeedRange[Performance]
) -> list[str]:
    dream = results.ranges(policy).get("dream")
    if dream is None:
        return []
    promised, paid = (
        in_range(spread, lambda measured: growth(measured.annual_log_return), signed)
        for spread in (dream, replay)
    )
    sentence = f"Its dream promised {promised} a year; the market paid {paid}."
    if dream.median.annual_log_return - replay.median.annual_log_return > _ALARM_GAP:
        sentence += " A dream that promises more than the market pays is an alarm, not a success."
    return [sentence]


def drift_sentence(drift: DriftOutcome) -> str:
    """What holding pays in the dreams, which is an assumption, and what it paid where they learned."""
    paid = f"{signed(drift.train.value)} ± {share_text(drift.train.standard_error)}"
    if drift.share < 1.0:
        recent = f"{signed(drift.recent.value)} ± {share_text(drift.recent.standard_error)}"
        paid += f", its last {drift.share:.0%} {recent}"
    return (
        f"The drift of the dreams is an assumption that every ranking of policies inherits (--drift "
        f"{drift.setting}). A held position earns {signed(drift.dreamed)} a year there. "
        f"The training range paid {paid} (simple returns a year, one standard error)."
    )


def _density(results: RunResults) -> list[str]:
    """Whether M forecasts better than the strongest baseline on the test range."""
    if results.world_model is None:
        return []
    rivals = {
        name: scores
        for name, scores in results.world_model.baselines.items()
        if "test" in scores.gap
    }
    if not rivals:
        return []
    best = min(rivals, key=lambda name: rivals[name].return_nll["test"])
    gap = rivals[best].gap["test"]
    size = f"{abs(gap.value):.3f} nats ({gap.low:+.3f} to {gap.high:+.3f})"
    if gap.low <= 0.0 <= gap.high:
        verdict = f"cannot be told from the best baseline, {TITLES[best]}, at {size}"
    else:
        word = "better" if gap.value < 0 else "worse"
        verdict = f"is {size} {word} than the best baseline, {TITLES[best]},"
    return [f"As a forecast of the next return the world model {verdict} on the test range."]


def _found(results: RunResults, policy: str) -> ControllerOutcome | None:
    """What the searches found, where the policy is what they searched for."""
    return results.controller if policy == CONTROLLER else None


def growth(annual_log_return: float) -> float:
    """A log return a year as a fraction, within what can be read."""
    return math.expm1(min(annual_log_return, _MAX_LOG))


def signed(value: float) -> str:
    """A fraction as percent, with its sign."""
    return f"{value:+.1%}"


def share_text(value: float) -> str:
    """A fraction as percent."""
    return f"{value:.1%}"


def _ratio(value: float) -> str:
    return f"{value:.2f}"


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text.removesuffix(" UTC"))
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _day(text: str) -> str:
    return f"{_time(text):%Y-%m-%d}"
