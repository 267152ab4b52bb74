"""Funding in a dream: a constant rate, or rates drawn from those of the training range."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..market.arrays import FloatArray, IntArray
from ..market.funding import FundingRates, constant_clock
from ..market.sources import open_funding
from ..models.load import dreamed_instrument
from ..models.world_model import WorldModel

if TYPE_CHECKING:
    from ..market.sources import FundingSource, InstrumentSource


class DreamFunding:
    """Charges funding on the dream's own clock.

    Recorded rates are drawn from, independently at every funding instant, as far as they lie in the
    world model's training range. An instant is due when it was due then, before and after that range
    as at its ends; and a rate is drawn from those of the same interval, because a rate an hour is no
    rate for 8 h.

    Args:
        source: Anything `open_funding` opens.
        world_model: The dream.
        instrument: Whose present funding interval a constant rate follows; see
            `dreamed_instrument`.
    """

    def __init__(
        self, source: FundingSource, world_model: WorldModel, instrument: InstrumentSource = None
    ) -> None:
        funding = open_funding(source)
        provenance = world_model.provenance
        self._interval_ms = provenance.interval_ms
        if isinstance(funding, FundingRates):
            training = funding.between(provenance.train_start_ms, provenance.train_end_ms)
            self._clock = training.clock
            intervals = np.array([grid.interval_ms for grid in self._clock.grids])
            stretch = np.maximum(self._clock.stretch(self._clock.counted(training.time_ms)), 0)
            of_rate = intervals[stretch]
            order = np.argsort(of_rate, kind="stable")
            self._rates: FloatArray = training.rate[order]
            # Where the rates of each stretch's interval begin, and how many there are [S].
            self._first = np.searchsorted(of_rate[order], intervals)
            self._count = np.searchsorted(of_rate[order], intervals, side="right") - self._first
        else:
            self._clock = constant_clock(dreamed_instrument(world_model, instrument))
            self._rates = np.array([funding])
            self._first, self._count = np.zeros(1, dtype=np.intp), np.ones(1, dtype=np.intp)
        grids = self._clock.grids
        self._grid = grids[0] if len(grids) == 1 else None  # the only one
        self.is_off = not self._rates.any()

    def charge(self, open_time_ms: IntArray, rng: np.random.Generator) -> FloatArray:
        """Rates charged on positions held through bars that open then, any shape.

        A bar with several instants is charged their sum.
        """
        times = np.asarray(open_time_ms)
        charged = np.zeros(times.shape)
        if self.is_off:
            return charged
        before = self._clock.counted(times)
        instants = self._clock.counted(times + self._interval_ms) - before
        for number in range(int(instants.max(initial=0))):
            drawn = self._rates[self._draw(before + number + 1, rng)]
            charged += np.where(instants > number, drawn, 0.0)
        return charged

    def charge_one(self, open_time_ms: int, rng: np.random.Generator) -> float:
        """`charge` of one bar."""
        if self.is_off:
            return 0.0
        if self._grid is None:
            return self.charge(np.array([open_time_ms]), rng).item()
        interval_ms, phase_ms = self._grid
        instants = ((open_time_ms - phase_ms) % interval_ms + self._interval_ms) // interval_ms
        charged = 0.0
        if instants:
            for _ in range(instants):
                charged += self._rates.item(rng.integers(len(self._rates)))
        return charged

    def _draw(self, instants: IntArray, rng: np.random.Generator) -> NDArray[np.integer]:
        """Which rate is charged at instants, numbered as the clock counts them, any shape."""
        if len(self._count) == 1:
            return rng.integers(len(self._rates), size=instants.shape)
        stretch = self._clock.stretch(instants)
        rows: NDArray[np.integer] = self._first[stretch] + rng.integers(self._count[stretch])
        return rows
