"""A range of time from an endpoint that answers by pages: newest first, nothing lost, nothing twice.

All of Bybit's histories are asked for in this one way: candles, funding rates, and the series
beside candles. What differs is how an endpoint calls its bounds, and how much a page holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import FloatArray, IntArray
from ..errors import BybitAnswerError
from ..times import format_time


@dataclass(frozen=True)
class SeriesPage:
    """Everything that the exchange has of one stretch of time.

    Attributes:
        time_ms: Times of the rows in ``[start_ms, end_ms)`` [n], ms UTC, increasing.
        values: Their numbers [n, k], in the endpoint's order of columns.
        start_ms: Start of the stretch [ms UTC].
        end_ms: Its end, exclusive [ms UTC].
    """

    time_ms: IntArray
    values: FloatArray
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class Rows:
    """One answer's rows as sent, the cursor of the next page, and the server's time [ms UTC]."""

    rows: list[Any]
    time_ms: int
    cursor: str = ""


Ask = Callable[[str, Mapping[str, str | int]], Rows]
"""Sends a path and its parameters."""


@dataclass(frozen=True)
class Listing:
    """How one endpoint lists rows of time.

    Attributes:
        path: The endpoint.
        params: What it is asked beside the bounds.
        read: Takes an answer's rows apart: times [n] and numbers [n, k].
        limit: Rows a page.
        bounds: Names of its first and last millisecond, both inclusive.
        step_ms: Spacing of its rows, which are of periods; None where it is free.
        cursor: Whether pages go on by a cursor. Such an endpoint is asked for no more than a page
            holds, so that it does not matter from which side it begins.
        subject: The symbol, for messages.
    """

    path: str
    params: Mapping[str, str | int]
    read: Callable[[list[Any]], tuple[IntArray, FloatArray]]
    limit: int
    bounds: tuple[str, str] = ("startTime", "endTime")
    step_ms: int | None = None
    cursor: bool = False
    subject: str = ""

    def floor(self, start_ms: int, end_ms: int) -> int:
        """Start of the longest stretch before an end that is asked for at once."""
        if not self.cursor or self.step_ms is None:
            return start_ms
        return max(start_ms, end_ms - self.limit * self.step_ms)


@dataclass(frozen=True)
class _Page:
    time_ms: IntArray  # [n], of closed periods
    values: FloatArray  # [n, k]
    oldest_ms: int | None  # of all rows inside the stretch, an open period's included
    end_ms: int  # end of the stretch, or where its first open period starts
    off_range: bool  # rows came, all of them outside the stretch


def newest_first(ask: Ask, listing: Listing, start_ms: int, end_ms: int) -> Iterator[SeriesPage]:
    """Rows of ``[start_ms, end_ms)``, newest page first, without overlap.

    Together the pages cover the range down to where the exchange stops answering. A row counts as
    absent only after the exchange has left it out twice.

    Args:
        ask: Sends a request.
        listing: The endpoint.
        start_ms: Start of the range [ms UTC].
        end_ms: Its end, exclusive [ms UTC].

    Raises:
        BybitError: See its subclasses.
    """
    upper, asked_again = end_ms, False
    while upper > start_ms:
        floor = listing.floor(start_ms, upper)
        page = _ask(ask, listing, floor, upper)
        if page.oldest_ms is not None:
            if page.oldest_ms < page.end_ms:
                yield _completed(ask, listing, page)
            upper, asked_again = page.oldest_ms, False
        elif not asked_again:
            asked_again = True
        elif page.off_range:
            return
        else:
            yield SeriesPage(page.time_ms, page.values, floor, upper)
            upper, asked_again = floor, False


def _completed(ask: Ask, listing: Listing, page: _Page) -> SeriesPage:
    """The page, asked for a second time if rows are absent inside it."""
    times, values, start_ms = page.time_ms, page.values, page.oldest_ms
    assert start_ms is not None
    step_ms = listing.step_ms
    if step_ms is not None and len(times) < (page.end_ms - start_ms) // step_ms:
        again = _ask(ask, listing, start_ms, page.end_ms)
        times, values = unique_rows(
            np.concatenate([times, again.time_ms]),
            np.concatenate([values, again.values]),
            listing.subject,
        )
    return SeriesPage(times, values, start_ms, page.end_ms)


def _ask(ask: Ask, listing: Listing, start_ms: int, end_ms: int) -> _Page:
    first, last = listing.bounds
    params = {**listing.params, "limit": listing.limit, first: start_ms, last: end_ms - 1}
    answer = ask(listing.path, params)
    rows = list(answer.rows)
    seen = {""}
    # A page that holds every period there is needs no further one.
    while (
        listing.cursor and answer.cursor not in seen and not _full(listing, rows, start_ms, end_ms)
    ):
        seen.add(answer.cursor)
        answer = ask(listing.path, {**params, "cursor": answer.cursor})
        rows += answer.rows
    times, values = listing.read(rows)
    inside = (times >= start_ms) & (times < end_ms)
    times, values = unique_rows(times[inside], values[inside], listing.subject)
    oldest = int(times[0]) if len(times) else None
    if listing.step_ms is not None:
        # Hosts behind one name may disagree about the time: this answer's own must agree, too.
        still_open = times[times + listing.step_ms > answer.time_ms]
        if len(still_open):
            end_ms = int(still_open[0])
            times, values = times[times < end_ms], values[times < end_ms]
    return _Page(times, values, oldest, end_ms, off_range=bool(rows) and oldest is None)


def _full(listing: Listing, rows: list[Any], start_ms: int, end_ms: int) -> bool:
    assert listing.step_ms is not None
    return len(rows) >= (end_ms - start_ms) // listing.step_ms


def unique_rows(times: IntArray, values: FloatArray, subject: str) -> tuple[IntArray, FloatArray]:
    """Rows in order of time, each once; two that contradict each other are an error."""
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    repeated = np.zeros(len(times), dtype=bool)
    repeated[1:] = np.diff(times) == 0
    for row in np.flatnonzero(repeated):
        if (values[row] != values[row - 1]).any():
            raise BybitAnswerError(
                f"{subject} at {format_time(int(times[row]))}: two rows of the same time differ"
            )
    return times[~repeated], values[~repeated]
