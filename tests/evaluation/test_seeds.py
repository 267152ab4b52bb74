from dataclasses import dataclass

import pytest

from worldmodel_trading.evaluation.seeds import SeedRange
from worldmodel_trading.market.errors import ConfigError


@dataclass(frozen=True)
class Figures:
    gain: float
    trials: int


def test_each_figure_has_a_median_and_a_range_of_its_own():
    spread = SeedRange.of([Figures(3.0, 7), Figures(-1.0, 7), Figures(2.0, 7), Figures(1.0, 7)])
    assert spread.low == Figures(-1.0, 7)
    assert spread.median == Figures(1.5, 7)
    assert spread.high == Figures(3.0, 7)
    assert spread.count == 4
    assert isinstance(spread.median.trials, int)
    assert spread.to_dict() == {
        "median": {"gain": 1.5, "trials": 7},
        "low": {"gain": -1.0, "trials": 7},
        "high": {"gain": 3.0, "trials": 7},
    }


def test_one_draw_is_its_own_range():
    only = Figures(0.1 + 0.2, 3)
    spread = SeedRange.of([only])
    assert (spread.low, spread.median, spread.high) == (only, only, only)


def test_no_draw_has_no_range():
    with pytest.raises(ConfigError, match="no draw"):
        SeedRange.of([])
