"""Teachers: what several networks forecast together, one learns (Hinton, Vinyals & Dean 2015).

The mean of several densities forecasts better than one of them, since each errs in its own way. So a few
networks are taught what forecasts the next return, and the world model then learns from returns that
they draw beside the one that came: of every bar as many as one likes, where the market shows one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..mixture import sample_mixture
from .bar_ranges import BarRange
from .learner import Learner

_DRAWS = 2  # of each teacher for each bar of a batch


@dataclass(frozen=True)
class Teachers:
    """Networks that have learned what forecasts the next return, without memory.

    Attributes:
        learners: Each by itself.
    """

    learners: Sequence[Learner]

    @torch.no_grad()
    def draw(self, data: BarRange, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Standardised returns that may follow bars [N, 2 x teachers], each teacher's own.

        Args:
            data: The range.
            rows: Bars of it [N].
            generator: Of chance.
        """
        drawn = []
        for learner in self.learners:
            known = learner.vae.outlook(data.features[rows])
            calendars = learner.mdn_rnn.calendars(data.cells[rows])
            mixture = learner.mdn_rnn.return_mixture(learner.mdn_rnn.trunk(known, calendars))
            for _ in range(_DRAWS):
                uniforms = torch.rand(len(rows), generator=generator).to(rows.device)
                normals = torch.randn((len(rows), 1), generator=generator).to(rows.device)
                drawn.append(sample_mixture(mixture, uniforms, normals))
        return torch.cat(drawn, dim=1)
