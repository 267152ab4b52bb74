"""Where a world model comes from, and the warm-up segments that it carries."""

from __future__ import annotations

import dataclasses
import platform
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ..market.arrays import Float32Array, FloatArray, IntArray
from ..market.candles import UNNAMED
from ..market.errors import CandleError, ModelFileError, OtherMarketError, OtherMarketWarning
from ..market.intervals import INTERVALS_MS, interval_ms

ALLOW_OTHER_MARKET = "say allow_other_market=True (--allow-other-market)"
"""What lets bars of another market in where they are refused."""


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
        parent: Fingerprint of the world model that it was fine-tuned from; empty if of none.
        together: SHA-256 of the training candles of the other symbols that V and M learned from.
        columns: Of each column of the candles that is a feature, where it is from, and since when it is
            known there.
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
    parent: str = ""
    together: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)

    @property
    def interval_ms(self) -> int:
        """Length of one bar [ms]."""
        return interval_ms(self.interval)

    @property
    def bars_per_year(self) -> float:
        """Bars in 365 days of a market that never closes."""
        return 365 * INTERVALS_MS["D"] / self.interval_ms

    def check_market(self, symbol: str, interval: str, *, allow_other: bool = True) -> None:
        """The one check of every place where bars meet the model: refuse what it cannot read.

        Args:
            symbol: Of the bars.
            interval: Of the bars.
            allow_other: Whether bars of another symbol are warned of, or refused too.

        Raises:
            OtherMarketError: The interval is another, or the symbol is and that is not allowed.
        """
        self.check_interval(interval)
        other = self.other_market(symbol)
        if other and not allow_other:
            raise OtherMarketError(refused_market(other))
        if other:
            warnings.warn(other, OtherMarketWarning, stacklevel=2)

    def check_interval(self, interval: str) -> None:
        """Refuse bars of another length.

        Raises:
            OtherMarketError: They are.
        """
        if interval != self.interval:
            raise OtherMarketError(
                f"the candles' interval is {interval}; this world model was trained on "
                f"{self.interval}: give candles of that interval, or train a world model on these"
            )

    def other_market(self, symbol: str) -> str:
        """What a person is told of bars of another symbol; empty if it is the model's, or unnamed.

        Exchanges spell one instrument in many ways: BTCUSDT, BTC-USDT, BTC/USDT:USDT.
        """
        theirs, mine = _spelled(symbol), _spelled(self.symbol)
        if theirs == mine or UNNAMED in (theirs, mine):
            return ""
        return f"the candles are of {symbol}; this world model was trained on {self.symbol}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        plain = dataclasses.asdict(self)
        if not self.columns:  # as it was before there could be some
            del plain["columns"]
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From plain values.

        Raises:
            ModelFileError: A field is missing, unknown or of the wrong kind.
        """
        kinds = {f.name: str(f.type) for f in dataclasses.fields(cls)}
        if isinstance(values, Mapping):
            values = {**_UNTOLD, **values}
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


_UNTOLD: dict[str, Any] = {"parent": "", "together": {}, "columns": {}}
"""Of models stored before these were told."""


def refused_market(other: str) -> str:
    """Why bars of another market are refused, and what lets them in."""
    return f"{other}: give candles of the same market, or {ALLOW_OTHER_MARKET}"


def _spelled(symbol: str) -> str:
    return re.sub("[^A-Z0-9]", "", symbol.upper().partition(":")[0])


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

    def last(self, count: int) -> Self:
        """The latest segments alone."""
        parts = (getattr(self, part.name) for part in dataclasses.fields(self))
        return type(self)(*(part[-count:] for part in parts))


@dataclass(frozen=True, eq=False)
class BarBank(WarmupBank):
    """Where dreams of bars begin: besides, what the features remember there.

    Attributes:
        memory: Of the features, right after each segment's last bar [S, M], float64.
        features: Of that bar, in their own units [S, F], float64.
        bars: The segments' bars themselves [S, W, 4], float32, columns
            `market.streams.BAR_NUMBERS`.
    """

    memory: FloatArray
    features: FloatArray
    bars: Float32Array
