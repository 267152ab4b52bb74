"""A run of made-up numbers: what its page is made of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from worldmodel_trading.evaluation.baselines.scores import BaselineScores
from worldmodel_trading.evaluation.loss_tests import LossDifference
from worldmodel_trading.evaluation.outcome import (
    CandleFacts,
    ControllerOutcome,
    RunResults,
    SearchOutcome,
    WorldModelOutcome,
)
from worldmodel_trading.evaluation.performance import Performance, measure_performance
from worldmodel_trading.evaluation.rollout import Curve
from worldmodel_trading.evaluation.significance import SharpeEvidence
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.models.quality import MDNRNNQuality, VAEQuality

DAY = 86_400_000
START = 1_704_067_200_000  # 2024-01-01


def performance_of(final: float, sharpe: float = 0.5, turnover: float = 0.1) -> Performance:
    """Of an account that ended with such equity."""
    found = measure_performance([1.0, final], bars_per_year=1)
    return replace(found, sharpe=sharpe, turnover=turnover)


def run_results(
    final: float = 0.9, dream: float = 1.5, turnover: float = 0.1, gap: float = -0.046
) -> RunResults:
    """Of a controller that ended dreams and the test range with such equity."""
    return RunResults(
        run_id="r<1>",
        seed=4,
        versions={"numpy": "2"},
        config={"note": "</pre><script>alert(1)</script>"},
        candles=CandleFacts(
            source="BTC.csv",
            symbol="BTC<USDT>",
            interval="60",
            bars=100,
            data_hash="0",
            train=("2023-01-01", "2023-07-01"),
            validation=("2023-07-01", "2024-01-01"),
            test=("2024-01-01T00:00:00+00:00", "2026-01-01 00:00 UTC"),
        ),
        world_model=WorldModelOutcome(
            preset="market",
            vae=VAEQuality({"body": 0.9}, (0.5, 1.5), 8),
            mdn_rnn={
                "validation": MDNRNNQuality(return_nll=0.2, nll=1.0, bars=10),
                "test": MDNRNNQuality(return_nll=0.51, nll=1.0, bars=10),
            },
            baselines={
                "gjr_garch_t": BaselineScores(
                    {"validation": 0.3, "test": 0.557},
                    {"test": LossDifference(-0.047, -0.055, -0.039, 0.0)},
                ),
                "har_t": BaselineScores(
                    {"validation": 0.3, "test": 0.556},
                    {"test": LossDifference(gap, gap - 0.008, gap + 0.008, 0.0)},
                    "one word",
                ),
            },
        ),
        performance={
            "controller": {
                "dream": performance_of(dream),
                "test": performance_of(final, turnover=turnover),
            },
            "buy_and_hold": {"test": performance_of(2.0, sharpe=1.0)},
        },
    )


def searched_results(
    finals: Any, sharpes: Any = None, deployed: int = 0, holding: float = 2.0
) -> RunResults:
    """Results of several searches, whose controllers end the test range with such equity."""
    sharpes = sharpes or [0.5] * len(finals)
    evidence = SharpeEvidence(0.71, 1, 0.7, 0.7)
    searches = tuple(
        SearchOutcome(
            validation=0.1,
            looks=4,
            generations=20,
            evaluations=100,
            performance={
                "dream": performance_of(final + 0.05),
                "validation": performance_of(1.5),
                "test": performance_of(final, sharpe),
            },
            significance={"validation": evidence, "test": evidence},
        )
        for final, sharpe in zip(finals, sharpes, strict=True)
    )
    chosen = searches[deployed]
    return replace(
        run_results(),
        controller=ControllerOutcome(74, 1_000, 1 + 4 * len(finals), deployed, searches),
        performance={
            "controller": chosen.performance,
            "buy_and_hold": {"test": performance_of(holding, sharpe=1.0)},
        },
        significance={
            "controller": {"validation": SharpeEvidence(1.4, 13, 0.9, 0.38), "test": evidence}
        },
    )


def run_curves() -> dict[str, dict[str, Curve]]:
    """Random walks."""
    rng = np.random.default_rng(0)

    def path(*shape: int) -> FloatArray:
        walked: FloatArray = np.exp(np.cumsum(0.01 * rng.standard_normal(shape), axis=-1))
        return walked

    flat, times = np.zeros(400), START + DAY * np.arange(400)
    return {
        name: {
            "dream": Curve(path(16, 60)),
            "validation": Curve(path(400), flat, times, price=path(400)),
            "test": Curve(path(400), flat, times, price=path(400)),
        }
        for name in ("controller", "buy_and_hold")
    }


HISTORY: Any = {
    "vae": [{"epoch": i, "train_loss": 2.0 - i, "validation_loss": 2.1 - i} for i in range(3)],
    "mdn_rnn": [{"epoch": 0, "train_loss": 1.0}],
    "controller": [
        {"generation": i, "best": i, "mean": 0.0, "validation": i if i % 2 else None}
        for i in range(6)
    ],
}
