"""The pictures of the fidelity page: what a person would look at to see whether a dream is a market."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from ...market.arrays import FloatArray
from ..report.chart import Chart
from .stylised import ACF_LAGS

_TITLES = {
    "real": "record",
    "world_model": "world model",
    "garch_t": "GARCH-t",
    "gjr_garch_skew_t": "GJR-GARCH skew-t",
    "iid_bootstrap": "iid bootstrap",
    "stationary_bootstrap": "stationary bootstrap",
    "untrained_m": "untrained M",
}
_COLORS = {
    "real": "muted",
    "world_model": "c0",
    "garch_t": "c1",
    "gjr_garch_skew_t": "c4",
    "iid_bootstrap": "c2",
    "stationary_bootstrap": "c3",
    "untrained_m": "c5",
}


def title_of(name: str) -> str:
    """A generator's name as people read it."""
    return _TITLES.get(name, name.replace("_", " "))


def sample_paths(paths: Mapping[str, FloatArray]) -> Chart:
    """Dreamed price paths under as many recorded ones, from a common start."""
    chart = Chart("Sample dreams and recorded paths", "bars", "price ÷ start")
    for name, style in (("real", "thin"), ("world_model", "thin")):
        for i, returns in enumerate(paths[name]):
            price = np.exp(np.concatenate([[0.0], np.cumsum(returns)]))
            legend = title_of(name) if i == 0 else ""
            chart.line(np.arange(len(price)), price, _COLORS[name], legend, style)
    return chart.rule(y=1.0)


def return_histogram(returns: Mapping[str, FloatArray]) -> Chart:
    """Densities of a bar's return on a logarithmic scale, in the record's standard deviations."""
    chart = Chart("Histogram of returns", "return ÷ σ of the record", "density", log_y=True)
    sigma = float(returns["real"].std()) or 1.0
    edges = np.linspace(-12, 12, 97)
    middles = 0.5 * (edges[1:] + edges[:-1])
    for name in ("real", "world_model", "garch_t"):
        counts, _ = np.histogram(returns[name] / sigma, bins=edges)
        density = counts / counts.sum() / (edges[1] - edges[0])
        seen = counts > 0
        chart.line(middles[seen], density[seen], _COLORS[name], title_of(name))
    return chart


def quantile_plot(returns: Mapping[str, FloatArray]) -> Chart:
    """Quantiles of dreamed returns against those of the record; the line is equality."""
    tail = np.logspace(-3.7, np.log10(0.5), 60)
    levels = np.concatenate([tail, 1 - tail[::-1]])
    real = 100 * np.quantile(returns["real"], levels)
    ends = np.array([real.min(), real.max()])
    chart = Chart("Quantiles of dream and record", "record [%]", "dream [%]")
    chart.line(ends, ends, "muted", "equal", "dashed")
    for name in ("world_model", "garch_t"):
        dreamed = 100 * np.quantile(returns[name], levels)
        chart.points(
            real, np.clip(dreamed, 2 * ends[0], 2 * ends[1]), _COLORS[name], title_of(name)
        )
    return chart


def absolute_autocorrelation(acf: Mapping[str, FloatArray]) -> Chart:
    """Autocorrelation of absolute returns, which a market forgets slowly."""
    chart = Chart("Autocorrelation of absolute returns", "lag [bars]", "autocorrelation of |r|")
    for name in ("real", "world_model", "garch_t", "iid_bootstrap"):
        if name in acf:
            chart.line(np.arange(1, ACF_LAGS + 1), acf[name], _COLORS[name], title_of(name))
    return chart.rule(y=0.0)


def cone(cones: Mapping[str, FloatArray], horizons: Sequence[int]) -> Chart:
    """The volatility that is realised over windows of each length: 5%, 50% and 95% quantiles."""
    chart = Chart("Volatility cone", "window [bars]", "volatility per bar [%]", log_x=True)
    for name in ("real", "world_model"):
        quantiles = 100 * cones[name]
        x = np.array(horizons[: len(quantiles)])
        chart.band(x, quantiles[:, 0], quantiles[:, 2], _COLORS[name], f"{title_of(name)}, 5–95%")
        chart.line(x, quantiles[:, 1], _COLORS[name], f"{title_of(name)}, median")
    return chart


def pit_histogram(shape: Mapping[str, Any]) -> Chart:
    """Where outcomes fell in their forecasts; a calibrated forecast is level at 1."""
    heights = shape["pit_histogram"]
    edges = np.linspace(0, 1, len(heights) + 1)
    chart = Chart("PIT histogram", "forecast probability of no more", "share ÷ expected")
    return chart.bars(edges, heights).rule(y=1.0)


def latent_map(latents: FloatArray, volatility: FloatArray) -> Chart:
    """Recorded latents along their two principal directions, calm to wild."""
    shades = (rankdata(volatility) - 1) / max(len(volatility) - 1, 1)
    chart = Chart("Latent space", "first principal direction of z", "second")
    return chart.points(latents[:, 0], latents[:, 1], "c0", radius=1.6, shades=shades)


def kl_bars(kl: Sequence[float]) -> Chart:
    """KL from the prior of each latent dimension: a dimension near 0 carries nothing."""
    chart = Chart("KL per latent dimension", "dimension of z", "KL [nats]")
    return chart.bars(np.arange(len(kl) + 1) - 0.5, kl)


def decay(rows: Sequence[Mapping[str, Any]]) -> Chart:
    """Facts by dream age, each ÷ the record's: a dream must not freeze, explode or drift."""
    chart = Chart("Facts by dream age", "dream age [bars]", "÷ record", log_x=True, log_y=True)
    x = [float(np.sqrt(max(row["from_bar"], 6) * row["to_bar"])) for row in rows]
    for key, name, color in (
        ("sigma_ratio", "σ", "c0"),
        ("kurtosis_ratio_1", "excess kurtosis", "c1"),
        ("kurtosis_ratio_4", "excess kurtosis, 4 bars", "c2"),
    ):
        chart.line(x, [row.get(key, float("nan")) for row in rows], color, name)
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


def warmup_curve(effects: Sequence[Mapping[str, Any]]) -> Chart:
    """How far M's state is from the one that a long warm-up gives."""
    chart = Chart("Warm-up", "warm-up [bars]", "distance to the long one", log_x=True, log_y=True)
    x, y = ([effect[key] for effect in effects] for key in ("bars", "distance"))
    return chart.line(x, y).points(x, y, radius=3.5)


def rank_scatter(scores: Mapping[str, FloatArray], world: str) -> Chart:
    """Random controllers by their rank in the dream and in replay."""
    chart = Chart(f"Ranks in dream and {world}", "rank in the dream", f"rank on {world}")
    return chart.points(rankdata(scores["dream"]), rankdata(scores[world]), "c0", radius=3.0)
