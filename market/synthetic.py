"""A synthetic market whose truth is known: a regime-switching process, sampled and filtered.

The embedded default (no network, no licence question) and the laboratory: its regime
probabilities, its predictive density and its optimal policy are computable. docs/synthetic.md
gives the process in formulae.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .arrays import FloatArray, IntArray
from .candles import Candles
from .errors import CandleError
from .instruments import Instrument
from .intervals import INTERVALS_MS, interval_ms
from .times import Time, to_ms

DEFAULT_BARS = 26_280  # three years of hours
START_PRICE = 10_000.0  # quote currency
SYMBOL = "SYNTH"
_HOUR_MS = INTERVALS_MS["60"]


@dataclass(frozen=True)
class Regime:
    """One state of the hidden chain; every figure is per bar.

    Attributes:
        name: What a chart reader would call it.
        duration: Mean stay [bars].
        drift: Expected simple return at ``edge=1`` [fraction].
        volatility: Standard deviation of the log return, calendar aside [fraction].
        log_volume: Mean of log(volume), calendar and bursts aside [log base currency].
    """

    name: str
    duration: float
    drift: float
    volatility: float
    log_volume: float


REGIMES = (
    Regime("quiet", 150.0, 0.0, 0.0034, 5.6),
    Regime("bull", 140.0, 0.00035, 0.0052, 6.2),
    Regime("bear", 140.0, -0.00070, 0.0105, 7.1),
    Regime("rally", 100.0, 0.00049, 0.0084, 6.5),
)
"""Stays are geometric and every other regime is equally likely next, so that a regime's share of
time is proportional to its duration; the drifts, weighted by duration, sum to zero."""

BURST_PROBABILITY = 0.10
BURST_VOLATILITY = 2.4  # a burst bar's volatility ÷ an ordinary bar's, same regime
BURST_LOG_VOLUME = 0.6  # added to log(volume) in a burst bar
LOG_VOLUME_SIGMA = 0.55
CALENDAR_AMPLITUDE = 0.30  # of log volatility over the day
CALENDAR_PEAK_HOUR = 15.0  # UTC


@dataclass(frozen=True, eq=False)
class MixtureDensity:
    """Gaussian mixtures of the next log return in percent, one per bar.

    Attributes:
        weights: Component probabilities [T, K], rows sum to 1.
        means: Component means [T, K], percent.
        sigmas: Component standard deviations [T, K], percent.
    """

    weights: FloatArray
    means: FloatArray
    sigmas: FloatArray

    def log_prob(self, returns: FloatArray) -> FloatArray:
        """Natural-log density [T] of ``returns`` [T], log returns in percent."""
        scaled = (np.asarray(returns)[:, None] - self.means) / self.sigmas
        terms = np.log(self.weights) - 0.5 * scaled**2 - np.log(self.sigmas * np.sqrt(2 * np.pi))
        highest = terms.max(axis=1)
        total: FloatArray = highest + np.log(np.exp(terms - highest[:, None]).sum(axis=1))
        return total

    def mean(self) -> FloatArray:
        """Expected next log return [T], percent."""
        expected: FloatArray = (self.weights * self.means).sum(axis=1)
        return expected


class SyntheticMarket:
    """The regime-switching process: sampling, exact filtering, and the true density.

    Args:
        edge: Multiplies every regime's drift; 0 makes the price a martingale (no policy has a
            positive expected return, with or without costs) and leaves volatility as it was.
        interval: Bybit's interval code of the bars; the figures in `REGIMES` are per bar.
        symbol: The instrument's name.
    """

    def __init__(self, edge: float = 1.0, interval: str = "60", symbol: str = SYMBOL) -> None:
        if not np.isfinite(edge):
            raise CandleError(f"edge is {edge}; expected a finite number, 1 for the default market")
        self.edge = float(edge)
        self.interval = interval
        self.symbol = symbol
        self.interval_ms = interval_ms(interval)

    @cached_property
    def transition(self) -> FloatArray:
        """Probabilities [R, R] of the next bar's regime (column) given this bar's (row)."""
        leave = 1.0 / np.array([regime.duration for regime in REGIMES])
        count = len(REGIMES)
        matrix: FloatArray = np.repeat(leave[:, None] / (count - 1), count, axis=1)
        np.fill_diagonal(matrix, 1.0 - leave)
        return matrix

    @cached_property
    def stationary(self) -> FloatArray:
        """Long-run share of time of each regime [R]."""
        durations = np.array([regime.duration for regime in REGIMES])
        return np.asarray(durations / durations.sum())

    def sample(
        self, bars: int = DEFAULT_BARS, seed: int = 0, start: Time = "2020-01-01"
    ) -> tuple[Candles, IntArray]:
        """Draw a path.

        Args:
            bars: How many bars, at least one.
            seed: Seed of numpy's PCG64; one seed gives one path, bit for bit.
            start: Open time of the first bar, on the interval's grid.

        Returns:
            The candles, and the hidden regime [T] of each bar, an index into `REGIMES`.
        """
        if bars < 1:
            raise CandleError(f"bars is {bars}; expected at least 1")
        rng = np.random.Generator(np.random.PCG64(seed))
        open_time_ms = to_ms(start) + self.interval_ms * np.arange(bars, dtype=np.int64)
        regimes = self._sample_regimes(bars, rng)
        burst = (rng.random(bars) < BURST_PROBABILITY).astype(np.int64)
        activity = _calendar_log_activity(open_time_ms)
        sigma = _volatilities()[regimes, burst] * np.exp(activity)
        log_return = self._log_drift()[regimes] - 0.5 * sigma**2 + sigma * rng.standard_normal(bars)
        above = _bridge_excess(log_return, sigma, rng.exponential(size=bars))
        below = _bridge_excess(log_return, sigma, rng.exponential(size=bars))
        log_volume = _log_volume_means()[regimes, burst] + activity
        volume = np.exp(log_volume + LOG_VOLUME_SIGMA * rng.standard_normal(bars))
        return self._candles(open_time_ms, log_return, above, below, volume), regimes

    def filter(self, candles: Candles) -> FloatArray:
        """Regime probabilities [T, R] given every bar up to and including t (Hamilton 1989).

        They use all that a bar tells: return, excursions above and below, volume, and the hour.
        A gap lets the chain run on unobserved.
        """
        log_likelihood = self.log_emission(candles)
        likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
        filtered: FloatArray = np.empty_like(likelihood)
        predicted = self.stationary
        steps = np.diff(candles.open_time_ms) // self.interval_ms
        for t, row in enumerate(likelihood):
            joint = predicted * row
            filtered[t] = joint / joint.sum()
            if t < len(steps):
                predicted = filtered[t] @ self._transition_after(int(steps[t]))
        return filtered

    def log_emission(self, candles: Candles) -> FloatArray:
        """Log density [T, R] of each bar given its regime.

        The density is that of (log return, excursion above, excursion below, log volume); the
        bar's return is taken from its own open.
        """
        log_return = np.log(candles.close / candles.open)[:, None, None]
        above = np.log(candles.high / np.maximum(candles.open, candles.close))[:, None, None]
        below = np.log(np.minimum(candles.open, candles.close) / candles.low)[:, None, None]
        activity = _calendar_log_activity(candles.open_time_ms)[:, None, None]
        sigma = _volatilities() * np.exp(activity)  # [T, R, 2]
        mean = self._log_drift()[:, None] - 0.5 * sigma**2
        log_density = _log_normal_density(log_return, mean, sigma)
        log_density += _log_bridge_density(above, log_return, sigma)
        log_density += _log_bridge_density(below, log_return, sigma)
        log_volume = np.log(np.maximum(candles.volume, 1e-12))[:, None, None]
        log_density += _log_normal_density(
            log_volume, _log_volume_means() + activity, np.array(LOG_VOLUME_SIGMA)
        )
        log_density += np.log([1.0 - BURST_PROBABILITY, BURST_PROBABILITY])
        total: FloatArray = np.logaddexp(log_density[..., 0], log_density[..., 1])
        return total

    def return_density(self, candles: Candles) -> MixtureDensity:
        """The true one-step-ahead density: row t is the log return from t to t+1, in percent.

        Each regime contributes its ordinary and its burst component, so K = 2R.
        """
        return self.density_given(self.filter(candles), candles.open_time_ms)

    def density_given(self, filtered: FloatArray, open_time_ms: IntArray | None) -> MixtureDensity:
        """The next return's density from filtered probabilities [T, R] at bars that open then.

        Without times, at the day's mean volatility.
        """
        rows = len(filtered)
        predicted = (filtered @ self.transition)[:, :, None]
        activity = np.zeros(rows)
        if open_time_ms is not None:
            activity = _calendar_log_activity(open_time_ms + self.interval_ms)
        sigma = _volatilities() * np.exp(activity)[:, None, None]  # [T, R, 2]
        mean = self._log_drift()[:, None] - 0.5 * sigma**2
        weights = predicted * np.array([1.0 - BURST_PROBABILITY, BURST_PROBABILITY])
        return MixtureDensity(
            weights.reshape(rows, -1),
            100.0 * mean.reshape(rows, -1),
            100.0 * sigma.reshape(rows, -1),
        )

    def _log_drift(self) -> FloatArray:
        return np.log1p(self.edge * np.array([regime.drift for regime in REGIMES]))

    def _transition_after(self, steps: int) -> FloatArray:
        if steps == 1:
            return self.transition
        return np.asarray(np.linalg.matrix_power(self.transition, steps))

    def _sample_regimes(self, bars: int, rng: np.random.Generator) -> IntArray:
        path = np.empty(bars, dtype=np.int64)
        regime = int(rng.choice(len(REGIMES), p=self.stationary))
        filled = 0
        while filled < bars:
            stay = int(rng.geometric(1.0 / REGIMES[regime].duration))
            path[filled : filled + stay] = regime
            filled += stay
            regime = (regime + 1 + int(rng.integers(len(REGIMES) - 1))) % len(REGIMES)
        return path

    def _candles(
        self,
        open_time_ms: IntArray,
        log_return: FloatArray,
        above: FloatArray,
        below: FloatArray,
        volume: FloatArray,
    ) -> Candles:
        price = START_PRICE * np.exp(np.concatenate([[0.0], np.cumsum(log_return)]))
        opened, closed = price[:-1], price[1:]
        high = np.maximum(opened, closed) * np.exp(above)
        low = np.minimum(opened, closed) * np.exp(-below)
        average = (opened + high + low + closed) / 4.0
        return Candles(
            open_time_ms,
            opened,
            high,
            low,
            closed,
            volume,
            volume * average,
            symbol=self.symbol,
            interval=self.interval,
            instrument=synthetic_instrument(self.symbol),
        )


def synthetic_instrument(symbol: str = SYMBOL) -> Instrument:
    """The embedded market's trading rules: those of a coin that costs 10,000."""
    return Instrument(
        symbol,
        tick_size=0.1,
        quantity_step=0.001,
        min_quantity=0.001,
        min_notional=5.0,
        min_leverage=1.0,
        max_leverage=100.0,
        funding_interval_minutes=480,
    )


