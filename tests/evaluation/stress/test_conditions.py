"""What a condition says, and how far paths have come, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from worldmodel_trading.evaluation.stress.conditions import Condition, Progress
from worldmodel_trading.market.errors import ConfigError

USUAL = np.array([10.0])


def follow(text: str, *bars: tuple[float, float, float, float]) -> Progress:
    """One path, bar by bar: log return, wicks, volume; usual volume is 10."""
    progress = Progress(Condition.parse(text), 1)
    for bar in bars:
        progress.live(np.array([bar]), USUAL)
    return progress


@pytest.mark.parametrize(
    "text",
    ["return < -0.15 within 72", "return > 0.2 within 1", "range > 0.3 within 24", "range < 0.01 within 24",
     "volatility > 0.1 within 24", "volume < 0.3 within 12", "volume > 5 within 12"],
)  # fmt: skip
def test_a_condition_is_read_as_it_is_written(text: str) -> None:
    assert str(Condition.parse(text)) == text
    assert Condition.parse(f" {text.replace(' < ', '<')} ") == Condition.parse(text)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("return = -0.1 within 72", "'return = -0.1 within 72'; expected one of return"),
        ("return < -0.1", "expected one of return"),
        ("return < -0.1 within 72 hours", "expected one of return"),
        ("close < -0.1 within 72", "'close'; expected one of return, range"),
        ("return < 0.1 within 72", "always or never"),
        ("return < -1 within 72", "always or never"),
        ("return > -0.1 within 72", "always or never"),
        ("volume < 0 within 72", "always or never"),
        ("range > 0.1 within 0", "0 bars ahead; expected 1 to 1000"),
        ("range > 0.1 within 2000", "2000 bars ahead"),
    ],
)
def test_what_says_nothing_is_refused(text: str, named: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Condition.parse(text)
    assert named in str(refused.value)


def test_a_return_is_met_by_the_first_close_beyond_it_and_stays_met() -> None:
    down, up = math.log(0.94), math.log(1.2)
    assert not follow(
        "return < -0.1 within 4", (down, 0.0, 0.3, 1.0)
    ).hit.any()  # a low is no close
    assert follow("return < -0.1 within 4", (down, 0, 0, 1), (down, 0, 0, 1)).hit.all()  # -11.6%
    assert follow(
        "return < -0.1 within 4", (down, 0, 0, 1), (down, 0, 0, 1), (up, 0, 0, 1)
    ).hit.all()


def test_a_range_counts_highs_and_lows() -> None:
    # high e^0.05 over the first close 1; low e^-0.04: range e^0.09 - 1 = 9.42%
    bars = ((0.02, 0.03, 0.0, 1.0), (-0.03, 0.0, 0.03, 1.0))
    assert follow("range > 0.09 within 3", *bars).hit.all()
    assert not follow("range > 0.0945 within 3", *bars).hit.any()
    assert follow("range > 0.09 within 3", *bars).reached() == pytest.approx(math.expm1(0.09))


def test_volatility_is_the_root_of_the_sum_of_squares() -> None:
    found = follow("volatility > 0.049 within 3", (0.03, 0, 0, 1), (-0.04, 0, 0, 1))
    assert found.reached() == pytest.approx(0.05)
    assert found.hit.all()


def test_what_shall_stay_low_is_judged_over_the_whole_window() -> None:
    quiet = (0.001, 0.0, 0.0, 2.0)
    assert not follow("volume < 0.3 within 2", quiet).hit.any()
    assert follow("volume < 0.3 within 2", quiet, quiet).hit.all()  # 4 of 20
    assert not follow("volume < 0.3 within 2", quiet, (0.0, 0.0, 0.0, 5.0)).hit.any()  # 7 of 20
    assert follow("range < 0.01 within 2", quiet, quiet).hit.all()
    assert not follow("volatility < 0.01 within 2", quiet, (0.02, 0.0, 0.0, 1.0)).hit.any()


def test_copies_of_paths_go_on_from_where_those_were() -> None:
    progress = Progress(Condition.parse("return < -0.1 within 4"), 2)
    progress.live(np.array([[-0.2, 0, 0, 1.0], [0.0, 0, 0, 1.0]]), np.ones(2))
    progress.take(np.array([0, 0, 1]))
    assert progress.hit.tolist() == [True, True, False]
    assert progress.level.tolist() == [-0.2, -0.2, 0.0]
