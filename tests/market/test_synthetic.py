"""The synthetic market: its truth is the truth, and its edge can be earned, or removed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import CandleError
from worldmodel_trading.market.optimal_policy import OptimalPolicy, kelly_weights
from worldmodel_trading.market.synthetic import (
    REGIMES,
    MixtureDensity,
    SyntheticMarket,
    synthetic_candles,
)

COST = 0.00075  # taker fee 0.055% + slippage 0.02%
YEAR = 8_760  # hours


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


def test_volatility_follows_the_clock(long_path: Candles) -> None:
    hours = (long_path.open_time_ms[1:] // 3_600_000) % 24
    size = np.abs(long_path.log_returns()[1:])
    # exp(0.3) at 15:00 against exp(−0.3) at 03:00 is a ratio of 1.82
    assert size[hours == 15].mean() / size[hours == 3].mean() == pytest.approx(1.82, rel=0.1)


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
    columns = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
    holed = Candles(*(getattr(candles, name)[keep] for name in columns))
    before = market.filter(candles.rows(0, 20))[-1]
    through = before @ np.linalg.matrix_power(market.transition, 16)
    joint = through * np.exp(market.log_emission(candles)[35])
    np.testing.assert_allclose(market.filter(holed)[20], joint / joint.sum(), rtol=1e-9)


def test_filter_is_calibrated(market: SyntheticMarket) -> None:
    candles, path = market.sample(bars=60_000, seed=6)
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