def synthetic_candles(
    seed: int = 0,
    bars: int = DEFAULT_BARS,
    start: Time = "2020-01-01",
    edge: float = 1.0,
    symbol: str = SYMBOL,
    interval: str = "60",
) -> Candles:
    """Candles of the embedded market; `SyntheticMarket` knows the truth behind them.

    Args:
        seed: One seed gives one path, bit for bit.
        bars: How many bars.
        start: Open time of the first bar, UTC.
        edge: Multiplies every regime's drift; 0 leaves nothing to earn.
        symbol: The instrument's name.
        interval: Bybit's interval code.
    """
    return SyntheticMarket(edge, interval, symbol).sample(bars, seed, start)[0]


def _volatilities() -> FloatArray:
    """Standard deviation of an ordinary and of a burst bar [R, 2], calendar aside.

    The two mix to the regime's own volatility.
    """
    regime = np.array([regime.volatility for regime in REGIMES])
    ordinary = regime / np.sqrt(1.0 + BURST_PROBABILITY * (BURST_VOLATILITY**2 - 1.0))
    return np.stack([ordinary, BURST_VOLATILITY * ordinary], axis=1)


def _log_volume_means() -> FloatArray:
    """Mean log volume of an ordinary and of a burst bar [R, 2], calendar aside."""
    regime = np.array([regime.log_volume for regime in REGIMES])
    return np.stack([regime, regime + BURST_LOG_VOLUME], axis=1)


