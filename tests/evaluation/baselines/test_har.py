"""HAR: its likelihood's gradient, a truth it contains, and what it simulates."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from scipy.optimize import check_grad

from worldmodel_trading.evaluation.baselines import har
from worldmodel_trading.evaluation.baselines.garch import GarchModel, percent_returns
from worldmodel_trading.evaluation.baselines.har import HAR, _loss, spans_of
from worldmodel_trading.evaluation.baselines.student_t import mean_nll
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.intervals import INTERVALS_MS

HOUR_MS = 3_600_000
MONDAY_MS = 1_578_268_800_000  # 2020-01-06 00:00
BARS, TRAIN = 9_000, 6_000


def ranged_market(seed: int = 0) -> tuple[Candles, np.ndarray]:
    """Bars whose log scale follows their ranges over a bar and a day; and the scales [T], percent."""
    rng = np.random.default_rng(seed)
    scales, logs, close = np.empty(BARS), [np.log(0.5)] * 24, [100.0]
    highs, lows = [], []
    for t in range(BARS):
        lively = 0.3 if t % 24 >= 12 else 0.0
        scales[t] = np.exp(-0.12 + lively + 0.3 * logs[-1] + 0.6 * np.mean(logs[-24:]))
        move = scales[t] * rng.standard_t(5) / 100
        wicks = scales[t] * rng.exponential(0.4, 2) / 100
        close.append(close[-1] * np.exp(move))
        highs.append(max(close[-2:]) * np.exp(wicks[0]))
        lows.append(min(close[-2:]) * np.exp(-wicks[1]))
        logs.append(np.log(100 * np.log(highs[-1] / lows[-1]) / np.sqrt(4 * np.log(2))))
    ones = np.ones(BARS)
    times = MONDAY_MS + HOUR_MS * np.arange(BARS)
    return Candles(times, close[:-1], highs, lows, close[1:], ones, ones), scales


@pytest.fixture(scope="module")
def market() -> tuple[Candles, np.ndarray]:
    return ranged_market()


@pytest.fixture(scope="module")
def model(market: tuple[Candles, np.ndarray]) -> HAR:
    return HAR.fit(market[0], (0, TRAIN))


def test_the_gradient_is_that_of_the_loss() -> None:
    rng = np.random.default_rng(0)
    design = np.column_stack([np.ones(200), rng.standard_normal((200, 3))])
    returns, point = rng.standard_t(4, 200), np.array([0.1, -0.2, 0.3, 0.1, 0.2, 0.4])
    error = check_grad(
        lambda p: _loss(p, design, returns)[0], lambda p: _loss(p, design, returns)[1], point
    )
    assert error < 1e-5


def test_it_is_near_the_truth_where_garch_is_not(
    market: tuple[Candles, np.ndarray], model: HAR
) -> None:
    candles, scales = market
    returns, later = 100 * candles.log_returns(), slice(TRAIN, BARS)
    truth = -scipy.stats.t(5, 0, scales).logpdf(returns)[later].mean()
    assert mean_nll(model.forecast(candles)[later], returns[later]) < truth + 0.02
    garch = GarchModel.fit(candles, (0, TRAIN)).forecast(candles)
    assert mean_nll(garch[later], returns[later]) > truth + 0.02
    assert model.degrees == pytest.approx(5.0, rel=0.3)


def test_simulated_days_begin_as_forecast_and_stay_in_the_market(
    market: tuple[Candles, np.ndarray], model: HAR
) -> None:
    candles, _ = market
    rows = np.arange(TRAIN, BARS - 200, 400)
    drawn = model.simulate(candles, rows, 400, 168, np.random.default_rng(0))
    first, expected = np.abs(drawn[:, :, 0]).mean(axis=1), model.forecast(candles).scale[rows + 1]
    assert np.corrcoef(first, expected)[0, 1] > 0.9
    recorded = np.abs(100 * candles.log_returns()[TRAIN:]).mean()
    assert np.abs(drawn[:, :, 100:]).mean() == pytest.approx(recorded, rel=0.25)


def test_its_whole_bars_are_candles(market: tuple[Candles, np.ndarray], model: HAR) -> None:
    candles, _ = market
    bars = model.bars(candles, np.array([TRAIN, TRAIN + 7]), 50, np.random.default_rng(0))
    path = bars.candles(1, candles.close[TRAIN + 7], candles)  # validated on construction
    assert path.open_time_ms[0] == candles.open_time_ms[TRAIN + 8]
    assert path.open[0] == pytest.approx(candles.close[TRAIN + 7])


def test_later_bars_change_nothing_before(market: tuple[Candles, np.ndarray], model: HAR) -> None:
    candles, _ = market
    early = model.forecast(candles.rows(0, 7_000)).scale
    np.testing.assert_array_equal(model.forecast(candles).scale[:7_000], early)
    assert np.isnan(early[:168]).all()
    assert np.isfinite(early[168:]).all()


def test_a_gap_costs_a_week(market: tuple[Candles, np.ndarray], model: HAR) -> None:
    candles, _ = market
    kept = np.delete(np.arange(BARS), np.arange(7_000, 7_003))
    columns = {
        name: getattr(candles, name)[kept]
        for name in ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
    }
    valid = model.forecast(Candles(**columns)).valid
    assert valid[168:7_000].all()
    assert not valid[7_000 : 7_000 + 168].any()
    assert valid[7_000 + 168 :].all()


def test_too_few_bars_hold_the_scale_and_say_so(market: tuple[Candles, np.ndarray]) -> None:
    candles = market[0].rows(0, 210)
    model = HAR.fit(candles, (0, 210))
    assert "held constant" in model.note
    assert not model.slopes.any()
    assert np.ptp(model.forecast(candles).scale[168:]) == 0.0


@pytest.mark.parametrize(
    ("interval", "spans"),
    [
        ("1", (1, 15, 60, 360, 1_440, 10_080)),
        ("60", (1, 6, 24, 168)),
        ("240", (1, 2, 6, 42)),
        ("D", (1, 7, 28, 91)),
        ("W", (1, 4, 13)),
    ],
)
def test_spans_follow_the_length_of_a_bar(interval: str, spans: tuple[int, ...]) -> None:
    assert spans_of(INTERVALS_MS[interval]) == spans


def test_a_long_range_is_fitted_on_bars_spread_over_it(
    monkeypatch: pytest.MonkeyPatch, market: tuple[Candles, np.ndarray], model: HAR
) -> None:
    candles = market[0]
    monkeypatch.setattr(har, "MOST_BARS", 2_500)
    thin = HAR.fit(candles, (0, TRAIN))
    assert len(thin.shapes) == 2_500 < len(model.shapes)
    rows = (TRAIN, len(candles))
    returns = percent_returns(candles)[slice(*rows)]
    lost = mean_nll(thin.forecast(candles)[rows], returns)
    assert lost < mean_nll(model.forecast(candles)[rows], returns) + 0.02
