"""Nothing up to the close of bar t may depend on a bar after t, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.agents.rules import flat
from worldmodel_trading.envs.recorded import latent_record
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.rollout import evaluate_policy
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import TrainingBarsError
from worldmodel_trading.market.features import compute_features
from worldmodel_trading.models.config import PaperConfig
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel

CUTS = (700, 1_203)


def with_another_future(candles: Candles, row: int, seed: int = 0) -> Candles:
    """The same bars up to ``row``; random but valid ones after it, wilder than any market."""
    rng = np.random.default_rng(seed)
    count = len(candles) - row - 1
    close = candles.close[row] * np.exp(np.cumsum(rng.normal(0.0, 0.08, count)))
    opened = np.concatenate([candles.close[row : row + 1], close[:-1]])
    spread = np.exp(rng.exponential(0.05, (2, count)))
    columns = {
        "open": opened,
        "high": np.maximum(opened, close) * spread[0],
        "low": np.minimum(opened, close) / spread[1],
        "close": close,
        "volume": rng.lognormal(9.0, 2.0, count),
        "turnover": rng.lognormal(14.0, 2.0, count),
    }
    changed = {
        name: np.concatenate([getattr(candles, name)[: row + 1], values])
        for name, values in columns.items()
    }
    return replace(candles, **changed)


def controller(size: int) -> LinearController:
    return LinearController(np.random.default_rng(8).normal(0.0, 0.5, size + 1))


def equal_up_to(row: int, one: np.ndarray, two: np.ndarray) -> bool:
    assert not np.array_equal(one[row + 1 :], two[row + 1 :], equal_nan=True)  # the change bites
    return np.array_equal(one[: row + 1], two[: row + 1], equal_nan=True)


@pytest.mark.parametrize("row", CUTS)
def test_features(row: int, candles: Candles) -> None:
    other = with_another_future(candles, row)
    assert equal_up_to(row, compute_features(candles), compute_features(other))


@pytest.mark.parametrize("row", CUTS)
def test_latents_and_forecasts(row: int, candles: Candles, tiny_model: WorldModel) -> None:
    other = with_another_future(candles, row)
    one, two = tiny_model.latents(candles), tiny_model.latents(other)
    assert equal_up_to(row, one.z, two.z)
    assert equal_up_to(row + (tiny_model.config.preset == "paper"), one.h, two.h)
    np.testing.assert_array_equal(one.valid, two.valid)
    forecast, other_forecast = (tiny_model.return_forecast(c) for c in (candles, other))
    for name in ("weights", "means", "sigmas"):
        assert equal_up_to(row, getattr(forecast, name), getattr(other_forecast, name))


@pytest.mark.parametrize("row", CUTS)
def test_replay_shows_and_settles_nothing_from_later(
    row: int, candles: Candles, tiny_model: WorldModel
) -> None:
    one = latent_record(candles, tiny_model)
    two = latent_record(with_another_future(candles, row), tiny_model)
    assert equal_up_to(row, one.view, two.view)
    assert equal_up_to(row, one.bars, two.bars)


@pytest.mark.parametrize("seen", ["features", "latent"])
@pytest.mark.parametrize("row", CUTS)
def test_observations_actions_and_rewards(
    row: int, seen: str, candles: Candles, tiny_model: WorldModel
) -> None:
    model = tiny_model if seen == "latent" else None

    def course(record: Candles) -> list[tuple[int, np.ndarray, np.ndarray, float]]:
        env = BybitReplayEnv(record, model, episode_length=None, random_start=False)
        policy = controller(env.observation_layout["account"].stop)
        observation, info = env.reset()
        steps = []
        reward = 0.0
        for _ in range(row + 5 - env._row):
            action, _ = policy.predict(observation)
            steps.append((info["time_ms"], observation, action, reward))
            observation, reward, _, _, info = env.step(action)
        return steps

    until = int(candles.open_time_ms[row])
    one, two = course(candles), course(with_another_future(candles, row))
    known = [pair for pair in zip(one, two, strict=True) if pair[0][0] <= until]
    assert len(known) > 300
    for (_, observation, action, reward), (_, observation2, action2, reward2) in known:
        np.testing.assert_array_equal(observation, observation2)
        np.testing.assert_array_equal(action, action2)
        assert reward == reward2
    (_, after, _, earned), (_, after2, _, earned2) = one[len(known)], two[len(known)]
    assert not np.array_equal(after, after2)
    assert earned != earned2


def test_training_sees_only_its_ranges(candles: Candles) -> None:
    """Bars after the validation range change neither scaler nor weights nor bank."""
    config = PaperConfig(
        latent_size=2,
        vae_hidden_size=8,
        vae_epochs=1,
        hidden_size=4,
        num_components=1,
        mdn_rnn_epochs=1,
        chunk_bars=32,
        burn_in_bars=8,
        warmup_bars=8,
        bank_segments=4,
    )
    train_end, validation_end = 800, 1_100

    def trained(record: Candles) -> WorldModel:
        parts = record.rows(0, train_end), record.rows(train_end, validation_end)
        return train_world_model(*parts, config, seed=0)[0]

    one = trained(candles)
    two = trained(with_another_future(candles, validation_end - 1))
    np.testing.assert_array_equal(one.scaler.mean, two.scaler.mean)
    for name, weights in one.mdn_rnn.state_dict().items():
        np.testing.assert_array_equal(weights.numpy(), two.mdn_rnn.state_dict()[name].numpy())
    np.testing.assert_array_equal(one.bank.z, two.bank.z)
    # The scaler does not even see the validation range.
    three = trained(with_another_future(candles, train_end - 1))
    np.testing.assert_array_equal(one.scaler.mean, three.scaler.mean)
    np.testing.assert_array_equal(one.scaler.scale, three.scaler.scale)


def test_evaluation_refuses_bars_that_the_model_was_trained_on(
    candles: Candles, market_model: WorldModel
) -> None:
    seen = BybitReplayEnv(candles, market_model, episode_length=50)
    first_unseen = market_model.provenance.train_end_ms
    unseen = BybitReplayEnv(candles, market_model, start=first_unseen, episode_length=50)
    assert seen.training_bars > 1_000
    assert unseen.training_bars == 0
    with pytest.raises(TrainingBarsError, match="allow_training_bars"):
        evaluate_policy(seen, flat(), bars_per_year=8_760)
    told = evaluate_policy(seen, flat(), bars_per_year=8_760, allow_training_bars=True)
    assert told.performance.log_return == 0.0
    evaluate_policy(unseen, flat(), bars_per_year=8_760)