def _calendar_log_activity(open_time_ms: IntArray) -> FloatArray:
    """Log factor on volatility and volume by time of day [T]; the factor's mean square is ≈ 1."""
    hour = (np.asarray(open_time_ms) % INTERVALS_MS["D"]) / _HOUR_MS
    wave = np.cos(2 * np.pi * (hour - CALENDAR_PEAK_HOUR) / 24.0)
    # The mean over a day of exp(2·a·cos) is the Bessel function I0(2a).
    level = 0.5 * np.log(np.i0(2 * CALENDAR_AMPLITUDE))
    activity: FloatArray = CALENDAR_AMPLITUDE * wave - level
    return activity


def _bridge_excess(log_return: FloatArray, sigma: FloatArray, unit: FloatArray) -> FloatArray:
    """How far a Brownian path exceeds its two end points, from unit exponentials [T].

    P(excess > u) = exp(−2u(u + |r|)/σ²): the reflection principle for a bridge from 0 to r.
    """
    distance = np.abs(log_return)
    excess: FloatArray = 0.5 * (np.sqrt(distance**2 + 2.0 * sigma**2 * unit) - distance)
    return excess


def _log_bridge_density(
    excess: FloatArray, log_return: FloatArray, sigma: FloatArray
) -> FloatArray:
    distance = np.abs(log_return)
    slope = np.maximum(2.0 * excess + distance, 1e-300)
    density: FloatArray = (
        np.log(2.0 * slope / sigma**2) - 2.0 * excess * (excess + distance) / sigma**2
    )
    return density


def _log_normal_density(value: FloatArray, mean: FloatArray, sigma: FloatArray) -> FloatArray:
    density: FloatArray = -0.5 * ((value - mean) / sigma) ** 2 - np.log(sigma * np.sqrt(2 * np.pi))
    return density
