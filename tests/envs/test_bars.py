"""Dreams of exact bars: what agents see and pay in them is what replay shows and pays."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from account_paths import account_path
from gymnasium.utils.env_checker import check_env
from rule_cases import CASES

from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.dream_funding import DreamFunding
from worldmodel_trading.envs.dream_lanes import DreamLanes
from worldmodel_trading.envs.dream_view import candles_of, warm_up_bars
from worldmodel_trading.envs.engine.bar_engine import BarEngine
from worldmodel_trading.envs.engine.opening import open_engine
from worldmodel_trading.envs.population.jobs import Dreams
from worldmodel_trading.envs.population.scorers import DreamWorkers
from worldmodel_trading.envs.population.scoring import (
    dream_paths,
    score_paths,
)
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.vector import DreamVectorEnv, ReplayVectorEnv
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.streamed_bars import bar_numbers
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.drift import with_drift
from worldmodel_trading.models.world_model import WorldModel

BARS = 120
START = 900


def replay_of(candles: Candles, model: WorldModel, **settings: Any) -> BybitReplayEnv:
    return BybitReplayEnv(candles, model, episode_length=BARS, **settings)


def actions(seed: int = 3, bars: int = BARS) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (bars, 1)).astype(np.float32)


@pytest.mark.parametrize(
    "account",
    [
        {},
        {"slippage": 0.0, "taker_fee": 0.002},
        {"no_trade_band": 0.05, "max_turnover": 0.5, "fill_delay": 1},
        {"leverage": 3.0, "intrabar": False},
        {"observation": "features"},
        {"account_observation": ("weight", "unrealised_profit", "bars_on_side")},
    ],
    ids=["plain", "other costs", "limits", "leverage", "features", "account"],
)
def test_a_dream_forced_along_a_record_is_replay_bit_for_bit(
    account: dict[str, Any], candles: Candles, market_model: BarWorldModel
) -> None:
    replay = replay_of(candles, market_model, **account)
    dream = DreamEnv(market_model, horizon=BARS, **account)
    start = int(candles.open_time_ms[START])
    seen, told = replay.reset(options={"start": start})
    dreamed, lived = dream.reset(options={"candles": candles, "start": start})
    assert told == lived
    assert replay.observation_layout == dream.observation_layout
    exact = np.ones(len(seen), dtype=bool)
    if "hidden" in replay.observation_layout:
        exact[replay.observation_layout["hidden"]] = False  # M heard 24 bars here, there hundreds
    for action in actions():
        np.testing.assert_array_equal(seen[exact], dreamed[exact])
        np.testing.assert_allclose(seen, dreamed, atol=0.05)
        seen, reward, terminated, truncated, info = replay.step(action)
        dreamed, same_reward, *ends, same_info = dream.step(action)
        assert reward == same_reward
        assert [terminated, truncated] == ends
        for key in ("equity", "weight", "cost", "market_return", "turnover", "time_ms"):
            assert info[key] == same_info[key]
        assert same_info["price"] == pytest.approx(info["price"], rel=1e-12)
    assert ends == [False, True]


@pytest.mark.parametrize(
    "account",
    [
        {"leverage": 50.0},
        {"slippage_per_range": 0.3, "leverage": 3.0},
        {"impact": 1.0, "impact_capital_usdt": 1e5},
    ],
    ids=["liquidation inside bars", "slippage by range", "impact"],
)
def test_highs_lows_and_volumes_of_a_forced_dream_are_the_record_s(
    account: dict[str, Any], candles: Candles, market_model: BarWorldModel
) -> None:
    """They go through logs of wicks, and turnover is volume × close: equal to rounding and to that."""
    replay = replay_of(candles, market_model, **account)
    dream = DreamEnv(market_model, horizon=BARS, **account)
    deepest = START + int(np.argmin(candles.low[START:2_400] / candles.close[START - 1 : 2_399]))
    start = int(candles.open_time_ms[deepest - 5])
    replay.reset(options={"start": start})
    dream.reset(options={"candles": candles, "start": start})
    tolerance = 1e-2 if "impact" in account else 1e-9
    costs, held = 0.0, np.ones((BARS, 1)) if account.get("leverage") == 50.0 else actions()
    for action in held:
        *_, over, _, info = replay.step(action)
        *_, also_over, _, lived = dream.step(action)
        assert over == also_over
        assert lived["equity"] == pytest.approx(info["equity"], rel=tolerance)
        assert lived["cost"] == pytest.approx(info["cost"], rel=tolerance, abs=1e-12)
        costs += info["cost"]
        if over:
            break
    assert costs > 0.0
    assert over == (account.get("leverage") == 50.0)


def test_m_ends_where_replay_s_does_once_it_has_heard_the_same(
    candles: Candles, market_model: BarWorldModel
) -> None:
    """h of a forced dream draws near replay's: what was before the warm-up fades."""
    replay, dream = replay_of(candles, market_model), DreamEnv(market_model, horizon=BARS)
    start = int(candles.open_time_ms[START])
    replay.reset(options={"start": start})
    dream.reset(options={"candles": candles, "start": start})
    for action in actions():
        seen, dreamed = replay.step(action)[0], dream.step(action)[0]
    np.testing.assert_allclose(seen, dreamed, atol=1e-5)


