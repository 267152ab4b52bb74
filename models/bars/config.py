"""Settings of a world model whose dreams are streams of bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from ...market.errors import CandleError, ConfigError
from ...market.groups import DREAMED, read_groups
from ...market.records import MANY, Bounds, Record
from ...market.streams import StreamSpec

_COUNTS = (
    "latent_size",
    "forecast_size",
    "vae_hidden_size",
    "calendar_size",
    "trunk_size",
    "hidden_size",
    "num_components",
    "head_size",
    "vae_epochs",
    "forecast_epochs",
    "mdn_rnn_epochs",
    "head_epochs",
    "batch_size",
    "mdn_rnn_batch_size",
    "chunk_bars",
    "epoch_bars",
    "warmup_bars",
    "bank_segments",
    "members",
)
_FROM_ZERO = (
    "teachers",
    "burn_in_bars",
    "weight_decay",
    "mdn_rnn_weight_decay",
    "outlook_weight",
    "mean_weight",
    "feature_noise",
    "kl_weight",
    "calibration_rounds",
)
_POSITIVE = ("learning_rate", "mdn_rnn_learning_rate", "gradient_clip")
_BELOW_ONE = ("feature_dropout", "dropout", "teacher_weight")


CALENDAR = "calendar"
"""Name of M's calendar among what can be withheld."""


