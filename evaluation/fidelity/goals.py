"""The table of goals: what was measured, what was wanted, and whether it was met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True)
class Goal:
    """One row.

    Attributes:
        name: What is measured.
        value: The measurement.
        low: Lower end of its interval, or None.
        high: Upper end, or None.
        goal: Lowest and highest value that meets the goal; None is no bound.
        floor: What the record scores against itself, in words; empty where that means nothing.
        met: Whether the value lies between the bounds.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    goal: tuple[float | None, float | None]
    floor: str
    met: bool


def goals_table(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The goals that can be judged from results, as plain mappings; the same for every market.

    Args:
        results: As in ``fidelity.json``.
    """
    rows = [
        *_density_goals(results),
        _goal(
            "drawn against decoded return, correlation", results["drawn_decoded_correlation"], 0.995
        ),
        *_fact_goals(results),
        _two_sample_goal(results),
        _goal("sensitivity to the action [σ]", results["action_sensitivity"], None, 0.01),
        *_rank_goals(results),
    ]
    if "nll_above_truth" in results:
        rows.append(
            _goal("NLL above the known truth [nats]", results["nll_above_truth"], None, 0.02)
        )
    return [asdict(row) for row in rows]


def _goal(
    name: str,
    value: Any,
    at_least: float | None = None,
    at_most: float | None = None,
    floor: str = "",
) -> Goal:
    """A row from a number or from a mapping with value, low and high."""
    if isinstance(value, Mapping):
        number, low, high = value["value"], value.get("low"), value.get("high")
    else:
        number, low, high = float(value), None, None
    met = (at_least is None or number >= at_least) and (at_most is None or number <= at_most)
    return Goal(name, number, low, high, (at_least, at_most), floor, met)


def _density_goals(results: Mapping[str, Any]) -> list[Goal]:
    rows = []
    for label, scores in results["density"].items():
        skill = scores["crps_skill_to_garch_t"]
        shape = scores["calibration"]
        skill_row = _goal(f"CRPS skill against GARCH-t, {label}: interval above 0", skill)
        rows += [
            _goal(
                f"NLL minus GJR-GARCH-t's [nats], {label}",
                scores["nll_gap_to_gjr_garch_t"],
                None,
                -0.05,
            ),
            Goal(**{**asdict(skill_row), "goal": (0.0, None), "met": skill["low"] > 0}),
            _goal(
                f"PIT distance, {label}",
                shape["pit_ks"],
                None,
                0.03,
                f"≤ {shape['pit_ks_floor']:.3f}",
            ),
            _goal(f"coverage of the 90% interval, {label}", shape["coverage_90"], 0.88, 0.92),
        ]
    return rows


def _fact_goals(results: Mapping[str, Any]) -> list[Goal]:
    facts, floors = results["facts"]["world_model"], results["facts_noise_floor"]
    wanted: list[tuple[str, str, float | None, float | None]] = [
        ("sigma_ratio", "σ of returns ÷ real", 0.97, 1.03),
        ("kurtosis_ratio_1", "excess kurtosis ÷ real, 1 bar", 0.67, 1.5),
        ("abs_acf_rmse", "autocorrelation of |r|, RMSE over lags 1–48", None, 0.025),
        ("hill_index", "Hill index of the top 1%", 2.5, 4.0),
        ("volume_rank_difference", "volume–|r| rank correlation minus real", -0.1, 0.1),
        ("range_given_return_error", "range given |r|, mean relative error", None, 0.1),
    ]
    rows = []
    for key, name, low, high in wanted:
        if key in facts:
            span = floors.get(key)
            floor = f"{span['low']:.3g} to {span['high']:.3g}" if span else ""
            rows.append(_goal(name, facts[key], low, high, floor))
    return [*rows, _falling_kurtosis(results)]


def _falling_kurtosis(results: Mapping[str, Any]) -> Goal:
    """Sums of more bars must have thinner tails: the largest step up from one horizon to the next."""

    def largest_step(facts: Mapping[str, Any]) -> float:
        by_horizon = sorted((int(h), float(k)) for h, k in facts["excess_kurtosis"].items())
        return max((b / a if a > 0 else 0.0) for (_, a), (_, b) in pairwise(by_horizon))

    return _goal(
        "excess kurtosis, largest ratio from one horizon (1, 4, 24, 168) to the next",
        largest_step(results["dream_facts"]),
        None,
        1.0,
        f"{largest_step(results['real_facts']):.2f}",
    )


def _two_sample_goal(results: Mapping[str, Any]) -> Goal:
    table = results["two_sample"]
    floor = table["returns_noise_floor"]["shuffled_fortnights"]["value"]
    return _goal(
        "two-sample test, |accuracy − 0.5|",
        table["returns"]["world_model"],
        None,
        0.12,
        f"{floor:.3f}",
    )


def _rank_goals(results: Mapping[str, Any]) -> list[Goal]:
    """The floor of a held-out range is its agreement with the training range, replayed."""
    table = results["rank_agreement"]
    rows = []
    for label, span in table["spearman"].items():
        if label != "train":
            between = table["between_ranges"][f"train, {label}"]["value"]
            name = f"rank agreement of dream and replay, {label}"
            rows.append(_goal(name, span, 0.80, None, f"{between:.2f}"))
    return rows
