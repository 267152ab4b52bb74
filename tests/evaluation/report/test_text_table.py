import pytest

from worldmodel_trading.evaluation.report.text_table import comparison_table
from worldmodel_trading.market.errors import ConfigError

MEASURES = {"annual_log_return": -0.1234, "sharpe": -0.7, "max_drawdown": 0.25, "turnover": 0.5}


def test_rows_line_up_and_unmeasured_is_a_dash():
    text = comparison_table(
        {
            "controller": {"dream": MEASURES, "validation": MEASURES, "test": MEASURES},
            "buy_and_hold": {"test": {**MEASURES, "annual_log_return": 12.0}},
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
