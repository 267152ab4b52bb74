"""Intervals of funding read from records: changes, holes, and what lies outside a record."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_trading.market.funding import FundingRates, constant_funding
from worldmodel_trading.market.funding_clock import FundingClock, FundingGrid, read_clock
from worldmodel_trading.market.instruments import Instrument
from worldmodel_trading.market.times import to_ms

HOUR = 3_600_000
START = to_ms("2024-01-01")

# A coin as Bybit has them: every 8 h, then every 4 h, then every hour while rates are extreme (from
# the settlement of 16:00 on), and back to every 8 h at the next of those settlements, 00:00.
EVERY_8, EVERY_4 = [0, 8, 16, 24, 32, 40], [44, 48, 52, 56, 60, 64]
EVERY_1, BACK = [65, 66, 67, 68, 69, 70], [72, 80, 88, 96]
LIFE = [*EVERY_8, *EVERY_4, *EVERY_1, *BACK]


def hours(first: int, count: int) -> np.ndarray:
    return START + HOUR * np.arange(first, first + count)


def record(instants: list[int], rate: float = 0.001) -> FundingRates:
    return FundingRates(START + HOUR * np.array(instants), np.full(len(instants), rate))


def in_hours(times: np.ndarray) -> list[int]:
    return [int(hour) for hour in (times - START) // HOUR]


def coin(interval_minutes: int = 0, ended: int | None = None) -> Instrument:
    delivery = 0 if ended is None else START + ended * HOUR
    return Instrument(
        "COINUSDT", funding_interval_minutes=interval_minutes, delivery_time_ms=delivery
    )


def test_a_record_whose_interval_changes_has_no_gaps() -> None:
    recorded, bars = record(LIFE), hours(-1, 97)  # the last bar ends with the last instant
    assert recorded.unrecorded(bars, HOUR).tolist() == []
    # 22 instants of 0.1%: 6 + 6 + 6 + 4; whatever is said of instants that are not recorded.
    charged = recorded.per_bar(bars, HOUR, unrecorded_rate=0.05)
    assert charged.sum() == pytest.approx(0.022)
    assert in_hours(bars[charged > 0] + HOUR) == LIFE


def test_what_a_symbol_pays_today_says_nothing_about_its_past() -> None:
    """It pays hourly today: laid over all its history, that grid would see 75 gaps in 97 hours."""
    recorded, bars = record(LIFE), hours(-1, 97)
    today = coin(interval_minutes=60)
    assert recorded.unrecorded(bars, HOUR, today).tolist() == []
    later = recorded.unrecorded(hours(-1, 101), HOUR, today)
    assert in_hours(later) == [97, 98, 99, 100]


@pytest.mark.parametrize("missing", [8, 24, 48, 52, 60, 66, 67, 69, 80, 88])
def test_an_instant_that_is_not_recorded_is_missed_in_its_own_stretch(missing: int) -> None:
    recorded = record([hour for hour in LIFE if hour != missing])
    assert in_hours(recorded.unrecorded(hours(-1, 97), HOUR)) == [missing]
    charged = recorded.per_bar(hours(-1, 97), HOUR, unrecorded_rate=0.01)
    assert charged.sum() == pytest.approx(21 * 0.001 + 0.01)


def test_a_long_hole_is_one_hole() -> None:
    recorded = record([0, 4, 8, 12, 48, 52, 56, 60])
    assert in_hours(recorded.unrecorded(hours(-1, 61), HOUR)) == [16, 20, 24, 28, 32, 36, 40, 44]


def test_where_the_sides_of_a_hole_disagree_the_longer_interval_is_assumed() -> None:
    # Every 8 h until 16, every hour from 29 on: when it changed nobody knows, but 24 was due.
    recorded = record([0, 8, 16, 29, 30, 31, 32, 33])
    assert in_hours(recorded.unrecorded(hours(-1, 34), HOUR)) == [24]
    backwards = record([1, 2, 3, 4, 5, 24, 32, 40])
    assert in_hours(backwards.unrecorded(hours(0, 41), HOUR)) == [8, 16]


def test_every_other_record_missing_is_no_change() -> None:
    recorded = record([0, 4, 8, 16, 24, 28, 32, 36])
    assert in_hours(recorded.unrecorded(hours(-1, 37), HOUR)) == [12, 20]


def test_before_the_record_its_first_interval_and_after_it_the_last() -> None:
    recorded = record([0, 4, 8, 12, 13, 14, 15, 16])
    missed = in_hours(recorded.unrecorded(hours(-9, 29), HOUR))
    assert missed == [-8, -4, 17, 18, 19, 20]
    # The instrument's present interval is stronger than the record's last.
    missed = in_hours(recorded.unrecorded(hours(-9, 34), HOUR, coin(interval_minutes=240)))
    assert missed == [-8, -4, 20, 24]


def test_a_clock_with_another_phase_goes_on_with_it() -> None:
    # BitMEX settles at 04:00, 12:00 and 20:00.
    recorded = record([4, 12, 28, 36])
    assert in_hours(recorded.unrecorded(hours(-13, 60), HOUR)) == [-12, -4, 20, 44]
    eight = coin(interval_minutes=480)
    assert in_hours(recorded.unrecorded(hours(0, 53), HOUR, eight)) == [20, 44, 52]


def test_a_record_too_short_to_tell_follows_the_instrument() -> None:
    alone = record([8])
    assert in_hours(alone.unrecorded(hours(-1, 25), HOUR)) == [0, 16, 24]
    assert in_hours(alone.unrecorded(hours(-1, 14), HOUR, coin(240))) == [0, 4, 12]


def test_stamps_that_keep_no_time_are_charged_and_tell_nothing() -> None:
    odd = START + 11 * HOUR + 17 * 60_000
    times = np.sort(np.append(START + HOUR * np.array([0, 8, 16, 24]), odd))
    recorded = FundingRates(times, np.full(5, 0.001))
    assert recorded.unrecorded(hours(-1, 25), HOUR).tolist() == []
    assert recorded.per_bar(hours(-1, 25), HOUR).sum() == pytest.approx(0.005)


def test_a_long_bar_is_charged_what_was_due_in_it() -> None:
    # The second day holds 4-hourly and hourly instants and misses the one at 52: bars of a day.
    recorded = record([hour for hour in LIFE if hour != 52])
    days = START + 24 * HOUR * np.arange(4)
    charged = recorded.per_bar(days, 24 * HOUR, unrecorded_rate=0.01)
    due = [sum(24 * day < hour <= 24 * day + 24 for hour in LIFE) for day in range(4)]
    assert due == [3, 4, 11, 3]
    assert charged == pytest.approx([0.003, 0.004, 0.010 + 0.01, 0.003])


def test_a_contract_that_has_ended_pays_nothing() -> None:
    recorded = record([*range(0, 33, 8), 40, 48])  # somebody went on writing rates
    ended = coin(interval_minutes=480, ended=29)
    charged = recorded.per_bar(hours(-1, 100), HOUR, 0.01, ended)
    assert in_hours(hours(-1, 100)[charged > 0] + HOUR) == [0, 8, 16, 24]
    assert recorded.unrecorded(hours(-1, 100), HOUR, ended).tolist() == []
    # At noon the last bar of 24 h is not over, but the contract is: of 24, 32, 40 one is due.
    assert constant_funding([START + 23 * HOUR], 24 * HOUR, 0.001, ended) == pytest.approx([0.001])


def test_a_constant_rate_is_charged_at_the_instrument_s_interval() -> None:
    charged = constant_funding(hours(0, 12), HOUR, 0.001, coin(interval_minutes=240))
    assert in_hours(hours(0, 12)[charged > 0] + HOUR) == [4, 8, 12]
    assert constant_funding(hours(0, 12), HOUR, 0.001, coin())[7] == 0.001  # unknown: every 8 h


def schedule(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Instants [hours] of a symbol whose interval changes, and a few of them that are far apart."""
    interval, hour, instants = draw(st.sampled_from([1, 2, 4, 8])), 0, [0]
    for _ in range(draw(st.integers(1, 5))):
        for _ in range(draw(st.integers(12, 30))):
            hour = (hour // interval + 1) * interval
            instants.append(hour)
        interval = draw(st.sampled_from([i for i in (1, 2, 4, 8) if i != interval]))
    steps = np.diff(instants)
    calm = [
        i for i in range(6, len(instants) - 6) if len(set(steps[i - 6 : i + 6])) == 1
    ]  # in the middle of a stretch, where two intervals cannot explain the same steps
    missing = [instants[i] for i in calm[:: draw(st.integers(7, 20))]]
    return instants, missing


@given(st.composite(schedule)())
@settings(max_examples=60, deadline=None)
def test_exactly_what_is_left_out_is_missed(life: tuple[list[int], list[int]]) -> None:
    instants, missing = life
    kept = [hour for hour in instants if hour not in missing]
    bars = hours(-1, instants[-1] + 1)
    assert in_hours(record(kept).unrecorded(bars, HOUR)) == missing


@given(
    st.lists(st.sampled_from([1, 2, 3, 4, 6, 8, 24]), min_size=1, max_size=4),
    st.lists(st.integers(1, 300), min_size=3, max_size=3),
    st.integers(0, 900),
    st.integers(0, 900),
)
@settings(max_examples=100, deadline=None)
def test_a_clock_counts_what_it_lists(
    intervals: list[int], lengths: list[int], first: int, last: int
) -> None:
    clock = FundingClock.every(intervals[0])
    expected = {t for t in range(1, 1_000) if t % intervals[0] == 0}
    since = 0
    for interval, length in zip(intervals[1:], lengths, strict=False):
        since += length
        phase = since % interval
        clock = clock.then(since, FundingGrid(interval, phase))
        kept = {t for t in expected if t <= since}
        expected = kept | {t for t in range(since + 1, 1_000) if (t - phase) % interval == 0}
    listed = clock.instants(min(first, last), max(first, last)).tolist()
    assert listed == sorted(t for t in expected if min(first, last) < t <= max(first, last))
    counted = clock.counted([first, last])
    assert abs(int(counted[1] - counted[0])) == len(listed)
    numbers = np.arange(counted.min() + 1, counted.max() + 1)
    stretch = clock.stretch(numbers)
    for time, j in zip(listed, stretch, strict=True):
        assert clock.since_ms[j] < time or (j == 0 and time >= 0)
        assert (time - clock.grids[j].phase_ms) % clock.grids[j].interval_ms == 0


def test_the_recorded_market_of_one_interval_has_one_grid() -> None:
    times = START + 8 * HOUR * np.arange(5_000)
    clock = read_clock(times)
    assert clock.grids == (FundingGrid(8 * HOUR),)
