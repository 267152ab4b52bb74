"""A network without memory: the control for what a recurrent network's memory is worth.

A multilayer perceptron from the context of a bar to a Gaussian mixture of the next return, with the
head, the loss and the training that a mixture density network of the world model has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from ...market.arrays import BoolArray, Float32Array, FloatArray
from ...market.candles import Candles
from ...market.errors import ConfigError
from ...market.records import AT_LEAST_ONE, FROM_ZERO, Record
from ...models.forecast import ReturnForecast
from .bars import follows
from .context import Context, bar_context
from .garch import percent_returns
from .student_t import Rows, as_slice

_LEAST_ROWS = 200
_CLIP = 6.0  # deviations: inputs beyond were never seen
_LEAST_SPREAD = 1e-3  # deviations of the return: a density is never a spike
_MEAN_SCALE = 0.1
_LEAST_HEIGHT = 1e-4  # fraction; added to ranges before their logarithm


@dataclass(frozen=True)
class MemorylessConfig(Record):
    """How the network is built and trained.

    Attributes:
        hidden: Units of each of two hidden layers.
        components: K.
        dropout: Share of hidden units that a step leaves out.
        learning_rate: Of AdamW at the start; it falls to 0 as a cosine.
        weight_decay: Of AdamW.
        epochs: Passes over the training rows.
        batch_size: Rows in a step.
        auxiliary_weight: Of the loss on the next bar's log range.
        seed: Of the first weights, the order of rows and the dropout.
    """

    hidden: int = 64
    components: int = 5
    dropout: float = 0.35
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    epochs: int = 40
    batch_size: int = 512
    auxiliary_weight: float = 0.3
    seed: int = 0

    _bounds = {  # noqa: RUF012
        **dict.fromkeys(("hidden", "components", "epochs", "batch_size"), AT_LEAST_ONE),
        **dict.fromkeys(("weight_decay", "auxiliary_weight", "seed"), FROM_ZERO),
        "dropout": (0.0, 0.95),
        "learning_rate": (1e-6, 1.0),
    }


class MemorylessNetwork:
    """A trained network.

    Args:
        network: From standardised inputs to the mixture's numbers and two of the range.
        components: K.
        centre: Means of the context [F].
        width: Deviations of the context [F].
        unit: Deviation of training returns, percent.
    """

    def __init__(
        self,
        network: nn.Module,
        components: int,
        centre: FloatArray,
        width: FloatArray,
        unit: float,
    ) -> None:
        self._network, self._components = network, components
        self._centre, self._width, self._unit = centre, width, unit

    @classmethod
    def fit(
        cls,
        context: Float32Array,
        calendar: Float32Array,
        returns: FloatArray,
        heights: FloatArray,
        config: MemorylessConfig | None = None,
    ) -> Self:
        """Train on rows of what was known and what came.

        Args:
            context: Inputs [N, F]; rows with a NaN do not count.
            calendar: Indicators of the next bar [N, C].
            returns: The next bar's log return [N], percent; NaN where unknown.
            heights: The next bar's log(high ÷ low) [N], fraction.
            config: How.

        Raises:
            ConfigError: Fewer than 200 rows are complete, or their returns do not vary.
        """
        config = config or MemorylessConfig()
        known: BoolArray = np.asarray(np.isfinite(context).all(axis=1) & np.isfinite(returns))
        spread = float(returns[known].std()) if known.any() else 0.0
        if known.sum() < _LEAST_ROWS or spread <= 0.0:
            raise ConfigError(
                f"{int(known.sum())} bars with complete inputs"
                f"{'' if known.sum() < _LEAST_ROWS else ' that never move'}; a network needs "
                f"{_LEAST_ROWS} that vary"
            )
        rows = context[known].astype(np.float64)
        centre, width = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-6)
        size = np.log(heights[known] + _LEAST_HEIGHT)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = _network(context.shape[1] + calendar.shape[1], config)
            made = cls(network, config.components, centre, width, spread)
            inputs = made._inputs(context[known], calendar[known])
            targets = np.stack([returns[known] / spread, (size - size.mean()) / size.std()], axis=1)
            _train(network, inputs, torch.from_numpy(targets).float(), config)
        network.eval()
        return made

    @torch.no_grad()
    def mixture(
        self, context: Float32Array, calendar: Float32Array
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weights, means and deviations [N, K] of the next return in percent; NaN as the context."""
        numbers = self._network(self._inputs(np.nan_to_num(context), calendar))
        logits, means, log_sigmas = _mixture(numbers, self._components)
        unknown = np.isnan(context).any(axis=1)
        parts = (logits.softmax(dim=1), self._unit * means, self._unit * log_sigmas.exp())
        weights, mu, sigma = (part.numpy().astype(np.float64) for part in parts)
        weights /= weights.sum(axis=1, keepdims=True)
        for part in (weights, mu, sigma):
            part[unknown] = np.nan
        return weights, mu, sigma

    def _inputs(self, context: Float32Array, calendar: Float32Array) -> Tensor:
        scaled = np.clip((context - self._centre) / self._width, -_CLIP, _CLIP)
        return torch.from_numpy(np.concatenate([scaled, calendar], axis=1).astype(np.float32))


