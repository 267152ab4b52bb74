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
        day_wave: Amplitude over the day of the log factor on volatility and volume.
        weekend: How much lower that log factor is on Saturdays and Sundays (UTC).
        no_wick: Probability that a bar does not reach above its body; the same below it.
    """

    name: str
    duration: float
    drift: float
    volatility: float
    log_volume: float
    day_wave: float
    weekend: float
    no_wick: float


REGIMES = (
    Regime("quiet", 150.0, 0.0, 0.0034, 5.6, 0.40, 0.40, 0.06),
    Regime("bull", 140.0, 0.00035, 0.0052, 6.2, 0.30, 0.25, 0.04),
    Regime("bear", 140.0, -0.00070, 0.0105, 7.1, 0.20, 0.10, 0.01),
    Regime("rally", 100.0, 0.00049, 0.0084, 6.5, 0.35, 0.30, 0.02),
)
"""Stays are geometric and every other regime is equally likely next, so that a regime's share of
time is proportional to its duration; the drifts, weighted by duration, sum to zero."""

BURST_PROBABILITY = 0.10
BURST_VOLATILITY = 2.4  # a burst bar's volatility ÷ an ordinary bar's, same regime
BURST_LOG_VOLUME = 0.6  # added to log(volume) in a burst bar
LOG_VOLUME_SIGMA = 0.55
CALENDAR_PEAK_HOUR = 15.0  # UTC
_BURST_SHARES = np.array([1.0 - BURST_PROBABILITY, BURST_PROBABILITY])


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
        leave = 1.0 / _column("duration")
        count = len(REGIMES)
        matrix: FloatArray = np.repeat(leave[:, None] / (count - 1), count, axis=1)
        np.fill_diagonal(matrix, 1.0 - leave)
        return matrix

    @cached_property
    def stationary(self) -> FloatArray:
        """Long-run share of time of each regime [R]."""
        durations = _column("duration")
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
        drawn = self.draw_bars(regimes, open_time_ms, rng)
        return self._candles(open_time_ms, *drawn.T), regimes

    def draw_bars(
        self,
        regimes: IntArray,
        open_time_ms: IntArray,
        rng: np.random.Generator,
        shocks: FloatArray | None = None,
    ) -> FloatArray:
        """Bars [T, 4] of given regimes [T] that open then [T].

        Columns: log return, log of the wicks above and below the body, volume; `market.streams.BAR_NUMBERS`.
        ``shocks`` [T] stand for the standard normal numbers of the returns, which are drawn where None.
        """
        bars = len(regimes)
        burst = (rng.random(bars) < BURST_PROBABILITY).astype(np.int64)
        activity = _log_activity(open_time_ms, self.interval_ms)[np.arange(bars), regimes]
        sigma = _volatilities()[regimes, burst] * np.exp(activity)
        shocks = rng.standard_normal(bars) if shocks is None else shocks
        log_return = self._log_drift()[regimes] - 0.5 * sigma**2 + sigma * shocks
        no_wick = _column("no_wick")[regimes]
        above, below = (_sample_wicks(log_return, sigma, no_wick, rng) for _ in range(2))
        log_volume = _log_volume_means()[regimes, burst] + activity
        volume = np.exp(log_volume + LOG_VOLUME_SIGMA * rng.standard_normal(bars))
        return np.stack([log_return, above, below, volume], axis=1)

    def next_regimes(self, regimes: IntArray, rng: np.random.Generator) -> IntArray:
        """The regimes [N] of the bars after bars of given regimes [N]."""
        leaves = rng.random(len(regimes)) < 1.0 / _column("duration")[regimes]
        others = (regimes + rng.integers(1, len(REGIMES), size=len(regimes))) % len(REGIMES)
        return np.where(leaves, others, regimes)

    @cached_property
    def mean_volume(self) -> float:
        """Of a bar, over all regimes and the week [base currency]."""
        week = np.arange(0, INTERVALS_MS["W"], self.interval_ms)
        activity = np.exp(_log_activity(week, self.interval_ms)).mean(axis=0)
        ordinary = np.exp(_log_volume_means() + 0.5 * LOG_VOLUME_SIGMA**2) @ _BURST_SHARES
        return float(self.stationary @ (activity * ordinary))

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
        """Log density [T, R] of each bar given its regime, in the units of `bar_log_prob`."""
        log_density = self._log_densities(candles).sum(axis=1) + np.log(_BURST_SHARES)
        total: FloatArray = np.logaddexp(log_density[..., 0], log_density[..., 1])
        return total

    def bar_log_prob(self, candles: Candles) -> FloatArray:
        """The true log density of the bar after each, given the bars so far [T], nats.

        Of the log return in percent, the logarithms of both wicks and of the volume; a wick of
        exactly 0 counts with its probability. NaN where no bar follows, or only after a gap.
        """
        whole: FloatArray = self.bar_log_prob_parts(candles).sum(axis=1)
        return whole

    def bar_log_prob_parts(self, candles: Candles) -> FloatArray:
        """`bar_log_prob` as the sum of its parts [T, 4]: return, upper wick, lower wick, volume.

        Each given the bars so far and the parts before it, as in `BarWorldModel`.
        """
        parts = np.full((len(candles), 4), np.nan)
        weights = np.log(self._component_weights(self.filter(candles)[:-1]))
        joint = weights[:, None] + np.cumsum(self._log_densities(candles)[1:], axis=1)
        joint = np.logaddexp.reduce(joint.reshape(*joint.shape[:2], -1), axis=-1)
        follows = np.diff(candles.open_time_ms) == self.interval_ms
        parts[:-1][follows] = np.diff(joint, axis=1, prepend=0.0)[follows]
        return parts

    def return_density(self, candles: Candles) -> MixtureDensity:
        """The true one-step-ahead density: row t is the log return from t to t+1, in percent.

        Each regime contributes its ordinary and its burst component, so K = 2R.
        """
        return self.density_given(self.filter(candles), candles.open_time_ms)

    def density_given(self, filtered: FloatArray, open_time_ms: IntArray | None) -> MixtureDensity:
        """The next return's density from filtered probabilities [T, R] at bars that open then.

        Without times, at the week's mean volatility.
        """
        rows = len(filtered)
        activity = np.zeros((rows, len(REGIMES)))
        if open_time_ms is not None:
            activity = _log_activity(open_time_ms + self.interval_ms, self.interval_ms)
        sigma = _volatilities() * np.exp(activity)[:, :, None]  # [T, R, 2]
        mean = self._log_drift()[:, None] - 0.5 * sigma**2
        return MixtureDensity(
            self._component_weights(filtered).reshape(rows, -1),
            100.0 * mean.reshape(rows, -1),
            100.0 * sigma.reshape(rows, -1),
        )

    def _log_densities(self, candles: Candles) -> FloatArray:
        """Of each bar's return, wicks and volume given those before it, regime and burst [T, 4, R, 2].

        The units are those of `bar_log_prob`; the return is taken from the bar's own open.
        """
        top = np.maximum(candles.open, candles.close)
        bottom = np.minimum(candles.open, candles.close)
        log_return = np.log(candles.close / candles.open)[:, None, None]
        activity = _log_activity(candles.open_time_ms, self.interval_ms)[:, :, None]
        sigma = _volatilities() * np.exp(activity)  # [T, R, 2]
        mean = self._log_drift()[:, None] - 0.5 * sigma**2
        log_volume = np.log(np.maximum(candles.volume, 1e-12))[:, None, None]
        parts = (
            _log_normal_density(log_return, mean, sigma) - np.log(100.0),
            _log_wick_density(np.log(candles.high / top), log_return, sigma),
            _log_wick_density(np.log(bottom / candles.low), log_return, sigma),
            _log_normal_density(
                log_volume, _log_volume_means() + activity, np.array(LOG_VOLUME_SIGMA)
            ),
        )
        return np.stack(parts, axis=1)

    def _component_weights(self, filtered: FloatArray) -> FloatArray:
        """Probabilities of the next bar's regime and burst [T, R, 2], from filtered ones [T, R]."""
        weights: FloatArray = (filtered @ self.transition)[:, :, None] * _BURST_SHARES
        return weights

    def _log_drift(self) -> FloatArray:
        return np.log1p(self.edge * _column("drift"))

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


