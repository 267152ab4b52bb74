"""The job that puts agents through tail scenarios."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from browser import look_at

from worldmodel_trading.cli import main
from worldmodel_trading.jobs.report import report
from worldmodel_trading.jobs.stress import StressConfig, Widened, stress
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.world_model import WorldModel

CONDITION = "return < -0.08 within 6"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one stress test from the command line."""
    out = tmp_path_factory.mktemp("stress") / "out"
    arguments = [
        "--agent",
        "momentum",
        "--set",
        "momentum.horizon=3",
        "--stress",
        "crash",
        "--bars",
        "12",
    ]
    arguments += ["--condition", CONDITION, "--paths", "512", "--leverage", "3", "--out", str(out)]
    assert main(["stress", *arguments]) == 0
    return out


@pytest.fixture(scope="module")
def told(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "stress.json").read_bytes())
    return found


def test_scenarios_are_told_with_their_chance_and_frequency(told: dict[str, Any]) -> None:
    assert list(told["scenarios"]) == ["dreams", "crash", CONDITION]
    crash = told["scenarios"]["crash"]
    assert crash["condition"].startswith("return < -0.")
    assert 0.0 < crash["probability"]["low"] < crash["probability"]["high"] < 0.05
    assert crash["training"]["share"]["low"] <= crash["training"]["share"]["value"]
    assert crash["paths"] > 50
    assert len(crash["closes"]) == len(told["quantiles"])
    assert len(crash["closes"][0]) == 13


def test_every_agent_is_beside_holding_and_staying_out(told: dict[str, Any]) -> None:
    assert list(told["losses"]) == ["momentum", "hold", "flat"]
    for scenario in told["scenarios"]:
        hold, flat = (told["losses"][name][scenario]["usual"] for name in ("hold", "flat"))
        assert flat["expected_shortfall"]["value"] == flat["mean_loss"]["value"] == 0.0
        assert hold["expected_shortfall"]["value"] >= hold["value_at_risk"]["value"]
    # three times a fall of 8% or more is lost, but for what comes back in the six bars after it
    assert told["losses"]["hold"][CONDITION]["usual"]["mean_loss"]["value"] > 0.15
    dreams = told["losses"]["hold"]["dreams"]["usual"]
    assert abs(dreams["mean_loss"]["value"]) < 0.05


def test_what_is_widened_costs_more(told: dict[str, Any]) -> None:
    assert told["accounts"]["usual"] == {"leverage": 3.0}
    assert told["accounts"]["widened"]["slippage"] == pytest.approx(0.0006)
    assert told["accounts"]["widened"]["fill_delay"] == 1
    usual, widened = (told["losses"]["momentum"]["dreams"][name] for name in ("usual", "widened"))
    assert widened["mean_loss"]["value"] > usual["mean_loss"]["value"]


def test_the_record_s_worst_windows_are_replayed(told: dict[str, Any]) -> None:
    windows = told["windows"]["hold"]
    assert [one["event"] for one in windows] == ["crash"] * 2 + [CONDITION] * 2
    assert windows[0]["market_return"] < -0.05
    # held with 3 times the equity at first, less what that pays for itself as it falls
    assert windows[0]["loss"]["usual"] > 2.0 * -windows[0]["market_return"]
    assert all(one["loss"]["usual"] == 0.0 for one in told["windows"]["flat"])


def test_the_page_says_the_verdict_first_and_is_made_again(folder: Path) -> None:
    page = folder / "stress.html"
    made = page.read_text(encoding="utf-8")
    assert made.index('class="verdict') < made.index("How likely it is") < made.index("recorded")
    assert "momentum" in made
    page.unlink()
    assert report(str(folder)) == page
    assert page.read_text(encoding="utf-8") == made


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"events": ("crush",)}, "there is no event 'crush'; did you mean 'crash'?"),
        (
            {"conditions": ("return < -0.1 within 72", "return down")},
            "the condition is 'return down'",
        ),
        ({"conditions": ("return < -0.1 within 96",)}, "beyond the 72 bars of a path"),
        ({"paths": 10}, "paths is 10"),
        ({"bars": 0}, "bars is 0"),
        ({"levrage": 3}, "StressConfig has no setting 'levrage'"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as refused:
        StressConfig.from_dict(settings)
    assert named in str(refused.value)


def test_refusals_come_before_anything_is_written(
    tmp_path: Path, paper_model: WorldModel, candles: Candles
) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="a world model of the preset market"):
        stress(world_model=paper_model, candles=candles, out=str(out))
    with pytest.raises(ConfigError, match="no rule that is judged here"):
        stress(["momentum"], out=str(out), settings={"reversion": {"horizon": 3}})
    with pytest.raises(ConfigError, match="there is no agent 'nobody'"):
        stress(["nobody"], out=str(out))
    assert not out.exists()


def test_widened_is_on_top_of_the_account() -> None:
    widened = Widened(fee_multiple=2.0, fill_delay=2).of({"taker_fee": 0.001, "fill_delay": 1})
    assert (widened["taker_fee"], widened["maker_fee"], widened["fill_delay"]) == (0.002, 0.0004, 3)
    with pytest.raises(ConfigError, match="no setting 'taker_fees'"):
        Widened().of({"taker_fees": 0.1})


@pytest.mark.browser
def test_the_page_as_readers_see_it(folder: Path) -> None:
    assert look_at(folder / "stress.html")
