import numpy as np
import pytest

from worldmodel_trading.agents.families import (
    SCALES,
    given_family,
    linear_family,
    standard_families,
)
from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.agents.rules.constant import ConstantWeight
from worldmodel_trading.market.errors import ConfigError


def test_families_of_a_world_model(market_model):
    families = {one.name: one for one in standard_families(market_model, seed=3, per_scale=20)}
    assert list(families) == [
        "random linear",
        "constant weight",
        "momentum",
        "reversion",
        "volatility target",
    ]
    linear = families["random linear"].policies
    spread = linear.reshape(len(SCALES), -1).std(axis=1)
    np.testing.assert_allclose(spread, SCALES, rtol=0.2)
    again = standard_families(market_model, seed=3, per_scale=20)[0]
    np.testing.assert_array_equal(linear, again.policies)
    weights = [policy.weight for policy in families["constant weight"].policies]
    assert (weights[0], weights[20], weights[-1]) == (-1.0, 0.0, 1.0)
    for family in families.values():
        assert len(set(family.members)) == len(family) >= 8


def test_rules_size_their_positions(market_model):
    features = market_model.config.features
    momentum = next(one for one in standard_families(market_model) if one.name == "momentum")
    rising = np.ones(len(features.names) + 1, dtype=np.float32)
    sizes = {round(float(policy.predict(rising)[0][0]), 3) for policy in momentum.policies}
    assert sizes == {0.1, 0.25, 0.5, 1.0}


def test_given_policies_are_families_too():
    controllers = {str(i): LinearController(np.full(4, float(i))) for i in range(3)}
    found = linear_family("winners", controllers)
    assert found.policies.shape == (3, 4)
    assert found.members == ("0", "1", "2")
    agents = given_family("agents", {"a": ConstantWeight(0.5)})
    assert agents.observation == "latent"
    with pytest.raises(ConfigError, match="0 policies"):
        given_family("agents", {})