def _column(name: str) -> FloatArray:
    """One figure of every regime [R]."""
    return np.array([getattr(regime, name) for regime in REGIMES])


def _volatilities() -> FloatArray:
    """Standard deviation of an ordinary and of a burst bar [R, 2], calendar aside.

    The two mix to the regime's own volatility.
    """
    spread = np.sqrt(1.0 + BURST_PROBABILITY * (BURST_VOLATILITY**2 - 1.0))
    ordinary = _column("volatility") / spread
    return np.stack([ordinary, BURST_VOLATILITY * ordinary], axis=1)


def _log_volume_means() -> FloatArray:
    """Mean log volume of an ordinary and of a burst bar [R, 2], calendar aside."""
    ordinary = _column("log_volume")
    return np.stack([ordinary, ordinary + BURST_LOG_VOLUME], axis=1)


def _log_activity(open_time_ms: IntArray, interval_ms: int) -> FloatArray:
    """Each regime's log factor on volatility and volume at bars that open then [T, R].

    The mean square of each factor over the bars of a week is 1.
    """
    week = np.arange(0, INTERVALS_MS["W"], interval_ms)
    level: FloatArray = 0.5 * np.log(np.exp(2.0 * _clock(week)).mean(axis=0))
    return _clock(open_time_ms) - level


