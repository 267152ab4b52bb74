"""README and docs show the figures that were measured, and every one can be measured again."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest

before = dict(os.environ)
with pytest.MonkeyPatch.context() as patch:  # the benchmarks are not installed
    patch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks.figures import tables
    from benchmarks.figures.cells import UnknownValueError
    from benchmarks.figures.claims import broken_claims
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
    from benchmarks.figures.values import look_up, values
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


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_sentences_say_what_was_measured(page: Path) -> None:
    texts = {name: measured.text for name, measured in read_figures().items()}
    for value in values(page.read_text(encoding="utf-8")):
        today = look_up(value.place, texts)
        assert value.text == today, f"{value.place}: run `python -m benchmarks.figures --pages`"
        assert not value.first, f"{value.place} begins a line, where a comment ends a paragraph"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_what_sentences_claim_of_figures_is_so(page: Path) -> None:
    texts = {name: measured.text for name, measured in read_figures().items()}
    text = page.read_text(encoding="utf-8")
    assert not list(broken_claims(text, texts))
    assert not re.search(r"^[\s>*-]*<!-- claim: ", text, re.MULTILINE), "it ends a paragraph"


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


TEXTS = {
    "one": (
        "| by | BTC, test | ETH | share |\n|---|---|---|---|\n"
        "| HAR-t, ranges | **0.5061 (0.5049 to 0.5070)** | −0.004 | 35% |\n"
        "| `ours` | 0.4899 | .44 to .61 (of 5) | 1,393 |\n"
        "| a \\|r\\| | +0.383 (+0.383 … +0.400) | – | 22 of 24 |"
    ),
    "two": (
        "**Bitcoin**\n\n| bars | by | loss |\n|---|---|---|\n| 1 | HAR | 0.25 |\n| 24 | HAR | 1.5 |\n\n"
        "**Ether**\n\n| bars | by | loss |\n|---|---|---|\n| 1 | HAR | 0.75 |\n| 24 | HAR | 2.5 |"
    ),
    "text": (
        "```text\nagent  edge        log return  training\nhold      1             -0.26\n"
        "ppo       1  +1.26 (+1 to +2)        13\n```"
    ),
}


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("one :: HAR-t, ranges :: BTC, test", "0.5061 (0.5049 to 0.5070)"),
        ("one :: HAR :: BTC :: .000", ".506"),
        ("one :: HAR :: BTC :: low .000", ".505"),
        ("one :: HAR :: BTC :: range 0.00", "0.50 to 0.51"),
        ("one :: HAR :: BTC :: ranged 0.000", "0.506 (0.505 to 0.507)"),
        ("one :: HAR :: BTC :: ranged 0.0", "0.5"),
        ("one :: HAR :: ETH :: .000", "−.004"),
        ("one :: HAR :: ETH :: +.00", "+.00"),
        ("one :: HAR :: share", "35%"),
        ("one :: HAR :: share :: 0.0%", "35.0%"),
        ("one :: ours :: ETH :: range .0", ".4 to .6"),
        ("one :: ours :: share :: 0,000", "1,393"),
        ("one :: ours :: share :: 0", "1393"),
        ("one :: a |r| :: BTC :: simple +0%", "+47%"),
        ("one :: a |r| :: share :: median", "22"),
        ("one :: HAR less ours :: BTC :: +.000", "+.016"),
        ("one :: HAR :: ETH less BTC :: 0.00", "−0.51"),
        ("two :: Ether / 24 / HAR :: loss", "2.5"),
        ("two :: Ether / 24 :: bars / loss", "2.5"),
        ("text :: ppo :: log return :: ranged +0.0", "+1.3 (+1.0 to +2.0)"),
        ("text :: ppo :: training", "13"),
    ],
)
def test_a_value_is_a_cell_in_a_form(place: str, text: str) -> None:
    assert look_up(place, TEXTS) == text


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("three :: HAR :: BTC", r"no figure 'three'; there are \['one', 'text', 'two'\]"),
        ("one :: GARCH :: BTC", r"one: no row is 'GARCH'; there are \['HAR-t, ranges', 'ours', "),
        ("one :: HAR :: SOL", r"one: no column is 'SOL'; there are \['by', 'BTC, test', "),
        ("two :: 24 / HAR :: loss", r"two: several rows are '24 / HAR'; there are \['Bitcoin / 1"),
        ("one :: HAR :: BTC :: .2f", r"no form '\.2f'"),
        ("one :: a :: ETH :: 0.0", "there is no number in '–'"),
        ("one :: HAR", "is not `figure :: row :: column`"),
    ],
)
def test_a_value_that_does_not_exist_is_told_what_does(place: str, said: str) -> None:
    with pytest.raises(UnknownValueError, match=said):
        look_up(place, TEXTS)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("one :: ours :: BTC is below\none :: HAR :: BTC", None),
        ("one :: ours :: BTC is at most 0.4899", None),
        ("one :: ours :: BTC :: 0.0 is .5", None),
        (
            "one :: ours :: BTC :: low is at least one :: HAR :: BTC",
            "no longer so (0.4899, 0.5061); ",
        ),
        ("one :: HAR :: ETH is above -.004", "no longer so"),
        ("one :: HAR :: ETH equals -.004", "it has none of ['is above', "),
        (
            "one :: ours :: BTC is below 1; one :: HAR :: BTC is above 1",
            "write the sentence before it anew: one :: HAR",
        ),
        ("one :: each HAR :: BTC is above 0.5", None),
        ("two :: each Ether :: loss is above 0.7", None),
        ("two :: each Bitcoin :: loss is above 0.7", "no longer so"),
        ("one :: ours :: BTC is below the highest of one :: HAR :: BTC … ETH", None),
        ("one :: HAR :: BTC is below the highest of one :: HAR :: BTC … ETH", "no longer so"),
        ("one :: HAR :: BTC is below the highest of one :: HAR :: BTC … SOL", "no column is 'SOL'"),
        ("one :: a :: share says of 24", None),
        ("two :: each Bitcoin :: by does not say HAR", "no longer so"),
        ("one :: HAR :: SOL is above 1", "no column is 'SOL'"),
    ],
)
def test_a_claim_holds_or_is_told(said: str, why: str | None) -> None:
    told = list(broken_claims(f"Ours is best <!-- claim: {said} -->.", TEXTS))
    assert (why in told[0]) if why else not told


def test_values_of_a_page_are_written_from_the_file(tmp_path: Path) -> None:
    held = read_figures()
    place = "synthetic.truth :: the world model :: bar :: .000"
    today = look_up(place, {name: measured.text for name, measured in held.items()})
    page = tmp_path / "page.md"
    page.write_text(f"is <!-- value: {place} -->1<!-- end of value --> nats\n")
    assert fill(page, held)
    assert page.read_text() == f"is <!-- value: {place} -->{today}<!-- end of value --> nats\n"
    page.write_text(
        "is <!-- value: synthetic.truth :: none :: bar -->1<!-- end of value -->"
        f" or <!-- value: {place} -->1<!-- end of value -->\n"
    )
    with pytest.raises(UnknownValueError, match=r"page\.md:\nsynthetic\.truth: no row is 'none'"):
        fill(page, held)
    assert today in page.read_text()  # the others are written
    page.write_text(f"- <!-- value: {place} -->1<!-- end of value -->\n")
    assert [value.first for value in values(page.read_text())] == [True]
    with pytest.raises(UnknownValueError, match="no `<!-- end of value -->` on the line"):
        list(values(f"is <!-- value: {place} -->1\n"))


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


class Said(Work):
    """What commands would print."""

    def __init__(self, folder: Path, said: str) -> None:
        super().__init__(folder, candles=None)
        self.said = said

    def run(self, command: str) -> str:
        return self.said


def test_ranks_are_shown_with_the_best_of_each_row(tmp_path: Path) -> None:
    said = (
        "|  | dream, rank correlation | beyond costs and exposure | 95% over world models | by quarter "
        "| minus cost | block bootstrap |\n| --- | --- | --- | --- | --- | --- | --- |\n"
        "| test, net | 0.96 | 0.50 (0.40 to 0.60) | 0.30 to 0.70 (5) | -0.20 (-0.30 to 0.10) | -0.05 | 0.10 |\n"
        "| test, gross | 0.96 | 0.02 | 0.01 to 0.03 (5) | – | -0.05 | 1.00 |\n\nmore\n\n| a |\n|---|\n"
    )
    assert tables.ranks({"BTC": "", "ETH": ""})(Said(tmp_path, said)).splitlines()[:5] == [
        "| beyond costs and exposure | dream, over models | 95% over models | by quarter | minus cost | bootstrap |",
        "| --- | --- | --- | --- | --- | --- |",
        "| BTC test, net | **.50** (.40 to .60) | .30 to .70 | −.20 (−.30 to .10) | −.05 | .10 |",
        "| BTC test, gross | .02 | .01 to .03 | – | −.05 | **1.00** |",
        "| ETH test, net | **.50** (.40 to .60) | .30 to .70 | −.20 (−.30 to .10) | −.05 | .10 |",
    ]


def test_growth_is_a_table(tmp_path: Path) -> None:
    rows = [
        {"bars": bars, "seconds": 10.0 * bars, "peak_mb": 1_000.4, "stages_s": {"world_model": 2.6}}
        for bars in (1_000, 10_000)
    ]
    (tmp_path / "growth.json").write_text(json.dumps({"rows": rows}))
    assert tables.growth("", "growth.json")(Said(tmp_path, "")).splitlines() == [
        "| bars | seconds | MB at its peak | world model [s] |",
        "| --- | --- | --- | --- |",
        "| 1,000 | 10,000 | 1,000 | 3 |",
        "| 10,000 | 100,000 | 1,000 | 3 |",
        "| as bars to the power | 1.00 | 0.00 |  |",
    ]


def test_a_file_of_candles_that_is_missing_is_named(tmp_path: Path) -> None:
    work = Work(tmp_path, candles=tmp_path)
    with pytest.raises(
        Missing, match=r"BTCUSDT-60\.csv \(bybit-linear-BTCUSDT-60\.csv of --candles"
    ):
        work.run(SHARED["btc-0"])


def test_the_file_is_the_project_s() -> None:
    assert FILE.relative_to(ROOT) == Path("docs", "figures.json")
