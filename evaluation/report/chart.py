"""Charts as inline SVG that follow the page's light or dark colours and need no library.

A chart collects layers in data units and is drawn once by `Chart.svg`. Colours are CSS classes
(``c0`` … ``c5``, ``muted``), so one picture serves both colour schemes; `CSS` defines them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape

import numpy as np
from numpy.typing import ArrayLike

from ...market.arrays import FloatArray, IntArray

WIDTH, HEIGHT = 640, 300  # user units; the picture scales with the column
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 12, 44
_MAX_POINTS = 700  # a line's points beyond this are thinned, extremes kept

CSS = """
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font: 13px/1 system-ui, sans-serif; fill: var(--muted); font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .axis { stroke: var(--muted); stroke-width: 1; }
svg .rule { stroke: var(--muted); stroke-width: 1; stroke-dasharray: 4 4; }
svg .stroke { fill: none; stroke: var(--c); stroke-width: 1.8; stroke-linejoin: round; }
svg .thin { stroke-width: 0.9; stroke-opacity: 0.55; }
svg .dashed { stroke-dasharray: 6 4; }
svg .fill { fill: var(--c); stroke: none; }
svg .band { fill: var(--c); stroke: none; fill-opacity: 0.16; }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); }
.c3 { --c: var(--c3); } .c4 { --c: var(--c4); } .c5 { --c: var(--c5); }
.muted { --c: var(--muted); }
.legend { display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; margin: 0.3rem 0 0; padding: 0; list-style: none; font-size: 0.85rem; color: var(--muted); }
.legend i { display: inline-block; width: 1.2em; height: 0.22em; margin-right: 0.45em; vertical-align: 0.25em; background: var(--c); }
.legend i.area { height: 0.8em; vertical-align: -0.08em; opacity: 0.3; }
@media (max-width: 520px) { svg text { font-size: 19px; } }
"""
"""Styles of the charts; the page defines --c0 … --c5, --muted and --line."""

Formatter = Callable[[float], str]


@dataclass
class Chart:
    """One picture with two axes.

    Attributes:
        label: What the picture shows, for those who cannot see it.
        x_label: Name and unit of the horizontal axis.
        y_label: Name and unit of the vertical axis.
        log_x: Whether the horizontal axis is logarithmic.
        log_y: Whether the vertical axis is logarithmic.
        time_x: Whether x is ms since 1970, shown as dates.
        percent_y: Whether y is a share, shown in percent.
        x_range: Fixed ends of the horizontal axis, or None to fit.
        y_range: Fixed ends of the vertical axis, or None to fit.
    """

    label: str
    x_label: str = ""
    y_label: str = ""
    log_x: bool = False
    log_y: bool = False
    time_x: bool = False
    percent_y: bool = False
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    _layers: list[Callable[[_Frame], str]] = field(default_factory=list, repr=False)
    _legend: list[tuple[str, str, str]] = field(default_factory=list, repr=False)
    _x_ends: list[float] = field(default_factory=list, repr=False)
    _y_ends: list[float] = field(default_factory=list, repr=False)

    def line(
        self, x: ArrayLike, y: ArrayLike, color: str = "c0", name: str = "", style: str = ""
    ) -> Chart:
        """Join points [T]; ``style`` is ``thin``, ``dashed`` or both."""
        xs, ys = self._seen(x, y)

        def draw(frame: _Frame) -> str:
            points = _path(frame, *thin(xs, ys, _MAX_POINTS))
            return f'<path class="stroke {style} {color}" d="{points}"/>' if points else ""

        return self._add(draw, name, color, "")

    def band(
        self, x: ArrayLike, low: ArrayLike, high: ArrayLike, color: str = "c0", name: str = ""
    ) -> Chart:
        """Shade between two curves [T]."""
        xs, lows = self._seen(x, low)
        _, highs = self._seen(x, high)
        keep = _even_rows(len(xs), _MAX_POINTS)

        def draw(frame: _Frame) -> str:
            there = _path(frame, xs[keep], highs[keep])
            back = _path(frame, xs[keep][::-1], lows[keep][::-1])
            return f'<path class="band {color}" d="{there}L{back[1:]}Z"/>' if there else ""

        return self._add(draw, name, color, "area")

    def bars(
        self, edges: ArrayLike, heights: ArrayLike, color: str = "c0", name: str = ""
    ) -> Chart:
        """Columns of heights [B] between edges [B + 1], standing on zero."""
        xs, ys = np.asarray(edges, dtype=float), np.asarray(heights, dtype=float)
        self._x_ends += [xs.min(), xs.max()]
        self._y_ends += [0.0, float(ys.max(initial=0.0))]

        def draw(frame: _Frame) -> str:
            floor = frame.y(frame.y_low if self.log_y else 0.0)
            parts = []
            for left, right, height in zip(xs[:-1], xs[1:], ys, strict=True):
                top = frame.y(max(float(height), frame.y_low))
                parts.append(
                    f"M{frame.x(left) + 0.5:.1f} {floor:.1f}V{top:.1f}"
                    f"H{frame.x(right) - 0.5:.1f}V{floor:.1f}Z"
                )
            return f'<path class="fill {color}" fill-opacity="0.75" d="{"".join(parts)}"/>'

        return self._add(draw, name, color, "area")

    def points(
        self,
        x: ArrayLike,
        y: ArrayLike,
        color: str = "c0",
        name: str = "",
        radius: float = 2.0,
        shades: ArrayLike | None = None,
    ) -> Chart:
        """Dots [T]; ``shades`` [T] in [0, 1] mixes each from ``c0`` (0) to ``c1`` (1)."""
        xs, ys = self._seen(x, y)
        mix = None if shades is None else np.clip(np.asarray(shades, dtype=float), 0, 1)

        def draw(frame: _Frame) -> str:
            dots = []
            for i, (a, b) in enumerate(zip(xs, ys, strict=True)):
                if not (np.isfinite(a) and np.isfinite(b)):
                    continue
                style = "" if mix is None else f' style="fill:{_mixed(mix[i])}"'
                dots.append(
                    f'<circle cx="{frame.x(a):.1f}" cy="{frame.y(b):.1f}" r="{radius}"{style}/>'
                )
            return f'<g class="fill {color}" fill-opacity="0.7">{"".join(dots)}</g>'

        return self._add(draw, name, color, "")

    def rule(self, x: float | None = None, y: float | None = None) -> Chart:
        """A dashed line across the picture at one x or one y."""

        def draw(frame: _Frame) -> str:
            if x is not None:
                place = f'x1="{frame.x(x):.1f}" x2="{frame.x(x):.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"'
            else:
                height = frame.y(y or 0.0)
                place = f'x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{height:.1f}" y2="{height:.1f}"'
            return f'<line class="rule" {place}/>'

        self._x_ends += [] if x is None else [x]
        self._y_ends += [] if y is None else [y]
        return self._add(draw, "", "muted", "")

    def svg(self) -> str:
        """The picture and its legend as HTML."""
        frame = _Frame(
            *_ends(self._x_ends, self.x_range, self.log_x, pad=0.0),
            *_ends(self._y_ends, self.y_range, self.log_y, pad=0.04),
            self.log_x,
            self.log_y,
        )
        body = "".join(layer(frame) for layer in self._layers)
        parts = [
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(self.label)}">',
            self._axes(frame),
            f'<svg x="0" y="0" width="{WIDTH}" height="{HEIGHT}" style="overflow:hidden">{body}</svg>',
            "</svg>",
            self._legend_html(),
        ]
        return "".join(parts)

    def _seen(self, x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
        xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        usable = np.isfinite(xs) & np.isfinite(ys)
        usable &= ((xs > 0) | (not self.log_x)) & ((ys > 0) | (not self.log_y))
        if usable.any():
            self._x_ends += [xs[usable].min(), xs[usable].max()]
            self._y_ends += [ys[usable].min(), ys[usable].max()]
        return xs, ys

    def _add(self, draw: Callable[[_Frame], str], name: str, color: str, shape: str) -> Chart:
        self._layers.append(draw)
        if name:
            self._legend.append((name, color, shape))
        return self

    def _axes(self, frame: _Frame) -> str:
        bottom = HEIGHT - _BOTTOM
        show_y = _percent if self.percent_y else _number
        parts = []
        for value in (
            _log_ticks(frame.y_low, frame.y_high)
            if self.log_y
            else ticks(frame.y_low, frame.y_high, 5)
        ):
            y = frame.y(value)
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            )
            parts.append(
                f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{show_y(value)}</text>'
            )
        for value, text in self._x_ticks(frame):
            x = frame.x(value)
            parts.append(
                f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}"/>'
            )
            anchor = "end" if x > WIDTH - _RIGHT - 24 else "middle"  # stays inside the picture
            parts.append(
                f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="{anchor}">{text}</text>'
            )
        parts.append(
            f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{bottom}" y2="{bottom}"/>'
        )
        middle = (_LEFT + WIDTH - _RIGHT) / 2
        parts.append(
            f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(self.x_label)}</text>'
        )
        parts.append(
            f'<text transform="translate(12 {(_TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">'
            f"{escape(self.y_label)}</text>"
        )
        return "".join(parts)

    def _x_ticks(self, frame: _Frame) -> list[tuple[float, str]]:
        if self.time_x:
            return time_ticks(frame.x_low, frame.x_high)
        values = (
            _log_ticks(frame.x_low, frame.x_high)
            if self.log_x
            else ticks(frame.x_low, frame.x_high, 6)
        )
        return [(value, _number(value)) for value in values]

    def _legend_html(self) -> str:
        if not self._legend:
            return ""
        items = "".join(
            f'<li><i class="{color} {shape}"></i>{escape(name)}</li>'
            for name, color, shape in self._legend
        )
        return f'<ul class="legend">{items}</ul>'


@dataclass(frozen=True)
class _Frame:
    """Data units to user units."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    log_x: bool
    log_y: bool

    def x(self, value: float) -> float:
        share = _share(value, self.x_low, self.x_high, self.log_x)
        return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        share = _share(value, self.y_low, self.y_high, self.log_y)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)


