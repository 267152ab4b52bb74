"""Many paths of one kind, recorded or generated, in one structure that every metric reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...envs.engine.base import Engine
from ...envs.engine.opening import open_engine
from ...market.arrays import Float32Array, FloatArray, IntArray, spread
from ...market.errors import ConfigError
from ...market.features import Features, compute_features, valid_rows
from ...market.sources import open_candles
from ...market.streamed_bars import bar_numbers
from ...market.streams import FEATURES, StreamSpec
from ...models.bar_world_model import BarWorldModel
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
    """`BAR_COLUMNS` of bars [..., 4] and their log volumes [...]."""
    log_return, upper, lower = np.moveaxis(bars[..., :3], -1, 0)
    size = np.abs(log_return) + upper + lower
    return np.stack([log_return, size, log_volume, upper, lower], axis=-1)


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
    state = engine.start(spread(num_dreams, engine.num_segments))
    rng = np.random.default_rng(seed)
    return dream_on(engine, state, bars, rng, temperature, keep_states=keep_states)


def dream_on(
    engine: Engine,
    state: Any,
    bars: int,
    rng: np.random.Generator,
    temperature: float = 1.0,
    *,
    keep_states: bool = True,
) -> Dreams:
    """Dream on from a state of N lanes, flat all along; the state goes with them.

    Args:
        engine: What dreams.
        state: Its lanes.
        bars: T.
        rng: Draws the noise.
        temperature: τ.
        keep_states: Whether to keep z, h and the features, without which a world model that draws
            latents tells of its bars only their returns.
    """
    model = engine.world_model
    num_dreams, of_bars = len(state.z), isinstance(model, BarWorldModel)
    flat = np.zeros(num_dreams)
    log_return = np.empty((num_dreams, bars))
    times = np.empty((num_dreams, bars), dtype=np.int64)
    drawn = np.empty((num_dreams, bars, 4) if of_bars else 0)
    kept = keep_states
    log_volume = np.empty((num_dreams, bars) if kept and of_bars else 0)
    z = np.empty((num_dreams, bars, state.z.shape[1]) if kept else 0, dtype=np.float32)
    h = np.empty((num_dreams, bars, state.h.shape[1]) if kept else 0, dtype=np.float32)
    for t in range(bars):
        noise = engine.draw_noise(rng, num_dreams)
        log_return[:, t] = engine.step(state, flat, noise, temperature)
        times[:, t] = state.open_time_ms
        if of_bars:
            drawn[:, t] = state.bars
        if kept:
            z[:, t], h[:, t] = state.z, state.h
        if kept and of_bars:
            log_volume[:, t] = state.features[:, _VOLUME]
    if of_bars:
        whole = Bars(times, log_return, *np.moveaxis(drawn[..., 1:], -1, 0))
        features = _columns(drawn, log_volume) if kept else None
    else:
        features = model.decode(z) if kept else None
        whole = _decoded_bars(times, log_return, features, model.config.features.names)
    known = (z, h) if kept else (None, None)
    return Dreams(log_return, features, known[0], known[1], whole, name="world model")


def _decoded_bars(
    open_time_ms: IntArray,
    log_return: FloatArray,
    features: FloatArray | None,
    names: Sequence[str],
) -> Bars:
    """Bars [N, T] from decoded features [N, T, F], if any: returns, ranges and relative volumes.

    What the range has beyond the body is shared by both wicks: less than nothing where the range is
    shorter than the body.
    """
    if features is None:
        return Bars(open_time_ms, log_return)
    height, log_volume = (features[..., names.index(name)] for name in ("range", "log_volume"))
    wick = 0.5 * (height - np.abs(log_return))
    return Bars(open_time_ms, log_return, wick, wick, np.exp(log_volume))


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