@dataclass(frozen=True, eq=False)
class Memoryless:
    """The network on candles.

    Attributes:
        network: Trained on the training rows.
        context: Where its inputs come from.
    """

    network: MemorylessNetwork
    context: Context

    @classmethod
    def fit(
        cls,
        candles: Candles,
        train_rows: Rows,
        config: MemorylessConfig | None = None,
        context: Context = bar_context,
    ) -> Self:
        """Train on forecasts of the training rows' bars.

        Raises:
            ConfigError: Fewer than 200 rows are complete, or their returns do not vary.
        """
        inputs, calendar = context(candles)
        start, stop, _ = as_slice(train_rows).indices(len(candles))
        before, after = slice(max(start - 1, 0), stop - 1), slice(max(start, 1), stop)
        returns = np.where(follows(candles), percent_returns(candles), np.nan)
        heights = np.log(candles.high / candles.low)
        network = MemorylessNetwork.fit(
            inputs[before], calendar[before], returns[after], heights[after], config
        )
        return cls(network, context)

    def forecast(self, candles: Candles) -> ReturnForecast:
        """Mixtures of every bar's return [T]; row t is made at the close of bar t − 1.

        The first bar, and one after a gap, have none.
        """
        weights, means, sigmas = self.network.mixture(*self.context(candles))
        weights[:-1][~follows(candles)[1:]] = np.nan
        return of_each_bar(ReturnForecast(weights, means, sigmas, candles.open_time_ms))


def of_each_bar(forecast: ReturnForecast) -> ReturnForecast:
    """Row t forecasts the return of bar t instead of the next one's; the first has no forecast."""

    def later(part: FloatArray) -> FloatArray:
        return np.concatenate([np.full((1, part.shape[1]), np.nan), part[:-1]])

    times = np.append(forecast.open_time_ms[:1], forecast.open_time_ms[:-1])
    return ReturnForecast(
        later(forecast.weights), later(forecast.means), later(forecast.sigmas), times
    )


def _network(inputs: int, config: MemorylessConfig) -> nn.Module:
    outputs = 3 * config.components + 2
    return nn.Sequential(
        nn.Linear(inputs, config.hidden),
        nn.SiLU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.hidden, config.hidden),
        nn.SiLU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.hidden, outputs),
    )


def _mixture(numbers: Tensor, components: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, means and log deviations [N, K], in deviations of the return; means are 0.1·µ·σ."""
    logits, means, log_sigmas = numbers[:, : 3 * components].chunk(3, dim=1)
    spread = torch.linspace(-1.5, 0.5, components)  # components begin apart
    log_sigmas = (log_sigmas + spread).clamp(float(np.log(_LEAST_SPREAD)), 4.0)
    return logits, _MEAN_SCALE * means * log_sigmas.exp(), log_sigmas


def _train(network: nn.Module, inputs: Tensor, targets: Tensor, config: MemorylessConfig) -> None:
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    steps = config.epochs * -(-len(inputs) // config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(config.epochs):
        for rows in torch.split(torch.randperm(len(inputs)), config.batch_size):
            loss = _loss(network(inputs[rows]), targets[rows], config)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()


def _loss(numbers: Tensor, targets: Tensor, config: MemorylessConfig) -> Tensor:
    """Of the return, and of the log range as one Gaussian."""
    logits, means, log_sigmas = _mixture(numbers, config.components)
    scaled = (targets[:, :1] - means) / log_sigmas.exp()
    density = torch.logsumexp(logits.log_softmax(dim=1) - 0.5 * scaled**2 - log_sigmas, dim=1)
    mean, log_sigma = numbers[:, -2], numbers[:, -1].clamp(-4.0, 4.0)
    height = 0.5 * ((targets[:, 1] - mean) / log_sigma.exp()) ** 2 + log_sigma
    return -density.mean() + config.auxiliary_weight * height.mean()
