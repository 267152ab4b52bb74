"""Rule-based baselines."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.agents.live import LiveTrader
from worldmodel_trading.agents.rules import (
    RULES,
    ConstantWeight,
    HARVolatilityTarget,
    Momentum,
    RandomWeights,
    Reversion,
    VolatilityTarget,
    buy_and_hold,
    flat,
    make_rule,
)
from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.vector import ReplayVectorEnv
from worldmodel_trading.evaluation.lanes import run_lanes
from worldmodel_trading.evaluation.policy import Policy
from worldmodel_trading.evaluation.rollout import run_episode
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.features import FeatureSpec, compute_features
from worldmodel_trading.market.streams import StreamSpec
from worldmodel_trading.models.world_model import WorldModel


@pytest.mark.parametrize(
    ("policy", "weight"), [(buy_and_hold(), 1.0), (flat(), 0.0), (ConstantWeight(-0.25), -0.25)]
)
def test_a_constant_weight_is_constant(policy: Policy, weight: float) -> None:
    one, state = policy.predict(np.ones(5, dtype=np.float32))
    assert (one.shape, one.dtype, one[0], state) == ((1,), np.float32, np.float32(weight), None)
    many, _ = policy.predict(np.ones((4, 5), dtype=np.float32))
    np.testing.assert_array_equal(many, np.full((4, 1), weight, dtype=np.float32))


@pytest.mark.parametrize("weight", [1.1, -2.0, float("nan")])
def test_a_weight_outside_the_action_space_is_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match=r"weight is .*expected a number in \[-1, 1\]"):
        ConstantWeight(weight)


def test_momentum_is_the_sign_of_its_feature() -> None:
    names = FeatureSpec().names
    for horizon in (6, 24, 168):
        observation = np.zeros((3, len(names) + 1), dtype=np.float32)
        observation[:, names.index(f"momentum_{horizon}")] = [0.3, -0.001, 0.0]
        actions, _ = Momentum(horizon).predict(observation)
        np.testing.assert_array_equal(actions, [[1.0], [-1.0], [0.0]])
        np.testing.assert_array_equal(Momentum(horizon).predict(observation[1])[0], [-1.0])


def test_an_unknown_horizon_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"over 7 bars; .*momentum_6.*momentum_168"):
        Momentum(7)
    assert Momentum(5, FeatureSpec((5, 9))).horizon == 5


def test_momentum_follows_the_recorded_trend(candles: Candles) -> None:
    env = BybitReplayEnv(candles, episode_length=300, random_start=False)
    record = run_episode(env, Momentum(24))
    assert record.time_ms is not None
    rows = np.searchsorted(candles.open_time_ms, record.time_ms[:-1])
    rise = np.log(candles.close[rows] / candles.close[rows - 24])
    np.testing.assert_array_equal(record.action, np.sign(rise))


def test_reversion_is_the_other_side_of_the_shortest_momentum() -> None:
    names = FeatureSpec().names
    observation = np.zeros((3, len(names) + 1), dtype=np.float32)
    observation[:, names.index("momentum_6")] = [0.3, -0.001, 0.0]
    rule = Reversion()
    assert rule.horizon == 6
    np.testing.assert_array_equal(rule.predict(observation)[0], [[-1.0], [1.0], [0.0]])


def test_a_volatility_target_by_hand() -> None:
    """A bar moves 1% or 0.1%; with 10,000 bars a year that is 100% or 10% a year."""
    names = FeatureSpec().names
    observation = np.zeros((2, len(names) + 1), dtype=np.float32)
    observation[:, names.index("volatility_24")] = np.log([0.01, 0.001])
    rule = VolatilityTarget(0.4, 24, bars_per_year=10_000)
    np.testing.assert_allclose(rule.predict(observation)[0], [[0.4], [1.0]], rtol=1e-6)
    np.testing.assert_allclose(rule.predict(observation[0])[0], [0.4], rtol=1e-6)
    levered = VolatilityTarget(0.4, 24, bars_per_year=10_000, leverage=2.0)
    np.testing.assert_allclose(levered.predict(observation)[0], [[0.2], [1.0]], rtol=1e-6)


def test_streamed_volatility_is_told_against_the_slow_scale() -> None:
    features = StreamSpec()
    observation = np.zeros(len(features.names) + 1, dtype=np.float32)
    observation[features.names.index("level")] = np.log(0.02)
    observation[features.names.index("volatility_168")] = np.log(0.5)
    rule = VolatilityTarget(0.4, features=features, bars_per_year=10_000)
    np.testing.assert_allclose(rule.predict(observation)[0], [0.4], rtol=1e-6)  # 2% · ½ = 1%


@pytest.mark.parametrize("setting", [{"target": 0.0}, {"target": np.nan}, {"leverage": -1.0}])
def test_a_volatility_target_of_nothing_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"expected a number, more than 0"):
        VolatilityTarget(**setting)


@pytest.mark.parametrize("features", [FeatureSpec(), StreamSpec()], ids=["windows", "streams"])
def test_the_har_forecast_has_the_scale_of_what_comes(
    features: FeatureSpec | StreamSpec, candles: Candles
) -> None:
    training = candles.rows(0, 1_900)
    rule = HARVolatilityTarget.fit(training, 1e-3, features, bars_per_year=1.0)
    observed = compute_features(candles, features)
    rows = np.flatnonzero(np.isfinite(observed).all(axis=1))[:-1]
    shown = np.column_stack([observed[rows], np.zeros(len(rows))]).astype(np.float32)
    forecast = 1e-3 / rule.predict(shown)[0][:, 0]  # an annual target of a year of one bar
    returns = np.diff(np.log(candles.close))[rows]
    known = rows < 1_899
    assert np.mean((returns / forecast)[known] ** 2) == pytest.approx(1.0, abs=1e-3)
    # of bars that it was not fitted on: a likelihood above that of one deviation for all of them
    new = ~known
    same = np.sqrt(np.mean(returns[known] ** 2))

    def loss(deviation: np.ndarray | float) -> float:
        ratio = (returns[new] / deviation) ** 2
        return float(np.mean(ratio - np.log(ratio)))

    assert loss(forecast[new]) < loss(same)


def test_too_few_bars_are_refused(candles: Candles) -> None:
    with pytest.raises(ConfigError, match=r"^40 bars have .* at least 100: give a longer"):
        HARVolatilityTarget.fit(candles.rows(0, 209), features=FeatureSpec())


def test_random_weights_repeat_are_held_and_begin_anew() -> None:
    observation = np.zeros((4, 3), dtype=np.float32)
    one, two = RandomWeights(hold=2, seed=5), RandomWeights(hold=2, seed=5)
    state = other = None
    drawn = []
    for step in range(6):
        begins = np.array([step in (0, 3), step == 0, step == 0, step == 0])
        weights, state = one.predict(observation, state, begins)
        again, other = two.predict(observation, other, begins)
        np.testing.assert_array_equal(weights, again)
        drawn.append(weights[:, 0])
    course = np.array(drawn)
    assert (np.abs(course) <= 1.0).all()
    changes = course[1:] != course[:-1]
    np.testing.assert_array_equal(changes[:, 1], [False, True, False, True, False])
    np.testing.assert_array_equal(changes[:, 0], [False, True, True, False, True])
    alone, _ = RandomWeights(seed=5).predict(observation[0])
    assert alone.shape == (1,)
    assert np.unique(course).size == 4 * 3 + 1


def test_random_weights_are_uniform() -> None:
    weights, _ = RandomWeights(seed=1).predict(np.zeros((20_000, 1), dtype=np.float32))
    np.testing.assert_allclose(np.quantile(weights, [0.1, 0.5, 0.9]), [-0.8, 0.0, 0.8], atol=0.03)


@pytest.mark.parametrize("hold", [0, 1.5, True])
def test_a_hold_of_no_bars_is_refused(hold: float) -> None:
    with pytest.raises(ConfigError, match=r"hold is .*; expected a whole number of bars"):
        RandomWeights(hold=hold)  # type: ignore[arg-type]


SETTINGS = {"constant": {"weight": 0.5}}


@pytest.mark.parametrize("name", RULES)
def test_every_rule_trades_replay_and_dream(
    name: str, candles: Candles, market_model: WorldModel
) -> None:
    features = market_model.config.features
    made = [
        make_rule(name, candles.rows(0, 1_900), features, **SETTINGS.get(name, {})) for _ in "12"
    ]
    settings = {"observation": "features"}
    replay = BybitReplayEnv(candles, market_model, "2020-03-22", episode_length=60, **settings)
    dream = DreamEnv(market_model, horizon=60, **settings)
    for env in (replay, dream):
        records = [run_episode(env, rule, seed=3) for rule in made]
        assert len(records[0]) == 60
        assert (np.abs(records[0].action) <= 1.0).all()
        np.testing.assert_array_equal(records[0].equity, records[1].equity)


def test_rules_by_name(candles: Candles) -> None:
    rule = make_rule("volatility_target", candles, leverage=3.0, target=0.2, horizon=24)
    assert isinstance(rule, VolatilityTarget)
    assert rule.sizing.to_dict() == {"target": 0.2, "bars_per_year": 8_760.0, "leverage": 3.0}
    with pytest.raises(ConfigError, match=r"no rule 'momentun'; did you mean 'momentum'\?"):
        make_rule("momentun", candles)
    with pytest.raises(ConfigError, match=r"'momentum' has no setting 'horizons'; did you mean"):
        make_rule("momentum", candles, horizons=6)
    with pytest.raises(ConfigError, match=r"'har_volatility_target' is fitted on recorded bars"):
        make_rule("har_volatility_target")
    daily = make_rule("volatility_target", bars_per_year=365.0)
    assert isinstance(daily, VolatilityTarget)
    assert daily.sizing.bars_per_year == 365.0
    with pytest.raises(ConfigError, match=r"the rule 'constant' needs weight"):
        make_rule("constant", candles)


def test_rules_trade_the_dream_too(market_model: WorldModel) -> None:
    env = DreamEnv(market_model, observation="features", horizon=60)
    rule = Momentum(168, market_model.config.features)
    record = run_episode(env, rule, seed=3)
    assert len(record) == 60
    assert set(np.unique(record.action)) <= {-1.0, 0.0, 1.0}


@pytest.mark.parametrize("name", ["momentum", "reversion", "volatility_target"])
def test_a_rule_that_reads_features_is_kept_from_an_observation_of_latents(
    name: str, market_model: WorldModel, candles: Candles
) -> None:
    rule = make_rule(name, candles, market_model.config.features)
    seeing = {"candles": candles, "world_model": market_model, "episode_length": 20}
    made = {
        "replay": lambda: run_episode(BybitReplayEnv(**seeing), rule),
        "dream": lambda: run_episode(DreamEnv(market_model, horizon=20), rule),
        "lanes": lambda: run_lanes(ReplayVectorEnv(2, **seeing), rule),
        "live": lambda: LiveTrader(market_model, rule),
    }
    for venue, play in made.items():
        with pytest.raises(ConfigError, match=r"reads an observation of \d+ features") as caught:
            play()
        assert "latent [3], hidden [6], account [1]" in str(caught.value), venue
        assert "observation='features'" in str(caught.value)
    assert run_episode(BybitReplayEnv(**seeing, observation="features"), rule)
    others = make_rule(name, candles)  # of the features that replay shows without a world model
    with pytest.raises(ConfigError, match=r"features=world_model\.config\.features"):
        run_episode(BybitReplayEnv(**seeing, observation="features"), others)
    assert run_episode(BybitReplayEnv(candles, episode_length=20), others)
