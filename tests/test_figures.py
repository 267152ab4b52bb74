"""README and docs show the figures that were measured, and every one can be measured again."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from pathlib import Path

import pytest

before = dict(os.environ)
with pytest.MonkeyPatch.context() as patch:  # the benchmarks are not installed
    patch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks.figures.listing import list_lines
    from benchmarks.figures.registry import FIGURES, SHARED, Figure
    from benchmarks.figures.store import (
        FILE,
        LIST,
        ROOT,
        fill,
        pages,
        read_figures,
        shown,
        write_list,
    )
    from benchmarks.figures.work import Missing, Work
os.environ.clear()  # and set variables of their own
os.environ.update(before)

NAMES = [figure.name for figure in FIGURES]


def test_each_figure_is_held_and_shown_once_on_its_page() -> None:
    assert len(NAMES) == len(set(NAMES))
    assert set(read_figures()) == set(NAMES)
    where = {page: [name for name, _ in shown(page)] for page in pages()}
    assert Counter(name for names in where.values() for name in names) == Counter(NAMES)
    for page, names in where.items():
        assert {name.partition(".")[0] for name in names} <= {page.stem}, page


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_page_shows_what_was_measured(page: Path) -> None:
    held = read_figures()
    for name, text in shown(page):
        assert text == held[name].text, f"{name}: run `python -m benchmarks.figures --pages`"


def test_the_list_of_figures_is_today_s() -> None:
    lines = "\n".join(list_lines(read_figures()))
    assert f"\n\n{lines}\n\n<!-- end of list -->" in LIST.read_text(encoding="utf-8")


def test_pages_are_written_from_the_file(tmp_path: Path) -> None:
    held = read_figures()
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n\n<!-- figure: synthetic.truth -->\n\nold\n\n<!-- end of figure -->\n\nprose\n"
    )
    assert fill(page, held)
    assert page.read_text() == (
        f"# Page\n\n<!-- figure: synthetic.truth -->\n\n{held['synthetic.truth'].text}\n\n"
        "<!-- end of figure -->\n\nprose\n"
    )
    assert not fill(page, held)
    page.write_text("<!-- list of figures -->\n\nold\n\n<!-- end of list -->\n")
    assert write_list(["one", "two"], page)
    assert page.read_text() == "<!-- list of figures -->\n\none\ntwo\n\n<!-- end of list -->\n"


@pytest.mark.parametrize("figure", FIGURES, ids=NAMES)
def test_commands_are_those_of_a_reader(figure: Figure) -> None:
    assert figure.commands
    for command in figure.commands:
        first, *rest = shlex.split(command)
        assert first == "worldmodel-trading" or [first, rest[0]] == ["python", "-m"]


def test_what_is_shared_is_made_where_it_is_looked_for() -> None:
    for name, command in SHARED.items():
        assert command.endswith(f"--out {name}")


def test_a_figure_is_measured_again(tmp_path: Path) -> None:
    """Arithmetic alone, so that it must give the very same text."""
    work = Work(tmp_path, candles=None)
    held = read_figures()
    on_paper = [
        figure for figure in FIGURES if figure.commands == ("python -m benchmarks.cluster",)
    ]
    assert len(on_paper) == 4
    for figure in on_paper:
        assert figure.make(work) == held[figure.name].text


def test_a_file_of_candles_that_is_missing_is_named(tmp_path: Path) -> None:
    work = Work(tmp_path, candles=tmp_path)
    with pytest.raises(
        Missing, match=r"BTCUSDT-60\.csv \(bybit-linear-BTCUSDT-60\.csv of --candles"
    ):
        work.run(SHARED["btc-0"])


def test_the_file_is_the_project_s() -> None:
    assert FILE.relative_to(ROOT) == Path("docs", "figures.json")
