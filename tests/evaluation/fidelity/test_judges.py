"""Judges that must not see what is not there, and must see what is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from worldmodel_trading.evaluation.baselines.bars import Bars
from worldmodel_trading.evaluation.fidelity.copies import nearest
from worldmodel_trading.evaluation.fidelity.generators import stationary_bootstrap
from worldmodel_trading.evaluation.fidelity.judges import describe
from worldmodel_trading.evaluation.fidelity.two_sample import BOOSTING, CONVOLUTION, JUDGES
from worldmodel_trading.evaluation.fidelity.windows import Windows
from worldmodel_trading.market.errors import ConfigError

HOUR_MS = 3_600_000
MONDAY_MS = 1_578_268_800_000
CHANCE = {name: 0.5 if name == CONVOLUTION else 0.0 for name in JUDGES}


def iid(paths: int, seed: int, scale: float = 0.01) -> Bars:
    """Bars of 336 hours that know nothing of one another, with wicks and volumes that follow |r|."""
    rng = np.random.default_rng(seed)
    shape = (paths, 336)
    returns = scale * rng.standard_t(5, shape)
    wicks = scale * rng.exponential(0.5, (2, *shape))
    volume = np.exp(rng.standard_normal(shape)) * (1 + np.abs(returns) / scale)
    times = MONDAY_MS + HOUR_MS * (7 * 24 * np.arange(paths)[:, None] + np.arange(336))
    return Bars(times, returns, wicks[0], wicks[1], volume)


def windows(bars: Bars) -> Windows:
    return Windows.of(bars, HOUR_MS)


@pytest.fixture(scope="module")
def record() -> Windows:
    return windows(iid(40, 0))


@pytest.mark.parametrize("judge", JUDGES)
def test_the_same_process_cannot_be_told_apart(judge: str, record: Windows) -> None:
    score = JUDGES[judge](record, windows(iid(40, 1)), seed=0)
    assert score.value - CHANCE[judge] < 0.09
    assert score.low <= CHANCE[judge] + 0.03


@pytest.mark.parametrize("judge", JUDGES)
def test_bars_whose_wicks_are_too_long_are_caught(judge: str, record: Windows) -> None:
    other = iid(40, 1)
    assert other.upper is not None
    score = JUDGES[judge](record, windows(replace(other, upper=1.5 * other.upper)), seed=0)
    assert score.low > CHANCE[judge] + 0.1


@pytest.mark.parametrize("judge", [BOOSTING, CONVOLUTION])
def test_volumes_that_forgot_their_bars_are_caught(judge: str, record: Windows) -> None:
    other = iid(40, 1)
    assert other.volume is not None
    order = np.random.default_rng(0).permuted(other.volume, axis=1)
    score = JUDGES[judge](record, windows(replace(other, volume=order)), seed=0)
    assert score.low > CHANCE[judge]


def test_returns_alone_hide_the_wicks(record: Windows) -> None:
    other = iid(40, 1)
    assert other.upper is not None
    long = windows(replace(other, upper=3 * other.upper)).returns_alone()
    for name, judge in JUDGES.items():
        assert judge(record.returns_alone(), long, seed=0).value - CHANCE[name] < 0.09


def test_a_bootstrap_of_independent_bars_passes_and_a_shifted_one_is_caught() -> None:
    source = iid(1, 3)
    rng = np.random.default_rng(0)
    times = MONDAY_MS + HOUR_MS * np.arange(336 * 30)[None]
    many = iid(30, 4)
    long = Bars(
        times,
        many.log_return.reshape(1, -1),
        *(None if p is None else p.reshape(1, -1) for p in (many.upper, many.lower, many.volume)),
    )
    candles = long.candles(0, 100.0, _like(source))
    rows = np.arange(200, 200 + 40 * 168, 168)
    drawn = stationary_bootstrap(candles, rows, 336, rng)
    recorded = Windows.recorded(candles)
    judge = JUDGES[BOOSTING]
    assert judge(recorded, windows(drawn), seed=0).value < 0.09
    shifted = replace(drawn, log_return=drawn.log_return + 0.006)
    assert judge(recorded, windows(shifted), seed=0).low > 0.1


def _like(bars: Bars):
    """Candles that give symbol and interval."""
    from worldmodel_trading.market.synthetic import synthetic_candles

    return synthetic_candles(seed=0, bars=bars.log_return.shape[1])


@pytest.mark.parametrize("judge", JUDGES)
def test_it_repeats(judge: str, record: Windows) -> None:
    other = windows(iid(10, 1, scale=0.011))
    assert JUDGES[judge](record, other, seed=3) == JUDGES[judge](record, other, seed=3)


def test_descriptions_are_finite_on_flat_windows() -> None:
    zero = np.zeros((2, 336))
    flat = windows(Bars(iid(2, 0).open_time_ms, zero, zero, zero, zero))
    assert np.isfinite(describe(flat)).all()


@pytest.mark.parametrize("judge", JUDGES)
def test_too_few_windows_are_named(judge: str, record: Windows) -> None:
    with pytest.raises(ConfigError, match="6 windows on one side; the test needs 20 a side"):
        JUDGES[judge](record, windows(iid(1, 0)), seed=0)


def test_impossible_bars_are_counted() -> None:
    bars = iid(1, 0)
    assert bars.impossible == 0.0
    assert bars.upper is not None
    bars.upper[0, :84] = -0.001
    assert bars.impossible == 0.25
    assert Bars(bars.open_time_ms, bars.log_return).impossible is None


def test_the_nearest_of_others_by_hand() -> None:
    others = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert nearest(np.array([[0.0, 1.0], [3.0, 3.0], [3.0, 4.0]]), others) == pytest.approx(
        [1.0, 1.0, 0.0]
    )