def test_the_state_after_a_bar_is_that_of_the_bank(
    candles: Candles, market_model: BarWorldModel
) -> None:
    engine = open_engine(market_model)
    assert isinstance(engine, BarEngine)
    bank = market_model.bank
    start = engine.start(np.array([6]))
    row = int(np.searchsorted(candles.open_time_ms, bank.open_time_ms[6]))
    after = engine.after(candles, np.array([row]))
    for name in ("z", "h", "c", "raw", "features", "memory", "open_time_ms"):
        mine, theirs = getattr(after.lanes, name), getattr(start.lanes, name)
        np.testing.assert_array_equal(mine, theirs, err_msg=name)
    np.testing.assert_allclose(after.bars, start.bars, rtol=1e-6)  # the bank's are float32


def test_dreamed_features_are_those_of_the_dreamed_bars(
    candles: Candles, market_model: BarWorldModel
) -> None:
    """A dream written down as candles has, computed in one go, the features that it was told."""
    engine = BarEngine(market_model)
    row = 700
    state, rng = engine.after(candles, np.array([row])), np.random.default_rng(4)
    closes, numbers, told = [candles.close[row]], [], []
    for _ in range(80):
        engine.step(state, np.zeros(1), engine.draw_noise(rng, 1))
        closes.append(closes[-1] * np.exp(state.bars[0, 0]))
        numbers.append(state.bars[0].copy())
        told.append(state.features[0].copy())
    opening, high, low, close = candles_of(np.array(closes), np.array(numbers)).T
    times = candles.open_time_ms[row] + candles.interval_ms * np.arange(1, 81)
    volume = np.array(numbers)[:, 3]
    columns = [
        np.concatenate([getattr(candles, name)[: row + 1], dreamed])
        for name, dreamed in zip(
            ("open_time_ms", "open", "high", "low", "close", "volume", "turnover"),
            (times, opening, high, low, close, volume, volume * close),
            strict=True,
        )
    ]
    written = Candles(*columns, candles.symbol, candles.interval)
    np.testing.assert_allclose(market_model.features(written)[row + 1 :], told, atol=1e-6)


def test_bars_of_lanes_are_exact(market_model: BarWorldModel) -> None:
    """Accounts get the highs, lows, ranges and turnover of the bars that were drawn."""
    engine, rng = BarEngine(market_model), np.random.default_rng(1)
    segments = np.array([0, 5, 11])
    paths = dream_paths(engine, segments, 40, np.random.default_rng(1))
    state = engine.start(segments)
    price, before = market_model.bank.close[segments], state.bars.copy()
    for t in range(40):
        engine.step(state, np.zeros(3), engine.draw_noise(rng, 3))
        change, upper, lower, _ = state.bars.T
        fields = paths.bars[:, t].T
        np.testing.assert_allclose(fields[0], np.expm1(change), rtol=1e-12)
        np.testing.assert_array_equal(fields[1], 0.0)
        np.testing.assert_allclose(fields[2], np.expm1(np.maximum(change, 0) + upper), rtol=1e-12)
        np.testing.assert_allclose(fields[3], np.expm1(np.minimum(change, 0) - lower), rtol=1e-12)
        np.testing.assert_allclose(fields[5], np.abs(before[:, :3]).sum(axis=1), rtol=1e-12)
        np.testing.assert_allclose(fields[6], price, rtol=1e-12)
        np.testing.assert_allclose(fields[7], np.maximum(before[:, 3] * price, 1.0), rtol=1e-12)
        price, before = price * np.exp(change), state.bars.copy()