def thin(x: FloatArray, y: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """At most about ``count`` points of a line [T], keeping each stretch's lowest and highest."""
    if len(x) <= count:
        return x, y
    edges = np.linspace(0, len(x), count // 2 + 1).astype(int)
    rows = {0, len(x) - 1}
    for start, stop in itertools.pairwise(edges):
        part = y[start:stop]
        if np.isfinite(part).any():
            rows |= {start + int(np.nanargmin(part)), start + int(np.nanargmax(part))}
    kept = np.array(sorted(rows))
    return x[kept], y[kept]


def ticks(low: float, high: float, count: int) -> list[float]:
    """About ``count`` round numbers between two ends."""
    span = high - low
    if not span > 0:
        return [low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def time_ticks(low_ms: float, high_ms: float) -> list[tuple[float, str]]:
    """First days of months (or days, when short) between two times, with their dates."""
    days = (high_ms - low_ms) / 86_400_000
    if days < 75:
        step = max(1, math.ceil(days / 6)) * 86_400_000
        marks = np.arange(math.ceil(low_ms / step) * step, high_ms, step)
        return [(float(m), f"{datetime.fromtimestamp(m / 1000, UTC):%d %b}") for m in marks]
    months = next(m for m in (1, 2, 3, 6, 12, 24, 60) if days / 30.4 / m <= 6.5 or m == 60)
    start, end = (datetime.fromtimestamp(t / 1000, UTC) for t in (low_ms, high_ms))
    numbers = range(start.year * 12, end.year * 12 + 13)
    dates = [datetime(n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in numbers if n % months == 0]
    return [(d.timestamp() * 1000, f"{d:%Y-%m}") for d in dates if start <= d <= end]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    step = max(1, math.ceil(len(powers) / 6))
    values = [10.0**p for p in powers if p % step == 0]
    return values if len(values) > 1 else ticks(low, high, 5)


def _ends(
    seen: list[float], fixed: tuple[float, float] | None, log: bool, pad: float
) -> tuple[float, float]:
    if fixed is not None:
        return fixed
    low, high = (min(seen), max(seen)) if seen else (1.0, 2.0)
    if log:
        positive = [value for value in seen if value > 0] or [1.0]
        low, high = min(positive), max(positive)
        return (low / 1.2, high * 1.2) if high <= low * 1.01 or pad else (low, high)
    if high - low < 1e-9 * max(1.0, abs(low), abs(high)):
        margin = 0.05 * max(abs(low), 1e-3) or 1.0
        return low - margin, high + margin
    return low - pad * (high - low), high + pad * (high - low)


def _share(value: float, low: float, high: float, log: bool) -> float:
    if log:
        return math.log(max(value, 1e-300) / low) / math.log(high / low)
    return (value - low) / (high - low)


def _path(frame: _Frame, xs: FloatArray, ys: FloatArray) -> str:
    usable = np.isfinite(xs) & np.isfinite(ys)
    usable &= ((xs > 0) | (not frame.log_x)) & ((ys > 0) | (not frame.log_y))
    steps, pen = [], "M"
    for x, y, known in zip(xs, ys, usable, strict=True):
        if known:
            steps.append(f"{pen}{frame.x(x):.1f} {frame.y(y):.1f}")
        pen = "L" if known else "M"
    return "".join(steps)


def _even_rows(length: int, count: int) -> IntArray:
    if length <= count:
        return np.arange(length)
    return np.unique(np.linspace(0, length - 1, count).astype(np.int64))


def _mixed(share: float) -> str:
    return f"color-mix(in oklab,var(--c0),var(--c1) {share:.0%})"


def _number(value: float) -> str:
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:g}".replace("-", "−")


def _percent(value: float) -> str:
    return f"{value * 100:g}%".replace("-", "−")
