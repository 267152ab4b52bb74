"""V and M of a market of bars, as PyTorch trains them.

V tells what the features of a bar amount to. M draws the next bar: its log return, then its upper
and lower wick, then its volume, each from a mixture (Bishop 1994) given what was drawn before. The
features of the drawn bar are computed as those of a recorded one, V encodes them, and M remembers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...market.clock import CALENDAR_CELLS
from ..mixture import Mixture, mixture_log_prob, split_mixture
from ..vae import LATENT_LIMIT, Posterior, gaussian_kl
from .config import MarketConfig

FEATURE_LIMIT = 6.0
"""Standardised features are clipped to [-6, 6] before V sees them."""

WICK_FLOOR = 0.01
"""Of the return's scale: what a wick of 0 is told as to the heads that come after."""

SIZE_FLOOR = 0.03
"""Of the return's scale: the same of a bar that has not left its open."""

RETURN_PARTS, UPPER_PARTS, LOWER_PARTS = 3, 5, 7
"""Numbers that the return, then the wicks, tell the heads after them: the last of each is how far the
bar reaches by then, since what a quiet close leaves of a bar's height its wicks make up."""

_GAIN = 3.0  # of the heads: their weights learn as much faster
_MEAN_STEP = 0.1  # a component's mean is this many of its deviations per unit