@pytest.mark.parametrize("name", CASES)
def test_a_population_s_dreams_are_the_lanes_of_environments(
    name: str, market_model: BarWorldModel
) -> None:
    """To the last bit, under every rule: what a search is scored in is what its agents meet."""
    engine, broker = BarEngine(market_model), BrokerConfig.from_settings(**CASES[name])
    segments = np.array([1, 5, 9, 9, 0, 15])
    off = DreamFunding(None, market_model)
    lanes = DreamLanes(engine, 6, "latent", 1.0, 50, off, None, broker)
    bank, everyone = market_model.bank, np.ones(6, dtype=np.bool_)
    levels = bank.volume_level[segments]
    lanes.place(everyone, engine.start(segments), bank.close[segments], levels)
    paths = dream_paths(engine, segments, 50, np.random.default_rng(7), broker=broker)
    seen = np.empty((6, paths.view.shape[2]), np.float32)
    rng, targets = np.random.default_rng(7), np.linspace(-1.0, 1.0, 6)
    for t in range(50):
        lanes.view(seen)
        np.testing.assert_array_equal(seen, paths.view[:, t])
        np.testing.assert_array_equal(lanes.advance(targets, rng, ~everyone), paths.bars[:, t])
    assert np.unique(paths.bars[:, :, 0]).size == 6 * 50


@pytest.mark.parametrize("name", ["default", "limits", "impact", "slippage_per_range"])
def test_a_population_s_scores_are_those_of_its_accounts(
    name: str, market_model: BarWorldModel
) -> None:
    broker = BrokerConfig.from_settings(**CASES[name])
    size = market_model.config.latent_size + market_model.config.hidden_size + 2
    parameters = np.random.default_rng(4).normal(0.0, 0.4, (3, size))
    paths = dream_paths(BarEngine(market_model), np.array([2, 8]), 30, np.random.default_rng(7))
    scores = score_paths(paths, parameters, broker)
    for candidate, path in np.ndindex(3, 2):
        policy, targets = LinearController(parameters[candidate]), np.zeros(30)
        bars, leverage = paths.bars[path], broker.margin.leverage
        for t in range(30):  # what came before decides the weight that the policy sees
            held = account_path(targets[:t] * leverage, bars[:t], broker).weight[-1]
            seen = np.append(paths.view[path, t], np.float32(held))
            targets[t] = policy.predict(seen)[0][0]
        account = account_path(targets * leverage, bars, broker)
        expected = np.log(account.equity[-1])
        assert scores.log_return[candidate, path] == pytest.approx(expected, abs=1e-5)
        assert scores.cost[candidate, path] == pytest.approx(account.cost.sum(), rel=1e-3)


def test_workers_dream_the_same_bits(market_model: BarWorldModel) -> None:
    size = market_model.config.latent_size + market_model.config.hidden_size + 2
    parameters = np.random.default_rng(4).normal(0.0, 0.4, (5, size))
    segments = np.random.default_rng(0).integers(len(market_model.bank), size=70)
    dreams = Dreams(segments, 20, 7, 0.9, DreamFunding(1e-4, market_model))
    broker = BrokerConfig.from_settings(leverage=2.0, slippage_per_range=0.1)
    found = []
    for processes in (0, 2):
        with DreamWorkers(market_model, processes) as workers:
            scores, paths = workers.score(parameters, dreams, broker), workers.dream(dreams)
            found.append([*scores, paths.view, paths.bars])
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_gymnasium_s_checker_finds_nothing(candles: Candles, market_model: BarWorldModel) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for settings in ({}, {"observation": "features", "leverage": 3.0, "funding": 1e-4}):
            check_env(DreamEnv(market_model, horizon=30, **settings), skip_render_check=True)
        check_env(replay_of(candles, market_model), skip_render_check=True)


