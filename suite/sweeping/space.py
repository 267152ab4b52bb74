"""What a sweep varies: settings by name, each from a range or a list."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldmodel_trading.config import RunConfig
from worldmodel_trading.market.errors import ConfigError

MODEL = "model."
"""What begins the name of a world model's setting; other names are `RunConfig`'s."""
OF_MODELS = ("vae_epochs", "mdn_rnn_epochs", "members")
OF_SEARCHES = (
    *("population", "generations", "covariance", "restarts", "inputs", "hidden_size"),
    *("dreams", "horizon", "temperature", "pessimism", "recent", "drift"),
)
_GRAMMAR = "LOW:HIGH, LOW:HIGH:log, or VALUE,VALUE,…"


@dataclass(frozen=True)
class Variable:
    """One setting that is varied.

    Attributes:
        name: Of the setting.
        values: A list to choose from; of a range its two ends.
        kind: ``list``, ``int`` or ``float``.
        log: Whether a range is even in the logarithm.
    """

    name: str
    values: tuple[Any, ...]
    kind: str
    log: bool = False

    @classmethod
    def read(cls, name: str, text: str) -> Variable:
        """From what a person wrote.

        Raises:
            ConfigError: It is no range and no list.
        """
        parts = str(text).split(":")
        if len(parts) == 1:
            values = tuple(_value(part) for part in parts[0].split(","))
            if len(set(map(str, values))) < 2:
                raise ConfigError(f"{name} is {text!r}; expected two or more values: {_GRAMMAR}")
            return cls(name, values, "list")
        ends = tuple(_value(part) for part in parts[:2])
        log = parts[2:] == ["log"]
        numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
        if not numbers or len(parts) > 2 + log or not ends[0] < ends[1] or (log and ends[0] <= 0):
            raise ConfigError(f"{name} is {text!r}; expected {_GRAMMAR}, LOW below HIGH")
        whole = all(isinstance(end, int) for end in ends)
        return cls(name, ends, "int" if whole else "float", log)

    def suggest(self, trial: Any) -> Any:
        """The value that an Optuna trial takes."""
        if self.kind == "list":
            return trial.suggest_categorical(self.name, list(self.values))
        ask = trial.suggest_int if self.kind == "int" else trial.suggest_float
        return ask(self.name, *self.values, log=self.log)


def read_space(vary: Sequence[tuple[str, Any]], file: str | None = None) -> tuple[Variable, ...]:
    """The variables of pairs, and of a TOML or JSON file of such pairs.

    Raises:
        ConfigError: There are none, one is named twice, or the file cannot be read.
    """
    pairs = [*vary, *(_of_file(Path(file)).items() if file else ())]
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise ConfigError(
            f"{', '.join(twice)} is varied twice: leave one out"
            if twice
            else "nothing is varied: say --vary NAME=LOW:HIGH, or --space FILE"
        )
    return tuple(Variable.read(name, text) for name, text in pairs)


def refuse_space(space: Sequence[Variable], base: Mapping[str, Any], objective: str) -> None:
    """Refuse settings that there are not, or that the objective does not depend on; and impossible ends.

    Raises:
        ConfigError: One is.
    """
    for one in space:
        known = one.name.startswith(MODEL) or one.name in OF_MODELS
        if not known and (objective == "nll" or one.name not in OF_SEARCHES):
            names = [f"{MODEL}NAME", *OF_MODELS]
            names += [] if objective == "nll" else OF_SEARCHES
            raise ConfigError(
                f"{one.name} is varied, and the objective {objective!r} does not depend on it; expected "
                f"some of {', '.join(names)}"
            )
        for value in one.values:
            run_config(base, {one.name: value})


def run_config(base: Mapping[str, Any], values: Mapping[str, Any]) -> RunConfig:
    """The settings of a trial as those of a run.

    Args:
        base: What is fixed.
        values: What is varied, by name.

    Raises:
        ConfigError: They are impossible.
    """
    given, model = dict(base), dict(base.get("model", {}))
    for name, value in values.items():
        if name.startswith(MODEL):
            model[name.removeprefix(MODEL)] = value
        else:
            given[name] = value
    return RunConfig.from_dict({**given, "model": model})


def arguments(values: Mapping[str, Any]) -> str:
    """Settings as ``run`` takes them on its command line."""
    words = []
    for name, value in values.items():
        if name.startswith(MODEL):
            words.append(f"--model {name.removeprefix(MODEL)}={value}")
        else:
            words.append(f"--{name.replace('_', '-')} {value}")
    return " ".join(words)


def _of_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        read = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as TOML or JSON: {error}") from None
    if not isinstance(read, dict):
        raise ConfigError(f'{path} holds no settings; expected "NAME" = "LOW:HIGH" for each')
    return read


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()
