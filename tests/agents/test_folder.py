"""An agent's folder: damage is found, and nothing that a stranger wrote is run unasked."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from stable_baselines3 import A2C, DQN, PPO, SAC

from worldmodel_trading.agents.folder import load_agent
from worldmodel_trading.agents.sb3 import make_sb3_env
from worldmodel_trading.agents.training import Ground, TrainConfig, train_in_folder
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.rollout import run_episode
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, ModelFileError
from worldmodel_trading.models.world_model import WorldModel

SMALL = {"n_steps": 8, "batch_size": 16, "net_arch": [4]}


@pytest.fixture(scope="module")
def trained(market_model: WorldModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("agents") / "ppo"
    config = TrainConfig(steps=32, lanes=4, horizon=12, settings=SMALL)
    train_in_folder(config, Ground(market_model), folder)
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "agent"))


class Malicious:
    """Unpickled, it makes a file."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self._mark,)


def sealed(folder: Path) -> None:
    """Have the record name the files as they are: a stranger can write both."""
    told = json.loads((folder / "agent.json").read_text())
    for name in told["files"]:
        content = (folder / name).read_bytes()
        told["files"][name] = {"sha256": sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "agent.json").write_text(json.dumps(told))


def with_member(path: Path, name: str, content: bytes) -> None:
    """Replace a file inside a zip."""
    with zipfile.ZipFile(path) as stored:
        members = {each: stored.read(each) for each in stored.namelist()}
    members[name] = content
    with zipfile.ZipFile(path, "w") as stored:
        for each, kept in members.items():
            stored.writestr(each, kept)


def poisoned_data(path: Path, mark: Path) -> None:
    """Put a pickle that makes a file into ``data``, where Stable-Baselines3 unpickles it."""
    import base64

    with zipfile.ZipFile(path) as stored:
        data = json.loads(stored.read("data"))
    poison = base64.b64encode(cloudpickle.dumps(Malicious(mark), protocol=2)).decode()
    data["lr_schedule"] = {":type:": "<class 'function'>", ":serialized:": poison}
    with_member(path, "data", json.dumps(data).encode())


def test_pickles_in_a_folder_are_never_run(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "run"
    poisoned_data(folder / "agent.zip", mark)
    sealed(folder)
    agent = load_agent(folder, trust=True)
    assert not mark.exists()
    size = len(agent.record.bounds) if agent.record else 0
    assert agent.predict(np.zeros(size, dtype=np.float32), deterministic=True)[0].shape == (1,)
    PPO.load(folder / "agent.zip")
    assert mark.exists()  # the pickle works where somebody unpickles it


@pytest.mark.parametrize("name", ["policy.pth", "policy.optimizer.pth"])
def test_a_pickle_in_the_place_of_tensors_is_refused(
    name: str, folder: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "run"
    with_member(folder / "agent.zip", name, pickle.dumps(Malicious(mark), protocol=2))
    sealed(folder)
    with pytest.raises(ModelFileError, match="does not hold the parameters of this agent"):
        load_agent(folder)
    assert not mark.exists()


def test_a_bare_zip_is_refused_unless_it_is_trusted(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.zip"
    shutil.copy(folder / "agent.zip", bare)
    mark = tmp_path / "run"
    poisoned_data(bare, mark)
    with pytest.raises(
        ConfigError, match=r"runs whatever its author put there; .*--trust"
    ) as caught:
        load_agent(bare)
    assert "\n" not in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("kind", "settings", "actions"),
    [
        (PPO, {"n_steps": 4, "batch_size": 8}, "continuous"),
        (A2C, {}, "continuous"),
        (SAC, {"buffer_size": 10}, "continuous"),
        (DQN, {"buffer_size": 10}, "discrete"),
    ],
)
def test_a_trusted_zip_trades(
    kind: Any, settings: dict[str, Any], actions: Any, market_model: WorldModel, candles: Candles,
    tmp_path: Path,
) -> None:  # fmt: skip
    dream = make_sb3_env("WorldModelDream-v0", 2, world_model=market_model, actions=actions)
    model = kind("MlpPolicy", dream, seed=0, **settings)
    model.save(tmp_path / "theirs.zip")
    agent = load_agent(tmp_path / "theirs.zip", trust=True)
    assert isinstance(agent.policy, kind)
    assert type(agent.policy).__name__ == kind.__name__
    assert agent.actions == actions
    replay = BybitReplayEnv(candles, market_model, episode_length=20, actions=actions)
    one, two = (run_episode(replay, each, seed=3).equity for each in (agent, model))
    np.testing.assert_array_equal(one, two)


def damage(change: Callable[[Path], None], folder: Path) -> str:
    change(folder)
    with pytest.raises(ModelFileError) as caught:
        load_agent(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        told = json.loads((folder / "agent.json").read_text())
        (folder / "agent.json").write_text(json.dumps({**told, **changes}))

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: (f / "agent.json").unlink(), "has no agent.json"),
        (lambda f: (f / "agent.json").write_text("{"), "is damaged"),
        (lambda f: (f / "agent.json").write_text("[]"), "is no worldmodel-trading agent"),
        (lambda f: (f / "agent.zip").unlink(), "agent.zip is missing"),
        (lambda f: (f / "agent.zip").write_bytes(b"x"), "was damaged or replaced"),
        (edit(format="a cake"), "is no worldmodel-trading agent"),
        (edit(format_version=2), "has format version 2; .* train the agent anew"),
        (edit(algorithm="magic"), "no algorithm 'magic'"),
        (edit(algorithm=7), "algorithm is 7"),
        (edit(seed="one"), "seed is 'one'"),
        (edit(colour="red"), "colour"),
        (edit(files={}), "names no agent.zip"),
        (edit(settings={"verbose": 2}), "no setting 'verbose'"),
        (edit(bounds=[1.0, 1.0]), "does not hold the parameters of this agent"),
        (edit(actions="magic"), "actions is 'magic'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_missing_or_altered_is_one_error(
    change: Callable[[Path], None], said: str, folder: Path
) -> None:
    import re

    assert re.search(said, damage(change, folder))


def test_a_path_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        load_agent(tmp_path / "nowhere")
    (tmp_path / "a.zip").write_bytes(b"no zip")
    with pytest.raises(ModelFileError, match="is no zip of Stable-Baselines3"):
        load_agent(tmp_path / "a.zip", trust=True)


def test_another_world_model_is_refused(
    folder: Path, candles: Candles, paper_model: WorldModel
) -> None:
    agent = load_agent(folder)
    replay = BybitReplayEnv(candles, paper_model, episode_length=20)
    with pytest.raises(ConfigError, match="was trained in the world model"):
        run_episode(replay, agent)
    with pytest.raises(ConfigError, match="reads observations of"):
        agent.predict(np.zeros(3, dtype=np.float32))