def test_processes_dream_as_their_parent(market_model: BarWorldModel, tmp_path: Path) -> None:
    market_model.save_pretrained(tmp_path)
    settings = {"world_model": str(tmp_path), "horizon": 30, "leverage": 2.0}
    envs = gym.make_vec(
        "worldmodel_trading:WorldModelDream-v0",
        num_envs=2,
        vectorization_mode="async",
        vector_kwargs={"context": "fork"},
        **settings,
    )
    try:
        first, _ = envs.reset(seed=[4, 5])
        steps = [envs.step(np.full((2, 1), 0.5, np.float32))[:2] for _ in range(10)]
    finally:
        envs.close()
    for lane, seed in enumerate((4, 5)):
        alone = gym.make("worldmodel_trading:WorldModelDream-v0", **settings)
        np.testing.assert_array_equal(alone.reset(seed=seed)[0], first[lane])
        for observations, rewards in steps:
            seen, reward, *_ = alone.step(np.full(1, 0.5, np.float32))
            np.testing.assert_array_equal(seen, observations[lane])
            assert reward == rewards[lane]


def test_a_dream_begins_with_the_bars_that_it_heard(
    candles: Candles, market_model: BarWorldModel
) -> None:
    bank, engine = market_model.bank, BarEngine(market_model)
    past = warm_up_bars(engine, int(bank.open_time_ms[5]), float(bank.close[5]))
    row = int(np.searchsorted(candles.open_time_ms, bank.open_time_ms[5]))
    rows = slice(row - len(past.bars) + 1, row + 1)
    np.testing.assert_array_equal(past.time_ms, candles.open_time_ms[rows])
    np.testing.assert_allclose(past.bars[:, 3], candles.close[rows], rtol=1e-5)
    for column, name in ((1, "high"), (2, "low")):
        np.testing.assert_allclose(past.bars[:, column], getattr(candles, name)[rows], rtol=1e-5)


def test_a_picture_shows_the_bars_that_were_drawn(market_model: BarWorldModel) -> None:
    env = DreamEnv(market_model, horizon=60, render_mode="rgb_array")
    env.reset(seed=3)
    numbers, closes = [], [env.reset(seed=3)[1]["price"]]
    for _ in range(30):
        closes.append(env.step(np.ones(1))[4]["price"])
        numbers.append(env._lane.bar.copy())
    made = env._trace
    assert made is not None
    expected = candles_of(np.array(closes), np.array(numbers))
    for column, name in enumerate(("open", "high", "low", "close")):
        shown = made.column(name, made.first + 1)
        np.testing.assert_allclose(shown, expected[:, column], rtol=1e-12)
    frame = env.render()
    assert frame.dtype == np.uint8
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 10


class TestFeaturesOfReplay:
    """`observation="features"`: the raw features of a world model's market, without its latents."""

    def test_they_are_the_model_s(self, candles: Candles, tiny_model: WorldModel) -> None:
        env = replay_of(candles, tiny_model, observation="features")
        seen, _ = env.reset(options={"start": int(candles.open_time_ms[START])})
        shown = tiny_model.features(candles)[START].astype(np.float32)
        np.testing.assert_array_equal(seen[env.observation_layout["features"]], shown)
        assert set(env.observation_layout) == {"features", "account"}

    def test_lanes_see_the_same(self, candles: Candles, tiny_model: WorldModel) -> None:
        alone = replay_of(candles, tiny_model, observation="features")
        lanes = ReplayVectorEnv(2, candles, tiny_model, episode_length=BARS, observation="features")
        start = {"start": int(candles.open_time_ms[START])}
        one, many = alone.reset(options=start)[0], lanes.reset(options=start)[0]
        np.testing.assert_array_equal(many, [one, one])
        one, many = alone.step(np.ones(1))[0], lanes.step(np.ones((2, 1)))[0]
        np.testing.assert_array_equal(many, [one, one])

    def test_the_spaces_are_the_dream_s(self, candles: Candles, tiny_model: WorldModel) -> None:
        for kind in ("latent", "features"):
            replay = replay_of(candles, tiny_model, observation=kind)
            dream = DreamEnv(tiny_model, observation=kind)
            assert replay.observation_space == dream.observation_space

    def test_without_a_word_a_model_shows_its_latents(
        self, candles: Candles, market_model: BarWorldModel
    ) -> None:
        assert "latent" in replay_of(candles, market_model).observation_layout
        raw = BybitReplayEnv(candles, observation="features")
        assert raw.observation_layout == BybitReplayEnv(candles).observation_layout

    def test_what_cannot_be_shown_is_refused(
        self, candles: Candles, market_model: BarWorldModel
    ) -> None:
        for opened in (BybitReplayEnv, lambda *a, **k: ReplayVectorEnv(2, *a, **k)):
            with pytest.raises(ConfigError, match="expected a world_model"):
                opened(candles, observation="latent")
            with pytest.raises(ConfigError, match="expected 'latent' or 'features'"):
                opened(candles, market_model, observation="hidden")


