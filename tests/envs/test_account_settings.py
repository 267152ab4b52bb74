"""Funding and rewards as the environments charge and pay them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numba import njit

from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.dream_funding import DreamFunding
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.vector import DreamVectorEnv, ReplayVectorEnv
from worldmodel_trading.market.account.rewards import DifferentialSharpe, RewardStep
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, WorldModelTradingError
from worldmodel_trading.market.times import to_ms
from worldmodel_trading.models.world_model import WorldModel

HOUR_MS = 3_600_000
FREE = {"taker_fee": 0.0, "slippage": 0.0}
START = "2020-02-01T05:00"  # its position is held through the funding of 08:00


def timid(step: RewardStep) -> float:
    """Every fact of a bar counts."""
    drawdown = 1.0 - step.equity / step.peak
    lost = step.cost + 0.01 * step.turnover + 0.1 * drawdown
    return step.log_growth - lost - abs(step.weight) * step.market_return**2


def record_of(rates: dict[str, float], path: Path) -> Path:
    rows = [f"{to_ms(time)},{rate}" for time, rate in rates.items()]
    path.write_text("\n".join(["fundingRateTimestamp,fundingRate", *rows]) + "\n")
    return path


def growth(info: dict[str, Any], weight: float) -> float:
    """What a free account would have grown by without funding."""
    return 1.0 + weight * info["market_return"]


@pytest.mark.parametrize("weight", [1.0, -1.0])
def test_funding_by_hand(weight: float, candles: Candles, tmp_path: Path) -> None:
    """Bars open at 06:00, 07:00 and 08:00; the instant 08:00 ends the second of them."""
    rates = {"2020-02-01T00:00": 0.5e-2, "2020-02-01T08:00": 0.01, "2020-02-01T16:00": -0.02}
    path = record_of(rates, tmp_path / "funding.csv")
    env = BybitReplayEnv(candles, episode_length=20, funding=str(path), **FREE)
    env.reset(options={"start": START})
    before, ratios = 1.0, []
    for _ in range(12):
        *_, info = env.step(np.array([weight]))
        ratios.append(info["equity"] / before - growth(info, weight))
        before = info["equity"]
    paid = np.zeros(12)
    paid[1] = 0.01  # a long pays a positive rate, a short receives it
    paid[9] = -0.02
    np.testing.assert_allclose(ratios, -weight * paid, atol=1e-12)


def test_a_flat_account_pays_no_funding(candles: Candles, market_model: WorldModel) -> None:
    for env in (
        BybitReplayEnv(candles, episode_length=30, funding=0.01),
        DreamEnv(market_model, horizon=30, funding=0.01),
    ):
        env.reset(seed=0)
        for _ in range(30):
            assert env.step(np.zeros(1))[4]["equity"] == 1.0


def test_instants_without_a_record_cost_the_named_rate(candles: Candles, tmp_path: Path) -> None:
    path = record_of({"2020-02-02T00:00": 0.0, "2020-02-02T08:00": 0.0}, tmp_path / "late.csv")
    env = BybitReplayEnv(
        candles, episode_length=20, funding=str(path), unrecorded_funding_rate=0.003, **FREE
    )
    env.reset(options={"start": START})
    *_, first = env.step(np.array([1.0]))
    *_, second = env.step(np.array([1.0]))
    assert first["equity"] == pytest.approx(growth(first, 1.0), rel=1e-14)
    assert second["equity"] / first["equity"] == pytest.approx(growth(second, 1.0) - 0.003)


def test_a_dream_charges_a_constant_rate_on_its_own_clock(market_model: WorldModel) -> None:
    env = DreamEnv(market_model, horizon=48, funding=0.001, **FREE)
    env.reset(seed=3)
    before, charged = 1.0, []
    for _ in range(48):
        *_, info = env.step(np.array([1.0]))
        ratio = info["equity"] / before
        before = info["equity"]
        ends = info["time_ms"] + HOUR_MS
        due = ends % (8 * HOUR_MS) == 0
        assert ratio == pytest.approx(growth(info, 1.0) - 0.001 * due, abs=1e-12)
        charged.append(due)
    assert sum(charged) == 6  # two days, three times a day


def test_a_dream_draws_from_the_rates_of_its_training_range(
    market_model: WorldModel, tmp_path: Path
) -> None:
    inside = {f"2020-01-05T{hour}:00": r for hour, r in (("00", 0.01), ("08", -0.02), ("16", 0.03))}
    path = record_of({**inside, "2021-01-01T00:00": 0.09}, tmp_path / "funding.csv")
    env = DreamVectorEnv(64, market_model, horizon=24, funding=str(path), **FREE)
    env.reset(seed=1)
    equity, seen = np.ones(64), []
    for _ in range(24):
        *_, infos = env.step(np.ones((64, 1)))
        charged = 1.0 + infos["market_return"] - infos["equity"] / equity
        equity = infos["equity"]
        due = (infos["time_ms"] + HOUR_MS) % (8 * HOUR_MS) == 0
        np.testing.assert_allclose(charged[~due], 0.0, atol=1e-12)
        seen.extend(charged[due].round(9))
    assert set(seen) == {0.01, -0.02, 0.03}


def test_a_dream_charges_each_instant_by_its_own_interval(
    market_model: WorldModel, tmp_path: Path
) -> None:
    """Every 8 h in January 2020 at 0.8%, every hour in February at 0.1%: a rate an hour is no rate
    for 8 h, and the dream's clock knows which month it is in."""
    january, february = to_ms("2020-01-01"), to_ms("2020-02-01")
    eight = {str(t): 0.008 for t in range(january, february + 1, 8 * HOUR_MS)}
    one = {str(t): 0.001 for t in range(february + HOUR_MS, to_ms("2020-03-20"), HOUR_MS)}
    path = tmp_path / "funding.csv"
    rows = [f"{time},{rate}" for time, rate in {**eight, **one}.items()]
    path.write_text("\n".join(["fundingRateTimestamp,fundingRate", *rows]) + "\n")
    funding = DreamFunding(str(path), market_model)
    rng = np.random.default_rng(0)
    bars = january + HOUR_MS * np.arange(31 * 24)
    charged = funding.charge(bars, rng)
    np.testing.assert_array_equal(charged, np.where((bars + HOUR_MS) % (8 * HOUR_MS), 0.0, 0.008))
    np.testing.assert_array_equal(funding.charge(february + HOUR_MS * np.arange(48), rng), 0.001)
    # Bars of any shape; one before the record is charged as its beginning was, one after it as its end.
    odd = np.array([[january - HOUR_MS, january - 2 * HOUR_MS], [to_ms("2021-01-01")] * 2])
    assert funding.charge(odd, rng).tolist() == [[0.008, 0.0], [0.001, 0.001]]
    one_by_one = [funding.charge_one(int(time), rng) for time in bars]
    np.testing.assert_array_equal(one_by_one, charged)


