"""Given paths pay what the same bars pay elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.agents.rules.known import make_rule
from worldmodel_trading.envs.given_lanes import GivenVectorEnv
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.lanes import run_lanes
from worldmodel_trading.evaluation.rollout import run_episode
from worldmodel_trading.evaluation.stress.scenarios import recorded_paths
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.synthetic import synthetic_candles

ACCOUNT = {"leverage": 3.0, "slippage_per_range": 0.1, "fill_delay": 1}
BARS = 48


def test_a_window_of_the_record_is_what_replay_plays() -> None:
    candles = synthetic_candles(bars=900)
    rule = make_rule("momentum", candles, leverage=3.0)
    replay = BybitReplayEnv(candles, episode_length=BARS, random_start=False, **ACCOUNT)
    lived = run_episode(replay, rule)
    row = int(replay.recorded.starts(BARS)[0])
    paths = recorded_paths(replay.recorded, row, BARS)
    env = GivenVectorEnv(paths, BrokerConfig.from_settings(**ACCOUNT))
    given = run_lanes(env, rule)
    assert given.equity[0].tolist() == lived.equity.tolist()
    assert given.cost[0].tolist() == lived.cost.tolist()
    assert given.equity[0, -1] != pytest.approx(1.0)  # it traded
    _, info = env.reset()
    assert info["time_ms"].tolist() == [int(candles.open_time_ms[row])]
    assert info["price"] == pytest.approx(candles.close[row])
    for _ in range(BARS):
        _, _, _, truncated, info = env.step(np.zeros((1, 1)))
    assert truncated.all()
    assert info["price"] == pytest.approx(candles.close[row + BARS])
