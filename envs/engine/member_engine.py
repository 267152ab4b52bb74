"""Dreams of several world models of one market: a dream draws its bars from one of them.

What was learned of a market is not certain, and members that learned from other seeds differ where it
is least so (Lakshminarayanan et al. 2017). Whichever member draws a lane's bars, the lane shows the z
and h that the first makes of them, as replay does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...market.arrays import BoolArray, FloatArray, IntArray
from ...market.candles import Candles
from ...models.bar_world_model import BarWorldModel, chosen, side_by_side
from ...models.bars.packed import BarLanes
from .bar_engine import STILL, BarEngine, BarState
from .base import Noise
from .some_lanes import SomeLanes


class MemberState(BarState):
    """Where each of N lanes is, as every member sees it; see `BarState`.

    Args:
        lanes: As the first member sees them, which is what they show.
        others: As the others see them.
        member: Which member draws each lane's bars [N].
    """

    def __init__(self, lanes: BarLanes, others: Sequence[BarLanes], member: IntArray) -> None:
        super().__init__(lanes)
        self.others = tuple(others)
        self.member = member

    def put(self, lanes: BoolArray | IntArray, other: BarState) -> None:
        """Overwrite some lanes with another state's."""
        assert isinstance(other, MemberState)
        super().put(lanes, other)
        self.member[lanes] = other.member
        for mine, theirs in zip(self.others, other.others, strict=True):
            BarState(mine).put(lanes, BarState(theirs))

    def taken(self, which: IntArray) -> MemberState:
        """Copies of some lanes, each drawn by the same member as before."""
        others = [chosen(lanes, which) for lanes in self.others]
        return MemberState(chosen(self.lanes, which), others, self.member[which])

    def joined(self, others: Sequence[BarState]) -> MemberState:
        """The lanes of this state and, behind them, of others."""
        states = [self, *(other for other in others if isinstance(other, MemberState))]
        return MemberState(
            side_by_side([state.lanes for state in states]),
            [side_by_side(lanes) for lanes in zip(*(s.others for s in states), strict=True)],
            np.concatenate([state.member for state in states]),
        )

    def repeated(self, count: int) -> MemberState:
        """Every lane so often, side by side, drawn by one member after the other from its own on."""
        rows = np.repeat(np.arange(len(self.member)), count)
        turns = np.tile(np.arange(count), len(self.member))
        members = (self.member[rows] + turns) % (1 + len(self.others))
        return MemberState(
            chosen(self.lanes, rows), [chosen(each, rows) for each in self.others], members
        )


class MemberEngine(BarEngine):
    """Steps any number of lanes, each through one of a world model's members; see `BarEngine`.

    A lane costs about twice what it does through the first member: one member draws, the first follows.
    """

    def __init__(self, world_model: BarWorldModel, warmup: int | None = None) -> None:
        super().__init__(world_model, warmup)
        self._others = [BarEngine(other, warmup) for other in world_model.others]
        self._some = SomeLanes(world_model.config)

    @property
    def others(self) -> tuple[BarEngine, ...]:
        """The members after the first, each by itself."""
        return tuple(self._others)

    def start(self, segments: IntArray) -> MemberState:
        """The states after the warm-up segments of those indices [N]; see `num_segments`."""
        member, rows = np.divmod(np.asarray(segments), len(self.world_model.bank))
        others = [other.start(rows).lanes for other in self._others]
        return MemberState(super().start(rows).lanes, others, member)

    def after(self, candles: Candles, rows: IntArray) -> MemberState:
        """The state of N lanes at the closes of recorded bars [N], the first member to draw."""
        others = [other.after(candles, rows).lanes for other in self._others]
        first = np.zeros(len(rows), dtype=np.int64)
        return MemberState(super().after(candles, rows).lanes, others, first)

    def step(
        self,
        state: BarState,
        weights: FloatArray,
        noise: Noise,
        temperature: float = 1.0,
        forced: FloatArray | None = None,
    ) -> FloatArray:
        """Dream one bar of every lane; see `BarEngine.step`."""
        assert isinstance(state, MemberState)
        tau, shown = np.float32(temperature), state.lanes
        given = self.lead(state, noise, tau, forced)
        self._step(0, shown, np.flatnonzero(~given), noise, tau)
        self._step(0, shown, np.flatnonzero(given), noise, tau, forced=True)
        return shown.drawn[:, 0].copy()

    def expect(self, state: BarState) -> FloatArray:
        """See `BarEngine.expect`; each lane's by the member that will draw it."""
        assert isinstance(state, MemberState)
        views = zip((self, *self._others), (state.lanes, *state.others), strict=True)
        every = np.stack([engine.expected(lanes) for engine, lanes in views])
        return np.asarray(every[state.member, np.arange(len(state.member))])

    def lead(
        self,
        state: MemberState,
        noise: Noise,
        temperature: np.float32,
        forced: FloatArray | None = None,
    ) -> BoolArray:
        """Let the members after the first step, before the first does.

        Args:
            state: Their lanes are moved, and the first member's are given the bars that they drew.
            noise: Of this step.
            temperature: τ.
            forced: Bars [N, 4 + D] that did happen, which all follow.

        Returns:
            The lanes [N] whose bars are given thus, and which the first member is to follow.
        """
        shown, everywhere = state.lanes, np.arange(len(state.member))
        if forced is not None:
            shown.drawn[:, : forced.shape[-1]] = forced
        for number, lanes in enumerate(state.others, 1):
            if forced is None:
                own = np.flatnonzero(state.member == number)
                self._step(number, lanes, own, noise, temperature)
                shown.drawn[own] = lanes.drawn[own]
            else:
                lanes.drawn[:, : forced.shape[-1]] = forced
                self._step(number, lanes, everywhere, noise, temperature, forced=True)
        given: BoolArray = (state.member > 0) | (forced is not None)
        return given

    def follow(self, state: MemberState) -> None:
        """Let the members after the first live the bars that others have drawn."""
        for number, lanes in enumerate(state.others, 1):
            behind = np.flatnonzero(state.member != number)
            lanes.drawn[behind] = state.lanes.drawn[behind]
            self._step(number, lanes, behind, STILL, np.float32(1.0), forced=True)

    def _step(
        self,
        number: int,
        lanes: BarLanes,
        which: IntArray,
        noise: Noise,
        temperature: np.float32,
        forced: bool = False,
    ) -> None:
        """Step some of the lanes as that member does, counted from 0."""
        network = self._others[number - 1].network if number else self.network
        self._some.step(network, lanes, which, noise.table, temperature, forced)