def _clock(open_time_ms: IntArray) -> FloatArray:
    """What hour and weekend add to each regime's log activity, up to a constant [T, R]."""
    day, time_ms = np.divmod(np.asarray(open_time_ms), INTERVALS_MS["D"])
    wave = np.cos(2 * np.pi * (time_ms / _HOUR_MS - CALENDAR_PEAK_HOUR) / 24.0)
    is_weekend = (day + 3) % 7 >= 5  # the first of January 1970 was a Thursday
    clock: FloatArray = np.outer(wave, _column("day_wave"))
    return clock - np.outer(is_weekend, _column("weekend"))


def _sample_wicks(
    log_return: FloatArray, sigma: FloatArray, no_wick: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """How far bars reach beyond their bodies on one side [T].

    0 with probability ``no_wick``; otherwise as far as a Brownian path from 0 to r exceeds its two
    end points: P(wick > u) = exp(−2u(u + |r|)/σ²), the reflection principle.
    """
    reaches, unit = rng.random(len(sigma)) >= no_wick, rng.exponential(size=len(sigma))
    distance = np.abs(log_return)
    wick = 0.5 * (np.sqrt(distance**2 + 2.0 * sigma**2 * unit) - distance)
    return np.where(reaches, wick, 0.0)


def _log_wick_density(wick: FloatArray, log_return: FloatArray, sigma: FloatArray) -> FloatArray:
    """Log density of log wicks [T] given regime and burst [T, R, 2]; of none, its log probability."""
    wick, no_wick = wick[:, None, None], _column("no_wick")[:, None]
    distance, reach = np.abs(log_return), np.where(wick > 0.0, wick, 1.0)
    bridge = np.log(2.0 * reach * (2.0 * reach + distance) / sigma**2)
    bridge -= 2.0 * reach * (reach + distance) / sigma**2
    return np.where(wick > 0.0, np.log1p(-no_wick) + bridge, np.log(no_wick))


def _log_normal_density(value: FloatArray, mean: FloatArray, sigma: FloatArray) -> FloatArray:
    density: FloatArray = -0.5 * ((value - mean) / sigma) ** 2 - np.log(sigma * np.sqrt(2 * np.pi))
    return density
