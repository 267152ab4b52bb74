"""V, M and the outlook's head as they learn together: what they forecast of a range, and remember of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...market.arrays import CHUNK_BARS
from ..bars.networks import BarRNN, BarVAE
from ..feature_range import Run
from ..mixture import Mixture, mixture_log_prob
from .bar_ranges import OUTLOOK, BarRange

_LEAD_BARS, _PIECE_BARS, _PIECES = 1_024, 8_192, 32  # of a run of more than a chunk of bars


class Learner(nn.Module):
    """V, M and the outlook's head, whose weights are drawn from the seed: what the stages share."""

    def __init__(self, vae: BarVAE, mdn_rnn: BarRNN, seed: int = 0) -> None:
        super().__init__()
        self.vae, self.mdn_rnn = vae, mdn_rnn
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.outlook = nn.Linear(mdn_rnn.now.out_features, len(OUTLOOK))


def return_loss(
    learner: Learner,
    trunk: Tensor,
    train: BarRange,
    rows: Tensor,
    config: Any,
    drawn: Tensor | None = None,
) -> Tensor:
    """Of the next return: its NLL and how far the mean strays, the NLL of what teachers draw, the outlook.

    Args:
        learner: What learns.
        trunk: The layer before the return's head at the rows [..., T].
        train: The range.
        rows: Bars of it [...].
        config: The settings.
        drawn: Standardised returns of teachers [..., D], each as likely; None without teachers.
    """
    mixture = learner.mdn_rnn.return_mixture(trunk)
    nll = -mixture_log_prob(mixture, train.bars[rows][..., :1]).mean()
    asked = train.outlook[rows]
    error = (learner.outlook(trunk) - asked.nan_to_num()) ** 2 * asked.isfinite()
    outlook = (error * error.new_tensor(OUTLOOK)).sum(-1).mean()
    mean, variance = moments(mixture)
    strays = (mean * mean / variance).mean()
    loss: Tensor = nll + config.mean_weight * strays
    if drawn is not None:
        logits, means, log_sigmas = mixture
        each = Mixture(logits.unsqueeze(-2), means.unsqueeze(-3), log_sigmas.unsqueeze(-3))
        taught = -mixture_log_prob(each, drawn.unsqueeze(-1)).mean()
        loss = loss.lerp(taught, config.teacher_weight)
    total: Tensor = loss + config.outlook_weight * outlook
    return total


def moments(mixture: Mixture) -> tuple[Tensor, Tensor]:
    """Mean and variance of mixtures of one dimension, each [...]."""
    weights = torch.softmax(mixture.logits, dim=-1)
    means, sigmas = mixture.means[..., 0], mixture.log_sigmas[..., 0].exp()
    mean = (weights * means).sum(-1)
    variance = (weights * (sigmas**2 + means**2)).sum(-1) - mean**2
    return mean, variance.clamp(min=1e-8)


def return_nll(learner: nn.Module, data: BarRange) -> float:
    """Mean -log p of the standardised return of the bars that count."""
    return float(return_losses(learner, data).mean())


@torch.no_grad()
def return_losses(learner: nn.Module, data: BarRange) -> Tensor:
    """-log p of the standardised return of each bar that counts [N], float64."""
    assert isinstance(learner, Learner)
    parts = [
        -mixture_log_prob(mixture, data.bars[rows][..., :1]).double()
        for rows, mixture in return_mixtures(learner, data)
    ]
    return torch.cat(parts)


def return_mixtures(learner: Learner, data: BarRange) -> Iterator[tuple[Tensor, Mixture]]:
    """Chunks of the rows that count, and the forecasts of the bars after them."""
    heard = heard_of(learner, data)
    for rows in torch.split(data.rows, CHUNK_BARS):
        yield rows, learner.mdn_rnn.return_mixture(trunk_of(learner, data, heard, rows))


class Heard(NamedTuple):
    """What the return's head hears at every bar, of parts that do not learn.

    Attributes:
        known: The forecasting numbers of z [T, Z'].
        hidden: M's state [T, H]; None where the head hears nothing of it.
    """

    known: Tensor
    hidden: Tensor | None


@torch.no_grad()
def heard_of(learner: Learner, data: BarRange) -> Heard:
    """What the return's head hears of a range; see `Heard`."""
    known = forecasting_numbers(learner.vae, data)
    return Heard(known, _remembered(learner, data, known))


def trunk_of(learner: Learner, data: BarRange, heard: Heard, rows: Tensor) -> Tensor:
    """The layer before the return's head at some rows [N, trunk]."""
    hidden = None if heard.hidden is None else heard.hidden[rows]
    calendars = learner.mdn_rnn.calendars(data.cells[rows])
    return learner.mdn_rnn.trunk(heard.known[rows], calendars, hidden)


@torch.no_grad()
def forecasting_numbers(vae: BarVAE, data: BarRange) -> Tensor:
    """The first numbers of z at every bar [T, Z']."""
    size = vae.forecast_size
    parts = torch.split(data.features, CHUNK_BARS)
    return torch.cat([vae.encode(rows).mean[:, :size] for rows in parts])


def remembered(learner: Learner, data: BarRange) -> Tensor | None:
    """M's state after every bar [T, H]; None where its return's head hears nothing of it."""
    if not learner.mdn_rnn.before.weight.any():
        return None
    return _remembered(learner, data, forecasting_numbers(learner.vae, data))


@torch.no_grad()
def _remembered(learner: Learner, data: BarRange, known: Tensor) -> Tensor | None:
    """`remembered`, from the forecasting numbers of z [T, Z']."""
    mdn_rnn = learner.mdn_rnn
    if not mdn_rnn.before.weight.any():
        return None
    hidden = known.new_zeros(len(known), mdn_rnn.hidden_size)
    for start, stop in data.runs:
        if stop - start <= CHUNK_BARS:
            rows = slice(start, stop)
            calendars = mdn_rnn.calendars(data.cells[rows])
            hidden[rows] = mdn_rnn.remember(known[None, rows], calendars[None])[0]
        else:
            _remember_long(mdn_rnn, data, known, (start, stop), hidden)
    return hidden


def _remember_long(
    mdn_rnn: BarRNN, data: BarRange, known: Tensor, run: Run, hidden: Tensor
) -> None:
    """M's states along a run too long for one sequence, into ``hidden`` [T, H].

    Pieces of it side by side, each after `_LEAD_BARS` of the bars before it: from there on M has
    forgotten that it began with zeros.
    """
    start, stop = run
    hidden[start : start + _LEAD_BARS] = mdn_rnn.remember(
        known[None, start : start + _LEAD_BARS],
        mdn_rnn.calendars(data.cells[None, start : start + _LEAD_BARS]),
    )[0]
    firsts = torch.arange(start + _LEAD_BARS, stop, _PIECE_BARS)
    for some in torch.split(firsts, _PIECES):
        rows = some[:, None] + torch.arange(-_LEAD_BARS, _PIECE_BARS)
        there = rows < stop
        rows = rows.clamp(max=stop - 1)
        states = mdn_rnn.remember(known[rows], mdn_rnn.calendars(data.cells[rows]))
        kept = there[:, _LEAD_BARS:]
        hidden[rows[:, _LEAD_BARS:][kept]] = states[:, _LEAD_BARS:][kept]
