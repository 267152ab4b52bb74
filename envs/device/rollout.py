"""Whole rollouts on a device: dreams, policies and accounts of many lanes, a chunk of bars at a time.

Every tensor that outlives a chunk is made once and written in place, so that a chunk can be a CUDA
graph. What a chunk makes for itself is gone after it: memory grows with the lanes, not with the
bars of a dream.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ...market.account.rules import BrokerConfig
from ...market.account.settlement import Bar
from ...market.arrays import FloatArray, IntArray
from .account import DeviceAccounts
from .dream import DeviceDream, Market
from .graph import GraphMaker
from .noise import DreamNoise, Staging


class Plan(NamedTuple):
    """What a rollout is made for; what differs between two rollouts of one plan is data.

    Attributes:
        candidates: P, how many policies it has room for.
        dreams: N, how many dreams of each.
        num_bars: T.
        chunk_bars: B, bars of a chunk.
        temperature: τ.
        broker: The account's rules.
        funded: Whether positions are charged funding.
        shared: Whether the candidates share the dreams (`SharedLanes`).
    """

    candidates: int
    dreams: int
    num_bars: int
    chunk_bars: int
    temperature: float
    broker: BrokerConfig
    funded: bool
    shared: bool

    @property
    def fill_delay(self) -> int:
        """Bars between decision and fill, as far as a dream lasts."""
        return min(self.broker.execution.fill_delay, self.num_bars)


class Lanes(Protocol):
    """How candidates and dreams become lanes, and what a chunk does with them."""

    market: Market
    accounts: DeviceAccounts

    def segments(self, segments: IntArray) -> IntArray:
        """Warm-up segments of M's lanes, from those of the dreams [N]."""

    def learn(self, parameters: FloatArray) -> None:
        """Take over the candidates' W and b [P, D + 1]."""

    def step(self, noise: Tensor, funding: Tensor) -> None:
        """Step through a chunk of bars: noise [B, R, N], funding [B, N]."""

    def by_candidate(self, scores: Tensor) -> Tensor:
        """Scores in the shape of the accounts [9, …] as [9, P, N]."""


class Rollout:
    """A plan's tensors on a device, and its graph.

    Args:
        dream: The dream.
        plan: What for.
        graphs: Captures the chunk.
    """

    def __init__(self, dream: DeviceDream, plan: Plan, graphs: GraphMaker) -> None:
        self._dream, self._plan = dream, plan
        kind = SharedLanes if plan.shared else SeparateLanes
        self._lanes: Lanes = kind(dream, plan)
        bars, dreams = plan.chunk_bars, plan.dreams
        self._noise = _zeros(dream, bars, dream.noise_rows, dreams)
        self._funding = _zeros(dream, bars, dreams).double()
        self._staging = Staging(self._noise, self._funding if plan.funded else None)
        # Not through self: a circle would keep the tensors until the garbage collector runs.
        advance = partial(self._lanes.step, self._noise, self._funding)
        self._chunk = graphs.repeated(advance)

    def score(self, parameters: FloatArray, segments: IntArray, noise: DreamNoise) -> FloatArray:
        """Let candidates trade dreams.

        Args:
            parameters: W and b of each candidate [p, D + 1], p ≤ P.
            segments: Warm-up segment of each dream [n], n ≤ N.
            noise: Of these dreams.

        Returns:
            Scores [9, p, n], rows `SCORE_FIELDS`.
        """
        plan, lanes = self._plan, self._lanes
        idle = [(0, plan.candidates - len(parameters)), (0, 0)]
        lanes.learn(np.pad(parameters, idle))
        seeded = lanes.segments(np.pad(segments, (0, plan.dreams - len(segments))))
        lanes.market.put(self._dream.start(seeded, plan.broker))
        lanes.accounts.begin()
        whole, rest = divmod(plan.num_bars, plan.chunk_bars)
        for _ in range(whole):
            self._staging.send(noise, plan.chunk_bars)
            self._chunk()
        if rest:
            self._staging.send(noise, rest)
            lanes.step(self._noise[:rest], self._funding[:rest])
        scores = lanes.by_candidate(lanes.accounts.scores()).cpu().numpy()
        return np.asarray(scores[:, : len(parameters), : len(segments)])

    def forget(self) -> None:
        """Give back the graph."""
        self._chunk.forget()


