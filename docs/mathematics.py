"""Formulas of the site: `$…$` in a line and `$$…$$` by themselves become MathML, without JavaScript.

A Python-Markdown extension. GitHub draws the same notation.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

from latex2mathml.converter import convert_to_element
from markdown import Extension, Markdown
from markdown.inlinepatterns import InlineProcessor

_FORMULA = r"(?<![\\$\w])(\$\$?)(?=\S)([^$]+?)(?<=\S)\1(?![\w$])"
_BEFORE_ESCAPES = 185  # Python-Markdown takes backslashes at 180, code at 190


class _Formula(InlineProcessor):
    def handleMatch(self, m, data):  # type: ignore[no-untyped-def, override]
        """One formula as an element of MathML."""
        display = "block" if m.group(1) == "$$" else "inline"
        found: Element = convert_to_element(m.group(2), display=display)
        return found, m.start(0), m.end(0)


class Mathematics(Extension):
    """Formulas in dollar signs."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Look for formulas behind code and before backslashes."""
        md.inlinePatterns.register(_Formula(_FORMULA, md), "formula", _BEFORE_ESCAPES)


def makeExtension(**settings: object) -> Mathematics:
    """What Python-Markdown calls."""
    return Mathematics(**settings)
