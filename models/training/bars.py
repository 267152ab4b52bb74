"""Training of a world model of bars: first what forecasts, then what that leaves, then memory.

| stage | what learns | from |
|---|---|---|
| ``teacher_1``… | networks of their own, like the next | single bars |
| ``forecast`` | z's first numbers, the calendar, the return's head | single bars, and what teachers draw |
| ``vae`` | z's other numbers and the decoder | single bars |
| ``mdn_rnn`` | the LSTM and how the return's head hears it | sequences |
| ``heads`` | wicks and volume, and the columns that are dreamed | single bars, with the memory |

The auxiliary loss of the first and third asks for the outlook as well: the range of the next bar,
the volatility of the next 6 and 24 bars, the next volume. It steadies what little one return tells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...market.arrays import CHUNK_BARS
from ..bars.config import CALENDAR, MarketConfig
from ..bars.networks import _GAIN, BarRNN, BarVAE, build_bar_networks
from .bar_ranges import BarRange
from .learner import (
    Heard,
    Learner,
    forecasting_numbers,
    heard_of,
    moments,
    remembered,
    return_loss,
    return_mixtures,
    return_nll,
    trunk_of,
)
from .loops import Session
from .mean_tempering import slope_of
from .sequences import chunk_starts
from .stage import Stage, StageSettings
from .teachers import Teachers

_MEMORY = "mdn_rnn.lstm."
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_TRUNK_PACE = 0.05  # of the memory's learning rate
_TEACHER_SEED = 20  # the first of the numbers of their seeds


def train_bar_networks(
    train: BarRange,
    validation: BarRange,
    session: Session,
    *,
    symbols: int = 0,
    random_encoder: bool = False,
) -> tuple[BarVAE, BarRNN]:
    """V and M by the stages, each keeping what validates best.

    Args:
        train: The training range.
        validation: The validation range.
        session: The training's.
        symbols: How many the ranges were joined from; M's calendar has as many rows more.
        random_encoder: Whether V keeps random weights, its numbers standardised: a control.
    """
    config = session.config
    assert isinstance(config, MarketConfig)
    learner = _new_learner(session, 1, symbols)
    vae = learner.vae
    if session.member and config.resample_months:
        train = train.resampled(np.random.default_rng(session.stage_seed(8)))
    train, validation = train.to(session.device), validation.to(session.device)
    if random_encoder:
        _standardise(vae, train.features[train.rows])
    learning = _forecasting(learner, random_encoder)
    teachers = _teachers(train, validation, session, symbols)
    forecast_stage(learner, train, validation, session, learning, teachers=teachers)
    if not random_encoder:
        vae_stage(learner, train, validation, session)
    _memory_stage(learner, train, validation, session)
    head_stage(learner, train, validation, session)
    learner.cpu()
    return learner.vae, learner.mdn_rnn


def _new_learner(session: Session, number: int, symbols: int) -> Learner:
    """V, M and the outlook's head before they learn, with the seeds of that number and the next."""
    vae, mdn_rnn = build_bar_networks(session.config, session.stage_seed(number))
    learner = Learner(vae, mdn_rnn, session.stage_seed(number + 1))
    mdn_rnn.calendar = _with_symbols(mdn_rnn.calendar, symbols)
    return learner.to(session.device)


def _teachers(
    train: BarRange, validation: BarRange, session: Session, symbols: int
) -> Teachers | None:
    """`MarketConfig.teachers` networks that have learned what forecasts; None where there are to be none."""
    learners = []
    for number in range(session.config.teachers):
        first = _TEACHER_SEED + 3 * number
        learner = _new_learner(session, first, symbols)
        learning, name = _forecasting(learner, random_encoder=False), f"teacher_{number + 1}"
        forecast_stage(learner, train, validation, session, learning, name, first + 2)
        learners.append(learner)
    return Teachers(learners) if learners else None


def _with_symbols(calendar: nn.Parameter, symbols: int) -> nn.Parameter:
    """The calendar's table [cells, C] with a row of zeros for each symbol."""
    return nn.Parameter(
        torch.cat([calendar.data, calendar.data.new_zeros(symbols, calendar.shape[1])])
    )


