"""A network without memory: the control for what M's memory is worth.

It sees what M's return hears, the streamed features of a bar and the calendar of the next one, by a
path as wide as V's forecasting numbers and M's trunk, and forecasts the next return by a mixture of as
many Gaussians. What it lacks is the recurrent network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...market.arrays import BoolArray, FloatArray, IntArray, thinned
from ...market.candles import Candles
from ...market.clock import CALENDAR_CELLS, calendar_cells
from ...market.errors import ConfigError
from ...market.features import complete_bars, feature_chunks, features_of
from ...market.records import AT_LEAST_ONE, FROM_ZERO, Record
from ...market.streams import StreamSpec
from ...models.bars.config import MarketConfig
from ...models.forecast import ReturnForecast
from ...models.presets import AnyConfig
from .bars import follows
from .garch import percent_returns
from .student_t import Rows, as_slice

_LEAST_ROWS, _MOST_ROWS = 200, 500_000
_CLIP = 6.0  # deviations: inputs beyond were never seen
_LEAST_SPREAD = 1e-3  # deviations of the return: a density is never a spike
_MEAN_SCALE = 0.1
_RANGE_NUMBERS = 2  # mean and log deviation of the next log range
_LEAST_HEIGHT = 1e-4  # fraction; added to ranges before their logarithm


@dataclass(frozen=True)
class MemorylessConfig(Record):
    """How the network is built and trained. The widths are those of the ``market`` preset.

    Attributes:
        hidden: Units that read the features.
        code: Numbers that they tell of them, as V's forecasting ones.
        calendar: Numbers that tell of the next bar's place in day and week.
        trunk: Units that read both, before the mixture.
        components: K.
        members: Networks of seeds of their own, whose forecasts are pooled.
        dropout: Share of the first hidden units that a step leaves out.
        noise: Deviation of what is added to standardised features in training.
        learning_rate: Of AdamW at the start; it falls to 0 as a cosine.
        weight_decay: Of AdamW, on matrices.
        epochs: Passes over the training rows, or over as many of them as an epoch has.
        epoch_bars: Rows of an epoch, at most.
        batch_size: Rows in a step.
        auxiliary_weight: Of the loss on the next bar's log range.
        mean_weight: Of the squared ratio of overall mean to deviation, which holds the mean back.
        seed: Of the first weights, the order of rows and the dropout.
    """

    hidden: int = 64
    code: int = 10
    calendar: int = 8
    trunk: int = 64
    components: int = 5
    members: int = 1
    dropout: float = 0.3
    noise: float = 0.02
    learning_rate: float = 2e-3
    weight_decay: float = 0.2
    epochs: int = 30
    epoch_bars: int = 65_536
    batch_size: int = 256
    auxiliary_weight: float = 0.6
    mean_weight: float = 0.1
    seed: int = 0

    _bounds = {  # noqa: RUF012
        **dict.fromkeys(
            (
                "hidden",
                "code",
                "calendar",
                "trunk",
                "components",
                "members",
                "epochs",
                "epoch_bars",
                "batch_size",
            ),
            AT_LEAST_ONE,
        ),
        **dict.fromkeys(
            ("noise", "weight_decay", "auxiliary_weight", "mean_weight", "seed"), FROM_ZERO
        ),
        "dropout": (0.0, 0.95),
        "learning_rate": (1e-6, 1.0),
    }

    @classmethod
    def beside(cls, settings: AnyConfig | None, seed: int = 0) -> Self:
        """As wide as a world model of the ``market`` preset; the defaults beside another, or none.

        Args:
            settings: The world model's configuration.
            seed: Of the network.
        """
        if not isinstance(settings, MarketConfig):
            return cls(seed=seed)
        return cls(
            hidden=settings.vae_hidden_size,
            code=settings.forecast_size,
            calendar=settings.calendar_size,
            trunk=settings.trunk_size,
            components=settings.num_components,
            members=settings.members,
            epoch_bars=settings.epoch_bars,
            seed=seed,
        )


class MemorylessNetwork:
    """A trained network.

    Args:
        network: From standardised features and calendar cells to the mixture's numbers.
        centre: Means of the features [F].
        width: Deviations of the features [F].
        unit: Deviation of training returns, percent.
    """

    def __init__(
        self, network: _Network, centre: FloatArray, width: FloatArray, unit: float
    ) -> None:
        self._network = network
        self._centre, self._width, self._unit = centre, width, unit

    @classmethod
    def fit(
        cls,
        features: FloatArray,
        cells: IntArray,
        returns: FloatArray,
        heights: FloatArray,
        config: MemorylessConfig | None = None,
    ) -> Self:
        """Train on rows of what was known and what came.

        Args:
            features: Inputs [N, F]; rows with a NaN do not count.
            cells: Cells of the next bar's calendar [N, 2], see `calendar_cells`.
            returns: The next bar's log return [N], percent; NaN where unknown.
            heights: The next bar's log(high ÷ low) [N], fraction.
            config: How.

        Raises:
            ConfigError: Fewer than 200 rows are complete, or their returns do not vary.
        """
        config = config or MemorylessConfig()
        known: BoolArray = np.asarray(np.isfinite(features).all(axis=1) & np.isfinite(returns))
        spread = float(returns[known].std()) if known.any() else 0.0
        if known.sum() < _LEAST_ROWS or spread <= 0.0:
            raise ConfigError(
                f"{int(known.sum())} bars with complete inputs"
                f"{'' if known.sum() < _LEAST_ROWS else ' that never move'}; a network needs "
                f"{_LEAST_ROWS} that vary"
            )
        centre = features[known].mean(axis=0)
        width = np.maximum(features[known].std(axis=0), 1e-6)
        size = np.log(heights[known] + _LEAST_HEIGHT)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = _Network(features.shape[1], config)
            made = cls(network, centre, width, spread)
            inputs = made._inputs(features[known], cells[known])
            targets = np.stack([returns[known] / spread, (size - size.mean()) / size.std()], axis=1)
            _train(network, inputs, torch.from_numpy(targets).float(), config)
        network.eval()
        return made

    @torch.no_grad()
    def mixture(
        self, features: FloatArray, cells: IntArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weights, means and deviations [N, K] of the next return in percent; NaN as the features."""
        numbers = self._network(*self._inputs(np.nan_to_num(features), cells))
        logits, means, log_sigmas = _mixture(numbers)
        parts = (logits.softmax(dim=1), self._unit * means, self._unit * log_sigmas.exp())
        weights, mu, sigma = (part.numpy().astype(np.float64) for part in parts)
        weights /= weights.sum(axis=1, keepdims=True)
        for part in (weights, mu, sigma):
            part[np.isnan(features).any(axis=1)] = np.nan
        return weights, mu, sigma

    def mixtures(self, candles: Candles, first: int = 0) -> list[FloatArray]:
        """Those of the return after each bar of candles from a row on [n, K]; NaN where features are incomplete."""
        spec, count = StreamSpec.for_interval(candles.interval), self._network.components
        whole = [np.empty((len(candles) - first, count)) for _ in range(3)]
        for row, features in feature_chunks(candles, spec):
            wanted = slice(max(row, first), row + len(features))
            if wanted.start < wanted.stop:
                cells = cells_after(candles, wanted)
                found = self.mixture(features[wanted.start - row :], cells)
                for part, values in zip(whole, found, strict=True):
                    part[wanted.start - first : wanted.stop - first] = values
        return whole

    def _inputs(self, features: FloatArray, cells: IntArray) -> tuple[Tensor, Tensor]:
        scaled = np.clip((features - self._centre) / self._width, -_CLIP, _CLIP)
        return torch.from_numpy(scaled.astype(np.float32)), torch.from_numpy(cells)


