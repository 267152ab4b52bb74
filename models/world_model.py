"""The world model: V, M, the feature scaler and where they come from, as one object."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..market.arrays import BoolArray, Float32Array, FloatArray, IntArray
from ..market.candles import Candles
from ..market.errors import ConfigError, FeatureError, TrainingError
from ..market.features import FeatureSpec, Scaler, calendar, compute_features, volume_level
from ..market.settings import seed_number
from ..market.sources import open_candles
from .config import WorldModelConfig
from .decoded_return import decoded_return_mixture
from .devices import choose_device
from .forecast import ReturnForecast
from .forward import CompiledLSTM, CompiledVAE, RowDecoder
from .mdn_rnn import MDNRNN, State
from .provenance import Provenance, WarmupBank, library_versions
from .training.calibration import calibrate_dreams, warmup_inputs
from .training.callbacks import Callbacks, TrainingCallback, TrainingHistory
from .training.collapse import mdn_rnn_warnings, vae_warnings
from .training.mean_tempering import mean_slope, scale_mean
from .training.sequences import FeatureRange, complete_runs, feature_range
from .training.train import (
    Encoded,
    Session,
    encode_range,
    scaled_tensor,
    train_mdn_rnn,
    train_vae,
)
from .vae import LATENT_LIMIT, VAE, silence_idle_dimensions

if TYPE_CHECKING:
    from ..market.sources import CandleSource

_RETURN = 0  # column of the log return among the features


@dataclass(frozen=True, eq=False)
class Latents:
    """What the world model makes of candles; rows that are not valid hold NaN.

    Attributes:
        z: Posterior means [T, Z], float32.
        h: M's hidden state [T, H], float32. ``market``: z_t has entered. ``paper``: the state
            before (z_t, a_t) enter, under actions of zero.
        valid: Rows [T] with complete features and at least `WorldModelConfig.warmup_bars` latents
            in the LSTM without a gap.
    """

    z: Float32Array
    h: Float32Array
    valid: BoolArray


class WorldModel:
    """A learned market.

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
        config: WorldModelConfig,
        provenance: Provenance,
        scaler: Scaler,
        vae: VAE,
        mdn_rnn: MDNRNN,
        bank: WarmupBank,
    ) -> None:
        self.config = config
        self.provenance = provenance
        self.scaler = scaler
        self.vae = vae.eval().requires_grad_(False)
        self.mdn_rnn = mdn_rnn.eval().requires_grad_(False)
        self.mdn_rnn.hold(self.vae.held_dimensions())
        self.bank = bank

    def __getstate__(self) -> dict[str, Any]:
        # What is compiled from the modules is compiled again, where a copy's memory lies.
        derived = ("compiled_vae", "compiled_memory")
        return {name: value for name, value in self.__dict__.items() if name not in derived}

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
        kind = [self.config.preset, self.config.features.names, self.config.features.detrend_volume]
        digest = hashlib.sha256(json.dumps(kind).encode())
        for values in (self.scaler.mean, self.scaler.scale):
            digest.update(np.ascontiguousarray(values).tobytes())
        for module in (self.vae, self.mdn_rnn):
            for name, tensor in sorted(module.state_dict().items()):
                digest.update(name.encode())
                digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    def recent(self, share: float) -> WorldModel:
        """The same world model, whose dreams begin in the last ``share`` of its warm-up bank.

        The bank's segments lie evenly over the training range. What is to act next month had better
        learn from where the market stood last than from where it stood years ago.

        Raises:
            ConfigError: The share is not in (0, 1].
        """
        if not 0.0 < share <= 1.0:
            raise ConfigError(f"recent is {share}; expected a share of the warm-up bank in (0, 1]")
        bank = self.bank.last(math.ceil(share * len(self.bank)))
        return WorldModel(self.config, self.provenance, self.scaler, self.vae, self.mdn_rnn, bank)

    @cached_property
    def compiled_vae(self) -> CompiledVAE:
        """V for use: the same bits for a bar wherever and in whatever company it is computed."""
        return CompiledVAE.of(self.vae)

    @cached_property
    def compiled_memory(self) -> CompiledLSTM:
        """M's LSTM likewise."""
        return CompiledLSTM.of(self.mdn_rnn)

    def features(self, candles: CandleSource) -> FloatArray:
        """What V sees of bars [T, F], float64; NaN where their look-back is not complete.

        Args:
            candles: Anything `open_candles` opens.

        Raises:
            OtherMarketError: Their interval is not the model's. Another symbol is warned of.
        """
        candles = open_candles(candles)
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
        means = self.compiled_vae.encode(np.ascontiguousarray(scaled))
        return means.reshape(*features.shape[:-1], self.config.latent_size)

    def decode(self, latent: NDArray[np.floating]) -> FloatArray:
        """Raw features [..., F], float64, of latents [..., Z]."""
        rows = np.ascontiguousarray(latent, dtype=np.float32).reshape(-1, self.config.latent_size)
        scaled = self.compiled_vae.decode(rows)
        return self.scaler.inverse(scaled.reshape(*np.shape(latent)[:-1], scaled.shape[1]))

    def row_decoder(self) -> RowDecoder:
        """`decode` of one latent, for whoever decodes one a step."""
        return RowDecoder(self.compiled_vae, self.scaler)

    def latents(self, candles: CandleSource) -> Latents:
        """Latents and hidden states of every bar; h runs on from gap to gap, from a state of zeros.

        Args:
            candles: Anything `open_candles` opens; see `features`.
        """
        z, after, runs = self._run(open_candles(candles))
        h = after
        if self.config.preset == "paper":
            h = np.zeros_like(after)
            h[1:] = after[:-1]
        valid = np.zeros(len(z), dtype=bool)
        for start, stop in runs:
            valid[min(start + self.config.warmup_bars - 1, stop) : stop] = True
        z[~valid] = np.nan
        h = np.where(valid[:, None], h, np.float32(np.nan))
        return Latents(z, h, valid)

    def return_forecast(self, candles: CandleSource) -> ReturnForecast:
        """The predictive mixture of the log return from t to t+1, in percent, for every bar t.

        ``market``: M's own mixture, exactly. ``paper``: see `decoded_return_mixture`. Rows that
        `latents` does not call valid hold NaN.

        Args:
            candles: Anything `open_candles` opens; see `features`.
        """
        candles = open_candles(candles)
        z, after, runs = self._run(candles)
        count, k = len(candles), self.config.num_components
        columns = [np.full((count, k), np.nan) for _ in range(3)]
        for start, stop in runs:
            rows = slice(min(start + self.config.warmup_bars - 1, stop), stop)
            mixture = self.return_mixture(torch.from_numpy(after[rows]), torch.from_numpy(z[rows]))
            for column, values in zip(columns, mixture, strict=True):
                column[rows] = values
        weights, means, sigmas = columns
        return ReturnForecast(weights, means, sigmas, candles.open_time_ms)

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
        entered = z if self.config.preset == "market" else z[:, :-1]
        latent = entered[:, -1] if entered.shape[1] else np.zeros_like(z[:, 0])
        return State(*(torch.from_numpy(part.copy()) for part in (hidden, cell, latent)))

    def warmed(
        self, z: Float32Array, last_open_time_ms: IntArray
    ) -> tuple[Float32Array, Float32Array]:
        """The states h and c [N, H] of `warm_up`, as arrays."""
        step, market = self.provenance.interval_ms, self.config.preset == "market"
        return self.compiled_memory.final(*warmup_inputs(z, last_open_time_ms, step, market))

    def sample_next(
        self, state: State, uniforms: Tensor, normals: Tensor, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Dream one bar from injected noise; see `MDNRNN.sample_next`.

        Returns:
            The log return [N], float64, a fraction; and z_{t+1} [N, Z], float32.
        """
        with torch.no_grad():
            draw = self.mdn_rnn.sample_next(state, uniforms, normals, temperature)
            scaled = draw.scaled_return
            if scaled is None:
                scaled = self.vae.decode(draw.latent)[:, _RETURN]
        returns = scaled.double() * self.scaler.scale[_RETURN] + self.scaler.mean[_RETURN]
        return returns, draw.latent

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json``, ``model.safetensors`` and ``manifest.json`` into a folder."""
        from .storage import save_world_model

        save_world_model(self, Path(folder))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load what `save_pretrained` wrote.

        Args:
            folder: The folder, ``"default"`` for the model that ships, or ``"owner/model"`` on the
                Hugging Face Hub where `huggingface_hub` is installed.

        Raises:
            ModelFileError: Something is missing, altered, or of another format.
        """
        from .storage import load_world_model

        return cls(*load_world_model(folder))

    def _run(
        self, candles: Candles
    ) -> tuple[Float32Array, Float32Array, tuple[tuple[int, int], ...]]:
        """Latents [T, Z], the hidden state after each z entered [T, H], and the runs; zeros elsewhere."""
        features = self.features(candles)
        runs = complete_runs(features, candles)
        waves = calendar(candles.open_time_ms + candles.interval_ms)
        z = np.zeros((len(candles), self.config.latent_size), dtype=np.float32)
        hidden = np.zeros((len(candles), self.config.hidden_size), dtype=np.float32)
        for start, stop in runs:
            z[start:stop] = self.encode(features[start:stop])
            rows = np.s_[np.newaxis, start:stop]
            hidden[start:stop] = self.compiled_memory.run(z[rows], waves[rows])[0]
        return z, hidden, runs

    def return_mixture(self, after: Tensor, z: Tensor) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weights, means and sigmas [T, K], percent, from hidden states after z entered."""
        scale, mean = 100 * self.scaler.scale[_RETURN], 100 * self.scaler.mean[_RETURN]
        with torch.no_grad():
            if self.config.preset == "market":
                mixture = self.mdn_rnn.return_mixture(after)
                means, sigmas = mixture.means[..., 0], mixture.log_sigmas[..., 0].double().exp()
            else:
                mixture = self.mdn_rnn.latent_mixture(after, z)
                means, sigmas = decoded_return_mixture(self.vae, mixture)
            weights = torch.softmax(mixture.logits.double(), dim=-1)
        return (
            weights.numpy(),
            means.double().numpy() * scale + mean,
            sigmas.double().numpy() * scale,
        )


def train_world_model(
    train: CandleSource,
    validation: CandleSource,
    config: WorldModelConfig | None = None,
    *,
    seed: int = 0,
    source: str = "",
    callbacks: Sequence[TrainingCallback] = (),
    checkpoint_dir: str | Path | None = None,
    resume: bool = False,
    device: str = "cpu",
) -> tuple[WorldModel, TrainingHistory]:
    """Train V, then M; choose the epochs on the validation candles.

    Args:
        train: Training candles: anything `open_candles` opens.
        validation: Candles after them. The end of the training range serves as their context.
        config: Settings; None are the default ones for the candles' interval.
        seed: Of weights, data order and noise; the same seed gives the same model on one machine.
        source: Where the candles come from, in words, for the provenance.
        callbacks: Follow the training.
        checkpoint_dir: Folder for a checkpoint after every epoch; None keeps none.
        resume: Go on from the checkpoints in that folder, on a CPU bit for bit as if the training
            had never stopped.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"`` for CUDA where there is one. At the default
            sizes a CPU is as fast.

    Raises:
        TrainingError: The candles are too few, the loss is not finite, or the checkpoints belong
            to another training.
        FeatureError: A feature never changes (constant prices, no volume).
    """
    train, validation = open_candles(train), open_candles(validation)
    config = config or WorldModelConfig.for_interval(train.interval)
    seed = seed_number(seed)
    history = TrainingHistory()
    session = Session(
        config=config,
        seed=seed,
        callbacks=Callbacks(history, callbacks),
        device=choose_device(device),
        checkpoint_dir=None if checkpoint_dir is None else Path(checkpoint_dir),
        identity=_identity(train, validation, config, seed),
        resume=resume,
    )
    ranges = training_ranges(train, validation, config)
    scaler = Scaler.fit(ranges[0].features, config.features.names)
    scaled = [scaled_tensor(scaler.transform(each.features)) for each in ranges]
    rows = [values[each.complete_rows] for values, each in zip(scaled, ranges, strict=True)]
    vae = train_vae(rows[0], rows[1], session)
    idle = silence_idle_dimensions(vae, rows[0])
    _warn(session, [f"latent dimension {d} says more noise than signal: held at 0" for d in idle])
    encoded = [encode_range(vae, values, each) for values, each in zip(scaled, ranges, strict=True)]
    _warn(session, vae_warnings(encoded[0]))
    mdn_rnn, bank = train_memory(encoded[0], encoded[1], train, session)
    provenance = _provenance(train, validation, seed, source)
    return WorldModel(config, provenance, scaler, vae, mdn_rnn, bank), history


def train_memory(
    encoded: Encoded, validation: Encoded, train: Candles, session: Session
) -> tuple[MDNRNN, WarmupBank]:
    """Train M on what V makes of the training range, as it is deployed.

    Args:
        encoded: The training range.
        validation: The validation range.
        train: The training candles.
        session: The training's.

    Returns:
        M, its mean forecast tempered and its dreams calibrated (``market``), and the warm-up bank.
    """
    config = session.config
    mdn_rnn = train_mdn_rnn(encoded, validation, session)
    _warn(session, mdn_rnn_warnings(mdn_rnn, encoded))
    latents = encoded.posterior.mean.numpy()
    bank = _warmup_bank(latents, encoded.source, train, config)
    if config.preset == "market":
        if config.temper_mean:
            slope = mean_slope(mdn_rnn, validation)
            scale_mean(mdn_rnn, encoded, slope.believed)
            session.callbacks.on_note(str(slope))
        known = latents[encoded.source.complete_rows]
        rounds = min(config.calibration_rounds, config.mdn_rnn_epochs)
        seed = session.stage_seed(3)
        calibrate_dreams(mdn_rnn, bank, known, train.interval_ms, rounds, seed)
    return mdn_rnn, bank


def training_ranges(
    train: Candles, validation: Candles, config: WorldModelConfig
) -> tuple[FeatureRange, FeatureRange]:
    """Training and validation range as features.

    Raises:
        TrainingError: One is too short.
    """
    train_range = feature_range(train, config.features)
    context = config.warmup_bars + 1
    validation_range = feature_range(validation, config.features, train, context)
    needed = max(config.chunk_bars + 1, config.warmup_bars)
    if train_range.longest_run < needed:
        raise TrainingError(
            f"the training range has {train_range.longest_run} bars in a row with complete "
            f"features, after {config.features.warmup} bars of look-back; expected at least "
            f"{needed}: give a longer range, or shorter look-backs "
            f"(WorldModelConfig.for_interval({train.interval!r}) has "
            f"{FeatureSpec.for_interval(train.interval).warmup} bars) and chunk_bars"
        )
    if len(validation_range.complete_rows) < 2:
        raise TrainingError(
            f"the validation range has {len(validation_range.complete_rows)} bars with complete "
            "features; expected at least 2: give a longer range"
        )
    return train_range, validation_range


def _identity(train: Candles, validation: Candles, config: WorldModelConfig, seed: int) -> str:
    parts = [train.data_hash(), validation.data_hash(), config.to_dict(), seed]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _warn(session: Session, warnings: list[str]) -> None:
    for text in warnings:
        session.callbacks.on_warning(text)


def _provenance(train: Candles, validation: Candles, seed: int, source: str) -> Provenance:
    step = train.interval_ms
    return Provenance(
        symbol=train.symbol,
        interval=train.interval,
        source=source,
        train_start_ms=int(train.open_time_ms[0]),
        train_end_ms=int(train.open_time_ms[-1]) + step,
        validation_start_ms=int(validation.open_time_ms[0]),
        validation_end_ms=int(validation.open_time_ms[-1]) + step,
        data_hash=train.data_hash(),
        seed=seed,
        versions=library_versions(),
    )


def _warmup_bank(
    z: Float32Array, source: FeatureRange, candles: Candles, config: WorldModelConfig
) -> WarmupBank:
    """Segments spread evenly over the training range."""
    width = config.warmup_bars
    ends = [np.arange(start + width - 1, stop) for start, stop in source.runs]
    possible = np.concatenate(ends)
    count = min(config.bank_segments, len(possible))
    last = possible[np.linspace(0, len(possible) - 1, count).round().astype(int)]
    rows = last[:, None] + np.arange(-width + 1, 1)
    return WarmupBank(
        z=np.clip(z[rows], -LATENT_LIMIT, LATENT_LIMIT),
        open_time_ms=candles.open_time_ms[last],
        close=candles.close[last],
        volume_level=volume_level(candles, config.features, last),
    )