def _forecasting(learner: Learner, random_encoder: bool) -> list[Any]:
    """What learns in the first stage."""
    vae, mdn_rnn = learner.vae, learner.mdn_rnn
    learning: list[Any] = [mdn_rnn.now, mdn_rnn.return_head, learner.outlook, mdn_rnn.calendar]
    return learning if random_encoder else [*learning, vae.forecast_hidden, vae.forecast_out]


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
        session.stage_name(name), epochs, epochs, rate, config.gradient_clip, 0.0, session.warm
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


def forecast_stage(
    learner: Learner,
    train: BarRange,
    validation: BarRange,
    session: Session,
    learning: list[Any],
    name: str = "forecast",
    number: int = 3,
    teachers: Teachers | None = None,
) -> None:
    """Teach what forecasts the next return, on single bars, what M remembers held as it is.

    Args:
        learner: In place.
        train: The training range.
        validation: The validation range.
        session: The training's.
        learning: Modules and parameters.
        name: Of the stage.
        number: Of its seed.
        teachers: From whose draws it learns besides.
    """
    config, vae, mdn_rnn = session.config, learner.vae, learner.mdn_rnn
    if CALENDAR in config.withheld:
        mdn_rnn.calendar.data.zero_()
        learning = [part for part in learning if part is not mdn_rnn.calendar]
    groups = _decayed(learning, config.weight_decay)
    epochs, rate = config.forecast_epochs, config.learning_rate
    stage = _stage(name, number, epochs, learner, groups, rate, session)
    hidden = remembered(learner, train)

    def batch_loss(rows: Tensor) -> Tensor:
        noise = torch.randn((len(rows), train.features.shape[1]), generator=stage.generator)
        features = train.features[rows] + config.feature_noise * noise.to(session.device)
        known = vae.outlook(features, config.feature_dropout)
        heard = None if hidden is None else hidden[rows]
        trunk = mdn_rnn.trunk(known, mdn_rnn.calendars(train.cells[rows]), heard)
        drawn = None if teachers is None else teachers.draw(train, rows, stage.generator)
        return return_loss(learner, trunk, train, rows, config, drawn)

    learner.load_state_dict(
        stage.fit(
            _epochs(stage, train, config, batch_loss),
            lambda: {"validation_loss": return_nll(stage.averaged, validation)},
        )
    )


def _epochs(stage: Stage, train: BarRange, config: Any, batch_loss: Any) -> Any:
    """An epoch over shuffled bars, at most `MarketConfig.epoch_bars`, batch by batch."""

    def epoch_loss(_: int) -> float:
        stage.module.train()
        chosen = stage.rng.permutation(len(train.rows))[: config.epoch_bars]
        order = train.rows[torch.from_numpy(chosen)]
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


def vae_stage(learner: Learner, train: BarRange, validation: BarRange, session: Session) -> None:
    """Teach z's other numbers and the decoder, in place."""
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
        assert isinstance(stage.averaged, Learner)
        vae, fixed = stage.averaged.vae, torch.Generator().manual_seed(0)
        return _validated(
            validation,
            lambda rows: _elbo_loss(vae, validation.features[rows], config.kl_weight, fixed),
        )

    learner.load_state_dict(stage.fit(_epochs(stage, train, config, batch_loss), validate))


