"""The pictures of a run's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...market.arrays import FloatArray
from ..rollout import Curve
from .curves import FAN, Curves, fan
from .plot import Plot
from .track import daily_returns, drawdowns, rolling_sharpe, same_as

History = Mapping[str, Sequence[Mapping[str, float]]]
"""``{"vae" | "mdn_rnn" | … | "controller": one mapping of numbers per epoch or generation}``."""

HOLDING = "buy_and_hold"
_STEP_NAMES = ("epoch", "generation", "step")
_CURVES_OF_STAGE = {
    **dict.fromkeys(("forecast", "vae", "mdn_rnn", "heads"), ("train_loss", "validation_loss")),
    "controller": ("best", "mean", "validation"),
}
_WIDE = 5.0  # a range of equity that a logarithmic axis shows better
_WINDOWS = 16  # of what happened, in a fan


def name_of(policy: str) -> str:
    """A policy's name as people read it."""
    return {HOLDING: "holding", "flat": "staying out"}.get(policy, policy.replace("_", " "))


def hues(curves: Curves, policy: str) -> dict[str, str]:
    """A colour for each policy: the first for the one that the page is about, then holding's."""
    others = [name for name in curves if name not in (policy, HOLDING)]
    ordered = [policy, HOLDING, "flat", *(name for name in others if name != "flat")]
    found = {policy: "c0", HOLDING: "c1", "flat": "c5"}
    rest = iter(("c2", "c3", "c4", "c5"))
    return {name: found.get(name) or next(rest, "c5") for name in dict.fromkeys(ordered)}


def equity(curves: Curves, venue: str, policy: str) -> Plot:
    """What every policy made on one recorded range, in percent; 100 and on, where it spans much."""
    lines = _lines(curves, venue, policy)
    values = np.concatenate([line.equity for line in lines.values()])
    positive = values[values > 0]
    wide = bool(positive.max() > _WIDE * positive.min())
    label = "what 100 became" if wide else "return"
    plot = Plot(
        f"Equity on the {venue} range", "", label, log_y=wide, percent_y=not wide, height=380
    )
    shown, colors = _shown(lines, policy), hues(curves, policy)

    def scale(values: FloatArray) -> FloatArray:
        return 100 * values if wide else values - 1

    for name, line in shown.items():
        x, plot.time_x = clock(line)
        if line.lowest is not None and line.highest is not None:
            legend = f"{name_of(name)}, range over searches"
            plot.band(x, scale(line.lowest), scale(line.highest), colors[name], legend)
        plot.line(x, scale(line.equity), colors[name], _legend(name, lines, policy))
    for name in (HOLDING, policy):
        if name in shown:
            x, _ = clock(shown[name])
            text = _legend(name, lines, policy)
            plot.tag(x, scale(shown[name].equity), text, colors[name])
    return plot.rule(y=100.0 if wide else 0.0)


def drawdown(curves: Curves, venue: str, policy: str) -> Plot:
    """How far below its peak the account was, beside holding."""
    plot = Plot(f"Drawdown on the {venue} range", "", "below the peak", percent_y=True, height=240)
    lines = _lines(curves, venue, policy)
    colors = hues(curves, policy)
    for name, line in _shown(lines, policy).items():
        if name in (HOLDING, policy):
            x, plot.time_x = clock(line)
            draw = plot.area if name == policy else plot.line
            draw(x, -drawdowns(line.equity), colors[name], _legend(name, lines, policy))
    return plot


def price_and_weight(curve: Curve, venue: str) -> Plot:
    """The price, behind it what was held: green is long, red short, pale is little."""
    assert curve.price is not None
    assert curve.weight is not None
    x, timed = clock(curve)
    wide = bool(curve.price.max() > _WIDE * curve.price.min())
    plot = Plot(f"Price and position on the {venue} range", "", "price", log_y=wide, time_x=timed)
    plot.shade(x, curve.weight, "weight")
    return plot.line(x, curve.price, "ink", "price")


def weight(curve: Curve, venue: str) -> Plot:
    """The share of equity that was held long (above 0) or short."""
    assert curve.weight is not None
    x, timed = clock(curve)
    label = f"Position on the {venue} range"
    plot = Plot(label, "", "position ÷ equity", time_x=timed, percent_y=True, height=240)
    bound = max(1.05, float(np.abs(curve.weight).max(initial=0.0)) * 1.05)
    plot.y_range = (-bound, bound)
    return plot.line(x, curve.weight, "c0", "position").rule(y=0.0)


