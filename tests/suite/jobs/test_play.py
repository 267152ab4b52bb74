"""``play``: the page trades with the account of the environments, in recorded bars and in dreams."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import LOOKS, chromium, show, until

from worldmodel_trading import play
from worldmodel_trading.cli import main
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.game import GameConfig, Setup, make_game, prices
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, OutputError, WorldModelTradingError
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.world_model import WorldModel

SMALL: dict[str, Any] = {
    "bars": 24,
    "past": 12,
    "horizon": 6,
    "dreams": 2,
    "temperatures": (0.5, 1.0),
}


@pytest.fixture(scope="module")
def record(candles: Candles) -> Candles:
    """The market of the tiny models, for longer."""
    return synthetic_candles(seed=5, bars=6_000)


@pytest.fixture(scope="module")
def page(
    market_model: WorldModel, record: Candles, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("play") / "play.html"
    return play(market_model, record, out, **SMALL)


def told(page: Path) -> dict[str, Any]:
    found = re.search(r'<script id="game"[^>]*>(.*?)</script>', page.read_text(encoding="utf-8"))
    assert found is not None
    game: dict[str, Any] = json.loads(found[1])
    return game


def test_prices_of_bars() -> None:
    bars = np.array([[0.1, 0.02, 0.0], [-0.2, 0.0, 0.05]])
    made = np.log(prices(bars, 1.0))
    assert np.allclose(made, [[0.0, 0.12, 0.0, 0.1], [0.1, 0.1, -0.15, -0.1]])


def test_dreams_go_on_from_every_bar_that_is_played(
    market_model: WorldModel, record: Candles
) -> None:
    begin = record.row_range(market_model.provenance.validation_end_ms, None)[0]
    setup = Setup(market_model, record, (begin, len(record)), regimes={"odd": np.array([1, 3])})
    game = make_game(setup, GameConfig(**SMALL))
    assert game.dreams.shape == (2, 2, 24, 6, 3)
    assert game.regimes["odd"].shape == (2, 2, 6, 3)
    assert game.candles.open_time_ms[game.first + 1] == record.open_time_ms[begin]
    assert (game.dreams[..., 1:] >= 0.0).all()
    assert not np.array_equal(game.dreams[0], game.dreams[1])
    windows = game.windows
    assert windows.shape == (20, 72, 4)
    assert 0 < game.dreamed.sum() < 20
    assert (windows[..., 1] >= windows[..., [0, 3]].max(axis=-1)).all()
    assert np.allclose(windows[:, 0, 0], 100.0)
    recorded = np.log(record.close[1:] / record.close[:-1])
    for window, dreamed in zip(windows, game.dreamed, strict=True):
        gains = np.log(window[1:4, 3] / window[:3, 3])
        places = np.flatnonzero(np.isclose(recorded, gains[0], atol=1e-12))
        found = any(np.allclose(recorded[p : p + 3], gains) for p in places.tolist())
        assert found != dreamed


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


def click(browser: Any, *names: str) -> None:
    for name in names:
        browser.find_element("id", name).click()


def text(browser: Any, name: str) -> str:
    said: str = browser.find_element("id", name).text
    return said


@pytest.mark.browser
def test_the_page_pays_what_replay_pays(
    browser: Any, page: Path, market_model: WorldModel, record: Candles
) -> None:
    show(browser, page, 1280, dark=False)
    weights = [1.0] * 4 + [-1.0] * 5 + [0.0] * 2 + [1.0] * 3
    names = {1.0: "long", 0.0: "flat", -1.0: "short"}
    for weight in weights:
        click(browser, names[weight], "next")
    begin = market_model.provenance.validation_end_ms - record.interval_ms  # whose close is known
    replay = BybitReplayEnv(
        record, world_model=market_model, start=begin, episode_length=None, random_start=False
    )
    replay.reset(seed=0)
    equity = [replay.step(np.array([w], dtype=np.float32))[4]["equity"] for w in weights]
    played = browser.execute_script("return [played.you.equity, played.holding.equity]")
    assert played[0] == pytest.approx(equity[-1], rel=1e-12)
    assert text(browser, "equity") == f"{100 * equity[-1]:.2f}"
    game = told(page)
    first, close = game["first"], game["candles"][3]
    held = (1 - game["fee"] - game["slippage"]) * close[first + len(weights)] / close[first]
    assert played[1] == pytest.approx(held, rel=1e-12)


@pytest.mark.browser
def test_a_dream_begins_where_the_market_stands(browser: Any, page: Path) -> None:
    game = told(page)
    dreams = np.frombuffer(base64.b64decode(game["dreams"]), dtype="<i2")
    dreams = dreams.reshape(2, 2, 24, 6, 3) * game["scale"]
    show(browser, page, 1280, dark=True)
    click(browser, "long", "next", "next", "switch")
    assert text(browser, "mode") == "dreamed"
    before = browser.execute_script("return played.shown.at(-1).close")
    click(browser, "next", "next")
    bars = browser.execute_script("return played.shown.slice(-2)")
    path = dreams[1, 0, 2, :2]  # temperature 1 is chosen, and the first dream
    expected = prices(path, before)
    for bar, row in zip(bars, expected, strict=True):
        assert [bar[name] for name in ("open", "high", "low", "close")] == pytest.approx(row)
        assert bar["dreamed"]
    click(browser, "switch", "next")
    assert text(browser, "mode") == "recorded"
    bar = browser.execute_script("return played.shown.at(-1)")
    close = game["candles"][3][game["first"] :]
    assert bar["close"] / expected[-1, 3] == pytest.approx(close[5] / close[4])


@pytest.mark.browser
def test_a_dream_ends_and_so_does_the_game(browser: Any, page: Path) -> None:
    show(browser, page, 1280, dark=False)
    click(browser, "switch", *["next"] * 6)
    assert text(browser, "mode") == "recorded"
    click(browser, *["next"] * 18)
    assert text(browser, "left") == "0"
    assert not browser.find_element("id", "next").is_enabled()


@pytest.mark.browser
def test_a_regime_to_begin_in(browser: Any, page: Path) -> None:
    game = told(page)
    name, packed = next(iter(game["regimes"].items()))
    paths = np.frombuffer(base64.b64decode(packed), dtype="<i2").reshape(2, 2, 6, 3) * game["scale"]
    show(browser, page, 1280, dark=False)
    from selenium.webdriver.support.ui import Select

    Select(browser.find_element("id", "regime")).select_by_visible_text(name)
    Select(browser.find_element("id", "seed")).select_by_visible_text("2")
    click(browser, "switch", "next")
    change = browser.execute_script("return played.shown.at(-1).change")
    assert np.log1p(change) == pytest.approx(paths[1, 1, 0, 0])


@pytest.mark.browser
def test_the_quiz_knows_its_answers(browser: Any, page: Path) -> None:
    game = told(page)
    answers = np.frombuffer(base64.b64decode(game["answers"]), dtype=np.uint8)
    show(browser, page, 390, dark=False)
    for number, dreamed in enumerate(answers.tolist()):
        wrong = number == 0
        click(browser, "is-dream" if bool(dreamed) != wrong else "is-recorded")
        if wrong:
            assert text(browser, "score").startswith("Wrong: it was")
    low, high = game["intervals"][19]
    said = f"19 of 20 are right: 95%, 95% interval {low:.0%} to {high:.0%}"
    assert text(browser, "score").startswith(said)


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_the_page_fits_the_screen(browser: Any, page: Path, width: int, dark: bool) -> None:
    show(browser, page, width, dark)
    until(browser, "document.querySelectorAll('.js-plotly-plot .main-svg').length >= 3")
    wide = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    said = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not said
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"bars": 6_000}, "give a longer record"),
        ({"temperatures": ()}, "no temperature"),
        ({"account": {"leverage": 3}}, "leave the other settings out"),
        ({"start": "2035-01-01"}, "no candles between"),
    ],
)
def test_what_cannot_be_played_is_refused(
    wrong: dict[str, Any], said: str, market_model: WorldModel, record: Candles, tmp_path: Path
) -> None:
    with pytest.raises(WorldModelTradingError, match=said):
        play(market_model, record, tmp_path / "no.html", **{**SMALL, "regimes": None, **wrong})
    assert not list(tmp_path.iterdir())


def test_latents_cannot_be_shown(paper_model: WorldModel, record: Candles, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="preset 'market'"):
        play(paper_model, record, tmp_path / "no.html", regimes=None, **SMALL)


def test_a_page_that_is_there_stays(page: Path, market_model: WorldModel, record: Candles) -> None:
    with pytest.raises(OutputError, match="--overwrite"):
        play(market_model, record, page, **SMALL)
    with pytest.raises(OutputError, match=r"\.html"):
        play(market_model, record, page.parent / "page", **SMALL)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "play.html"
    given = ["play", "--bars", "10", "--horizon", "4", "--dreams", "1", "--temperatures", "1"]
    assert main([*given, "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    assert out.exists()
