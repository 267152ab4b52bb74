"""Many paths of one kind, recorded or generated, in one structure that every metric reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...envs.engine.opening import open_engine
from ...market.arrays import Float32Array, FloatArray, IntArray, spread
from ...market.errors import ConfigError
from ...market.features import Features, compute_features, valid_rows
from ...market.sources import open_candles
from ...market.streams import FEATURES, StreamSpec, bar_numbers
from ...models.bars.config import MarketConfig
from ...models.world_model import WorldModel
from ..baselines.bars import Bars

if TYPE_CHECKING:
    from ...market.sources import CandleSource


BAR_COLUMNS = ("log_return", "range", "log_volume", "upper_wick", "lower_wick")
"""What is shown of bars that are drawn, beside what a policy sees: log return; log(high ÷ low); log
volume against its average; the wicks, log(high ÷ body) and log(body ÷ low)."""

_VOLUME = [feature.name for feature in FEATURES].index("volume")


def shown_columns(world_model: WorldModel) -> tuple[str, ...]:
    """Columns of the features of a world model's paths."""
    config: Any = world_model.config
    return BAR_COLUMNS if isinstance(config, MarketConfig) else config.features.names


def _columns(bars: FloatArray, log_volume: FloatArray) -> FloatArray:
    """`BAR_COLUMNS` of bars [T, 4] and their log volumes [T]."""
    size = np.abs(bars[:, 0]) + bars[:, 1] + bars[:, 2]
    return np.stack([bars[:, 0], size, log_volume, bars[:, 1], bars[:, 2]], axis=1)


@dataclass(frozen=True, eq=False)
class Dreams:
    """N paths of T bars; row t of each array belongs to the bar that log return t was earned in.

    Attributes:
        log_return: Log returns [N, T], float64, fractions.
        features: Raw features [N, T, F], or None for generators of returns alone.
        z: Latents [N, T, Z], or None.
        h: M's hidden state after the bar [N, T, H], or None.
        whole: The same bars with their times, wicks and volumes; None where nothing tells them.
        name: What made them.
        note: What there is to say about how they were made; mostly nothing.
    """

    log_return: FloatArray
    features: FloatArray | None = None
    z: Float32Array | None = None
    h: Float32Array | None = None
    whole: Bars | None = None
    name: str = "dreams"
    note: str = ""

    def __post_init__(self) -> None:
        shape = self.log_return.shape
        if len(shape) != 2 or 0 in shape:
            raise ConfigError(f"log returns of dreams have shape {shape}; expected [N, T]")
        if not np.isfinite(self.log_return).all():
            raise ConfigError(f"{self.name} hold a log return that is not finite")

    def __len__(self) -> int:
        return len(self.log_return)

    @property
    def bars(self) -> int:
        """T."""
        return int(self.log_return.shape[1])

    def lanes(self, rows: IntArray | slice) -> Dreams:
        """Some of the paths."""
        return self._cut(rows, slice(None))

    def ages(self, start: int, stop: int) -> Dreams:
        """Bars ``start`` up to, not including, ``stop`` of every path."""
        return self._cut(slice(None), slice(start, stop))

    def _cut(self, rows: IntArray | slice, bars: slice) -> Dreams:
        return Dreams(
            self.log_return[rows][:, bars],
            None if self.features is None else self.features[rows][:, bars],
            None if self.z is None else self.z[rows][:, bars],
            None if self.h is None else self.h[rows][:, bars],
            None if self.whole is None else self.whole.cut(rows, bars),
            name=self.name,
            note=self.note,
        )


