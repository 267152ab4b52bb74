"""The pictures of the fidelity page: what a person would look at to see whether a dream is a market."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

from ...market.arrays import FloatArray
from ..baselines.scores import GJR_GARCH_CLOCK, HAR_T, TITLES
from ..comparison.rank_agreement import RankAgreement
from ..density import WORLD_MODEL, Calibration
from ..report.chart import Chart
from .dream_age import AgedDreams
from .generators import BLOCKS, ONE_BY_ONE
from .pictures import RECORD, LatentMap
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


def sample_paths(paths: Mapping[str, FloatArray]) -> Chart:
    """Dreamed price paths under as many recorded ones, from a common start."""
    chart = Chart("Sample dreams and recorded paths", "bars", "price ÷ start")
    for name, style in ((RECORD, "thin"), (WORLD_MODEL, "thin")):
        for i, returns in enumerate(paths[name]):
            price = np.exp(np.concatenate([[0.0], np.cumsum(returns)]))
            legend = title_of(name) if i == 0 else ""
            chart.line(np.arange(len(price)), price, _COLORS[name], legend, style)
    return chart.rule(y=1.0)


def return_histogram(returns: Mapping[str, FloatArray]) -> Chart:
    """Densities of a bar's return on a logarithmic scale, in the record's standard deviations."""
    chart = Chart("Histogram of returns", "return ÷ σ of the record", "density", log_y=True)
    sigma = float(returns[RECORD].std()) or 1.0
    edges = np.linspace(-12, 12, 97)
    middles = 0.5 * (edges[1:] + edges[:-1])
    for name in (RECORD, WORLD_MODEL, GJR_GARCH_CLOCK):
        counts, _ = np.histogram(returns[name] / sigma, bins=edges)
        density = counts / counts.sum() / (edges[1] - edges[0])
        seen = counts > 0
        chart.line(middles[seen], density[seen], _COLORS[name], title_of(name))
    return chart


def quantile_plot(returns: Mapping[str, FloatArray]) -> Chart:
    """Quantiles of dreamed returns against those of the record; the line is equality."""
    tail = np.logspace(-3.7, np.log10(0.5), 60)
    levels = np.concatenate([tail, 1 - tail[::-1]])
    real = 100 * np.quantile(returns[RECORD], levels)
    ends = np.array([real.min(), real.max()])
    chart = Chart("Quantiles of dream and record", "record [%]", "dream [%]")
    chart.line(ends, ends, "muted", "equal", "dashed")
    for name in (WORLD_MODEL, GJR_GARCH_CLOCK):
        dreamed = 100 * np.quantile(returns[name], levels)
        chart.points(
            real, np.clip(dreamed, 2 * ends[0], 2 * ends[1]), _COLORS[name], title_of(name)
        )
    return chart


def absolute_autocorrelation(acf: Mapping[str, FloatArray]) -> Chart:
    """Autocorrelation of absolute returns, which a market forgets slowly."""
    chart = Chart("Autocorrelation of absolute returns", "lag [bars]", "autocorrelation of |r|")
    for name in (RECORD, WORLD_MODEL, GJR_GARCH_CLOCK, ONE_BY_ONE):
        if name in acf:
            chart.line(np.arange(1, ACF_LAGS + 1), acf[name], _COLORS[name], title_of(name))
    return chart.rule(y=0.0)


def cone(cones: Mapping[str, FloatArray], horizons: Sequence[int]) -> Chart:
    """The volatility that is realised over windows of each length: 5%, 50% and 95% quantiles."""
    chart = Chart("Volatility cone", "window [bars]", "volatility per bar [%]", log_x=True)
    for name in (RECORD, WORLD_MODEL):
        quantiles = 100 * cones[name]
        x = np.array(horizons[: len(quantiles)])
        chart.band(x, quantiles[:, 0], quantiles[:, 2], _COLORS[name], f"{title_of(name)}, 5–95%")
        chart.line(x, quantiles[:, 1], _COLORS[name], f"{title_of(name)}, median")
    return chart


def pit_histogram(shape: Calibration) -> Chart:
    """Where outcomes fell in their forecasts; a calibrated forecast is level at 1."""
    heights = shape.pit_histogram
    edges = np.linspace(0, 1, len(heights) + 1)
    chart = Chart("PIT histogram", "forecast probability of no more", "share ÷ expected")
    return chart.bars(edges, heights).rule(y=1.0)


def latent_map(latents: LatentMap) -> Chart:
    """Recorded latents along their two principal directions, calm to wild."""
    x, y = latents.position.T
    shades = (rankdata(latents.volatility) - 1) / max(len(x) - 1, 1)
    chart = Chart("Latent space", "first principal direction of z", "second")
    return chart.points(x, y, "c0", radius=1.6, shades=shades)


def kl_bars(kl: Sequence[float]) -> Chart:
    """KL from the prior of each latent dimension: a dimension near 0 carries nothing."""
    chart = Chart("KL per latent dimension", "dimension of z", "KL [nats]")
    return chart.bars(np.arange(len(kl) + 1) - 0.5, kl)


def decay(ages: Sequence[AgedDreams]) -> Chart:
    """Facts by dream age, each ÷ the record's: a dream must not freeze, explode or drift."""
    chart = Chart("Facts by dream age", "dream age [bars]", "÷ record", log_x=True, log_y=True)
    x = [float(np.sqrt(max(age.from_bar, 6) * age.to_bar)) for age in ages]
    facts = [age.distances for age in ages]
    for ratios, name, color in (
        ([each.sigma_ratio for each in facts], "σ", "c0"),
        ([each.kurtosis_ratio_1 for each in facts], "excess kurtosis", "c1"),
        ([each.kurtosis_ratio_4 for each in facts], "excess kurtosis, 4 bars", "c2"),
    ):
        chart.line(x, [float("nan") if y is None else y for y in ratios], color, name)
    return chart.rule(y=1.0)


def ood_by_age(quantiles: FloatArray) -> Chart:
    """The out-of-distribution meter along long dreams: 5%, 50% and 95% of dreams at each bar."""
    chart = Chart(
        "Out-of-distribution meter by dream age",
        "dream age [bars]",
        "reading",
        y_range=(0.0, 1.02),
    )
    bars = np.arange(1, quantiles.shape[1] + 1)
    chart.band(bars, quantiles[0], quantiles[2], "c0", "5–95% of dreams")
    return chart.line(bars, quantiles[1], "c0", "median dream").rule(y=0.5)


def warmup_curve(effects: Sequence[WarmupEffect]) -> Chart:
    """How far M's state is from the one that a long warm-up gives."""
    chart = Chart("Warm-up", "warm-up [bars]", "distance to the long one", log_x=True, log_y=True)
    x = [float(effect.bars) for effect in effects]
    y = [effect.distance for effect in effects]
    return chart.line(x, y).points(x, y, radius=3.5)


def rank_scatter(agreement: RankAgreement, world: str) -> Chart:
    """Random controllers by their rank in the dream and in replay."""
    chart = Chart(f"Ranks in dream and {world}", "rank in the dream", f"rank on {world}")
    x, y = rankdata(agreement.dream), rankdata(agreement.replay[world])
    return chart.points(x, y, "c0", radius=3.0)