def _validated(validation: BarRange, loss: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """The mean loss of the bars that count, by chunks of them."""
    rows = validation.rows
    parts = [float(loss(some)) * len(some) for some in torch.split(rows, CHUNK_BARS)]
    return {"validation_loss": sum(parts) / len(rows)}


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
    learner: Learner, train: BarRange, validation: BarRange, session: Session
) -> None:
    config, mdn_rnn = session.config, learner.mdn_rnn
    deaf = {name: value.clone() for name, value in learner.state_dict().items()}
    heard = _decayed([mdn_rnn.lstm, mdn_rnn.before], config.mdn_rnn_weight_decay)
    shared: list[Any] = [mdn_rnn.now, mdn_rnn.return_head, learner.outlook]
    groups = heard + _decayed(shared, 0.0, _TRUNK_PACE)
    rate = config.mdn_rnn_learning_rate
    stage = _stage("mdn_rnn", 5, config.mdn_rnn_epochs, learner, groups, rate, session)
    known = forecasting_numbers(learner.vae, train)
    scored = slice(config.burn_in_bars, None)

    def epoch_loss(_: int) -> float:
        stride = config.chunk_bars - config.burn_in_bars
        starts = chunk_starts(train.runs, config.chunk_bars, stride, stage.rng)
        starts = train.counted(starts, config.burn_in_bars)[: -(-config.epoch_bars // stride)]
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
            loss = return_loss(learner, trunk, train, rows, config)
            total += stage.step(loss, batch, batches)
        return float(total / batches)

    learner.load_state_dict(
        stage.fit(epoch_loss, lambda: {"validation_loss": return_nll(stage.averaged, validation)})
    )
    _trust_memory(learner, deaf, validation, session)


@torch.no_grad()
def _trust_memory(
    learner: Learner, deaf: dict[str, Tensor], validation: BarRange, session: Session
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
def temper_mean(
    vae: BarVAE, mdn_rnn: BarRNN, train: BarRange, validation: BarRange, session: Session
) -> None:
    """Keep of the varying mean forecast what the validation range paid for (`mean_tempering`)."""
    learner = Learner(vae, mdn_rnn)
    trust = mdn_rnn.mean_trust
    trust[0], trust[1] = 1.0, 0.0
    level = _means(learner, train)[0].mean()
    mean, variance = _means(learner, validation)
    slope = slope_of(validation.bars[validation.rows, 0].double(), mean, variance)
    trust[0], trust[1] = slope.trusted, level
    session.callbacks.on_note(str(slope))


def _means(learner: Learner, data: BarRange) -> tuple[Tensor, Tensor]:
    """Mean and variance of the return's forecasts of the bars that count, each [N], float64."""
    parts = [moments(mixture) for _, mixture in return_mixtures(learner, data)]
    mean, variance = (torch.cat(part).double() for part in zip(*parts, strict=True))
    return mean, variance


def head_stage(learner: Learner, train: BarRange, validation: BarRange, session: Session) -> None:
    """Teach the heads of wicks and volume, and of the dreamed columns, in place."""
    config, mdn_rnn = session.config, learner.mdn_rnn
    heads: list[Any] = [
        getattr(mdn_rnn, f"{name}_{part}")
        for name in ("upper", "lower", "volume")
        for part in ("hidden", "head")
    ]
    if config.dreamed:
        heads += [mdn_rnn.column_hidden, mdn_rnn.column_head]
        if not session.warm:
            _begin_at_rest(mdn_rnn, train)
    groups = _decayed(heads, config.weight_decay / 4)
    stage = _stage("heads", 6, config.head_epochs, learner, groups, config.learning_rate, session)
    heard = [heard_of(learner, data) for data in (train, validation)]

    def loss(rnn: BarRNN, data: BarRange, told: Heard, rows: Tensor) -> Tensor:
        with torch.no_grad():
            trunk = trunk_of(learner, data, told, rows)
        calendars = rnn.calendars(data.cells[rows]).detach()
        seen = (trunk, data.features[rows], calendars, data.bars[rows])
        densities = rnn.bar_log_prob(*seen)
        total = densities.upper.mean() + densities.lower.mean() + densities.volume.mean()
        return -(total + rnn.column_log_prob(*seen).sum(-1).mean() if config.dreamed else total)

    def batch_loss(rows: Tensor) -> Tensor:
        return loss(mdn_rnn, train, heard[0], rows)

    @torch.no_grad()
    def validate() -> dict[str, float]:
        assert isinstance(stage.averaged, Learner)
        rnn = stage.averaged.mdn_rnn
        return _validated(validation, lambda rows: loss(rnn, validation, heard[1], rows))

    learner.load_state_dict(stage.fit(_epochs(stage, train, config, batch_loss), validate))


@torch.no_grad()
def _begin_at_rest(mdn_rnn: BarRNN, train: BarRange) -> None:
    """Let every dreamed column stay as it is as often as it does in the training range."""
    still = (train.bars[train.rows][:, 4:] == 0.0).double().mean(0)
    for head, share in zip(mdn_rnn.column_head, still.clamp(1e-4, 1.0 - 1e-4), strict=True):
        head.bias[0] = torch.logit(share) / _GAIN
