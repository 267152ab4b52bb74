import numpy as np
import pytest

from worldmodel_trading.evaluation.baselines.bars import Bars
from worldmodel_trading.evaluation.baselines.garch import GarchModel

ROWS = np.array([1_000, 1_500])


def one_path(log_return, volume=None):
    returns = np.array([log_return], dtype=float)
    times = np.arange(returns.shape[1])[None]
    wick = 0.1 * np.abs(returns)
    return Bars(times, returns, wick, 2 * wick, np.ones_like(returns) if volume is None else volume)


def test_volumes_are_told_relative_to_those_before():
    bars = one_path([0.0] * 5, np.array([[2.0, 4.0, 6.0, 8.0, 0.0]]))
    # means of up to 3 so far: 2, 3, 4, 6, 14/3
    expected = [[1.0, 4 / 3, 1.5, 8 / 6, 0.0]]
    np.testing.assert_allclose(bars.with_relative_volume(3).volume, expected)


def test_returns_are_dressed_as_bars_that_moved_as_much():
    rng = np.random.default_rng(0)
    record = one_path(0.01 * rng.standard_normal(4_000))
    bare = Bars(np.arange(300)[None], 0.01 * rng.standard_normal((1, 300)))
    dressed = bare.dressed_as(record, rng)
    np.testing.assert_array_equal(dressed.log_return, bare.log_return)
    moved = np.abs(bare.log_return)
    usual = moved < 0.02  # few are larger
    np.testing.assert_allclose(dressed.upper[usual], 0.1 * moved[usual], atol=1e-4)
    np.testing.assert_allclose(dressed.lower, 2 * dressed.upper)
    assert not dressed.impossible


def test_a_shift_moves_what_is_expected_too():
    bars = Bars(np.arange(3)[None], np.zeros((1, 3)), expected=np.full((1, 3), 0.5))
    shifted = bars.shifted(0.1)
    np.testing.assert_allclose(shifted.log_return, 0.1)
    np.testing.assert_allclose(shifted.expected, 0.6)
    np.testing.assert_allclose(shifted.cut(slice(None), slice(0, 2)).expected, [[0.6, 0.6]])


def test_garch_knows_what_its_bars_return_on_average(candles):
    model = GarchModel.fit(candles, (0, 1_900))
    rows = np.repeat(ROWS, 3_000)
    bars = model.bars(candles, rows, 2, np.random.default_rng(0))
    simple = np.expm1(bars.log_return[:, 0]).reshape(2, -1)
    expected = bars.expected[:, 0].reshape(2, -1).mean(axis=1)
    error = simple.std(axis=1) / np.sqrt(3_000)
    assert expected == pytest.approx(simple.mean(axis=1), abs=4 * float(error.max()))
