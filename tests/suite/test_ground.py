"""Where the recorded ranges are cut, as a person says it."""

from __future__ import annotations

from typing import Any

import pytest

from worldmodel_trading import Cuts, find_regimes
from worldmodel_trading.ground import open_recorded_ranges
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, TrainingBarsError
from worldmodel_trading.models.world_model import WorldModel


def times(candles: Candles, *rows: int) -> tuple[int, ...]:
    return tuple(int(candles.open_time_ms[row]) for row in rows)


def test_without_cuts_the_ranges_are_the_world_models(
    market_model: WorldModel, candles: Candles
) -> None:
    made, end = market_model.provenance, times(candles, -1)[0] + candles.interval_ms
    assert open_recorded_ranges(market_model, candles).ranges == {
        "train": (made.train_start_ms, made.train_end_ms),
        "validation": (made.validation_start_ms, made.validation_end_ms),
        "test": (made.validation_end_ms, end),
    }


def test_cuts_move_their_ends_and_no_others(market_model: WorldModel, candles: Candles) -> None:
    start, train_end, validation_end, end = times(candles, 400, 1_200, 2_000, 2_300)
    found = open_recorded_ranges(market_model, candles, Cuts(start, train_end, validation_end, end))
    assert found.ranges == {
        "train": (start, train_end),
        "validation": (market_model.provenance.validation_start_ms, validation_end),
        "test": (validation_end, end),
    }


@pytest.mark.parametrize(
    ("cuts", "error", "said"),
    [
        (Cuts(train_end="2020-03-10"), TrainingBarsError, "--train-end is later than"),
        (Cuts(validation_end="2030-01-01"), ConfigError, "2030-01-01"),
        (Cuts(end="soon"), ConfigError, "soon"),
    ],
)
def test_cuts_that_cannot_be_are_refused(
    cuts: Cuts, error: Any, said: str, market_model: WorldModel, candles: Candles
) -> None:
    with pytest.raises(error, match=said):
        open_recorded_ranges(market_model, candles, cuts)


def test_jobs_take_them(market_model: WorldModel, candles: Candles, tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="2030-01-01"):
        find_regimes(
            market_model, candles, out=tmp_path / "out", cuts=Cuts(validation_end="2030-01-01")
        )
