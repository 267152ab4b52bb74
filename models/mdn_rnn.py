"""M: an LSTM with mixture density heads (Graves 2013; Ha & Schmidhuber 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..market.arrays import Float32Array, IntArray
from ..market.features import calendar
from .config import Preset, WorldModelConfig
from .mixture import Mixture, mixture_log_prob, mixture_size, sample_mixture, split_mixture
from .vae import LATENT_LIMIT

CALENDAR_SIZE = 4


class State(NamedTuple):
    """What M remembers.

    Attributes:
        hidden: h [N, H]; every element in (-1, 1).
        cell: c [N, H].
        latent: The latent that entered last [N, Z].
    """

    hidden: Tensor
    cell: Tensor
    latent: Tensor


class Draw(NamedTuple):
    """One sampled step.

    Attributes:
        scaled_return: The standardised log return u [N], or None where it is decoded from z.
        latent: z_{t+1} [N, Z].
    """

    scaled_return: Tensor | None
    latent: Tensor


class MDNRNN(nn.Module):
    """The market's dynamics in latent space.

    ``market``: the LSTM's input is [z_t, calendar of bar t+1]. The return comes first, u ~
    p(u | h_t), a K-component mixture of the standardised return; then the other latent dimensions,
    p(z | h_t, z_t, u). The first dimension is asinh(u): return and latent agree by construction.

    ``paper``: the input is [z_t, a_t, calendar]; all of z_{t+1} comes from one mixture with
    independent dimensions inside a component.

    Args:
        preset: ``"market"`` or ``"paper"``.
        latent_size: Z.
        hidden_size: H.
        num_components: K.
        head_size: Hidden units of the ``market`` head of z.

    Attributes:
        held: Dimensions of z that are 0 and not drawn; see `hold`.
    """

    def __init__(
        self,
        preset: Preset,
        latent_size: int,
        hidden_size: int,
        num_components: int,
        head_size: int,
    ) -> None:
        super().__init__()
        self.preset = preset
        self.latent_size = latent_size
        self.hidden_size = hidden_size
        self.num_components = num_components
        self.action_size = int(preset == "paper")
        self.held: tuple[int, ...] = ()
        self._is_held: Tensor
        self.lstm = nn.LSTM(
            latent_size + self.action_size + CALENDAR_SIZE, hidden_size, batch_first=True
        )
        if preset == "market":
            drawn = latent_size - 1
            self.return_head = nn.Linear(hidden_size, mixture_size(num_components, 1))
            self.latent_hidden = nn.Linear(hidden_size + latent_size + 1, head_size)
            self.latent_head = nn.Linear(head_size, mixture_size(num_components, drawn))
            self.persistence = nn.Parameter(torch.full((drawn,), 0.5))
            _spread(self.return_head, num_components, 1)
            _spread(self.latent_head, num_components, drawn)
        else:
            self.latent_head = nn.Linear(hidden_size, mixture_size(num_components, latent_size))
            _spread(self.latent_head, num_components, latent_size)

    def hold(self, dimensions: Sequence[int]) -> None:
        """Hold dimensions of z, which V holds too, at exactly 0: mean and deviation become 0.

        It is V's knowledge (`VAE.held_dimensions`), not a parameter, and no part of M's state.
        """
        self.held = tuple(dimensions)
        first = self.latent_size - self._drawn_size
        held = torch.zeros(self._drawn_size, dtype=torch.bool)
        held[[d - first for d in self.held]] = True
        self.register_buffer("_is_held", held, persistent=False)

    @property
    def _drawn_size(self) -> int:
        """Dimensions of z's mixture: all but the carried return (``market``)."""
        return self.latent_size - int(self.preset == "market")

    def initial_state(self, count: int) -> State:
        """The state [N, ...] of zeros from which a warm-up starts."""
        weight = self.lstm.all_weights[0][1]
        return State(
            weight.new_zeros(count, self.hidden_size),
            weight.new_zeros(count, self.hidden_size),
            weight.new_zeros(count, self.latent_size),
        )

    def inputs(self, latent: Tensor, calendar_next: Tensor, action: Tensor | None) -> Tensor:
        """The LSTM's input [..., I] from z_t [..., Z], calendar of bar t+1 [..., 4], a_t [..., 1]."""
        if not self.action_size:
            return torch.cat([latent, calendar_next], dim=-1)
        if action is None:
            action = torch.zeros_like(latent[..., :1])
        return torch.cat([latent, action, calendar_next], dim=-1)

    def forward(
        self,
        latents: Tensor,
        calendars_next: Tensor,
        actions: Tensor | None = None,
        state: State | None = None,
    ) -> tuple[Tensor, State]:
        """Run over sequences: latents [B, T, Z] to the hidden states after each bar [B, T, H]."""
        carried = None
        if state is not None:
            carried = (state.hidden.unsqueeze(0), state.cell.unsqueeze(0))
        hidden, (h, c) = self.lstm(self.inputs(latents, calendars_next, actions), carried)
        return hidden, State(h.squeeze(0), c.squeeze(0), latents[:, -1])

    def advance(
        self, latent: Tensor, calendar_next: Tensor, action: Tensor | None, state: State
    ) -> State:
        """One LSTM step: z_t [N, Z], the calendar of bar t+1 [N, 4] and a_t [N, 1] enter."""
        input_weight, hidden_weight, input_bias, hidden_bias = self.lstm.all_weights[0]
        inputs = self.inputs(latent, calendar_next, action)
        gates = nn.functional.linear(inputs, input_weight, input_bias)
        gates = gates + nn.functional.linear(state.hidden, hidden_weight, hidden_bias)
        i, f, g, o = gates.chunk(4, dim=-1)
        cell = torch.sigmoid(f) * state.cell + torch.sigmoid(i) * torch.tanh(g)
        return State(torch.sigmoid(o) * torch.tanh(cell), cell, latent)

    def return_mixture(self, hidden: Tensor) -> Mixture:
        """p(u_{t+1} | h_t) over the standardised log return [..., K, 1] (``market``)."""
        return split_mixture(self.return_head(hidden), self.num_components, 1)

    def latent_mixture(
        self, hidden: Tensor, latent: Tensor, carried_next: Tensor | None = None
    ) -> Mixture:
        """The mixture of z_{t+1}.

        Args:
            hidden: h_t [..., H].
            latent: z_t [..., Z].
            carried_next: asinh of the drawn return [..., 1] (``market``).

        Returns:
            ``market``: over dimensions 1 … Z-1, given the return. ``paper``: over all of z. A held
            dimension has mean 0 and log σ of -inf.
        """
        if self.preset == "paper":
            raw = self.latent_head(hidden)
            return self._known(split_mixture(raw, self.num_components, self.latent_size))
        if carried_next is None:
            raise ValueError("the market preset draws z given the return: carried_next is needed")
        inner = torch.relu(self.latent_hidden(torch.cat([hidden, latent, carried_next], dim=-1)))
        mixture = split_mixture(self.latent_head(inner), self.num_components, self.latent_size - 1)
        kept = self.persistence * latent[..., 1:]
        return self._known(mixture._replace(means=mixture.means + kept.unsqueeze(-2)))

    def _known(self, mixture: Mixture) -> Mixture:
        """The mixture with what is held at 0 known exactly."""
        if not self.held:
            return mixture
        means = mixture.means.masked_fill(self._is_held, 0.0)
        return Mixture(mixture.logits, means, mixture.log_sigmas.masked_fill(self._is_held, -inf))

    def drawn(self, mixture: Mixture) -> Mixture:
        """Of a mixture of z the dimensions that are drawn, which alone have a density."""
        if not self.held:
            return mixture
        means, log_sigmas = (part[..., ~self._is_held] for part in mixture[1:])
        return Mixture(mixture.logits, means, log_sigmas)

    def _latent_log_prob(self, mixture: Mixture, values: Tensor) -> Tensor:
        """Log density [...] of what of z is drawn, at values [..., D]."""
        if self.held:
            values = values[..., ~self._is_held]
        return mixture_log_prob(self.drawn(mixture), values)

    def log_prob(
        self, hidden: Tensor, latent: Tensor, latent_next: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Log densities of what came next, each [...].

        Args:
            hidden: h_t [..., H].
            latent: z_t [..., Z].
            latent_next: z_{t+1} [..., Z].
            mask: Factors of h [..., H] as the head of returns sees it (``paper``: the head of z):
                dropout in training.

        Returns:
            ``market``: of the standardised return, and of the other latent dimensions given it.
            ``paper``: zero, and of z_{t+1}. Dimensions that are held count in neither.
        """
        seen = hidden if mask is None else hidden * mask
        if self.preset == "paper":
            both = self._latent_log_prob(self.latent_mixture(seen, latent), latent_next)
            return torch.zeros_like(both), both
        carried = latent_next[..., :1]
        returns = mixture_log_prob(self.return_mixture(seen), torch.sinh(carried))
        latents = self._latent_log_prob(
            self.latent_mixture(hidden, latent, carried), latent_next[..., 1:]
        )
        return returns, latents

    def sample_next(
        self, state: State, uniforms: Tensor, normals: Tensor, temperature: float = 1.0
    ) -> Draw:
        """Draw the next bar from injected noise.

        Args:
            state: After `advance`.
            uniforms: [N, 2]: the component of the return, the component of z (``paper`` uses the
                second alone).
            normals: [N, 1 + Z]: ``market``: column 0 for the return, 2 … Z for latent dimensions
                1 … Z-1. ``paper``: columns 1 … Z for z.
            temperature: τ ≥ 0.
        """
        if self.preset == "paper":
            mixture = self.latent_mixture(state.hidden, state.latent)
            latent = sample_mixture(mixture, uniforms[:, 1], normals[:, 1:], temperature)
            return Draw(None, latent.clamp(-LATENT_LIMIT, LATENT_LIMIT))
        returns = self.return_mixture(state.hidden)
        scaled = sample_mixture(returns, uniforms[:, 0], normals[:, :1], temperature)
        carried = torch.asinh(scaled)
        mixture = self.latent_mixture(state.hidden, state.latent, carried)
        rest = sample_mixture(mixture, uniforms[:, 1], normals[:, 2:], temperature)
        latent = torch.cat([carried, rest], dim=-1).clamp(-LATENT_LIMIT, LATENT_LIMIT)
        return Draw(scaled[:, 0], latent)


def _spread(head: nn.Linear, num_components: int, dimensions: int) -> None:
    """Start the components at different widths, so that they part at once."""
    with torch.no_grad():
        head.bias.zero_()
        widths = torch.linspace(-1.5, 0.5, num_components).repeat_interleave(dimensions)
        head.bias[num_components * (1 + dimensions) :] = widths


def build_mdn_rnn(config: WorldModelConfig, seed: int) -> MDNRNN:
    """M with weights drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MDNRNN(
            config.preset,
            config.latent_size,
            config.hidden_size,
            config.num_components,
            config.head_size,
        )


def warmup_inputs(
    latents: Float32Array,
    last_open_time_ms: IntArray,
    interval_ms: int,
    market: bool,
) -> tuple[Float32Array, Float32Array]:
    """What M hears in a warm-up: latents [N, W, Z] and the calendars of the bars after [N, W, 4].

    In ``paper`` (not ``market``) the last bar is left out: it enters with the first action.
    """
    bars = np.arange(latents.shape[1]) - (latents.shape[1] - 1)
    times = np.asarray(last_open_time_ms)[:, None] + bars * interval_ms
    heard = slice(None) if market else slice(-1)
    return latents[:, heard], calendar(times + interval_ms)[:, heard]
