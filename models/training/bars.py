"""Training of a world model of bars: first what forecasts, then what that leaves, then memory.

| stage | what learns | from |
|---|---|---|
| ``forecast`` | z's first numbers, the calendar, the return's head | single bars |
| ``vae`` | z's other numbers and the decoder | single bars |
| ``mdn_rnn`` | the LSTM and how the return's head hears it | sequences |
| ``heads`` | wicks and volume | single bars, with the memory |

The auxiliary loss of the first and third asks for the outlook as well: the range of the next bar,
the volatility of the next 6 and 24 bars, the next volume. It steadies what little one return tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...market.arrays import FloatArray, IntArray
from ...market.candles import Candles
from ...market.clock import calendar_cells
from ...market.features import Scaler
from ...market.streams import FEATURES, bar_numbers
from ..bars.config import CALENDAR, MarketConfig
from ..bars.networks import FEATURE_LIMIT, BarRNN, BarVAE, build_bar_networks
from ..feature_range import FeatureRange
from ..mixture import Mixture, mixture_log_prob
from .loops import Session
from .mean_tempering import slope_of
from .sequences import chunk_starts
from .stage import Stage, StageSettings

_OUTLOOK = (0.3, 0.15, 0.15, 0.1)  # weights: next range, volatility of 6 and 24 bars, next volume
_OUTLOOK_BARS = (6, 24)
_MEMORY = "mdn_rnn.lstm."
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_TRUNK_PACE = 0.05  # of the memory's learning rate
_VARIANCE_FLOOR = 1e-10  # of mean squared returns


@dataclass(frozen=True, eq=False)
class BarRange:
    """A range of bars as tensors; row t looks from the close of bar t at bar t + 1.

    Attributes:
        features: Standardised and clipped [T, F], 0 where incomplete.
        cells: Of the calendar of bar t + 1 [T, 2].
        bars: Of bar t + 1, as `BarRNN.bar_log_prob` takes them [T, 4].
        outlook: Standardised targets of the auxiliary loss [T, 4]; NaN where the range ends before.
        rows: Rows t that count: complete features, and a bar without a gap after them [N].
        months: The month of each row [T].
        times: How often a month counts, by its number; None is once.
        source: The range.
    """

    features: Tensor
    cells: Tensor
    bars: Tensor
    outlook: Tensor
    rows: Tensor
    source: FeatureRange
    months: IntArray
    times: IntArray | None = None

    def resampled(self, rng: np.random.Generator) -> BarRange:
        """The same with as many of its months, drawn with replacement (Breiman 1996)."""
        known = np.unique(self.months)
        times = np.bincount(rng.choice(known, len(known)), minlength=int(known[-1]) + 1)
        rows = self.rows.numpy()
        repeated = np.repeat(rows, times[self.months[rows]])
        return replace(self, rows=torch.from_numpy(repeated), times=times)

    def counted(self, starts: IntArray, scored: int) -> IntArray:
        """First rows of chunks, each as often as the month of its first scored row counts."""
        if self.times is None:
            return starts
        return np.repeat(starts, self.times[self.months[starts + scored]])

    def to(self, device: torch.device) -> BarRange:
        """The same on another device."""
        parts = ("features", "cells", "bars", "outlook", "rows")
        moved: dict[str, Any] = {name: getattr(self, name).to(device) for name in parts}
        return replace(self, **moved)


class _Learner(nn.Module):
    """V, M and the outlook's head: what the stages share."""

    def __init__(self, vae: BarVAE, mdn_rnn: BarRNN) -> None:
        super().__init__()
        self.vae, self.mdn_rnn = vae, mdn_rnn
        self.outlook = nn.Linear(mdn_rnn.now.out_features, len(_OUTLOOK))


def bar_range(
    candles: Candles,
    source: FeatureRange,
    scaler: Scaler,
    scale: float,
    withheld: Sequence[int] = (),
) -> BarRange:
    """A range of candles, standardised by the training range's scaler and scale of returns.

    Args:
        candles: The range.
        source: Its features.
        scaler: The training range's.
        scale: Deviation of the training range's log returns.
        withheld: Columns of the features that are 0 throughout.
    """
    features = np.nan_to_num(scaler.without(withheld).transform(source.features))
    features = np.clip(features, -FEATURE_LIMIT, FEATURE_LIMIT).astype(np.float32)
    bars = _next_bars(candles, source.features, scale)
    rows = _rows(source)
    times = candles.open_time_ms + candles.interval_ms
    return BarRange(
        torch.from_numpy(features),
        torch.from_numpy(calendar_cells(times, candles.interval)),
        torch.from_numpy(np.nan_to_num(bars).astype(np.float32)),
        torch.from_numpy(_outlooks(candles, source, scaler).astype(np.float32)),
        torch.from_numpy(rows),
        source,
        candles.open_time_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64),
    )


