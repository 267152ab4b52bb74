"""Records come back as they were written, whatever is in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, NamedTuple, TypeVar

import numpy as np
import pytest

from worldmodel_trading.evaluation.stored import read_stored, write_stored
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.errors import ConfigError

Number = TypeVar("Number")


class Pair(NamedTuple):
    first: int
    second: float


@dataclass(frozen=True)
class Span(Generic[Number]):
    low: Number
    high: Number | None = None


@dataclass(frozen=True)
class Inner:
    kind: Literal["a", "b"]
    value: int | float | str


@dataclass(frozen=True, eq=False)
class Outer:
    inner: Inner
    many: tuple[Inner, ...]
    by_name: Mapping[str, Inner]
    by_number: dict[int, dict[str, float]]
    pair: Pair
    fixed: tuple[str, int]
    span: Span[Inner]
    plain: Span[float]
    array: FloatArray
    rows: list[dict[str, float]]
    missing: Inner | None = None
    drawn: Inner | None = None


def outer() -> Outer:
    a, b = Inner("a", 1), Inner("b", "x")
    return Outer(
        a, (a, b), {"b": b}, {3: {"x": 0.5}}, Pair(1, 2.0), ("s", 4), Span(a, b), Span(0.25),
        np.array([[1.0, np.nan], [3.0, 4.0]]), [{"epoch": 1.0}], drawn=b,
    )  # fmt: skip


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    written = outer()
    found = read_stored(write_stored(tmp_path / "page.json", written), Outer)
    for name in Outer.__dataclass_fields__:
        if name != "array":
            assert getattr(found, name) == getattr(written, name), name
    assert isinstance(found.pair, Pair)
    assert found.array.dtype == np.float64
    assert np.array_equal(found.array, written.array, equal_nan=True)


def test_one_of_several_kinds_is_read(tmp_path: Path) -> None:
    path = write_stored(tmp_path / "page.json", Inner("a", 2))
    found: Inner | Outer = read_stored(path, Outer, Inner)
    assert found == Inner("a", 2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no", "no record of a page"),
        ("[]", "no record of a page"),
        (json.dumps({"version": 0, "kind": "Inner", "content": {}}), "version 0; expected Inner, ver"),
        (json.dumps({"version": 1, "kind": "Other", "content": {}}), "holds Other, version 1"),
        (json.dumps({"version": 1, "kind": "Inner", "content": {}}), "do the work anew"),
    ],
)  # fmt: skip
def test_what_is_no_such_record_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "page.json").write_text(content)
    with pytest.raises(ConfigError, match=said):
        read_stored(tmp_path / "page.json", Inner)


def test_a_record_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no .*page\.json"):
        read_stored(tmp_path / "page.json", Inner)
