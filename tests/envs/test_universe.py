"""Replay of several symbols: an episode draws one, lanes trade different ones, one observation space."""

from __future__ import annotations

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.vector import ReplayVectorEnv
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.synthetic import synthetic_candles, synthetic_instrument
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.joint_world_model import JointWorldModel
from worldmodel_trading.models.world_model import WorldModel

NAMES = ("AAA", "BBB", "CCC")


@pytest.fixture(scope="module")
def markets() -> list[Candles]:
    """Three symbols of unlike lengths and prices."""
    sizes = (500, 700, 460)
    made = [
        synthetic_candles(seed=i, bars=bars, symbol=name)
        for i, (name, bars) in enumerate(zip(NAMES, sizes, strict=True))
    ]
    return made


def played(env: BybitReplayEnv, symbol: str, start: object) -> tuple[np.ndarray, np.ndarray]:
    """Observations and rewards of an episode that goes long, flat and short in turn."""
    seen, paid = [env.reset(options={"symbol": symbol, "start": start})[0]], []
    for step in range(20):
        observation, reward, *_ = env.step(np.array([(1.0, 0.0, -1.0)[step % 3]]))
        seen.append(observation)
        paid.append(reward)
    return np.array(seen), np.array(paid)


def test_an_episode_is_that_of_its_symbol_alone(markets: list[Candles]) -> None:
    together = BybitReplayEnv(markets, episode_length=20)
    for one in markets:
        start = one.open_time_ms[400]
        alone = BybitReplayEnv(one, episode_length=20)
        assert alone.observation_space == together.observation_space
        alone.reset(options={"start": start})
        seen, paid = played(together, one.symbol, start)
        for step in range(20):
            observation, reward, *_, info = alone.step(np.array([(1.0, 0.0, -1.0)[step % 3]]))
            assert "symbol" not in info
            np.testing.assert_array_equal(observation, seen[step + 1])
            assert reward == paid[step]
        assert together.title == f"BybitReplay {one.symbol} 60"


def test_every_symbol_is_drawn_as_often(markets: list[Candles]) -> None:
    env = BybitReplayEnv(markets, episode_length=5)
    env.reset(seed=0)
    drawn = [env.reset()[1]["symbol"] for _ in range(300)]
    counts = [drawn.count(name) for name in NAMES]
    assert min(counts) > 70
    first = BybitReplayEnv(markets, episode_length=5, random_start=False)
    assert {first.reset()[1]["symbol"] for _ in range(5)} == {"AAA"}


def test_it_is_an_environment_like_any(markets: list[Candles]) -> None:
    env = gym.make("BybitReplay-v0", candles=markets, episode_length=10)
    check_env(env.unwrapped, skip_render_check=True)
    seeded = [env.reset(seed=3)[0] for _ in range(2)]
    np.testing.assert_array_equal(*seeded)


def test_lanes_trade_different_symbols(markets: list[Candles]) -> None:
    env = ReplayVectorEnv(64, markets, episode_length=8)
    _, info = env.reset(seed=1)
    assert set(info["symbol"]) == set(NAMES)
    scalar = BybitReplayEnv(markets, episode_length=8)
    actions = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    lived = [env.step(actions) for _ in range(8)]
    assert lived[-1][3].all()
    for lane in range(0, 64, 7):
        start = int(info["time_ms"][lane])
        scalar.reset(options={"symbol": str(info["symbol"][lane]), "start": start})
        for seen, paid, _, _, told in lived:
            observation, reward, _, _, alone = scalar.step(actions[lane])
            np.testing.assert_array_equal(observation, seen[lane])
            assert reward == paid[lane]
            assert alone["symbol"] == told["symbol"][lane]
            assert alone["time_ms"] == told["time_ms"][lane]
    env.step(actions)  # they start over, in symbols drawn anew
    assert set(env.step(actions)[4]["symbol"]) == set(NAMES)


def test_lanes_begin_where_they_are_told(markets: list[Candles]) -> None:
    env = ReplayVectorEnv(4, markets, episode_length=8)
    start = int(markets[2].open_time_ms[410])
    asked = {"symbol": ["CCC", None, "AAA", "CCC"], "start": [start, None, None, None]}
    _, info = env.reset(seed=1, options=asked)
    assert [info["symbol"][i] for i in (0, 2, 3)] == ["CCC", "AAA", "CCC"]
    assert info["time_ms"][0] == start


def test_lanes_with_seeds_of_their_own_are_scalar_environments(markets: list[Candles]) -> None:
    settings = {"episode_length": 5}
    env, scalar = ReplayVectorEnv(5, markets, **settings), BybitReplayEnv(markets, **settings)
    observations, info = env.reset(seed=[11, 12, 13, 14, 15])
    for lane in range(5):
        observation, told = scalar.reset(seed=11 + lane)
        np.testing.assert_array_equal(observation, observations[lane])
        assert told["symbol"] == info["symbol"][lane]


