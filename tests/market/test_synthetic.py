"""The synthetic market: its truth is the truth, and its edge can be earned, or removed."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm

from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import CandleError
from worldmodel_trading.market.optimal_policy import OptimalPolicy, kelly_weights
from worldmodel_trading.market.synthetic import (
    REGIMES,
    MixtureDensity,
    Regime,
    SyntheticMarket,
    synthetic_candles,
)

COST = 0.00075  # taker fee 0.055% + slippage 0.02%
YEAR = 8_760  # hours
DAY = 86_400_000  # ms
COLUMNS = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return SyntheticMarket()


@pytest.fixture(scope="module")
def long_path(market: SyntheticMarket) -> Candles:
    return market.sample(bars=60_000, seed=5)[0]


def replay(candles: Candles, targets: FloatArray, cost: float) -> FloatArray:
    """Log growth of equity per bar: pay cost·|target − weight|, then earn target·R."""
    growth = []
    weight = 0.0
    simple = np.expm1(np.diff(np.log(candles.close)))
    for target, move in zip(targets[:-1], simple, strict=True):
        growth.append(np.log((1 - cost * abs(target - weight)) * (1 + target * move)))
        weight = target * (1 + move) / (1 + target * move)
    return np.array(growth)


# ---- the path


def test_one_seed_is_one_path_bit_for_bit() -> None:
    again = synthetic_candles(seed=3, bars=500)
    assert synthetic_candles(seed=3, bars=500).data_hash() == again.data_hash()
    assert synthetic_candles(seed=4, bars=500).data_hash() != again.data_hash()


def test_the_global_random_state_plays_no_part() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    synthetic_candles(bars=100)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_defaults_are_three_years_of_hours() -> None:
    candles = synthetic_candles()
    assert (len(candles), candles.symbol, candles.interval) == (26_280, "SYNTH", "60")
    assert not candles.gaps()
    assert repr(candles).endswith("2020-01-01 00:00 UTC – 2022-12-30 23:00 UTC)")


def test_bars_are_consistent(long_path: Candles) -> None:
    assert np.array_equal(long_path.open[1:], long_path.close[:-1])
    average_price = long_path.turnover / long_path.volume
    assert (average_price >= long_path.low).all()
    assert (average_price <= long_path.high).all()
    assert (long_path.volume > 0).all()


def test_other_intervals_and_names() -> None:
    candles = synthetic_candles(bars=10, interval="5", symbol="TOY", start="2021-06-01T00:05")
    assert (candles.interval, candles.symbol, candles.interval_ms) == ("5", "TOY", 300_000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bars": 0}, "bars is 0; expected at least 1"),
        ({"edge": float("nan")}, "edge is nan"),
        ({"interval": "7"}, "interval is '7'"),
        ({"start": "2020-01-01T00:30"}, "not on the grid"),
    ],
)
def test_impossible_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(CandleError, match=message):
        synthetic_candles(**{"bars": 5, **arguments})  # type: ignore[arg-type]


def test_the_path_looks_like_an_hourly_coin(long_path: Candles) -> None:
    returns = long_path.log_returns()[1:]
    size = np.abs(returns)

    def autocorrelation(values: FloatArray, lag: int) -> float:
        return float(np.corrcoef(values[:-lag], values[lag:])[0, 1])

    assert 0.55 < returns.std() * np.sqrt(YEAR) < 0.85
    assert ((returns - returns.mean()) ** 4).mean() / returns.var() ** 2 - 3 > 5
    assert abs(autocorrelation(returns, 1)) < 0.03
    assert autocorrelation(size, 1) > 0.12
    assert autocorrelation(size, 24) > 0.08
    assert autocorrelation(size, 168) > 0.02
    ranks = [np.argsort(np.argsort(values)) for values in (size, long_path.volume[1:])]
    assert 0.25 < np.corrcoef(*ranks)[0, 1] < 0.5


def test_each_regime_keeps_its_own_clock(market: SyntheticMarket) -> None:
    """exp(day_wave) at 15:00 against exp(-day_wave) at 03:00; the weekend is quieter by its factor."""
    candles, path = market.sample(bars=300_000, seed=5)
    hour, weekday = candles.open_time_ms // 3_600_000 % 24, (candles.open_time_ms // DAY + 3) % 7
    size = np.abs(np.log(candles.close / candles.open))
    for index, regime in enumerate(REGIMES):
        mine, busy = path == index, weekday < 5
        peak, trough = (size[mine & busy & (hour == at)].mean() for at in (15, 3))
        assert peak / trough == pytest.approx(np.exp(2 * regime.day_wave), rel=0.1)
        weekend = size[mine & ~busy].mean() / size[mine & busy].mean()
        assert weekend == pytest.approx(np.exp(-regime.weekend), rel=0.04)
        volume = (
            np.log(candles.volume[mine & ~busy]).mean() - np.log(candles.volume[mine & busy]).mean()
        )
        assert volume == pytest.approx(-regime.weekend, abs=0.04)


@pytest.mark.parametrize("interval", ["15", "60", "240", "D", "W"])
def test_the_clock_leaves_a_week_s_variance_as_it_was(interval: str) -> None:
    market = SyntheticMarket(interval=interval)
    times = np.arange(0, 7 * DAY, market.interval_ms)
    for index, belief in enumerate(np.linalg.inv(market.transition)):  # a certain next regime
        density = market.density_given(np.repeat(belief[None], len(times), axis=0), times)
        variance = (density.weights * density.sigmas**2).sum(axis=1).mean()
        assert variance == pytest.approx((100 * REGIMES[index].volatility) ** 2, rel=1e-9)


def test_bars_without_a_wick_are_as_many_as_their_regime_says(market: SyntheticMarket) -> None:
    candles, path = market.sample(bars=200_000, seed=2)
    above = candles.high == np.maximum(candles.open, candles.close)
    below = candles.low == np.minimum(candles.open, candles.close)
    for index, regime in enumerate(REGIMES):
        mine = path == index
        for none in (above, below):
            assert none[mine].mean() == pytest.approx(regime.no_wick, abs=0.004)
        both = (above & below)[mine].mean()
        assert both == pytest.approx(regime.no_wick**2, abs=0.002)  # independent


def test_drifts_cancel_over_time(market: SyntheticMarket) -> None:
    drifts = np.array([regime.drift for regime in REGIMES])
    assert market.stationary @ drifts == pytest.approx(0.0, abs=1e-18)
    assert market.stationary @ market.transition == pytest.approx(market.stationary)


def test_regimes_last_as_long_as_they_say(market: SyntheticMarket) -> None:
    _, path = market.sample(bars=400_000, seed=1)
    for index, regime in enumerate(REGIMES):
        starts = np.count_nonzero((path[1:] == index) & (path[:-1] != index))
        assert np.count_nonzero(path == index) / starts == pytest.approx(regime.duration, rel=0.12)


# ---- the truth


def test_filter_equals_the_sum_over_all_regime_paths(market: SyntheticMarket) -> None:
    candles, _ = market.sample(bars=6, seed=2)
    likelihood = np.exp(market.log_emission(candles))
    posterior = np.zeros(len(REGIMES))
    for path in itertools.product(range(len(REGIMES)), repeat=6):
        chance = market.stationary[path[0]] * likelihood[0, path[0]]
        for t in range(1, 6):
            chance *= market.transition[path[t - 1], path[t]] * likelihood[t, path[t]]
        posterior[path[-1]] += chance
    np.testing.assert_allclose(market.filter(candles)[-1], posterior / posterior.sum(), rtol=1e-9)


def test_filter_is_causal_and_sums_to_one(market: SyntheticMarket, long_path: Candles) -> None:
    whole = market.filter(long_path.rows(0, 400))
    np.testing.assert_allclose(whole.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(market.filter(long_path.rows(0, 150)), whole[:150], rtol=1e-12)


def test_filter_lets_the_chain_run_through_a_gap(market: SyntheticMarket) -> None:
    candles, _ = market.sample(bars=40, seed=2)
    keep = np.r_[0:20, 35:40]
    holed = Candles(*(getattr(candles, name)[keep] for name in COLUMNS))
    before = market.filter(candles.rows(0, 20))[-1]
    through = before @ np.linalg.matrix_power(market.transition, 16)
    joint = through * np.exp(market.log_emission(candles)[35])
    np.testing.assert_allclose(market.filter(holed)[20], joint / joint.sum(), rtol=1e-9)


def test_filter_is_calibrated(market: SyntheticMarket) -> None:
    candles, path = market.sample(bars=150_000, seed=6)
    filtered = market.filter(candles)
    for index in range(len(REGIMES)):
        claimed = filtered[:, index]
        unsure = (claimed > 0.3) & (claimed < 0.7)
        assert np.mean(path[unsure] == index) == pytest.approx(claimed[unsure].mean(), abs=0.05)
    assert np.mean(filtered.argmax(axis=1) == path) > 0.9


def test_emission_densities_have_the_same_norm(market: SyntheticMarket) -> None:
    """A regime's mean filtered probability is its mean predicted one, only if all norms agree."""
    candles, _ = market.sample(bars=100_000, seed=8)
    likelihood = np.exp(market.log_emission(candles))
    filtered = market.filter(candles)
    predicted = np.vstack([market.stationary, filtered[:-1] @ market.transition])
    evidence = (predicted * likelihood).sum(axis=1)
    for index in range(len(REGIMES)):
        share = predicted[:, index] * likelihood[:, index] / evidence
        assert share.mean() == pytest.approx(predicted[:, index].mean(), rel=0.01)


