"""One V and one M of several symbols, and the world model of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..market.errors import ConfigError, ModelFileError
from ..market.files.writer import write_whole
from ..market.settings import nearest
from .bar_world_model import BarWorldModel
from .world_model import WorldModel

if TYPE_CHECKING:
    from .bars.config import MarketConfig

JOINT_FILE = "joint.json"
_FORMAT = "worldmodel-trading joint world model"
_LIMIT_BYTES = 1 << 16


class JointWorldModel:
    """What one training learned of several symbols.

    V and M are the same for all. A symbol has its scaler, its unit of returns, its bank and
    calibration, and a row of numbers that tell M which it is: added to the calendar, so that each
    `of` is a plain world model, which everything else takes as it takes any other.

    Args:
        members: The world model of each symbol.
    """

    def __init__(self, members: Mapping[str, BarWorldModel]) -> None:
        if not members:
            raise ConfigError("a joint world model has no symbol; expected at least one")
        self._members = dict(members)

    def __repr__(self) -> str:
        return f"JointWorldModel({', '.join(self.symbols)})"

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[BarWorldModel]:
        return iter(self._members.values())

    @property
    def symbols(self) -> tuple[str, ...]:
        """Of which there is a world model."""
        return tuple(self._members)

    @property
    def config(self) -> MarketConfig:
        """The settings, the same for all."""
        return next(iter(self)).config

    def of(self, symbol: str) -> BarWorldModel:
        """The world model of a symbol.

        Raises:
            ConfigError: It is none of them.
        """
        if symbol not in self._members:
            near = nearest(symbol, self.symbols)
            hint = (
                f"did you mean {near!r}?" if near else f"expected one of {', '.join(self.symbols)}"
            )
            raise ConfigError(f"the joint world model does not know {symbol!r}; {hint}")
        return self._members[symbol]

    def fine_tune(self, train: Any, validation: Any, settings: Any = None, **rest: Any) -> Any:
        """A world model of another market, from what was learned of these; see `fine_tune`."""
        module = import_module(".training.fine_tuning", __package__)
        return module.fine_tune(self, train, validation, settings, **rest)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the members' fingerprints."""
        digest = hashlib.sha256()
        for symbol in sorted(self._members):
            digest.update(f"{symbol} {self._members[symbol].fingerprint}\n".encode())
        return digest.hexdigest()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``joint.json`` and, in a folder for each symbol, its world model; the former last."""
        folder = Path(folder)
        for symbol, member in self._members.items():
            member.save_pretrained(folder / symbol)
        said = {"format": _FORMAT, "symbols": self.symbols, "fingerprint": self.fingerprint}
        write_whole(folder / JOINT_FILE, (json.dumps(said, indent=2) + "\n").encode())

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load what `save_pretrained` wrote.

        Raises:
            ModelFileError: Something is missing, altered, or of another kind.
        """
        folder = Path(folder)
        said = _read(folder / JOINT_FILE)
        members: dict[str, Any] = {
            symbol: WorldModel.from_pretrained(folder / symbol) for symbol in said["symbols"]
        }
        made = cls(members)
        if made.fingerprint != said["fingerprint"]:
            raise ModelFileError(
                f"{folder}: its world models are not those that were saved together: copy or train it anew"
            )
        return made


def is_joint(folder: str | Path) -> bool:
    """Whether a joint world model lies in a folder."""
    return (Path(folder) / JOINT_FILE).is_file()


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            said = json.loads(stream.read(_LIMIT_BYTES))
        symbols = said["symbols"]
        known = said["format"] == _FORMAT and isinstance(said["fingerprint"], str)
        plain = all(isinstance(one, str) and Path(one).name == one for one in symbols)
    except FileNotFoundError:
        raise ModelFileError(f"{file} is missing: expected a joint world model's folder") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelFileError(f"{file} is no joint world model: {error!r}") from None
    if not (known and plain and symbols):
        raise ModelFileError(f"{file} is no joint world model of this package")
    return dict(said)
