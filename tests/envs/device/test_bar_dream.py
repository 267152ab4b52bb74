"""Dreams of bars on a device against the compiled ones: features, bars, z, h, and what accounts get."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldmodel_trading.envs.device.bar_dream import BarDream
from worldmodel_trading.envs.device.streams import DeviceStreams
from worldmodel_trading.envs.dream_bars import ExactBars
from worldmodel_trading.envs.engine.bar_engine import BarEngine
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.clock import calendar_cells
from worldmodel_trading.market.intervals import interval_ms
from worldmodel_trading.market.streamed_bars import bar_numbers, stream_features
from worldmodel_trading.market.streams import StreamSpec
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.bars.networks import BarRNN

CPU, LANES, BARS = torch.device("cpu"), 64, 60


@pytest.mark.parametrize("interval", ["15", "60", "240", "D", "W"])
def test_features_are_those_of_a_record(interval: str) -> None:
    """Of two records side by side, from an empty memory on: no lane touches another."""
    spec = StreamSpec.for_interval(interval)
    records = [
        synthetic_candles(seed=seed, bars=400, interval=interval, start="2018-01-01")
        for seed in (1, 2)
    ]
    numbers = np.stack([bar_numbers(record) for record in records], axis=1)  # [T, 2, 4]
    times = np.stack([record.open_time_ms for record in records], axis=1)
    numbers[50, 1] = 0.0, 0.0, 0.0, 0.0  # a bar of nothing at all; the record beside has another
    streams, told = DeviceStreams(spec, CPU), []
    memory = torch.zeros((2, spec.memory_size), dtype=torch.float64)
    for bars, time in zip(numbers[1:], times[1:], strict=True):
        memory, features = streams.advance(memory, torch.from_numpy(bars), torch.from_numpy(time))
        told.append(features.numpy())
    expected = stream_features(records[0], spec)[spec.warmup :]
    np.testing.assert_allclose(np.stack(told)[spec.warmup - 1 :, 0], expected, atol=2e-5)
    assert np.isfinite(np.stack(told)).all()


def test_a_step_leaves_what_it_is_given_alone(market_model: BarWorldModel) -> None:
    """A chunk of a graph begins again from the tensors that it began from."""
    engine, rules = BarEngine(market_model), BrokerConfig()
    dream, none = BarDream(engine, CPU), torch.zeros(LANES)
    market = dream.start(np.arange(LANES) % engine.num_segments, rules)
    kept = [part.clone() for part in (market.latent, market.hidden, *market.others)]
    noise = torch.from_numpy(engine.draw_noise(np.random.default_rng(0), LANES).table)
    with torch.no_grad():
        after, _ = dream.live(market, noise, None, none, 1.0, rules)
    for one, two in zip((market.latent, market.hidden, *market.others), kept, strict=True):
        assert torch.equal(one, two)
    for one, two in zip((after.latent, after.hidden, *after.others), kept, strict=True):
        assert not torch.equal(one, two)


@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.0, 1.7])
@pytest.mark.parametrize("kind", ["plain", "corrected", "on a grid"])
def test_dreams_are_those_of_the_compiled_engine(
    market_model: BarWorldModel, temperature: float, kind: str
) -> None:
    """Bars, z and h after each of many steps, and every column that an account settles."""
    model = variant(market_model, kind)
    engine, rng, rules = BarEngine(model), np.random.default_rng(1), BrokerConfig()
    segments = rng.integers(engine.num_segments, size=LANES)
    dream, lived, state = BarDream(engine, CPU), ExactBars(engine, LANES), engine.start(segments)
    lived.begin(state, model.bank.close[segments], np.ones(LANES))
    market, together = dream.start(segments, rules), np.ones(LANES, dtype=bool)
    funding = torch.full((LANES,), 1e-4, dtype=torch.float64)
    for _ in range(BARS):
        noise = engine.draw_noise(rng, LANES)
        bars = lived.step(state, engine.step(state, np.zeros(LANES), noise, temperature))
        with torch.no_grad():
            market, bar = dream.live(
                market, torch.from_numpy(noise.table), None, funding, temperature, rules
            )
        latents, hidden = market.latent.numpy(), market.hidden.numpy()
        # a uniform may fall between two roundings' components, or a price between two ticks: such a
        # lane goes its own way
        together &= np.isclose(latents, state.z, atol=1e-3).all(axis=1)
        np.testing.assert_allclose(latents[together], state.z[together], atol=1e-4)
        np.testing.assert_allclose(hidden[together], state.h[together], atol=1e-4)
        settled = np.stack([column.numpy() for column in bar], axis=1)
        np.testing.assert_array_equal(settled[:, 4], 1e-4)
        settled[:, 4] = 0.0  # the engine's bars are charged later
        np.testing.assert_allclose(settled[together], bars[together], rtol=2e-4, atol=1e-6)
    assert together.mean() > 0.9
    assert temperature == 0.0 or np.ptp(bars[:, 0]) > 1e-3


def variant(model: BarWorldModel, kind: str) -> BarWorldModel:
    """The same; or corrected in every way that calibration and a drift know; or on a coarse grid."""
    rnn = BarRNN(len(model.config.features.names), model.config)
    rnn.load_state_dict(model.mdn_rnn.state_dict())
    rnn.tick_size = 20.0 if kind == "on a grid" else 0.0
    if kind == "corrected":
        rnn.calibration[:] = torch.tensor([0.3, -0.2, 0.4, 0.1])
        rnn.noise_calibration[:] = torch.tensor([0.3, -0.4, 0.5])
        rnn.mean_trust[:], rnn.drift = torch.tensor([0.25, 0.02]), 0.05
    return model.remembering(rnn)


def test_prices_lie_on_the_grid(market_model: BarWorldModel) -> None:
    """Closes, and the highs and lows of bars that begin there."""
    model, rules = variant(market_model, "on a grid"), BrokerConfig()
    engine, rng = BarEngine(model), np.random.default_rng(3)
    dream, none = BarDream(engine, CPU), torch.zeros(LANES)
    market = dream.start(np.arange(LANES) % engine.num_segments, rules)
    for step in range(20):
        noise = torch.from_numpy(engine.draw_noise(rng, LANES).table)
        with torch.no_grad():
            market, bar = dream.live(market, noise, None, none, 1.0, rules)
        reached = [bar.simple_return] if step == 0 else [*bar[:1], *bar[2:4]]  # it began off it
        for simple in reached:
            steps = (bar.fill_price * (1.0 + simple) / model.tick_size).numpy()
            np.testing.assert_allclose(steps, np.rint(steps), atol=1e-6)


@pytest.mark.parametrize("interval", ["60", "240", "D", "W"])
def test_the_calendar_is_the_clock_s(market_model: BarWorldModel, interval: str) -> None:
    """Through a year, summer time and weekends in it."""
    dream, step = BarDream(BarEngine(market_model), CPU), interval_ms(interval)
    dream._engine.interval_ms = step
    times = 1_704_067_200_000 + step * np.arange(0, 366 * 86_400_000 // step)
    cells = calendar_cells(times + step, interval)
    table = market_model.mdn_rnn.calendar.detach()
    expected = table[cells[:, 0]] + table[cells[:, 1]]
    assert torch.equal(dream._told(torch.from_numpy(times)).detach(), expected)
