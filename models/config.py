"""Settings of the ``paper`` preset's world model: frozen, checked, the same as a dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, Self

from ..market.errors import ConfigError, FeatureError
from ..market.features import FeatureSpec
from ..market.records import MANY, Bounds, Record

_COUNTS = (
    "vae_hidden_size",
    "vae_epochs",
    "vae_batch_size",
    "hidden_size",
    "num_components",
    "mdn_rnn_epochs",
    "mdn_rnn_batch_size",
    "patience_epochs",
    "epoch_bars",
    "warmup_bars",
    "bank_segments",
)
_FROM_ZERO = (
    "kl_weight",
    "kl_warmup_epochs",
    "free_bits",
    "burn_in_bars",
    "weight_decay",
    "calibration_rounds",
)
_WEEKLY = {"chunk_bars": 48, "burn_in_bars": 12, "warmup_bars": 24}
_POSITIVE = ("vae_learning_rate", "mdn_rnn_learning_rate", "gradient_clip")
_BELOW_ONE = ("ema_decay", "vae_ema_decay", "dropout")


@dataclass(frozen=True)
class PaperConfig(Record):
    """Everything that decides a world model of the ``paper`` preset besides candles and seed.

    M is that of Ha & Schmidhuber 2018: the LSTM sees [z, a], dimensions of the next z are independent
    inside a component, and the return is decoded from it.

    Attributes:
        features: What V sees.
        latent_size: Z.
        vae_hidden_size: Units of V's hidden layers.
        vae_epochs: V's longest training.
        vae_batch_size: Bars a step.
        vae_learning_rate: Adam's, for V, at its highest.
        kl_weight: Weight β of the Kullback–Leibler term once warmed up.
        kl_warmup_epochs: Epochs over which β rises from 0.
        free_bits: Nats a latent dimension may spend unpunished.
        hidden_size: H, units of the LSTM.
        num_components: K.
        mdn_rnn_epochs: M's longest training.
        mdn_rnn_batch_size: Chunks a step.
        mdn_rnn_learning_rate: AdamW's, for M, at its highest.
        chunk_bars: Bars of a training chunk, burn-in included.
        epoch_bars: Bars that an epoch learns from, at most; of a longer record each epoch draws as many.
        burn_in_bars: First bars of a chunk, which warm the LSTM and are not scored.
        weight_decay: AdamW's, for the weights of M's LSTM.
        dropout: Share of h hidden from the head in training.
        gradient_clip: Largest norm of M's gradient.
        vae_ema_decay: Decay a step of the averaged weights of V, which are those deployed.
        ema_decay: Decay a step of the averaged weights of M, which are those deployed; 0 is off.
        patience_epochs: Epochs without a better validation loss before training stops.
        calibration_rounds: Rounds in which dreams are held to the training range's moments, at most
            one an epoch of M, so that a short trial is short; 0 is off.
        warmup_bars: Bars that warm the LSTM before its state counts, in replay and in dreams.
        bank_segments: Warm-up segments kept for dreams.
    """

    features: FeatureSpec = field(default_factory=FeatureSpec)
    latent_size: int = 8
    vae_hidden_size: int = 64
    vae_epochs: int = 40
    vae_batch_size: int = 256
    vae_learning_rate: float = 2e-3
    kl_weight: float = 0.5
    kl_warmup_epochs: int = 8
    free_bits: float = 0.02
    hidden_size: int = 64
    num_components: int = 5
    mdn_rnn_epochs: int = 60
    mdn_rnn_batch_size: int = 16
    mdn_rnn_learning_rate: float = 8e-3
    chunk_bars: int = 192
    epoch_bars: int = 65_536
    burn_in_bars: int = 48
    weight_decay: float = 0.1
    dropout: float = 0.5
    gradient_clip: float = 1.0
    vae_ema_decay: float = 0.98
    ema_decay: float = 0.995
    patience_epochs: int = 20
    calibration_rounds: int = 20
    warmup_bars: int = 96
    bank_segments: int = 256

    preset: ClassVar[Literal["paper"]] = "paper"
    _bounds = {  # noqa: RUF012
        **dict.fromkeys(_COUNTS, (1, MANY)),
        **dict.fromkeys(_FROM_ZERO, (0, MANY)),
        **dict.fromkeys(_POSITIVE, Bounds(0, MANY, above=True)),
        **dict.fromkeys(_BELOW_ONE, Bounds(0, 1, below=True)),
        "latent_size": (2, MANY),
        "chunk_bars": (2, MANY),
    }

    @classmethod
    def for_interval(cls, interval: str, **settings: Any) -> Self:
        """The default settings for bars of an interval, some of them given.

        Look-backs follow the interval (`FeatureSpec.for_interval`); of weeks, which are few,
        training chunks and warm-ups are short too.
        """
        short = _WEEKLY if interval == "W" else {}
        features = FeatureSpec.for_interval(interval)
        return cls(**{"features": features, **short, **settings})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.features, FeatureSpec):
            raise ConfigError(
                f"features is {self.features!r}; expected a FeatureSpec: the preset paper keeps its four "
                "features of a bar and their look-backs; groups of more are of the preset market"
            )
        if self.burn_in_bars >= self.chunk_bars:
            raise ConfigError(
                f"burn_in_bars is {self.burn_in_bars}; expected less than chunk_bars, {self.chunk_bars}"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Settings from plain values.

        Raises:
            ConfigError: A field is unknown or impossible.
        """
        given = {name: value for name, value in values.items() if name != "preset"}
        if "features" in given:
            given["features"] = _feature_spec(given["features"])
        return super().from_dict(given)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can carry; `from_dict` restores an equal record."""
        return {"preset": self.preset, **super().to_dict()}


def _feature_spec(value: object) -> FeatureSpec:
    if isinstance(value, FeatureSpec):
        return value
    known = {f.name for f in fields(FeatureSpec)}
    if not isinstance(value, Mapping) or not set(value) <= known:
        raise ConfigError(f"features is {value!r}; expected the fields {', '.join(sorted(known))}")
    try:
        return FeatureSpec(**value)
    except FeatureError as error:
        raise ConfigError(str(error)) from None
