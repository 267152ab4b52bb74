"""The ladder: from the forecast to the profit, a question on each rung, and what was found."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from worldmodel_trading.agents.rules.chance import RandomWeights
from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.baselines.scores import TITLES
from worldmodel_trading.evaluation.comparison.families import FamilyAudit
from worldmodel_trading.evaluation.comparison.lift import HOLDING, Lift
from worldmodel_trading.evaluation.comparison.promise import MANY_ERRORS
from worldmodel_trading.evaluation.comparison.results import Promise, Rung
from worldmodel_trading.evaluation.density import DensityScores
from worldmodel_trading.evaluation.fidelity.facts import Facts
from worldmodel_trading.evaluation.fidelity.forecasts import Forecasts
from worldmodel_trading.evaluation.fidelity.measure import open_subject
from worldmodel_trading.evaluation.fidelity.probes import action_sensitivity
from worldmodel_trading.evaluation.fidelity.subject import FidelityConfig, Subject
from worldmodel_trading.evaluation.rollout import run_episode
from worldmodel_trading.ground import Recorded

_BARS = 720  # of the path that a dream is forced along
_INSENSITIVE = 0.01  # of a deviation
_GAIN = 0.05  # of log return a year: less is no gain that a dream could promise


def climb_model(recorded: Recorded, seed: int, drift: str | float) -> list[Rung]:
    """What can be asked of a world model without any agent.

    Nothing is where training or test range are not recorded.

    Args:
        recorded: The world model and its record.
        seed: Of dreams.
        drift: What a held position earns in dreams.
    """
    if recorded.candles is None or not {"train", "test"} <= set(recorded.ranges):
        return []
    config = FidelityConfig(seed=seed, drift=drift)
    begin, end = recorded.ranges["train"][0], recorded.ranges["test"][1]
    candles = recorded.candles.between(begin, end)
    subject = open_subject(
        recorded.world_model, candles, config, allow_other_market=False, generators=None
    )
    scores = Forecasts.measure(subject).by_range["test"]
    return [
        _forecast(scores),
        _facts(subject),
        _sensitivity(recorded, subject),
        _rewards(recorded),
        _calibrated(scores),
    ]


def _forecast(scores: DensityScores) -> Rung:
    """The next return, beside the best that is easy."""
    name, gap = max(scores.nll_minus.items(), key=lambda item: item[1].value)
    met = True if gap.high < 0.0 else (False if gap.low > 0.0 else None)
    return Rung(
        "Does it forecast the next return better than what is easy?",
        f"{-gap.value:+.4f} nats ({-gap.high:+.4f} to {-gap.low:+.4f}) over {TITLES[name]}, the best of "
        f"{len(scores.nll_minus)} rivals",
        met,
    )


def _calibrated(scores: DensityScores) -> Rung:
    shape = scores.calibration
    refused = sum(test.refused for test in scores.var)
    return Rung(
        "Is it as uncertain as it should be?",
        f"{shape.coverage_90:.1%} of returns inside the 90% interval; {refused} of "
        f"{len(scores.var)} tests refuse its value at risk",
        abs(shape.coverage_90 - 0.9) <= 0.02 and not refused,
    )


def _facts(subject: Subject) -> Rung:
    goals = Facts.measure(subject).goals()
    missed = [goal.name for goal in goals if goal.verdict == "missed"]
    met = sum(goal.met for goal in goals)
    words = "" if not missed else f"; missed: {'; '.join(missed)}"
    return Rung(
        "Do its dreams move as markets do?",
        f"{met} of {len(goals)} facts are surely inside their goals{words}",
        False if missed else (True if met == len(goals) else None),
    )


def _sensitivity(recorded: Recorded, subject: Subject) -> Rung:
    moved = action_sensitivity(recorded.world_model, subject.candles, subject.ranges.last)
    return Rung(
        "Do an agent's actions leave the dreamed prices alone?",
        "by construction" if moved == 0.0 else f"they move the mean by {moved:.4f} of a deviation",
        moved < _INSENSITIVE,
    )


def _rewards(recorded: Recorded) -> Rung:
    """A dream that is forced along recorded bars, beside their replay."""
    candles, (start, end) = recorded.candles, recorded.ranges["test"]
    assert candles is not None
    shared: dict[str, Any] = {"world_model": recorded.world_model}
    early = min(end, start + (_BARS + 1) * candles.interval_ms)
    replay = BybitReplayEnv(
        candles, start=start, end=early, episode_length=None, random_start=False, **shared
    )
    forced = DreamEnv(horizon=_BARS, **shared)
    where = {"candles": candles, "start": start}
    found = [
        run_episode(env, RandomWeights(), seed=0, options=options)
        for env, options in ((replay, None), (forced, where))
    ]
    bars = min(map(len, found))
    same = int(np.sum(found[0].reward[:bars] == found[1].reward[:bars]))
    return Rung(
        "Does the dream pay what the market pays for the same bars?",
        f"the same reward, to the bit, in {same} of {bars} bars of a dream forced along recorded ones",
        same == bars,
    )


def climb_agents(promises: Sequence[Promise]) -> list[Rung]:
    """What the agents' dreams promised, and what was paid."""
    some = [one for one in promises if one.temperature == 1.0] or list(promises)
    if not some:
        return []
    inside = [one for one in some if abs(one.errors) <= MANY_ERRORS]
    alarms = sorted({one.agent for one in some if one.alarm})
    deceived = sorted(
        {one.agent for one in some if one.promised.median > _GAIN and one.paid.median < -_GAIN}
    )
    words = f": {', '.join(deceived)}" if deceived else ""
    return [
        Rung(
            "Does no agent gain in the dream what it loses in the market?",
            f"{len(deceived)} of {len({one.agent for one in some})} do{words}",
            not deceived,
        ),
        Rung(
            "Is what the dream promises what the market pays?",
            f"within two standard errors for {len(inside)} of {len(some)}"
            + (f"; it promises too much to {', '.join(alarms)}" if alarms else ""),
            len(inside) == len(some),
        ),
    ]