def _rows(source: FeatureRange) -> IntArray:
    ends = [np.arange(max(a, source.scored_from - 1), b - 1) for a, b in source.runs]
    return np.concatenate([*ends, np.empty(0, dtype=np.int64)])


def _next_bars(candles: Candles, features: FloatArray, scale: float) -> FloatArray:
    """What came after each bar [T, 4]; the last row is NaN."""
    numbers = bar_numbers(candles)
    numbers[:, :3] /= scale
    numbers[:, 3] = features[:, _column("volume")]
    return np.concatenate([numbers[1:], np.full((1, 4), np.nan)])


def _column(name: str) -> int:
    return [feature.name for feature in FEATURES].index(name)


def _outlooks(candles: Candles, source: FeatureRange, scaler: Scaler) -> FloatArray:
    """Log range of the next bar, log volatilities of the next ones, next volume, standardised [T, 4].

    All by the units of the features, which the training range gave.
    """
    features, count = source.features, len(candles)
    log_range = features[:, _column("range")] + features[:, _column("level")]
    volume = features[:, _column("volume")]
    squares = np.nan_to_num(bar_numbers(candles)[:, 0]) ** 2
    total = np.concatenate([[0.0], np.cumsum(squares)])
    columns = [np.append(log_range[1:], np.nan)]
    for bars in _OUTLOOK_BARS:
        ahead = np.full(count, np.nan)
        sums = total[bars + 1 :] - total[1:-bars]
        ahead[: len(sums)] = 0.5 * np.log(sums / bars + _VARIANCE_FLOOR)
        columns.append(ahead)
    columns.append(np.append(volume[1:], np.nan))
    level, size = scaler.mean[_column("level")], scaler.scale
    ranges = scaler.scale[_column("range")] + size[_column("level")]
    middle = level + scaler.mean[_column("range")]
    means = (middle, level, level, scaler.mean[_column("volume")])
    scales = (ranges, size[_column("level")] + 0.2, size[_column("level")] + 0.2)
    outlook = np.stack(columns, axis=1) - np.array(means)
    result: FloatArray = outlook / np.array([*scales, size[_column("volume")]])
    return result


def train_bar_networks(
    train: BarRange,
    validation: BarRange,
    scale: float,
    session: Session,
    random_encoder: bool = False,
) -> tuple[BarVAE, BarRNN]:
    """V and M by the four stages, each keeping what validates best.

    Args:
        train: The training range.
        validation: The validation range.
        scale: Deviation of the training range's log returns.
        session: The training's.
        random_encoder: Whether V keeps random weights, its numbers standardised: a control.
    """
    config = session.config
    assert isinstance(config, MarketConfig)
    vae, mdn_rnn = build_bar_networks(config, session.stage_seed(1))
    mdn_rnn.return_scale.fill_(scale)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(session.stage_seed(2))
        learner = _Learner(vae, mdn_rnn).to(session.device)
    if session.member and config.resample_months:
        train = train.resampled(np.random.default_rng(session.stage_seed(8)))
    train, validation = train.to(session.device), validation.to(session.device)
    if random_encoder:
        _standardise(vae, train.features[train.rows])
    _forecast_stage(learner, train, validation, session, teach_vae=not random_encoder)
    if not random_encoder:
        _vae_stage(learner, train, validation, session)
    _memory_stage(learner, train, validation, session)
    if config.temper_mean:
        _temper_mean(learner, train, validation, session)
    _head_stage(learner, train, validation, session)
    learner.cpu()
    return learner.vae, learner.mdn_rnn


@torch.no_grad()
def _standardise(vae: BarVAE, features: Tensor) -> None:
    """Give every number of z mean 0 and deviation 1 over features [N, F]."""
    for layer, said in (
        (vae.forecast_out, slice(None, vae.forecast_size)),
        (vae.encoder_out, slice(vae.forecast_size, None)),
    ):
        means = vae.encode(features).mean[:, said]
        size, deviation = means.shape[1], means.std(0)
        layer.weight[:size] /= deviation[:, None]
        layer.bias[:size] = (layer.bias[:size] - means.mean(0)) / deviation


