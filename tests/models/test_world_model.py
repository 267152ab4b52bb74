import gc
import pickle
import weakref

import numpy as np
import pytest
import torch
from torch_dream import draw_bar

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, FeatureError
from worldmodel_trading.market.features import calendar, compute_features
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.world_model import WorldModel

COLUMNS = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")


def changed_after(candles: Candles, row: int) -> Candles:
    """The same candles up to and including ``row``; every later one is twice as high."""
    columns = {name: getattr(candles, name).copy() for name in COLUMNS}
    for name in COLUMNS[1:]:
        columns[name][row + 1 :] *= 2 + np.arange(len(candles) - row - 1) % 3
    return Candles(**columns, symbol=candles.symbol, interval=candles.interval)


@pytest.mark.parametrize("row", [250, 700, 1_500])
def test_no_look_ahead(world_model, candles, row):
    """Change every candle after t: latents and forecasts up to t are the same, bit for bit."""
    other = changed_after(candles, row)
    mine, theirs = world_model.latents(candles), world_model.latents(other)
    kept = slice(0, row + 1)
    np.testing.assert_array_equal(mine.z[kept], theirs.z[kept])
    np.testing.assert_array_equal(mine.h[kept], theirs.h[kept])
    assert not np.array_equal(mine.z[row + 1 :], theirs.z[row + 1 :], equal_nan=True)
    mine, theirs = world_model.return_forecast(candles), world_model.return_forecast(other)
    for name in ("weights", "means", "sigmas"):
        np.testing.assert_array_equal(getattr(mine, name)[kept], getattr(theirs, name)[kept])


def test_rows_without_enough_bars_before_them_are_marked(world_model, candles):
    latents = world_model.latents(candles)
    settled = world_model.config.features.warmup + world_model.config.warmup_bars - 1
    assert latents.valid.tolist() == [False] * settled + [True] * (len(candles) - settled)
    for values in (latents.z, latents.h):
        assert np.isnan(values[~latents.valid]).all()
        assert np.isfinite(values[latents.valid]).all()
    assert np.array_equal(world_model.return_forecast(candles).valid, latents.valid)


def test_a_gap_starts_anew(world_model, candles):
    rows = np.r_[0:600, 610:1_200]
    gapped = Candles(*(getattr(candles, name)[rows] for name in COLUMNS))
    latents, after = world_model.latents(gapped), world_model.latents(candles.rows(610, 1_200))
    np.testing.assert_array_equal(latents.valid[600:], after.valid)
    np.testing.assert_allclose(latents.h[600:], after.h, atol=1e-5)


def test_candles_shorter_than_the_look_back_give_no_latents(world_model, candles):
    latents = world_model.latents(candles.rows(0, 50))
    assert not latents.valid.any()
    assert latents.z.shape == (50, world_model.config.latent_size)


def test_z_is_the_posterior_mean_of_the_features(world_model, candles):
    latents = world_model.latents(candles)
    features = compute_features(candles, world_model.config.features)
    np.testing.assert_allclose(
        latents.z[latents.valid], world_model.encode(features)[latents.valid], atol=1e-6
    )


def test_h_is_what_stepping_gives(paper_model, candles):
    """In ``paper`` h_t is the state before z_t enters."""
    latents = paper_model.latents(candles)
    features = compute_features(candles, paper_model.config.features)
    start = paper_model.config.features.warmup
    z = torch.from_numpy(paper_model.encode(features[start : start + 60]))
    waves = torch.from_numpy(calendar(candles.open_time_ms[start + 1 : start + 61]))
    state, states = paper_model.mdn_rnn.initial_state(1), []
    for t in range(60):
        states.append(state.hidden)
        state = paper_model.mdn_rnn.advance(z[t : t + 1], waves[t : t + 1], None, state)
    stepped = torch.cat(states).numpy()
    rows = slice(paper_model.config.warmup_bars - 1, 60)
    expected = latents.h[start : start + 60]
    np.testing.assert_allclose(stepped[rows], expected[rows], atol=1e-5)


def test_the_bank_holds_latents_of_the_training_range(paper_model, split):
    train, world_model = split[0], paper_model
    bank, config = world_model.bank, world_model.config
    assert bank.z.shape == (config.bank_segments, config.warmup_bars, config.latent_size)
    features = compute_features(train, config.features)
    ends = np.searchsorted(train.open_time_ms, bank.open_time_ms)
    for segment, end in enumerate(ends):
        rows = slice(end - config.warmup_bars + 1, end + 1)
        np.testing.assert_allclose(bank.z[segment], world_model.encode(features[rows]), atol=1e-5)
        assert bank.close[segment] == train.close[end]
    assert ends[0] == config.features.warmup + config.warmup_bars - 1
    assert ends[-1] == len(train) - 1