def test_each_symbol_ends_with_its_own_contract(markets: list[Candles]) -> None:
    ends = int(markets[0].open_time_ms[450])
    rules = replace(synthetic_instrument("AAA"), delivery_time_ms=ends)
    env = ReplayVectorEnv(2, [replace(markets[0], instrument=rules), markets[1]], episode_length=80)
    options = {"symbol": ["AAA", "BBB"], "start": int(markets[0].open_time_ms[445])}
    env.reset(options=options)
    ended = [env.step(np.ones((2, 1)))[2].tolist() for _ in range(5)]
    assert ended == [[False, False]] * 3 + [[True, False], [False, False]]


@pytest.mark.parametrize("observation", ["latent", "features"])
def test_a_joint_world_model_has_one_for_each(
    markets: list[Candles], market_model: BarWorldModel, observation: str, tmp_path
) -> None:
    members = {
        name: BarWorldModel(
            market_model.config,
            replace(market_model.provenance, symbol=name),
            replace(market_model.scaler, mean=market_model.scaler.mean + shift),
            market_model.vae,
            market_model.mdn_rnn,
            market_model.bank,
        )
        for name, shift in zip(NAMES, (0.0, 0.1, 0.2), strict=True)
    }
    joint = JointWorldModel(members)
    joint.save_pretrained(tmp_path / "joint")
    settings = {"episode_length": 5, "observation": observation}
    env = BybitReplayEnv(markets, tmp_path / "joint", **settings)
    assert env.world_model_hash == joint.fingerprint
    for one in markets:
        alone = BybitReplayEnv(one, joint.of(one.symbol), **settings)
        start = {"start": int(one.open_time_ms[440])}
        seen = env.reset(options={"symbol": one.symbol, **start})[0]
        np.testing.assert_array_equal(seen, alone.reset(options=start)[0])
    lanes = ReplayVectorEnv(3, markets, joint, **settings)
    assert lanes.reset(seed=0)[0].shape == (3, env.observation_space.shape[0])


def test_what_symbols_cannot_share_is_refused(
    markets: list[Candles], paper_model: WorldModel
) -> None:
    with pytest.raises(ConfigError, match="AAA come twice; expected each symbol once"):
        BybitReplayEnv([markets[0], markets[0]])
    with pytest.raises(ConfigError, match=r"intervals are 15, 60; expected one"):
        BybitReplayEnv([markets[0], synthetic_candles(bars=900, symbol="QQQ", interval="15")])
    with pytest.raises(ConfigError, match="instrument is given with several candles"):
        BybitReplayEnv(markets, instrument=synthetic_instrument("AAA"))
    with pytest.raises(ConfigError, match=r"funding names AAA; expected rates of AAA, BBB, CCC"):
        BybitReplayEnv(markets, funding={"AAA": 0.0001})
    unlike = replace(synthetic_instrument("AAA"), tick_size=5.0)
    with pytest.raises(ConfigError, match="rounded by different rules"):
        BybitReplayEnv([replace(markets[0], instrument=unlike), markets[1]], capital_usdt=1_000.0)
    with pytest.raises(ConfigError, match=r"symbol is 'BBC'; did you mean 'BBB'"):
        BybitReplayEnv(markets, episode_length=5).reset(options={"symbol": "BBC"})
    with pytest.raises(ConfigError, match=r"reset option 'symbol' is unknown"):
        BybitReplayEnv(markets[0], episode_length=5).reset(options={"symbol": "AAA"})


@pytest.mark.filterwarnings("ignore:the candles are of:UserWarning")
def test_a_scalar_environment_takes_either_preset(
    markets: list[Candles], paper_model: WorldModel
) -> None:
    env = BybitReplayEnv(markets, paper_model, episode_length=5)
    for one in markets:
        alone = BybitReplayEnv(one, paper_model, episode_length=5)
        start = {"start": int(one.open_time_ms[440])}
        env.reset(options={"symbol": one.symbol, **start})
        alone.reset(options=start)
        action = np.array([0.5])
        np.testing.assert_array_equal(env.step(action)[0], alone.step(action)[0])
    assert all(one.symbol in env.other_market for one in markets)
    with pytest.raises(ConfigError, match=r"preset is 'paper'.*make an environment for each"):
        ReplayVectorEnv(2, markets, paper_model, episode_length=5)


def test_funding_is_charged_by_symbol(markets: list[Candles]) -> None:
    env = BybitReplayEnv(
        markets[:2], funding={"AAA": 0.001, "BBB": 0.0}, episode_length=9, random_start=False
    )
    paid = {}
    for name in NAMES[:2]:
        env.reset(options={"symbol": name})
        paid[name] = sum(env.step(np.ones(1))[4]["funding"] for _ in range(9))
    assert paid["BBB"] == 0.0 < paid["AAA"]
