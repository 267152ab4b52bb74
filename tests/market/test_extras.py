"""Packages that an extra of the installation brings: what happens without them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from worldmodel_trading.cli import main
from worldmodel_trading.market.bybit.client import BybitClient
from worldmodel_trading.market.bybit.feed import KlineFeed
from worldmodel_trading.market.errors import MissingPackageError, WorldModelTradingError
from worldmodel_trading.market.extras import EXTRAS, require

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
OPTIONAL: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]


def test_every_extra_that_errors_name_can_be_installed_and_is_tested() -> None:
    assert set(EXTRAS.values()) == set(OPTIONAL) - {"test", "docs", "dev"}
    (own,) = (line for line in OPTIONAL["test"] if line.startswith("worldmodel-trading["))
    assert set(re.findall(r"\w+", own.partition("[")[2])) == set(EXTRAS.values())


@pytest.mark.parametrize("package", EXTRAS)
def test_what_is_missing_is_named_with_its_extra(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError) as caught:
        require(package, "the work")
    assert str(caught.value).startswith(f"the work needs {package}, which is not installed")
    assert f"pip install 'worldmodel-trading[{EXTRAS[package]}]'" in str(caught.value)
    assert isinstance(caught.value, WorldModelTradingError)
    assert isinstance(caught.value, ImportError)


@pytest.mark.parametrize("package", ["pygame", "websockets"])
def test_what_is_there_is_not_imported_to_see_it(package: str) -> None:
    code = (
        "import sys\n"
        "from worldmodel_trading.market.extras import require\n"
        f"require({package!r}, 'the work')\n"
        f"print({package!r} in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_feed_without_websockets_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "websockets", None)
    with BybitClient() as client, pytest.raises(MissingPackageError, match=r"\[live\]"):
        KlineFeed(client, "BTCUSDT", "60")
    # Before the world model is looked for.
    assert main(["watch", "--symbol", "BTCUSDT", "--world-model", "nowhere"]) != 0
    assert "pip install 'worldmodel-trading[live]'" in capsys.readouterr().err


def test_all_but_the_feed_works_without_websockets() -> None:
    code = (
        "import sys\n"
        "sys.modules['websockets'] = None\n"
        "import worldmodel_trading\n"
        "print(worldmodel_trading.KlineFeed.__name__, worldmodel_trading.BybitClient.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "KlineFeed BybitClient\n"
