"""Regimes of a market: found in the latent space, named, stored, and followed without look-ahead."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ...market.arrays import FloatArray, IntArray
from ...market.clock import CALENDAR_CELLS
from ...market.errors import ConfigError, ModelFileError
from ...market.features import candles_for
from ...market.files.writer import write_whole
from ...market.settings import check_count, nearest
from ..states import segment_times
from .chain import Chain, Method, likeliest
from .choice import Trial, choose, read_trials
from .following import RegimeFilter
from .observed import observe, stretches
from .reading import Reading
from .traits import Traits, measure_traits, unique_names

if TYPE_CHECKING:
    from ...market.sources import CandleSource
    from ..world_model import WorldModel

FILE = "regimes.json"
_FORMAT, _VERSION = "worldmodel-trading regimes", 1
_FIELDS = {
    "format", "format_version", "world_model", "interval", "method", "reading", "chain", "names", "traits",
    "trials",
}  # fmt: skip
_LIMIT_BYTES = 1 << 20
_MOST = 8  # regimes


@dataclass(frozen=True, eq=False)
class Regimes:
    """R regimes, from the quietest to the loudest.

    Attributes:
        names: What they are: volatility, trend and reversion, as recorded in each.
        traits: The numbers behind the names.
        world_model_hash: `WorldModel.fingerprint` of the one whose z is read.
        reading: Tells the chain's coordinate from z.
        chain: How the regimes follow each other.
        method: ``hmm``, or ``mixture``: the same without memory.
        trials: The numbers of regimes that were tried.
    """

    names: tuple[str, ...]
    traits: tuple[Traits, ...]
    world_model_hash: str
    reading: Reading
    chain: Chain
    method: Method
    trials: tuple[Trial, ...]

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def fit(
        cls,
        world_model: WorldModel,
        candles: CandleSource = None,
        count: int | None = None,
        seed: int = 0,
        *,
        method: Method = "hmm",
        bootstraps: int = 10,
    ) -> Self:
        """Find regimes on the world model's training range.

        Args:
            world_model: Of either preset.
            candles: A record of the training range; what is later is not looked at. None takes the
                segments of the model's own bank.
            count: R, or None: by BIC among those that resampled blocks find again.
            seed: Of beginnings and resamples.
            method: ``hmm`` or ``mixture``.
            bootstraps: Fits on resampled blocks for each number, which tell stability and durations'
                ranges; 0 for none.

        Raises:
            ConfigError: A setting is impossible, or the candles hold too little of the training range.
        """
        if count is not None and not 2 <= check_count("count", count) <= _MOST:
            raise ConfigError(f"count is {count}; expected 2 to {_MOST} regimes, or None")
        if method not in ("hmm", "mixture"):
            raise ConfigError(f"method is {method!r}; expected hmm or mixture")
        seen = observe(world_model, candles)
        reading = Reading.fit(seen, world_model.provenance.interval)
        read = [reading.read(stretch.heard, stretch.open_time_ms) for stretch in seen]
        found, trials = choose(read, count, method, seed, bootstraps)
        labels = [likeliest(found.chain.filter(part))[:-1] for part in read]
        after = [stretch.log_return[2:] for stretch in seen]
        traits = measure_traits(labels, after, found.chain.durations, found.spans)
        names = unique_names(traits)
        return cls(
            names, tuple(traits), world_model.fingerprint, reading, found.chain, method, trials
        )

    def follow(self, num_lanes: int = 1) -> RegimeFilter:
        """A filter that hears bars as they come, of N markets side by side."""
        return RegimeFilter(self.reading, self.chain, num_lanes)

    def filter(self, world_model: WorldModel, candles: CandleSource) -> FloatArray:
        """Probabilities [T, R] of the regimes at each close, given the bars up to it alone.

        NaN where the features are not complete; the long-run shares at the first row after that.

        Args:
            world_model: The one that the regimes were found in.
            candles: Anything `open_candles` opens.

        Raises:
            ConfigError: The world model is another.
        """
        self.check(world_model)
        record = candles_for(world_model.config.features, candles)
        out = np.full((len(record), len(self)), np.nan)
        for start, stop, stretch in stretches(world_model, record):
            coordinate = self.reading.read(stretch.heard, stretch.open_time_ms)
            out[start] = self.chain.stationary
            out[start + 1 : stop] = self.chain.filter(coordinate)
        return out

    def after(
        self, world_model: WorldModel, candles: CandleSource, row: int | None = None
    ) -> RegimeFilter:
        """A filter of one lane that has heard a record up to a row; None is the last."""
        record = candles_for(world_model.config.features, candles)
        newest = len(record) - 1 if row is None else row
        followed = self.follow()
        believed = self.filter(world_model, record.rows(0, newest + 1))[newest]
        if np.isfinite(believed).all():
            features = world_model.features(record)[newest : newest + 1]
            heard = world_model.heard(world_model.encode(features))[0]
            followed.stand(0, heard, int(record.open_time_ms[newest]), believed)
        return followed

    def classify(self, world_model: WorldModel, candles: CandleSource) -> IntArray:
        """Index [T] of the likeliest regime at each close; -1 where nothing is known."""
        believed = self.filter(world_model, candles)
        known = np.isfinite(believed).all(axis=1)
        return np.where(known, likeliest(np.nan_to_num(believed)), -1)

    def segments(self, world_model: WorldModel, name: str) -> IntArray:
        """Segments of a world model's bank at whose end the market was, as filtered, in a regime.

        Indices as ``reset(options={"segment": …})`` and `Engine.start` take them.

        Args:
            world_model: Whose bank; its z is that of the one that the regimes were found in.
            name: Of the regime.

        Raises:
            ConfigError: There is no such regime, or no segment ends in it.
        """
        wanted = self.index(name)
        found = np.flatnonzero(self.of_bank(world_model) == wanted)
        if not len(found):
            raise ConfigError(
                f"no segment of the world model's bank ends in the regime {name!r}: choose another of "
                f"{', '.join(self.names)}"
            )
        return found

    def of_bank(self, world_model: WorldModel) -> IntArray:
        """Index of the regime in which each of the bank's segments ends, of all members."""
        ends = likeliest(self.after_bank(world_model).believed)
        return np.tile(ends, world_model.num_segments // len(world_model.bank))

    def after_bank(self, world_model: WorldModel) -> RegimeFilter:
        """A filter that has heard the bank's segments, a lane each."""
        self.check(world_model)
        followed = self.follow(len(world_model.bank))
        heard, times = world_model.heard(world_model.bank.z), segment_times(world_model)
        for bar in range(heard.shape[1]):
            followed.update(heard[:, bar], times[:, bar])
        return followed

    def index(self, name: str) -> int:
        """Which regime has that name.

        Raises:
            ConfigError: None has; the message suggests the nearest.
        """
        if name in self.names:
            return self.names.index(name)
        near = nearest(name, list(self.names))
        hint = f"did you mean {near!r}? " if near else ""
        raise ConfigError(
            f"there is no regime {name!r}: {hint}expected one of {', '.join(self.names)}"
        )

    def check(self, world_model: WorldModel) -> None:
        """Refuse a world model whose z means something else.

        Raises:
            ConfigError: It is not the one that the regimes were found in.
        """
        if world_model.fingerprint != self.world_model_hash:
            raise ConfigError(
                f"the regimes were found in another world model ({self.world_model_hash[:12]}) than "
                f"this ({world_model.fingerprint[:12]}): give that one, or find regimes in this"
            )

    def save(self, path: str | Path) -> Path:
        """Write ``regimes.json`` into a folder, such as the world model's, or to a file of that ending."""
        return write_whole(_file(path), json.dumps(self.to_dict(), indent=1) + "\n")

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold, every number exactly."""
        return {
            "format": _FORMAT,
            "format_version": _VERSION,
            "world_model": self.world_model_hash,
            "interval": self.reading.interval,
            "method": self.method,
            "names": list(self.names),
            "traits": [each.to_dict() for each in self.traits],
            "trials": [each.to_dict() for each in self.trials],
            "chain": self.chain.to_dict(),
            "reading": self.reading.to_dict(),
        }

    @classmethod
    def load(cls, path: str | Path, world_model: WorldModel) -> Self:
        """Read what `save` wrote, and see that it belongs to a world model.

        Raises:
            ModelFileError: The file is missing, altered or of another format.
            ConfigError: The regimes were found in another world model.
        """
        file = _file(path)
        try:
            if file.stat().st_size > _LIMIT_BYTES:
                raise ModelFileError(f"{file} is too long to be regimes")
            values = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelFileError(
                f"there is no {file}: make it with `worldmodel-trading regimes`, or Regimes.save"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise ModelFileError(f"{file} is no JSON: {error}") from None
        made = cls._of_dict(values, file)
        made.check(world_model)
        if len(made.reading.kernel) != 2 * world_model.heard(world_model.bank.z).shape[-1]:
            raise ModelFileError(f"{file}: the reading is of another size than the world model's z")
        return made

    @classmethod
    def _of_dict(cls, values: Any, file: Path) -> Self:
        if not isinstance(values, Mapping) or values.get("format") != _FORMAT:
            raise ModelFileError(f"{file} holds no regimes of this package")
        if set(values) != _FIELDS or values["format_version"] != _VERSION:
            raise ModelFileError(f"{file}: another version of this package wrote these regimes")
        try:
            chain = Chain(**{name: np.array(part, float) for name, part in values["chain"].items()})
            parts = {name: np.array(part, float) for name, part in values["reading"].items()}
            made = cls(
                names=tuple(map(str, values["names"])),
                traits=tuple(map(Traits.from_dict, values["traits"])),
                world_model_hash=str(values["world_model"]),
                reading=Reading(**parts, interval=str(values["interval"])),
                chain=chain,
                method=values["method"],
                trials=read_trials(values["trials"]),
            )
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise ModelFileError(
                f"{file}: a part of the regimes is not as saved: {error}"
            ) from None
        _check_numbers(made, file)
        return made


def _check_numbers(made: Regimes, file: Path) -> None:
    """Refuse shapes that do not fit, and numbers that are none."""
    count, chain = len(made.names), made.chain
    shapes = {
        "means": (chain.means, (count,)),
        "deviations": (chain.deviations, (count,)),
        "transition": (chain.transition, (count, count)),
        "hours": (made.reading.hours, (CALENDAR_CELLS,)),
        "kernel": (made.reading.kernel, (len(made.reading.kernel),)),
    }
    for name, (part, shape) in shapes.items():
        if part.shape != shape or not np.isfinite(part).all():
            raise ModelFileError(f"{file}: {name} has shape {part.shape}; expected {shape}, finite")
    sums = [math.isclose(row.sum(), 1.0, abs_tol=1e-6) for row in chain.transition]
    if not (all(sums) and (chain.transition >= 0).all() and (chain.deviations > 0).all()):
        raise ModelFileError(f"{file}: the transition's rows must be probabilities, deviations > 0")
    if len(made.traits) != count or len(set(made.names)) != count:
        raise ModelFileError(f"{file}: expected one name and its traits for each regime")


def _file(path: str | Path) -> Path:
    return Path(path) if Path(path).suffix == ".json" else Path(path) / FILE