def test_density_integrates_to_one(market: SyntheticMarket) -> None:
    candles, _ = market.sample(bars=50, seed=1)
    density = market.return_density(candles)
    grid = np.linspace(-30, 30, 60_001)  # percent
    for row in (0, 20, 49):
        one = MixtureDensity(
            *(
                np.repeat(getattr(density, name)[row : row + 1], len(grid), axis=0)
                for name in ("weights", "means", "sigmas")
            )
        )
        assert np.exp(one.log_prob(grid)).sum() * 1e-3 == pytest.approx(1.0, abs=1e-6)


def test_log_prob_worked_out_by_hand() -> None:
    density = MixtureDensity(
        np.array([[0.25, 0.75]]), np.array([[0.0, 1.0]]), np.array([[1.0, 2.0]])
    )
    # at 1: 0.25·exp(−1/2)/√(2π) + 0.75·1/(2√(2π)) = 0.25·0.2419707 + 0.75·0.1994711
    expected = np.log(0.25 * 0.2419707245 + 0.75 * 0.1994711402)
    assert density.log_prob(np.array([1.0]))[0] == pytest.approx(expected, abs=1e-9)
    assert density.mean()[0] == pytest.approx(0.75)


def test_the_truth_beats_every_other_density(market: SyntheticMarket, long_path: Candles) -> None:
    returns = 100 * long_path.log_returns()[1:]

    def score(density: MixtureDensity) -> float:
        cut = (getattr(density, name)[:-1] for name in ("weights", "means", "sigmas"))
        return float(-MixtureDensity(*cut).log_prob(returns).mean())

    truth = market.return_density(long_path)
    rows = len(long_path)
    always = np.repeat(market.stationary[None], rows, axis=0)
    unconditional = market.density_given(always, long_path.open_time_ms)
    no_clock = market.density_given(market.filter(long_path), None)
    no_edge = SyntheticMarket(edge=0.0).return_density(long_path)
    wide = MixtureDensity(truth.weights, truth.means, 1.1 * truth.sigmas)
    gaussian = 0.5 * np.log(2 * np.pi * np.e * returns.var())
    assert score(truth) < score(no_edge) - 5e-4
    assert score(truth) < score(wide) - 2e-3
    assert score(truth) < score(no_clock) - 0.01
    assert score(truth) < score(unconditional) - 0.05
    assert score(truth) < gaussian - 0.15


