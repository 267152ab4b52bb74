"""Stretches of time as sorted, disjoint pairs (start, end) in ms, end exclusive."""

from __future__ import annotations

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
