"""Tests of value at risk and expected shortfall, where the forecasts are known to be right or wrong."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.evaluation.baselines.garch import FilteredHistory, GarchModel
from worldmodel_trading.evaluation.stress.tails import day_tails, tail_test
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.synthetic import synthetic_candles


def test_the_tail_by_hand() -> None:
    members = np.tile(np.arange(-10.0, 10.0), (4, 1))  # 20 of them: -10, -9, …
    outcomes = np.array([-20.0, 0.0, -9.5, 1.0])
    found = tail_test(members, outcomes, 0.1, seed=0)
    assert found.value_at_risk == 9.0  # two members are no better than -9
    assert found.shortfall == 9.5
    assert found.quantile.share == 0.5
    # both losses beyond 9 against a forecast of 9.5 at 10%: -(20 + 9.5) / (4 · 0.1 · 9.5) + 1
    assert found.statistic == pytest.approx(1.0 - 29.5 / 3.8)
    loss = np.array([(20 - 9) / 0.95, 0.0, 0.5 / 0.95, 0.0]) + 9 / 9.5 + np.log(9.5) - 1
    assert found.loss == pytest.approx(loss.mean())


def ensembles(scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Forecasts [N, M] that are ``scale`` times as wide as what comes [N]."""
    rng = np.random.default_rng(7)
    deviation = np.exp(0.3 * rng.standard_normal(600))
    members = scale * deviation[:, None] * rng.standard_t(4, (600, 500))
    return members, deviation * rng.standard_t(4, 600)


def test_right_forecasts_pass_and_narrow_ones_are_refused() -> None:
    right, narrow, wide = (tail_test(*ensembles(scale), 0.05, seed=0) for scale in (1.0, 0.7, 1.5))
    assert not right.refused
    assert abs(right.statistic) < 0.4
    assert narrow.refused
    assert narrow.statistic < -0.5
    assert narrow.shortfall_p < 0.01
    assert wide.shortfall_p > 0.5  # one-sided: who forecasts too much loses no money
    assert wide.quantile.kupiec_p < 0.01
    assert right.loss < min(narrow.loss, wide.loss)


def test_p_values_of_right_forecasts_are_spread_evenly() -> None:
    rng = np.random.default_rng(0)
    found = [
        tail_test(rng.standard_normal((100, 200)), rng.standard_normal(100), 0.05, seed).shortfall_p
        for seed in range(20)
    ]
    assert 0.3 < np.mean(found) < 0.7
    assert max(found) > 0.8
    assert min(found) < 0.25


def test_a_tail_without_a_member_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected 100 members or more"):
        tail_test(np.zeros((5, 40)), np.zeros(5), 0.01, seed=0)


def test_days_do_not_overlap_and_every_level_is_tested() -> None:
    candles = synthetic_candles(bars=3_000, seed=4)
    rows = (2_000, 3_000)
    simulators = {
        "garch": GarchModel.fit(candles, (0, 2_000)),
        "fhs": FilteredHistory.fit(candles, (0, 2_000)),
    }
    found = day_tails(simulators, candles, rows, seed=0, paths=200)
    assert list(found) == ["garch", "fhs"]
    assert [one.quantile.level for one in found["fhs"]] == [0.01, 0.05]
    assert found["fhs"][0].quantile.count == 40  # 1,000 bars, one of 25 after the other
    for one, five in found.values():
        assert one.value_at_risk > five.value_at_risk > 0
        assert one.shortfall > one.value_at_risk
