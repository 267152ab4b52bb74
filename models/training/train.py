"""Training of a world model: V, then M on what V makes of the bars, then what is done to M."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ...market.arrays import Float32Array
from ...market.candles import Candles
from ...market.errors import TrainingError
from ...market.features import Features, Scaler, candles_for, volume_level
from ...market.settings import seed_number
from ..bars.config import MarketConfig
from ..config import PaperConfig
from ..devices import choose_device
from ..encoded import encode_range, scaled_tensor
from ..feature_range import FeatureRange
from ..joint_world_model import JointWorldModel
from ..mdn_rnn import MDNRNN
from ..paper_world_model import PaperWorldModel
from ..presets import AnyConfig
from ..provenance import WarmupBank
from ..vae import LATENT_LIMIT, VAE, silence_idle_dimensions
from ..world_model import WorldModel
from .bar_calibration import calibrated
from .bar_ground import BarGround, bank_rows, provenance_of, training_ranges
from .bars import train_bar_networks
from .calibration import calibrate_dreams
from .callbacks import Callbacks, TrainingCallback, TrainingHistory
from .collapse import mdn_rnn_warnings, vae_warnings
from .joint import Split, train_joint
from .loops import Session, train_mdn_rnn, train_vae

if TYPE_CHECKING:
    from ...market.sources import CandleSource


@overload
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
) -> tuple[WorldModel, TrainingHistory]: ...


@overload
def train_world_model(
    train: Sequence[Candles],
    validation: Sequence[Candles],
    config: MarketConfig | None = None,
    *,
    seed: int = 0,
    source: str = "",
    callbacks: Sequence[TrainingCallback] = (),
    checkpoint_dir: str | Path | None = None,
    resume: bool = False,
    device: str = "cpu",
) -> tuple[JointWorldModel, TrainingHistory]: ...


def train_world_model(
    train: CandleSource | Sequence[Candles],
    validation: CandleSource | Sequence[Candles],
    config: AnyConfig | None = None,
    *,
    seed: int = 0,
    source: str = "",
    callbacks: Sequence[TrainingCallback] = (),
    checkpoint_dir: str | Path | None = None,
    resume: bool = False,
    device: str = "cpu",
) -> tuple[WorldModel | JointWorldModel, TrainingHistory]:
    """Train V, then M; choose the epochs on the validation candles.

    Args:
        train: Training candles: anything `open_candles` opens; or a list of `Candles`, one for each
            symbol of a joint world model.
        validation: Candles after them, as many. The end of the training range serves as their
            context.
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
        ConfigError: A joint world model is asked of the ``paper`` preset.
        TrainingError: The candles are too few, the loss is not finite, the checkpoints belong
            to another training, or symbols cannot be learned together (`refuse_leaks`).
        FeatureError: A feature never changes (constant prices, no volume).
    """
    several = _several(train), _several(validation)
    splits = _splits(train, validation, several, None if config is None else config.features)
    config = config or MarketConfig.for_interval(splits[0][0].interval)
    seed = seed_number(seed)
    history = TrainingHistory()
    session = Session(
        config=config,
        seed=seed,
        callbacks=Callbacks(history, callbacks),
        device=choose_device(device),
        checkpoint_dir=None if checkpoint_dir is None else Path(checkpoint_dir),
        identity=_identity(splits, config, seed),
        resume=resume,
    )
    if several[0] is not None:
        return train_joint(splits, session, source), history
    return _train_one(*splits[0], session, source), history


def _several(source: object) -> list[Candles] | None:
    """The candles of several symbols, where it is a list of them; a list of rows is one's."""
    if not isinstance(source, list | tuple) or not source:
        return None
    found = [one for one in source if isinstance(one, Candles)]
    return found if len(found) == len(source) else None


def _splits(
    train: Any,
    validation: Any,
    several: tuple[list[Candles] | None, list[Candles] | None],
    spec: Features | None,
) -> list[Split]:
    """Training and validation candles of each symbol."""
    trains, validations = several
    if trains is None and validations is None:
        return [(candles_for(spec, train), candles_for(spec, validation))]
    if trains is None or validations is None or len(trains) != len(validations):
        raise TrainingError(
            "of several symbols, training and validation candles are lists of Candles, one of each "
            "for every symbol, in one order"
        )
    return list(zip(trains, validations, strict=True))


def _train_one(train: Candles, validation: Candles, session: Session, source: str) -> WorldModel:
    config = session.config
    ranges = training_ranges(train, validation, config)
    provenance = provenance_of(train, validation, session.seed, source, spec=config.features)
    if isinstance(config, MarketConfig):
        ground = BarGround.of(ranges, config)
        members = []
        for own in session.members(config.members):
            networks = train_bar_networks(*ground.bars, own)
            member = ground.world_model(*networks, provenance, config, own)
            members.append(calibrated(member, train, own))
        members[0].others = tuple(members[1:])
        return members[0]
    spec = config.features
    scaler = Scaler.fit(ranges[0].features, spec.names, spec.may_rest)
    parts = _train_paper(ranges, scaler, train, session)
    return PaperWorldModel(config, provenance, scaler, *parts)


def _train_paper(
    ranges: Sequence[FeatureRange], scaler: Scaler, train: Candles, session: Session
) -> tuple[VAE, MDNRNN, WarmupBank]:
    """V, M with its dreams calibrated, and the bank of a world model of the ``paper`` preset."""
    scaled = [scaled_tensor(scaler.transform(each.features)) for each in ranges]
    rows = [
        values[each.complete.complete_rows] for values, each in zip(scaled, ranges, strict=True)
    ]
    vae = train_vae(rows[0], rows[1], session)
    idle = silence_idle_dimensions(vae, rows[0])
    _warn(session, [f"latent dimension {d} says more noise than signal: held at 0" for d in idle])
    encoded = [encode_range(vae, values, each) for values, each in zip(scaled, ranges, strict=True)]
    _warn(session, vae_warnings(encoded[0]))
    config = session.config
    mdn_rnn = train_mdn_rnn(encoded[0], encoded[1], session)
    _warn(session, mdn_rnn_warnings(mdn_rnn, encoded[0]))
    latents, complete = encoded[0].posterior.mean.numpy(), ranges[0].complete.complete_rows
    bank = _warmup_bank(latents, ranges[0], train, config)
    rounds = min(config.calibration_rounds, config.mdn_rnn_epochs)
    known, returns = latents[complete], scaled[0][complete, 0].numpy()
    seed = session.stage_seed(3)
    calibrate_dreams(vae, mdn_rnn, bank, known, returns, train.interval_ms, rounds, seed)
    return vae, mdn_rnn, bank


def _identity(splits: Sequence[Split], config: AnyConfig, seed: int) -> str:
    hashes = [part.data_hash() for split in splits for part in split]
    parts = [*hashes, config.to_dict(), seed]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _warn(session: Session, warnings: list[str]) -> None:
    for text in warnings:
        session.callbacks.on_warning(text)


def _warmup_bank(
    z: Float32Array, source: FeatureRange, candles: Candles, config: PaperConfig
) -> WarmupBank:
    """Segments spread evenly over the training range."""
    last, rows = bank_rows(source.complete, config)
    return WarmupBank(
        z=np.clip(z[rows], -LATENT_LIMIT, LATENT_LIMIT),
        open_time_ms=candles.open_time_ms[last],
        close=candles.close[last],
        volume_level=volume_level(candles, config.features, last),
    )
