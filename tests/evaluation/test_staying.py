"""Dreams that stay in a regime are the model's own, given that they stay."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.envs.vector import DreamVectorEnv
from worldmodel_trading.evaluation.regimes.staying import stay_in_regime
from worldmodel_trading.market.arrays import BoolArray
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.models.regimes.regimes import Regimes
from worldmodel_trading.models.world_model import WorldModel

BARS, LANES = 24, 1_024


@pytest.fixture(scope="module")
def shipped() -> WorldModel:
    return open_world_model("default")


@pytest.fixture(scope="module")
def regimes(shipped: WorldModel) -> Regimes:
    return Regimes.fit(shipped, count=3, bootstraps=0)


def plainly(
    shipped: WorldModel, regimes: Regimes, name: str, bars: int = BARS
) -> tuple[float, float]:
    """Plain dreams from the regime: the share that stays, and the deviation of the returns of those."""
    rng = np.random.default_rng(1)
    segments = rng.choice(regimes.segments(shipped, name), LANES)
    env = DreamVectorEnv(LANES, shipped, horizon=bars, regimes=regimes)
    env.reset(seed=1, options={"segment": segments.tolist()})
    stayed: BoolArray = np.ones(LANES, dtype=np.bool_)
    moves = []
    for _ in range(bars):
        *_, info = env.step(np.zeros((LANES, 1), dtype=np.float32))
        stayed &= info["regime"] == name
        moves.append(np.log1p(info["market_return"]))
    return float(stayed.mean()), float(np.stack(moves, axis=1)[stayed].std())


def test_the_chance_and_the_paths_are_those_of_plain_dreams_that_stay(
    shipped: WorldModel, regimes: Regimes
) -> None:
    for name in (regimes.names[0], regimes.names[-1]):
        share, deviation = plainly(shipped, regimes, name)
        found = stay_in_regime(shipped, regimes, name, bars=BARS, paths=LANES)
        error = 3.0 * np.sqrt(share * (1.0 - share) / LANES)
        assert found.probability.low - error < share < found.probability.high + error
        assert 0.05 < share < 0.98  # neither never nor always
        assert found.bars.shape == (LANES, BARS, 4)
        assert found.weights.sum() == pytest.approx(1.0)
        assert 0.1 * share * LANES < found.effective < LANES
        assert found.bars[..., 0].std() == pytest.approx(deviation, rel=0.08)


def test_the_longer_the_rarer_and_the_same_seed_the_same_paths(
    shipped: WorldModel, regimes: Regimes
) -> None:
    name = regimes.names[0]
    short, long = (stay_in_regime(shipped, regimes, name, bars=bars, paths=64) for bars in (6, 60))
    assert long.probability.value < short.probability.value
    assert long.effective < short.effective
    again = stay_in_regime(shipped, regimes, name, bars=6, paths=64)
    np.testing.assert_array_equal(again.bars, short.bars)


def test_what_cannot_be_is_refused(shipped: WorldModel, regimes: Regimes) -> None:
    with pytest.raises(ConfigError, match="no regime"):
        stay_in_regime(shipped, regimes, "else")
    with pytest.raises(ConfigError, match="paths"):
        stay_in_regime(shipped, regimes, regimes.names[0], paths=4)


def test_of_several_members_each_dream_stays_by_its_own(family: WorldModel) -> None:
    regimes = Regimes.fit(family, count=2, bootstraps=0)
    for name in regimes.names:
        share, deviation = plainly(family, regimes, name, bars=4)
        found = stay_in_regime(family, regimes, name, bars=4, paths=LANES)
        error = 3.0 * np.sqrt(share * (1.0 - share) / LANES)
        assert found.probability.low - error < share < found.probability.high + error
        assert found.bars[..., 0].std() == pytest.approx(deviation, rel=0.08)
