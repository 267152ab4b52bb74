from dataclasses import replace

import pytest

from worldmodel_trading.evaluation.outcome import ControllerOutcome, RunResults, SearchOutcome
from worldmodel_trading.evaluation.performance import measure_performance
from worldmodel_trading.evaluation.report.text_table import comparison_rows, comparison_table
from worldmodel_trading.market.errors import ConfigError

MEASURED = replace(
    measure_performance([1.0, 1.0], bars_per_year=1),
    annual_log_return=-0.1234, sharpe=-0.7, max_drawdown=0.25, turnover=0.5,
)  # fmt: skip


def test_rows_line_up_and_unmeasured_is_a_dash():
    text = comparison_table(
        {
            "controller": {"dream": MEASURED, "validation": MEASURED, "test": MEASURED},
            "buy and hold": {"test": replace(MEASURED, annual_log_return=12.0)},
        }
    )
    worlds, header, _, first, second = text.splitlines()
    bars = [i for i, character in enumerate(first) if character == "│"]
    assert len(bars) == 3
    for line in (worlds, header, second):
        assert [i for i, character in enumerate(line) if character == "│"] == bars
    assert [part.strip() for part in worlds.split("│")] == ["", "dream", "validation", "test"]
    assert first.split("│")[1].split() == ["-0.123", "-0.70", "25.0%", "0.500"]
    assert second.split("│")[1].split() == ["–"] * 4
    assert second.split("│")[3].split() == ["+12.000", "-0.70", "25.0%", "0.500"]
    assert second.startswith("buy and hold")


def test_nothing_to_compare():
    with pytest.raises(ConfigError, match="no policy"):
        comparison_table({})


def test_several_searches_are_a_median_a_range_and_the_deployed_one():
    returns, drawdowns = (0.3, -0.1, 0.2, 0.1), (0.2, 0.5, 0.1, 0.3)
    found = [
        replace(MEASURED, annual_log_return=r, max_drawdown=d)
        for r, d in zip(returns, drawdowns, strict=True)
    ]
    searches = tuple(SearchOutcome(0.1, 4, 20, 100, {"test": one}, {}) for one in found)
    rules = {"flat": {"test": MEASURED}}
    rows = comparison_rows(
        RunResults(
            {"controller": {"test": found[1]}, **rules},
            controller=ControllerOutcome(74, 1_000, 17, 1, searches),
        )
    )
    shown = {
        title: (by["test"].annual_log_return, by["test"].max_drawdown) for title, by in rows.items()
    }
    assert shown == {
        "controller, median": (pytest.approx(0.15), pytest.approx(0.25)),
        "  lowest of 4": (-0.1, 0.1),  # of each figure, not of one controller
        "  highest of 4": (0.3, 0.5),
        "  the deployed one": (-0.1, 0.5),
        "flat": (-0.1234, 0.25),
    }


def test_one_search_is_one_row():
    alone = SearchOutcome(0.1, 4, 20, 100, {"test": MEASURED}, {})
    results = RunResults(
        {"controller": {"test": MEASURED}, "buy_and_hold": {"test": MEASURED}},
        controller=ControllerOutcome(74, 1_000, 5, 0, (alone,)),
    )
    assert list(comparison_rows(results)) == ["controller", "buy and hold"]
