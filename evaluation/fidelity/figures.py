"""The pictures of the fidelity page: what a person would look at to see whether a dream is a market."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

from ...market.arrays import FloatArray
from ..baselines.scores import GJR_GARCH_CLOCK, HAR_T, TITLES
from ..comparison.rank_agreement import RankAgreement
from ..density import WORLD_MODEL, Calibration
from ..report.plot import Plot
from .dream_age import AgedDreams
from .generators import BLOCKS, ONE_BY_ONE
from .pictures import RECORD, RETURN_EDGES, LatentMap
from .probes import WarmupEffect
from .stylised import ACF_LAGS
from .subject import UNTRAINED_M

_TITLES = {
    **TITLES,
    RECORD: "record",
    WORLD_MODEL: "world model",
    ONE_BY_ONE: "recorded bars, one by one",
    BLOCKS: "stationary bootstrap of bars",
    UNTRAINED_M: "untrained M",
}
_COLORS = {
    RECORD: "muted",
    WORLD_MODEL: "c0",
    GJR_GARCH_CLOCK: "c1",
    HAR_T: "c4",
    ONE_BY_ONE: "c2",
    BLOCKS: "c3",
    UNTRAINED_M: "c5",
}


def title_of(name: str) -> str:
    """A generator's name as people read it."""
    return _TITLES.get(name, name.replace("_", " "))


def sample_paths(paths: Mapping[str, FloatArray]) -> Plot:
    """Dreamed price paths under as many recorded ones, from a common start."""
    plot = Plot("Sample dreams and recorded paths", "bars", "price ÷ start")
    for name, style in ((RECORD, "thin"), (WORLD_MODEL, "thin")):
        for i, returns in enumerate(paths[name]):
            price = np.exp(np.concatenate([[0.0], np.cumsum(returns)]))
            legend = title_of(name) if i == 0 else ""
            plot.line(np.arange(len(price)), price, _COLORS[name], legend, style)
    return plot.rule(y=1.0)


def return_histogram(densities: Mapping[str, FloatArray]) -> Plot:
    """Densities of a bar's return on a logarithmic scale, in the record's standard deviations."""
    plot = Plot("Histogram of returns", "return ÷ σ of the record", "density", log_y=True)
    middles = 0.5 * (RETURN_EDGES[1:] + RETURN_EDGES[:-1])
    for name in (RECORD, WORLD_MODEL, GJR_GARCH_CLOCK):
        seen = densities[name] > 0
        plot.line(middles[seen], densities[name][seen], _COLORS[name], title_of(name))
    return plot


def quantile_plot(quantiles: Mapping[str, FloatArray]) -> Plot:
    """Quantiles of dreamed returns against those of the record; the line is equality."""
    real = quantiles[RECORD]
    ends = np.array([real.min(), real.max()])
    plot = Plot("Quantiles of dream and record", "record", "dream", percent_x=True, percent_y=True)
    plot.line(ends, ends, "muted", "equal", "dashed")
    for name in (WORLD_MODEL, GJR_GARCH_CLOCK):
        dreamed = np.clip(quantiles[name], 2 * ends[0], 2 * ends[1])
        plot.points(real, dreamed, _COLORS[name], title_of(name))
    return plot


def absolute_autocorrelation(acf: Mapping[str, FloatArray]) -> Plot:
    """Autocorrelation of absolute returns, which a market forgets slowly."""
    plot = Plot("Autocorrelation of absolute returns", "lag [bars]", "autocorrelation of |r|")
    for name in (RECORD, WORLD_MODEL, GJR_GARCH_CLOCK, ONE_BY_ONE):
        if name in acf:
            plot.line(np.arange(1, ACF_LAGS + 1), acf[name], _COLORS[name], title_of(name))
    return plot.rule(y=0.0)


def cone(cones: Mapping[str, FloatArray], horizons: Sequence[int]) -> Plot:
    """The volatility that is realised over windows of each length: 5%, 50% and 95% quantiles."""
    plot = Plot("Volatility cone", "window [bars]", "volatility per bar [%]", log_x=True)
    for name in (RECORD, WORLD_MODEL):
        quantiles = 100 * cones[name]
        x = np.array(horizons[: len(quantiles)])
        plot.band(x, quantiles[:, 0], quantiles[:, 2], _COLORS[name], f"{title_of(name)}, 5–95%")
        plot.line(x, quantiles[:, 1], _COLORS[name], f"{title_of(name)}, median")
    return plot


def pit_histogram(shape: Calibration) -> Plot:
    """Where outcomes fell in their forecasts; a calibrated forecast is level at 1."""
    heights = shape.pit_histogram
    edges = np.linspace(0, 1, len(heights) + 1)
    plot = Plot("PIT histogram", "forecast probability of no more", "share ÷ expected")
    return plot.bars(edges, heights).rule(y=1.0)


def latent_map(latents: LatentMap) -> Plot:
    """Recorded latents along their two principal directions, calm to wild."""
    x, y = latents.position.T
    shades = (rankdata(latents.volatility) - 1) / max(len(x) - 1, 1)
    plot = Plot("Latent space", "first principal direction of z", "second")
    return plot.points(x, y, "c0", size=3.0, shades=shades)


def kl_bars(kl: Sequence[float]) -> Plot:
    """KL from the prior of each latent dimension: a dimension near 0 carries nothing."""
    plot = Plot("KL per latent dimension", "dimension of z", "KL [nats]")
    return plot.bars(np.arange(len(kl) + 1) - 0.5, kl)


def decay(ages: Sequence[AgedDreams]) -> Plot:
    """Facts by dream age, each ÷ the record's: a dream must not freeze, explode or drift."""
    plot = Plot("Facts by dream age", "dream age [bars]", "÷ record", log_x=True, log_y=True)
    x = [float(np.sqrt(max(age.from_bar, 6) * age.to_bar)) for age in ages]
    facts = [age.distances for age in ages]
    for ratios, name, color in (
        ([each.sigma_ratio for each in facts], "σ", "c0"),
        ([each.kurtosis_ratio_1 for each in facts], "excess kurtosis", "c1"),
        ([each.kurtosis_ratio_4 for each in facts], "excess kurtosis, 4 bars", "c2"),
    ):
        plot.line(x, [float("nan") if y is None else y for y in ratios], color, name)
    return plot.rule(y=1.0)


def ood_by_age(quantiles: FloatArray) -> Plot:
    """The out-of-distribution meter along long dreams: 5%, 50% and 95% of dreams at each bar."""
    plot = Plot(
        "Out-of-distribution meter by dream age",
        "dream age [bars]",
        "reading",
        y_range=(0.0, 1.02),
    )
    bars = np.arange(1, quantiles.shape[1] + 1)
    plot.band(bars, quantiles[0], quantiles[2], "c0", "5–95% of dreams")
    return plot.line(bars, quantiles[1], "c0", "median dream").rule(y=0.5)


def warmup_curve(effects: Sequence[WarmupEffect]) -> Plot:
    """How far M's state is from the one that a long warm-up gives."""
    plot = Plot("Warm-up", "warm-up [bars]", "distance to the long one", log_x=True, log_y=True)
    x = [float(effect.bars) for effect in effects]
    y = [effect.distance for effect in effects]
    return plot.line(x, y).points(x, y, size=7.0)


def rank_scatter(agreement: RankAgreement, world: str) -> Plot:
    """Random controllers by their rank in the dream and in replay."""
    plot = Plot(f"Ranks in dream and {world}", "rank in the dream", f"rank on {world}")
    x, y = rankdata(agreement.dream), rankdata(agreement.replay[world])
    return plot.points(x, y, "c0", size=6.0)