def _stage(
    name: str,
    number: int,
    epochs: int,
    learner: nn.Module,
    groups: list[dict[str, Any]],
    rate: float,
    session: Session,
) -> Stage:
    config = session.config
    settings = StageSettings(
        session.stage_name(name), epochs, epochs, rate, config.gradient_clip, 0.0
    )
    optimiser = torch.optim.AdamW(groups, lr=rate)
    seed, kept = session.stage_seed(number), session.checkpoint(name)
    return Stage(settings, learner, optimiser, seed, session.callbacks, kept, session.resume)


def _decayed(modules: list[Any], decay: float, pace: float = 1.0) -> list[dict[str, Any]]:
    """Groups of parameters of which matrices decay and vectors do not."""
    parameters = [
        p for m in modules for p in ([m] if isinstance(m, nn.Parameter) else m.parameters())
    ]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay, "pace": pace},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0, "pace": pace},
    ]


def _forecast_stage(
    learner: _Learner,
    train: BarRange,
    validation: BarRange,
    session: Session,
    teach_vae: bool,
) -> None:
    config, vae, mdn_rnn = session.config, learner.vae, learner.mdn_rnn
    learning: list[Any] = [mdn_rnn.now, mdn_rnn.return_head, learner.outlook]
    if CALENDAR in config.withheld:
        mdn_rnn.calendar.data.zero_()
    else:
        learning.append(mdn_rnn.calendar)
    if teach_vae:
        learning += [vae.forecast_hidden, vae.forecast_out]
    stage = _stage(
        "forecast",
        3,
        config.forecast_epochs,
        learner,
        _decayed(learning, config.weight_decay),
        config.learning_rate,
        session,
    )

    def batch_loss(rows: Tensor) -> Tensor:
        noise = torch.randn((len(rows), train.features.shape[1]), generator=stage.generator)
        features = train.features[rows] + config.feature_noise * noise.to(session.device)
        known = vae.outlook(features, config.feature_dropout)
        trunk = mdn_rnn.trunk(known, mdn_rnn.calendars(train.cells[rows]))
        return _return_loss(learner, trunk, train, rows, config)

    learner.load_state_dict(
        stage.fit(
            _epochs(stage, train, config, batch_loss),
            lambda: {"validation_loss": return_nll(stage.averaged, validation, memory=False)},
        )
    )


