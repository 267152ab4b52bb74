"""The account of whoever follows recorded bars as they come: replay's own, bar by bar."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..market.account.broker import ScalarAccount, bars_in_a_row
from ..market.account.rules import BrokerConfig
from ..market.arrays import FloatArray
from ..market.candles import Candles
from ..market.instruments import Instrument
from ..market.sources import funding_per_bar, open_funding

if TYPE_CHECKING:
    from ..market.funding import FundingRates
    from ..market.sources import FundingSource


class PaperAccount:
    """An account settled by what settles replay's: the same bars, the same funding, one kernel.

    Over a gap it is carried in cash, as `chain_episodes` carries a replay's: whatever was held is
    out at the last close before the gap, at no cost, and what follows begins flat, with the equity
    that was left.

    Args:
        broker: The rules.
        funding: What positions pay, anything `open_funding` opens.
        unrecorded_funding_rate: Charged at instants that were due and are not recorded.

    Attributes:
        account: The account since the last gap, whose equity began at 1.
        rates: What is charged, recorded or constant.
        funding: Paid for the newest bar, a fraction of the equity before; negative is received.
    """

    def __init__(
        self,
        broker: BrokerConfig | None = None,
        funding: FundingSource = None,
        unrecorded_funding_rate: float = 0.0,
    ) -> None:
        self.account = ScalarAccount(broker)
        self.rates: FundingRates | float = open_funding(funding)
        self.funding = 0.0
        self._unrecorded = unrecorded_funding_rate
        self._carried = 1.0
        self._instrument: Instrument | None = None  # a feed's bars do not bring it
        self._stands_ms = -1  # open time of the bar at whose close the account stands
        self._pair: FloatArray = np.empty((2, 5))  # that bar, and the one after it

    @property
    def equity(self) -> float:
        """Equity, 1 at the first bar of all."""
        return self.account.equity * self._carried

    def stand(self, bar: Candles) -> None:
        """Stand at the close of a bar [1]; whatever lies between it and the newest is a gap."""
        if self._stands_ms not in (-1, int(bar.open_time_ms[0])):
            self.to_cash()
        self._take(bar)

    def to_cash(self) -> None:
        """What a gap does."""
        self._carried *= self.account.equity
        self.account.reset()
        self.funding = 0.0

    def live(self, target: float, bar: Candles) -> None:
        """Trade at the newest close, then live the bar [1] that comes right after it."""
        if bar.instrument is None and self._instrument is not None:
            bar = replace(bar, instrument=self._instrument)
        before = self.account.equity
        charged = funding_per_bar(self.rates, bar, self._unrecorded)[0] if self.rates else 0.0
        self._take(bar)
        settled = self.account.step(target, bars_in_a_row(self._pair, charged), 1)
        self.funding = settled.funding / before
        if bar.delivery_row == 0:
            self.account.close()

    def _take(self, bar: Candles) -> None:
        """The bar becomes the newest."""
        self._stands_ms, self._instrument = (
            int(bar.open_time_ms[0]),
            bar.instrument or self._instrument,
        )
        prices = (bar.close, bar.open, bar.high, bar.low, bar.turnover)
        self._pair[0], self._pair[1] = self._pair[1], np.concatenate(prices)
