"""Claims of sentences: when what a page says in words is so.

A claim stands behind what it guards, in a comment that neither GitHub nor the site shows::

    <!-- claim: world_model.forecasts :: world model :: BTC, test is below
    world_model.forecasts :: HAR-t :: BTC, test -->

that is two values, or a value and a number, with `is`, `is above`, `is below`, `is at least` or
`is at most` between, or a value and a word with `says` or `does not say`; several with `;` between. Of
`figure :: each ROW :: column` all rows of that name have to be so; the right side may be
`the highest of FIGURE :: ROW :: COLUMN … COLUMN`. A value is written as ``values.py`` says.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from .cells import UnknownValueError, find_cells, find_span
from .values import NUMBER, look_up, number_of

CLAIM: Final = re.compile(r"<!-- claim: (?P<said>.+?) -->", re.DOTALL)
_COMPARED: Final[dict[str, Callable[[float, float], bool]]] = {
    " is above ": operator.gt,
    " is below ": operator.lt,
    " is at least ": operator.ge,
    " is at most ": operator.le,
    " is ": operator.eq,
}
_HIGHEST: Final = "the highest of "
_SAID: Final[dict[str, Callable[[str, str], bool]]] = {
    " does not say ": lambda cell, word: word not in cell,
    " says ": lambda cell, word: word in cell,
}


def broken_claims(text: str, figures: Mapping[str, str]) -> Iterator[str]:
    """Claims of a page that do not hold, and why.

    Args:
        text: The page.
        figures: Text of each figure by its name.
    """
    for found in CLAIM.finditer(text):
        for said in " ".join(found["said"].split()).split("; "):
            try:
                wrong = _wrong(said, figures)
            except UnknownValueError as error:
                yield str(error)
                continue
            if wrong:
                yield f"no longer so ({'; '.join(wrong)}); write the sentence before it anew: {said}"


def _wrong(said: str, figures: Mapping[str, str]) -> list[str]:
    """The cells of which a claim is not so, with what they are compared with."""
    relation = next((words for words in (*_COMPARED, *_SAID) if words in said), None)
    if relation is None:
        known = [words.strip() for words in (*_COMPARED, *_SAID)]
        raise UnknownValueError(f"{said!r}: it has none of {known}")
    left, right = said.split(relation)
    cells = _cells(left, figures)
    if relation in _SAID:
        return [cell for cell in cells if not _SAID[relation](cell, right)]
    limit = _limit(right, figures)
    compared = _COMPARED[relation]
    return [f"{cell}, {limit:g}" for cell in cells if not compared(number_of(cell, left), limit)]


def _limit(said: str, figures: Mapping[str, str]) -> float:
    """A number, the one at a place, or the highest of some."""
    if NUMBER.fullmatch(said):
        return number_of(said, said)
    name, row, columns = [*said.removeprefix(_HIGHEST).split(" :: "), "", ""][:3]
    first, to, last = columns.partition(" … ")
    if said.startswith(_HIGHEST) and to:
        return max(number_of(cell, said) for cell in find_span(figures, name, row, first, last))
    return number_of(look_up(said, figures), said)


def _cells(place: str, figures: Mapping[str, str]) -> list[str]:
    """What a place says, or each of its rows."""
    name, _, rest = place.partition(" :: ")
    if not rest.startswith("each "):
        return [look_up(place, figures)]
    row, _, column = rest.removeprefix("each ").partition(" :: ")
    return find_cells(figures, name, row, column)