class SeparateLanes:
    """Every candidate × dream is a lane of M's own, candidate by candidate: L = P · N.

    Candidates hear the same noise. Either preset can dream so; ``paper`` must.

    Args:
        dream: The dream.
        plan: What for.
    """

    def __init__(self, dream: DeviceDream, plan: Plan) -> None:
        self._dream, self._plan = dream, plan
        lanes = plan.candidates * plan.dreams
        self.market = dream.empty(lanes)
        self.accounts = DeviceAccounts((lanes,), plan.broker, plan.fill_delay, dream.device)
        self._policy = _zeros(dream, plan.candidates, _policy_size(dream, plan))  # [P, D + 1]

    def segments(self, segments: IntArray) -> IntArray:
        """See `Lanes`."""
        return np.tile(segments, self._plan.candidates)

    def learn(self, parameters: FloatArray) -> None:
        """See `Lanes`."""
        self._policy.copy_(torch.from_numpy(np.asarray(parameters, dtype=np.float32)))

    def step(self, noise: Tensor, funding: Tensor) -> None:
        """See `Lanes`."""
        plan, market = self._plan, self.market
        self.accounts.open()
        for row, rates in zip(noise, funding, strict=True):
            action = self._choose(market)  # [L], float32
            market, bar = self._dream.live(
                market,
                row.repeat(1, plan.candidates),  # [R, L]
                action.unsqueeze(1),
                rates.repeat(plan.candidates),
                plan.temperature,
                plan.broker,
            )
            self.accounts.step(action.double(), bar)
        self.accounts.close()
        self.market.put(market)

    def by_candidate(self, scores: Tensor) -> Tensor:
        """See `Lanes`."""
        return scores.view(-1, self._plan.candidates, self._plan.dreams)

    def _choose(self, market: Market) -> Tensor:
        """Target weights [L], as `population.policies.choose_actions`: float32 throughout."""
        size = self._plan.candidates
        account = self.accounts.seen().float().T  # [L, K]
        seen = torch.cat([market.latent, market.hidden, account], dim=1)  # [L, D]
        weights, bias = self._policy[:, :-1, None], self._policy[:, -1:, None]
        score = torch.baddbmm(bias, seen.view(size, -1, seen.shape[1]), weights)  # [P, N, 1]
        return score.view(-1).tanh()


class SharedLanes:
    """All candidates trade the same N dreams, which no action moves (``market``).

    A chunk is dreamed first; the market's share of all its targets is then one matrix product, and
    the accounts [N, P] follow bar by bar.

    Args:
        dream: The dream.
        plan: What for.
    """

    def __init__(self, dream: DeviceDream, plan: Plan) -> None:
        self._dream, self._plan = dream, plan
        self.market = dream.empty(plan.dreams)
        shape = (plan.dreams, plan.candidates)
        self.accounts = DeviceAccounts(shape, plan.broker, plan.fill_delay, dream.device)
        self._policy = _zeros(dream, _policy_size(dream, plan), plan.candidates)  # [D + 1, P]

    def segments(self, segments: IntArray) -> IntArray:
        """See `Lanes`."""
        return segments

    def learn(self, parameters: FloatArray) -> None:
        """See `Lanes`."""
        self._policy.copy_(torch.from_numpy(np.asarray(parameters.T, dtype=np.float32)))

    def step(self, noise: Tensor, funding: Tensor) -> None:
        """See `Lanes`."""
        market, bars = self.market, []
        size = market.latent.shape[1] + market.hidden.shape[1]
        views = market.latent.new_empty(len(noise), self._plan.dreams, size)  # [B, N, D - 1]
        for view, row, rates in zip(views, noise, funding, strict=True):
            torch.cat([market.latent, market.hidden], dim=1, out=view)
            market, bar = self._dream_bar(market, row, rates)
            bars.append(bar)
        share = self._policy[size:-1].double().unsqueeze(1)  # of the account's inputs [K, 1, P]
        self.accounts.open()
        for score, bar in zip(self._scores(views), bars, strict=True):
            action = (score.double() + (share * self.accounts.seen()).sum(dim=0)).tanh()
            self.accounts.step(action, bar)
        self.accounts.close()
        self.market.put(market)  # only now: the first bar's columns are this market's own tensors

    def by_candidate(self, scores: Tensor) -> Tensor:
        """See `Lanes`."""
        return scores.transpose(1, 2)

    def _dream_bar(self, market: Market, noise: Tensor, rates: Tensor) -> tuple[Market, Bar]:
        """One bar of all dreams, its columns [N, 1]."""
        temperature, broker = self._plan.temperature, self._plan.broker
        market, bar = self._dream.live(market, noise, None, rates, temperature, broker)
        return market, Bar(*(column.unsqueeze(1) for column in bar))

    def _scores(self, views: Tensor) -> Tensor:
        """The market's share of each candidate's score before each bar [B, N, P]."""
        weights = self._policy[: views.shape[-1]]
        scores = torch.addmm(self._policy[-1], views.flatten(0, 1), weights)
        return scores.view(*views.shape[:2], -1)


def _policy_size(dream: DeviceDream, plan: Plan) -> int:
    """Parameters of a linear controller, D + 1: z, h, the account's inputs and a constant."""
    inputs = len(plan.broker.view.account_observation)
    size: int = dream.config.latent_size + dream.config.hidden_size + inputs + 1
    return size


def _zeros(dream: DeviceDream, *shape: int) -> Tensor:
    """Zeros in float32, whatever PyTorch's default type is."""
    return torch.zeros(shape, dtype=torch.float32, device=dream.device)
