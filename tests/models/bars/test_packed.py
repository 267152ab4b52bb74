"""The compiled dream of bars against PyTorch, and the bits of its lanes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.streamed_bars import bar_numbers
from worldmodel_trading.market.streams import AVERAGE_VOLUME, relative_volume
from worldmodel_trading.models.bar_world_model import (
    BarWorldModel,
    chosen,
    draw_bar_noise,
    start_lanes,
)
from worldmodel_trading.models.bars.dreaming import dream_bars
from worldmodel_trading.models.bars.networks import (
    FEATURE_LIMIT,
    BarRNN,
    mean_log_scale,
    return_parts,
    wick_parts,
)
from worldmodel_trading.models.bars.packed import BarLanes, BarNetwork
from worldmodel_trading.models.mixture import Mixture

DRAWS = 20_000


def with_calibration(
    model: BarWorldModel,
    *values: float,
    trust: tuple[float, float] = (1.0, 0.0),
    noise: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> BarWorldModel:
    """A world model of its own with those corrections."""
    twin = BarRNN(len(model.config.features.names), model.config)
    twin.load_state_dict(model.mdn_rnn.state_dict())
    twin.calibration[:], twin.mean_trust[:] = torch.tensor(values), torch.tensor(trust)
    twin.noise_calibration[:] = torch.tensor(noise)
    kept = (model.config, model.provenance, model.scaler, model.vae)
    return BarWorldModel(*kept, twin, model.bank)


@pytest.fixture(scope="module")
def plain(market_model: BarWorldModel) -> BarWorldModel:
    """The tiny model as M was trained: nothing is corrected."""
    return with_calibration(market_model, 0.0, 0.0, 0.0, 0.0)


def step(
    model: BarWorldModel, lanes: BarLanes, noise: np.ndarray, temperature: float = 1.0
) -> BarLanes:
    dream_bars(*lanes, *model.network, noise, 0, np.float32(temperature), False)
    return lanes


def told_of(model: BarWorldModel, lanes: BarLanes) -> tuple[torch.Tensor, ...]:
    """Trunk, standardised features and calendar of each lane's next bar, by PyTorch."""
    step_ms = model.provenance.interval_ms
    calendars = torch.from_numpy(model.calendars(lanes.open_time_ms + step_ms))
    known = torch.from_numpy(lanes.z[:, : model.config.forecast_size].copy())
    trunk = model.mdn_rnn.trunk(known, calendars, torch.from_numpy(lanes.h.copy()))
    return trunk, torch.from_numpy(lanes.features.copy()), calendars


def as_float32(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))


def cdf(mixture: Mixture, values: np.ndarray, shift: float = 0.0) -> np.ndarray:
    """Of each value [N] in its mixture of one dimension, so much added to its log σ."""
    weights = torch.softmax(mixture.logits, dim=-1).numpy()
    means, sigmas = (
        mixture.means[..., 0].numpy(),
        (mixture.log_sigmas + shift)[..., 0].exp().numpy(),
    )
    found: np.ndarray = (weights * norm.cdf((values[:, None] - means) / sigmas)).sum(-1)
    return found


