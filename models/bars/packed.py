"""V and M of bars as arrays that compiled code reads, and the lanes that it moves."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from torch import nn

from ...market.arrays import Float32Array, FloatArray, IntArray
from ...market.features import Scaler
from ...market.numerics.panels import panels
from ...market.numerics.products import aligned
from ..forward import CompiledLSTM, array
from .config import MarketConfig
from .networks import _GAIN, LOWER_PARTS, BarRNN, BarVAE

UNIFORMS, NORMALS = 4, 4
"""Random numbers of a bar: which component, and where in it, of return, upper, lower and volume."""

# Sizes, in the order in which a network keeps them.
F, Z, KNOWN, C, H, T, K, G, V = range(9)
# Where a layer's weights begin, likewise.
TRUNK, RETURN, UPPER, UPPER_OUT, LOWER, LOWER_OUT, VOLUME, VOLUME_OUT = range(9, 17)
ENCODER, ENCODER_OUT, GATES, GATES_BIAS, CALENDAR = range(17, 22)
BARS = 22  # then the four numbers of a `Table`
COLUMNS = 26  # D; then how each goes on, and where the two layers of each begin
HELD, DREAMED, CLOCK = range(3)
"""How a column of the candles goes on in a dream; see `market.groups.Column`."""
_HOW = {"held": HELD, "dreamed": DREAMED, "clock": CLOCK}

SCALES = 12
"""Numbers about M's scale, at the beginning of a network's: see `BarNetwork`."""


class BarNetwork(NamedTuple):
    """V and M as compiled code reads them: few arrays, since each handed over takes time.

    Attributes:
        parameters: `panels` of all layers, one after the other, the bias of the gates, and what M is
            told of each cell of the calendar [72, C].
        sizes: F, Z, Z', C, H, T, K, G and V's hidden units; where each layer begins; the bars of a
            `Table`; how many columns of the candles there are, D, how each goes on, and where the two
            layers of each begin, 0 where it has none [27 + 3 D].
        numbers: Deviation of returns, and the shifts that calibration found: of log σ, of relative
            volume; the pull of volatility and where to; what is added to log σ of either wick
            and of volume; the share of the mean that is kept, and what it varies around; what is
            added to it; the tick, or 0 [12]. Then mean and reciprocal deviation of the features [2, F], the
            rates and units of a `Table`, and the scales of the dreamed columns [J].
    """

    parameters: Float32Array
    sizes: IntArray
    numbers: FloatArray

    @property
    def calendar(self) -> Float32Array:
        """What M is told of each cell [72, C]."""
        return self.parameters[self.sizes[CALENDAR] :].reshape(-1, self.sizes[C])

    @property
    def moments(self) -> FloatArray:
        """Mean and reciprocal deviation of the features [2, F]."""
        return self.numbers[SCALES:][: 2 * self.sizes[F]].reshape(2, -1)

    @classmethod
    def of(
        cls, vae: BarVAE, rnn: BarRNN, scaler: Scaler, config: MarketConfig, tick: float = 0.0
    ) -> Self:
        """Lay out the modules, as they are now, for a market whose prices lie on a grid or, at 0, not."""
        sizes = [
            len(config.features.names),
            config.latent_size,
            config.forecast_size,
            config.calendar_size,
            config.hidden_size,
            config.trunk_size,
            config.num_components,
            config.head_size,
            config.vae_hidden_size + config.vae_hidden_size // 2,
        ]
        layers, dreamed = _layers(vae, rnn), config.dreamed
        starts = np.cumsum([0, *(part.size for part in layers)])
        own, last = starts[: GATES_BIAS - TRUNK], starts[-3:-1]
        places = np.zeros((len(config.features.columns), 2), dtype=np.int64)
        if dreamed:
            places[list(dreamed)] = starts[len(own) : -3].reshape(len(dreamed), 2)
        how = [_HOW[column.dream] for column in config.features.columns]
        how = [kind if kind != DREAMED or i in dreamed else HELD for i, kind in enumerate(how)]
        parameters = aligned(int(starts[-1]))
        np.concatenate(layers, out=parameters)
        table, corrected = config.features.table, (rnn.calibration, rnn.noise_calibration)
        found = np.concatenate([array(part).astype(np.float64) for part in corrected])
        scales = [float(rnn.return_scale), *found, *array(rnn.mean_trust), rnn.drift, tick]
        moments = [*scaler.mean, *(1.0 / scaler.scale)]
        return cls(
            parameters,
            np.array(
                [*sizes, *own, *last, *table.bars, len(how), *how, *places.ravel()], dtype=np.int64
            ),
            np.array(
                [
                    *(*scales, *moments, *table.rates, *table.units.ravel()),
                    *(array(rnn.column_scale) if dreamed else ()),
                ]
            ),
        )


def _layers(vae: BarVAE, rnn: BarRNN) -> list[Float32Array]:
    """The panels, in the order of their places among the sizes; what enters a SiLU is halved."""
    half, memory = np.float32(0.5), CompiledLSTM.of(rnn)
    entering = np.concatenate([array(rnn.before.weight), array(rnn.now.weight)], axis=1).T
    layers = [
        (half * entering, half * array(rnn.now.bias)),
        _layer(rnn.return_head, _GAIN),
        _layer(rnn.upper_hidden, 0.5),
        _layer(rnn.upper_head, _GAIN),
        _layer(rnn.lower_hidden, 0.5),
        _layer(rnn.lower_head, _GAIN),
        _volume_hidden(rnn),
        _layer(rnn.volume_head, _GAIN),
        *_encoder(vae),
        (memory.gates, np.zeros_like(memory.bias)),  # the LSTM adds it, as it does for a record
    ]
    for hidden, head in zip(*_column_modules(rnn), strict=True):
        layers += [_layer(hidden, 0.5), _layer(head, _GAIN)]
    return [
        *(panels(kernel, bias) for kernel, bias in layers),
        memory.bias,
        array(rnn.calendar).ravel(),
    ]


def _column_modules(rnn: BarRNN) -> tuple[list[Any], list[Any]]:
    """The layers of the dreamed columns' heads, if there are any."""
    return list(getattr(rnn, "column_hidden", ())), list(getattr(rnn, "column_head", ()))


