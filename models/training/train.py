"""Training of a world model: V, then M on what V makes of the bars, then what is done to M."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...market.arrays import Float32Array, IntArray, spread
from ...market.candles import Candles
from ...market.errors import TrainingError
from ...market.features import Scaler, volume_level
from ...market.settings import seed_number
from ...market.sources import open_candles
from ...market.streams import AVERAGE_VOLUME, bar_numbers, stream_memories
from ..bar_world_model import BarWorldModel
from ..bars.config import MarketConfig
from ..bars.dreaming import encode_record
from ..bars.networks import BarRNN, BarVAE
from ..bars.packed import BarNetwork
from ..config import PaperConfig
from ..devices import choose_device
from ..encoded import encode_range, scaled_tensor
from ..feature_range import FeatureRange, feature_range, with_context
from ..mdn_rnn import MDNRNN
from ..paper_world_model import PaperWorldModel
from ..presets import AnyConfig
from ..provenance import BarBank, Provenance, WarmupBank, library_versions
from ..vae import LATENT_LIMIT, VAE, silence_idle_dimensions
from ..world_model import WorldModel
from .bar_calibration import calibrated
from .bars import BarRange, bar_range, train_bar_networks
from .calibration import calibrate_dreams
from .callbacks import Callbacks, TrainingCallback, TrainingHistory
from .collapse import mdn_rnn_warnings, vae_warnings
from .loops import Session, train_mdn_rnn, train_vae

if TYPE_CHECKING:
    from ...market.sources import CandleSource


def train_world_model(
    train: CandleSource,
    validation: CandleSource,
    config: AnyConfig | None = None,
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
    config = config or MarketConfig.for_interval(train.interval)
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
    spec = config.features
    scaler = Scaler.fit(ranges[0].features, spec.names, spec.may_rest)
    provenance = _provenance(train, validation, seed, source)
    if isinstance(config, MarketConfig):
        contexts = [train, with_context(validation, train, ranges[1])]
        members = []
        for own in session.members(config.members):
            networks = train_bars(contexts, ranges, scaler, own)
            shown = scaler.without(config.withheld_columns)
            member = BarWorldModel(config, provenance, shown, *networks)
            members.append(calibrated(member, train, own))
        members[0].others = tuple(members[1:])
        return members[0], history
    parts = _train_paper(ranges, scaler, train, session)
    return PaperWorldModel(config, provenance, scaler, *parts), history


def _train_paper(
    ranges: Sequence[FeatureRange], scaler: Scaler, train: Candles, session: Session
) -> tuple[VAE, MDNRNN, WarmupBank]:
    """V, M with its dreams calibrated, and the bank of a world model of the ``paper`` preset."""
    scaled = [scaled_tensor(scaler.transform(each.features)) for each in ranges]
    rows = [values[each.complete_rows] for values, each in zip(scaled, ranges, strict=True)]
    vae = train_vae(rows[0], rows[1], session)
    idle = silence_idle_dimensions(vae, rows[0])
    _warn(session, [f"latent dimension {d} says more noise than signal: held at 0" for d in idle])
    encoded = [encode_range(vae, values, each) for values, each in zip(scaled, ranges, strict=True)]
    _warn(session, vae_warnings(encoded[0]))
    config = session.config
    mdn_rnn = train_mdn_rnn(encoded[0], encoded[1], session)
    _warn(session, mdn_rnn_warnings(mdn_rnn, encoded[0]))
    latents, complete = encoded[0].posterior.mean.numpy(), ranges[0].complete_rows
    bank = _warmup_bank(latents, ranges[0], train, config)
    rounds = min(config.calibration_rounds, config.mdn_rnn_epochs)
    known, returns = latents[complete], scaled[0][complete, 0].numpy()
    seed = session.stage_seed(3)
    calibrate_dreams(vae, mdn_rnn, bank, known, returns, train.interval_ms, rounds, seed)
    return vae, mdn_rnn, bank


def training_ranges(
    train: Candles, validation: Candles, config: AnyConfig
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
            f"({type(config).__name__}.for_interval({train.interval!r}) has "
            f"{type(config).for_interval(train.interval).features.warmup} bars) and chunk_bars"
        )
    if len(validation_range.complete_rows) < 2:
        raise TrainingError(
            f"the validation range has {len(validation_range.complete_rows)} bars with complete "
            "features; expected at least 2: give a longer range"
        )
    return train_range, validation_range


def _identity(train: Candles, validation: Candles, config: AnyConfig, seed: int) -> str:
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


def train_bars(
    candles: Sequence[Candles],
    ranges: Sequence[FeatureRange],
    scaler: Scaler,
    session: Session,
    *,
    random_encoder: bool = False,
) -> tuple[BarVAE, BarRNN, BarBank]:
    """V, M and the bank of a world model of bars.

    Args:
        candles: Training and validation range, the latter with its context.
        ranges: Their features.
        scaler: Of the features.
        session: The training's.
        random_encoder: Whether V keeps random weights, as a control.
    """
    config = session.config
    assert isinstance(config, MarketConfig)
    scale, withheld = float(np.nanstd(bar_numbers(candles[0])[:, 0])), config.withheld_columns
    bars = [
        bar_range(some, source, scaler, scale, withheld)
        for some, source in zip(candles, ranges, strict=True)
    ]
    vae, mdn_rnn = train_bar_networks(bars[0], bars[1], scale, session, random_encoder)
    bank = _bar_bank(vae, mdn_rnn, scaler.without(withheld), bars[0], candles[0], config)
    return vae, mdn_rnn, bank


def _bar_bank(
    vae: BarVAE,
    mdn_rnn: BarRNN,
    scaler: Scaler,
    bars: BarRange,
    candles: Candles,
    config: MarketConfig,
) -> BarBank:
    network, features = BarNetwork.of(vae, mdn_rnn, scaler, config), bars.features.numpy()
    z = np.empty((len(features), config.latent_size), dtype=np.float32)
    encode_record(network.parameters, network.sizes, features, z)
    last, rows = _bank_rows(bars.source, config)
    memory = stream_memories(candles, config.features, last)
    return BarBank(
        z=z[rows],
        open_time_ms=candles.open_time_ms[last],
        close=candles.close[last],
        volume_level=memory[:, AVERAGE_VOLUME],
        memory=memory,
        features=bars.source.features[last],
        bars=bar_numbers(candles)[rows].astype(np.float32),
    )


def _bank_rows(source: FeatureRange, config: AnyConfig) -> tuple[IntArray, IntArray]:
    """Last rows of segments spread evenly over the training range [S], and all of theirs [S, W]."""
    width = config.warmup_bars
    ends = [np.arange(start + width - 1, stop) for start, stop in source.runs]
    possible = np.concatenate(ends)
    count = min(config.bank_segments, len(possible))
    last = possible[spread(count, len(possible))]
    return last, last[:, None] + np.arange(-width + 1, 1)


def _warmup_bank(
    z: Float32Array, source: FeatureRange, candles: Candles, config: PaperConfig
) -> WarmupBank:
    """Segments spread evenly over the training range."""
    last, rows = _bank_rows(source, config)
    return WarmupBank(
        z=np.clip(z[rows], -LATENT_LIMIT, LATENT_LIMIT),
        open_time_ms=candles.open_time_ms[last],
        close=candles.close[last],
        volume_level=volume_level(candles, config.features, last),
    )