def sharpe_over_time(curves: Curves, venue: str, policy: str) -> Plot:
    """The Sharpe ratio over the days before each day, beside holding's."""
    lines = _shown(_lines(curves, venue, policy), policy)
    plot = Plot(f"Rolling Sharpe ratio on {venue}", "", "Sharpe ratio", time_x=True, height=260)
    colors = hues(curves, policy)
    for name in (HOLDING, policy):
        if name in lines and lines[name].time_ms is not None:
            times, ratios, days = rolling_sharpe(lines[name])
            plot.line(times, ratios, colors[name], name_of(name))
            plot.y_label = f"Sharpe ratio, {days} days"
    return plot.rule(y=0.0)


def daily_distribution(curves: Curves, venue: str, policy: str) -> Plot:
    """How often which return of a day came, beside holding."""
    lines = _shown(_lines(curves, venue, policy), policy)
    plot = Plot(
        f"Returns of a day on {venue}", "return of a day", "share of days", percent_x=True,
        percent_y=True, height=280,
    )  # fmt: skip
    found = {name: daily_returns(lines[name]) for name in (HOLDING, policy) if name in lines}
    edge = max(float(np.quantile(np.abs(values), 0.99)) for values in found.values()) or 0.01
    edges = np.linspace(-edge, edge, 42)
    colors = hues(curves, policy)
    for name, values in found.items():
        counts, _ = np.histogram(np.clip(values, -edge, edge), bins=edges)
        plot.bars(edges, counts / max(len(values), 1), colors[name], name_of(name))
    return plot


def dream_fan(curves: Curves, policy: str) -> Plot:
    """What the policy made in dreams, and in as long stretches of what happened."""
    quantiles = dict(zip(FAN, fan(curves[policy]["dream"]) - 1, strict=True))
    bars = np.arange(len(quantiles["equity"]))
    plot = Plot("Dreams and what happened", "bars since the start", "return", percent_y=True)
    plot.band(bars, quantiles["q05"], quantiles["q95"], "c0", "9 of 10 dreams")
    plot.band(bars, quantiles["q25"], quantiles["q75"], "c0", "half of the dreams")
    stretches = _stretches(curves[policy], len(bars))
    for made in stretches:
        plot.line(bars, made, "c1", "stretches of what happened", "thin")
    if len(stretches) > 2:
        plot.line(bars, np.median(stretches, axis=0), "c1", "what happened, median", "dashed")
    plot.line(bars, quantiles["equity"], "c0", "median dream")
    return plot.rule(y=0.0)


def training(history: History, stage: str) -> Plot:
    """Losses per epoch, or fitness per generation, of one stage."""
    entries = history[stage]
    step = next((name for name in _STEP_NAMES if entries and name in entries[0]), None)
    x = [float(entry[step]) for entry in entries] if step else list(range(len(entries)))
    y_label = "score" if stage == "controller" else "loss [nats]"
    plot = Plot(f"Training of {stage}", step or "step", y_label, whole_x=True, height=260)
    for i, name in enumerate(_CURVES_OF_STAGE.get(stage, ("loss",))):
        y = np.array([np.nan if e.get(name) is None else float(e[name]) for e in entries])
        if not np.isnan(y).all():
            known = ~np.isnan(y)
            plot.line(np.array(x)[known], y[known], f"c{i}", name.replace("_", " "))
    return plot


def clock(line: Curve) -> tuple[FloatArray, bool]:
    """The horizontal positions of a curve, and whether they are times."""
    if line.time_ms is not None:
        return line.time_ms.astype(np.float64), True
    return np.arange(len(line.equity), dtype=np.float64), False


def _lines(curves: Curves, venue: str, policy: str) -> dict[str, Curve]:
    """The curves on one range, the page's policy last, over the others."""
    names = [name for name in curves if name != policy] + [policy]
    return {name: curves[name][venue] for name in names if venue in curves.get(name, {})}


def _shown(lines: Mapping[str, Curve], policy: str) -> dict[str, Curve]:
    """Without holding, where the policy did the same all along."""
    same = is_holding(lines, policy)
    return {name: line for name, line in lines.items() if not (same and name == HOLDING)}


def is_holding(lines: Mapping[str, Curve], policy: str) -> bool:
    """Whether the policy's curve is that of holding."""
    both = policy != HOLDING and HOLDING in lines and policy in lines
    return both and same_as(lines[policy], lines[HOLDING])


def _legend(name: str, lines: Mapping[str, Curve], policy: str) -> str:
    same = name == policy and is_holding(lines, policy)
    return f"{name_of(name)}: same as holding" if same else name_of(name)


def _stretches(by_venue: Mapping[str, Curve], length: int) -> list[FloatArray]:
    """Returns over consecutive stretches as long as a dream, of the last recorded range."""
    venue = next((name for name in ("test", "validation") if name in by_venue), None)
    if venue is None:
        return []
    made = by_venue[venue].equity
    starts = np.arange(0, len(made) - length + 1, length)
    starts = starts[:: max(1, -(-len(starts) // _WINDOWS))]
    return [made[i : i + length] / max(float(made[i]), 1e-12) - 1 for i in starts]