@dataclass(frozen=True, eq=False)
class Memoryless:
    """The network on candles.

    Attributes:
        networks: Trained on the training rows.
    """

    networks: tuple[MemorylessNetwork, ...]

    @classmethod
    def fit(
        cls, candles: Candles, train_rows: Rows, config: MemorylessConfig | None = None
    ) -> Self:
        """Train on forecasts of the training rows' bars; of a long range on 500,000, evenly spread.

        Raises:
            ConfigError: Fewer than 200 rows are complete, or their returns do not vary.
        """
        spec, config = StreamSpec.for_interval(candles.interval), config or MemorylessConfig()
        start, stop, _ = as_slice(train_rows).indices(len(candles))
        follow = np.zeros(len(candles), dtype=np.bool_)
        follow[max(start, 1) : stop] = follows(candles)[max(start, 1) : stop]
        known = np.append(follow[1:], False) & complete_bars(candles, spec)
        before = np.flatnonzero(thinned(known, _MOST_ROWS))
        heights = np.log(candles.high[before + 1] / candles.low[before + 1])
        rows = (
            features_of(candles, spec, before),
            cells_after(candles, before),
            percent_returns(candles)[before + 1],
            heights,
        )
        seeds = range(config.seed, config.seed + config.members)
        return cls(tuple(MemorylessNetwork.fit(*rows, replace(config, seed=s)) for s in seeds))

    def forecast(self, candles: Candles, first: int = 0) -> ReturnForecast:
        """Mixtures of every bar's return from a row on [n]; each is made at the close of the bar before.

        The first bar of all, and one after a gap, have none.
        """
        known = max(first - 1, 0)
        parts = zip(*(network.mixtures(candles, known) for network in self.networks), strict=True)
        weights, means, sigmas = (np.concatenate(part, axis=1) for part in parts)
        weights /= len(self.networks)
        weights[:-1][~follows(candles)[known + 1 :]] = np.nan
        made = of_each_bar(ReturnForecast(weights, means, sigmas, candles.open_time_ms[known:]))
        return made.rows(first - known, len(made))


