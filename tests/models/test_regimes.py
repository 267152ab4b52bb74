from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.regimes import Regimes, training_states
from worldmodel_trading.models.world_model import WorldModel


def test_regimes_go_from_calm_to_turbulent() -> None:
    regimes = Regimes.fit(WorldModel.from_pretrained("default"))
    assert regimes.names == ("calm", "normal", "turbulent")
    assert (np.diff(regimes.volatility) > 0).all()
    assert regimes.share.sum() == pytest.approx(1.0)
    assert regimes.share.min() > 0.02


def test_a_centre_belongs_to_its_regime_and_training_shares_are_those_told() -> None:
    world_model = WorldModel.from_pretrained("default")
    regimes = Regimes.fit(world_model, count=4, seed=1)
    np.testing.assert_array_equal(regimes.classify(regimes.centres), np.arange(4))
    states = training_states(world_model)
    seen = world_model.outlook(states.z, states.h)
    shares = np.bincount(regimes.classify(seen), minlength=4) / len(seen)
    np.testing.assert_allclose(shares, regimes.share, atol=0.01)


def test_the_turbulent_regime_is_where_returns_are_large() -> None:
    """The default model's regimes, found without labels, order the market's own volatility."""
    from worldmodel_trading.market.synthetic import SyntheticMarket

    candles, _ = SyntheticMarket().sample(4_000, seed=11)
    world_model = WorldModel.from_pretrained("default")
    latents = world_model.latents(candles)
    seen = world_model.outlook(latents.z, latents.h)[latents.valid]
    found = Regimes.fit(world_model).classify(seen)
    returns = np.abs(candles.log_returns()[latents.valid])
    sizes = [returns[found == regime].mean() for regime in range(3)]
    assert sizes[0] < sizes[1] < sizes[2]


def test_the_number_of_regimes_is_bounded() -> None:
    with pytest.raises(ConfigError, match="2 to 4"):
        Regimes.fit(WorldModel.from_pretrained("default"), count=9)
