"""World models that see more than candles: training, artefact, and how columns go on in dreams."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from worldmodel_trading.agents.live import LiveTrader
from worldmodel_trading.agents.rules import flat
from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.engine.bar_engine import BarEngine
from worldmodel_trading.envs.engine.base import Noise
from worldmodel_trading.envs.engine.opening import open_engine
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, TrainingError, WorldModelTradingError
from worldmodel_trading.market.funding import FundingRates
from worldmodel_trading.market.series import with_funding
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.bar_world_model import BarWorldModel, draw_bar_noise, noise_rows
from worldmodel_trading.models.bars.config import MarketConfig
from worldmodel_trading.models.bars.networks import mean_log_scale, return_parts, wick_parts
from worldmodel_trading.models.config import PaperConfig
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel

HOUR = 3_600_000
GROUPS = ("volume_profile", "funding", "column:tide:lag=0", "column:depth:dream=held")
TRAIN = 1_400
SMALL = {
    **dict.fromkeys(("forecast_epochs", "vae_epochs", "mdn_rnn_epochs"), 1),
    **{"head_epochs": 3, "calibration_rounds": 1, "bank_segments": 6, "warmup_bars": 24},
    **{"chunk_bars": 48, "burn_in_bars": 12},
}


@pytest.fixture(scope="module")
def candles() -> Candles:
    """Synthetic bars with a slow wave, a column that has nothing to do with them, and funding."""
    rng = np.random.default_rng(0)
    plain = synthetic_candles().rows(0, 2_000)
    wave = np.convolve(rng.normal(size=2_000), np.ones(30) / 30, mode="same")
    columns = {"tide": wave, "depth": rng.lognormal(size=2_000)}
    instants = int(plain.open_time_ms[0]) - 24 * HOUR + 8 * HOUR * np.arange(260)
    rates = FundingRates(instants, rng.normal(1e-4, 3e-5, 260))
    made = replace(plain, columns=columns, column_sources=dict.fromkeys(columns, "a test"))
    return with_funding(made, rates, "some rates")


@pytest.fixture(scope="module", params=[1, 2])
def model(request: pytest.FixtureRequest, candles: Candles) -> BarWorldModel:
    """A tiny world model, of one member and of two."""
    config = MarketConfig.for_interval("60", features=GROUPS, members=request.param, **SMALL)
    made, _ = train_world_model(candles.rows(0, TRAIN), candles.rows(TRAIN, 2_000), config, seed=3)
    assert isinstance(made, BarWorldModel)
    return made


def test_the_artefact_says_what_it_sees_and_comes_back(
    model: BarWorldModel, candles: Candles, tmp_path: Path
) -> None:
    assert model.config.to_dict()["features"] == {"interval": "60", "more": GROUPS}
    assert "more" not in MarketConfig().to_dict()["features"]  # as without groups
    told = model.provenance.columns
    assert set(told) == {"funding_rate", "funding_hours", "funding_due", "tide", "depth"}
    assert told["tide"].startswith("a test, from ")
    assert told["funding_rate"].startswith("some rates, from ")
    model.save_pretrained(tmp_path)
    again = WorldModel.from_pretrained(tmp_path)
    assert again.fingerprint == model.fingerprint
    assert again.provenance == model.provenance
    np.testing.assert_array_equal(again.latents(candles).z, model.latents(candles).z)
    paths = [[path.data_hash() for path in one.hallucinate(3, 40)] for one in (model, again)]
    assert paths[0] == paths[1]
    density = model.bar_log_prob(candles)
    assert np.isfinite(density[400:-1]).all()


def test_a_dream_forced_along_a_record_sees_what_replay_sees(
    model: BarWorldModel, candles: Candles
) -> None:
    start = candles.open_time_ms[TRAIN]
    for observation in ("latent", "features"):
        shared = {"world_model": model, "observation": observation}
        replay = BybitReplayEnv(
            candles, start=start, episode_length=60, random_start=False, **shared
        )
        forced = DreamEnv(horizon=60, **shared)
        seen = [replay.reset(seed=0)[0]]
        where = {"candles": candles, "start": start}
        lived = [forced.reset(seed=0, options=where)[0]]
        for _ in range(50):
            action = np.array([0.4], dtype=np.float32)
            seen.append(replay.step(action)[0])
            lived.append(forced.step(action)[0])
        known = (
            slice(None, -1) if observation == "features" else slice(None, model.config.latent_size)
        )
        np.testing.assert_array_equal(np.array(lived)[:, known], np.array(seen)[:, known])
        # M has heard 24 bars before the dream, and all there are before the replay
        np.testing.assert_allclose(lived, seen, atol=1e-4)


def test_columns_in_a_dream(model: BarWorldModel) -> None:
    engine = open_engine(model)
    assert isinstance(engine, BarEngine)
    state, names = engine.start(np.arange(4)), list(model.config.features.names)
    first = {name: state.features[:, names.index(name)].copy() for name in names[-5:]}
    rng, lived = np.random.default_rng(1), []
    for _ in range(40):
        engine.step(state, np.zeros(4), engine.draw_noise(rng, 4))
        lived.append(state.features.copy())
    column = {name: np.array(lived)[:, :, names.index(name)] for name in names[-5:]}
    np.testing.assert_array_equal(column["column_depth"], np.tile(first["column_depth"], (40, 1)))
    assert (column["column_funding_hours"] == 8.0).all()
    due = column["column_funding_due"]
    expected = 8.0 - (8.0 - first["column_funding_due"] + np.arange(1, 41)[:, None]) % 8.0
    np.testing.assert_allclose(due, expected)
    assert (np.diff(column["column_tide"], axis=0) != 0.0).mean() > 0.9  # it never stood still
    assert np.isfinite(lived).all()


def test_lanes_alone_are_lanes_among_others(model: BarWorldModel) -> None:
    engine = open_engine(model)
    rows = noise_rows(model.config)
    assert rows == 12  # a pair for each of two dreamed columns
    noise = draw_bar_noise(np.random.default_rng(2), 5, 20, rows)
    together, alone = engine.start(np.arange(5)), engine.start(np.array([3]))
    for step in noise:
        engine.step(together, np.zeros(5), Noise(step))
        part = np.ascontiguousarray(step[:, 3:4])
        engine.step(alone, np.zeros(1), Noise(part))
    np.testing.assert_array_equal(together.features[3], alone.features[0])
    np.testing.assert_array_equal(together.z[3], alone.z[0])


def test_the_scalar_and_the_vector_dream_are_one(model: BarWorldModel) -> None:
    shared = {"world_model": model, "horizon": 50, "observation": "features"}
    one = DreamEnv(**shared)
    many = gym.make_vec("WorldModelDream-v0", num_envs=1, **shared)
    seen = [one.reset(seed=4, options={"segment": 2})[0]]
    lanes = [many.reset(seed=4, options={"segment": 2})[0][0]]
    for _ in range(40):
        seen.append(one.step(np.array([0.5], dtype=np.float32))[0])
        lanes.append(many.step(np.array([[0.5]], dtype=np.float32))[0][0])
    np.testing.assert_array_equal(np.array(seen), np.array(lanes))


def test_a_drawn_change_is_that_of_the_mixture(candles: Candles, model: BarWorldModel) -> None:
    """The compiled draw of both columns against PyTorch's heads, from the same noise."""
    if model.others:
        pytest.skip("the heads are the same modules")
    engine, rnn = open_engine(model), model.mdn_rnn
    state = engine.start(np.arange(6))
    features = torch.from_numpy(state.lanes.features.copy())
    z, h = torch.from_numpy(state.z.copy()), torch.from_numpy(state.h.copy())
    before = state.lanes.drawn.copy()
    told = torch.from_numpy(model.calendars(state.open_time_ms + HOUR))
    table = draw_bar_noise(np.random.default_rng(3), 6, 1, noise_rows(model.config))[0]
    engine.step(state, np.zeros(6), Noise(table))
    drawn = state.lanes.drawn
    with torch.no_grad():
        trunk = rnn.trunk(z[:, : model.config.forecast_size], told, h)
        shift = rnn.calibration[0] + rnn.calibration[2] * (
            rnn.calibration[3] - features[:, model.config.features.names.index("level")]
        )
        scale = mean_log_scale(rnn.return_mixture(trunk, shift))
        unit = float(rnn.return_scale)
        bar = torch.from_numpy((drawn[:, :3] / unit).astype(np.float32))
        heights = bar.abs().cumsum(dim=-1)
        volume = torch.from_numpy(
            state.features[:, [model.config.features.names.index("volume")]].astype(np.float32)
        )
        parts = [trunk, return_parts(bar[:, 0], scale)]
        parts += [wick_parts(bar[:, i], heights[:, i], scale) for i in (1, 2)]
        parts += [features, told, volume]
        scales = model.scaler.scale[-5:]
        for j, column in enumerate((0, 3)):  # funding_rate and tide among the five
            logit, mixture = rnn.change_mixture(j, torch.cat(parts, dim=-1))
            none, chance = torch.sigmoid(logit).numpy(), table[8 + j]
            left = (chance - none) / (1.0 - none)
            weights = torch.softmax(mixture.logits, dim=-1).numpy().cumsum(axis=1)
            which = (left[:, None] >= weights[:, :-1]).sum(axis=1)
            lanes = np.arange(6)
            mean = mixture.means[..., 0].numpy()[lanes, which]
            sigma = mixture.log_sigmas[..., 0].exp().numpy()[lanes, which]
            change = np.where(chance < none, 0.0, mean + sigma * table[10 + j])
            moved = (drawn - before)[:, 4 + column] / scales[column] / float(rnn.column_scale[j])
            np.testing.assert_allclose(moved, change, atol=2e-3)
            parts.append(torch.from_numpy(change.astype(np.float32))[:, None])


