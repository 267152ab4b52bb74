"""Pages as readers see them: wide and narrow, light and dark, in a headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import LOOKS, NARROW, WIDE, charts, chromium, dress, look_over, show, until
from comparisons import tables, told
from pages import HISTORY, run_curves, run_results

from worldmodel_trading.evaluation.report.comparison_page import comparison_html
from worldmodel_trading.evaluation.report.run_page import write_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def run_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "report.html"
    return write_report(path, run_results(), run_curves(), HISTORY)


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_the_page_of_a_run(browser: Any, run_page: Path, width: int, dark: bool) -> None:
    look_over(browser, run_page, width, dark)
    assert len(charts(browser)) == 14


@pytest.fixture(scope="module")
def comparison_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("comparison") / "report.html"
    path.write_text(comparison_html(told(), tables()), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_the_page_of_a_comparison(
    browser: Any, comparison_page: Path, width: int, dark: bool
) -> None:
    look_over(browser, comparison_page, width, dark)
    assert len(charts(browser)) == 2 + 2 + 1 + 4 + 1 + 2


def test_a_mouse_over_a_chart_is_answered(browser: Any, run_page: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    show(browser, run_page, WIDE, dark=False)
    place = charts(browser)[0]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", place)
    ActionChains(browser).move_to_element(place).perform()
    assert until(
        browser, 'document.querySelectorAll(".hoverlayer .legend, .hoverlayer .hovertext").length'
    )


def test_a_click_on_a_name_hides_its_line(browser: Any, run_page: Path) -> None:
    show(browser, run_page, WIDE, dark=False)
    place = charts(browser)[0]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", place)
    place.find_element("css selector", ".legendtoggle").click()
    assert until(
        browser,
        '[...document.querySelector(".js-plotly-plot").data].some(t => t.visible === "legendonly")',
    )


def test_charts_follow_when_it_gets_dark(browser: Any, run_page: Path) -> None:
    show(browser, run_page, NARROW, dark=False)
    charts(browser)
    dress(browser, dark=True)
    assert until(
        browser, 'document.querySelector(".js-plotly-plot").layout.font.color === "#98a1ac"'
    )


def test_the_first_column_stays_where_a_table_is_scrolled(browser: Any, run_page: Path) -> None:
    show(browser, run_page, NARROW, dark=False)
    places = browser.execute_script(
        "const box = [...document.querySelectorAll('.scroll')].find(e => e.scrollWidth > e.clientWidth"
        " && e.checkVisibility());"
        "const head = box.querySelector('tbody th'), cell = box.querySelector('tbody td');"
        "const before = [head, cell].map(e => e.getBoundingClientRect().left);"
        "box.scrollLeft = 80;"
        "return [before, [head, cell].map(e => e.getBoundingClientRect().left)]"
    )
    (head, cell), (head_after, cell_after) = places
    assert head_after == head
    assert cell_after < cell


def test_the_verdict_is_on_the_first_screen(browser: Any, run_page: Path) -> None:
    for width in (NARROW, WIDE):
        show(browser, run_page, width, dark=False)
        end = browser.execute_script(
            'return document.querySelector(".verdict").getBoundingClientRect().bottom'
        )
        assert end < 900