def cells_after(candles: Candles, rows: IntArray | slice) -> IntArray:
    """Calendar cells of the bars after some [N, 2]."""
    return calendar_cells(candles.open_time_ms[rows] + candles.interval_ms, candles.interval)


def of_each_bar(forecast: ReturnForecast) -> ReturnForecast:
    """Row t forecasts the return of bar t instead of the next one's; the first has no forecast."""

    def later(part: FloatArray) -> FloatArray:
        return np.concatenate([np.full((1, part.shape[1]), np.nan), part[:-1]])

    times = np.append(forecast.open_time_ms[:1], forecast.open_time_ms[:-1])
    return ReturnForecast(
        later(forecast.weights), later(forecast.means), later(forecast.sigmas), times
    )


class _Network(nn.Module):
    """Features [N, F] and calendar cells [N, 2] to a mixture's numbers and two of the range."""

    def __init__(self, inputs: int, config: MemorylessConfig) -> None:
        super().__init__()
        self._dropout, self.components = config.dropout, config.components
        self.hidden = nn.Linear(inputs, config.hidden)
        self.code = nn.Linear(config.hidden, config.code)
        self.calendar = nn.Parameter(0.1 * torch.randn(CALENDAR_CELLS, config.calendar))
        self.trunk = nn.Linear(config.code + config.calendar, config.trunk)
        self.head = nn.Linear(config.trunk, 3 * config.components + _RANGE_NUMBERS)

    def forward(self, features: Tensor, cells: Tensor) -> Tensor:
        hidden = functional.dropout(
            functional.silu(self.hidden(features)), self._dropout, self.training
        )
        known = torch.cat([self.code(hidden), self.calendar[cells].sum(dim=1)], dim=1)
        numbers: Tensor = self.head(functional.silu(self.trunk(known)))
        return numbers


def _mixture(numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, means and log deviations [N, K], in deviations of the return; means are 0.1·µ·σ."""
    logits, means, log_sigmas = numbers[:, :-_RANGE_NUMBERS].chunk(3, dim=1)
    spread = torch.linspace(-1.5, 0.5, logits.shape[1])  # components begin apart
    log_sigmas = (log_sigmas + spread).clamp(float(np.log(_LEAST_SPREAD)), 4.0)
    return logits, _MEAN_SCALE * means * log_sigmas.exp(), log_sigmas


def _train(
    network: _Network, inputs: tuple[Tensor, Tensor], targets: Tensor, config: MemorylessConfig
) -> None:
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=config.learning_rate)
    features, cells = inputs
    bars = min(len(features), config.epoch_bars)
    steps = config.epochs * -(-bars // config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(config.epochs):
        for rows in torch.split(torch.randperm(len(features))[:bars], config.batch_size):
            seen = features[rows] + config.noise * torch.randn(len(rows), features.shape[1])
            loss = _loss(network(seen, cells[rows]), targets[rows], config)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            schedule.step()


def _loss(numbers: Tensor, targets: Tensor, config: MemorylessConfig) -> Tensor:
    """Of the return, of how far its mean strays, and of the log range as one Gaussian."""
    logits, means, log_sigmas = _mixture(numbers)
    sigmas = log_sigmas.exp()
    scaled = (targets[:, :1] - means) / sigmas
    density = torch.logsumexp(logits.log_softmax(dim=1) - 0.5 * scaled**2 - log_sigmas, dim=1)
    weights = logits.softmax(dim=1)
    mean = (weights * means).sum(dim=1)
    strays = mean**2 / ((weights * (sigmas**2 + means**2)).sum(dim=1) - mean**2)
    middle, log_width = numbers[:, -2], numbers[:, -1].clamp(-4.0, 4.0)
    height = 0.5 * ((targets[:, 1] - middle) / log_width.exp()) ** 2 + log_width
    return (
        -density.mean()
        + config.mean_weight * strays.mean()
        + config.auxiliary_weight * height.mean()
    )
