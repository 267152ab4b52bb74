"""Paths that go on from a recorded moment, as a picture beside what happened."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...market.arrays import FloatArray
from ...market.candles import Candles

_BANDS = ((5, 95), (25, 75))  # percentiles
_LINES = 6


def draw_fan(path: Path, record: Candles, row: int, closes: FloatArray) -> None:
    """Draw percentiles of paths and a few of them, what was known before, and what happened.

    Args:
        path: A PNG file.
        record: Where they begin, and what came after.
        row: Of the last bar that they know.
        closes: The last close that they know, and theirs [N, T + 1].
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.2), dpi=130, layout="constrained")
    axes = figure.subplots()
    points = closes.shape[1]
    times = record.open_time_ms[row] + record.interval_ms * np.arange(points)
    clock = times.astype("datetime64[ms]")
    for low, high in _BANDS:
        edges = np.percentile(closes, (low, high), axis=0)
        label = f"dreamed, {low}–{high}%"
        axes.fill_between(clock, *edges, color="#3b7dd8", alpha=0.18, linewidth=0, label=label)
    axes.plot(clock, closes[:_LINES].T, color="#3b7dd8", linewidth=0.7, alpha=0.75)
    before = slice(max(0, row - points // 2), row + 1)
    after = slice(row, min(len(record), row + points))
    recorded = record.open_time_ms.astype("datetime64[ms]")
    axes.plot(recorded[before], record.close[before], color="#555555", linewidth=1.2, label="known")
    axes.plot(
        recorded[after], record.close[after], color="#d1495b", linewidth=1.4, label="happened"
    )
    axes.axvline(clock[0], color="#999999", linewidth=0.8, linestyle=":")
    axes.set_title(f"{len(closes)} dreams of {record.symbol} {record.interval}", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.grid(alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="png")
