"""The world model: V, M, the feature scaler and where they come from, as one object."""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..market.arrays import BoolArray, Float32Array, FloatArray, IntArray, chunks
from ..market.candles import Candles
from ..market.errors import ConfigError, FeatureError
from ..market.features import (
    Scaler,
    candles_for,
    compute_features,
    feature_chunks,
    valid_rows,
)
from ..market.streams import StreamSpec
from ..market.times import Time
from .feature_range import complete_runs
from .forecast import ReturnForecast
from .mdn_rnn import State
from .provenance import Provenance
from .storage import Parts, load_parts, save_parts

if TYPE_CHECKING:
    from ..market.sources import CandleSource

_KINDS = {
    "market": (".bar_world_model", "BarWorldModel"),
    "paper": (".paper_world_model", "PaperWorldModel"),
}
"""Of each preset: loaded when one is met, for they know this module."""
_FINE_TUNING = ".training.fine_tuning"
"""Likewise."""


@dataclass(frozen=True, eq=False)
class Latents:
    """What the world model makes of candles; rows that are not valid hold NaN.

    Attributes:
        z: Posterior means [T, Z], float32.
        h: M's hidden state [T, H], float32. ``market``: z_t has entered. ``paper``: the state
            before (z_t, a_t) enter, under actions of zero.
        valid: Rows [T] with complete features and at least `warmup_bars` latents
            in the LSTM without a gap.
    """

    z: Float32Array
    h: Float32Array
    valid: BoolArray


class Run(NamedTuple):
    """V and M along candles; zeros outside the runs.

    Attributes:
        z: Latents [T, Z].
        after: The hidden state after each z entered [T, H].
        rows: First row and the row after the last of each run without a gap.
    """

    z: Float32Array
    after: Float32Array
    rows: tuple[tuple[int, int], ...]