def dream(
    world_model: WorldModel,
    num_dreams: int,
    bars: int,
    *,
    seed: int,
    temperature: float = 1.0,
    keep_states: bool = True,
) -> Dreams:
    """Dream on from warm-up segments of the training range, spread evenly over the bank.

    With the ``paper`` preset the account stays flat (action 0).

    Args:
        world_model: What dreams.
        num_dreams: N.
        bars: T.
        seed: Makes the dreams repeat.
        temperature: τ.
        keep_states: Whether to keep z, h and the decoded features; they take 4 (Z + H) + 8 F
            bytes a bar.
    """
    engine = open_engine(world_model)
    rng = np.random.default_rng(seed)
    state = engine.start(spread(num_dreams, engine.num_segments))
    flat = np.zeros(num_dreams)
    log_return = np.empty((num_dreams, bars))
    times = np.empty((num_dreams, bars), dtype=np.int64)
    of_bars = isinstance(world_model.config, MarketConfig)
    features = np.empty((num_dreams, bars, len(BAR_COLUMNS)) if keep_states and of_bars else 0)
    z = np.empty((num_dreams, bars, state.z.shape[1]) if keep_states else 0, dtype=np.float32)
    h = np.empty((num_dreams, bars, state.h.shape[1]) if keep_states else 0, dtype=np.float32)
    for t in range(bars):
        noise = engine.draw_noise(rng, num_dreams)
        log_return[:, t] = engine.step(state, flat, noise, temperature)
        times[:, t] = state.open_time_ms
        if keep_states:
            z[:, t], h[:, t] = state.z, state.h
            if of_bars:
                features[:, t] = _columns(state.bars, state.features[:, _VOLUME])
    if not keep_states:
        return Dreams(log_return, whole=Bars(times, log_return), name="world model")
    if not of_bars:
        features = world_model.decode(z)
    whole = whole_bars(times, log_return, features, shown_columns(world_model))
    return Dreams(log_return, features, z, h, whole, name="world model")


def whole_bars(
    open_time_ms: IntArray, log_return: FloatArray, features: FloatArray, names: Sequence[str]
) -> Bars:
    """Bars [N, T] from features [N, T, F].

    Where the features hold wicks they are those; where they hold a range alone, what it has beyond
    the body is shared by both wicks: less than nothing where the range is shorter than the body.
    """
    columns = {name: features[..., i] for i, name in enumerate(names)}
    if "upper_wick" in columns:
        upper, lower = columns["upper_wick"], columns["lower_wick"]
    else:
        upper = lower = 0.5 * (columns["range"] - np.abs(log_return))
    return Bars(open_time_ms, log_return, upper, lower, np.exp(columns["log_volume"]))


def recorded_paths(
    candles: CandleSource, bars: int, spec: Features | None = None, name: str = "real"
) -> Dreams:
    """Successive recorded windows of ``bars`` bars that do not overlap, with their features.

    Bars without complete features and windows across gaps are left out.

    Raises:
        ConfigError: Not one window fits.
    """
    candles = open_candles(candles)
    features = compute_features(candles, spec)
    usable = valid_rows(features)
    if isinstance(spec, StreamSpec):
        features = _columns(bar_numbers(candles), features[:, _VOLUME])
    starts: list[int] = []
    for first, last in candles.segments():
        known = np.flatnonzero(usable[first:last]) + first
        if len(known):
            starts.extend(range(int(known[0]), last - bars + 1, bars))
    if not starts:
        raise ConfigError(
            f"no window of {bars} bars with complete features fits into {len(candles)} candles; "
            "give a longer range"
        )
    rows = np.array(starts)[:, None] + np.arange(bars)
    return Dreams(candles.log_returns()[rows], features[rows], name=name)


def recorded_latents(
    world_model: WorldModel, candles: CandleSource, max_rows: int = 20_000
) -> tuple[Float32Array, Float32Array]:
    """Latents [n, Z] and hidden states [n, H] met on recorded bars, evenly thinned."""
    latents = world_model.latents(candles)
    rows = np.flatnonzero(latents.valid)
    if not len(rows):
        raise ConfigError("no recorded bar has enough bars before it to be encoded")
    rows = rows[spread(min(max_rows, len(rows)), len(rows))]
    return latents.z[rows], latents.h[rows]
