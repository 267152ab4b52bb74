"""Stretches of time as sorted, disjoint pairs (start, end) in ms, end exclusive."""

from __future__ import annotations

from ..intervals import INTERVALS_MS, interval_ms

Ranges = tuple[tuple[int, int], ...]


def join_ranges(*many: Ranges) -> Ranges:
    """Everything that any of them covers."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(pair for ranges in many for pair in ranges if pair[0] < pair[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return tuple(joined)


def missing_ranges(covered: Ranges, start: int, end: int) -> Ranges:
    """What ``[start, end)`` has beyond the covered stretches."""
    missing = []
    for first, last in join_ranges(covered):
        if first >= end:
            break
        if start < first:
            missing.append((start, first))
        start = max(start, last)
    if start < end:
        missing.append((start, end))
    return tuple(missing)


def bar_start(time_ms: int, interval: str) -> int:
    """Open time of the bar in which a time falls [ms UTC]; weekly bars open on Mondays."""
    origin_ms = 4 * INTERVALS_MS["D"] if interval == "W" else 0
    step = interval_ms(interval)
    return (time_ms - origin_ms) // step * step + origin_ms


def next_bar_start(time_ms: int, interval: str) -> int:
    """Open time of the first bar that opens then or later [ms UTC]."""
    return bar_start(time_ms + interval_ms(interval) - 1, interval)
