"""The linear controller: its arithmetic, its files, its refusals."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from worldmodel_trading.agents.cma_es import CMAESConfig
from worldmodel_trading.agents.dream_search import DreamSearchConfig, train_controller
from worldmodel_trading.agents.linear import Inputs, LinearController
from worldmodel_trading.agents.live import LiveTrader
from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.opening import open_recorded
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.vector import DreamVectorEnv, ReplayVectorEnv
from worldmodel_trading.evaluation.lanes import evaluate_lanes
from worldmodel_trading.evaluation.policy import Policy, seen_ranges, sight
from worldmodel_trading.evaluation.rollout import run_episode
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, ModelFileError
from worldmodel_trading.models.world_model import WorldModel


def test_the_action_by_hand() -> None:
    policy: Policy = LinearController(np.array([0.5, -2.0, 0.25, 0.1]))
    action, state = policy.predict(np.array([1.0, 0.5, -2.0], dtype=np.float32))
    assert state is None
    assert action.shape == (1,)
    assert action.dtype == np.float32
    assert action[0] == pytest.approx(math.tanh(0.5 - 1.0 - 0.5 + 0.1), abs=3e-7)


@pytest.mark.parametrize("size", [7, 12, 73])
def test_a_batch_is_its_rows_wherever_they_lie(size: int) -> None:
    rng = np.random.default_rng(0)
    policy = LinearController(rng.normal(size=size + 1))
    observations = rng.normal(size=(6, size)).astype(np.float32)
    actions, _ = policy.predict(observations, episode_start=np.ones(6, dtype=bool))
    assert actions.shape == (6, 1)
    assert (np.abs(actions) <= 1.0).all()
    rows = np.stack([policy.predict(row)[0] for row in observations])
    np.testing.assert_array_equal(actions, rows)
    order = rng.permutation(6)
    np.testing.assert_array_equal(policy.predict(observations[order])[0], actions[order])
    memory = np.empty(observations.size + 1, dtype=np.float32)
    memory[1:] = observations.ravel()
    elsewhere = memory[1:].reshape(observations.shape)
    np.testing.assert_array_equal(policy.predict(elsewhere)[0], actions)


def test_no_parameters_means_no_position() -> None:
    action, _ = LinearController(np.zeros(5)).predict(np.ones(4, dtype=np.float32))
    assert action[0] == 0.0


def test_parameters_are_copied_and_frozen() -> None:
    given = np.ones(4)
    policy = LinearController(given)
    given[:] = 7.0
    assert policy.parameters.max() == 1.0
    with pytest.raises(ValueError, match=r"read-only"):
        policy.parameters[0] = 2.0


@pytest.mark.parametrize(
    "parameters",
    [np.ones(1), np.ones((2, 3)), np.array([1.0, np.nan]), np.array([np.inf, 1.0]), np.empty(0)],
)
def test_impossible_parameters_are_refused(parameters: np.ndarray) -> None:
    with pytest.raises(ConfigError, match=r"shape .*expected finite weights and a bias"):
        LinearController(parameters)


def test_an_observation_of_another_model_is_refused() -> None:
    policy = LinearController(np.ones(4))
    with pytest.raises(ConfigError, match=r"of 3 numbers; got 5.*another world model"):
        policy.predict(np.ones(5, dtype=np.float32))


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    policy = LinearController(np.random.default_rng(1).normal(size=12))
    path = policy.save(tmp_path / "deep" / "c.safetensors", run_id="abc", generations=3)
    loaded = LinearController.load(path)
    np.testing.assert_array_equal(loaded.parameters, policy.parameters)
    facts = json.loads(path.with_suffix(".json").read_text())
    assert facts["run_id"] == "abc"
    assert facts["observation_size"] == 11
    assert (loaded.hidden_size, loaded.inputs) == (0, "latent_hidden_account")
    assert sorted(p.name for p in path.parent.iterdir()) == ["c.json", "c.safetensors"]


def test_a_hidden_layer_by_hand() -> None:
    weights, biases, output = [[0.5, -2.0], [1.0, 0.25]], [0.1, -0.3], [0.7, -1.5, 0.2]
    policy = LinearController(np.hstack([*weights, biases, output]), hidden_size=2)
    assert policy.observation_size == 2
    x = np.array([[1.0, 0.5], [-0.4, 2.0]], dtype=np.float32)
    layer = np.tanh(x @ np.array(weights).T + biases)
    wanted = np.tanh(layer @ output[:2] + output[2])
    actions, _ = policy.predict(x)
    np.testing.assert_allclose(actions[:, 0], wanted, atol=1e-6)
    for row, action in zip(x, actions, strict=True):
        np.testing.assert_array_equal(policy.predict(row)[0], action)


def test_a_hidden_layer_is_saved_and_loaded(tmp_path: Path) -> None:
    parameters = np.random.default_rng(1).normal(size=3 * (7 + 2) + 1)
    policy = LinearController(parameters, "abc", hidden_size=3, inputs="latent_account")
    loaded = LinearController.load(policy.save(tmp_path / "c.safetensors"))
    np.testing.assert_array_equal(loaded.parameters, policy.parameters)
    assert (loaded.hidden_size, loaded.inputs) == (3, "latent_account")
    assert loaded.world_model_hash == "abc"
    facts = json.loads((tmp_path / "c.json").read_text())
    assert (facts["hidden_size"], facts["inputs"]) == (3, "latent_account")
    x = np.random.default_rng(2).normal(size=(5, 7)).astype(np.float32)
    np.testing.assert_array_equal(loaded.predict(x)[0], policy.predict(x)[0])


@pytest.mark.parametrize(("count", "hidden"), [(12, 3), (27, 3), (4, 3), (2, 1)])
def test_parameters_that_fit_no_hidden_layer_are_refused(count: int, hidden: int) -> None:
    with pytest.raises(ConfigError, match=rf"{count} parameters make no controller with {hidden}"):
        LinearController(np.ones(count), hidden_size=hidden)


@pytest.mark.parametrize(
    "told", [{"format_version": "3"}, {"hidden_size": "-1"}, {"inputs": "everything"}]
)
def test_files_of_a_later_format_are_refused(told: dict[str, str], tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"parameters": np.ones(4)}, tmp_path / "c.safetensors", told)
    with pytest.raises(ModelFileError, match=r"expected format 2 or before: a later version"):
        LinearController.load(tmp_path / "c.safetensors")


@pytest.mark.parametrize("inputs", get_args(Inputs))
def test_a_trained_controller_reads_its_inputs_alone(
    inputs: Inputs, market_model: WorldModel
) -> None:
    search = DreamSearchConfig(
        CMAESConfig(population=4, generations=2), dreams=2, horizon=6, inputs=inputs
    )
    policy, _ = train_controller(market_model, search, seed=0)
    assert policy.inputs == inputs
    env = DreamEnv(market_model, horizon=5)
    env.reset(seed=0)
    for part, where in env.observation_layout.items():
        assert policy.parameters[:-1][where].any() == (part in inputs.split("_")), part
    run_episode(env, policy)


def test_files_that_are_no_controller_are_refused(tmp_path: Path) -> None:
    import pickle

    from safetensors.numpy import save_file

    with pytest.raises(ModelFileError, match=r"absent.safetensors is no linear controller"):
        LinearController.load(tmp_path / "absent.safetensors")
    whole = LinearController(np.ones(9)).save(tmp_path / "c.safetensors").read_bytes()
    broken = {
        "cut": whole[:-5],
        "empty": b"",
        "text": b"weights: 1",
        "pickle": pickle.dumps({"parameters": np.ones(4)}),
    }
    for name, content in broken.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=rf"{name}.safetensors is no linear controller"):
            LinearController.load(path)
    for name, arrays in {
        "other": {"weights": np.ones(4)},
        "nan": {"parameters": np.array([1.0, np.nan])},
        "square": {"parameters": np.ones((2, 2))},
    }.items():
        save_file(arrays, tmp_path / f"{name}.safetensors")
        with pytest.raises(ModelFileError, match=r"is no linear controller"):
            LinearController.load(tmp_path / f"{name}.safetensors")


def test_it_remembers_its_world_model_and_is_kept_out_of_another(
    market_model: WorldModel, candles: Candles, tmp_path: Path
) -> None:
    """Another model of the same shape: one weight of M differs."""
    search = DreamSearchConfig(CMAESConfig(population=4, generations=1), dreams=2, horizon=4)
    policy, _ = train_controller(market_model.recent(0.5), search, seed=0)
    market_model.save_pretrained(tmp_path / "model")
    loaded = LinearController.load(policy.save(tmp_path / "c.safetensors"))
    same = WorldModel.from_pretrained(tmp_path / "model")
    assert loaded.world_model_hash == policy.world_model_hash == same.fingerprint
    assert json.loads((tmp_path / "c.json").read_text())["world_model"] == same.fingerprint
    another = copy.deepcopy(same)
    another.__dict__.pop("fingerprint")
    another.mdn_rnn.lstm.weight_hh_l0[0, 0] += 1e-3
    LiveTrader(same, loaded)
    for meet in (
        lambda model: LiveTrader(model, loaded),
        lambda model: run_episode(DreamEnv(model, horizon=5), loaded),
        lambda model: run_episode(BybitReplayEnv(candles, model, episode_length=5), loaded),
        lambda model: evaluate_lanes(DreamVectorEnv(2, model, horizon=5), loaded, bars_per_year=1),
        lambda model: evaluate_lanes(
            ReplayVectorEnv(2, candles, model, episode_length=5), loaded, bars_per_year=1
        ),
    ):
        meet(same)
        with pytest.raises(ConfigError, match=r"was trained in the world model .*…, and this is"):
            meet(another)


def test_a_file_that_names_no_world_model_is_taken_as_it_is(
    market_model: WorldModel, tmp_path: Path
) -> None:
    from safetensors.numpy import save_file

    size = market_model.config.latent_size + market_model.config.hidden_size + 2
    save_file({"parameters": np.zeros(size, np.float32)}, tmp_path / "old.safetensors")
    old = LinearController.load(tmp_path / "old.safetensors")
    assert old.world_model_hash is None
    run_episode(DreamEnv(market_model, horizon=5), old)


def test_a_controller_knows_which_bars_it_was_searched_and_chosen_on(
    market_model: WorldModel, candles: Candles, tmp_path: Path
) -> None:
    made, begin, end = market_model.provenance, *map(int, candles.open_time_ms[[1_600, 1_900]])
    search = DreamSearchConfig(CMAESConfig(population=4, generations=1), dreams=2, horizon=12)
    validation = open_recorded(candles, market_model, begin, end)
    controller, _ = train_controller(market_model, search, validation=validation)
    expected = {"train": (made.train_start_ms, made.train_end_ms), "validation": (begin, end)}
    assert seen_ranges(controller) == expected
    controller.save(tmp_path / "c.safetensors")
    assert seen_ranges(LinearController.load(tmp_path / "c.safetensors")) == expected
    assert json.loads((tmp_path / "c.json").read_text())["seen"]["train"][0].startswith("20")
    assert sight(controller, (end, end + 1)) == "unseen"
    assert sight(controller, (begin, begin + 1)) == "seen"
    bare = LinearController(np.ones(3))
    bare.save(tmp_path / "bare.safetensors")
    assert LinearController.load(tmp_path / "bare.safetensors").seen is None
    assert sight(bare, (begin, end)) == "unknown"
