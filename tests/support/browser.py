"""Pages in a headless Chromium: opened at a width, in light or dark, and looked over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NARROW, WIDE = 390, 1280
LOOKS = [(width, dark) for width in (NARROW, WIDE) for dark in (False, True)]
_PATIENCE_S = 20  # for what the page does by itself
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",  # WebGL by the processor
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)
_HOVER = """
const place = arguments[0];
if (place.data[0].type === "parcoords") return true;  // which is dragged along, not pointed at
const curve = place.data.findIndex(t => t.hoverinfo !== "skip" && t.type !== "heatmap");
Plotly.Fx.hover(place, [{curveNumber: curve, pointNumber: 0}]);
"""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; skips the test where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("Chromium or its driver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for option in _OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield opened
    finally:
        opened.quit()


def show(browser: Any, page: Path, width: int, dark: bool) -> None:
    """Open a page as a reader with such a screen has it."""
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == NARROW}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    dress(browser, dark)
    browser.get(page.as_uri())


def dress(browser: Any, dark: bool) -> None:
    """Have the reader's system ask for light or dark."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def until(browser: Any, script: str, *arguments: Any) -> bool:
    """Wait until a script's expression is true; raises where it never becomes so."""
    from selenium.webdriver.support.ui import WebDriverWait

    waiting = WebDriverWait(browser, _PATIENCE_S, poll_frequency=0.05)
    return bool(waiting.until(lambda b: b.execute_script(f"return {script}", *arguments), script))


def charts(browser: Any) -> list[Any]:
    """The places of all charts, drawn."""
    wanted = 'document.querySelectorAll("figure.chart").length'
    drawn = 'document.querySelectorAll("figure.chart .js-plotly-plot").length'
    until(browser, f"{wanted} === {drawn}")
    found: list[Any] = browser.execute_script(
        'return [...document.querySelectorAll("figure.chart .js-plotly-plot")]'
    )
    return found


def look_over(browser: Any, page: Path, width: int, dark: bool) -> None:
    """All that holds of every page: drawn, answering, inside the screen, in its colours, no error."""
    show(browser, page, width, dark)
    places = charts(browser)
    assert places
    for place in places:
        label = place.get_attribute("aria-label")
        assert place.find_elements("css selector", ".main-svg"), label
        if not browser.execute_script(_HOVER, place):
            until(browser, 'arguments[0].querySelectorAll(".hoverlayer > *").length', place)
    _is_inside(browser)
    _wears(browser, dark)
    said = browser.get_log("browser")
    errors = [one for one in said if one["level"] != "INFO" and one["source"] != "rendering"]
    assert not errors


def look_at(page: Path) -> int:
    """Look a page over on every screen; how many charts it has."""
    with chromium() as browser:
        for width, dark in LOOKS:
            look_over(browser, page, width, dark)
        return len(charts(browser))


def _is_inside(browser: Any) -> None:
    """Nothing is wider than the screen but what scrolls in a box of its own."""
    width, room = browser.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth]"
    )
    assert width <= room
    cut = browser.execute_script(
        'return [...document.querySelectorAll("h1, h2, h3, p, dt, dd, figcaption, .plot")]'
        ".filter(e => !e.style.minWidth)"
        ".filter(e => e.getBoundingClientRect().right > innerWidth + 1 || e.scrollWidth > e.clientWidth + 1)"
        ".map(e => e.textContent.slice(0, 60))"
    )
    assert not cut


def _wears(browser: Any, dark: bool) -> None:
    """Page and charts are light or dark, as was asked for."""
    colors = browser.execute_script(
        'const place = document.querySelector(".js-plotly-plot");'
        "return [getComputedStyle(document.body).backgroundColor, place.layout.hoverlabel.bgcolor]"
    )
    expected = ["rgb(20, 23, 27)", "#14171b"] if dark else ["rgb(253, 253, 252)", "#fdfdfc"]
    assert colors == expected
