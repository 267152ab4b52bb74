"""What a policy sees of its account, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.market.account.broker import Account, ScalarAccount, dream_bars
from worldmodel_trading.market.account.inputs import ACCOUNT_INPUTS, INPUT_NAMES
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.errors import ConfigError

FREE = {"taker_fee": 0.0, "slippage": 0.0}


def test_profit_and_time_on_a_side_by_hand() -> None:
    """Long through +10 % and −5 %, short through −20 %, flat through two bars."""
    names = ("bars_on_side", "unrealised_profit", "weight")
    config = BrokerConfig.from_settings(account_observation=names, **FREE)
    account, observation = ScalarAccount(config), np.full(5, 7.0, dtype=np.float32)
    bars = dream_bars(np.log1p([0.10, -0.05, -0.20, 0.03, 0.03]))
    account.show(observation)
    assert observation.tolist() == [7.0, 7.0, 0.0, 0.0, 0.0], "the market's part is left alone"
    seen = []
    for t, target in enumerate([1.0, 0.4, -0.5, 0.0, 0.0]):
        account.step(target, bars, t)
        account.show(observation)
        seen.append(observation[2:].tolist())
    bars_on_side, profit, weight = np.array(seen).T
    # Long for two bars, short for one, flat for two; t ÷ (t + 24).
    np.testing.assert_allclose(bars_on_side, [1 / 25, 2 / 26, 1 / 25, 1 / 25, 2 / 26], rtol=1e-6)
    # A change of size is no change of side; a short gains what the price loses.
    np.testing.assert_allclose(profit, [0.10, 0.05, 0.20, 0.0, 0.0], atol=1e-7)
    # 0.4 drifts to 0.4·0.95 ÷ (1 − 0.4·0.05), −0.5 to −0.5·0.8 ÷ (1 + 0.5·0.2).
    np.testing.assert_allclose(weight, [1.0, 0.38 / 0.98, -0.4 / 1.1, 0.0, 0.0], atol=1e-7)
    account.reset()
    account.show(observation)
    assert observation[2:].tolist() == [0.0, 0.0, 0.0]


def test_lanes_see_what_one_lane_sees_and_start_over_alone() -> None:
    config = BrokerConfig.from_settings(account_observation=INPUT_NAMES)
    lanes, alone = Account(2, config), ScalarAccount(config)
    rng = np.random.default_rng(0)
    seen = np.empty((2, len(INPUT_NAMES)), dtype=np.float32)
    own = np.empty(len(INPUT_NAMES), dtype=np.float32)
    for t in range(50):
        bars = dream_bars(rng.normal(0.0, 0.02, 2))
        actions = np.round(rng.uniform(-1.0, 1.0, 2))
        lanes.step(actions, bars)
        alone.step(float(actions[1]), bars, 1)
        lanes.show(seen)
        alone.show(own)
        assert seen[1].tobytes() == own.tobytes()
        if t == 20:
            lanes.reset(np.array([True, False]))
            lanes.show(seen)
            assert not seen[0].any()


def test_nothing_is_shown_beyond_its_bound() -> None:
    for kind in ACCOUNT_INPUTS:
        config = BrokerConfig.from_settings(account_observation=[kind.name], leverage=20.0)
        account, seen = ScalarAccount(config), np.empty(1, dtype=np.float32)
        bars = dream_bars(np.log1p([-0.04] * 30))
        for t in range(30):
            account.step(1.0, bars, t)
            account.show(seen)
            assert abs(seen[0]) <= kind.bound


@pytest.mark.parametrize("names", [(), "weight", ("weight", "weight"), ("weights",), ("profit",)])
def test_unknown_inputs_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"account_observation .* weight, unrealised_profit"):
        BrokerConfig.from_settings(account_observation=names)
