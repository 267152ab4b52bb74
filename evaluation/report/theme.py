"""How pages look: colours for light and dark, the style sheet, and the script that draws charts."""

from __future__ import annotations

import json
from importlib import resources

# Each by its light and its dark shade. Figures are made in the light ones; on a page the script
# exchanges them, so that one figure serves both, and stays a whole figure outside of pages too.
_SHADES = {
    "paper": ("#fdfdfc", "#14171b"),
    "ink": ("#1b1f24", "#e4e7eb"),
    "muted": ("#5d6671", "#98a1ac"),
    "line": ("#e3e5e8", "#2b3037"),
    "c0": ("#1f6feb", "#62a0ff"),
    "c1": ("#d9622b", "#f0905c"),
    "c2": ("#2a8f5d", "#5cc494"),
    "c3": ("#8a55c7", "#b58bea"),
    "c4": ("#b8860b", "#dcb24a"),
    "c5": ("#7a828c", "#8a929c"),
    "good": ("#1a7f4b", "#5cc494"),
    "bad": ("#c0392b", "#ff8a7a"),
    "unsure": ("#8a6400", "#dcb24a"),
}
_TINTS = (0.0, 0.16, 0.28, 0.45, 0.8)


def color(name: str) -> str:
    """A colour by its name, such as ``c0``, as a figure takes it."""
    return _SHADES[name][0]


def tint(name: str, opacity: float) -> str:
    """The same, seen through; one of few opacities."""
    if opacity not in _TINTS:
        raise ValueError(f"opacity is {opacity}; expected one of {_TINTS}")
    return _rgba(_SHADES[name][0], opacity)


def _rgba(shade: str, opacity: float) -> str:
    red, green, blue = (int(shade[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def _exchanges() -> dict[str, str]:
    """Light to dark, of every colour and tint."""
    pairs = dict(_SHADES.values())
    for light, dark in _SHADES.values():
        pairs |= {_rgba(light, opacity): _rgba(dark, opacity) for opacity in _TINTS}
    return pairs


def _variables(which: int) -> str:
    return " ".join(f"--{name}: {shades[which]};" for name, shades in _SHADES.items())


def style() -> str:
    """The style sheet; one column, light and dark."""
    return f"""
:root {{ color-scheme: light dark; {_variables(0)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(1)} }} }}
{beside("page.css")}"""


def script() -> str:
    """What draws the charts of a page, as HTML."""
    shades = json.dumps(_exchanges(), separators=(",", ":"))
    return (
        f'<script id="shades" type="application/json">{shades}</script>\n'
        f"<script>{beside('page.js')}</script>\n"
    )


def beside(name: str) -> str:
    """A file of this package, as text."""
    return (resources.files(__package__) / name).read_text(encoding="utf-8")
