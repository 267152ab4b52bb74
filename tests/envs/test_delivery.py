"""A contract that ends: its account is closed at the last price, and says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from worldmodel_trading.agents.rules import buy_and_hold
from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.recorded import latent_record
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.vector import ReplayVectorEnv
from worldmodel_trading.evaluation.rollout import run_episode
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import CandleError
from worldmodel_trading.market.instruments import Instrument
from worldmodel_trading.models.world_model import WorldModel

HOUR = 3_600_000
LAST = 1_200  # row of the contract's last bar
FREE = {"taker_fee": 0.0, "slippage": 0.0}


@pytest.fixture(scope="module")
def ended(candles: Candles) -> Candles:
    """Candles that somebody went on writing after the contract's end."""
    assert candles.instrument is not None
    end = int(candles.open_time_ms[LAST]) + HOUR
    return replace(candles, instrument=replace(candles.instrument, delivery_time_ms=end))


def test_the_account_is_closed_at_the_last_price(ended: Candles) -> None:
    """Bought with everything at the close two bars before the end, at 0.1%, and held."""
    env = BybitReplayEnv(ended, episode_length=720, taker_fee=0.001, slippage=0.0)
    env.reset(options={"start": int(ended.open_time_ms[LAST - 2])})
    _, _, terminated, truncated, info = env.step(np.array([1.0]))
    assert not terminated
    assert not truncated
    assert (info["delivered"], info["weight"]) == (False, 1.0)
    observation, reward, terminated, truncated, info = env.step(np.array([1.0]))
    close = ended.close
    # One unit of equity, less the fee, times what the price did; closing costs nothing.
    assert info["equity"] == pytest.approx((1 - 0.001) * close[LAST] / close[LAST - 2], rel=1e-12)
    assert (info["delivered"], info["weight"], info["cost"]) == (True, 0.0, 0.0)
    assert info["time_ms"] == ended.open_time_ms[LAST]
    assert info["price"] == close[LAST]
    assert (terminated, truncated) == (True, False)
    assert observation[-1] == 0.0
    assert reward == pytest.approx(np.log(close[LAST] / close[LAST - 1]), rel=1e-9)


def test_no_bar_after_the_end_is_played_or_charged(ended: Candles) -> None:
    env = BybitReplayEnv(ended, episode_length=None, random_start=False, funding=0.001, **FREE)
    record = run_episode(env, buy_and_hold(), options={"start": int(ended.open_time_ms[LAST - 26])})
    assert len(record) == 26
    assert record.terminated
    assert record.time_ms is not None
    assert record.time_ms[-1] == ended.open_time_ms[LAST]
    # Row r is the hour r of the record, which begins at 00:00: the bar of row 1,199 ends at
    # 1,200 = 150·8. Of the 26 bars held, four end with one: rows 1,175, 1,183, 1,191 and 1,199.
    held = np.arange(LAST - 25, LAST + 1)
    due = (held + 1) % 8 == 0
    assert due.sum() == 4
    growth = ended.close[held] / ended.close[held - 1] - 0.001 * due
    assert record.equity[-1] == pytest.approx(np.prod(growth), rel=1e-12)


def test_candles_that_merely_end_are_no_delivery(ended: Candles) -> None:
    before = ended.rows(0, LAST - 50)
    env = BybitReplayEnv(before, episode_length=None, random_start=False, **FREE)
    record = run_episode(env, buy_and_hold(), options={"start": int(before.open_time_ms[-10])})
    assert not record.terminated
    assert record.weight[-1] == 1.0
    *_, info = env.reset()
    assert "delivered" not in info


def test_episodes_may_begin_until_the_very_end(ended: Candles) -> None:
    """A market that ends is not one that is avoided: the last days of a coin are lived as well."""
    recorded = BybitReplayEnv(ended).recorded
    starts = recorded.starts(720)
    first = int(np.flatnonzero(recorded.steps_left >= 0)[0])
    np.testing.assert_array_equal(starts, np.arange(first, LAST))
    env = BybitReplayEnv(ended, episode_length=720)
    lengths = []
    for seed in range(12):
        _, info = env.reset(seed=seed)
        left = (ended.open_time_ms[LAST] - info["time_ms"]) // HOUR
        lengths.append(len(run_episode(env, buy_and_hold(), seed=seed)))
        assert lengths[-1] == min(720, left)
    assert min(lengths) < 720