def assert_uniform(values: np.ndarray) -> None:
    assert kstest(values, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(
    ("segment", "noise"), [(0, (0.0, 0.0, 0.0)), (7, (0.0, 0.0, 0.0)), (0, (0.3, -0.4, 0.2))]
)
def test_draws_are_those_of_the_mixtures_that_pytorch_tells(
    segment: int, noise: tuple[float, float, float], market_model: BarWorldModel
) -> None:
    """Rosenblatt (1952): a draw's place in its conditional distribution is uniform."""
    plain = with_calibration(market_model, 0.0, 0.0, 0.0, 0.0, noise=noise)
    rng = np.random.default_rng(segment)
    lanes = chosen(start_lanes(plain), np.full(DRAWS, segment))
    average = lanes.memory[0, AVERAGE_VOLUME]
    trunk, features, calendars = told_of(plain, lanes)
    step(plain, lanes, draw_bar_noise(rng, DRAWS, 1)[0])
    scaled = lanes.drawn[:, :3] / float(plain.mdn_rnn.return_scale)

    returns = plain.mdn_rnn.return_mixture(trunk)
    assert_uniform(cdf(returns, scaled[:, 0]))
    log_scale = mean_log_scale(returns)
    parts, height = return_parts(as_float32(scaled[:, 0]), log_scale), np.abs(scaled[:, 0])
    for side, wick, wider in (
        ("upper", scaled[:, 1], noise[0]),
        ("lower", scaled[:, 2], noise[1]),
    ):
        logit, mixture = plain.mdn_rnn.wick(side, trunk, parts)
        none = torch.sigmoid(logit).numpy()
        drawn = wick > 0.0
        units = np.log(np.where(drawn, wick, 1.0)) - log_scale.numpy()
        place = none + (1.0 - none) * cdf(mixture, units, wider)
        assert_uniform(np.where(drawn, place, none * rng.random(DRAWS)))
        height += wick
        told = wick_parts(as_float32(wick), as_float32(height), log_scale)
        parts = torch.cat([parts, told], dim=-1)
    volume = plain.mdn_rnn.volume_mixture(trunk, features, calendars, parts)
    relative = np.array([relative_volume(v, average) for v in lanes.drawn[:, 3]])
    some = lanes.drawn[:, 3] > 0.0
    assert some.mean() > 0.99
    assert_uniform(cdf(volume, relative, noise[2])[some])


def test_without_temperature_the_likeliest_comes(plain: BarWorldModel) -> None:
    lanes = chosen(start_lanes(plain), np.arange(16))
    trunk, _, _ = told_of(plain, lanes)
    mixture = plain.mdn_rnn.return_mixture(trunk)
    best = mixture.logits.argmax(-1, keepdim=True)
    expected = mixture.means[..., 0].gather(-1, best)[:, 0].numpy()
    noises = draw_bar_noise(np.random.default_rng(0), 16, 2)
    one, two = (step(plain, chosen(lanes, np.arange(16)), n, 0.0).drawn for n in noises)
    np.testing.assert_allclose(
        one[:, 0] / float(plain.mdn_rnn.return_scale), expected, rtol=1e-4, atol=1e-6
    )
    np.testing.assert_array_equal(one, two)


def test_a_higher_temperature_draws_wider(plain: BarWorldModel) -> None:
    noise = draw_bar_noise(np.random.default_rng(0), 4_000, 1)[0]
    lanes = chosen(start_lanes(plain), np.zeros(4_000, dtype=np.int64))
    sizes = [
        np.abs(step(plain, chosen(lanes, np.arange(4_000)), noise, tau).drawn[:, 0]).mean()
        for tau in (0.0, 0.5, 1.0, 2.0)
    ]
    assert sizes == sorted(sizes)
    assert sizes[3] > 1.2 * sizes[2]


def test_a_shift_of_log_sigma_scales_the_return(
    market_model: BarWorldModel, plain: BarWorldModel
) -> None:
    """Means are told in deviations of their component: shift and return go together, exactly."""
    noise = draw_bar_noise(np.random.default_rng(0), 16, 1)[0]
    shifted = with_calibration(market_model, np.log(1.5), 0.25, 0.0, 0.0)
    before, after = (step(m, start_lanes(m), noise).drawn for m in (plain, shifted))
    np.testing.assert_allclose(after[:, 0], 1.5 * before[:, 0], rtol=1e-5)


def test_of_the_mean_only_what_is_trusted_is_dreamed_and_forecast(
    market_model: BarWorldModel, plain: BarWorldModel
) -> None:
    share, level = 0.25, 0.02
    wary = with_calibration(market_model, 0.0, 0.0, 0.0, 0.0, trust=(share, level))
    noise = draw_bar_noise(np.random.default_rng(0), 16, 1)[0]
    lanes = start_lanes(plain)
    following = lanes.open_time_ms + plain.provenance.interval_ms
    state = torch.from_numpy(lanes.h.copy()), torch.from_numpy(lanes.z.copy())
    bold, told = (
        np.sum(weights * means, axis=1)
        for weights, means, _ in (
            model.return_mixture(*state, following) for model in (plain, wary)
        )
    )
    percent = 100.0 * float(plain.mdn_rnn.return_scale)
    expected = share * bold + (1.0 - share) * level * percent
    np.testing.assert_allclose(told, expected, atol=1e-5)
    before, after = (step(m, start_lanes(m), noise).drawn[:, 0] for m in (plain, wary))
    np.testing.assert_allclose(100.0 * (after - before), (told - bold)[: len(after)], atol=1e-5)


def test_the_pull_brings_the_level_back(market_model: BarWorldModel, plain: BarWorldModel) -> None:
    noise = draw_bar_noise(np.random.default_rng(0), 16, 1)[0]
    pulled = with_calibration(market_model, 0.0, 0.0, 0.05, 0.2)
    level = market_model.config.features.names.index("level")
    before, after = start_lanes(plain), start_lanes(pulled)
    expected = np.exp(0.05 * (0.2 - before.features[:, level]))
    step(plain, before, noise)
    step(pulled, after, noise)
    np.testing.assert_allclose(after.drawn[:, 0], expected * before.drawn[:, 0], rtol=1e-5)


def test_v_is_that_of_pytorch(market_model: BarWorldModel, candles: Candles) -> None:
    features = market_model.features(candles)[400:]
    scaled = market_model.scaler.transform(features)
    with torch.no_grad():
        expected = market_model.vae.encode(torch.from_numpy(scaled)).mean.numpy()
    np.testing.assert_allclose(market_model.encode(features), expected, atol=1e-5)


def test_v_has_the_same_bits_for_a_bar_in_any_company(
    market_model: BarWorldModel, candles: Candles
) -> None:
    features = market_model.features(candles)[400:1_000]
    together = market_model.encode(features)
    np.testing.assert_array_equal(
        np.concatenate([market_model.encode(f[None]) for f in features]), together
    )
    np.testing.assert_array_equal(market_model.encode(features[255:262]), together[255:262])
    assert np.isnan(market_model.encode(np.full((1, features.shape[1]), np.nan))).all()


def test_m_hears_as_pytorch_does(market_model: BarWorldModel, candles: Candles) -> None:
    latents = market_model.latents(candles)
    first = int(np.flatnonzero(latents.valid)[0]) - market_model.config.warmup_bars + 1
    z = market_model.encode(market_model.features(candles)[first : first + 200])
    times = candles.open_time_ms[first : first + 200] + candles.interval_ms
    known = torch.from_numpy(z[None, :, : market_model.config.forecast_size].copy())
    with torch.no_grad():
        hidden = market_model.mdn_rnn.remember(
            known, torch.from_numpy(market_model.calendars(times))[None]
        )
    kept = slice(market_model.config.warmup_bars - 1, 200)
    np.testing.assert_allclose(
        latents.h[first : first + 200][kept], hidden[0, kept].numpy(), atol=1e-5
    )


def dreamed(model: BarWorldModel, lanes: BarLanes, noises: np.ndarray) -> list[np.ndarray]:
    """What lanes are after every step."""
    seen = []
    for noise in noises:
        step(model, lanes, np.ascontiguousarray(noise))
        seen.append(np.concatenate([lanes.drawn, lanes.z, lanes.h, lanes.c, lanes.raw], axis=1))
    return seen


@pytest.mark.parametrize("count", [1, 5, 6, 31])
def test_a_lane_has_the_same_bits_in_any_company(count: int, market_model: BarWorldModel) -> None:
    rng = np.random.default_rng(3)
    where = np.resize(np.arange(16), 64)
    noises = draw_bar_noise(rng, 64, 40)
    starts = start_lanes(market_model)
    everyone = np.array(dreamed(market_model, chosen(starts, where), noises))
    some = rng.permutation(64)[:count]
    alone = np.array(dreamed(market_model, chosen(starts, where[some]), noises[:, :, some]))
    np.testing.assert_array_equal(alone, everyone[:, some])


def test_noise_is_the_same_drawn_at_once_or_step_by_step() -> None:
    at_once = draw_bar_noise(np.random.default_rng(2), 7, 5)
    rng = np.random.default_rng(2)
    np.testing.assert_array_equal(at_once, [draw_bar_noise(rng, 7, 1)[0] for _ in range(5)])
    assert at_once.shape == (5, 8, 7)
    many = draw_bar_noise(np.random.default_rng(0), 20_000, 1)[0]
    for row in many[:4]:
        assert_uniform(row)
    for row in many[4:]:
        assert kstest(row, "norm").pvalue > 1e-3


def test_no_dreamed_bar_is_impossible(market_model: BarWorldModel) -> None:
    rng = np.random.default_rng(5)
    lanes = chosen(start_lanes(market_model), np.resize(np.arange(16), 200))
    for noise in draw_bar_noise(rng, 200, 300):
        step(market_model, lanes, noise, 1.5)
        assert np.isfinite(lanes.drawn).all()
        assert (lanes.drawn[:, 1:] >= 0.0).all()
        assert np.isfinite(lanes.raw).all()
        assert np.abs(lanes.features).max() <= FEATURE_LIMIT


def test_lanes_that_live_a_record_see_what_the_batch_computes(
    market_model: BarWorldModel, candles: Candles
) -> None:
    features, z = market_model.features(candles), None
    lanes = BarLanes.empty(1, market_model.config)
    numbers = bar_numbers(candles)
    lanes.open_time_ms[:] = candles.open_time_ms[0]
    z = market_model.encode(features)
    nothing = np.zeros((8, 0), dtype=np.float32)
    for t in range(1, 600):
        lanes.drawn[0] = numbers[t]
        dream_bars(*lanes, *market_model.network, nothing, 0, np.float32(1), True)
        assert lanes.open_time_ms[0] == candles.open_time_ms[t]
        if t >= market_model.config.features.warmup:
            np.testing.assert_array_equal(lanes.raw[0], features[t])
            np.testing.assert_array_equal(lanes.z[0], z[t])


def test_a_network_is_laid_out_anew_for_other_weights(plain: BarWorldModel) -> None:
    network = BarNetwork.of(plain.vae, plain.mdn_rnn, plain.scaler, plain.config)
    np.testing.assert_array_equal(network.parameters, plain.network.parameters)
    assert network.parameters.ctypes.data % 64 == 0
