"""Funding in a dream: a constant rate, or rates drawn from those of the training range."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..market.arrays import FloatArray, IntArray
from ..market.funding import FUNDING_INTERVAL_MS, FundingRates
from ..market.sources import open_funding
from ..models.world_model import WorldModel

if TYPE_CHECKING:
    from ..market.sources import FundingSource


class DreamFunding:
    """Charges funding on the dream's own clock.

    Args:
        source: Anything `open_funding` opens. Recorded rates are drawn from, independently at
            every funding instant, as far as they lie in the world model's training range.
        world_model: The dream.
    """

    def __init__(self, source: FundingSource, world_model: WorldModel) -> None:
        funding = open_funding(source)
        provenance = world_model.provenance
        self._interval_ms = provenance.interval_ms
        if isinstance(funding, FundingRates):
            training = funding.between(provenance.train_start_ms, provenance.train_end_ms)
            self._rates: FloatArray = np.asarray(training.rate)
        else:
            self._rates = np.array([funding])
        self.is_off = not self._rates.any()

    def charge(self, open_time_ms: IntArray, rng: np.random.Generator) -> FloatArray:
        """Rates charged on positions held through bars that open then, any shape.

        A bar with several instants is charged their sum.
        """
        times = np.asarray(open_time_ms)
        charged = np.zeros(times.shape)
        if self.is_off:
            return charged
        before = times // FUNDING_INTERVAL_MS
        instants = (times + self._interval_ms) // FUNDING_INTERVAL_MS - before
        for number in range(int(instants.max(initial=0))):
            drawn = self._rates[rng.integers(len(self._rates), size=times.shape)]
            charged += np.where(instants > number, drawn, 0.0)
        return charged

    def charge_one(self, open_time_ms: int, rng: np.random.Generator) -> float:
        """`charge` of one bar."""
        if self.is_off:
            return 0.0
        before = open_time_ms // FUNDING_INTERVAL_MS
        instants = (open_time_ms + self._interval_ms) // FUNDING_INTERVAL_MS - before
        return sum(self._rates.item(rng.integers(len(self._rates))) for _ in range(instants))