def test_warming_up_on_the_bank_is_replaying_it(world_model, split):
    """Where h has had the same bars, dream and replay start from the same state."""
    train, _ = split
    bank, latents = world_model.bank, world_model.latents(train)
    state = world_model.warm_up(bank.z[:1], bank.open_time_ms[:1])
    row = int(np.searchsorted(train.open_time_ms, bank.open_time_ms[0]))
    np.testing.assert_allclose(state.hidden[0].numpy(), latents.h[row], atol=1e-5)


def dream(model: WorldModel, steps: int = 50, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log returns [T, N] and latents [T, N, Z] of a dream of ``paper``, by PyTorch alone."""
    generator, z = torch.Generator().manual_seed(seed), model.bank.z
    count, size = len(z), model.config.latent_size
    state, step = model.warm_up(z, model.bank.open_time_ms), model.provenance.interval_ms
    latent, times = torch.from_numpy(z[:, -1]), model.bank.open_time_ms
    returns, latents = [], []
    for _ in range(steps):
        waves = torch.from_numpy(calendar(times + step))
        state = model.mdn_rnn.advance(latent, waves, None, state)
        uniforms = torch.rand(count, generator=generator)
        normals = torch.randn(count, size, generator=generator)
        log_return, latent = draw_bar(model, state, uniforms, normals)
        assert log_return.dtype == torch.float64
        times = times + step
        returns.append(log_return.numpy())
        latents.append(latent.numpy())
    return np.array(returns), np.array(latents)


def test_the_dreamed_return_is_the_one_decoded_from_the_dreamed_latent(paper_model):
    returns, latents = dream(paper_model)
    decoded = paper_model.decode(latents)[..., 0]
    np.testing.assert_allclose(returns, decoded, rtol=1e-4, atol=1e-7)
    assert np.isfinite(returns).all()


def test_one_seed_one_dream(paper_model):
    first, second = dream(paper_model, seed=4), dream(paper_model, seed=4)
    np.testing.assert_array_equal(first[0], second[0])
    assert not np.array_equal(first[0], dream(paper_model, seed=5)[0])


def test_the_forecast_integrates_to_one(world_model, candles):
    forecast = world_model.return_forecast(candles).rows(-3, len(candles))
    grid = np.linspace(-60, 60, 400_001)
    for row in range(3):
        one = forecast.rows(row, row + 1)
        scaled = (grid[:, None] - one.means) / one.sigmas
        density = (one.weights * np.exp(-0.5 * scaled**2) / one.sigmas).sum(1) / np.sqrt(2 * np.pi)
        assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=1e-4)


def test_other_features_are_refused(world_model):
    names = world_model.config.features.names
    with pytest.raises(FeatureError, match=f"expected {len(names)} columns: {names[0]}, range"):
        world_model.encode(np.zeros((5, 9)))


def test_candles_of_another_interval_are_refused(world_model, candles):
    quarter = Candles(
        candles.open_time_ms[0] + 900_000 * np.arange(len(candles)),
        *(getattr(candles, name) for name in COLUMNS[1:]),
        interval="15",
    )
    with pytest.raises(FeatureError, match="interval is 15; this world model was trained on 60"):
        world_model.latents(quarter)


def test_recent_dreams_begin_late(market_model):
    late = market_model.recent(0.25)
    bank, all_of_it = late.bank, market_model.bank
    assert len(bank) == -(-len(all_of_it) // 4)
    np.testing.assert_array_equal(bank.open_time_ms, all_of_it.open_time_ms[-len(bank) :])
    np.testing.assert_array_equal(bank.z, all_of_it.z[-len(bank) :])
    np.testing.assert_array_equal(bank.close, all_of_it.close[-len(bank) :])
    assert late.mdn_rnn is market_model.mdn_rnn
    assert len(market_model.recent(1.0).bank) == len(all_of_it)
    assert len(market_model.recent(1e-9).bank) == 1


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan")])
def test_a_share_of_the_bank_lies_between_0_and_1(market_model, share):
    with pytest.raises(ConfigError, match=r"recent is .*\(0, 1\]"):
        market_model.recent(share)


def test_a_record_is_run_through_once_and_kept_as_long_as_it_is(world_model):
    candles = synthetic_candles(seed=3, bars=400)
    first = world_model.latents(candles)
    kept = world_model._run(candles)
    world_model.return_forecast(candles)
    assert world_model._run(candles) is kept
    assert world_model.recent(0.5)._run(candles) is kept
    first.z[:] = first.h[:] = 0.0  # the caller's own
    again = world_model.latents(candles)
    assert np.abs(again.z[again.valid]).max() > 0.0
    assert np.abs(again.h[again.valid]).max() > 0.0
    assert len(pickle.loads(pickle.dumps(world_model))._runs) == 0
    held = weakref.ref(candles)
    del candles
    gc.collect()
    assert held() is None
