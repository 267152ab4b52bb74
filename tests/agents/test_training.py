"""Every algorithm trains, is kept, goes on and trades, on tiny models in seconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from worldmodel_trading.agents.folder import Agent, load_agent
from worldmodel_trading.agents.registry import ALGORITHMS, LEARNED
from worldmodel_trading.agents.sb3 import make_sb3_env
from worldmodel_trading.agents.sb3_models import make_sb3_agent
from worldmodel_trading.agents.sb3_training import Checkpoints
from worldmodel_trading.agents.training import Followed, Ground, TrainConfig, train_in_folder
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.rollout import run_episode
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, TrainingError
from worldmodel_trading.models.world_model import WorldModel

ON = {"n_steps": 8, "net_arch": [4]}
OFF = {"learning_starts": 16, "buffer_size": 128, "batch_size": 16, "net_arch": [4]}
SMALL: dict[str, dict[str, Any]] = {
    "ppo": {**ON, "batch_size": 16},
    "a2c": ON,
    "sac": OFF,
    "td3": OFF,
    "dqn": OFF,
    "recurrent_ppo": {**ON, "batch_size": 16, "lstm_hidden_size": 4},
    "tqc": OFF,
    "cma_es": {"population": 4, "generations": 2, "dreams": 2},
}


def config(agent: str, **settings: Any) -> TrainConfig:
    """A training of 96 bars, with a look every 32."""
    steps = {} if agent == "cma_es" else {"steps": 96, "every": 32}
    chosen = {"lanes": 4, "horizon": 12, **steps, **settings}
    return TrainConfig(agent=agent, settings={**SMALL[agent], **chosen.pop("more", {})}, **chosen)


@pytest.fixture
def ground(candles: Candles, market_model: WorldModel) -> Ground:
    made = market_model.provenance
    train = made.train_start_ms, made.train_end_ms
    later = int(candles.open_time_ms[1_560])
    return Ground(market_model, candles, train, (made.validation_start_ms, later))


def replay(ground: Ground, actions: Any) -> BybitReplayEnv:
    return BybitReplayEnv(
        ground.candles, ground.world_model, start=int(ground.candles.open_time_ms[2_000]),
        episode_length=40, random_start=False, actions=actions,
    )  # fmt: skip


def traded(agent: Agent, ground: Ground) -> np.ndarray:
    return run_episode(replay(ground, agent.actions), agent, seed=0).equity


@pytest.mark.parametrize("name", LEARNED)
def test_it_trains_is_kept_and_trades_as_it_did(name: str, ground: Ground, tmp_path: Path) -> None:
    agent = train_in_folder(config(name), ground, tmp_path)
    record = agent.record
    assert record is not None
    assert record.algorithm == name
    assert record.world_model == ground.world_model.fingerprint == agent.world_model_hash
    assert record.settings["n_steps" if "n_steps" in SMALL[name] else next(iter(SMALL[name]))]
    equity = traded(agent, ground)
    assert len(equity) == 41
    np.testing.assert_array_equal(traded(load_agent(tmp_path), ground), equity)
    looks = json.loads((tmp_path / "evaluation.json").read_text())["looks"]
    assert len(looks) == (2 if name == "cma_es" else 3)


@pytest.mark.parametrize("name", ["ppo", "dqn", "cma_es"])
def test_replay_of_the_training_range_trains_too(name: str, ground: Ground, tmp_path: Path) -> None:
    agent = train_in_folder(config(name, env="replay"), ground, tmp_path)
    assert agent.record is not None
    assert agent.record.env == "replay"


@pytest.mark.parametrize("name", ["ppo", "cma_es"])
def test_replay_charges_funding_while_training(name: str, ground: Ground, tmp_path: Path) -> None:
    agent = train_in_folder(config(name, env="replay", funding=0.0001), ground, tmp_path)
    assert agent.record is not None
    assert agent.record.environment["funding"] == 0.0001


def test_a_search_in_replay_goes_on_with_its_own_bars_alone(ground: Ground, tmp_path: Path) -> None:
    ground = replace(ground, validation=None)
    assert ground.candles is not None
    search = config("cma_es", env="replay")
    train_in_folder(search, ground, tmp_path)
    close = ground.candles.close.copy()
    close[700] = 0.5 * (ground.candles.high[700] + ground.candles.low[700])
    others = replace(ground, candles=replace(ground.candles, close=close))
    with pytest.raises(TrainingError, match="belongs to another search"):
        train_in_folder(search, others, tmp_path, resume=True)


def test_replay_never_shows_a_bar_outside_the_training_range(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worldmodel_trading.agents import sb3_models

    seen: list[np.ndarray] = []
    build = sb3_models.build_model

    def watched(algorithm: Any, settings: Any, env: Any, seed: int) -> Any:
        step = env.step_wait

        def step_wait() -> Any:
            result = step()
            seen.append(env.venv.last_info["time_ms"])
            return result

        env.step_wait = step_wait
        return build(algorithm, settings, env, seed)

    monkeypatch.setattr(sb3_models, "build_model", watched)
    train_in_folder(
        config("ppo", env="replay", steps=512, lanes=16, more={"batch_size": 128}), ground, tmp_path
    )
    assert ground.train is not None
    times = np.concatenate(seen)
    assert len(times) >= 512
    assert times.min() >= ground.train[0]
    assert times.max() < ground.train[1]


@pytest.mark.parametrize("name", ["ppo", "cma_es"])
def test_pessimism_reaches_the_dreams_of_training(
    name: str, family: WorldModel, candles: Candles, tmp_path: Path
) -> None:
    """One seed, other rewards: other agents, which act otherwise in replay."""
    equity = {}
    for factor in (0.0, 50.0):
        folder = tmp_path / f"{factor:g}"
        agent = train_in_folder(config(name, pessimism=factor), Ground(family), folder)
        record = json.loads((folder / "agent.json").read_text(encoding="utf-8"))
        assert record["environment"]["pessimism"] == factor
        equity[factor] = traded(agent, Ground(family, candles))
    assert not np.array_equal(equity[0.0], equity[50.0])


class Stopped(Exception):
    """The training is killed here."""


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_stopped_training_goes_on_from_its_checkpoint(
    name: str, ground: Ground, tmp_path: Path
) -> None:
    told: list[int] = []

    def stop(steps: int, look: Any) -> None:
        told.append(steps)
        if len(told) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train_in_folder(config(name), ground, tmp_path, followed=Followed(on_look=stop))
    assert not (tmp_path / "agent.json").exists()
    goes_on: list[int] = []
    agent = train_in_folder(
        config(name), ground, tmp_path, resume=True, followed=Followed(on_resume=goes_on.append)
    )
    assert goes_on == [told[1]]
    assert agent.record is not None
    assert agent.record.steps == 96
    looks = json.loads((tmp_path / "evaluation.json").read_text())["looks"]
    assert [look["steps"] for look in looks] == [32, 64, 96]
    assert {path.suffix for path in (tmp_path / "checkpoints").iterdir()} == {
        ".zip", ".safetensors", ".json",
    }  # fmt: skip


def test_a_stopped_search_goes_on_bit_for_bit(ground: Ground, tmp_path: Path) -> None:
    def stop(lived: Any) -> None:
        if lived.generation == 2:
            raise Stopped

    settings = config("cma_es", objective="cvar", more={"generations": 6, "hidden_size": 2})
    folder = tmp_path / "stopped"
    with pytest.raises(Stopped):
        train_in_folder(settings, ground, folder, followed=Followed(on_generation=stop))
    one = train_in_folder(settings, ground, folder, resume=True)
    other = train_in_folder(settings, ground, tmp_path / "whole")
    np.testing.assert_array_equal(one.policy.parameters, other.policy.parameters)  # type: ignore[attr-defined]
    assert one.record is not None
    assert one.record.settings["hidden_size"] == 2
    assert one.record.environment["objective"] == "cvar"


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_checkpoint_holds_all_that_has_been_learned(
    name: str, ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: list[Any] = []
    write, read = Checkpoints.write, Checkpoints.read

    def written(self: Checkpoints, model: Any, state: Any) -> None:
        models.append(model)
        write(self, model, state)

    def put_back(self: Checkpoints, model: Any, steps: int) -> dict[str, Any]:
        state = read(self, model, steps)
        models.append(model)
        return state

    monkeypatch.setattr(Checkpoints, "write", written)
    monkeypatch.setattr(Checkpoints, "read", put_back)
    without = Ground(ground.world_model)
    train_in_folder(config(name), without, tmp_path)
    before = models[-1]
    train_in_folder(config(name), without, tmp_path, resume=True)
    after = models[-1]
    assert after is not before
    names, variables = before._get_torch_save_params()
    for part in names:
        left, right = (attribute(model, part).state_dict() for model in (before, after))
        assert flat(left) == flat(right)
    for part in variables:
        assert torch.equal(getattr(before, part), getattr(after, part))
    for count in ("num_timesteps", "_n_updates", "_n_calls", "exploration_rate", "reward_unit"):
        assert getattr(before, count, None) == getattr(after, count, None), count
    if ALGORITHMS[name].keeps_bars:
        for part in ("observations", "next_observations", "actions", "rewards", "dones"):
            left, right = (getattr(model.replay_buffer, part) for model in (before, after))
            np.testing.assert_array_equal(left[:24], right[:24])
        assert before.replay_buffer.pos == after.replay_buffer.pos == 24


def attribute(model: Any, path: str) -> Any:
    for name in path.split("."):
        model = getattr(model, name)
    return model


def flat(state: Any) -> list[Any]:
    """A nest of mappings, lists and tensors as a list that can be compared."""
    if isinstance(state, torch.Tensor):
        return state.reshape(-1).tolist()
    if isinstance(state, dict):
        return [part for name in state for part in (name, *flat(state[name]))]
    if isinstance(state, list | tuple):
        return [part for value in state for part in flat(value)]
    return [state]


def test_one_seed_one_agent(ground: Ground, tmp_path: Path) -> None:
    equity = [
        traded(train_in_folder(config("ppo", seed=seed), ground, tmp_path / str(number)), ground)
        for number, seed in enumerate((3, 3, 4))
    ]
    np.testing.assert_array_equal(equity[0], equity[1])
    assert not np.array_equal(equity[0], equity[2])


def test_the_best_look_is_kept_and_patience_ends_the_training(
    ground: Ground, tmp_path: Path, judged: Callable[[list[float]], None]
) -> None:
    judged([0.1, 0.4, 0.2, 0.3, 0.9])
    agent = train_in_folder(config("ppo", steps=160, patience=2), ground, tmp_path)
    told = json.loads((tmp_path / "evaluation.json").read_text())
    assert [look["log_return"] for look in told["looks"][:4]] == [0.1, 0.4, 0.2, 0.3]
    assert told["best"] == 64
    assert agent.record is not None
    assert agent.record.steps < 160
    assert [path.name for path in (tmp_path / "checkpoints").glob("best-*")] == ["best-64.zip"]


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[float]], None]:
    """Say what validation will find, look by look."""
    from dataclasses import replace

    from worldmodel_trading.agents import training

    play = training.play_through

    def say(scores: list[float]) -> None:
        left = iter(scores)

        def played(*arguments: Any) -> Any:
            found = play(*arguments)
            changed = replace(found.performance, annual_log_return=next(left))
            return replace(found, performance=changed)

        monkeypatch.setattr(training, "play_through", played)

    return say


def test_tensorboard_shows_what_was_traded_and_goes_on(ground: Ground, tmp_path: Path) -> None:
    def stop(steps: int, look: Any) -> None:
        if steps == 64:
            raise Stopped

    with pytest.raises(Stopped):
        train_in_folder(config("ppo"), ground, tmp_path, followed=Followed(on_look=stop))
    train_in_folder(config("ppo"), ground, tmp_path, resume=True)
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    shown = board.Tags()["scalars"]
    measures = "cost turnover exposure gross_exposure equity log_return ruined"
    assert {f"trading/{name}" for name in measures.split()} <= set(shown)
    assert {"validation/log_return", "validation/sharpe", "train/loss"} <= set(shown)
    assert [event.step for event in board.Scalars("validation/sharpe")] == [32, 64, 96]
    equity = [event.value for event in board.Scalars("trading/equity")]
    assert equity == pytest.approx([1.0] * len(equity), abs=0.2)
    assert all(event.value >= 0 for event in board.Scalars("trading/cost"))


class Kept:
    """A tracker that keeps what it is told."""

    def __init__(self) -> None:
        self.told: dict[str, list[tuple[int, float]]] = {}

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            self.told.setdefault(name, []).append((step, value))

    def close(self) -> None:
        raise AssertionError("it is closed by who made it")


def test_a_tracker_gets_the_numbers_that_tensorboard_gets(ground: Ground, tmp_path: Path) -> None:
    kept = Kept()
    train_in_folder(config("ppo"), ground, tmp_path, followed=Followed(trackers=[kept]))
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert set(kept.told) == set(board.Tags()["scalars"])
    for name, told in kept.told.items():
        shown = board.Scalars(name)
        assert [step for step, _ in told] == [event.step for event in shown], name
        values = [event.value for event in shown]
        assert [value for _, value in told] == pytest.approx(values, rel=1e-6, nan_ok=True), name


def test_a_tracker_gets_every_generation(ground: Ground, tmp_path: Path) -> None:
    kept = Kept()
    train_in_folder(config("cma_es"), ground, tmp_path, followed=Followed(trackers=[kept]))
    assert [step for step, _ in kept.told["controller/best"]] == [1, 2]
    assert {"controller/mean", "controller/worst", "controller/sigma"} <= set(kept.told)


def test_without_candles_nothing_validates_and_the_last_agent_counts(
    market_model: WorldModel, tmp_path: Path
) -> None:
    agent = train_in_folder(config("ppo"), Ground(market_model), tmp_path)
    assert json.loads((tmp_path / "evaluation.json").read_text())["looks"] == []
    assert agent.record is not None
    assert agent.record.candles == ""
    assert agent.record.ranges == {}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"agent": "pppo"}, "no agent 'pppo'"),
        ({"env": "live"}, "env is 'live'; expected one of dream, replay"),
        ({"steps": 0}, "steps is 0; expected"),
        ({"lanes": -1}, "lanes is -1; expected"),
        ({"seed": -1}, "seed is -1; expected"),
        ({"objective": "luck"}, "'luck'"),
        ({"account": {"leverage": 0}}, "leverage is 0"),
        ({"account": {"lever": 2}}, "no setting 'lever'; did you mean 'leverage'"),
        ({"settings": {"gama": 1}}, "no setting 'gama'; did you mean 'gamma'"),
        ({"pessimism": -1}, "pessimism is -1; expected a number"),
        ({"env": "replay", "pessimism": 1}, "nobody disagrees about recorded bars"),
        ({"agent": "cma_es", "steps": 9}, "--set generations=60"),
        ({"agent": "cma_es", "settings": {"populaton": 9}}, "did you mean 'population'"),
        ({"agent": "cma_es", "objective": "luck"}, "objective is 'luck'"),
    ],
    ids=str,
)
def test_impossible_settings_are_refused_before_any_work(settings: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TrainConfig(**settings)


def test_settings_that_only_the_algorithm_can_refuse_are_one_error(
    ground: Ground, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="ppo refuses its settings"):
        train_in_folder(config("ppo", more={"n_steps": "many"}), ground, tmp_path)
    for agent in ("ppo", "cma_es"):
        with pytest.raises(ConfigError, match="this world model has one member"):
            train_in_folder(config(agent, pessimism=0.5), ground, tmp_path)
    with pytest.raises(ConfigError, match="hold none of it"):
        train_in_folder(config("ppo", env="replay"), Ground(ground.world_model), tmp_path)
    assert not (tmp_path / "agent.json").exists()


def test_a_model_without_a_folder_is_brought_to_scale_and_learns(market_model: WorldModel) -> None:
    lanes = make_sb3_env("WorldModelDream-v0", 4, world_model=market_model, horizon=12)
    agent = make_sb3_agent("ppo", lanes, n_steps=8, batch_size=16, net_arch=[4])
    seen = agent.policy.features_extractor(torch.from_numpy(lanes.reset()))
    assert float(seen.abs().max()) <= 5.0
    assert agent.policy.features_extractor.deviation.min() >= 1e-3
    assert agent.learn(32) is agent
    assert agent.predict(lanes.reset(), deterministic=True)[0].shape == (4, 1)
    with pytest.raises(ConfigError, match="dqn refuses its settings"):
        make_sb3_agent("dqn", lanes)
    with pytest.raises(ConfigError, match="did you mean 'gamma'"):
        make_sb3_agent("ppo", lanes, gama=0.9)


def test_a_function_is_no_objective_and_the_way_to_one_is_named() -> None:
    with pytest.raises(ConfigError, match=r"expected the name of a reward: .*make_sb3_agent"):
        TrainConfig(objective=lambda step: step.log_growth)  # type: ignore[arg-type]