def _layer(linear: nn.Linear, factor: float) -> tuple[Float32Array, Float32Array]:
    return np.float32(factor) * array(linear.weight).T, np.float32(factor) * array(linear.bias)


def _volume_hidden(rnn: BarRNN) -> tuple[Float32Array, Float32Array]:
    """The first layer of the head of volume, its inputs in a lane's order: see `seen_width`."""
    kernel, bias = _layer(rnn.volume_hidden, 0.5)
    before = len(kernel) - LOWER_PARTS - rnn.now.out_features
    return np.concatenate([kernel[before:], kernel[:before]]), bias


def _encoder(vae: BarVAE) -> list[tuple[Float32Array, Float32Array]]:
    """Both of V's encoders as one: hidden units side by side, means alone."""
    known, hidden = _layer(vae.forecast_hidden, 0.5), _layer(vae.encoder_hidden, 0.5)
    first = [np.concatenate(pair, axis=-1) for pair in zip(known, hidden, strict=True)]
    out, learned = _layer(vae.forecast_out, 1.0), _layer(vae.encoder_out, 1.0)
    rest = vae.latent_size - vae.forecast_size
    kernel = np.zeros((len(out[0]) + len(learned[0]), vae.latent_size), dtype=np.float32)
    kernel[: len(out[0]), : vae.forecast_size] = out[0]
    kernel[len(out[0]) :, vae.forecast_size :] = learned[0][:, :rest]
    return [(first[0], first[1]), (kernel, np.concatenate([out[1], learned[1][:rest]]))]


class BarLanes(NamedTuple):
    """Where N lanes are; all moved in place.

    Attributes:
        z: Latents [N, Z].
        h: M's hidden state [N, H], after z entered.
        c: Its cell [N, H].
        features: Of the newest bar, standardised and clipped [N, F], float32.
        raw: The same in their own units [N, F], float64.
        memory: What the features remember [N, S], float64.
        open_time_ms: Of the bars that just closed [N].
        drawn: The newest bars, columns `BAR_NUMBERS`, then the columns of the candles that are features,
            in their own units [N, 4 + D], float64.
        close: Of the newest bars [N], quote currency, where the tick is known.
    """

    z: Float32Array
    h: Float32Array
    c: Float32Array
    features: Float32Array
    raw: FloatArray
    memory: FloatArray
    open_time_ms: IntArray
    drawn: FloatArray
    close: FloatArray

    @classmethod
    def empty(cls, count: int, config: MarketConfig) -> Self:
        """N lanes of zeros."""
        size, hidden = len(config.features.names), config.hidden_size
        return cls(
            aligned(count, config.latent_size),
            aligned(count, hidden),
            aligned(count, hidden),
            aligned(count, size),
            np.zeros((count, size)),
            np.zeros((count, config.features.memory_size)),
            np.zeros(count, dtype=np.int64),
            np.zeros((count, 4 + len(config.features.columns))),
            np.zeros(count),
        )
