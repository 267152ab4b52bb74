"""Walk-forward windows: each tested on bars that come after everything its world model has seen."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.times import format_time

Ends = tuple[int, int]


@dataclass(frozen=True)
class Gaps:
    """Bars that nobody learns from and nobody is judged on.

    Attributes:
        purge: Between training, validation and test range: as far as a feature looks back and a return
            looks ahead, so that no bar is known to two of them.
        embargo: More of them before the test range.
    """

    purge: int
    embargo: int = 0


@dataclass(frozen=True)
class Window:
    """Start and end of three ranges [ms UTC], the ends exclusive.

    Attributes:
        train: What V, M and agents learn from.
        validation: What chooses among them.
        test: What judges.
    """

    train: Ends
    validation: Ends
    test: Ends

    @property
    def name(self) -> str:
        """When the test range begins [UTC]; at midnight the day alone."""
        return format_time(self.test[0]).removesuffix(" UTC").removesuffix(" 00:00")

    def ranges(self) -> dict[str, Ends]:
        """The three by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def walk_forward(
    candles: Candles,
    count: int,
    first_test: int,
    validation_bars: int,
    gaps: Gaps,
    *,
    rolling: bool = False,
) -> list[Window]:
    """Cut a record into windows whose test ranges follow one another to its end.

    The first window learns from all bars before its validation range; the others do too, or, where the
    windows roll, from as many as the first. Test ranges are equally long but for rounding.

    Args:
        candles: The record, from the first bar to learn from.
        count: How many windows.
        first_test: Row of the first bar of the first test range, before the gaps' bars are left out.
        validation_bars: Bars of each validation range.
        gaps: Bars between the ranges.
        rolling: Forget the oldest bars.

    Raises:
        ConfigError: A range would be empty.
    """
    bars = len(candles)
    edges = [first_test + round(k * (bars - first_test) / count) for k in range(count + 1)]
    windows, length = [], 0
    for begin, end in pairwise(edges):
        chosen_until = begin - gaps.embargo
        chosen_from = chosen_until - validation_bars
        learned_until = chosen_from - gaps.purge
        test_from = begin + gaps.purge
        length = length or learned_until
        learned_from = max(0, learned_until - length) if rolling else 0
        rows = (learned_from, learned_until), (chosen_from, chosen_until), (test_from, end)
        _refuse_empty(rows, count, gaps)
        windows.append(Window(*(_times(candles, *ends) for ends in rows)))
    return windows


def _refuse_empty(rows: tuple[Any, ...], count: int, gaps: Gaps) -> None:
    for name, (first, stop) in zip(("training", "validation", "test"), rows, strict=True):
        if stop - first < 2 or first < 0:
            raise ConfigError(
                f"with {count} windows, a purge of {gaps.purge} bars and an embargo of {gaps.embargo}, "
                f"the {name} range of one has {max(0, stop - first)} bars; expected at least 2: give "
                "fewer windows, smaller gaps, or more candles"
            )


def _times(candles: Candles, first: int, stop: int) -> Ends:
    times = candles.open_time_ms
    return int(times[first]), int(times[stop - 1]) + candles.interval_ms
