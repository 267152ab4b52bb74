"""Dreamed prices lie on the grid of the record's, where it has one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.market.ticks import tick_of
from worldmodel_trading.models.bar_world_model import (
    BarWorldModel,
    chosen,
    draw_bar_noise,
    start_lanes,
)
from worldmodel_trading.models.bars.dreaming import dream_bars
from worldmodel_trading.models.bars.networks import BarRNN
from worldmodel_trading.models.bars.packed import BarLanes

TICK = 25.0  # coarse: a bar of the record moves by some of them


def on_grid(model: BarWorldModel) -> BarWorldModel:
    """The model, as if its record's prices were multiples of the tick."""
    twin = BarRNN(len(model.config.features.names), model.config)
    twin.load_state_dict(model.mdn_rnn.state_dict())
    bank = replace(model.bank, close=TICK * np.rint(model.bank.close / TICK))
    return BarWorldModel(model.config, model.provenance, model.scaler, model.vae, twin, bank)


@pytest.fixture(scope="module")
def gridded(market_model: BarWorldModel) -> BarWorldModel:
    return on_grid(market_model)


def dreamed(model: BarWorldModel, lanes: BarLanes, noises: np.ndarray) -> np.ndarray:
    """The bars [T, N, 4]; lanes are moved."""
    bars = []
    for noise in noises:
        part = np.ascontiguousarray(noise)
        dream_bars(*lanes, *model.network, part, 0, np.float32(1), False)
        bars.append(lanes.drawn.copy())
    return np.array(bars)


def assert_multiples(prices: np.ndarray) -> None:
    np.testing.assert_allclose(prices, TICK * np.rint(prices / TICK), rtol=1e-9)


def test_the_step_is_read_from_the_bank(
    market_model: BarWorldModel, gridded: BarWorldModel
) -> None:
    assert market_model.tick_size == tick_of(market_model.bank.close) == 0.0
    assert gridded.tick_size == TICK
    assert gridded.recent(0.1).tick_size == TICK  # also where few closes are left


def test_closes_highs_and_lows_are_multiples_of_the_tick(gridded: BarWorldModel) -> None:
    count = 60
    lanes = chosen(start_lanes(gridded), np.resize(np.arange(len(gridded.bank)), count))
    first = lanes.close.copy()
    bars = dreamed(gridded, lanes, draw_bar_noise(np.random.default_rng(0), count, 300))
    assert (bars[..., 1:] >= 0.0).all()
    closes = first * np.exp(np.cumsum(bars[..., 0], axis=0))
    np.testing.assert_allclose(lanes.close, closes[-1], rtol=1e-9)
    before = np.concatenate([first[None], closes[:-1]])
    assert_multiples(closes)
    assert_multiples(np.maximum(closes, before) * np.exp(bars[..., 1]))
    assert_multiples(np.minimum(closes, before) * np.exp(-bars[..., 2]))
    assert 0.0 < (bars[..., 0] == 0.0).mean() < 0.9  # prices that stand still come by themselves


def test_rounding_moves_a_bar_by_a_tick_at_most(
    market_model: BarWorldModel, gridded: BarWorldModel
) -> None:
    noise = draw_bar_noise(np.random.default_rng(1), 16, 1)
    some = np.arange(16) % len(gridded.bank)
    free = dreamed(market_model, chosen(start_lanes(market_model), some), noise)[0]
    held = dreamed(gridded, chosen(start_lanes(gridded), some), noise)[0]
    tick = TICK / gridded.bank.close[some]
    assert (np.abs(held[:, 0] - free[:, 0]) <= 0.51 * tick).all()
    assert ((held[:, 1] > 0.0) | (free[:, 1] == 0.0)).all()  # M decides whether there is a wick


def test_a_lane_on_the_grid_has_the_same_bits_alone(gridded: BarWorldModel) -> None:
    noises = draw_bar_noise(np.random.default_rng(2), 64, 30)
    starts = start_lanes(gridded)
    where = np.resize(np.arange(len(gridded.bank)), 64)
    everyone = dreamed(gridded, chosen(starts, where), noises)
    for lane in (0, 47, 48, 63):
        alone = dreamed(gridded, chosen(starts, where[[lane]]), noises[:, :, [lane]])
        np.testing.assert_array_equal(alone[:, 0], everyone[:, lane])


def test_a_bar_that_happened_stays_as_it_is(gridded: BarWorldModel) -> None:
    lanes = chosen(start_lanes(gridded), np.array([0]))
    bar, close = np.array([0.00123, 0.0004, 0.0, 12.5]), lanes.close[0]
    lanes.drawn[0] = bar
    nothing = np.zeros((8, 0), dtype=np.float32)
    dream_bars(*lanes, *gridded.network, nothing, 0, np.float32(1), True)
    np.testing.assert_array_equal(lanes.drawn[0], bar)
    assert lanes.close[0] == pytest.approx(close * np.exp(bar[0]), rel=1e-12)


def test_an_environment_s_prices_lie_on_the_grid(gridded: BarWorldModel) -> None:
    env = DreamEnv(gridded, horizon=200)
    _, info = env.reset(seed=3)
    prices = [info["price"]]
    for _ in range(200):
        info = env.step(np.zeros(1, dtype=np.float32))[-1]
        prices.append(info["price"])
    assert_multiples(np.array(prices))