def climb_ranks(ranks: FamilyAudit | None) -> list[Rung]:
    """What the dream's ranking of policies adds to what is known without it; see `FamilyAudit`."""
    if ranks is None:
        return []
    rungs = []
    for name, kinds in ranks.headline.items():
        found = kinds["gross"]
        floors: Mapping[str, Any] = found.floors_beyond
        strongest = found.strongest_floor
        beside = (
            "" if strongest is None else f"; {strongest} reaches {floors[strongest].median:.2f}"
        )
        rungs.append(
            Rung(
                f"Does it rank policies as {name} does, beyond costs and exposure?",
                f"{found.beyond.median:.2f} before costs{beside}",
                found.adds,
            )
        )
    return rungs


def climb_lift(lift: Lift | None) -> list[Rung]:
    """What searching in dreams buys in the market, and whether it ends by exploiting the dream."""
    if lift is None:
        return []
    rungs = [
        Rung(
            f"Is searching in dreams worth more than the {row['rival']}?",
            f"{_spread(row)} of log return a year on test, more in {row['above']} of "
            f"{row['searches']} searches",
            row["above"] == row["searches"],
        )
        for row in lift.table().to_dict("records")
        if row["range"] == "test" and row["rival"] != HOLDING
    ]
    turns = lift.turns().query("range == 'test'")
    exploited = int(turns["exploits"].sum())
    rungs.append(
        Rung(
            "Does the market's pay rise as long as the dream's does?",
            f"in {exploited} of {len(turns)} searches the dream's score still rose while the market's fell "
            f"(by {turns['market_loss'].median():.3f} a year, the median)",
            not exploited,
        )
    )
    return rungs


def _spread(row: Mapping[Hashable, Any]) -> str:
    """A median, and its range where there is one."""
    range_ = f" ({row['low']:+.3f} to {row['high']:+.3f})" if row["searches"] > 1 else ""
    return f"{row['median']:+.3f}{range_}"
