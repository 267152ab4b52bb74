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
from .config import PaperConfig
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


class MDNRNN(nn.Module):
    """The market's dynamics in latent space, as Ha & Schmidhuber 2018 have them.

    The input is [z_t, a_t, calendar of bar t+1]; all of z_{t+1} comes from one mixture of K
    components, with independent dimensions inside a component.

    Args:
        latent_size: Z.
        hidden_size: H.
        num_components: K.

    Attributes:
        held: Dimensions of z that are 0 and not drawn; see `hold`.
    """

    def __init__(self, latent_size: int, hidden_size: int, num_components: int) -> None:
        super().__init__()
        self.latent_size = latent_size
        self.hidden_size = hidden_size
        self.num_components = num_components
        self.held: tuple[int, ...] = ()
        self._is_held: Tensor
        self.lstm = nn.LSTM(latent_size + 1 + CALENDAR_SIZE, hidden_size, batch_first=True)
        self.latent_head = nn.Linear(hidden_size, mixture_size(num_components, latent_size))
        _spread(self.latent_head, num_components, latent_size)

    def hold(self, dimensions: Sequence[int]) -> None:
        """Hold dimensions of z, which V holds too, at exactly 0: mean and deviation become 0.

        It is V's knowledge (`VAE.held_dimensions`), not a parameter, and no part of M's state.
        """
        self.held = tuple(dimensions)
        held = torch.zeros(self.latent_size, dtype=torch.bool)
        held[list(self.held)] = True
        self.register_buffer("_is_held", held, persistent=False)

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

    def latent_mixture(self, hidden: Tensor) -> Mixture:
        """The mixture of z_{t+1} from h_t [..., H]; a held dimension has mean 0 and log σ of -inf."""
        mixture = split_mixture(self.latent_head(hidden), self.num_components, self.latent_size)
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

    def log_prob(self, hidden: Tensor, latent_next: Tensor, mask: Tensor | None = None) -> Tensor:
        """Log density [...] of z_{t+1}; dimensions that are held do not count.

        Args:
            hidden: h_t [..., H].
            latent_next: z_{t+1} [..., Z].
            mask: Factors of h [..., H] as the head sees it: dropout in training.
        """
        mixture = self.latent_mixture(hidden if mask is None else hidden * mask)
        if self.held:
            latent_next = latent_next[..., ~self._is_held]
        return mixture_log_prob(self.drawn(mixture), latent_next)

    def sample_next(
        self, state: State, uniforms: Tensor, normals: Tensor, temperature: float = 1.0
    ) -> Tensor:
        """Draw z_{t+1} [N, Z] from injected noise.

        Args:
            state: After `advance`.
            uniforms: [N]: the component.
            normals: [N, Z]: where inside it.
            temperature: τ ≥ 0.
        """
        mixture = self.latent_mixture(state.hidden)
        latent = sample_mixture(mixture, uniforms, normals, temperature)
        return latent.clamp(-LATENT_LIMIT, LATENT_LIMIT)


def _spread(head: nn.Linear, num_components: int, dimensions: int) -> None:
    """Start the components at different widths, so that they part at once."""
    if head.bias.is_meta:  # there are no numbers to set, and to try would load PyTorch's compiler
        return
    with torch.no_grad():
        head.bias.zero_()
        widths = torch.linspace(-1.5, 0.5, num_components).repeat_interleave(dimensions)
        head.bias[num_components * (1 + dimensions) :] = widths


def build_mdn_rnn(config: PaperConfig, seed: int) -> MDNRNN:
    """M with weights drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MDNRNN(config.latent_size, config.hidden_size, config.num_components)


def warmup_inputs(
    latents: Float32Array, last_open_time_ms: IntArray, interval_ms: int
) -> tuple[Float32Array, Float32Array]:
    """What M hears in a warm-up: latents [N, W - 1, Z] and the calendars of the bars after them.

    The last of the latents [N, W, Z] is left out: it enters with the first action.
    """
    bars = np.arange(latents.shape[1]) - (latents.shape[1] - 1)
    times = np.asarray(last_open_time_ms)[:, None] + bars * interval_ms
    return latents[:, :-1], calendar(times + interval_ms)[:, :-1]