def test_a_forced_dream_pays_replays_constant_funding(
    candles: Candles, tiny_model: WorldModel
) -> None:
    settings: dict[str, Any] = {"funding": 0.0004, "reward": "differential_sharpe"}
    replay = BybitReplayEnv(candles, tiny_model, episode_length=60, **settings)
    dream = DreamEnv(tiny_model, horizon=60, **settings)
    start = int(candles.open_time_ms[1_000])
    replay.reset(options={"start": start})
    dream.reset(options={"candles": candles, "start": start})
    rng = np.random.default_rng(0)
    for _ in range(60):
        action = rng.uniform(-1, 1, 1)
        assert replay.step(action)[1] == dream.step(action)[1]


@pytest.mark.parametrize("source", [0.2, float("nan"), True, "nowhere.csv", 3 + 1j])
def test_funding_that_is_none_is_refused(
    source: Any, candles: Candles, market_model: WorldModel
) -> None:
    with pytest.raises(WorldModelTradingError, match=r"funding|nowhere"):
        BybitReplayEnv(candles, funding=source)
    with pytest.raises(WorldModelTradingError, match=r"funding|nowhere"):
        DreamEnv(market_model, funding=source)


def test_rates_outside_the_training_range_are_refused(
    market_model: WorldModel, tmp_path: Path
) -> None:
    path = record_of({"2023-01-01T00:00": 0.01}, tmp_path / "later.csv")
    with pytest.raises(WorldModelTradingError, match=r"(?i)no funding|training range"):
        DreamEnv(market_model, funding=str(path))


def test_the_simple_return_is_the_reward_named(candles: Candles) -> None:
    logs, simple = (
        BybitReplayEnv(candles, episode_length=50, reward=name)
        for name in ("log_return", "simple_return")
    )
    logs.reset(seed=1)
    simple.reset(seed=1)
    rng = np.random.default_rng(1)
    for _ in range(50):
        action = rng.uniform(-1, 1, 1)
        assert simple.step(action)[1] == pytest.approx(np.expm1(logs.step(action)[1]), abs=1e-15)


def test_the_differential_sharpe_ratio_by_its_formula(candles: Candles) -> None:
    env = BybitReplayEnv(candles, episode_length=40, reward="differential_sharpe")
    rng = np.random.default_rng(1)
    actions = rng.uniform(-1, 1, (40, 1))
    for _ in range(2):  # the second episode starts its estimates afresh
        env.reset(seed=5)
        first, second, before = 0.0, 0.005**2, 1.0
        for action in actions:
            _, reward, *_, info = env.step(action)
            gain = info["equity"] / before - 1.0
            before = info["equity"]
            change, change2 = gain - first, gain**2 - second
            expected = (second * change - first * change2 / 2) / (second - first**2) ** 1.5
            assert reward == pytest.approx(expected, rel=1e-9, abs=1e-12)
            first, second = first + 0.01 * change, second + 0.01 * change2


