"""One picture with two axes: what is drawn, thinned as it must be, and the numbers behind it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ...market.arrays import FloatArray, spread
from .theme import color, tint

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MAX_POINTS = 1_000
"""A line's points beyond this are thinned: of each stretch its lowest and its highest stay."""
_TABLE_ROWS = 40
_DECADE = 8.0
_MANY = 2_000  # dots of a scatter plot


class Numbers(NamedTuple):
    """The numbers behind a picture, as a table.

    Attributes:
        header: Titles of the columns.
        rows: Cells.
        total: How many rows there are; more than are here where they were too many.
    """

    header: list[str]
    rows: list[list[str]]
    total: int


@dataclass(frozen=True, eq=False)
class _Series:
    """What was drawn over one axis: columns by title."""

    x: FloatArray
    columns: dict[str, FloatArray]


@dataclass(frozen=True)
class _Tag:
    """A line's name at its end, above the line or below it."""

    x: float
    last: float
    above: float
    below: float
    text: str
    hue: str


@dataclass
class Plot:
    """A picture; `figure` makes it Plotly's.

    Attributes:
        label: What the picture shows, for those who cannot see it.
        x_label: Name and unit of the horizontal axis.
        y_label: Name and unit of the vertical axis.
        log_x: Whether the horizontal axis is logarithmic.
        log_y: Whether the vertical axis is logarithmic.
        time_x: Whether x is ms since 1970, shown as dates.
        whole_x: Whether x counts: no tick between whole numbers.
        percent_x: Whether x is a fraction, shown in percent.
        percent_y: Whether y is a fraction, shown in percent.
        y_range: Fixed ends of the vertical axis, or None to fit.
        height: In pixels.
        min_width: In pixels; a narrower screen scrolls. 0 fits any.
    """

    label: str
    x_label: str = ""
    y_label: str = ""
    log_x: bool = False
    log_y: bool = False
    time_x: bool = False
    whole_x: bool = False
    percent_x: bool = False
    percent_y: bool = False
    y_range: tuple[float, float] | None = None
    height: int = 330
    min_width: int = 0
    _traces: list[dict[str, Any]] = field(default_factory=list, repr=False)
    _rules: list[dict[str, Any]] = field(default_factory=list, repr=False)
    _tags: list[_Tag] = field(default_factory=list, repr=False)
    _series: list[_Series] = field(default_factory=list, repr=False)
    _names: list[str] = field(default_factory=list, repr=False)
    _upside_down: bool = field(default=False, repr=False)

    def line(
        self, x: ArrayLike, y: ArrayLike, hue: str = "c0", name: str = "", style: str = ""
    ) -> Plot:
        """Join points [T]; ``style`` is ``thin``, ``dashed``, ``dots`` or several of them.

        Lines of one name are one in the legend, and one column of the table each.
        """
        xs, ys = self._told(x, {name or self.y_label: y})
        drawn = thin(xs, ys[0], MAX_POINTS)
        trace = {
            "type": "scatter",
            "x": drawn[0],
            "y": drawn[1].astype(np.float32),
            "mode": "lines+markers" if "dots" in style else "lines",
            "line": {
                "color": tint(hue, 0.45) if "thin" in style else color(hue),
                "width": 1.1 if "thin" in style else 2,
                "dash": "dash" if "dashed" in style else "solid",
            },
        }
        return self._add(trace, name)

    def band(
        self, x: ArrayLike, low: ArrayLike, high: ArrayLike, hue: str = "c0", name: str = ""
    ) -> Plot:
        """Shade between two curves [T]."""
        xs, (lows, highs) = self._told(x, {f"{name}, low": low, f"{name}, high": high})
        keep = spread(min(MAX_POINTS, len(xs)), len(xs)) if len(xs) else np.arange(0)
        trace = {
            "type": "scatter",
            "x": np.concatenate([xs[keep], xs[keep][::-1]]),
            "y": np.concatenate([highs[keep], lows[keep][::-1]]).astype(np.float32),
            "mode": "lines",
            "fill": "toself",
            "fillcolor": tint(hue, 0.16),
            "line": {"width": 0, "color": tint(hue, 0.0)},
            "hoverinfo": "skip",
        }
        return self._add(trace, name)

    def area(self, x: ArrayLike, y: ArrayLike, hue: str = "c0", name: str = "") -> Plot:
        """A line [T], and what is between it and zero."""
        self.line(x, y, hue, name)
        self._traces[-1] |= {"fill": "tozeroy", "fillcolor": tint(hue, 0.16)}
        return self

    def bars(self, edges: ArrayLike, heights: ArrayLike, hue: str = "c0", name: str = "") -> Plot:
        """Columns of heights [B] between edges [B + 1], standing on zero."""
        ends = np.asarray(edges, dtype=np.float64)
        middles = 0.5 * (ends[1:] + ends[:-1])
        _, (ys,) = self._told(middles, {name or self.y_label: heights})
        trace = {
            "type": "bar",
            "x": middles,
            "y": ys,
            "width": np.diff(ends),
            "marker": {"color": color(hue), "opacity": 0.6, "line": {"width": 0}},
        }
        return self._add(trace, name)

    def columns(
        self, names: Sequence[str], heights: ArrayLike, hue: str = "c0", name: str = ""
    ) -> Plot:
        """A column for each name, from zero; several such sets stand beside each other."""
        self._named(names, heights, name)
        trace = {
            "type": "bar",
            "x": list(names),
            "y": np.asarray(heights, dtype=np.float64),
            "marker": {"color": color(hue)},
        }
        return self._add(trace, name)

    def steps(self, names: Sequence[str], heights: ArrayLike) -> Plot:
        """A waterfall: each column begins where the one before ended, the last is what is left."""
        values = np.asarray(heights, dtype=np.float64)
        kinds = ["absolute", *["relative"] * (len(values) - 2), "total"]
        self._named(names, values, "")
        shape = "{:+.1%}" if self.percent_y else "{:+,.4g}"
        trace = {
            "type": "waterfall",
            "x": list(names),
            "y": values,
            "measure": kinds,
            "text": [shape.format(value).replace("-", "−") for value in values],
            "textposition": "outside",
            "cliponaxis": False,
            "increasing": {"marker": {"color": color("good")}},
            "decreasing": {"marker": {"color": color("bad")}},
            "totals": {"marker": {"color": color("c0")}},
            "connector": {"line": {"color": color("muted"), "width": 1}},
        }
        return self._add(trace, "")

    def spans(
        self,
        names: Sequence[str],
        middles: ArrayLike,
        lows: ArrayLike,
        highs: ArrayLike,
        hue: str = "c0",
        name: str = "",
    ) -> Plot:
        """A dot for each name, with a bar from low to high, beneath each other."""
        values, low, high = (np.asarray(v, dtype=np.float64) for v in (middles, lows, highs))
        places = np.arange(len(values), dtype=np.float64)
        self._names = list(names)
        self._series.append(_Series(places, {"value": values, "low": low, "high": high}))
        trace = {
            "type": "scatter",
            "x": values,
            "y": list(names),
            "mode": "markers",
            "marker": {"size": 9, "color": color(hue)},
            "error_x": {
                "type": "data", "symmetric": False, "array": high - values, "arrayminus": values - low,
                "thickness": 2, "width": 0, "color": tint(hue, 0.45),
            },
        }  # fmt: skip
        self._upside_down = True
        return self._add(trace, name)

    def points(
        self,
        x: ArrayLike,
        y: ArrayLike,
        hue: str = "c0",
        name: str = "",
        size: float = 5.0,
        shades: ArrayLike | None = None,
        texts: Sequence[str] = (),
    ) -> Plot:
        """Dots [T]; ``shades`` [T] mixes each from ``c0`` (lowest) to ``c1``, ``texts`` name them."""
        xs, (ys,) = self._told(x, {name or self.y_label: y})
        keep = spread(min(_MANY, len(xs)), len(xs)) if len(xs) else np.arange(0)
        marker: dict[str, Any] = {"size": size, "color": color(hue), "opacity": 0.75}
        if shades is not None:
            marker["color"] = np.asarray(shades, dtype=np.float64)[keep]
            marker["colorscale"] = [[0, color("c0")], [1, color("c1")]]
        trace: dict[str, Any] = {
            "type": "scatter", "x": xs[keep], "y": ys[keep], "mode": "markers", "marker": marker,
        }  # fmt: skip
        if texts:
            trace["text"] = [texts[i] for i in keep]
        return self._add(trace, name)

    def shade(self, x: ArrayLike, share: ArrayLike, name: str) -> Plot:
        """Colour the whole height behind the lines: green above zero, red below, by size [T]."""
        xs, (values,) = self._told(x, {name: share})
        edges = np.linspace(0, len(xs), min(len(xs), 400) + 1).astype(int)
        means = [float(np.mean(values[a:b])) for a, b in itertools.pairwise(edges)]
        trace = {
            "type": "heatmap",
            "x": xs[edges[:-1]],
            "y": [0.0, 1.0],
            "z": [means, means],
            "yaxis": "y2",
            "zmin": -1,
            "zmax": 1,
            "colorscale": [[0, tint("bad", 0.28)], [0.5, tint("bad", 0.0)], [0.5, tint("good", 0.0)],
                           [1, tint("good", 0.28)]],
            "showscale": False,
            "hovertemplate": f"{name} %{{z:+.0%}}<extra></extra>",
        }  # fmt: skip
        return self._add(trace, "")

    def _named(self, names: Sequence[str], heights: ArrayLike, name: str) -> None:
        values = np.asarray(heights, dtype=np.float64)
        self._names = list(names)
        places = np.arange(len(values), dtype=np.float64)
        self._series.append(_Series(places, {name or self.y_label: values}))

    def rule(self, x: float | None = None, y: float | None = None) -> Plot:
        """A dashed line across the picture at one x or one y."""
        place = (
            {"x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1}
            if x is not None
            else {"y0": y, "y1": y, "xref": "paper", "x0": 0, "x1": 1}
        )
        line = {"color": color("muted"), "width": 1, "dash": "dot"}
        self._rules.append({"type": "line", "line": line, **place})
        return self

    def tag(self, x: ArrayLike, y: ArrayLike, text: str, hue: str) -> Plot:
        """Name a line [T] at its end."""
        xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        end = ys[-max(1, len(ys) // 6) :]
        found = float(ys[-1]), float(end.max()), float(end.min())
        self._tags.append(_Tag(float(xs[-1]), *found, text, hue))
        return self

    def figure(self) -> Figure:
        """The picture as Plotly's figure, in light colours."""
        from plotly.graph_objects import Figure

        return Figure(data=self._traces, layout=self._layout())

    def numbers(self) -> list[Numbers]:
        """The numbers behind the picture: a table for each set of lines over the same axis."""
        groups: list[_Series] = []
        for series in self._series:
            known = next((g for g in groups if np.array_equal(g.x, series.x)), None)
            if known is None:
                groups.append(_Series(series.x, dict(series.columns)))
            else:
                for title, values in series.columns.items():
                    known.columns[_free(title, known.columns)] = values
        return [self._table(group) for group in groups]

    def _table(self, group: _Series) -> Numbers:
        total = len(group.x)
        rows = spread(min(total, _TABLE_ROWS), total) if total else np.arange(0)
        first = "time" if self.time_x else self.x_label or "x"
        cells = [
            [self._x_text(group.x[row])]
            + [_cell(values[row], self._percent) for values in group.columns.values()]
            for row in rows
        ]
        return Numbers([first, *group.columns], cells, total)

    @property
    def _percent(self) -> bool:
        """Whether the numbers are shares: where names are down the side, they lie along x."""
        return self.percent_x if self._upside_down else self.percent_y

    def _x_text(self, value: float) -> str:
        if self._names:
            return self._names[int(value)]
        if self.time_x:
            return str(np.datetime64(int(value), "ms").astype("datetime64[m]")).replace("T", " ")
        return _cell(value, self.percent_x)

    def _told(self, x: ArrayLike, ys: dict[str, ArrayLike]) -> tuple[FloatArray, list[FloatArray]]:
        xs = np.asarray(x, dtype=np.float64)
        columns = {title: np.asarray(y, dtype=np.float64) for title, y in ys.items()}
        self._series.append(_Series(xs, columns))
        return xs, list(columns.values())

    def _add(self, trace: dict[str, Any], name: str) -> Plot:
        known = {each.get("name") for each in self._traces}
        shown = bool(name) and name not in known
        self._traces.append(
            {**trace, "name": name, "legendgroup": name, "showlegend": shown}
            | ({} if name or "hovertemplate" in trace else {"hoverlabel": {"namelength": 0}})
        )
        return self

    def _layout(self) -> dict[str, Any]:
        behind = any(trace.get("yaxis") == "y2" for trace in self._traces)
        layout: dict[str, Any] = {
            **bare_layout(self.height),
            "plot_bgcolor": tint("paper", 0.0),
            "hovermode": self._hovermode(),
            "bargap": 0.25 if self._names else 0,
            "barmode": "group" if self._names else "overlay",
            "xaxis": self._axis(self.x_label, self.log_x, self.percent_x, grid=False),
            "yaxis": self._axis(self.y_label, self.log_y, self.percent_y, grid=True),
            "shapes": self._rules,
            "annotations": self._annotations(),
        }
        if self.time_x:
            layout["xaxis"] |= {"type": "date", "hoverformat": "%Y-%m-%d %H:%M"}
        if self._names:
            side = "yaxis" if self._upside_down else "xaxis"
            layout[side] |= {"dtick": 1, "tickangle": None}  # every name
        if self.log_y:
            layout["yaxis"] |= self._decades()
        if self._upside_down:
            layout["yaxis"] |= {"autorange": "reversed", "showgrid": False}
            layout["xaxis"] |= {"showgrid": True}
        if self.whole_x:
            layout["xaxis"] |= {"tickformat": ",d", "minallowed": 0}
        if self.y_range is not None:
            layout["yaxis"]["range"] = list(self.y_range)
        if behind:
            layout["yaxis2"] = {"visible": False, "fixedrange": True, "range": [0, 1]}
            layout["yaxis"] |= {"overlaying": "y2", "tickmode": "auto"}
        return layout

    def _decades(self) -> dict[str, Any]:
        """Ticks of a logarithmic axis over more than a decade: at 1, 2 and 5, or at powers of ten."""
        seen = np.concatenate([np.ravel(each) for s in self._series for each in s.columns.values()])
        seen = seen[np.isfinite(seen) & (seen > 0)]
        if not len(seen) or seen.max() < _DECADE * seen.min():
            return {}
        low, high = math.floor(math.log10(seen.min())), math.ceil(math.log10(seen.max()))
        digits = (1, 2, 5) if high - low <= 3 else (1,)
        values = [digit * 10.0**power for power in range(low, high + 1) for digit in digits]
        return {"tickvals": values, "ticktext": [f"{value:,g}" for value in values]}

    def _hovermode(self) -> str:
        """Over lines, what all of them are at an x; over dots the nearest."""
        lines = any("lines" in str(trace.get("mode", "")) for trace in self._traces)
        return "x unified" if lines else "closest"

    @staticmethod
    def _axis(label: str, log: bool, percent: bool, grid: bool) -> dict[str, Any]:
        axis: dict[str, Any] = {
            "title": {"text": label, "standoff": 8, "font": {"size": 12.5}},
            "tickangle": 0,
            "automargin": True,
            "showgrid": grid,
            "gridcolor": color("line"),
            "linecolor": color("muted"),
            "showline": not grid,
            "zeroline": False,
            "type": "log" if log else "-",
            "nticks": 7,
        }
        if percent:
            axis |= {"tickformat": ",~%", "hoverformat": ",.1%"}
        elif not log:
            axis["hoverformat"] = ",.4~g"
        return axis

    def _annotations(self) -> list[dict[str, Any]]:
        """The lines' names at their ends, the higher line's above and the lower one's below."""
        ordered = sorted(self._tags, key=lambda tag: tag.last)
        below = [i == 0 and len(ordered) > 1 for i in range(len(ordered))]
        return [
            {
                "x": tag.x,
                "y": self._height(tag.below if under else tag.above),
                "text": tag.text,
                "showarrow": False,
                "xanchor": "right",
                "yanchor": "top" if under else "bottom",
                "font": {"color": color(tag.hue), "size": 12.5},
                "bgcolor": tint("paper", 0.8),
            }
            for tag, under in zip(ordered, below, strict=True)
        ]

    def _height(self, y: float) -> float:
        """Where an annotation lies: on logarithmic axes by its logarithm."""
        return math.log10(max(y, 1e-12)) if self.log_y else y


def bare_layout(height: int) -> dict[str, Any]:
    """What every picture's layout has in common, in Plotly's terms."""
    return {
        "template": {},
        "autosize": True,
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 10, "b": 8},
        "paper_bgcolor": tint("paper", 0.0),
        "font": {
            "family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif",
            "size": 12.5,
            "color": color("muted"),
        },
        "hoverlabel": {
            "bgcolor": color("paper"),
            "bordercolor": color("muted"),
            "font": {"color": color("ink"), "size": 12.5},
        },
        "legend": {
            "orientation": "h", "x": 0, "y": 1.01, "xanchor": "left", "yanchor": "bottom",
            "font": {"color": color("ink")},
        },
    }  # fmt: skip


def thin(x: FloatArray, y: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """At most about ``count`` points of a line [T], keeping each stretch's lowest and highest.

    Of a level stretch only the ends are kept.
    """
    if len(x) <= count:
        return x, y
    edges = np.linspace(0, len(x), count // 2 + 1).astype(int)
    rows = {0, len(x) - 1}
    for start, stop in itertools.pairwise(edges):
        part = y[start:stop]
        if np.isfinite(part).any():
            rows |= {start + int(np.nanargmin(part)), start + int(np.nanargmax(part))}
    kept = np.array(sorted(rows))
    level = (y[kept][1:-1] == y[kept][:-2]) & (y[kept][1:-1] == y[kept][2:])
    kept = kept[np.concatenate([[True], ~level, [True]])]
    return x[kept], y[kept]


def _free(title: str, taken: dict[str, FloatArray]) -> str:
    """A title that no column has yet."""
    numbers = itertools.count(2)
    free = title
    while free in taken:
        free = f"{title} {next(numbers)}"
    return free


def _cell(value: float, percent: bool) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:,.2%}" if percent else f"{value:,.5g}"
