"""The job ``regimes``: files, table and page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from browser import look_at

from worldmodel_trading.cli import main
from worldmodel_trading.jobs.regimes import find_regimes
from worldmodel_trading.market.errors import ConfigError, OutputError
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.models.regimes.regimes import Regimes


def test_from_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "regimes"
    given = ["regimes", "--count", "4", "--bootstraps", "1", "--agent", "momentum"]
    assert main([*given, "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "high-volatility down-trend" in shown
    assert "accounts, test" in shown
    loaded = Regimes.load(out, open_world_model("default"))
    assert loaded.names[0] == "calm"
    told = json.loads((out / "periods.json").read_text())
    assert set(told["agents"]) == {"momentum", "hold", "flat"}
    assert set(told["market"]) == {"train", "validation", "test"}
    shares = [each["share"] for each in told["market"]["train"].values()]
    assert sum(shares) == pytest.approx(1.0)
    # Holding earns what the market does, but for one entry's cost.
    for name, market in told["market"]["test"].items():
        held = told["agents"]["hold"][name]
        assert held["annual_log_return"]["value"] == pytest.approx(
            market["annual_log_return"]["value"], abs=0.2
        )
        assert told["agents"]["flat"][name]["annual_log_return"]["value"] == 0.0
    page = (out / "regimes.html").read_text(encoding="utf-8")
    for title in ("When they were", "How they follow each other", "Who earned in which: test"):
        assert title in page
    assert "terciles of the last day" in page
    with pytest.raises(OutputError, match="holds the results of the job regimes"):
        find_regimes(out=str(out))


def test_what_cannot_be_done_is_refused_before_work(tmp_path: Path) -> None:
    out = tmp_path / "regimes"
    with pytest.raises(ConfigError, match="training range"):
        find_regimes(candles=synthetic_candles().rows(20_000, 26_000), out=str(out))
    with pytest.raises(ConfigError, match="count"):
        find_regimes(count=1, out=str(out))
    with pytest.raises(ConfigError, match="no agent 'nobody'"):
        find_regimes(agents=["nobody"], out=str(out))
    assert not out.exists()


@pytest.mark.browser
def test_the_page_as_readers_see_it(tmp_path: Path) -> None:
    find_regimes(count=3, bootstraps=0, out=tmp_path / "regimes")
    assert look_at(tmp_path / "regimes" / "regimes.html") == 3