def test_a_live_trader_sees_what_replay_sees(model: BarWorldModel, candles: Candles) -> None:
    trader, z = LiveTrader(model, flat()), model.latents(candles).z
    trader.warm_up(candles.rows(0, 1_600))
    for row in range(1_600, 1_620):
        trader.update(candles.rows(row, row + 1))
        np.testing.assert_array_equal(trader._state.z[0], z[row])
    with pytest.raises(WorldModelTradingError, match="need the column"):
        trader.update(replace(candles.rows(1_620, 1_621), columns={}))


def test_what_is_withheld_is_held(candles: Candles) -> None:
    features = ("column:tide:lag=0",)
    assert MarketConfig(features=features).dreamed == (0,)
    assert MarketConfig(features=features, withheld=("column_tide",)).dreamed == ()


def test_training_says_what_it_lacks(candles: Candles) -> None:
    late = candles.columns["tide"].copy()
    late[:TRAIN] = np.nan
    parts = [
        replace(candles, columns={"tide": late}).rows(*rows)
        for rows in ((0, TRAIN), (TRAIN, 2_000))
    ]
    config = MarketConfig.for_interval("60", features="column:tide", **SMALL)
    with pytest.raises(
        TrainingError, match=r"tide has no value between .* or leave the feature out"
    ):
        train_world_model(*parts, config)
    late[TRAIN - 20 :] = 1.0
    parts = [
        replace(candles, columns={"tide": late}).rows(*rows)
        for rows in ((0, TRAIN), (TRAIN, 2_000))
    ]
    with pytest.raises(TrainingError, match=r"at least 49.*columns are known: tide from 20"):
        train_world_model(*parts, config)
    with pytest.raises(WorldModelTradingError, match="column tide"):
        train_world_model(*(replace(part, columns={}) for part in parts), config)


def test_the_paper_preset_keeps_its_features() -> None:
    with pytest.raises(ConfigError, match=r"paper .*market"):
        PaperConfig(features=("funding",))  # type: ignore[arg-type]


def test_a_device_refuses(model: BarWorldModel) -> None:
    from worldmodel_trading.envs.device.bar_dream import BarDream

    with pytest.raises(ConfigError, match=r"sees volume_profile, funding.*on the CPU"):
        BarDream(open_engine(model), torch.device("cpu"))  # type: ignore[arg-type]