def test_the_truth_is_calibrated(market: SyntheticMarket, long_path: Candles) -> None:
    from scipy.special import ndtr

    density = market.return_density(long_path)
    returns = 100 * long_path.log_returns()[1:, None]
    scaled = (returns - density.means[:-1]) / density.sigmas[:-1]
    transform = np.sort((density.weights[:-1] * ndtr(scaled)).sum(axis=1))
    uniform = np.arange(1, len(transform) + 1) / len(transform)
    assert np.abs(transform - uniform).max() < 1.63 / np.sqrt(len(transform))  # 1% point


# ---- the truth of whole bars


def bar_by_hand(candles: Candles, t: int, regime: Regime, burst: bool) -> list[float]:
    """Densities of a bar's return [%], log wicks and log volume, each given those before it."""
    wave = regime.day_wave * np.cos(2 * np.pi * (np.arange(24) - 15) / 24)
    week = np.concatenate([np.tile(wave, 5), np.tile(wave - regime.weekend, 2)])  # from Monday on
    hour = int(candles.open_time_ms[t] // 3_600_000 + 72) % 168  # 1970 began on a Thursday
    log_clock = week[hour] - 0.5 * np.log(np.exp(2 * week).mean())
    ordinary = regime.volatility / np.sqrt(0.9 + 0.1 * 2.4**2)
    sigma = ordinary * (2.4 if burst else 1.0) * np.exp(log_clock)
    first, last = candles.open[t], candles.close[t]
    r = np.log(last / first)
    mean = np.log(1 + regime.drift) - sigma**2 / 2
    densities = [norm.pdf(r, mean, sigma) / 100]
    for wick in (
        np.log(candles.high[t] / max(first, last)),
        np.log(min(first, last) / candles.low[t]),
    ):
        slope = 2 * (2 * wick + abs(r)) / sigma**2  # of 2u(u + |r|)/σ²
        beyond = np.exp(-2 * wick * (wick + abs(r)) / sigma**2)
        drawn = (1 - regime.no_wick) * wick * slope * beyond
        densities.append(drawn if wick > 0 else regime.no_wick)
    level = regime.log_volume + 0.6 * burst + log_clock
    return [*densities, norm.pdf(np.log(candles.volume[t]), level, 0.55)]


def test_whole_bars_equal_the_sum_over_all_paths(market: SyntheticMarket) -> None:
    """p(first k parts of the last bar, and all bars before) by regimes and bursts, one by one."""
    for seed, no_upper_wick in ((2, False), (20, True)):
        candles, _ = market.sample(bars=4, seed=seed, start="2020-01-03T21:00")  # into a weekend
        states = [*itertools.product(range(len(REGIMES)), (False, True))]
        table = {
            (t, s): np.cumprod([1.0, *bar_by_hand(candles, t, REGIMES[s[0]], s[1])])
            for t in range(4)
            for s in states
        }
        joint = np.zeros(5)
        for path in itertools.product(states, repeat=4):
            chance = market.stationary[path[0][0]]
            for before, after in itertools.pairwise(path):
                chance *= market.transition[before[0], after[0]]
            for t, (_, burst) in enumerate(path):
                chance *= 0.1 if burst else 0.9
                chance *= table[t, path[t]][-1] if t < 3 else 1.0
            joint += chance * table[3, path[3]]
        parts = market.bar_log_prob_parts(candles)[2]
        np.testing.assert_allclose(parts, np.diff(np.log(joint)), rtol=1e-8)
        assert market.bar_log_prob(candles)[2] == pytest.approx(np.log(joint[-1] / joint[0]))
        reaches_up = candles.high[3] > max(candles.open[3], candles.close[3])
        assert reaches_up != no_upper_wick


def with_last_bar(
    candles: Candles, log_return: float, above: float, below: float, volume: float
) -> Candles:
    columns = {name: getattr(candles, name).copy() for name in COLUMNS}
    first, last = columns["open"][-1], columns["open"][-1] * np.exp(log_return)
    columns["close"][-1], columns["volume"][-1] = last, volume
    columns["high"][-1] = max(first, last) * np.exp(above)
    columns["low"][-1] = min(first, last) * np.exp(-below)
    columns["turnover"][-1] = volume * first
    return Candles(**columns)


def test_each_part_of_a_bar_integrates_to_one(market: SyntheticMarket) -> None:
    candles, _ = market.sample(bars=30, seed=4)

    def density(part: int, *bar: float) -> float:
        return float(np.exp(market.bar_log_prob_parts(with_last_bar(candles, *bar))[-2, part]))

    def total(part: int, bar: Callable[[float], tuple[float, ...]], grid: FloatArray) -> float:
        return float(np.trapezoid([density(part, *bar(x)) for x in grid], grid))

    percents, logs = np.linspace(-8, 8, 401), np.linspace(-25, -2, 401)
    assert total(0, lambda x: (x / 100, 0.01, 0.0, 9.0), percents) == pytest.approx(1, abs=1e-5)
    drawn = total(1, lambda x: (0.004, np.exp(x), 0.01, 9.0), logs)
    none = density(1, 0.004, 0.0, 0.01, 9.0)
    assert 0.005 < none < 0.1
    assert drawn + none == pytest.approx(1, abs=1e-5)
    drawn = total(2, lambda x: (-0.004, 0.0, np.exp(x), 9.0), logs)
    assert drawn + density(2, -0.004, 0.0, 0.0, 9.0) == pytest.approx(1, abs=1e-5)
    sizes = np.linspace(0, 13, 401)
    assert total(3, lambda x: (0.0, 0.01, 0.0, np.exp(x)), sizes) == pytest.approx(1, abs=1e-5)


def test_another_density_s_ratio_to_the_truth_is_one_in_the_mean(
    market: SyntheticMarket, long_path: Candles
) -> None:
    """E[q/p] = 1 where bars come from p: here q reads the clock two hours late."""
    columns = {name: getattr(long_path, name) for name in COLUMNS}
    late = Candles(**{**columns, "open_time_ms": long_path.open_time_ms + 7_200_000})
    log_ratio = market.bar_log_prob_parts(late)[:-1] - market.bar_log_prob_parts(long_path)[:-1]
    joint = np.exp(np.cumsum(log_ratio, axis=1))
    error = joint.std(axis=0) / np.sqrt(len(joint))
    assert (error < 0.01).all()
    assert (np.abs(joint.mean(axis=0) - 1) < 4 * error).all()
    assert (log_ratio.mean(axis=0)[[0, 3]] < -0.002).all()  # and q is worse


def test_the_return_s_part_is_the_return_s_density(
    market: SyntheticMarket, long_path: Candles
) -> None:
    part = long_path.rows(0, 500)
    returns = np.append(100 * part.log_returns()[1:], 0.0)
    np.testing.assert_allclose(
        market.bar_log_prob_parts(part)[:-1, 0],
        market.return_density(part).log_prob(returns)[:-1],
        rtol=1e-9,
    )


def test_no_bar_follows_the_last_or_a_gap(market: SyntheticMarket) -> None:
    candles, _ = market.sample(bars=40, seed=2)
    keep = np.r_[0:20, 35:40]
    holed = Candles(*(getattr(candles, name)[keep] for name in COLUMNS))
    unknown = np.isnan(market.bar_log_prob(holed))
    assert np.flatnonzero(unknown).tolist() == [19, 24]


# ---- the edge


def test_without_edge_the_price_is_a_martingale() -> None:
    market = SyntheticMarket(edge=0.0)
    candles, _ = market.sample(bars=300, seed=0)
    density = market.return_density(candles)
    # E[exp(r)] of a Gaussian mixture, r in percent: Σ w·exp(μ + σ²/2)
    gross = density.weights * np.exp(density.means / 100 + (density.sigmas / 100) ** 2 / 2)
    np.testing.assert_allclose(gross.sum(axis=1), 1.0, atol=1e-15)
    assert np.abs(kelly_weights(density)).max() < 1e-9


def test_edge_leaves_volatility_as_it_was() -> None:
    flat, edged = (SyntheticMarket(edge).sample(5_000, 1)[0] for edge in (0.0, 1.0))
    assert flat.log_returns()[1:].std() == pytest.approx(edged.log_returns()[1:].std(), rel=0.01)
    assert np.array_equal(flat.volume, edged.volume)


def test_expected_return_of_a_known_regime() -> None:
    market = SyntheticMarket()
    known = np.linalg.inv(market.transition)  # beliefs whose prediction is one certain regime
    density = market.density_given(known, None)
    gross = density.weights * np.exp(density.means / 100 + (density.sigmas / 100) ** 2 / 2)
    drifts = [regime.drift for regime in REGIMES]
    np.testing.assert_allclose(gross.sum(axis=1) - 1, drifts, atol=1e-12)
    variance = (density.weights * density.sigmas**2).sum(axis=1)
    wanted = [(100 * regime.volatility) ** 2 for regime in REGIMES]
    np.testing.assert_allclose(variance, wanted, rtol=1e-9)


def test_kelly_weights_maximise_growth() -> None:
    # One Gaussian: σ 2%, E[R] about 0.01%: the inner optimum is near E[R]/E[R²] = 0.25.
    density = MixtureDensity(
        np.ones((3, 1)), np.array([[-0.01], [-0.5], [0.5]]), np.full((3, 1), 2.0)
    )
    weights = kelly_weights(density)
    assert weights[1:].tolist() == [-1.0, 1.0]
    draws = np.random.default_rng(0).standard_normal(2_000_000)
    returns = np.expm1((-0.01 + 2.0 * np.concatenate([draws, -draws])) / 100)
    growth = {
        w: np.log1p(w * returns).mean() for w in (weights[0] - 0.1, weights[0], weights[0] + 0.1)
    }
    assert 0.2 < weights[0] < 0.3
    assert max(growth, key=growth.__getitem__) == weights[0]


@pytest.fixture(scope="module")
def unseen() -> Candles:
    return SyntheticMarket().sample(bars=3 * YEAR, seed=77)[0]


def test_the_optimal_policy_earns_after_costs(market: SyntheticMarket, unseen: Candles) -> None:
    policy = OptimalPolicy(market, COST)
    targets = policy.targets(unseen)
    growth = replay(unseen, targets, COST)
    annual = growth.mean() * YEAR
    sharpe = growth.mean() / growth.std() * np.sqrt(YEAR)
    assert annual > 1.0
    assert sharpe > 2.5
    for rival in (np.ones(len(unseen)), -np.ones(len(unseen)), momentum(unseen, 168)):
        assert growth.sum() > replay(unseen, rival, COST).sum() + 0.5
    costless = OptimalPolicy(market, 0.0).targets(unseen)
    assert growth.sum() > replay(unseen, costless, COST).sum()
    assert np.abs(np.diff(targets)).mean() < 0.5 * np.abs(np.diff(costless)).mean()


def test_buy_and_hold_is_not_the_answer(market: SyntheticMarket, unseen: Candles) -> None:
    targets = OptimalPolicy(market, COST).targets(unseen)
    assert np.mean(targets > 0.5) > 0.2
    assert np.mean(targets < -0.5) > 0.15


def test_without_edge_the_best_is_to_stay_flat() -> None:
    market = SyntheticMarket(edge=0.0)
    candles, _ = market.sample(bars=3_000, seed=1)
    assert not OptimalPolicy(market, COST).targets(candles).any()


def test_targets_are_causal(market: SyntheticMarket, unseen: Candles) -> None:
    policy = OptimalPolicy(market, COST)
    whole = policy.targets(unseen.rows(0, 1_000))
    assert np.array_equal(policy.targets(unseen.rows(0, 600)), whole[:600])
    assert np.abs(whole).max() <= 1.0


def test_costs_out_of_range_are_refused(market: SyntheticMarket) -> None:
    with pytest.raises(CandleError, match=r"cost is -0\.1"):
        OptimalPolicy(market, -0.1)


def momentum(candles: Candles, bars: int) -> FloatArray:
    log_close = np.log(candles.close)
    signal = np.zeros(len(candles))
    signal[bars:] = np.sign(log_close[bars:] - log_close[:-bars])
    return signal