@pytest.mark.parametrize("reward", ["simple_return", DifferentialSharpe(0.1), timid, njit(timid)])
def test_lanes_are_paid_like_scalars(reward: Any, candles: Candles) -> None:
    lanes = ReplayVectorEnv(
        3, candles, episode_length=10, reward=reward, autoreset_mode="same_step"
    )
    _, infos = lanes.reset(seed=2)
    rng = np.random.default_rng(3)
    for _ in range(2):
        alone = [BybitReplayEnv(candles, episode_length=10, reward=reward) for _ in range(3)]
        for lane, env in enumerate(alone):
            env.reset(options={"start": int(infos["time_ms"][lane])})
        for _ in range(10):
            actions = rng.uniform(-1, 1, (3, 1))
            _, rewards, *_, infos = lanes.step(actions)
            assert [env.step(a)[1] for env, a in zip(alone, actions, strict=True)] == list(rewards)


@pytest.mark.parametrize("reward", [timid, njit(timid)])
def test_a_function_is_paid_from_what_the_environment_tells(
    reward: Any, market_model: WorldModel
) -> None:
    env = gym.make("WorldModelDream-v0", world_model=market_model, reward=reward, horizon=60)
    env.reset(seed=4)
    rng = np.random.default_rng(4)
    equity = peak = 1.0
    for _ in range(60):
        _, paid, *_, info = env.step(rng.uniform(-1, 1, 1).astype(np.float32))
        log_growth, equity = np.log(info["equity"] / equity), info["equity"]
        peak = max(peak, equity)
        told = [info[name] for name in ("weight", "turnover", "cost", "market_return")]
        assert paid == pytest.approx(timid(RewardStep(log_growth, equity, peak, *told)), abs=1e-14)
    assert equity < peak  # the drawdown counted


@pytest.mark.parametrize("mode", ["next_step", "same_step"])
def test_dream_lanes_are_paid_like_scalars_by_a_function(
    mode: str, market_model: WorldModel
) -> None:
    """Through the end of an episode too, over which nothing is remembered."""
    settings: dict[str, Any] = {"world_model": market_model, "reward": timid, "horizon": 8}
    lanes = gym.make_vec("WorldModelDream-v0", num_envs=2, autoreset_mode=mode, **settings)
    alone = [gym.make("WorldModelDream-v0", **settings) for _ in range(2)]
    lanes.reset(seed=[5, 6])
    for seed, env in zip((5, 6), alone, strict=True):
        env.reset(seed=seed)
    rng, restarting = np.random.default_rng(1), False
    for _ in range(30):
        actions = rng.uniform(-1, 1, (2, 1)).astype(np.float32)
        _, paid, _, truncated, _ = lanes.step(actions)
        if restarting:
            assert paid.tolist() == [0.0, 0.0]
            restarting = False
            continue
        assert [env.step(a)[1] for env, a in zip(alone, actions, strict=True)] == paid.tolist()
        if truncated.any():
            restarting = mode == "next_step"
            for env in alone:
                env.reset()


@pytest.mark.parametrize("reward", [timid, njit(timid), DifferentialSharpe(0.1)])
def test_an_environment_with_a_function_has_a_specification_and_copies(
    reward: Any, market_model: WorldModel
) -> None:
    made = gym.make("WorldModelDream-v0", world_model=market_model, reward=reward, horizon=30)
    assert made.spec is not None
    again = gym.make(made.spec)
    for env in (made, again):
        env.reset(seed=2)
        env.step(np.ones(1, dtype=np.float32))
    copied = pickle.loads(pickle.dumps(made))
    action = np.full(1, -1.0, dtype=np.float32)
    paid = [env.step(action)[1] for env in (made, again, copied)]
    assert paid[0] == paid[1] == paid[2] != 0.0


def test_an_unknown_reward_is_refused(candles: Candles, market_model: WorldModel) -> None:
    makers: list[Any] = [
        lambda: BybitReplayEnv(candles, reward="fame"),  # type: ignore[arg-type]
        lambda: DreamEnv(market_model, reward="fame"),  # type: ignore[arg-type]
        lambda: ReplayVectorEnv(2, candles, reward="fame"),  # type: ignore[arg-type]
        lambda: DreamVectorEnv(2, market_model, reward="fame"),  # type: ignore[arg-type]
    ]
    for make in makers:
        with pytest.raises(ConfigError, match=r"reward is 'fame'; expected one of log_return"):
            make()


def test_small_accounts_trade_whole_steps(candles: Candles) -> None:
    """With 1,000 USDT and steps of 0.01 coin, the position is a whole number of steps."""
    env = BybitReplayEnv(
        candles, episode_length=30, capital_usdt=1_000.0, qty_step=0.01, tick_size=0.0
    )
    _, info = env.reset(seed=0)
    for weight in (0.33, 0.7, -0.41, 0.0):
        price = info["price"]
        _, _, _, _, info = env.step(np.array([weight]))
        held = info["weight"] * info["equity"] * 1_000.0 / info["price"]  # coins
        assert held / 0.01 == pytest.approx(round(held / 0.01), abs=1e-6)
        assert abs(held * price / 1_000.0 - weight) < 2 * 0.01 * price / 1_000.0