@pytest.mark.parametrize("warmup", [0, 25, 1.5, "all"])
def test_a_warm_up_that_the_bank_lacks_is_refused(warmup: Any, market_model: BarWorldModel) -> None:
    with pytest.raises(ConfigError, match="segments of 24 bars"):
        BarEngine(market_model, warmup)


def test_a_shorter_warm_up_leaves_the_features_alone(market_model: BarWorldModel) -> None:
    which = np.arange(len(market_model.bank))
    short, whole = (BarEngine(market_model, warmup).start(which) for warmup in (6, None))
    np.testing.assert_array_equal(short.z, whole.z)
    np.testing.assert_array_equal(short.features, whole.features)
    assert not np.array_equal(short.h, whole.h)


def test_orders_do_not_move_this_market(market_model: BarWorldModel) -> None:
    returns = []
    for weight in (-1.0, 1.0):
        env = DreamVectorEnv(3, market_model, horizon=30)
        env.reset(seed=2)
        told = [env.step(np.full((3, 1), weight, np.float32))[4] for _ in range(20)]
        returns.append([info["market_return"] for info in told])
    np.testing.assert_array_equal(*returns)


def test_a_record_written_from_a_forced_dream_is_the_record(
    candles: Candles, market_model: BarWorldModel
) -> None:
    engine = BarEngine(market_model)
    state, numbers = engine.after(candles, np.array([START])), bar_numbers(candles)
    silence = engine.draw_noise(np.random.default_rng(0), 1)
    for row in range(START + 1, START + 30):
        engine.step(state, np.zeros(1), silence, forced=numbers[[row]])
        assert state.open_time_ms[0] == candles.open_time_ms[row]
        np.testing.assert_array_equal(state.features[0], market_model.features(candles)[row])


@pytest.mark.parametrize("vector", [False, True], ids=["scalar", "vector"])
def test_a_drift_moves_prices_and_not_what_comes_with_them(
    vector: bool, tiny_model: WorldModel
) -> None:
    """Of two dreams of the same noise the first bar differs by the drift alone."""
    make: Any = DreamVectorEnv if vector else DreamEnv
    rises = []
    for drift in ("recorded", 2.0):
        env = make(world_model=tiny_model, drift=drift)
        env.reset(seed=4)
        action = np.zeros((1, 1) if vector else 1, dtype=np.float32)
        rises.append(float(np.log1p(env.step(action)[4]["market_return"]).item()))
        assert env.world_model_hash == tiny_model.fingerprint
    shift = with_drift(tiny_model, 2.0).drift * float(
        getattr(tiny_model.mdn_rnn, "return_scale", 1)
    )
    assert shift != 0.0
    assert rises[1] - rises[0] == pytest.approx(shift, abs=1e-7)


def test_an_environment_says_what_a_drift_may_be(
    tiny_model: WorldModel,
) -> None:
    with pytest.raises(ConfigError, match="drift is 'none'; expected recorded, zero, or"):
        DreamEnv(tiny_model, drift="none")
