"""Many things by many numbers at once: parallel coordinates (Inselberg 1985)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...market.arrays import FloatArray, spread
from .plot import Numbers, bare_layout
from .theme import color, tint

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_TABLE_ROWS = 40


@dataclass(frozen=True, eq=False)
class ParallelPlot:
    """An axis for each number and a line for each thing; dragging along an axis picks lines out.

    Attributes:
        label: What the picture shows, for those who cannot see it.
        names: Of the things [P].
        axes: Values by the axis' title [P]; what is no number lies on none of the lines drawn.
        shade: Of each [P], 0 to 1: from the muted colour to the strong one.
        height: In pixels.
        min_width: In pixels; a narrower screen scrolls.
    """

    label: str
    names: Sequence[str]
    axes: Mapping[str, FloatArray]
    shade: FloatArray
    height: int = 420
    min_width: int = 860

    def figure(self) -> Figure:
        """The picture as Plotly's figure, in light colours."""
        from plotly.graph_objects import Figure

        trace = {
            "type": "parcoords",
            "dimensions": [
                {"label": title, "values": _filled(values).astype(np.float32)}
                for title, values in self.axes.items()
            ],
            "line": {
                "color": self.shade.astype(np.float32),
                "cmin": 0,
                "cmax": 1,
                "colorscale": [[0, color("line")], [0.5, color("c5")], [1, color("c1")]],
            },
            "labelfont": {"color": color("ink")},
            "tickfont": {"color": color("muted")},
            "rangefont": {"color": tint("paper", 0.0)},
        }
        layout = {
            **bare_layout(self.height),
            "margin": {"l": 48, "r": 36, "t": 46, "b": 16},
            "xaxis": {"visible": False},
        }
        return Figure(data=[trace], layout=layout)

    def numbers(self) -> list[Numbers]:
        """The numbers behind the picture."""
        total = len(self.names)
        rows = spread(min(total, _TABLE_ROWS), total) if total else np.arange(0)
        cells = [
            [self.names[row], *(f"{values[row]:.4g}" for values in self.axes.values())]
            for row in rows
        ]
        return [Numbers(["", *self.axes], cells, total)]


def _filled(values: FloatArray) -> FloatArray:
    """Without gaps, which would draw a line to nowhere: the lowest in their place."""
    known = np.isfinite(values)
    return np.where(known, values, values[known].min() if known.any() else 0.0)
