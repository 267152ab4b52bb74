"""The dream step of the best-known PyTorch world-models repository, rebuilt from its architecture.

ctallec/world-models: an LSTM cell of 256 units over [action (3), latent (32)], one linear layer to
5 Gaussians with independent dimensions, a reward and an end; the component drawn by
`torch.distributions`, the latent by the reparametrisation; a linear controller over
[latent, h]; actions pass through numpy, as through an environment's `step`. One lane, eager. The
image decoder, which its dream environment also runs, is left out: without it the step is faster.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ACTIONS, LATENTS, HIDDEN, GAUSSIANS = 3, 32, 256, 5


class DreamStep:
    """One lane that acts and dreams.

    Args:
        seed: Of weights and draws.
    """

    def __init__(self, seed: int = 0) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.cell = nn.LSTMCell(ACTIONS + LATENTS, HIDDEN)
            self.head = nn.Linear(HIDDEN, GAUSSIANS * (2 * LATENTS + 1) + 2)
            self.controller = nn.Linear(LATENTS + HIDDEN, ACTIONS)
        self.latent = torch.zeros(1, LATENTS)
        self.state = (torch.zeros(1, HIDDEN), torch.zeros(1, HIDDEN))

    @torch.no_grad()
    def step(self) -> tuple[float, bool]:
        """Act, then dream one step: the reward, and whether the episode is over."""
        seen = torch.cat([self.latent, self.state[0]], dim=1)
        action = self.controller(seen).squeeze(0).numpy()
        means, sigmas, log_weights, reward, end = self._predict(torch.from_numpy(action)[None])
        weights = log_weights.squeeze(0).exp()
        chosen = int(torch.distributions.Categorical(weights).sample().item())
        mean = means[:, chosen]
        self.latent = mean + sigmas[:, chosen] * torch.randn_like(mean)
        return reward.item(), end.item() > 0

    def _predict(self, action: Tensor) -> tuple[Tensor, ...]:
        self.state = self.cell(torch.cat([action, self.latent], dim=1), self.state)
        sizes = [GAUSSIANS * LATENTS, GAUSSIANS * LATENTS, GAUSSIANS, 1, 1]
        means, log_sigmas, logits, reward, end = self.head(self.state[0]).split(sizes, dim=1)
        shape = (-1, GAUSSIANS, LATENTS)
        log_weights = torch.log_softmax(logits, dim=-1)
        return means.view(shape), log_sigmas.view(shape).exp(), log_weights, reward, end
