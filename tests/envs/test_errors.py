"""What a user can get wrong, and the one clear message that each mistake earns."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.vector import DreamVectorEnv, ReplayVectorEnv
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import (
    ActionError,
    CandleError,
    ConfigError,
    FeatureError,
    ModelFileError,
    UnknownArgumentError,
    WorldModelTradingError,
)
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.world_model import WorldModel

WRONG_ACTIONS: list[Any] = [
    pytest.param(np.array([np.nan], dtype=np.float32), "nan", id="nan"),
    pytest.param(np.array([np.inf], dtype=np.float32), "inf", id="inf"),
    pytest.param(np.array([-np.inf]), "inf", id="-inf"),
    pytest.param(np.nan, "nan", id="nan by itself"),
    pytest.param(np.array(-np.inf), "inf", id="-inf by itself"),
    pytest.param(np.array([0.1, 0.2], dtype=np.float32), "shape", id="two"),
    pytest.param(np.array([[0.5]]), "shape", id="extra axis"),
    pytest.param(True, "shape", id="truth"),
    pytest.param(np.array([], dtype=np.float32), "shape", id="nothing"),
    pytest.param(None, "shape", id="none"),
    pytest.param("long", "shape", id="text"),
    pytest.param(np.array(["1"]), "shape", id="text array"),
]
WRONG_DISCRETE: list[Any] = [-1, 3, 1.0, np.nan, None, np.array([0, 1]), np.array([1.5]), "1"]


@pytest.fixture(params=["dream", "replay"])
def env(request: pytest.FixtureRequest, candles: Candles, market_model: WorldModel) -> Any:
    if request.param == "dream":
        return DreamEnv(market_model, horizon=5)
    return BybitReplayEnv(candles, episode_length=5)


@pytest.mark.parametrize(("action", "shown"), WRONG_ACTIONS)
def test_a_wrong_action_is_refused_and_changes_nothing(env: Any, action: Any, shown: str) -> None:
    env.reset(seed=1)
    with pytest.raises(ActionError, match=shown) as caught:
        env.step(action)
    assert "expected" in str(caught.value)
    assert "[-1, 1]" in str(caught.value)
    after = env.step(np.array([0.5], dtype=np.float32))
    env.reset(seed=1)
    np.testing.assert_array_equal(after[0], env.step(np.array([0.5], dtype=np.float32))[0])


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (np.array([1.0 + 5e-7]), 1.0),
        (np.array([1.01], dtype=np.float32), 1.0),
        (np.array([-3e38], dtype=np.float32), -1.0),
        (np.array([7]), 1.0),
        (0.5, 0.5),
        (-2, -1.0),
        (np.float32(0.5), 0.5),
        (np.array(0.5), 0.5),
        (np.array(-9), -1.0),
        ([0.5], 0.5),
    ],
    ids=repr,
)
def test_a_finite_action_is_clipped_and_a_number_is_one(env: Any, given: Any, meant: float) -> None:
    env.reset(seed=1)
    clipped = env.step(given)
    env.reset(seed=1)
    exact = env.step(np.array([meant]))
    np.testing.assert_array_equal(clipped[0], exact[0])
    assert clipped[1:] == exact[1:]


@pytest.mark.parametrize("action", WRONG_DISCRETE)
def test_a_wrong_discrete_action_is_refused(action: Any, candles: Candles) -> None:
    env = BybitReplayEnv(candles, episode_length=5, actions="discrete")
    env.reset(seed=1)
    with pytest.raises(ActionError, match=r"expected 0, 1 or 2"):
        env.step(action)


def test_stepping_before_reset_and_after_the_end_is_refused(env: Any) -> None:
    action = np.zeros(1, dtype=np.float32)
    with pytest.raises(gym.error.ResetNeeded, match=r"reset\(\)"):
        env.step(action)
    env.reset(seed=0)
    for _ in range(4):
        assert not env.step(action)[3]
    assert env.step(action)[2:4] == (False, True)
    for _ in range(2):
        with pytest.raises(gym.error.ResetNeeded, match=r"reset\(\)"):
            env.step(action)
    env.reset()
    env.step(action)


def test_stepping_after_ruin_is_refused(candles: Candles) -> None:
    env = BybitReplayEnv(candles, episode_length=None, random_start=False, leverage=100.0)
    env.reset(seed=0)
    terminated = truncated = False
    while not terminated:
        _, reward, terminated, truncated, info = env.step(np.array([1.0], dtype=np.float32))
        assert np.isfinite(reward)
        assert not truncated
    assert 0.0 <= info["equity"] < 1.0
    assert info["weight"] == 0.0
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.array([1.0], dtype=np.float32))


@pytest.mark.parametrize("name", ["WorldModelDream-v0", "BybitReplay-v0"])
def test_an_unknown_keyword_is_named_with_the_nearest_known(name: str) -> None:
    with pytest.raises(ConfigError, match=r"taker_feee.*did you mean 'taker_fee'"):
        gym.make(name, taker_feee=0.001)
    with pytest.raises(ConfigError, match=r"leverge.*did you mean 'leverage'"):
        gym.make_vec(name, num_envs=2, leverge=2.0)
    with pytest.raises(ConfigError, match=r"keyword argument 'zzz'; expected one of") as caught:
        gym.make(name, zzz=1)
    message = str(caught.value)
    assert message.startswith(f"{name} got an unexpected keyword argument 'zzz'")
    assert "Env" not in message.partition(" was raised")[0]  # no internal class
    assert "actions" in message
    assert "or of the account maker_fee" in message


MEANT = {
    "WorldModelDream-v0": {
        "temprature": "temperature", "warm_up": "warmup", "action": "actions", "Fee": "taker_fee",
        "commission": "taker_fee", "episode_length": "horizon", "max_steps": "horizon",
        "tau": "temperature", "model": "world_model", "latency": "fill_delay",
        "initial_balance": "capital_usdt",
    },
    "BybitReplay-v0": {
        "horizon": "episode_length", "fee": "taker_fee", "commission": "taker_fee",
        "action": "actions", "df": "candles", "start_date": "start", "max_leverage": "leverage",
        "spread": "slippage",
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [(name, given, meant) for name, words in MEANT.items() for given, meant in words.items()],
)
def test_another_house_s_word_is_understood(name: str, given: str, meant: str) -> None:
    for make in (gym.make, gym.make_vec):
        with pytest.raises(UnknownArgumentError, match=rf"'{given}'; did you mean '{meant}'\?"):
            make(name, **{given: 1})


@pytest.mark.parametrize("kind", [DreamEnv, BybitReplayEnv, DreamVectorEnv, ReplayVectorEnv])
def test_an_unknown_keyword_is_a_type_error_as_python_words_it(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"got an unexpected keyword argument 'frameskip'"):
        kind(frameskip=1)


def test_an_unknown_reset_option_is_named(env: Any) -> None:
    with pytest.raises(ConfigError, match=r"'begin' is unknown; expected.*start"):
        env.reset(options={"begin": "2020-01-01"})


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"observation": "pixels"}, "'pixels'; expected 'latent' or 'features'"),
        ({"actions": "both"}, "'both'; expected 'continuous' or 'discrete'"),
        ({"temperature": -0.1}, "temperature is -0.1; expected"),
        ({"temperature": float("nan")}, "temperature is nan; expected"),
        ({"temperature": float("inf")}, "temperature is inf; expected"),
        ({"temperature": "hot"}, "temperature is 'hot'; expected"),
        ({"horizon": 0}, "horizon is 0; expected a number of bars"),
        ({"horizon": -5}, "horizon is -5; expected a number of bars"),
        ({"horizon": 2.5}, "horizon is 2.5; expected a number of bars"),
        ({"horizon": True}, "horizon is True; expected a number of bars"),
        ({"horizon": None}, "horizon is None; expected a number of bars"),
        ({"warmup": 0}, "warmup is 0.*24 bars"),
        ({"warmup": 25}, "warmup is 25.*24 bars"),
        ({"warmup": 1.5}, "warmup is 1.5.*24 bars"),
        ({"ood_limit": 1.5}, r"ood_limit is 1.5; expected a quantile in \(0, 1\]"),
        ({"ood_limit": "far"}, "ood_limit is 'far'; expected a quantile"),
        ({"render_mode": "window"}, "'window'; expected None or one of.*ansi"),
        ({"taker_fee": -1.0}, "taker_fee is -1.0; expected"),
        ({"slippage": float("nan")}, "slippage is nan; expected"),
        ({"leverage": 0.0}, "leverage is 0.0; expected"),
        ({"leverage": "2"}, "leverage is '2'; expected a number"),
        ({"leverage": 300.0}, "leverage 300.*expected leverage < 200"),
    ],
)
def test_a_dream_refuses_impossible_settings(
    kwargs: dict[str, Any], said: str, market_model: WorldModel
) -> None:
    with pytest.raises(ConfigError, match=said):
        DreamEnv(market_model, **kwargs)
    if "render_mode" not in kwargs:
        with pytest.raises(ConfigError, match=said):
            DreamVectorEnv(2, market_model, **kwargs)


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"actions": 3}, "3; expected 'continuous' or 'discrete'"),
        ({"episode_length": 0}, "episode_length is 0; expected a number of bars, or None"),
        ({"episode_length": "day"}, "'day'; expected a number of bars, or None"),
        ({"episode_length": 10**6}, "no episode of 1000000 steps fits.*2431 steps.*shorter"),
        ({"fill_delay": -1}, "fill_delay is -1; expected"),
        ({"fill_delay": 1.5}, "fill_delay is 1.5; expected a whole number"),
        ({"render_mode": "window"}, "'window'; expected None or one of.*ansi"),
        ({"tick_size": 0.1}, "tick_size without capital_usdt; give the capital"),
    ],
)
def test_replay_refuses_impossible_settings(
    kwargs: dict[str, Any], said: str, candles: Candles
) -> None:
    with pytest.raises(ConfigError, match=said):
        BybitReplayEnv(candles, **kwargs)
    if "render_mode" not in kwargs:
        with pytest.raises(ConfigError, match=said):
            ReplayVectorEnv(2, candles, **kwargs)


@pytest.mark.parametrize("segment", [-1, 16, 1.5, "first"])
def test_a_segment_that_does_not_exist_is_refused(segment: Any, market_model: WorldModel) -> None:
    env = DreamEnv(market_model)
    with pytest.raises(ConfigError, match=r"segment is .*16"):
        env.reset(options={"segment": segment})


def test_times_outside_the_record_are_refused(candles: Candles) -> None:
    with pytest.raises(CandleError, match=r"no candles between 2031-01-01.*SYNTH has 2020-01-01"):
        BybitReplayEnv(candles, start="2031-01-01")
    with pytest.raises(CandleError, match=r"'soon'; expected ISO 8601"):
        BybitReplayEnv(candles, start="soon")
    env = BybitReplayEnv(candles, episode_length=100)
    with pytest.raises(ConfigError, match=r"no episode fits at or after 2020-04-18"):
        env.reset(options={"start": "2020-04-18"})
    with pytest.raises(CandleError, match=r"expected ISO 8601"):
        env.reset(options={"start": "noon"})


def test_a_range_too_short_for_one_bar_is_refused(candles: Candles) -> None:
    with pytest.raises(ConfigError, match=r"no episode of 720 steps fits"):
        BybitReplayEnv(candles.rows(0, 200))
    with pytest.raises(ConfigError, match=r"no episode of 1 steps fits.*has 0 steps"):
        BybitReplayEnv(candles.rows(0, 60), episode_length=None)


def test_sources_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(CandleError, match=r"there is no file 'nowhere.csv'; expected the path"):
        gym.make("BybitReplay-v0", candles="nowhere.csv")
    with pytest.raises(ModelFileError, match=r"nothing_here"):
        gym.make("WorldModelDream-v0", world_model=str(tmp_path / "nothing_here"))
    with pytest.raises(WorldModelTradingError, match=r"nothing_here"):
        gym.make("BybitReplay-v0", world_model=str(tmp_path / "nothing_here"))


def test_candles_of_another_interval_do_not_fit_a_world_model(market_model: WorldModel) -> None:
    quarters = synthetic_candles(bars=400, interval="15")
    with pytest.raises(FeatureError, match=r"interval is 15.*trained on 60"):
        BybitReplayEnv(quarters, market_model, episode_length=10)
    with pytest.raises(FeatureError, match=r"interval is 15.*trained on 60"):
        DreamEnv(market_model).reset(options={"candles": quarters})


def test_features_of_another_width_do_not_fit_a_world_model(tiny_model: WorldModel) -> None:
    names = tiny_model.config.features.names
    expected = rf"\(5, 4\); expected {len(names)} columns: {names[0]}, {names[1]}"
    with pytest.raises(FeatureError, match=expected):
        tiny_model.encode(np.zeros((5, 4)))


def test_a_recorded_path_must_leave_a_bar_to_live(
    candles: Candles, market_model: WorldModel
) -> None:
    env = DreamEnv(market_model)
    with pytest.raises(ConfigError, match=r"no recorded bar to live after 24 bars of warm-up"):
        env.reset(options={"candles": candles.rows(0, 180)})
    with pytest.raises(ConfigError, match=r"at or after 2030-01-01"):
        env.reset(options={"candles": candles, "start": "2030-01-01"})


class TestLanes:
    """The same for vector environments."""

    @pytest.fixture
    def lanes(self, candles: Candles) -> ReplayVectorEnv:
        return ReplayVectorEnv(3, candles, episode_length=4)

    @pytest.mark.parametrize(
        ("actions", "said"),
        [
            (np.zeros(3), r"\(3,\).*expected numbers \(3, 1\)"),
            (np.array([["0"], ["1"], ["0"]]), r"type <U1; expected numbers \(3, 1\)"),
            (np.zeros((2, 1)), r"\(2, 1\).*expected numbers \(3, 1\)"),
            (np.array([[0.0], [np.nan], [2.0]]), "lane 1 is nan; expected a finite weight"),
            (np.array([[0.0], [0.0], [np.inf]]), "lane 2 is inf"),
            (np.float32(0.5), r"\(\).*expected numbers \(3, 1\)"),
        ],
    )
    def test_wrong_actions(self, lanes: ReplayVectorEnv, actions: Any, said: str) -> None:
        lanes.reset(seed=0)
        with pytest.raises(ActionError, match=said):
            lanes.step(actions)

    def test_finite_actions_are_clipped(self, lanes: ReplayVectorEnv) -> None:
        lanes.reset(seed=0)
        clipped = lanes.step(np.array([[-1.1], [3e38], [0.5]], dtype=np.float32))
        lanes.reset(seed=0)
        exact = lanes.step(np.array([[-1.0], [1.0], [0.5]]))
        np.testing.assert_array_equal(clipped[0], exact[0])
        np.testing.assert_array_equal(clipped[1], exact[1])

    @pytest.mark.parametrize(
        "actions", [[0, 1, 3], [0, 1, -1], [0.0, 1.0, 2.0], [0, 1], [[0], [1], [2]]]
    )
    def test_wrong_discrete_actions(self, candles: Candles, actions: Any) -> None:
        env = ReplayVectorEnv(3, candles, episode_length=4, actions="discrete")
        env.reset(seed=0)
        with pytest.raises(ActionError, match=r"expected integers \[3\]|outside 0, 1, 2"):
            env.step(np.array(actions))

    def test_stepping_before_reset(self, lanes: ReplayVectorEnv) -> None:
        with pytest.raises(gym.error.ResetNeeded, match=r"reset\(\)"):
            lanes.step(np.zeros((3, 1)))
        with pytest.raises(gym.error.ResetNeeded, match=r"all lanes"):
            lanes.reset(options={"reset_mask": np.array([True, False, False])})

    def test_stepping_ended_lanes_without_autoreset(self, candles: Candles) -> None:
        env = ReplayVectorEnv(3, candles, episode_length=2, autoreset_mode="disabled")
        env.reset(seed=0)
        env.step(np.zeros((3, 1)))
        env.step(np.zeros((3, 1)))
        with pytest.raises(gym.error.ResetNeeded, match=r"3 lanes are over.*reset_mask"):
            env.step(np.zeros((3, 1)))

    @pytest.mark.parametrize(
        "mask", [[True], [False, False, False], [1, 0, 0], [[True, True, True]], "all"]
    )
    def test_wrong_reset_masks(self, lanes: ReplayVectorEnv, mask: Any) -> None:
        lanes.reset(seed=0)
        with pytest.raises(ConfigError, match=r"reset_mask.*expected booleans \[3\]"):
            lanes.reset(options={"reset_mask": mask})

    def test_unknown_settings(self, lanes: ReplayVectorEnv, candles: Candles) -> None:
        with pytest.raises(ConfigError, match=r"'sometimes'; expected one of next_step"):
            ReplayVectorEnv(2, candles, autoreset_mode="sometimes")
        with pytest.raises(ConfigError, match=r"does not render"):
            ReplayVectorEnv(2, candles, render_mode="ansi")  # type: ignore[arg-type]
        with pytest.raises(
            ConfigError, match=r"'segment' is unknown; expected.* reset_mask, start"
        ):
            lanes.reset(options={"segment": 1})

    @pytest.mark.parametrize("num_envs", [0, -1, 1.5])
    def test_no_lanes(self, candles: Candles, market_model: WorldModel, num_envs: Any) -> None:
        with pytest.raises(ConfigError, match=r"num_envs is .*at least 1"):
            ReplayVectorEnv(num_envs, candles)
        with pytest.raises(ConfigError, match=r"num_envs is .*at least 1"):
            DreamVectorEnv(num_envs, market_model)


def test_errors_survive_the_way_from_a_worker() -> None:
    for kind in (
        ActionError,
        ConfigError,
        CandleError,
        FeatureError,
        ModelFileError,
        UnknownArgumentError,
    ):
        assert issubclass(kind, WorldModelTradingError)
        assert issubclass(kind, ValueError)
        assert str(pickle.loads(pickle.dumps(kind("one message")))) == "one message"
