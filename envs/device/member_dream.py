"""Dreams of several world models of one market on a device: see `envs.engine.member_engine`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...market.account.rules import BrokerConfig
from ...market.account.settlement import Bar
from ...market.arrays import IntArray
from ..engine.member_engine import MemberEngine
from .bar_dream import BarDream, BarRest
from .dream import DeviceDream, Market


class MemberDream(DeviceDream):
    """Lanes of which each is drawn by one of a world model's members, and shown by the first.

    Every member draws for all lanes, and one draw of each is taken: a choice between numbers, so that
    a CUDA graph can hold it.

    Args:
        engine: The same dream on the CPU.
        device: Where.
    """

    def __init__(self, engine: MemberEngine, device: torch.device) -> None:
        super().__init__(engine, device)
        self._engine = engine
        self._members = [BarDream(each, device) for each in (engine, *engine.others)]

    def empty(self, lanes: int) -> Market:
        """Room for that many lanes."""
        member = torch.zeros(lanes, dtype=torch.int64, device=self.device)
        return _joined([each.empty(lanes) for each in self._members], member)

    def start(self, segments: IntArray, broker: BrokerConfig) -> Market:
        """The states after recorded warm-ups, one for each segment [L]; computed on the CPU."""
        state, (price, _) = self._engine.start(segments), self._engine.levels(segments)
        seen = zip(self._members, (state.lanes, *state.others), strict=True)
        member = torch.from_numpy(state.member).to(self.device)
        return _joined([each.placed(lanes, price) for each, lanes in seen], member)

    def live(
        self,
        market: Market,
        noise: Tensor,
        actions: Tensor | None,
        funding_rate: Tensor,
        temperature: float,
        broker: BrokerConfig,
    ) -> tuple[Market, Bar]:
        """Dream one bar of every lane; see `DeviceDream.live`."""
        markets, member = _parted(market)
        drawn = self._members[0].draw(markets[0], noise, temperature)
        for number, (each, its) in enumerate(zip(self._members, markets, strict=True)):
            if number:
                own = (member == number).unsqueeze(1)
                drawn = torch.where(own, each.draw(its, noise, temperature), drawn)
        seen = [each.see(its, drawn) for each, its in zip(self._members, markets, strict=True)]
        bar = self._members[0].settled(markets[0], drawn, funding_rate)
        return _joined(seen, member), bar


def _joined(markets: Sequence[Market], member: Tensor) -> Market:
    """The first member's view, then which member draws, then all that the others see."""
    first, *others = markets
    rest = [part for each in others for part in (each.latent, each.hidden, *each.others)]
    return Market(first.latent, first.hidden, (*first.others, member, *rest))


def _parted(market: Market) -> tuple[list[Market], Tensor]:
    """The members' views, and which member draws [L]."""
    size = len(BarRest._fields)
    own, member, rest = market.others[:size], market.others[size], market.others[size + 1 :]
    markets = [Market(market.latent, market.hidden, BarRest(*own))]
    for first in range(0, len(rest), size + 2):
        latent, hidden, *others = rest[first : first + size + 2]
        markets.append(Market(latent, hidden, BarRest(*others)))
    return markets, member
