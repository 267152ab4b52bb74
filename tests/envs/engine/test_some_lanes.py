"""Some of many lanes, stepped as if there were no others."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.envs.engine.opening import open_engine
from worldmodel_trading.envs.engine.some_lanes import SomeLanes
from worldmodel_trading.models.bar_world_model import BarWorldModel, chosen
from worldmodel_trading.models.bars.dreaming import dream_bars

N = 500


@pytest.mark.parametrize("count", [0, 1, 192, 193, 450])
@pytest.mark.parametrize("forced", [False, True])
def test_those_that_are_meant_step_and_no_others(
    market_model: BarWorldModel, count: int, forced: bool
) -> None:
    engine, rng = open_engine(market_model), np.random.default_rng(count)
    lanes = engine.start(rng.integers(engine.num_segments, size=N)).lanes
    lanes.drawn[:] = np.abs(rng.normal(0.0, 0.01, lanes.drawn.shape))
    noise, tau = engine.draw_noise(rng, N).table, np.float32(0.9)
    which = np.sort(rng.permutation(N)[:count])
    rest = np.setdiff1d(np.arange(N), which)
    expected, before = chosen(lanes, which), chosen(lanes, rest)
    table = np.ascontiguousarray(noise[:, which])
    dream_bars(*expected, *engine.network, table, 0, tau, forced)
    SomeLanes(market_model.config).step(engine.network, lanes, which, noise, tau, forced)
    for found, there in zip(chosen(lanes, which), expected, strict=True):
        np.testing.assert_array_equal(found, there)
    for found, there in zip(chosen(lanes, rest), before, strict=True):
        np.testing.assert_array_equal(found, there)