@dataclass(frozen=True)
class MarketConfig(Record):
    """Everything that decides a world model of the ``market`` preset besides candles and seed.

    Attributes:
        features: What V sees: a `StreamSpec`, or names of groups beside the candles' own.
        withheld: Features that neither V nor the heads are shown, by name, and ``"calendar"`` for M's
            calendar: for finding out what they are worth.
        latent_size: Z.
        forecast_size: The first of z's numbers: trained for what comes next, and M's input; the
            others are a VAE's, for what those leave of the features.
        vae_hidden_size: Units of V's hidden layers.
        calendar_size: Numbers that tell M of the next bar's place in day and week.
        trunk_size: Units of the layer that the return is drawn from.
        hidden_size: H, units of the LSTM.
        num_components: K.
        head_size: Hidden units of the heads of wicks and volume.
        forecast_epochs: Of z's first numbers with the return's head, without memory.
        vae_epochs: Of z's other numbers.
        mdn_rnn_epochs: Of M's memory.
        head_epochs: Of the heads of wicks and volume.
        teachers: How many networks first learn to forecast the next return, from whose draws z's first
            numbers and the return's head learn then; 0 is none.
        teacher_weight: Of the loss of what they draw, the rest that of what came.
        batch_size: Bars a step.
        mdn_rnn_batch_size: Chunks a step.
        learning_rate: AdamW's at its highest.
        mdn_rnn_learning_rate: The same for the memory.
        weight_decay: AdamW's.
        mdn_rnn_weight_decay: The same for the memory.
        chunk_bars: Bars of a training chunk, burn-in included.
        epoch_bars: Bars that an epoch learns from, at most; of a longer record each epoch draws as many.
        burn_in_bars: First bars of a chunk, which warm the LSTM and are not scored.
        outlook_weight: Of the auxiliary loss: the range of the next bar, the volatility of the next
            6 and 24, the next volume.
        mean_weight: Of the squared ratio of overall mean to deviation, which holds the mean back.
        temper_mean: Whether the varying mean is trusted no more than the validation range paid.
        feature_dropout: Share of V's hidden units that are hidden in training.
        feature_noise: Deviation of what is added to standardised features in training.
        dropout: Share of h that is hidden in training.
        kl_weight: β of the VAE.
        gradient_clip: Largest norm of a gradient.
        calibration_rounds: Free dreams after which scales are corrected; 0 is off.
        warmup_bars: Bars that warm the LSTM before its state counts.
        bank_segments: Warm-up segments kept for dreams.
        members: k: how many V and M are trained, each from a seed of its own. Forecasts pool them, a
            dream draws one, and z and h are those of the first.
        resample_months: Whether members after the first learn from months drawn with replacement.
    """

    features: StreamSpec = field(default_factory=StreamSpec)
    withheld: tuple[str, ...] = ()
    latent_size: int = 16
    forecast_size: int = 10
    vae_hidden_size: int = 64
    calendar_size: int = 8
    trunk_size: int = 64
    hidden_size: int = 32
    num_components: int = 5
    head_size: int = 32
    forecast_epochs: int = 30
    vae_epochs: int = 10
    mdn_rnn_epochs: int = 16
    head_epochs: int = 24
    teachers: int = 3
    teacher_weight: float = 0.7
    batch_size: int = 256
    mdn_rnn_batch_size: int = 16
    learning_rate: float = 2e-3
    mdn_rnn_learning_rate: float = 2e-3
    weight_decay: float = 0.2
    mdn_rnn_weight_decay: float = 1.0
    chunk_bars: int = 192
    epoch_bars: int = 65_536
    burn_in_bars: int = 48
    outlook_weight: float = 0.5
    mean_weight: float = 0.1
    temper_mean: bool = True
    feature_dropout: float = 0.3
    feature_noise: float = 0.02
    dropout: float = 0.5
    kl_weight: float = 0.5
    gradient_clip: float = 1.0
    calibration_rounds: int = 6
    warmup_bars: int = 96
    bank_segments: int = 256
    members: int = 1
    resample_months: bool = False

    preset: ClassVar[Literal["market"]] = "market"
    _bounds = {  # noqa: RUF012
        **dict.fromkeys(_COUNTS, (1, MANY)),
        **dict.fromkeys(_FROM_ZERO, (0, MANY)),
        **dict.fromkeys(_POSITIVE, Bounds(0, MANY, above=True)),
        **dict.fromkeys(_BELOW_ONE, Bounds(0, 1, below=True)),
        "chunk_bars": (2, MANY),
    }

    @property
    def dreamed(self) -> tuple[int, ...]:
        """Which of the features' columns M draws, J of them: not those that it cannot see."""
        columns = self.features.columns
        return tuple(
            i
            for i, column in enumerate(columns)
            if column.dream == DREAMED and column.feature not in self.withheld
        )

    @property
    def withheld_columns(self) -> list[int]:
        """Columns of `features` that are withheld."""
        return [self.features.names.index(name) for name in self.withheld if name != CALENDAR]

    @classmethod
    def for_interval(cls, interval: str, **settings: Any) -> Self:
        """The default settings for bars of an interval, some of them given."""
        short = _WEEKLY if interval == "W" else {}
        given: Any = settings.pop("features", ())
        features = given
        if isinstance(given, str | list | tuple):
            features = StreamSpec(interval, read_groups(given))
        return cls(**{"features": features, **short, **settings})

    def __post_init__(self) -> None:
        super().__post_init__()
        given: Any = self.features
        if isinstance(given, list | tuple):
            object.__setattr__(self, "features", StreamSpec(more=tuple(given)))
        if not isinstance(self.features, StreamSpec):
            raise ConfigError(
                f"features is {self.features!r}; expected a StreamSpec, or names of groups"
            )
        object.__setattr__(self, "withheld", tuple(self.withheld))
        unknown = sorted(set(self.withheld) - {*self.features.names, CALENDAR})
        if unknown:
            raise ConfigError(
                f"withheld names {', '.join(unknown)}; expected some of "
                f"{', '.join(self.features.names)}, {CALENDAR}"
            )
        if self.forecast_size >= self.latent_size:
            raise ConfigError(
                f"forecast_size is {self.forecast_size}; expected less than latent_size, "
                f"{self.latent_size}"
            )
        if self.burn_in_bars >= self.chunk_bars:
            raise ConfigError(
                f"burn_in_bars is {self.burn_in_bars}; expected less than chunk_bars, "
                f"{self.chunk_bars}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can carry; `from_dict` restores an equal record."""
        plain = super().to_dict()
        if not self.features.more:  # as it was before there were groups
            del plain["features"]["more"]
        return {"preset": self.preset, **plain}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Settings from plain values.

        Raises:
            ConfigError: A field is unknown or impossible.
        """
        given = {name: value for name, value in values.items() if name != "preset"}
        if isinstance(given.get("features"), Mapping):
            try:
                given["features"] = StreamSpec(**given["features"])
            except (TypeError, CandleError) as error:
                raise ConfigError(f"features is {given['features']!r}: {error}") from None
        return super().from_dict(given)


_WEEKLY = {"chunk_bars": 48, "burn_in_bars": 12, "warmup_bars": 24}
