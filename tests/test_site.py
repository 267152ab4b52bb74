"""The documentation's site builds without a warning, and works without a network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, until

ROOT = Path(__file__).parents[1]
MKDOCS = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
PAGES = re.findall(r"^ +- (?:[^:\n]+: )?(\S+\.md)$", MKDOCS, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is installed, whose docstrings the site reads, and beside it the pages."""
    folder = tmp_path_factory.mktemp("site")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    rooms = project["tool"]["setuptools"]["package-dir"]
    for package, room in rooms.items():
        target = folder / "package" / Path(*package.split("."))
        shutil.copytree(ROOT / room, target, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs", folder / "docs")
    for name in ("mkdocs.yml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, folder)
    return folder


def build(tree: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("zensical", reason="the extra docs is not installed")
    return subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean", "--strict"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": f"{tree / 'package'}{os.pathsep}{tree / 'docs'}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tree: Path) -> Path:
    done = build(tree)
    assert done.returncode == 0, done.stdout + done.stderr
    return tree / "site"


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """Where a server of this machine hands the site out."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_generated_pages_are_what_docstrings_and_faces_say() -> None:
    code = (
        "import json, generate; print(json.dumps({str(k): v for k, v in generate.pages().items()}))"
    )
    made = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "docs")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for page, text in json.loads(made).items():
        held = (ROOT / "docs" / page).read_text(encoding="utf-8")
        assert held == text, f"{page}: run `python docs/generate.py`"


def test_links_stay_inside_the_site() -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text):
            assert (ROOT / "docs") in (page.parent / target).resolve().parents, f"{page}: {target}"


def test_the_way_through_the_pages() -> None:
    """From what it is for to how we know, every page on the way."""
    assert PAGES[:5] == [
        "index.md",
        "first_dream.md",
        "first_agent.md",
        "own_candles.md",
        "is_my_agent_good.md",
    ]
    assert PAGES[-2:] == ["changelog.md", "how_we_know.md"]
    docs = ROOT / "docs"
    assert sorted(PAGES) == sorted(str(page.relative_to(docs)) for page in docs.rglob("*.md"))


def test_every_page_is_there(site: Path) -> None:
    for page in PAGES:
        assert (site / page).with_suffix(".html").exists(), page


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(
            r'<(?:script|img|link|iframe)[^>]+(?:src|href)="(https?://[^"]+)"', text
        )
        assert not fetched, page


def test_each_name_of_a_face_has_its_place(site: Path) -> None:
    for room in ("market", "models", "envs", "evaluation", "agents"):
        stub = (ROOT / room / "__init__.pyi").read_text(encoding="utf-8")
        text = (site / "api" / f"{room}.html").read_text(encoding="utf-8")
        for name in re.findall(r" as (\w+)$", stub, flags=re.MULTILINE):
            assert f'id="worldmodel_trading.{room}.{name}"' in text


@pytest.fixture(scope="module")
def leaf(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of one page with the settings of the whole, which builds."""
    folder = tmp_path_factory.mktemp("leaf") / "tree"
    shutil.copytree(tree, folder, ignore=shutil.ignore_patterns("site", "*.md", "*.json"))
    nav = re.compile(r"^nav:\n(?: +.*\n)+", flags=re.MULTILINE)
    settings, replaced = nav.subn("nav:\n  - index.md\n", MKDOCS)
    assert replaced == 1
    (folder / "mkdocs.yml").write_text(settings, encoding="utf-8")
    (folder / "docs" / "index.md").write_text("# A page\n", encoding="utf-8")
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[nowhere](no_such_page.md)", "page does not exist"),
        ("[nothing][worldmodel_trading.market.NoSuchName]", "unresolved"),
        ("::: worldmodel_trading.market.NoSuchName", "Could not collect"),
    ],
)
def test_a_warning_is_an_error(leaf: Path, written: str, said: str) -> None:
    (leaf / "docs" / "index.md").write_text(f"# A page\n\n{written}\n", encoding="utf-8")
    done = build(leaf)
    assert done.returncode != 0
    assert said in re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)


@pytest.mark.browser
def test_search_and_formulas_work_without_a_network(address: str) -> None:
    with chromium() as browser:
        browser.get(f"{address}/concepts.html")
        shown = [f.size["height"] for f in browser.find_elements("css selector", "math")]
        assert len(shown) > 5
        assert min(shown) > 0
        fetched = "performance.getEntriesByType('resource').map(e => new URL(e.name).origin)"
        assert set(browser.execute_script(f"return {fetched}")) == {address}
        assert search(browser, "liquidation")
        assert not [one for one in browser.get_log("browser") if one["level"] == "SEVERE"]


def search(browser: Any, words: str) -> int:
    """Ask the search, as a reader does; how many results mark the words."""
    until(browser, "document.querySelector('.md-search__button')")
    browser.execute_script("document.querySelector('.md-search__button').click()")
    until(browser, "document.activeElement.shadowRoot")
    browser.switch_to.active_element.send_keys(words)
    marked = "document.activeElement.shadowRoot.querySelectorAll('a[href] mark').length"
    until(browser, marked)
    found: int = browser.execute_script(f"return {marked}")
    return found
