"""Single values of figures in sentences and tables that are kept by hand.

A page holds one between two comments, which neither GitHub nor the site shows::

    <!-- value: world_model.forecasts :: HAR-t :: BTC, test :: .000 -->.506<!-- end of value -->

that is figure, row, column and, if the cell is not to stand as it is, a form:

- Row and column are named by their text or, if no other begins so, by its beginning. Where rows share
  their first cell the next ones are named as well, with ` / ` between; so is, in front, the table of a
  figure that has several, by the label above it or its first heading. Of columns that are called alike
  the one after another is named, `THE OTHER / COLUMN`. `A less B` is the difference.
- The form is one of the words `median` (which need not be said), `low`, `high`, `range` (low to high)
  and `ranged` (median, low and high), and `simple` before it makes simple returns of log returns;
  and a picture: `0.00` two digits, `.00` without a leading zero, `+0.00` with its sign, `0%` of hundred.

A value must not begin a line, where a comment would end the paragraph.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .cells import UnknownValueError, find_cell

_VALUE: Final = re.compile(r"<!-- value: (?P<place>.+?) -->(?P<text>[^<\n]*)<!-- end of value -->")
_BEGUN: Final = re.compile(r"<!-- value: ")
NUMBER: Final = re.compile(
    r"[-+−]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?%?"
)
_FORM: Final = re.compile(
    r"(?P<simple>simple )?(?P<which>median|low|high|range|ranged)? ?"
    r"(?P<picture>(?P<sign>\+)?(?P<whole>0,000|0)?(?:\.(?P<digits>0+))?(?P<percent>%)?)"
)


@dataclass(frozen=True)
class Value:
    """A value of a page.

    Attributes:
        place: Figure, row, column and form, as the page has them.
        text: What the page shows.
        first: Whether it begins a line, a list's item included.
    """

    place: str
    text: str
    first: bool


@dataclass(frozen=True)
class Numbers:
    """What a cell says: a median and its range, all the same where it says one number."""

    median: float
    low: float
    high: float

    def map(self, change: Callable[[float], float]) -> Numbers:
        """Each of the three changed."""
        return Numbers(change(self.median), change(self.low), change(self.high))


def values(text: str) -> Iterator[Value]:
    """The values of a page.

    Raises:
        UnknownValueError: One has no end on its line.
    """
    found = list(_VALUE.finditer(text))
    begun = [match.start() for match in _BEGUN.finditer(text)]
    for start in begun:
        if start not in {match.start() for match in found}:
            line = text[start:].partition("\n")[0]
            raise UnknownValueError(f"no `<!-- end of value -->` on the line: {line}")
    for match in found:
        before = text[: match.start()].rpartition("\n")[2]
        yield Value(match["place"], match["text"], not re.sub(r"[-*>\s]|\d+\.", "", before))


def fill_values(text: str, figures: Mapping[str, str]) -> tuple[str, list[str]]:
    """A page with today's values, and what is wrong with those that stay as they are.

    Args:
        text: The page.
        figures: Text of each figure by its name.
    """
    wrong: list[str] = []

    def today(found: re.Match[str]) -> str:
        try:
            shown = look_up(found["place"], figures)
        except UnknownValueError as error:
            wrong.append(str(error))
            return found[0]
        return f"<!-- value: {found['place']} -->{shown}<!-- end of value -->"

    return _VALUE.sub(today, text), wrong


def look_up(place: str, figures: Mapping[str, str]) -> str:
    """What a page shows at a place.

    Raises:
        UnknownValueError: There is no such figure, row, column or form.
    """
    parts = [part.strip() for part in place.split(" :: ")]
    if len(parts) not in (3, 4):
        raise UnknownValueError(f"{place!r} is not `figure :: row :: column` or `… :: form`")
    name, row, column, form = [*parts, ""][:4]
    cells = [
        find_cell(figures, name, one, other)
        for one, other in _pairs(row.split(" less "), column.split(" less "))
    ]
    if len(cells) == 1 and not form:
        return cells[0]
    return _show(cells, form, place)


def number_of(cell: str, place: str) -> float:
    """The number that a cell says, the median of several.

    Raises:
        UnknownValueError: It says none.
    """
    return _numbers(cell, place).median


def _pairs(rows: Sequence[str], columns: Sequence[str]) -> list[tuple[str, str]]:
    """Each row with its column; either may be the same of both sides of a difference."""
    size = max(len(rows), len(columns))
    return [(rows[min(i, len(rows) - 1)], columns[min(i, len(columns) - 1)]) for i in range(size)]


def _show(cells: Sequence[str], form: str, place: str) -> str:
    asked = _FORM.fullmatch(form)
    if asked is None:
        raise UnknownValueError(
            f"{place}: no form {form!r}; `simple`, one of median, low, high, range and ranged, and "
            "a picture like 0.00, .000, +0.0 or 0%"
        )
    read = [_numbers(cell, place) for cell in cells]
    if len(read) > 1:
        read = [Numbers(*[read[0].median - read[1].median] * 3)]
    found = read[0].map(math.expm1) if asked["simple"] else read[0]
    already = cells[0].count("%") > 0  # the number is of hundred as it stands
    shown = {
        which: _draw(getattr(found, which), asked, already) for which in ("median", "low", "high")
    }
    which = asked["which"] or "median"
    if which == "range":
        return f"{shown['low']} to {shown['high']}"
    if which == "ranged" and len(set(shown.values())) > 1:
        return f"{shown['median']} ({shown['low']} to {shown['high']})"
    return shown["median" if which == "ranged" else which]


def _numbers(cell: str, place: str) -> Numbers:
    said = [
        float(number.rstrip("%").replace(",", "").replace("−", "-"))
        for number in NUMBER.findall(cell)
    ]
    if not said:
        raise UnknownValueError(f"{place}: there is no number in {cell!r}")
    if re.match(rf"{NUMBER.pattern}(?: to |–){NUMBER.pattern}", cell):
        return Numbers(math.nan, said[0], said[1])
    if "(" in cell and len(said) > 2:
        return Numbers(said[0], said[1], said[2])
    return Numbers(said[0], said[0], said[0])


def _draw(number: float, asked: re.Match[str], already: bool) -> str:
    """A number by its picture; as few digits as tell it, without one."""
    if not asked["picture"]:
        return f"{number:.6g}".replace("-", "−")
    scaled = number if already or not asked["percent"] else 100 * number
    digits = len(asked["digits"] or "")
    size = f"{abs(scaled):{',' if asked['whole'] == '0,000' else ''}.{digits}f}"
    nothing = not size.strip("0.,")
    if asked["whole"] is None and digits:
        size = size.removeprefix("0")
    sign = "−" if scaled < 0 and not nothing else "+" if asked["sign"] else ""
    return f"{sign}{size}{asked['percent'] or ''}"
