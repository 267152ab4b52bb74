"""One rule book: dream and replay pay the same, and both pay what the arithmetic says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.rollout import EpisodeRecord, run_episode
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.features import FeatureSpec
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.market.times import to_ms
from worldmodel_trading.models.world_model import WorldModel

COST = 0.00055 + 0.0002
HOUR_MS = 3_600_000


def flat_history(closes: list[float], history: int = 200) -> Candles:
    """Bars whose last closes are given, after a history at the first of them."""
    close = np.concatenate([np.full(history, closes[0]), closes[1:]])
    opened = np.concatenate([close[:1], close[:-1]])
    times = to_ms("2021-01-01") + HOUR_MS * np.arange(len(close))
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    ones = np.ones(len(close))
    return Candles(times, opened, high, low, close, ones, close.copy(), "HAND", "60")


def weights(*values: float) -> list[np.ndarray]:
    return [np.array([value], dtype=np.float64) for value in values]


@pytest.mark.parametrize(
    "account",
    [{}, {"slippage": 0.0, "taker_fee": 0.002}, {"no_trade_band": 0.05, "max_turnover": 0.5}],
    ids=["plain", "other costs", "limits"],
)
def test_a_dream_forced_along_a_record_earns_what_replay_earns(
    account: dict[str, Any], candles: Candles, tiny_model: WorldModel
) -> None:
    replay = BybitReplayEnv(candles, tiny_model, episode_length=300, **account)
    dream = DreamEnv(tiny_model, horizon=300, **account)
    start = int(candles.open_time_ms[900])
    rng = np.random.default_rng(3)
    actions = rng.uniform(-1, 1, (300, 1)).astype(np.float32)
    seen, told = replay.reset(options={"start": start})
    dreamed, lived = dream.reset(options={"candles": candles, "start": start})
    assert told == lived
    latent = replay.observation_layout["latent"]
    for action in actions:
        np.testing.assert_array_equal(seen[latent], dreamed[latent])
        assert seen[-1] == dreamed[-1]
        # M has heard 24 bars here and hundreds there: close, but not the same.
        np.testing.assert_allclose(seen, dreamed, atol=0.1)
        seen, reward, terminated, truncated, info = replay.step(action)
        dreamed, same_reward, *ends, same_info = dream.step(action)
        assert reward == same_reward
        assert [terminated, truncated] == ends
        for key in ("equity", "weight", "cost", "market_return", "turnover", "time_ms"):
            assert info[key] == same_info[key]
        assert same_info["price"] == pytest.approx(info["price"], rel=1e-12)
    assert ends == [False, True]


def test_a_dream_forced_to_the_end_of_the_record_ends_there(
    candles: Candles, market_model: WorldModel
) -> None:
    env = DreamEnv(market_model, horizon=10_000)
    env.reset(options={"candles": candles, "start": int(candles.open_time_ms[-4])})
    ends = [env.step(np.zeros(1))[3] for _ in range(3)]
    assert ends == [False, False, True]
    env.reset(seed=0)  # dreams again
    assert not env.step(np.zeros(1))[3]


def test_five_bars_by_hand() -> None:
    """100 → 110 → 99 → 99 → 108.9 → 98.01, with weights 1, 0.5, −1, 0, 1.

    Costs are 0.075 % of the traded weight, paid before the bar; a weight drifts with the price.
    """
    env = BybitReplayEnv(
        flat_history([100.0, 110.0, 99.0, 99.0, 108.9, 98.01]),
        episode_length=5,
        random_start=False,
    )
    env.reset(options={"start": to_ms("2021-01-01") + 199 * HOUR_MS})
    steps = [env.step(action) for action in weights(1.0, 0.5, -1.0, 0.0, 1.0)]

    # Bar 1: buy 1.0 of equity, price +10 %. A weight of one stays one.
    e1 = (1 - 0.00075 * 1.0) * 1.10
    # Bar 2: sell half of it, price −10 %. Weight 0.5·0.9 / 0.95.
    e2 = e1 * (1 - 0.00075 * 0.5) * (1 - 0.5 * 0.10)
    w2 = 0.5 * 0.9 / 0.95
    # Bar 3: turn short, trading 1 + w2; the price stands still.
    e3 = e2 * (1 - 0.00075 * (1 + w2))
    # Bar 4: cover one whole short while the price goes on to +10 %, which earns nothing.
    e4 = e3 * (1 - 0.00075 * 1.0)
    # Bar 5: long again, price −10 %.
    e5 = e4 * (1 - 0.00075 * 1.0) * 0.90

    equity = [info["equity"] for *_, info in steps]
    np.testing.assert_allclose(equity, [e1, e2, e3, e4, e5], rtol=1e-14)
    held = [info["weight"] for *_, info in steps]
    np.testing.assert_allclose(held, [1.0, w2, -1.0, 0.0, 1.0], atol=1e-14)
    turnover = [info["turnover"] for *_, info in steps]
    np.testing.assert_allclose(turnover, [1.0, 0.5, 1 + w2, 1.0, 1.0], rtol=1e-14)
    cost = [info["cost"] for *_, info in steps]
    np.testing.assert_allclose(cost, np.multiply(turnover, 0.00075), rtol=1e-14)
    returns = [info["market_return"] for *_, info in steps]
    np.testing.assert_allclose(returns, [0.1, -0.1, 0.0, 0.1, -0.1], atol=1e-14)
    rewards = [reward for _, reward, *_ in steps]
    np.testing.assert_allclose(rewards, np.diff(np.log([1, e1, e2, e3, e4, e5])), atol=1e-14)
    observed = [observation[-1] for observation, *_ in steps]
    np.testing.assert_allclose(observed, held, rtol=1e-6)
    assert steps[-1][3]  # truncated
    assert e5 == pytest.approx(0.936997, abs=1e-6)  # 0.9405 · (1 − 0.00373…)


def test_a_short_that_doubles_against_its_owner_by_hand() -> None:
    """−1 at 100, price 150 and then 75: half the equity is lost, then all but the drift earned."""
    env = BybitReplayEnv(
        flat_history([100.0, 150.0, 75.0]),
        episode_length=2,
        random_start=False,
        taker_fee=0.0,
        slippage=0.0,
    )
    env.reset(options={"start": to_ms("2021-01-01") + 199 * HOUR_MS})
    *_, info = env.step(np.array([-1.0]))
    assert info["equity"] == pytest.approx(0.5, rel=1e-14)
    assert info["weight"] == pytest.approx(-3.0, rel=1e-14)
    observation, *_, info = env.step(np.array([-1.0]))  # buys back two thirds, price −50 %
    assert info["equity"] == pytest.approx(0.75, rel=1e-14)
    assert info["weight"] == pytest.approx(-0.5 / 1.5, rel=1e-14)
    assert observation[-1] == np.float32(info["weight"])


@pytest.mark.parametrize("wrapped", ["replay", "dream"])
def test_buy_and_hold_is_the_closed_form(
    wrapped: str, candles: Candles, market_model: WorldModel
) -> None:
    env: Any = (
        BybitReplayEnv(candles, episode_length=2_000, random_start=False)
        if wrapped == "replay"
        else DreamEnv(market_model, horizon=2_000)
    )
    _, info = env.reset(seed=3)
    first, product, truncated = info["price"], 1.0, False
    while not truncated:
        _, _, _, truncated, info = env.step(np.array([1.0]))
        product *= 1.0 + info["market_return"]
    assert info["equity"] == pytest.approx((1 - COST) * info["price"] / first, rel=1e-12)
    assert info["equity"] == pytest.approx((1 - COST) * product, rel=1e-12)


def test_a_flat_account_stands_still(candles: Candles, market_model: WorldModel) -> None:
    for env in (BybitReplayEnv(candles, episode_length=50), DreamEnv(market_model, horizon=50)):
        env.reset(seed=0)
        for _ in range(50):
            _, reward, _, _, info = env.step(np.zeros(1))
            assert (reward, info["equity"], info["cost"]) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize("kwargs", [{}, {"leverage": 3.0}, {"actions": "discrete"}])
def test_rewards_sum_to_log_equity(
    kwargs: dict[str, Any], candles: Candles, tiny_model: WorldModel
) -> None:
    for env in (
        BybitReplayEnv(candles, tiny_model, episode_length=400, **kwargs),
        DreamEnv(tiny_model, horizon=400, **kwargs),
    ):
        env.reset(seed=12)
        env.action_space.seed(12)
        total, over = 0.0, False
        while not over:
            _, reward, terminated, truncated, info = env.step(env.action_space.sample())
            total += float(reward)
            over = terminated or truncated
        assert total == pytest.approx(np.log(info["equity"]), abs=1e-11)


def test_fill_delay_shifts_the_fills(candles: Candles) -> None:
    targets = np.random.default_rng(2).uniform(-1, 1, 60)
    start = int(candles.open_time_ms[500])

    def equity(delay: int, wanted: np.ndarray) -> list[float]:
        env = BybitReplayEnv(candles, episode_length=60, fill_delay=delay)
        env.reset(options={"start": start})
        return [env.step(np.array([w]))[4]["equity"] for w in wanted]

    for delay in (1, 3):
        late = np.concatenate([np.zeros(delay), targets[:-delay]])
        assert equity(delay, targets) == equity(0, late)
        assert equity(delay, targets) != equity(0, targets)


def test_a_fill_delay_forgets_targets_at_reset(candles: Candles) -> None:
    env = BybitReplayEnv(candles, episode_length=10, random_start=False, fill_delay=2)
    env.reset()
    for _ in range(10):
        env.step(np.array([1.0]))
    env.reset()
    for _ in range(2):
        assert env.step(np.array([1.0]))[4]["equity"] == 1.0
    assert env.step(np.array([1.0]))[4]["cost"] == pytest.approx(COST, rel=1e-12)


class TestGaps:
    """Two stretches of bars with a hole of a week between them."""

    @pytest.fixture
    def holed(self, candles: Candles) -> Candles:
        rows = np.r_[0:1_000, 1_168:2_000]
        names = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
        columns = {name: getattr(candles, name)[rows] for name in names}
        return Candles(**columns, symbol="HOLED", interval="60")

    def test_no_episode_crosses_it(self, holed: Candles) -> None:
        env = BybitReplayEnv(holed, episode_length=200)
        gap = holed.gaps()[0]
        sides = set()
        for seed in range(60):
            _, first = env.reset(seed=seed)
            for _ in range(200):
                *_, truncated, last = env.step(np.array([1.0]))
            assert truncated
            before, after = last["time_ms"] <= gap.after_ms, first["time_ms"] >= gap.before_ms
            assert before != after
            if after:  # features have their whole history on this side of the gap
                warm = FeatureSpec().warmup * HOUR_MS
                assert first["time_ms"] >= gap.before_ms + warm
            sides.add(after)
        assert sides == {True, False}

    def test_an_episode_without_length_ends_at_it(self, holed: Candles) -> None:
        env = BybitReplayEnv(holed, episode_length=None, random_start=False)
        record = run_episode(env, LinearController(np.zeros(12)))
        assert record.time_ms is not None
        assert record.time_ms[-1] == holed.gaps()[0].after_ms
        assert not record.terminated

    def test_a_start_in_it_begins_after_it(self, holed: Candles) -> None:
        gap = holed.gaps()[0]
        env = BybitReplayEnv(holed, episode_length=None)
        _, info = env.reset(options={"start": gap.after_ms + 5 * HOUR_MS})
        assert info["time_ms"] == gap.before_ms + FeatureSpec().warmup * HOUR_MS


def test_a_range_keeps_episodes_inside_and_history_outside(candles: Candles) -> None:
    start, end = "2020-02-10", "2020-02-20"
    env = BybitReplayEnv(candles, start=start, end=end, episode_length=None, random_start=False)
    record: EpisodeRecord = run_episode(env, LinearController(np.zeros(12)))
    assert record.time_ms is not None
    assert record.time_ms[0] == to_ms(start)  # nothing inside is lost to warm-up
    assert record.time_ms[-1] == to_ms(end) - HOUR_MS
    assert len(record) == 10 * 24 - 1


def test_the_embedded_market_is_the_default_record() -> None:
    env = BybitReplayEnv(random_start=False)
    _, info = env.reset()
    record = synthetic_candles()
    row = FeatureSpec().warmup
    assert info["price"] == record.close[row]
    assert info["time_ms"] == record.open_time_ms[row]
