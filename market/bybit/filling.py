"""From pages into a table of the store: what it lacks, nothing twice, complete pages kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from .ranges import Ranges, join_ranges, missing_ranges
from .table import Columns, Dataset

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)`` in bars of the stretches that are being fetched."""

_FIRST_BATCH_PAGES = 100  # so that even a killed process keeps most of a long download


class Page(Protocol):
    """Everything that the exchange has of ``[start_ms, end_ms)`` [ms UTC]."""

    @property
    def start_ms(self) -> int:
        """Start of the stretch."""

    @property
    def end_ms(self) -> int:
        """Its end, exclusive."""


_PageT = TypeVar("_PageT", bound=Page)
_Part = tuple[int, int, Columns | None]


@dataclass
class Filling:
    """A table that is brought up to date.

    Attributes:
        table: The table.
        progress: Told how far it is.
        batch: Pages that are saved at once, the first time; each time twice as many.
        settled_ms: Until when all rows must have been published [ms UTC]; what lies later counts
            as fetched only up to the newest row. None where rows are there when they should be.
        new_rows: Rows brought so far.
        repaired: What was damaged and is fetched anew, in words; empty if nothing.
    """

    table: Dataset
    progress: Progress | None = None
    batch: int = _FIRST_BATCH_PAGES
    settled_ms: int | None = None
    new_rows: int = 0
    repaired: tuple[str, ...] = ()

    def fill(
        self,
        first: int,
        stop: int,
        pages: Callable[[int, int], Iterable[_PageT]],
        columns: Callable[[_PageT], Columns | None],
    ) -> None:
        """Bring what the table lacks of ``[first, stop)``; all of it anew if its file is damaged.

        Whatever interrupts, complete pages are saved before it is raised.

        Args:
            first: Start of the range [ms UTC].
            stop: Its end, exclusive [ms UTC].
            pages: Gives the pages of a stretch.
            columns: Takes a page apart, and refuses what must not be stored; None without rows.
        """
        wanted = self._wanted(first, stop)
        step = self.table.step_ms or 1
        total = sum(end - start for start, end in wanted) // step

        def parts() -> Iterator[_Part]:
            done = 0
            for start, end in reversed(wanted):
                for page in pages(start, end):
                    yield page.start_ms, page.end_ms, columns(page)
                    done += (page.end_ms - page.start_ms) // step
                    if self.progress:
                        self.progress(done, total)

        self._keep(parts())

    def _wanted(self, first: int, stop: int) -> Ranges:
        damage = self.table.damage()
        if damage is None:
            return missing_ranges(self.table.fetched(), first, stop)
        self.repaired = (damage,)
        return join_ranges(self.table.fetched(damaged=True), ((first, stop),))

    def _keep(self, parts: Iterable[_Part]) -> None:
        """Save pages in batches; the last ones also when something interrupts."""
        unsaved: list[_Part] = []
        batch = self.batch
        try:
            for part in parts:
                unsaved.append(part)
                if len(unsaved) >= batch:
                    self._save(unsaved)
                    unsaved = []
                    batch *= 2  # a save rewrites the file: doubling keeps their sum in proportion
        finally:
            if unsaved:
                self._save(unsaved)

    def _save(self, parts: list[_Part]) -> None:
        time = self.table.columns[0]
        rows = [columns for *_, columns in parts if columns is not None and len(columns[time])]
        ranges = join_ranges(tuple((start, end) for start, end, _ in parts))
        if self.settled_ms is not None:
            step = self.table.step_ms or 1
            newest = max((int(columns[time][-1]) + step for columns in rows), default=0)
            settled = max(newest, self.settled_ms)
            ranges = join_ranges(tuple((start, min(end, settled)) for start, end in ranges))
        self.table.add(rows, ranges)
        self.new_rows += sum(len(columns[time]) for columns in rows)
