"""What a fetch got, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass

from ..candles import Gap
from ..times import format_time


@dataclass(frozen=True)
class SeriesReport:
    """What a fetch got of one table of series.

    Attributes:
        name: The table's name.
        rows: Periods that it has now.
        new_rows: Periods downloaded by this call.
        start_ms: Time of the first [ms UTC]; None without any.
        end_ms: Time of the last [ms UTC]; None without any.
        missing: Periods that the exchange does not have between them.
        repaired: What was damaged in the store and fetched anew, in words.
    """

    name: str
    rows: int
    new_rows: int
    start_ms: int | None
    end_ms: int | None
    missing: int
    repaired: tuple[str, ...] = ()

    def __str__(self) -> str:
        """A line for the console."""
        if self.start_ms is None or self.end_ms is None:
            return f"{self.name}: the exchange has none"
        return (
            f"{self.name}: {self.rows:,} periods ({self.new_rows:,} new), {self.missing:,} missing, "
            f"{format_time(self.start_ms)} to {format_time(self.end_ms)}"
        )


@dataclass(frozen=True)
class FetchReport:
    """What a fetch got.

    Attributes:
        symbol: The instrument's name.
        interval: Bybit's code.
        category: ``linear``, ``inverse`` or ``spot``.
        bars: Bars of the asked range now in the store.
        start_ms: Open time of the first of them [ms UTC]; None without bars.
        end_ms: End of the last of them, exclusive [ms UTC]; None without bars.
        ended_ms: When the contract ends or ended [ms UTC]; None where no end is known.
        gaps: Bars that the exchange does not have inside that range.
        new_bars: Bars downloaded by this call.
        funding_rates: Funding rates of the asked range now in the store.
        new_funding_rates: Funding rates downloaded by this call.
        repaired: What was damaged in the store and fetched anew, in words.
        requests: HTTP requests sent.
        seconds: Wall time.
        folder: Where the candles lie.
        series: What was got beside candles and funding rates.
    """

    symbol: str
    interval: str
    category: str
    bars: int
    start_ms: int | None
    end_ms: int | None
    ended_ms: int | None
    gaps: tuple[Gap, ...]
    new_bars: int
    funding_rates: int
    new_funding_rates: int
    repaired: tuple[str, ...]
    requests: int
    seconds: float
    folder: str
    series: tuple[SeriesReport, ...] = ()

    def __str__(self) -> str:
        """A few lines for the console."""
        lines = [f"repaired: {text}" for text in self.repaired]
        lines.append(
            f"{self.category} {self.symbol} {self.interval}: {self.bars:,} bars "
            f"({self.new_bars:,} new), {self.funding_rates:,} funding rates "
            f"({self.new_funding_rates:,} new), {self.requests} requests, {self.seconds:.1f} s"
        )
        if self.start_ms is not None and self.end_ms is not None:
            lines.append(f"range: {format_time(self.start_ms)} to {format_time(self.end_ms)}")
        if self.ended_ms is not None:
            lines.append(f"the contract's end: {format_time(self.ended_ms)}")
        missing = sum(gap.missing_bars for gap in self.gaps)
        lines.append(f"gaps: {len(self.gaps)} ({missing:,} bars missing)")
        lines.extend(
            f"  {gap.missing_bars:,} bars after {format_time(gap.after_ms)}"
            for gap in self.gaps[:10]
        )
        lines.extend(map(str, self.series))
        return "\n".join([*lines, f"folder: {self.folder}"])