def _epochs(stage: Stage, train: BarRange, config: Any, batch_loss: Any) -> Any:
    """An epoch over shuffled bars, batch by batch."""

    def epoch_loss(_: int) -> float:
        stage.module.train()
        order = train.rows[torch.from_numpy(stage.rng.permutation(len(train.rows)))]
        batches = max(1, len(order) // config.batch_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(stage.rng.integers(2**62)))  # dropout draws from the global one
            total = sum(
                stage.step(batch_loss(rows), number, batches)
                for number, rows in enumerate(order.tensor_split(batches))
            )
        stage.module.eval()
        return float(total / batches)

    return epoch_loss


def _return_loss(
    learner: _Learner, trunk: Tensor, train: BarRange, rows: Tensor, config: Any
) -> Tensor:
    """Of the next return: its NLL, how far the mean strays, and the outlook."""
    mixture = learner.mdn_rnn.return_mixture(trunk)
    nll = -mixture_log_prob(mixture, train.bars[rows][..., :1]).mean()
    asked = train.outlook[rows]
    error = (learner.outlook(trunk) - asked.nan_to_num()) ** 2 * asked.isfinite()
    outlook = (error * error.new_tensor(_OUTLOOK)).sum(-1).mean()
    mean, variance = moments(mixture)
    strays = (mean * mean / variance).mean()
    loss: Tensor = nll + config.mean_weight * strays + config.outlook_weight * outlook
    return loss


def moments(mixture: Mixture) -> tuple[Tensor, Tensor]:
    """Mean and variance of mixtures of one dimension, each [...]."""
    weights = torch.softmax(mixture.logits, dim=-1)
    means, sigmas = mixture.means[..., 0], mixture.log_sigmas[..., 0].exp()
    mean = (weights * means).sum(-1)
    variance = (weights * (sigmas**2 + means**2)).sum(-1) - mean**2
    return mean, variance.clamp(min=1e-8)


@torch.no_grad()
def return_nll(learner: nn.Module, data: BarRange, memory: bool = True) -> float:
    """Mean -log p of the standardised return of the bars that count, with or without memory."""
    assert isinstance(learner, _Learner)
    trunk = _trunks(learner, data, memory)[data.rows]
    mixture = learner.mdn_rnn.return_mixture(trunk)
    nll = -mixture_log_prob(mixture, data.bars[data.rows][..., :1])
    return float(nll.double().mean())


@torch.no_grad()
def _trunks(learner: _Learner, data: BarRange, memory: bool) -> Tensor:
    """The layer before the return's head at every bar [T, trunk], the state run along each run."""
    vae, mdn_rnn = learner.vae, learner.mdn_rnn
    known = vae.encode(data.features).mean[:, : vae.forecast_size]
    calendars = mdn_rnn.calendars(data.cells)
    hidden = known.new_zeros(len(known), mdn_rnn.hidden_size)
    if memory:
        for start, stop in data.source.runs:
            rows = slice(start, stop)
            hidden[rows] = mdn_rnn.remember(known[None, rows], calendars[None, rows])[0]
    return mdn_rnn.trunk(known, calendars, hidden if memory else None)


def _vae_stage(learner: _Learner, train: BarRange, validation: BarRange, session: Session) -> None:
    config, vae = session.config, learner.vae
    learning: list[Any] = [
        vae.encoder_hidden,
        vae.encoder_out,
        vae.decoder,
        vae.decoder_log_variance,
    ]
    stage = _stage(
        "vae", 4, config.vae_epochs, learner, _decayed(learning, 0.0), config.learning_rate, session
    )

    def batch_loss(rows: Tensor) -> Tensor:
        return _elbo_loss(vae, train.features[rows], config.kl_weight, stage.generator)

    @torch.no_grad()
    def validate() -> dict[str, float]:
        assert isinstance(stage.averaged, _Learner)
        fixed = torch.Generator().manual_seed(0)
        features = validation.features[validation.rows]
        loss = _elbo_loss(stage.averaged.vae, features, config.kl_weight, fixed)
        return {"validation_loss": loss.item()}

    learner.load_state_dict(stage.fit(_epochs(stage, train, config, batch_loss), validate))


def _elbo_loss(vae: BarVAE, features: Tensor, beta: float, generator: torch.Generator) -> Tensor:
    """-ELBO of features [B, F] by the learned numbers of z, given the forecasting ones."""
    posterior = vae.encode(features)
    normals = torch.randn(posterior.mean.shape, generator=generator).to(features.device)
    latent = posterior.sample(normals)
    known = vae.forecast_size
    latent = torch.cat([latent[:, :known].detach(), latent[:, known:]], dim=-1)
    log_variance = vae.decoder_log_variance.clamp(-9.0, 4.0)
    error = (features - vae.decode(latent)) ** 2
    reconstruction = 0.5 * (error * (-log_variance).exp() + log_variance).sum(-1).mean()
    return reconstruction + beta * vae.kl(posterior).sum(-1).mean()


def _memory_stage(
    learner: _Learner, train: BarRange, validation: BarRange, session: Session
) -> None:
    config, mdn_rnn = session.config, learner.mdn_rnn
    deaf = {name: value.clone() for name, value in learner.state_dict().items()}
    heard = _decayed([mdn_rnn.lstm, mdn_rnn.before], config.mdn_rnn_weight_decay)
    shared: list[Any] = [mdn_rnn.now, mdn_rnn.return_head, learner.outlook]
    groups = heard + _decayed(shared, 0.0, _TRUNK_PACE)
    rate = config.mdn_rnn_learning_rate
    stage = _stage("mdn_rnn", 5, config.mdn_rnn_epochs, learner, groups, rate, session)
    with torch.no_grad():
        known = learner.vae.encode(train.features).mean[:, : config.forecast_size]
    scored = slice(config.burn_in_bars, None)

    def epoch_loss(_: int) -> float:
        stride = config.chunk_bars - config.burn_in_bars
        starts = chunk_starts(train.source.runs, config.chunk_bars, stride, stage.rng)
        starts = train.counted(starts, config.burn_in_bars)
        batches = max(1, len(starts) // config.mdn_rnn_batch_size)
        total = 0.0
        for batch, first in enumerate(np.array_split(starts, batches)):
            rows = torch.from_numpy(first[:, None] + np.arange(config.chunk_bars))
            rows = rows.to(session.device)
            calendars = mdn_rnn.calendars(train.cells[rows])
            hidden = mdn_rnn.remember(known[rows], calendars)[:, scored]
            kept = torch.rand(hidden.shape, generator=stage.generator) >= config.dropout
            hidden = hidden * kept.to(session.device) / (1.0 - config.dropout)
            rows = rows[:, scored]
            trunk = mdn_rnn.trunk(known[rows], calendars[:, scored], hidden)
            loss = _return_loss(learner, trunk, train, rows, config)
            total += stage.step(loss, batch, batches)
        return float(total / batches)

    learner.load_state_dict(
        stage.fit(epoch_loss, lambda: {"validation_loss": return_nll(stage.averaged, validation)})
    )
    _trust_memory(learner, deaf, validation, session)


@torch.no_grad()
def _trust_memory(
    learner: _Learner, deaf: dict[str, Tensor], validation: BarRange, session: Session
) -> None:
    """Let the forecast hear the memory as far as the validation range pays for it, in place.

    Between the weights before the memory was heard and those after, the share of the way that
    validates best: 0 leaves the forecast to the features alone.
    """
    heard = {name: value.clone() for name, value in learner.state_dict().items()}

    def nll(share: float) -> float:
        between = {name: deaf[name].lerp(value, share) for name, value in heard.items()}
        kept = {n: v if n.startswith(_MEMORY) else between[n] for n, v in heard.items()}
        learner.load_state_dict(kept)
        return return_nll(learner, validation)

    losses = {share: nll(share) for share in _SHARES}
    share = min(_SHARES, key=losses.__getitem__)
    nll(share)
    session.callbacks.on_note(
        f"the forecast hears M's memory by {share:.0%}: on the validation range that is worth "
        f"{losses[0.0] - losses[share]:.4f} nats"
    )


@torch.no_grad()
def _temper_mean(
    learner: _Learner, train: BarRange, validation: BarRange, session: Session
) -> None:
    """Keep of the varying mean forecast what the validation range paid for (`mean_tempering`)."""
    level = _means(learner, train)[0].mean()
    mean, variance = _means(learner, validation)
    slope = slope_of(validation.bars[validation.rows, 0].double(), mean, variance)
    trust = learner.mdn_rnn.mean_trust
    trust[0], trust[1] = slope.trusted, level
    session.callbacks.on_note(str(slope))


def _means(learner: _Learner, data: BarRange) -> tuple[Tensor, Tensor]:
    """Mean and variance of the return's forecasts of the bars that count, each [N], float64."""
    trunk = _trunks(learner, data, memory=True)[data.rows]
    mean, variance = moments(learner.mdn_rnn.return_mixture(trunk))
    return mean.double(), variance.double()


def _head_stage(learner: _Learner, train: BarRange, validation: BarRange, session: Session) -> None:
    config, mdn_rnn = session.config, learner.mdn_rnn
    heads: list[Any] = [
        getattr(mdn_rnn, f"{name}_{part}")
        for name in ("upper", "lower", "volume")
        for part in ("hidden", "head")
    ]
    groups = _decayed(heads, config.weight_decay / 4)
    stage = _stage("heads", 6, config.head_epochs, learner, groups, config.learning_rate, session)
    trunks = [_trunks(learner, data, memory=True) for data in (train, validation)]

    def log_probs(rnn: BarRNN, data: BarRange, trunk: Tensor, rows: Tensor) -> Tensor:
        calendars = rnn.calendars(data.cells[rows]).detach()
        densities = rnn.bar_log_prob(trunk[rows], data.features[rows], calendars, data.bars[rows])
        return densities.upper.mean() + densities.lower.mean() + densities.volume.mean()

    def batch_loss(rows: Tensor) -> Tensor:
        return -log_probs(mdn_rnn, train, trunks[0], rows)

    @torch.no_grad()
    def validate() -> dict[str, float]:
        assert isinstance(stage.averaged, _Learner)
        loss = -log_probs(stage.averaged.mdn_rnn, validation, trunks[1], validation.rows)
        return {"validation_loss": loss.item()}

    learner.load_state_dict(stage.fit(_epochs(stage, train, config, batch_loss), validate))
