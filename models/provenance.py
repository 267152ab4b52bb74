"""Where a world model comes from, and the warm-up segments that it carries."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ..market.arrays import Float32Array, FloatArray, IntArray
from ..market.candles import interval_ms
from ..market.errors import CandleError, ModelFileError


@dataclass(frozen=True)
class Provenance:
    """What a world model was made from.

    Attributes:
        symbol: The instrument.
        interval: Bybit's code of the bar length.
        source: In words: a file's name, ``"synthetic"``.
        train_start_ms: Open time of the first training bar [ms UTC].
        train_end_ms: End of the training range, exclusive [ms UTC].
        validation_start_ms: The same of the validation range.
        validation_end_ms: Exclusive.
        data_hash: SHA-256 of the training candles, see `Candles.data_hash`.
        seed: Of the training.
        versions: Of Python and the libraries that matter.
    """

    symbol: str
    interval: str
    source: str
    train_start_ms: int
    train_end_ms: int
    validation_start_ms: int
    validation_end_ms: int
    data_hash: str
    seed: int
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def interval_ms(self) -> int:
        """Length of one bar [ms]."""
        return interval_ms(self.interval)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From plain values.

        Raises:
            ModelFileError: A field is missing, unknown or of the wrong kind.
        """
        kinds = {f.name: str(f.type) for f in dataclasses.fields(cls)}
        if not isinstance(values, Mapping) or set(values) != set(kinds):
            raise ModelFileError(
                f"the provenance has the wrong fields; expected {', '.join(kinds)}"
            )
        for name, kind in kinds.items():
            expected = {"str": str, "int": int}.get(kind, dict)
            if type(values[name]) is not expected:
                raise ModelFileError(f"provenance.{name} is {values[name]!r}; expected {kind}")
        try:
            interval_ms(values["interval"])
        except CandleError as error:
            raise ModelFileError(f"provenance: {error}") from None
        return cls(**values)


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide the numbers."""
    from importlib.metadata import version

    names = ("numpy", "torch", "safetensors", "worldmodel-trading")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


@dataclass(frozen=True, eq=False)
class WarmupBank:
    """Recorded stretches of the training range, encoded: where dreams begin.

    Attributes:
        z: Latents of W successive bars [S, W, Z], float32.
        open_time_ms: Open time of each segment's last bar [S].
        close: Close of each segment's last bar [S].
        volume_level: What volume is measured against then [S]; see `market.features.volume_level`.
    """

    z: Float32Array
    open_time_ms: IntArray
    close: FloatArray
    volume_level: FloatArray

    def __len__(self) -> int:
        return len(self.z)

    def last(self, count: int) -> WarmupBank:
        """The latest segments alone."""
        parts = (getattr(self, part.name) for part in dataclasses.fields(self))
        return WarmupBank(*(part[-count:] for part in parts))
