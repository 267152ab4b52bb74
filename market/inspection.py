"""What is odd about candles that are valid: accepted, but worth a person's look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .arrays import BoolArray, FloatArray
from .candles import Candles
from .sources import open_candles
from .times import format_time

if TYPE_CHECKING:
    from .sources import CandleSource

VWAP_TOLERANCE = 0.001  # of the bar's high and low; exchanges round volume and turnover
JUMP_FACTOR = 3.0  # between successive prices; no liquid market has moved so far in one bar
QUIET_RUN = 24  # bars


@dataclass(frozen=True)
class Finding:
    """One oddity.

    Attributes:
        kind: ``gap``, ``volume_turnover_swapped``, ``vwap_outside_bar``, ``price_jump``,
            ``delivery``, ``zero_volume`` or ``stale_price``.
        row: The first row concerned.
        time_ms: That row's open time [ms UTC].
        bars: How many bars are concerned; of a gap, how many are missing; of a delivery, how many
            lie after it.
        message: What is odd, in words.
    """

    kind: str
    row: int
    time_ms: int
    bars: int
    message: str

    def __str__(self) -> str:
        return f"row {self.row} ({format_time(self.time_ms)}): {self.message}"


@np.errstate(over="ignore")
def inspect_candles(candles: CandleSource) -> list[Finding]:
    """Everything odd about these candles, in order of row; an empty list is a clean record.

    Gaps, one finding each. Average traded prices (turnover ÷ volume) outside their bars by more
    than 0.1%, as one finding, which says so if volume and turnover look swapped. Prices that
    change more than threefold between neighbouring bars or inside one. The contract's end, where the
    instrument has one inside the record. Runs of 24 bars and more
    without volume, or whose price stands still.

    Args:
        candles: Anything `open_candles` opens.
    """
    candles = open_candles(candles)
    findings = [
        *_gaps(candles),
        *_average_prices(candles),
        *_jumps(candles),
        *_delivery(candles),
        *_runs(candles, candles.volume == 0, "zero_volume", "without volume"),
        *_runs(candles, _stale(candles), "stale_price", "whose price stands still"),
    ]
    return sorted(findings, key=lambda finding: finding.row)


def _finding(candles: Candles, kind: str, row: int, bars: int, message: str) -> Finding:
    return Finding(kind, row, int(candles.open_time_ms[row]), bars, message)


def _delivery(candles: Candles) -> list[Finding]:
    row = candles.delivery_row
    if row is None or candles.instrument is None:
        return []
    after = len(candles) - row - 1
    ended = format_time(candles.instrument.delivery_time_ms)
    unplayed = f", and the {after} {_bars(after)} after it are not played" if after else ""
    message = f"the contract ended on {ended}: accounts are closed at this bar's close{unplayed}"
    return [_finding(candles, "delivery", row, after, message)]


def _gaps(candles: Candles) -> list[Finding]:
    return [
        _finding(
            candles,
            "gap",
            gap.row,
            gap.missing_bars,
            f"{gap.missing_bars} {_bars(gap.missing_bars)} missing after "
            f"{format_time(gap.after_ms)}; no window reaches across",
        )
        for gap in candles.gaps()
    ]


def _average_prices(candles: Candles) -> list[Finding]:
    """Volume-weighted average prices that the bar's own range denies."""
    traded = (candles.volume > 0) & (candles.turnover > 0)
    outside = traded & ~_inside(candles, candles.turnover, candles.volume)
    count = int(np.count_nonzero(outside))
    if not count:
        return []
    row = int(np.argmax(outside))
    of_all = f"{count} of {int(np.count_nonzero(traded))} traded {_bars(count)}"
    swapped = outside & _inside(candles, candles.volume, candles.turnover)
    if 2 * np.count_nonzero(swapped) > np.count_nonzero(traded):
        message = f"volume and turnover look swapped: volume ÷ turnover is the price in {of_all}"
        return [_finding(candles, "volume_turnover_swapped", row, count, message)]
    message = (
        f"turnover ÷ volume is {candles.turnover[row] / candles.volume[row]:.10g}, outside the "
        f"bar's {candles.low[row]:.10g} to {candles.high[row]:.10g} ({of_all})"
    )
    return [_finding(candles, "vwap_outside_bar", row, count, message)]


def _inside(candles: Candles, value: FloatArray, amount: FloatArray) -> BoolArray:
    """Whether value ÷ amount lies in its bar; by products, since an amount may be zero or tiny."""
    above = value >= candles.low * (1 - VWAP_TOLERANCE) * amount
    below = value <= candles.high * (1 + VWAP_TOLERANCE) * amount
    return above & below


def _jumps(candles: Candles) -> list[Finding]:
    findings = []
    log_close = np.log(candles.close)
    limit = np.log(JUMP_FACTOR)
    for row in np.flatnonzero(np.abs(np.diff(log_close)) > limit) + 1:
        before, after = candles.close[row - 1], candles.close[row]
        message = f"close goes from {before:.10g} to {after:.10g}, {_times(after / before)}"
        findings.append(_finding(candles, "price_jump", int(row), 1, message))
    for row in np.flatnonzero(np.log(candles.high) - np.log(candles.low) > limit):
        low, high = candles.low[row], candles.high[row]
        message = f"the bar reaches from {low:.10g} to {high:.10g}, {_times(high / low)}"
        findings.append(_finding(candles, "price_jump", int(row), 1, message))
    return findings


def _stale(candles: Candles) -> BoolArray:
    still: BoolArray = candles.high == candles.low
    still[1:] &= candles.close[1:] == candles.close[:-1]
    return still


def _runs(candles: Candles, condition: BoolArray, kind: str, what: str) -> list[Finding]:
    edges = np.flatnonzero(np.diff(condition, prepend=False, append=False))
    return [
        _finding(candles, kind, int(start), int(stop - start), f"{stop - start} bars {what}")
        for start, stop in edges.reshape(-1, 2)
        if stop - start >= QUIET_RUN
    ]


def _bars(count: int) -> str:
    return "bar" if count == 1 else "bars"


def _times(ratio: float) -> str:
    return f"{ratio:.4g} times" if ratio >= 1 else f"a {1 / ratio:.4g}th"
