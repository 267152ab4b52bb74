"""Times that are given by flags: read, and held against the record, before any work is done."""

from __future__ import annotations

from collections.abc import Mapping

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import CandleError, ConfigError
from worldmodel_trading.market.times import Time, format_time, to_ms

_FIRST_BARS = ("start",)  # these name a bar; the others are ends, exclusive


def flag(name: str) -> str:
    """How a setting is called on the command line."""
    return f"--{name.replace('_', '-')}"


def read_times(times: Mapping[str, Time | None]) -> dict[str, int]:
    """The times that are given [ms UTC], by name.

    Args:
        times: By the settings' names; None where none is given.

    Raises:
        ConfigError: One is no time, or they are not in the order in which they are listed.
    """
    read: dict[str, int] = {}
    for name, time in times.items():
        if time is None:
            continue
        try:
            moment = to_ms(time)
        except CandleError as error:
            raise ConfigError(f"{flag(name)}: {error}") from None
        for earlier, before in read.items():
            if before >= moment:
                raise ConfigError(
                    f"{flag(name)} is {format_time(moment)}, not later than {flag(earlier)}, "
                    f"{format_time(before)}"
                )
        read[name] = moment
    return read


def refuse_outside(candles: Candles, times: Mapping[str, Time | None]) -> None:
    """Refuse times outside the record.

    Args:
        candles: The record.
        times: By the settings' names, in the order that they must have.

    Raises:
        ConfigError: One is; it is called by its flag.
    """
    first, end = int(candles.open_time_ms[0]), int(candles.open_time_ms[-1]) + candles.interval_ms
    for name, moment in read_times(times).items():
        inside = first <= moment < end if name in _FIRST_BARS else first < moment <= end
        if not inside:
            raise ConfigError(
                f"{flag(name)} is {format_time(moment)}, outside the record: {candles.symbol} "
                f"{candles.interval} runs from {format_time(first)} to {format_time(end)}"
            )
