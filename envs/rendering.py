"""What an environment shows a person: a line of text, or a picture of the episode so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..market.times import format_time

RENDER_MODES = ("ansi", "rgb_array")
_SIZE_INCHES, _DPI = (8.0, 5.0), 80


@dataclass
class EpisodeTrace:
    """The episode so far, one entry per observation."""

    title: str
    time_ms: list[int] = field(default_factory=list)
    price: list[float] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)

    def append(self, time_ms: int, price: float, equity: float, weight: float) -> None:
        """Add the state after a bar."""
        self.time_ms.append(time_ms)
        self.price.append(price)
        self.equity.append(equity)
        self.weight.append(weight)


def render_text(trace: EpisodeTrace) -> str:
    """The newest bar as one line."""
    return (
        f"{trace.title}  bar {len(trace.price) - 1}  {format_time(trace.time_ms[-1])}  "
        f"price {trace.price[-1]:.2f}  weight {trace.weight[-1]:+.2f}  "
        f"equity {trace.equity[-1]:.4f}"
    )


def render_picture(trace: EpisodeTrace) -> NDArray[np.uint8]:
    """Price, equity and weight since the episode's start, as pixels [400, 640, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1))
    series = (
        ("price", trace.price, "#555555"),
        ("equity", trace.equity, "#0b6e4f"),
        ("weight", trace.weight, "#b5651d"),
    )
    for axes, (name, values, colour) in zip(panels, series, strict=True):
        axes.plot(values, color=colour, linewidth=1.2)
        axes.set_ylabel(name)
        axes.grid(alpha=0.25)
    panels[0].set_title(trace.title)
    panels[1].axhline(1.0, color="#999999", linewidth=0.8)
    panels[2].set_ylim(-1.1, 1.1)
    panels[2].set_xlabel("bars")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