@pytest.mark.parametrize("mode", ["same_step", "next_step"])
def test_lanes_end_as_the_scalar_environment_does(ended: Candles, mode: str) -> None:
    settings: dict[str, Any] = {"episode_length": 40, "leverage": 2.0, "fill_delay": 1}
    start = int(ended.open_time_ms[LAST - 40])
    settings["reward"] = lambda step: step.log_growth + 0.1 * step.weight  # which ends at 0
    lanes = ReplayVectorEnv(4, ended, start=start, autoreset_mode=mode, **settings)
    _, infos = lanes.reset(seed=3)
    alone = [BybitReplayEnv(ended, start=start, **settings) for _ in range(4)]
    for lane, env in enumerate(alone):
        env.reset(options={"start": int(infos["time_ms"][lane])})
    rng, running, seen = np.random.default_rng(0), np.ones(4, dtype=bool), 0
    while running.any():
        actions = rng.uniform(-1, 1, (4, 1))
        observations, rewards, terminated, truncated, infos = lanes.step(actions)
        final = infos.get("final_info", infos)
        for lane in np.flatnonzero(running):
            view, reward, over, cut, info = alone[lane].step(actions[lane])
            assert (rewards[lane], terminated[lane], truncated[lane]) == (reward, over, cut)
            for name in ("equity", "weight", "delivered"):
                assert final[name][lane] == info[name]
            if not (over or cut):
                np.testing.assert_array_equal(observations[lane], view)
            seen += info["delivered"]
        running &= ~(terminated | truncated)
    assert seen == 4  # no lane can begin more than 40 bars before the end
    observations, _, terminated, truncated, infos = lanes.step(np.ones((4, 1)))
    assert not infos["delivered"][~(terminated | truncated)].any()


def test_a_forced_dream_ends_as_replay_does(ended: Candles, market_model: WorldModel) -> None:
    replay = BybitReplayEnv(ended, market_model, episode_length=60)
    dream = DreamEnv(market_model, horizon=60)
    start = int(ended.open_time_ms[LAST - 30])
    replay.reset(options={"start": start})
    dream.reset(options={"candles": ended, "start": start})
    over, steps = False, 0
    while not over:
        action = np.array([0.7 - 0.05 * steps])
        there, here = replay.step(action), dream.step(action)
        assert there[1:4] == here[1:4]
        assert there[4]["weight"] == here[4]["weight"]
        assert there[0][-1] == here[0][-1]
        over, steps = there[2] or there[3], steps + 1
    assert (steps, there[2]) == (30, True)


def test_a_search_s_validation_stops_at_the_end(ended: Candles, market_model: WorldModel) -> None:
    recorded = latent_record(ended, market_model)
    assert recorded.delivery_row == LAST
    assert (recorded.steps_left[LAST + 1 :] == -1).all()
    assert int((recorded.starts(None) + recorded.steps_left[recorded.starts(None)]).max()) == LAST


def test_a_file_s_end_is_an_argument(candles: Candles) -> None:
    nameless = replace(candles, symbol="UNKNOWN", instrument=None)
    end = {"delivery_time_ms": "2020-02-20T01:00"}  # the bar of 00:00 is the last
    env = BybitReplayEnv(nameless, episode_length=None, random_start=False, instrument=end)
    record = run_episode(env, buy_and_hold())
    assert record.terminated
    assert record.time_ms is not None
    assert record.time_ms[-1] == np.datetime64("2020-02-20T00:00", "ms").astype(int)
    with pytest.raises(CandleError, match="before the first of its candles"):
        BybitReplayEnv(candles, instrument={"symbol": "SYNTH", "delivery_time_ms": "2019-01-01"})
    with pytest.raises(
        CandleError, match="the instrument is LUNAUSDT and the candles are of SYNTH"
    ):
        BybitReplayEnv(candles, instrument=Instrument("LUNAUSDT", delivery_time_ms=1))
