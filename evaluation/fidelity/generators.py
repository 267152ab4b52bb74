"""Dreams to compare with: what simple generators of bars achieve on every measure.

All are fitted on the training range alone, begin all over it in step with its clock, and draw paths of
the same length and number as the world model's. Whatever else draws bars can stand beside them: a
function of a module of yours, or a folder of candle files.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...market.arrays import IntArray, spread
from ...market.candles import Candles
from ...market.errors import ConfigError
from ...market.files.paths import read_paths
from ...market.files.reader import read_candles
from ..baselines.bars import Bars
from ..baselines.bootstrap import BarBootstrap
from ..baselines.garch import GarchModel
from ..baselines.har import HAR
from ..baselines.scores import GJR_GARCH_CLOCK, HAR_T
from .paths import Dreams

ONE_BY_ONE, BLOCKS = "bars_one_by_one", "stationary_bootstrap"
"""Names of the generators that copy recorded bars, beside those of the baselines."""
_LEAST_BARS = 1_000

Generator = Callable[[Candles, IntArray, int, np.random.Generator], Bars]
"""Draws what may follow: from the training range [T bars], N of its rows and a number of bars, paths
[N, bars] that begin with the bar after each row."""


def comparison_dreams(
    train: Candles,
    num_dreams: int,
    bars: int,
    *,
    seed: int,
    others: Mapping[str, Generator] | None = None,
) -> dict[str, Dreams]:
    """Every comparison generator's dreams, by name.

    Args:
        train: The training range.
        num_dreams: N.
        bars: Bars in each.
        seed: Makes them repeat.
        others: Generators to set beside the built-in ones.

    Raises:
        ConfigError: The range has fewer than 1,000 bars, or a generator drew something else.
    """
    if len(train) < _LEAST_BARS:
        raise ConfigError(f"{len(train)} training bars; the generators need at least {_LEAST_BARS}")
    rows = len(train) // 4 + spread(num_dreams, len(train) - len(train) // 4)
    made = {}
    for i, (name, generator) in enumerate({**GENERATORS, **(others or {})}.items()):
        drawn = generator(train, rows, bars, np.random.default_rng([seed, i]))
        made[name] = _checked(name, drawn)
    return made


def bars_one_by_one(train: Candles, rows: IntArray, bars: int, rng: np.random.Generator) -> Bars:
    """Recorded bars of the same hour of the week, each alone: the right histogram and no memory."""
    return BarBootstrap.fit(train, 1).bars(_after(train, rows), bars, rng)


def stationary_bootstrap(
    train: Candles, rows: IntArray, bars: int, rng: np.random.Generator
) -> Bars:
    """Recorded bars in blocks of a week on average: everything is right inside a block."""
    return BarBootstrap.fit(train).bars(_after(train, rows), bars, rng)


def garch_paths(train: Candles, rows: IntArray, bars: int, rng: np.random.Generator) -> Bars:
    """Returns of a GJR-GARCH-t in step with the clock, from the variance after each row."""
    return GarchModel.fit(train, (0, len(train))).bars(train, rows, bars, rng)


def har_paths(train: Candles, rows: IntArray, bars: int, rng: np.random.Generator) -> Bars:
    """Bars of a HAR: recorded ones ÷ their scale, times the scale that ranges and clock forecast."""
    return HAR.fit(train, (0, len(train))).bars(train, rows, bars, rng)


GENERATORS: dict[str, Generator] = {
    ONE_BY_ONE: bars_one_by_one,
    BLOCKS: stationary_bootstrap,
    GJR_GARCH_CLOCK: garch_paths,
    HAR_T: har_paths,
}
"""The built-in ones, by name."""


def open_generator(source: str) -> tuple[str, Generator]:
    """A generator and its name, from ``module:function``, a folder of candle files or a table of paths.

    Args:
        source: ``my_package.dreams:draw``, a `Generator`; or a folder in which each file is a path,
            as `read_candles` reads it, or a table of paths, as ``hallucinate`` writes both. Paths are
            cut to the shortest.

    Raises:
        ConfigError: Nothing of the kind is there.
    """
    place = Path(source)
    if place.exists():
        return place.name, recorded_generator(place)
    module, _, name = source.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"--generator is {source!r}; expected module:function, a folder of candle files or a table of paths "
            f"({error})"
        ) from None
    if not callable(found):
        raise ConfigError(f"--generator is {source!r}, a {type(found).__name__}: no function")
    return name, found


def recorded_generator(place: Path) -> Generator:
    """The paths in a folder, one candle file each, or in a table, as a generator that draws them all.

    Raises:
        ConfigError: The folder holds no file.
    """
    files = sorted(path for path in place.iterdir() if path.is_file()) if place.is_dir() else []
    if place.is_dir() and not files:
        raise ConfigError(f"{place} holds no candle files; expected a file for each path")

    def draw(train: Candles, rows: IntArray, bars: int, rng: np.random.Generator) -> Bars:
        given = {"symbol": train.symbol, "interval": train.interval}
        records = (read_candles(path, **given) for path in files) if files else read_paths(place)
        paths = [Bars.of(record) for record in records]
        length = min(path.log_return.shape[1] for path in paths)
        cut = [path.cut(slice(None), slice(0, length)) for path in paths]

        def joined(name: str) -> Any:
            return np.concatenate([getattr(path, name) for path in cut])

        times, returns = joined("open_time_ms"), joined("log_return")
        return Bars(times, returns, joined("upper"), joined("lower"), joined("volume"))

    return draw


def _after(train: Candles, rows: IntArray) -> IntArray:
    """Open times [N] of the bars after rows."""
    return np.asarray(train.open_time_ms[rows] + train.interval_ms)


def _checked(name: str, drawn: Bars) -> Dreams:
    if not isinstance(drawn, Bars):
        raise ConfigError(f"{name} drew a {type(drawn).__name__}; expected Bars")
    shapes = {np.shape(part) for part in (drawn.open_time_ms, drawn.log_return)}
    shapes |= {np.shape(p) for p in (drawn.upper, drawn.lower, drawn.volume) if p is not None}
    if len(shapes) != 1:
        raise ConfigError(f"{name} drew arrays of shapes {sorted(shapes)}; expected one, [N, T]")
    return Dreams(
        np.asarray(drawn.log_return, dtype=np.float64), whole=drawn, name=name, note=drawn.note
    )