class BarVAE(nn.Module):
    """V: standardised features [..., F] to z [..., Z].

    The first numbers of z are trained to forecast (supervised), and known exactly; the others are
    those of a VAE (Kingma & Welling 2014), whose decoder sees all of z.

    Args:
        feature_size: F.
        config: The settings.
    """

    def __init__(self, feature_size: int, config: MarketConfig) -> None:
        super().__init__()
        self.latent_size, self.forecast_size = config.latent_size, config.forecast_size
        hidden, learned = config.vae_hidden_size, config.latent_size - config.forecast_size
        self.forecast_hidden = nn.Linear(feature_size, hidden)
        self.forecast_out = nn.Linear(hidden, config.forecast_size)
        self.encoder_hidden = nn.Linear(feature_size, hidden // 2)
        self.encoder_out = nn.Linear(hidden // 2, 2 * learned)
        self.decoder = nn.Sequential(
            nn.Linear(config.latent_size, hidden), nn.SiLU(), nn.Linear(hidden, feature_size)
        )
        self.decoder_log_variance = nn.Parameter(torch.zeros(feature_size))

    def outlook(self, features: Tensor, dropout: float = 0.0) -> Tensor:
        """The first numbers of z; dropout hides hidden units where the module trains."""
        hidden = functional.silu(self.forecast_hidden(features))
        known: Tensor = self.forecast_out(functional.dropout(hidden, dropout, self.training))
        return known

    def encode(self, features: Tensor) -> Posterior:
        """q(z|x); the first numbers' log variance is -inf."""
        features = features.clamp(-FEATURE_LIMIT, FEATURE_LIMIT)
        known = self.outlook(features)
        hidden = functional.silu(self.encoder_hidden(features))
        mean, log_variance = self.encoder_out(hidden).chunk(2, dim=-1)
        mean = torch.cat([known, mean], dim=-1).clamp(-LATENT_LIMIT, LATENT_LIMIT)
        exact = torch.full_like(known, -torch.inf)
        return Posterior(mean, torch.cat([exact, log_variance.clamp(-9.0, 4.0)], dim=-1))

    def decode(self, latent: Tensor) -> Tensor:
        """Expected standardised features [..., F]."""
        features: Tensor = self.decoder(latent)
        return features

    def kl(self, posterior: Posterior) -> Tensor:
        """KL(q(z|x) ‖ N(0, 1)) of each learned number of z [B, Z - Z']."""
        known = self.forecast_size
        return gaussian_kl(posterior.mean[..., known:], posterior.log_variance[..., known:])


class BarDensities(NamedTuple):
    """Log densities of a bar's parts, each [...], nats.

    Attributes:
        log_return: Of the standardised log return.
        upper: Of the upper wick, in log units of the return's scale; its probability where it is 0.
        lower: The same of the lower wick.
        volume: Of the relative log volume.
    """

    log_return: Tensor
    upper: Tensor
    lower: Tensor
    volume: Tensor


class BarRNN(nn.Module):
    """M: an LSTM over [z, calendar], and the heads of the next bar.

    Args:
        feature_size: F, which the head of volume sees besides: z alone would lose it.
        config: The settings.

    Attributes:
        return_scale: Deviation of the training range's log returns: the unit of returns and wicks [1].
        calibration: What dreams are corrected by [4]: shift of the return's log σ, shift of relative
            volume, pull of the market's level, and where it is pulled to (standardised).
        noise_calibration: Added in dreams to every log σ of the upper wick, the lower wick and volume [3].
        mean_trust: The share of the varying mean forecast that is kept, and the mean around which it
            varies [2], in units of `return_scale`.
        drift: Added to every return's mean, in units of `return_scale`: an assumption of dreams, no part of
            what was learned, and not kept (`models.drift`).
        tick_size: The grid that dreamed prices lie on [quote currency], 0 for none; None where nobody
            looked yet. The world model reads it from its bank.
        column_scale: Deviation of the changes of each dreamed column, standardised [J].
    """

    def __init__(self, feature_size: int, config: MarketConfig) -> None:
        super().__init__()
        self.latent_size, self.hidden_size = config.latent_size, config.hidden_size
        self.forecast_size, self.num_components = config.forecast_size, config.num_components
        inputs = config.forecast_size + config.calendar_size
        k, trunk, head = config.num_components, config.trunk_size, config.head_size
        self.calendar = nn.Parameter(torch.empty(CALENDAR_CELLS, config.calendar_size))
        # on the meta device nothing is to be drawn, and to try would load PyTorch's compiler
        has_numbers = not self.calendar.is_meta
        if has_numbers:
            nn.init.normal_(self.calendar).data.mul_(0.1)
        self.lstm = nn.LSTM(inputs, config.hidden_size, batch_first=True)
        self.now = nn.Linear(inputs, trunk)
        self.before = nn.Linear(config.hidden_size, trunk, bias=False)
        self.return_head = nn.Linear(trunk, 3 * k)
        self.upper_hidden = nn.Linear(trunk + RETURN_PARTS, head)
        self.upper_head = nn.Linear(head, 1 + 3 * k)
        self.lower_hidden = nn.Linear(trunk + UPPER_PARTS, head)
        self.lower_head = nn.Linear(head, 1 + 3 * k)
        seen = trunk + feature_size + config.calendar_size
        self.volume_hidden = nn.Linear(seen + LOWER_PARTS, head)
        self.volume_head = nn.Linear(head, 3 * k)
        self.register_buffer("return_scale", torch.ones(1))
        self.register_buffer("calibration", torch.zeros(4))
        self.register_buffer("noise_calibration", torch.zeros(3))
        self.register_buffer("mean_trust", torch.tensor([1.0, 0.0]))
        self.drift = 0.0
        self.tick_size: float | None = None
        self.return_scale: Tensor
        self.calibration: Tensor
        self.noise_calibration: Tensor
        self.mean_trust: Tensor
        self.column_scale: Tensor
        self.column_hidden: Any
        self.column_head: Any
        dreamed = range(len(config.dreamed))
        if dreamed:  # and nothing else is drawn for the networks without
            told = seen + LOWER_PARTS + 1
            self.column_hidden = nn.ModuleList(nn.Linear(told + j, head) for j in dreamed)
            self.column_head = nn.ModuleList(nn.Linear(head, 1 + 3 * k) for _ in dreamed)
            self.register_buffer("column_scale", torch.ones(len(dreamed)))
        if has_numbers:
            heads = (self.return_head, self.upper_head, self.lower_head, self.volume_head)
            self._begin((*heads, *(self.column_head if dreamed else ())))

    @torch.no_grad()
    def _begin(self, heads: Sequence[nn.Linear]) -> None:
        """Start without memory, and with components of different widths."""
        self.before.weight.zero_()
        for head in heads:
            head.weight.mul_(0.1)
            head.bias.zero_()
            k = self.num_components
            head.bias[-k:] = torch.linspace(-1.5, 0.5, k) / _GAIN

    def calendars(self, cells: Tensor) -> Tensor:
        """What M is told of a bar's calendar [..., C], from its cells [..., 2]."""
        return self.calendar[cells].sum(dim=-2)

    def remember(self, known: Tensor, calendars: Tensor) -> Tensor:
        """H after each bar [B, T, H]: forecasting numbers of z [B, T, Z'], next calendars."""
        hidden: Tensor = self.lstm(torch.cat([known, calendars], dim=-1))[0]
        return hidden

    def trunk(self, known: Tensor, calendars: Tensor, hidden: Tensor | None = None) -> Tensor:
        """The layer that the return is drawn from [..., T]."""
        inner = self.now(torch.cat([known, calendars], dim=-1))
        if hidden is not None:
            inner = inner + self.before(hidden)
        return functional.silu(inner)

    def return_mixture(self, trunk: Tensor, shift: Tensor | None = None) -> Mixture:
        """p(r / return_scale) [..., K, 1]; means are told in deviations of their component.

        Args:
            trunk: [..., T].
            shift: Added to every log σ [...], as dreams do (`calibration`); None adds nothing.
        """
        raw = split_mixture(_GAIN * self.return_head(trunk), self.num_components, 1)
        if shift is not None:
            raw = raw._replace(log_sigmas=raw.log_sigmas + shift[..., None, None])
        means = _MEAN_STEP * raw.means * raw.log_sigmas.exp()
        share, level = self.mean_trust
        weights = torch.softmax(raw.logits, dim=-1)[..., None]
        strays = (weights * means).sum(dim=-2, keepdim=True) - level
        return raw._replace(means=means - (1.0 - share) * strays + self.drift)

    def wick(self, side: str, trunk: Tensor, parts: Tensor) -> tuple[Tensor, Mixture]:
        """Logit that the wick is exactly 0 [...], and the mixture of its log units [..., K, 1]."""
        hidden = functional.silu(getattr(self, f"{side}_hidden")(torch.cat([trunk, parts], dim=-1)))
        raw = _GAIN * getattr(self, f"{side}_head")(hidden)
        return raw[..., 0], split_mixture(raw[..., 1:], self.num_components, 1)

    def volume_mixture(
        self, trunk: Tensor, features: Tensor, calendars: Tensor, parts: Tensor
    ) -> Mixture:
        """The mixture of the relative log volume [..., K, 1]."""
        seen = torch.cat([features, calendars, trunk, parts], dim=-1)
        hidden = functional.silu(self.volume_hidden(seen))
        return split_mixture(_GAIN * self.volume_head(hidden), self.num_components, 1)

    def bar_log_prob(
        self, trunk: Tensor, features: Tensor, calendars: Tensor, bars: Tensor
    ) -> BarDensities:
        """Log densities of the bars that came.

        Args:
            trunk: [..., T].
            features: Standardised, of the bar before [..., F].
            calendars: Of the bars that came [..., C].
            bars: Log return, upper wick and lower wick, each ÷ `return_scale`, and the relative log
                volume [..., 4].
        """
        returns = self.return_mixture(trunk)
        log_scale = mean_log_scale(returns)
        heights = bars[..., :3].abs().cumsum(dim=-1)
        parts = return_parts(bars[..., 0], log_scale)
        upper = self._wick_log_prob("upper", trunk, parts, bars[..., 1], log_scale)
        told = wick_parts(bars[..., 1], heights[..., 1], log_scale)
        parts = torch.cat([parts, told], dim=-1)
        lower = self._wick_log_prob("lower", trunk, parts, bars[..., 2], log_scale)
        told = wick_parts(bars[..., 2], heights[..., 2], log_scale)
        parts = torch.cat([parts, told], dim=-1)
        volume = self.volume_mixture(trunk, features, calendars, parts)
        return BarDensities(
            mixture_log_prob(returns, bars[..., :1]),
            upper,
            lower,
            mixture_log_prob(volume, bars[..., 3:4]),
        )

    def column_log_prob(
        self, trunk: Tensor, features: Tensor, calendars: Tensor, bars: Tensor
    ) -> Tensor:
        """Log densities of the dreamed columns' changes that came [..., J], each given those before it.

        A change of exactly 0 counts with its probability.

        Args:
            trunk: [..., T].
            features: Standardised, of the bar before [..., F].
            calendars: Of the bars that came [..., C].
            bars: As for `bar_log_prob`, then the columns' changes, standardised, ÷ `column_scale`
                [..., 4 + J].
        """
        log_scale = mean_log_scale(self.return_mixture(trunk))
        heights = bars[..., :3].abs().cumsum(dim=-1)
        parts = [trunk, return_parts(bars[..., 0], log_scale)]
        parts += [wick_parts(bars[..., i], heights[..., i], log_scale) for i in (1, 2)]
        parts += [features, calendars, bars[..., 3:4]]
        densities = []
        for j, change in enumerate(bars[..., 4:].unbind(-1)):
            logit, mixture = self.change_mixture(j, torch.cat(parts, dim=-1))
            drawn = functional.logsigmoid(-logit) + mixture_log_prob(mixture, change[..., None])
            densities.append(torch.where(change == 0.0, functional.logsigmoid(logit), drawn))
            parts.append(change[..., None])
        return torch.stack(densities, dim=-1)

    def change_mixture(self, number: int, told: Tensor) -> tuple[Tensor, Mixture]:
        """Logit that a dreamed column stays as it is [...], and the mixture of its change [..., K, 1]."""
        hidden = functional.silu(self.column_hidden[number](told))
        raw = _GAIN * self.column_head[number](hidden)
        return raw[..., 0], split_mixture(raw[..., 1:], self.num_components, 1)

    def _wick_log_prob(
        self, side: str, trunk: Tensor, parts: Tensor, wick: Tensor, log_scale: Tensor
    ) -> Tensor:
        logit, mixture = self.wick(side, trunk, parts)
        is_none = wick <= 0.0
        units = torch.log(wick.clamp(min=1e-12)) - log_scale
        drawn = functional.logsigmoid(-logit) + mixture_log_prob(mixture, units[..., None])
        return torch.where(is_none, functional.logsigmoid(logit), drawn)


def mean_log_scale(mixture: Mixture) -> Tensor:
    """Σ π_k log σ_k of a mixture of one dimension [...]: the scale that wicks are measured in."""
    weights = torch.softmax(mixture.logits, dim=-1)
    return (weights * mixture.log_sigmas[..., 0]).sum(-1)


def return_parts(scaled: Tensor, log_scale: Tensor) -> Tensor:
    """What the return tells the heads after it [..., 3]: asinh of its units, the scale, its size."""
    units = scaled * torch.exp(-log_scale)
    return torch.stack([torch.asinh(units), log_scale, _log_size(units.abs())], dim=-1)


def wick_parts(wick: Tensor, height: Tensor, log_scale: Tensor) -> Tensor:
    """What a wick tells the heads after it [..., 2]: its own log units, and those of the bar so far.

    Args:
        wick: ÷ `BarRNN.return_scale` [...].
        height: The return's size and the wicks until this one, likewise [...].
        log_scale: See `mean_log_scale` [...].
    """
    unit = torch.exp(-log_scale)
    return torch.stack([torch.log(wick * unit + WICK_FLOOR), _log_size(height * unit)], dim=-1)


def _log_size(units: Tensor) -> Tensor:
    return torch.log(units + SIZE_FLOOR)


def build_bar_networks(config: MarketConfig, seed: int) -> tuple[BarVAE, BarRNN]:
    """V and M with weights drawn from the seed."""
    size = len(config.features.names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BarVAE(size, config), BarRNN(size, config)
