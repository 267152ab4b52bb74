"""Settings of a world model: frozen, checked, and the same as a dictionary or JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from ..market.errors import ConfigError, FeatureError
from ..market.features import FeatureSpec
from ..market.settings import nearest, real_number, truth, whole_number

Preset = Literal["market", "paper"]
PRESETS: tuple[Preset, ...] = ("market", "paper")

_AT_LEAST: dict[str, float] = {
    "latent_size": 2,
    "vae_hidden_size": 1,
    "vae_epochs": 1,
    "vae_batch_size": 1,
    "kl_weight": 0.0,
    "kl_warmup_epochs": 0,
    "free_bits": 0.0,
    "hidden_size": 1,
    "num_components": 1,
    "head_size": 1,
    "mdn_rnn_epochs": 1,
    "mdn_rnn_batch_size": 1,
    "chunk_bars": 2,
    "burn_in_bars": 0,
    "latent_loss_weight": 0.0,
    "weight_decay": 0.0,
    "patience_epochs": 1,
    "calibration_rounds": 0,
    "warmup_bars": 1,
    "bank_segments": 1,
}
_BELOW_ONE = ("ema_decay", "vae_ema_decay", "dropout")
_WEEKLY = {"chunk_bars": 48, "burn_in_bars": 12, "warmup_bars": 24}
_POSITIVE = ("vae_learning_rate", "mdn_rnn_learning_rate", "gradient_clip")


@dataclass(frozen=True)
class WorldModelConfig:
    """Everything that decides a world model besides the candles and the seed.

    Attributes:
        preset: ``"market"``: a price taker's model, no action input, the return drawn first and
            the latent given it. ``"paper"``: the LSTM sees [z, a], dimensions are independent
            inside a component, the return is decoded from z (Ha & Schmidhuber 2018).
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
        head_size: Hidden units of the ``market`` head that draws z given the return.
        mdn_rnn_epochs: M's longest training.
        mdn_rnn_batch_size: Chunks a step.
        mdn_rnn_learning_rate: AdamW's, for M, at its highest.
        chunk_bars: Bars of a training chunk, burn-in included.
        burn_in_bars: First bars of a chunk, which warm the LSTM and are not scored.
        latent_loss_weight: Weight of z's likelihood beside the return's (``market``).
        weight_decay: AdamW's, for the weights of M's LSTM and of the head of returns.
        dropout: Share of h hidden from the head of returns in training (``paper``: of z's).
        gradient_clip: Largest norm of M's gradient.
        vae_ema_decay: Decay a step of the averaged weights of V, which are those deployed.
        ema_decay: Decay a step of the averaged weights of M, which are those deployed; 0 is off.
        patience_epochs: Epochs without a better validation loss before training stops.
        temper_mean: Whether the mean forecast is scaled to what the validation range paid for
            (``market``).
        calibration_rounds: Rounds in which dreams are held to the training range's moments
            (``market``), at most one an epoch of M, so that a short trial is short; 0 is off.
        warmup_bars: Bars that warm the LSTM before its state counts, in replay and in dreams.
        bank_segments: Warm-up segments kept for dreams.
    """

    preset: Preset = "market"
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
    head_size: int = 32
    mdn_rnn_epochs: int = 60
    mdn_rnn_batch_size: int = 16
    mdn_rnn_learning_rate: float = 8e-3
    chunk_bars: int = 192
    burn_in_bars: int = 48
    latent_loss_weight: float = 0.1
    weight_decay: float = 0.1
    dropout: float = 0.5
    gradient_clip: float = 1.0
    vae_ema_decay: float = 0.98
    ema_decay: float = 0.995
    patience_epochs: int = 20
    temper_mean: bool = True
    calibration_rounds: int = 20
    warmup_bars: int = 96
    bank_segments: int = 256

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
        self._check_choices()
        for name, least in _AT_LEAST.items():
            self._check_number(name, least)
        for name in (*_POSITIVE, *_BELOW_ONE):
            self._check_number(name, 0.0)
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected more than 0")
        for name in _BELOW_ONE:
            if getattr(self, name) >= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected less than 1")
        if self.burn_in_bars >= self.chunk_bars:
            raise ConfigError(
                f"burn_in_bars is {self.burn_in_bars}; expected less than chunk_bars, {self.chunk_bars}"
            )

    def _check_choices(self) -> None:
        if self.preset not in PRESETS:
            raise ConfigError(f"preset is {self.preset!r}; expected one of {', '.join(PRESETS)}")
        if not isinstance(self.features, FeatureSpec):
            raise ConfigError(f"features is {self.features!r}; expected a FeatureSpec")
        temper_mean = truth(self.temper_mean)
        if temper_mean is None:
            raise ConfigError(f"temper_mean is {self.temper_mean!r}; expected true or false")
        object.__setattr__(self, "temper_mean", temper_mean)

    def _check_number(self, name: str, least: float) -> None:
        value: Any = getattr(self, name)
        whole = isinstance(_DEFAULTS[name], int)
        number = whole_number(value) if whole else real_number(value)
        if number is None or not least <= number < 1e9:
            kind = "a whole number" if whole else "a number"
            raise ConfigError(f"{name} is {value!r}; expected {kind}, at least {least:g}")
        object.__setattr__(self, name, number)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values that JSON can hold."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values["features"] = {
            "horizons": list(self.features.horizons),
            "detrend_volume": self.features.detrend_volume,
        }
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Settings from plain values.

        Raises:
            ConfigError: A field is unknown or impossible.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"the configuration is {type(values).__name__}; expected an object")
        known = {f.name for f in dataclasses.fields(cls)}
        for name in values:
            if name not in known:
                near = nearest(name, known)
                hint = f"; did you mean {near}?" if near else ""
                raise ConfigError(f"unknown setting {name!r}{hint}")
        given = dict(values)
        if "features" in given:
            given["features"] = _feature_spec(given["features"])
        return cls(**given)


_DEFAULTS: dict[str, Any] = {
    f.name: f.default for f in dataclasses.fields(WorldModelConfig) if f.name != "features"
}


def _feature_spec(value: object) -> FeatureSpec:
    if isinstance(value, FeatureSpec):
        return value
    known = {f.name for f in dataclasses.fields(FeatureSpec)}
    if not isinstance(value, Mapping) or not set(value) <= known:
        raise ConfigError(f"features is {value!r}; expected the fields {', '.join(sorted(known))}")
    try:
        return FeatureSpec(**value)
    except FeatureError as error:
        raise ConfigError(str(error)) from None
