"""Cells that several sections of the fidelity page share."""

from __future__ import annotations

from collections.abc import Mapping

from ..significance import Interval
from .figures import title_of


def notes(said: Mapping[str, str]) -> list[str]:
    """What there is to say about fits, a paragraph each."""
    return [f"{title_of(name)}: {note}." for name, note in said.items()]


def spanned(interval: Interval | None) -> str:
    """A figure with its interval; a dash where there is none."""
    if interval is None:
        return "–"
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def judged(score: Interval | None) -> str:
    """How far a judge is from chance, with its interval; a dash where nobody judged."""
    return "–" if score is None else f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})"
