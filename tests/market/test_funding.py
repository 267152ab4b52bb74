"""Funding rates: which bar an instant falls on, and files that are wrong."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.market.errors import FundingError
from worldmodel_trading.market.funding import FundingRates, constant_funding
from worldmodel_trading.market.times import to_ms

HOUR = 3_600_000
START = to_ms("2024-01-01")


def hours(first: int, count: int) -> np.ndarray:
    return START + HOUR * np.arange(first, first + count)


def rates(*pairs: tuple[int, float]) -> FundingRates:
    return FundingRates(
        np.array([START + HOUR * hour for hour, _ in pairs]), np.array([rate for _, rate in pairs])
    )


def test_an_instant_falls_on_the_bar_that_ends_with_it() -> None:
    recorded = rates((0, 0.001), (8, 0.002), (16, -0.003))
    charged = recorded.per_bar(hours(0, 24), HOUR)
    # The bar 07:00–08:00 pays the rate of 08:00; that of 00:00 belongs to the day before's last.
    assert np.flatnonzero(charged).tolist() == [7, 15]
    assert charged[[7, 15]].tolist() == [0.002, -0.003]
    assert recorded.per_bar(hours(-1, 3), HOUR).tolist() == [0.001, 0.0, 0.0]


def test_a_long_bar_is_charged_the_sum_of_its_instants() -> None:
    recorded = rates((8, 0.001), (16, 0.002), (24, 0.004), (32, 0.1))
    assert recorded.per_bar([START], 24 * HOUR) == pytest.approx([0.007])


def test_an_instant_inside_a_bar_is_charged_to_it() -> None:
    late = FundingRates(np.array([START + 8 * HOUR + 5 * 60_000]), np.array([0.01]))
    assert np.flatnonzero(late.per_bar(hours(0, 24), HOUR)).tolist() == [8]


def test_a_stamp_a_little_late_stays_at_its_instant() -> None:
    noisy = FundingRates(np.array([START + 8 * HOUR + 12]), np.array([0.01]))
    assert noisy.time_ms.tolist() == [START + 8 * HOUR]
    assert np.flatnonzero(noisy.per_bar(hours(0, 24), HOUR)).tolist() == [7]


def test_instants_in_a_gap_of_the_candles_are_charged_to_no_bar() -> None:
    opens = np.concatenate([hours(0, 4), hours(12, 8)])
    charged = rates((8, 0.001), (16, 0.002)).per_bar(opens, HOUR, unrecorded_rate=0.5)
    assert charged.tolist() == [0.0] * 7 + [0.002] + [0.0] * 4


def test_unrecorded_instants_take_the_constant_rate() -> None:
    recorded = rates((8, 0.001), (24, 0.003))
    charged = recorded.per_bar(hours(0, 48), HOUR, unrecorded_rate=0.0001)
    assert np.flatnonzero(charged).tolist() == [7, 15, 23, 31, 39, 47]
    assert charged[[7, 15, 23, 31, 39, 47]] == pytest.approx(
        [0.001, 0.0001, 0.003, 0.0001, 0.0001, 0.0001]
    )
    missing = recorded.unrecorded(hours(0, 48), HOUR)
    assert missing.tolist() == [START + h * HOUR for h in (16, 32, 40, 48)]
    assert recorded.per_bar(hours(0, 48), HOUR).sum() == pytest.approx(0.004)


def test_rates_at_other_instants_are_charged_as_recorded() -> None:
    four_hourly = rates(*((h, 0.001) for h in range(4, 25, 4)))
    charged = four_hourly.per_bar(hours(0, 24), HOUR, unrecorded_rate=0.01)
    assert np.flatnonzero(charged).tolist() == [3, 7, 11, 15, 19, 23]
    assert charged.sum() == pytest.approx(0.006)


def test_constant_funding_is_charged_every_eight_hours() -> None:
    charged = constant_funding(hours(0, 24), HOUR, 0.0001)
    assert np.flatnonzero(charged).tolist() == [7, 15, 23]
    assert constant_funding([START], 24 * HOUR, 0.0001) == pytest.approx([0.0003])
    assert constant_funding([], HOUR, 0.0001).shape == (0,)


def test_no_bars_give_no_rates() -> None:
    assert rates((8, 0.001)).per_bar([], HOUR, unrecorded_rate=0.1).shape == (0,)


def test_between_takes_the_instants_of_a_range() -> None:
    recorded = rates((0, 0.001), (8, 0.002), (16, 0.003))
    part = recorded.between("2024-01-01T08:00", "2024-01-01T16:00")
    assert part.rate.tolist() == [0.002]
    assert len(recorded.between()) == 3
    with pytest.raises(FundingError, match="no funding rates between 2025"):
        recorded.between("2025-01-01")


def test_the_hash_is_that_of_instants_and_rates() -> None:
    recorded = rates((0, 0.001), (8, 0.002))
    assert recorded.data_hash() == rates((0, 0.001), (8, 0.002)).data_hash()
    others = [rates((0, 0.001)), rates((0, 0.001), (8, 0.003)), rates((0, 0.001), (16, 0.002))]
    assert len({recorded.data_hash(), *(other.data_hash() for other in others)}) == 4


def test_records_are_read_only_copies() -> None:
    values = np.array([0.001])
    recorded = FundingRates(np.array([START]), values)
    values[0] = 0.05
    assert recorded.rate[0] == 0.001
    with pytest.raises(ValueError, match="read-only"):
        recorded.rate[0] = 0.05
    assert repr(recorded) == "FundingRates(1 rates, 2024-01-01 00:00 UTC – 2024-01-01 00:00 UTC)"


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(FundingError, match="2 funding times and 1 rates"):
        FundingRates(np.array([START, START + HOUR]), np.array([0.001]))
    with pytest.raises(FundingError, match="one-dimensional"):
        FundingRates(np.array([[START]]), np.array([0.001]))
    with pytest.raises(FundingError, match="must be numbers"):
        FundingRates(np.array(["x"]), np.array([0.001]))  # type: ignore[arg-type]
