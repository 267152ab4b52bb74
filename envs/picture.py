"""An episode as a picture: candles, position, equity, costs, and what may come next.

The newest bar is always at one place and a bar is always as wide as another: the time axis runs from
right to left at an even pace. Limits of prices follow from the bars on show, and bars that are about to
leave count less and less, so that nothing jumps when one is gone. A picture depends on nothing but
what it shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import pygame

from ..market.arrays import FloatArray
from ..market.times import format_time
from .picture_axes import BAR, LEFT, RIGHT, Panel, Window, time_ticks
from .trace import PICTURE_SIZE, EpisodeTrace

Colour = tuple[int, int, int]

_WIDTH, _HEIGHT = PICTURE_SIZE
_SPAN = RIGHT - LEFT
_PRICE = (56, 304)  # top and height [pixels]
_WEIGHT = (366, 50)
_EQUITY = (422, 82)
_COSTS = (510, 46)
_TIMES_TOP = 562
_OVERVIEW = (582, 50)
_TITLE = 16  # pixels that a panel's title has to itself
_BODY = 5  # pixels of a candle's body
_BANDS = ((5, 95), (25, 75))  # percentiles
_TAG_HEIGHT = 17
_LEAST_EQUITY, _LEAST_COSTS = 0.004, 0.0005  # that a panel spans
_PATHS = 5  # dreams that are drawn one by one

_GROUND: Colour = (11, 15, 21)
_PANEL: Colour = (17, 23, 32)
_GRID: Colour = (30, 38, 50)
_FAINT: Colour = (58, 68, 84)
_QUIET: Colour = (128, 140, 156)
_TEXT: Colour = (220, 226, 234)
_RISE: Colour = (48, 176, 140)
_FALL: Colour = (224, 86, 92)
_BLUE: Colour = (100, 166, 255)
_AMBER: Colour = (228, 176, 76)
_VIOLET: Colour = (152, 134, 255)


class Picture:
    """Draws episodes onto surfaces of `PICTURE_SIZE`."""

    def __init__(self) -> None:
        pygame.font.init()
        self._fonts = {size: pygame.font.Font(None, size) for size in (17, 18, 22, 28)}
        self._written = lru_cache(2_048)(self._write)
        self._veil = pygame.Surface((_SPAN, _PRICE[1]), pygame.SRCALPHA, 32)

    def draw(self, surface: pygame.Surface, trace: EpisodeTrace, future: FloatArray | None) -> None:
        """Draw the episode so far, and closes of what may come next [N, B]."""
        now = RIGHT - BAR * (2 if future is None else future.shape[1] + 1)
        window = Window.of(trace, now)
        surface.fill(_GROUND)
        for top, height in (_PRICE, _WEIGHT, _EQUITY, _COSTS, _OVERVIEW):
            surface.fill(_PANEL, (LEFT, top, _SPAN, height))
        self._clock(surface, trace, now)
        self._header(surface, trace)
        self._prices(surface, trace, window, future)
        self._position(surface, trace, window)
        self._wealth(surface, trace, window)
        self._paid(surface, trace, window)
        self._overview(surface, trace, window)

    def _clock(self, surface: pygame.Surface, trace: EpisodeTrace, now: int) -> None:
        """The time axis, a line through all panels for each label."""
        for x, label in time_ticks(trace, now):
            for top, height in (_PRICE, _WEIGHT, _EQUITY, _COSTS):
                surface.fill(_GRID, (x, top, 1, height))
            self._say(surface, label, (x, _TIMES_TOP), _QUIET, anchor=0.5)

    def _header(self, surface: pygame.Surface, trace: EpisodeTrace) -> None:
        step, steps = trace.newest - trace.first, trace.last - trace.first
        self._say(surface, trace.title, (LEFT, 12), _TEXT, 28)
        when = format_time(int(trace.time_ms[-1]))
        self._say(surface, f"{when}   bar {step} of {steps}", (LEFT, 35), _QUIET, 18)
        close, weight, equity, costs = (
            float(trace.column(name)[-1]) for name in ("close", "weight", "equity", "costs")
        )
        entries = (
            ("costs paid", f"{costs:.2%}", _AMBER),
            ("equity", f"{equity:.4f}", _BLUE),
            ("position", f"{weight:+.2f}", _sign_colour(weight)),
            ("price", _price_text(close), _TEXT),
        )
        x = _WIDTH - 16
        for name, value, colour in entries:
            self._say(surface, name, (x, 13), _QUIET, 17, anchor=1.0)
            self._say(surface, value, (x, 29), colour, 22, anchor=1.0)
            x -= 112

    def _prices(
        self,
        surface: pygame.Surface,
        trace: EpisodeTrace,
        window: Window,
        future: FloatArray | None,
    ) -> None:
        bars = [trace.column(name, window.start) for name in ("open", "high", "low", "close")]
        newest = float(bars[3][-1])
        limits = window.limits(bars[2], bars[1], newest)
        fan = None if future is None else _quantiles(newest, future)
        if fan is not None:
            limits = min(limits[0], float(fan.min())), max(limits[1], float(fan.max()))
        panel = Panel.around(*_PRICE, limits)
        self._values(surface, panel, 6, newest)
        if window.begin > 0:
            self._mark(surface, panel, int(window.x[window.begin]))
        with _inside(surface, panel):
            if future is not None and fan is not None:
                self._fan(surface, panel, window, newest, future, fan)
            _candles(surface, panel, window, bars)
        if future is not None:
            label = f"the next {future.shape[1]} bars, dreamed {len(future)} times"
            self._say(surface, label, (RIGHT - 6, panel.top + 5), _QUIET, anchor=1.0)
        rose = bars[3][-1] >= bars[0][-1]
        self._tag(surface, panel, newest, _price_text(newest), _RISE if rose else _FALL)

    def _fan(
        self,
        surface: pygame.Surface,
        panel: Panel,
        window: Window,
        newest: float,
        future: FloatArray,
        fan: FloatArray,
    ) -> None:
        """Bands of closes to come, the median, and a few dreams by themselves."""
        x = window.x[-1] + BAR * np.arange(future.shape[1] + 1)
        self._veil.fill((0, 0, 0, 0))
        bands = len(_BANDS)
        for k, (lower, upper) in enumerate(zip(fan[:bands], fan[bands:-1], strict=True)):
            there = np.concatenate([x, x[::-1]]) - LEFT
            edge = np.concatenate([panel.y(lower), panel.y(upper[::-1])]) - panel.top
            outline = list(zip(there, edge, strict=True))
            pygame.draw.polygon(self._veil, (*_VIOLET, 38 * (k + 1)), outline)
        surface.blit(self._veil, (LEFT, panel.top))
        for path in future[:: max(1, len(future) // _PATHS)][:_PATHS]:
            closes = panel.y(np.concatenate([[newest], path]))
            _line(surface, _blend(_VIOLET, _PANEL, 0.5), x, closes)
        for edge in (fan[0], fan[bands]):
            _line(surface, _blend(_VIOLET, _PANEL, 0.62), x, panel.y(edge))
        _line(surface, _VIOLET, x, panel.y(fan[-1]), thick=True)

    def _position(self, surface: pygame.Surface, trace: EpisodeTrace, window: Window) -> None:
        weight = trace.column("weight", window.start)
        most = max(1.0, float(np.abs(weight * window.say).max()))
        panel = Panel.around(*_WEIGHT, (-most, most))
        with _inside(surface, panel):
            for x, value in _bars(window, weight):
                _column(surface, panel, x, (0.0, value), _sign_colour(value))
            _level(surface, panel, 0.0)
        for value in (-most, 0.0, most):
            self._value(surface, panel, value, f"{value:+.3g}" if value else "0")
        self._title(surface, panel, "position")

    def _wealth(self, surface: pygame.Surface, trace: EpisodeTrace, window: Window) -> None:
        equity = trace.column("equity", window.start)
        newest = float(equity[-1])
        low, high = window.limits(equity, equity, newest)
        room = max(_LEAST_EQUITY - (high - low), 0.0) / 2
        panel = Panel.around(_EQUITY[0] + _TITLE, _EQUITY[1] - _TITLE, (low - room, high + room))
        self._values(surface, panel, 3, newest)
        base = min(max(1.0, panel.low), panel.high)
        self._area(surface, panel, window, equity, base, _BLUE)
        if panel.low < 1.0 < panel.high:
            _level(surface, panel, 1.0)
        self._tag(surface, panel, newest, f"{newest:.4f}", _BLUE)
        self._say(surface, "equity", (LEFT + 6, _EQUITY[0] + 4), _QUIET)

    def _paid(self, surface: pygame.Surface, trace: EpisodeTrace, window: Window) -> None:
        costs = trace.column("costs", window.start)
        newest = float(costs[-1])
        low, high = window.limits(costs, costs, newest)
        limits = low, max(high, low + _LEAST_COSTS)
        panel = Panel.around(_COSTS[0] + _TITLE, _COSTS[1] - _TITLE, limits)
        self._area(surface, panel, window, costs, panel.low, _AMBER)
        self._tag(surface, panel, newest, f"{newest:.2%}", _AMBER)
        self._say(surface, "fees and slippage paid", (LEFT + 6, _COSTS[0] + 4), _QUIET)

    def _area(
        self,
        surface: pygame.Surface,
        panel: Panel,
        window: Window,
        values: FloatArray,
        base: float,
        colour: Colour,
    ) -> None:
        """A line of values, filled down or up to a base."""
        shown = window.episode
        with _inside(surface, panel):
            for x, value in _bars(window, values):
                _column(surface, panel, x, (base, value), _blend(colour, _PANEL, 0.28), BAR)
            _line(surface, colour, window.x[shown], panel.y(values[shown]), thick=True)

    def _overview(self, surface: pygame.Surface, trace: EpisodeTrace, window: Window) -> None:
        """The whole episode from its first bar to its last: equity, and what holding had made."""
        rows = np.unique(np.linspace(trace.first, trace.newest, _SPAN).round().astype(np.int64))
        close, equity = (trace.column(name)[rows] for name in ("close", "equity"))
        held: FloatArray = close / close[0]
        reach = max(float(np.abs(np.concatenate([held, equity]) - 1.0).max()), _LEAST_EQUITY)
        panel = Panel.around(
            _OVERVIEW[0] + _TITLE, _OVERVIEW[1] - _TITLE, (1.0 - reach, 1.0 + reach)
        )
        scale = (_SPAN - 1) / max(trace.last - trace.first, 1)
        x = np.asarray(LEFT + scale * (rows - trace.first), dtype=np.float64)
        first = LEFT + max(0, window.start - trace.first) * scale
        surface.fill(_GRID, (int(first), panel.top, int(x[-1] - first) + 1, panel.height))
        _level(surface, panel, 1.0)
        _line(surface, _QUIET, x, panel.y(held))
        _line(surface, _BLUE, x, panel.y(equity), thick=True)
        for value in (max(0.0, 1.0 - reach), 1.0 + reach):
            self._value(surface, panel, value, f"{value:.3f}")
        title = "the whole episode: equity, and in grey what holding had made"
        self._say(surface, title, (LEFT + 6, _OVERVIEW[0] + 4), _QUIET)

    def _values(self, surface: pygame.Surface, panel: Panel, count: int, newest: float) -> None:
        """Round values of the vertical axis, a line for each; labels give way to the newest's tag."""
        values, decimals = panel.ticks(count)
        for value in values:
            y = round(float(panel.y(value)))
            surface.fill(_GRID, (LEFT, y, _SPAN, 1))
            if abs(y - float(panel.y(newest))) > _TAG_HEIGHT:
                self._value(surface, panel, value, f"{value:,.{decimals}f}")

    def _value(self, surface: pygame.Surface, panel: Panel, value: float, text: str) -> None:
        y = min(max(round(float(panel.y(value))), panel.top + 5), panel.bottom - 5)
        self._say(surface, text, (RIGHT + 8, y - 6), _QUIET)

    def _mark(self, surface: pygame.Surface, panel: Panel, x: int) -> None:
        """Where the episode begins."""
        for y in range(panel.top, panel.bottom, 6):
            surface.fill(_FAINT, (x + BAR // 2, y, 1, 3))
        right = x > RIGHT - 60
        place = (x + BAR // 2 + (-5 if right else 6), panel.bottom - 15)
        self._say(surface, "start", place, _QUIET, anchor=float(right))

    def _tag(
        self, surface: pygame.Surface, panel: Panel, value: float, text: str, colour: Colour
    ) -> None:
        """The newest value, in a box on the axis."""
        written = self._written(text, 18, _GROUND)
        y = min(max(round(float(panel.y(value))), panel.top + 8), panel.bottom - 8)
        width = max(written.get_width() + 10, 48)
        box = pygame.Rect(RIGHT + 3, y - _TAG_HEIGHT // 2, width, _TAG_HEIGHT)
        pygame.draw.rect(surface, colour, box, border_radius=3)
        surface.blit(written, (box.x + 5, y - 6))

    def _title(self, surface: pygame.Surface, panel: Panel, text: str) -> None:
        self._say(surface, text, (LEFT + 6, panel.top + 4), _QUIET)

    def _say(
        self,
        surface: pygame.Surface,
        text: str,
        place: tuple[int, int],
        colour: Colour,
        size: int = 17,
        anchor: float = 0.0,
    ) -> None:
        """Write at a place that is the text's left edge, its middle or its right edge: 0, ½, 1."""
        written = self._written(text, size, colour)
        surface.blit(written, (place[0] - round(anchor * written.get_width()), place[1]))

    def _write(self, text: str, size: int, colour: Colour) -> pygame.Surface:
        return self._fonts[size].render(text, True, colour)


@contextmanager
def _inside(surface: pygame.Surface, panel: Panel) -> Iterator[None]:
    """Cut what is drawn at the panel's edges."""
    surface.set_clip((LEFT, panel.top, _SPAN, panel.height))
    try:
        yield
    finally:
        surface.set_clip(None)


def _bars(window: Window, values: FloatArray) -> Iterator[tuple[float, float]]:
    """Place and value of each bar of the episode that is on show."""
    shown = window.episode
    yield from zip(window.x[shown].tolist(), values[shown].tolist(), strict=True)


def _candles(
    surface: pygame.Surface, panel: Panel, window: Window, bars: Sequence[FloatArray]
) -> None:
    """Open, high, low and close [B] of the bars on show; those before the episode are fainter."""
    opening, _, _, close = bars
    rises = close >= opening
    opened, top, bottom, closed = (np.rint(panel.y(each)).astype(int).tolist() for each in bars)
    for i, x in enumerate(window.x.astype(int).tolist()):
        colour = _RISE if rises[i] else _FALL
        colour = colour if i >= window.begin else _blend(colour, _PANEL, 0.55)
        head, foot = min(opened[i], closed[i]), max(opened[i], closed[i])
        surface.fill(colour, (x, top[i], 1, max(1, bottom[i] - top[i])))
        surface.fill(colour, (x - _BODY // 2, head, _BODY, max(1, foot - head)))


def _level(surface: pygame.Surface, panel: Panel, value: float) -> None:
    surface.fill(_FAINT, (LEFT, round(float(panel.y(value))), _SPAN, 1))


def _quantiles(newest: float, future: FloatArray) -> FloatArray:
    """Lower edges of the bands, upper edges, and the median [.., B + 1], from the newest close."""
    levels = [*(low for low, _ in _BANDS), *(high for _, high in _BANDS), 50]
    edges = np.percentile(future, levels, axis=0)
    return np.concatenate([np.full((len(levels), 1), newest), edges], axis=1)


def _line(
    surface: pygame.Surface, colour: Colour, x: FloatArray, y: FloatArray, thick: bool = False
) -> None:
    """A smooth line through points, of one pixel or two."""
    if len(x) < 2:
        return
    for down in (0.0, 1.0) if thick else (0.0,):
        pygame.draw.aalines(surface, colour, False, list(zip(x, y + down, strict=True)))


def _column(
    surface: pygame.Surface,
    panel: Panel,
    x: float,
    ends: Iterable[float],
    colour: Colour,
    width: int = _BODY,
) -> None:
    """A bar's column from one value to another."""
    top, bottom = sorted(round(float(panel.y(end))) for end in ends)
    surface.fill(colour, (int(x) - width // 2, top, width, max(1, bottom - top)))


def _blend(colour: Colour, ground: Colour, share: float) -> Colour:
    r, g, b = (round(share * c + (1.0 - share) * g) for c, g in zip(colour, ground, strict=True))
    return r, g, b


def _sign_colour(value: float) -> Colour:
    return _QUIET if abs(value) < 0.005 else _RISE if value > 0 else _FALL


def _price_text(price: float) -> str:
    """Six digits, whatever the price."""
    decimals = max(0, 5 - int(np.floor(np.log10(price)))) if price > 0 else 2
    return f"{price:,.{min(decimals, 10)}f}"
