"""A comparison of made-up numbers: what its page is made of, by the records that measure."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from worldmodel_trading.evaluation.comparison.families import FamilyAudit, WorldPays
from worldmodel_trading.evaluation.comparison.lift import (
    HOLDING,
    RANDOM,
    RECORDED_SEARCH,
    Climb,
    Lift,
    SearchLift,
)
from worldmodel_trading.evaluation.comparison.luck import Verdict, measure_luck
from worldmodel_trading.evaluation.comparison.pay import Pay
from worldmodel_trading.evaluation.comparison.promise import promises
from worldmodel_trading.evaluation.comparison.results import Comparison, Facts, Row, Rung
from worldmodel_trading.evaluation.report.comparison_page import Tables
from worldmodel_trading.evaluation.significance import Interval

HOUR = 3_600_000
START = 1_704_067_200_000  # 2024-01-01
BARS = 2_400
AGENTS = {"ppo": 0.25, "cma_es": 0.05, "momentum": -0.4, "hold": 0.1, "flat": 0.0}
WINDOWS = ("2024a", "2024b")
RANGES = ("test", "validation")
_DRIFT = 1 / 8_760
GOOD = Verdict(earns=True, deflated=True, superior=True, holds=True)


@cache
def comparison() -> Comparison:
    """Five agents, two seeds, two windows, three temperatures."""
    rng = np.random.default_rng(0)
    rows = [row for agent in AGENTS for row in _rows(agent, rng)]
    made = _returns(rng)
    luck = measure_luck(made, made["hold"], bars_per_year=8_760, trials={"cma_es": 500})
    spans = {agent: Interval(edge - 0.1, edge - 0.5, edge + 0.3) for agent, edge in AGENTS.items()}
    spans["ppo"] = Interval(0.15, 0.05, 0.25)
    facts = Facts(
        config={"venues": ["dream", *RANGES], "temperatures": [0.8, 1.0, 1.2], "seeds": 2, "trust": False,
                "seed": 0, "account": {"leverage": 1}, "allow_in_sample": True},
        agents={agent: {"kind": "rule" if agent in ("hold", "flat", "momentum") else "trained here",
                        "trials": 10} for agent in AGENTS},
        models={"<0>": "ab" * 32, "<1>": "cd" * 32},
        windows={name: {"test": ("2024-01-01", "2024-04-01")} for name in WINDOWS},
        candles={"source": "BTC 1.csv", "symbol": "BTC<USDT>", "interval": "60", "bars": 50_000,
                 "data_hash": "0"},
        in_sample=True,
        bars_per_year=8_760,
        versions={"numpy": "2"},
    )  # fmt: skip
    errors = {
        (a, p): 0.1 for a in AGENTS for p in ("test", "dream at 0.8", "dream at 1", "dream at 1.2")
    }
    return Comparison(
        facts,
        tuple(rows),
        promises(rows, "test", errors),
        {a: {"test": span, "validation": span} for a, span in spans.items() if a != "hold"},
        luck={"test": luck},
        verdicts={"test": {"ppo": GOOD, **{a: luck.verdict(a) for a in luck.policies if a != "ppo"}}},
        ranks=_ranks(rng),
        lift=_lift(rng),
        ladder=(
            Rung("Does it forecast the next return better than what is easy?", "+0.01 nats", True),
            Rung("Do its dreams move as markets do?", "5 of 9 facts; missed: kurtosis of a day", False),
            Rung("Does the ranking add to costs and exposure?", "0.2, and the floor 0.3", None),
        ),
    )  # fmt: skip


@cache
def _written() -> str:
    return json.dumps(comparison().to_dict())


def told() -> dict[str, Any]:
    """``comparison.json``, parsed anew."""
    read: dict[str, Any] = json.loads(_written())
    return read


def tables() -> Tables:
    """What lies beside it."""
    whole = comparison()
    keys = ("agent", "venue", "temperature", "seed", "model", "window")
    cells = [{k: getattr(row, k) for k in keys} | dict(row.measures) for row in whole.rows]
    rng = np.random.default_rng(1)
    curves = [
        pd.DataFrame(
            {
                "agent": agent,
                "place": place,
                "seed": seed,
                "model": "<0>",
                "window": window,
                "open_time_ms": START + HOUR * (np.arange(BARS) + BARS * i),
                "equity": np.exp(np.cumsum(_path(rng, AGENTS[agent]))),
                "weight": 1.0,
            }
        )
        for agent in AGENTS
        for place in RANGES
        for i, window in enumerate(WINDOWS)
        for seed in (0, 1)
    ]
    return Tables(pd.DataFrame(cells), pd.concat(curves), whole.ranks.scores_table())


def _path(rng: np.random.Generator, edge: float) -> Any:
    return 0.004 * rng.standard_normal(BARS) * (edge != 0.0) + edge * _DRIFT


def _returns(rng: np.random.Generator) -> dict[str, Any]:
    return {agent: np.expm1(_path(rng, edge)) for agent, edge in AGENTS.items()}


def _rows(agent: str, rng: np.random.Generator) -> list[Row]:
    edge = AGENTS[agent]
    places = [("dream", tau) for tau in (0.8, 1.0, 1.2)] + [(venue, None) for venue in RANGES]
    found = []
    for window in WINDOWS:
        for seed in (0, 1):
            for venue, tau in places:
                paid = edge + 0.05 * rng.standard_normal() * (edge != 0.0)
                paid += 0.3 * (tau or 0.0) * (edge != 0.0)
                measures = {
                    "log_return": paid / 4, "annual_log_return": paid, "sharpe": paid / 0.4, "sortino": paid / 0.3,
                    "calmar": paid / 0.2, "max_drawdown": 0.3, "turnover": 0.02, "costs": 0.08, "gross": paid + 0.12,
                    "fees": 0.06, "slippage": 0.02, "funding": 0.01, "net": paid + 0.03, "compounding": -0.03,
                    "daily_cvar": 0.05, "under_water": 0.8, "longest_under_water_days": 40.0, "exposure": 0.7,
                    "net_exposure": 0.4, "traded": 0.2, "ended_early": 0.0, "capacity_halved_usdt": 2e6,
                }  # fmt: skip
                found.append(Row(agent, venue, tau, seed, f"<{seed}>", window, measures))
    return found


def _ranks(rng: np.random.Generator) -> FamilyAudit:
    family = tuple(name for name in ("linear", "constant", "momentum") for _ in range(12))
    count = len(family)

    def pay(worth: Any, noise: float) -> Pay:
        net = worth + noise * rng.standard_normal(count)
        return Pay(net, net + 0.1, rng.random(count), rng.standard_normal(count))

    pays = {}
    for name in ("<0>", "<1>"):
        worth = rng.standard_normal(count)
        pays[name] = WorldPays(
            family,
            tuple(f"p{i}" for i in range(count)),
            pay(worth, 0.5),
            {range_: pay(worth, 0.8) for range_ in RANGES},
            {"minus cost": pay(worth, 5.0), "the training range": pay(worth, 1.0)},
            {range_: {} for range_ in RANGES},
        )
    return FamilyAudit.of(pays)


def _lift(rng: np.random.Generator) -> Lift:
    def climb() -> Climb:
        turns = np.arange(20)
        dream = 0.02 * np.sqrt(turns) + 0.002 * rng.standard_normal(20)
        paid = 0.01 * np.sqrt(turns) - 0.001 * turns
        return Climb(dream + 0.01, dream, {"test": paid, "validation": paid - 0.002})

    rival = {"dream": 0.01, "test": 0.01, "validation": 0.0}
    rivals = {RANDOM: rival, RECORDED_SEARCH: rival, HOLDING: rival}
    searches = tuple(SearchLift(f"<{i}>", i, climb(), rivals) for i in range(3))
    crossed = {f"<{i}>": {f"<{j}>": 0.01 * (i == j) for j in range(3)} for i in range(3)}
    return Lift(searches, crossed)
