"""Losses by calendar quarter: whose bars count, and what is subtracted from what."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.evaluation.ageing import Quarter, bar_losses, losses_by_quarter
from worldmodel_trading.evaluation.baselines.student_t import StudentTForecast
from worldmodel_trading.evaluation.loss_tests import LossDifference
from worldmodel_trading.evaluation.report.ageing_table import ageing_cells, ageing_text
from worldmodel_trading.market.errors import ConfigError

DAY = 86_400_000
START = np.datetime64("2023-12-01", "ms").astype(np.int64)
DAYS = START + DAY * np.arange(150)  # to 2024-04-28
RANGES = {"validation": (0, 91), "test": (91, 150)}  # 2024-03-01 is row 91


def steady(**losses: float) -> dict[str, np.ndarray]:
    return {name: np.full(len(DAYS), value) for name, value in losses.items()}


def test_quarters_are_those_of_the_calendar_in_each_range() -> None:
    found = losses_by_quarter(steady(world_model=1.0, har_t=1.5), DAYS, RANGES)
    assert [(q.name, q.range, q.bars) for q in found] == [
        ("2023 Q4", "validation", 31),
        ("2024 Q1", "validation", 31 + 29),
        ("2024 Q1", "test", 31),
        ("2024 Q2", "test", 28),
    ]
    for quarter in found:
        assert quarter.nll == {"world_model": 1.0, "har_t": 1.5}
        assert list(quarter.gap) == ["har_t"]
        assert quarter.gap["har_t"].value == pytest.approx(-0.5)


def test_those_bars_count_that_all_have() -> None:
    losses = steady(world_model=1.0, har_t=1.5)
    losses["har_t"][:25] = np.nan
    losses["world_model"][40] = np.nan
    losses["world_model_refitted"] = np.where(np.arange(150) < 91, np.nan, 0.75)
    found = losses_by_quarter(losses, DAYS, RANGES)
    assert [q.bars for q in found] == [59, 31, 28]  # six days of 2023 say nothing
    assert [sorted(q.gap) for q in found] == [["har_t"], *[["har_t", "world_model_refitted"]] * 2]
    assert found[-1].gap["world_model_refitted"].value == pytest.approx(0.25)


def test_nothing_is_held_against_a_world_model_that_forecasts_nothing() -> None:
    losses = steady(world_model=np.nan, har_t=1.5)
    assert losses_by_quarter(losses, DAYS, RANGES) == ()


def test_losses_are_those_of_known_returns_that_are_forecast() -> None:
    forecast = StudentTForecast(200.0, np.zeros(4), np.ones(4))
    forecast.loc[0] = np.nan
    losses = bar_losses({"har_t": forecast}, np.array([0.0, np.nan, 0.0, 1.0]))["har_t"]
    np.testing.assert_array_equal(np.isfinite(losses), [False, False, True, True])
    # a normal's to three digits: ½ ln 2π, and half a squared deviation more
    np.testing.assert_allclose(losses[2:], [0.919, 1.419], atol=3e-3)
    with pytest.raises(ConfigError, match="har_t's log density"):
        bar_losses({"har_t": StudentTForecast(5.0, np.full(1, np.inf), np.ones(1))}, np.ones(1))


def test_the_table_has_what_was_measured() -> None:
    gap = LossDifference(-0.0152, -0.0202, -0.0102, 0.0)
    quarters = [
        Quarter("2023 Q4", "validation", 2_208, {"world_model": 0.1, "har_t": 0.1152}, {"har_t": gap}),
        Quarter(
            "2024 Q1", "test", 2_184,
            {"world_model": 0.5, "har_t": 0.5152, "world_model_refitted": 0.5152},
            {"har_t": gap, "world_model_refitted": gap},
        ),
    ]  # fmt: skip
    header, rows = ageing_cells(quarters)
    assert header == [
        "quarter", "range", "bars", "world model", "minus world model, refitted",
        "minus HAR-t, ranges and clock",
    ]  # fmt: skip
    assert rows[0] == ["2023 Q4", "validation", "2208", "0.1000", "–", "-0.0152 ± 0.0050"]
    assert rows[1][-2:] == ["-0.0152 ± 0.0050"] * 2
    lines = ageing_text(quarters).splitlines()
    assert len(lines) == 3
    assert len(set(map(len, lines))) == 1
