"""A world model of bars as one object: kept, copied, asked for densities."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from worldmodel_trading.market import arrays
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ModelFileError
from worldmodel_trading.market.streamed_bars import bar_numbers, stream_memories
from worldmodel_trading.market.streams import relative_volume_slope
from worldmodel_trading.models.bar_world_model import (
    BarWorldModel,
    chosen,
    draw_bar_noise,
    start_lanes,
)
from worldmodel_trading.models.bars.dreaming import dream_bars
from worldmodel_trading.models.bars.networks import FEATURE_LIMIT, BarDensities
from worldmodel_trading.models.storage import CONFIG_FILE
from worldmodel_trading.models.world_model import WorldModel


def dream(model: BarWorldModel, bars: int = 60) -> np.ndarray:
    """Bars of one lane from each segment of the bank [T, N, 4]."""
    lanes = start_lanes(model)
    noises = draw_bar_noise(np.random.default_rng(1), len(lanes.z), bars)
    seen = []
    for noise in noises:
        dream_bars(*lanes, *model.network, noise, 0, np.float32(1), False)
        seen.append(lanes.drawn.copy())
    return np.array(seen)


def test_a_loaded_model_is_the_saved_one(
    market_model: BarWorldModel, candles: Candles, tmp_path: Path
) -> None:
    market_model.save_pretrained(tmp_path / "a")
    loaded = WorldModel.from_pretrained(tmp_path / "a")
    assert isinstance(loaded, BarWorldModel)
    assert (loaded.config, loaded.provenance) == (market_model.config, market_model.provenance)
    assert loaded.fingerprint == market_model.fingerprint
    np.testing.assert_array_equal(dream(loaded), dream(market_model))
    np.testing.assert_array_equal(loaded.latents(candles).h, market_model.latents(candles).h)
    loaded.save_pretrained(tmp_path / "b")
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    assert isinstance(BarWorldModel.from_pretrained(tmp_path / "a"), BarWorldModel)


def test_a_changed_file_is_refused(market_model: BarWorldModel, tmp_path: Path) -> None:
    market_model.save_pretrained(tmp_path)
    file = tmp_path / CONFIG_FILE
    file.write_text(file.read_text().replace('"forecast_size": 2', '"forecast_size": 1'))
    with pytest.raises(ModelFileError, match="SHA-256 differs"):
        WorldModel.from_pretrained(tmp_path)


def test_a_copy_dreams_the_same(market_model: BarWorldModel) -> None:
    dreams = dream(market_model)
    copied = pickle.loads(pickle.dumps(market_model))
    np.testing.assert_array_equal(dream(copied), dreams)
    assert copied.fingerprint == market_model.fingerprint


@pytest.mark.parametrize("name", ["calibration", "noise_calibration"])
def test_calibration_is_part_of_what_a_model_is(name: str, market_model: BarWorldModel) -> None:
    copied = pickle.loads(pickle.dumps(market_model))
    getattr(copied.mdn_rnn, name)[0] += 0.01
    assert copied.recent(1.0).fingerprint != market_model.fingerprint


def test_recent_dreams_begin_in_the_last_segments(market_model: BarWorldModel) -> None:
    recent = market_model.recent(0.25)
    assert isinstance(recent, BarWorldModel)
    assert len(recent.bank) == 4
    np.testing.assert_array_equal(recent.bank.memory, market_model.bank.memory[-4:])
    starts = start_lanes(market_model)
    for mine, theirs in zip(start_lanes(recent), chosen(starts, np.arange(12, 16)), strict=True):
        np.testing.assert_array_equal(mine[..., :0], theirs[..., :0])
    np.testing.assert_array_equal(start_lanes(recent).h, starts.h[-4:])


def test_the_bank_remembers_what_the_record_taught(
    market_model: BarWorldModel, candles: Candles
) -> None:
    bank = market_model.bank
    rows = np.searchsorted(candles.open_time_ms, bank.open_time_ms)
    np.testing.assert_array_equal(candles.close[rows], bank.close)
    spec = market_model.config.features
    np.testing.assert_array_equal(stream_memories(candles, spec, rows), bank.memory)
    features = market_model.features(candles)
    np.testing.assert_array_equal(features[rows], bank.features)
    np.testing.assert_array_equal(market_model.encode(features[rows]), bank.z[:, -1])
    np.testing.assert_allclose(bank.bars[:, -1], bar_numbers(candles)[rows], rtol=1e-6)
    starts = start_lanes(market_model)
    np.testing.assert_array_equal(starts.z, bank.z[:, -1])
    scaled = np.clip(market_model.scaler.transform(bank.features), -FEATURE_LIMIT, FEATURE_LIMIT)
    np.testing.assert_allclose(starts.features, scaled, atol=1e-5)


def densities(model: BarWorldModel, candles: Candles, rows: np.ndarray) -> BarDensities:
    """Of the bars after those rows, by PyTorch."""
    latents, features = model.latents(candles), model.features(candles)
    scale = float(model.mdn_rnn.return_scale)
    bars = bar_numbers(candles)[rows + 1] / np.array([scale, scale, scale, 1.0])
    bars[:, 3] = features[rows + 1, model.config.features.names.index("volume")]
    told = torch.from_numpy(model.calendars(candles.open_time_ms[rows] + candles.interval_ms))
    known = torch.from_numpy(latents.z[rows, : model.config.forecast_size].copy())
    seen = torch.from_numpy(model.scaler.transform(features[rows])).clamp(-6.0, 6.0)
    with torch.no_grad():
        trunk = model.mdn_rnn.trunk(known, told, torch.from_numpy(latents.h[rows]))
        return model.mdn_rnn.bar_log_prob(trunk, seen, told, torch.from_numpy(bars).float())


def test_a_bar_s_density_is_the_product_of_its_parts(
    market_model: BarWorldModel, candles: Candles
) -> None:
    """In units that no model chose: percent, and the logarithms of wicks and volume."""
    rows = np.arange(2_000, 2_500)
    parts = market_model.bar_log_prob_parts(candles)
    own = [part.numpy() for part in densities(market_model, candles, rows)]
    percent = 100.0 * np.diff(np.log(candles.close))[rows]
    forecast = market_model.return_forecast(candles).rows(2_000, 2_500)
    np.testing.assert_allclose(parts[rows, 0], forecast.log_prob(percent), atol=1e-4)
    np.testing.assert_allclose(parts[rows, 1], own[1], atol=1e-4)  # a log wick's units are a shift
    np.testing.assert_allclose(parts[rows, 2], own[2], atol=1e-4)
    column = market_model.config.features.names.index("volume")
    slope = relative_volume_slope(market_model.features(candles)[rows + 1, column])
    np.testing.assert_allclose(parts[rows, 3], own[3] + np.log(slope), atol=1e-4)
    total = market_model.bar_log_prob(candles)
    np.testing.assert_array_equal(total, parts.sum(axis=1))
    np.testing.assert_array_equal(
        np.isfinite(total), np.append(market_model.latents(candles).valid[:-1], False)
    )


def test_a_bar_without_volume_has_no_density(market_model: BarWorldModel, candles: Candles) -> None:
    columns = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
    part = {name: getattr(candles, name)[:1_000].copy() for name in columns}
    part["volume"][900] = part["turnover"][900] = 0.0
    found = market_model.bar_log_prob_parts(Candles(**part, symbol=candles.symbol))
    assert np.isnan(found[899]).all()
    assert np.isfinite(found[[898, 900]]).all()


def test_densities_integrate_to_one(market_model: BarWorldModel, candles: Candles) -> None:
    """Of the return; and of a wick, its chance to be none included."""
    mdn_rnn, row = market_model.mdn_rnn, np.array([2_000])
    latents = market_model.latents(candles)
    told = torch.from_numpy(market_model.calendars(candles.open_time_ms[row] + candles.interval_ms))
    known = torch.from_numpy(latents.z[row, : market_model.config.forecast_size].copy())
    trunk = mdn_rnn.trunk(known, told, torch.from_numpy(latents.h[row]))
    features = torch.zeros(1, len(market_model.config.features.names))

    def density(part: int, *bar: float) -> float:
        with torch.no_grad():
            found = mdn_rnn.bar_log_prob(trunk, features, told, torch.tensor([bar]))
        return float(found[part].exp())

    total, _ = quad(lambda r: density(0, r, 0.1, 0.1, 0.0), -12, 12, limit=200)
    assert total == pytest.approx(1.0, abs=1e-4)
    for part, bar in ((1, (0.3, None, 0.1, 0.0)), (2, (-0.4, 0.2, None, 0.0))):

        def at(wick: float, part: int = part, bar: tuple = bar) -> float:
            return density(part, *(wick if number is None else number for number in bar))

        drawn, _ = quad(lambda u, at=at: at(float(np.exp(u))), -20, 8, limit=200)
        none = at(0.0)
        assert 0.0 < none < 1.0
        assert none + drawn == pytest.approx(1.0, abs=1e-3)
    total, _ = quad(lambda v: density(3, 0.2, 0.0, 0.1, v), -15, 15, limit=200)
    assert total == pytest.approx(1.0, abs=1e-4)


def test_the_forecast_belongs_to_the_bar_after(
    market_model: BarWorldModel, candles: Candles
) -> None:
    """What comes later changes no forecast."""
    whole, part = (market_model.return_forecast(c) for c in (candles, candles.rows(0, 1_200)))
    for name in ("weights", "means", "sigmas"):
        np.testing.assert_allclose(getattr(whole, name)[:1_200], getattr(part, name), rtol=1e-5)
    assert not whole.valid[: market_model.config.features.warmup].any()
    assert whole.valid[1_200:].all()


def test_what_z_still_knows_is_decoded(market_model: BarWorldModel) -> None:
    z = market_model.bank.z[:, -1]
    decoded = market_model.decode(z)
    with torch.no_grad():
        expected = market_model.scaler.inverse(market_model.vae.decode(torch.from_numpy(z)).numpy())
    np.testing.assert_allclose(decoded, expected, rtol=1e-4, atol=1e-5)


def test_a_forecast_from_a_warm_up_is_that_of_the_record(
    market_model: BarWorldModel, candles: Candles
) -> None:
    """The first segment of the bank begins where the record's state does."""
    bank = market_model.bank
    state = market_model.warm_up(bank.z[:1], bank.open_time_ms[:1])
    np.testing.assert_array_equal(state.latent.numpy(), bank.z[:1, -1])
    following = bank.open_time_ms[:1] + candles.interval_ms
    found = market_model.return_mixture(state.hidden, state.latent, following)
    row = int(np.searchsorted(candles.open_time_ms, bank.open_time_ms[0]))
    expected = market_model.return_forecast(candles).rows(row, row + 1)
    for mine, theirs in zip(
        found, (expected.weights, expected.means, expected.sigmas), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-7)


def test_a_record_taken_in_chunks_says_the_same(monkeypatch, market_model, candles) -> None:
    record = candles.rows(0, 1_400)
    whole = market_model.latents(record), market_model.bar_log_prob(record)
    forecast = market_model.return_forecast(record)
    monkeypatch.setattr(arrays, "CHUNK_BARS", 333)
    again = candles.rows(0, 1_400)
    np.testing.assert_array_equal(market_model.latents(again).z, whole[0].z)
    np.testing.assert_array_equal(market_model.latents(again).h, whole[0].h)
    np.testing.assert_allclose(market_model.bar_log_prob(again), whole[1], atol=1e-5)
    part = market_model.bar_log_prob(again, (500, 1_100))
    np.testing.assert_allclose(part, whole[1][500:1_100], atol=1e-5)
    made = market_model.return_forecast(again)
    some = market_model.return_forecast(again, (500, 700))
    for part in ("weights", "means", "sigmas"):
        whole_part = getattr(forecast, part)
        np.testing.assert_allclose(getattr(made, part), whole_part, atol=1e-6)
        np.testing.assert_allclose(getattr(some, part), whole_part[500:700], atol=1e-6)
    np.testing.assert_array_equal(some.open_time_ms, again.open_time_ms[500:700])
