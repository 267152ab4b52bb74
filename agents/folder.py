"""A trained agent's folder: what it was made with, its parameters, and whom it may be loaded for.

``agent.json`` says all that rebuilding the agent needs: the algorithm's name, its settings, its spaces.
Loading builds the networks from those, by this package's own code, and reads the parameters as
tensors; nothing in the folder is run, so a stranger's folder is as safe as one's own. The hashes in
``agent.json`` find damage and name the content; they prove nothing about who wrote it, for whoever
writes a file can write its hash.

A bare zip of Stable-Baselines3 is another matter: what it needs to be rebuilt is pickled, and
unpickling runs what its author wrote. It is loaded only where the caller says ``trust=True``.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from ..envs.spaces import ActionKind, action_space
from ..evaluation.policy import Policy, action_kind
from ..market.arrays import BoolArray, Float32Array
from ..market.errors import ConfigError, ModelFileError, WorldModelTradingError
from ..market.files.writer import write_whole
from .linear import LinearController
from .registry import CMA_ES, LEARNED, find_algorithm
from .sb3_models import empty_model
from .sb3_state import read_parameters

FORMAT = "worldmodel-trading agent"
FORMAT_VERSION = 1
AGENT_FILE, MODEL_FILE, CONTROLLER_FILE = "agent.json", "agent.zip", "controller.safetensors"
EVALUATION_FILE = "evaluation.json"
_LIMIT_BYTES = 1 << 24


@dataclass(frozen=True)
class AgentRecord:
    """What an agent was made with.

    Attributes:
        algorithm: A name of `LEARNED`.
        settings: The algorithm's, all of them.
        seed: Of networks, lanes and draws.
        steps: Bars trained on, all lanes together.
        env: ``dream`` or ``replay``.
        environment: The environment's own arguments: horizon, drift, reward, …
        lanes: How many.
        world_model: Fingerprint of the one that it sees the market through.
        symbol: Instrument of the world model.
        interval: Bybit's code of its bars.
        candles: SHA-256 of the recorded candles, see `Candles.data_hash`; empty where there were none.
        ranges: Start and end of ``train`` and ``validation`` as ISO times, the end exclusive.
        account: The account's rules.
        actions: ``continuous`` or ``discrete``.
        bounds: Of each number of the observation, ± [D]; empty of a controller, which knows itself.
        versions: Of Python and the libraries that matter.
    """

    algorithm: str
    settings: Mapping[str, Any]
    seed: int
    steps: int
    env: str
    environment: Mapping[str, Any]
    lanes: int
    world_model: str
    symbol: str
    interval: str
    candles: str
    ranges: Mapping[str, tuple[str, str]]
    account: Mapping[str, Any]
    actions: ActionKind
    bounds: tuple[float, ...]
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AgentRecord:
        """From plain values.

        Raises:
            ModelFileError: A field is missing, unknown or of the wrong kind.
        """
        kinds = {f.name: _KINDS[str(f.type).partition("[")[0]] for f in fields(cls)}
        if set(values) != set(kinds):
            odd = sorted(set(values) ^ set(kinds))
            raise ModelFileError(f"{AGENT_FILE} lacks, or has too many: {', '.join(odd)}")
        for name, kind in kinds.items():
            if not isinstance(values[name], kind) or isinstance(values[name], bool):
                raise ModelFileError(f"{AGENT_FILE}: {name} is {values[name]!r}; expected {kind}")
        if values["algorithm"] not in LEARNED:
            raise ModelFileError(f"{AGENT_FILE}: there is no algorithm {values['algorithm']!r}")
        return cls(**{**values, "bounds": tuple(map(float, values["bounds"]))})


_KINDS: dict[str, Any] = {
    "str": str,
    "int": int,
    "Mapping": dict,
    "tuple": list,
    "ActionKind": str,
}


@dataclass(frozen=True, eq=False)
class Agent:
    """A trained agent, ready to trade: a policy as any other.

    Attributes:
        policy: What acts.
        record: What it was made with; None of a stranger's zip.
        observation: What it looks at.
    """

    policy: Policy
    record: AgentRecord | None = None
    observation: str = "latent"

    @property
    def world_model_hash(self) -> str | None:
        """Fingerprint of the world model that it learned in, which keeps it out of others."""
        return None if self.record is None else self.record.world_model

    @property
    def seen(self) -> Any:
        """Bars that it was trained and chosen on, by name; of a stranger's zip what it says itself."""
        return getattr(self.policy, "seen", None) if self.record is None else self.record.ranges

    @property
    def actions(self) -> ActionKind:
        """What it takes."""
        if self.record is not None:
            return self.record.actions
        return action_kind(self.policy)

    def predict(
        self,
        observation: Float32Array,
        state: Any = None,
        episode_start: BoolArray | None = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Actions [1] or [N, 1] (discrete: one number or [N]), and the state to hand back.

        Raises:
            ConfigError: The observations are of another size.
        """
        size = np.shape(observation)[-1]
        reads = len(self.record.bounds) if self.record is not None else 0
        if reads and size != reads:
            raise ConfigError(
                f"the agent reads observations of {reads} numbers; got {size}: was "
                "it trained with another world model?"
            )
        return self.policy.predict(observation, state, episode_start, deterministic)


def write_record(folder: Path, record: AgentRecord, files: list[str]) -> None:
    """Write ``agent.json``, last of all: with it the folder is an agent.

    Args:
        folder: Where the other files lie.
        record: What the agent was made with.
        files: Their names.
    """
    told = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "files": {name: _digest(folder / name) for name in files},
        **asdict(record),
    }
    write_whole(folder / AGENT_FILE, json.dumps(told, indent=2) + "\n")


def load_agent(path: str | Path, trust: bool = False) -> Agent:
    """Load an agent: a folder that `train_agent` wrote, or, where it is trusted, a bare zip.

    Of a folder nothing is unpickled, whoever wrote it. The hashes that its ``agent.json`` gives tell
    damage, and which agent it is; they say nothing of who made it.

    Args:
        path: The folder, or a zip of Stable-Baselines3.
        trust: Unpickle a bare zip, which runs what its author wrote: say so of your own alone.

    Raises:
        ConfigError: A bare zip that nobody says is trusted.
        ModelFileError: A file is missing, damaged, or of another format.
    """
    folder = Path(path)
    if folder.is_dir():
        return _load_folder(folder)
    if not folder.is_file():
        raise ModelFileError(f"{folder} does not exist; expected an agent's folder, or a zip")
    if not trust:
        raise ConfigError(
            f"{folder} is no agent's folder: loading a bare file unpickles it, which runs whatever its "
            "author put there; if you trust them, say so with --trust (trust=True)"
        )
    return Agent(_load_trusted(folder))


def read_record(folder: Path) -> AgentRecord:
    """What an agent was made with, its files checked against their hashes.

    Raises:
        ModelFileError: ``agent.json`` is missing or of another format, or a file is damaged.
    """
    file = folder / AGENT_FILE
    try:
        if file.stat().st_size > _LIMIT_BYTES:
            raise ModelFileError(f"{file} is far too large for what it should hold")
        told = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise ModelFileError(
            f"{folder} has no {AGENT_FILE}: it holds no agent, or its training has not ended"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{file} is damaged ({error})") from error
    _check_format(told, file)
    files = told.pop("files")
    for name in ("format", "format_version"):
        told.pop(name)
    record = AgentRecord.from_dict(told)
    own = CONTROLLER_FILE if record.algorithm == CMA_ES else MODEL_FILE
    if own not in files:
        raise ModelFileError(f"{file} names no {own}")
    for name, digest in files.items():
        _check_file(folder / Path(name).name, digest)
    return record


def _check_format(told: Any, file: Path) -> None:
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise ModelFileError(f"{file} is no {FORMAT}")
    if told.get("format_version") != FORMAT_VERSION:
        raise ModelFileError(
            f"{file} has format version {told.get('format_version')!r}; this version of the package "
            f"reads {FORMAT_VERSION}: train the agent anew"
        )
    if not isinstance(told.get("files"), dict):
        raise ModelFileError(f"{file} does not say which files belong to the agent")


def _check_file(path: Path, digest: object) -> None:
    if not path.is_file():
        raise ModelFileError(f"{path} is missing")
    if _digest(path) != digest:
        raise ModelFileError(
            f"{path} is not the file that {AGENT_FILE} names: it was damaged or replaced; copy the "
            "whole folder again, or train anew"
        )


def _digest(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"sha256": digest, "bytes": path.stat().st_size}


def _load_folder(folder: Path) -> Agent:
    record = read_record(folder)
    if record.algorithm == CMA_ES:
        return Agent(LinearController.load(folder / CONTROLLER_FILE), record)
    return Agent(_rebuilt(record, folder / MODEL_FILE), record)


def _rebuilt(record: AgentRecord, path: Path) -> Any:
    algorithm = find_algorithm(record.algorithm)
    bound = np.array(record.bounds, dtype=np.float32)
    try:
        settings = algorithm.settle(record.settings)
        box = spaces.Box(-bound, bound, dtype=np.float32)
        model = empty_model(algorithm, settings, box, action_space(record.actions))
    except WorldModelTradingError as error:
        raise ModelFileError(f"{path.parent / AGENT_FILE}: {error}") from error
    read_parameters(model, path)
    return model


_TELLING = {  # a setting that only this algorithm has, most special first; the file names no algorithm
    "tqc": "top_quantiles_to_drop_per_net",
    "sac": "target_entropy",
    "td3": "target_policy_noise",
    "dqn": "exploration_fraction",
    "ppo": "clip_range",
    "a2c": "vf_coef",
}


def _load_trusted(path: Path) -> Any:
    """A zip by Stable-Baselines3's own load, which unpickles it."""
    from .sb3_models import model_class

    try:
        with zipfile.ZipFile(path) as stored:
            data = json.loads(stored.read("data"))
        name = next(name for name, setting in _TELLING.items() if setting in data)
        if name == "ppo" and "_last_lstm_states" in data:
            name = "recurrent_ppo"
    except (OSError, KeyError, ValueError, StopIteration, zipfile.BadZipFile) as error:
        raise ModelFileError(
            f"{path} is no zip of Stable-Baselines3's PPO, A2C, SAC, TD3 or DQN, or of sb3-contrib's "
            "RecurrentPPO or TQC"
        ) from error
    return model_class(find_algorithm(name)).load(path, device="cpu")