class WorldModel(ABC):
    """A learned market: what its kinds share.

    Args:
        config: Its settings.
        provenance: What it was made from.
        scaler: Of the features, fitted on the training range.
        vae: V.
        mdn_rnn: M.
        bank: Encoded warm-up segments of the training range.
    """

    def __init__(
        self,
        config: Any,
        provenance: Provenance,
        scaler: Scaler,
        vae: Any,
        mdn_rnn: Any,
        bank: Any,
    ) -> None:
        self.config = config
        self.provenance = provenance
        self.scaler = scaler
        self.vae = vae.eval().requires_grad_(False)
        self.mdn_rnn = mdn_rnn.eval().requires_grad_(False)
        self.bank = bank

    def __getstate__(self) -> dict[str, Any]:
        # What is compiled from the modules is compiled again, where a copy's memory lies.
        derived = ("compiled_vae", "compiled_memory", "network", "assumed", "_runs")
        return {name: value for name, value in self.__dict__.items() if name not in derived}

    @property
    def num_segments(self) -> int:
        """From how many segments of the bank a dream can begin."""
        return len(self.bank)

    def __repr__(self) -> str:
        p, c = self.provenance, self.config
        return (
            f"WorldModel({c.preset}, {p.symbol} {p.interval}, "
            f"Z={c.latent_size}, H={c.hidden_size}, K={c.num_components})"
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what z and h mean: preset, features, scaler, V and M.

        Where dreams begin is no part of it, nor where the model is stored. What was learned from a
        model's z and h remembers it, for another model of the same shape means something else.
        """
        spec: Any = self.config.features
        settled = spec.interval if isinstance(spec, StreamSpec) else spec.detrend_volume
        if isinstance(spec, StreamSpec) and spec.more:
            settled = [spec.interval, *spec.more]
        kind = [self.config.preset, spec.names, settled]
        digest = hashlib.sha256(json.dumps(kind).encode())
        for values in (self.scaler.mean, self.scaler.scale):
            digest.update(np.ascontiguousarray(values).tobytes())
        for module in (self.vae, self.mdn_rnn):
            for name, tensor in sorted(module.state_dict().items()):
                digest.update(name.encode())
                digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    def recent(self, share: float) -> Self:
        """The same world model, whose dreams begin in the last ``share`` of its warm-up bank.

        The bank's segments lie evenly over the training range. What is to act next month had better
        learn from where the market stood last than from where it stood years ago.

        Raises:
            ConfigError: The share is not in (0, 1].
        """
        if not 0.0 < share <= 1.0:
            raise ConfigError(f"recent is {share}; expected a share of the warm-up bank in (0, 1]")
        bank = self.bank.last(math.ceil(share * len(self.bank)))
        kind = type(self)
        made = kind(self.config, self.provenance, self.scaler, self.vae, self.mdn_rnn, bank)
        made._runs = self._runs  # of the same V and M
        return made

    @property
    def members(self) -> tuple[WorldModel, ...]:
        """All that were trained on the market, this one first."""
        return (self,)

    @cached_property
    def assumed(self) -> dict[float, WorldModel]:
        """This world model with drifts that were asked for, see `models.drift`."""
        return {}

    @property
    @abstractmethod
    def compiled_vae(self) -> Any:
        """V for use: the same bits for a bar wherever and in whatever company it is computed."""

    @abstractmethod
    def warmed(
        self, z: Float32Array, last_open_time_ms: IntArray
    ) -> tuple[Float32Array, Float32Array]:
        """The states h and c [N, H] of `warm_up`, as arrays."""

    @abstractmethod
    def remembered(self, z: Float32Array, next_open_time_ms: IntArray) -> Float32Array:
        """The state h after each latent [N, T, H], from zeros.

        Args:
            z: Latents of successive bars [N, T, Z].
            next_open_time_ms: When the bars after them open [N, T].
        """

    @abstractmethod
    def heard(self, z: Float32Array) -> Float32Array:
        """What M hears of latents [..., Z]: [..., Z']."""

    @abstractmethod
    def return_mixture(
        self, after: Tensor, z: Tensor, next_open_time_ms: IntArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weights, means and sigmas [T, K], percent, from hidden states after z entered."""

    def features(self, candles: CandleSource) -> FloatArray:
        """What V sees of bars [T, F], float64; NaN where their look-back is not complete.

        Args:
            candles: Anything `open_candles` opens.

        Raises:
            OtherMarketError: Their interval is not the model's. Another symbol is warned of.
        """
        candles = candles_for(self.config.features, candles)
        self.provenance.check_market(candles.symbol, candles.interval)
        return compute_features(candles, self.config.features)

    def encode(self, features: FloatArray) -> Float32Array:
        """Posterior means [..., Z] of raw features [..., F]; NaN where features are NaN."""
        features = np.asarray(features, dtype=np.float64)
        names = self.config.features.names
        if features.shape[-1:] != (len(names),):
            raise FeatureError(
                f"features have shape {features.shape}; expected {len(names)} columns: "
                f"{', '.join(names)}"
            )
        scaled = self.scaler.transform(features).reshape(-1, len(names))
        means: Float32Array = self.compiled_vae.encode(np.ascontiguousarray(scaled))
        return means.reshape(*features.shape[:-1], self.config.latent_size)

    def decode(self, latent: NDArray[np.floating]) -> FloatArray:
        """Raw features [..., F], float64, of latents [..., Z]."""
        rows = np.ascontiguousarray(latent, dtype=np.float32).reshape(-1, self.config.latent_size)
        scaled = self.compiled_vae.decode(rows)
        return self.scaler.inverse(scaled.reshape(*np.shape(latent)[:-1], scaled.shape[1]))

    def latents(self, candles: CandleSource, rows: slice = slice(None)) -> Latents:
        """Latents and hidden states of every bar; h runs on from gap to gap, from a state of zeros.

        Args:
            candles: Anything `open_candles` opens; see `features`.
            rows: Of which bars they are wanted; those before them are heard all the same.
        """
        z, after, runs = self._run(candles_for(self.config.features, candles))
        if self.config.preset == "paper":
            after = np.concatenate([np.zeros_like(after[:1]), after[:-1]])
        valid = np.zeros(len(z), dtype=bool)
        for start, stop in runs:
            valid[min(start + self.config.warmup_bars - 1, stop) : stop] = True
        valid = valid[rows].copy()
        z, h = (np.where(valid[:, None], part[rows], np.float32(np.nan)) for part in (z, after))
        return Latents(z, h, valid)

    def return_forecast(
        self, candles: CandleSource, rows: tuple[int, int] | None = None
    ) -> ReturnForecast:
        """The predictive mixture of the log return from t to t+1, in percent, for every bar t.

        ``market``: M's own mixture, exactly. ``paper``: see `decoded_return_mixture`. Rows that
        `latents` does not call valid hold NaN.

        Args:
            candles: Anything `open_candles` opens; see `features`.
            rows: First row of which a forecast is wanted, and the row after the last; None are all.
        """
        candles = candles_for(self.config.features, candles)
        z, after, runs = self._run(candles)
        first, last = rows or (0, len(candles))
        columns = [np.full((last - first, self.config.num_components), np.nan) for _ in range(3)]
        for start, stop in runs:
            warm = max(min(start + self.config.warmup_bars - 1, stop), first)
            for some in chunks(warm, min(stop, last)):
                times = candles.open_time_ms[some] + candles.interval_ms
                mixture = self.return_mixture(
                    torch.from_numpy(after[some]), torch.from_numpy(z[some]), times
                )
                for column, values in zip(columns, mixture, strict=True):
                    column[some.start - first : some.stop - first] = values
        weights, means, sigmas = columns
        return ReturnForecast(weights, means, sigmas, candles.open_time_ms[first:last])

    def warm_up(self, z: Float32Array, last_open_time_ms: IntArray) -> State:
        """The state after recorded latents, from zeros.

        Args:
            z: Latents of successive bars [N, W, Z].
            last_open_time_ms: Open time of each lane's last bar [N].

        Returns:
            ``market``: the last latent has entered. ``paper``: all but the last have, under
            actions of zero; the last enters with the first action.
        """
        hidden, cell = self.warmed(z, last_open_time_ms)
        entered = z[:, :-1] if self.config.preset == "paper" else z
        latent = entered[:, -1] if entered.shape[1] else np.zeros_like(z[:, 0])
        return State(*(torch.from_numpy(part.copy()) for part in (hidden, cell, latent)))

    def hallucinate(
        self,
        paths: int,
        bars: int,
        temperature: float = 1.0,
        seed: int = 0,
        *,
        candles: CandleSource = None,
        at: Time | None = None,
        start_price: float | None = None,
        start_time: Time | None = None,
        drift: str | float = "recorded",
        from_regime: str | None = None,
        regimes: Any = True,
    ) -> Iterator[Candles]:
        """Dream markets and give each as whole candles, one after the other.

        Path i has the same bits however many are asked for; memory is bounded, whatever their number.
        Each bar opens at the close before it, prices lie on the record's tick (where that is at most a
        thousandth of the price), volumes are in the symbol's units.

        Args:
            paths: How many.
            bars: Of each.
            temperature: τ: above 1 they are wilder than the market, 0 always takes the likeliest bar.
            seed: The same seed, the same paths.
            candles: A record that all go on from, anything `open_candles` opens; None lets each begin
                at a segment of the training range, drawn from the model's bank.
            at: The moment in the record at which they begin: bars that have closed by then are known.
                None is its end.
            start_price: Where the first bars open, quote currency; None is the close that they follow.
            start_time: When the first bars open; None is after the bar that they follow.
            drift: What a held position earns; see `with_drift`.
            from_regime: Begin in segments that end in the regime of that name; not with a record.
            regimes: Which regimes there are, anything `open_regimes` opens.

        Raises:
            ConfigError: The preset is ``paper``, or a setting is impossible.
            FeatureError: There are too few bars without a gap before the moment.
        """
        made = import_module(".hallucination", __package__)
        settings = made.Hallucination(
            paths, bars, temperature, seed, start_price, start_time, drift
        )
        segments = made.segments_in(self, from_regime, regimes)
        paths_of = made.Hallucinations(self, settings, candles, at, segments=segments)
        found: Iterator[Candles] = iter(paths_of)
        return found

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json``, ``model.safetensors`` and ``manifest.json`` into a folder."""
        save_parts(self._parts(), Path(folder))

    def _parts(self) -> Parts:
        return Parts(self.config, self.provenance, self.scaler, self.vae, self.mdn_rnn, self.bank)

    def fine_tune(
        self, train: CandleSource, validation: CandleSource, settings: Any = None, **rest: Any
    ) -> Any:
        """A world model of another market, from what was learned of this; see `fine_tune`."""
        module = import_module(_FINE_TUNING, __package__)
        return module.fine_tune(self, train, validation, settings, **rest)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load what `save_pretrained` wrote.

        Args:
            folder: The folder, ``"default"`` for the model that ships, or ``"owner/model"`` on the
                Hugging Face Hub, which needs the extra ``hub``.

        Raises:
            ModelFileError: Something is missing, altered, or of another format.
        """
        parts: Any = load_parts(folder)
        module, name = _KINDS[parts.config.preset]
        kind = getattr(import_module(module, __package__), name)
        return cast(Self, kind._of_parts(parts))

    @classmethod
    def _of_parts(cls, parts: Parts) -> Self:
        return cls(*parts[:6])

    @cached_property
    def _runs(self) -> WeakKeyDictionary[Candles, Run]:
        """What was made of candles that are in use: they are frozen, so nothing here goes stale."""
        return WeakKeyDictionary()

    def _run(self, candles: Candles) -> Run:
        """What V and M make of candles; computed once, kept as long as they are, not to be changed."""
        self.provenance.check_market(candles.symbol, candles.interval)
        if candles not in self._runs:
            self._runs[candles] = self._follow(candles)
        return self._runs[candles]

    def _follow(self, candles: Candles) -> Run:
        """`_run`, computed."""
        z = np.zeros((len(candles), self.config.latent_size), dtype=np.float32)
        complete = np.zeros(len(candles), dtype=bool)
        for first, features in feature_chunks(candles, self.config.features):
            rows = slice(first, first + len(features))
            complete[rows] = known = valid_rows(features)
            z[rows][known] = self.encode(features[known])
        runs = complete_runs(complete, candles)
        following = candles.open_time_ms + candles.interval_ms
        hidden = np.zeros((len(candles), self.config.hidden_size), dtype=np.float32)
        for start, stop in runs:
            run = np.s_[np.newaxis, start:stop]
            hidden[start:stop] = self.remembered(z[run], following[run])[0]
        return Run(z, hidden, runs)
