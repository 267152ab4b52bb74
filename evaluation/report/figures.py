"""The pictures of a run's report: equity, weight and training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...market.arrays import FloatArray
from ...market.errors import ConfigError
from ..rollout import Curve
from .chart import Chart

Curves = Mapping[str, Mapping[str, Curve]]
"""By policy and venue."""
History = Mapping[str, Sequence[Mapping[str, float]]]
"""``{"vae" | "mdn_rnn" | … | "controller": one mapping of numbers per epoch or generation}``."""

_STEP_NAMES = ("epoch", "generation", "step")
_CURVES_OF_STAGE = {
    **dict.fromkeys(("forecast", "vae", "mdn_rnn", "heads"), ("train_loss", "validation_loss")),
    "controller": ("best", "mean", "validation"),
}


def dream_fan(curves: Curves, policy: str, reference: str | None = None) -> Chart:
    """Equity of many dreams as quantile bands and median, beside a reference policy's median.

    Args:
        curves: Equity curves; those of ``dream`` are [N, T + 1].
        policy: Whose fan to draw.
        reference: Whose median to add, such as ``buy_and_hold``.
    """
    equity = np.atleast_2d(curves[policy]["dream"].equity)
    bars = np.arange(equity.shape[1])
    chart = Chart(f"Equity of {policy} in {len(equity)} dreams", "bars dreamed", "equity")
    for low, high in ((5, 95), (25, 75)):
        edges = np.percentile(equity, [low, high], axis=0)
        chart.band(bars, edges[0], edges[1], "c0", f"{low}–{high}% of dreams")
    chart.line(bars, np.median(equity, axis=0), "c0", f"{_title(policy)}, median dream")
    if reference in curves and reference is not None and "dream" in curves[reference]:
        other = np.atleast_2d(curves[reference]["dream"].equity)
        median = np.median(other, axis=0)
        chart.line(np.arange(len(median)), median, "c1", f"{_title(reference)}, median dream")
    return chart.rule(y=1.0)


def replay_equity(curves: Curves, venue: str, policy: str) -> Chart:
    """Equity of every policy on one recorded range, logarithmic when it spans much.

    Args:
        curves: Equity curves.
        venue: Which range.
        policy: Whom the report is about; drawn last, over the others.
    """
    lines = {name: venues[venue] for name, venues in curves.items() if venue in venues}
    values = [line.equity for line in lines.values()]
    positive = np.concatenate([value[value > 0] for value in values]) if values else np.ones(1)
    wide = len(positive) > 0 and positive.max() > 5 * positive.min()
    chart = Chart(f"Equity on the {venue} range", "", "equity", log_y=bool(wide))
    others = [name for name in lines if name != policy]
    colors = {policy: "c0", **{name: f"c{min(i, 5)}" for i, name in enumerate(others, start=1)}}
    for name in [*others, policy]:
        if name in lines:
            line = lines[name]
            x, chart.time_x = _clock(line)
            if line.lowest is not None and line.highest is not None:
                legend = f"{_title(name)}, range over searches"
                chart.band(x, line.lowest, line.highest, colors[name], legend)
            chart.line(x, line.equity, colors[name], _title(name))
    return chart.rule(y=1.0)


def replay_weight(curves: Curves, policy: str, venue: str) -> Chart:
    """The weight one policy held over time on a recorded range.

    Raises:
        ConfigError: Nobody kept its weights.
    """
    line = curves[policy][venue]
    if line.weight is None:
        raise ConfigError(f"the weights of {policy} on {venue} were not kept")
    x, timed = _clock(line)
    chart = Chart(f"Weight of {policy} on the {venue} range", "", "weight", time_x=timed)
    bound = max(1.05, float(np.abs(line.weight).max(initial=0.0)) * 1.05)
    chart.y_range = (-bound, bound)
    return chart.line(x, line.weight, "c0").rule(y=0.0)


def training_curves(history: History, stage: str) -> Chart:
    """Losses per epoch, or fitness per generation, of one stage."""
    entries = history[stage]
    step = next((name for name in _STEP_NAMES if entries and name in entries[0]), None)
    x = [float(entry[step]) for entry in entries] if step else list(range(len(entries)))
    y_label = "fitness" if stage == "controller" else "loss [nats]"
    chart = Chart(f"Training of {stage}", step or "step", y_label)
    for i, name in enumerate(_CURVES_OF_STAGE.get(stage, ("loss",))):
        y = [float("nan") if entry.get(name) is None else float(entry[name]) for entry in entries]
        if not np.isnan(y).all():
            known = ~np.isnan(y)
            chart.line(np.array(x)[known], np.array(y)[known], f"c{i}", _title(name))
    return chart


def _clock(line: Curve) -> tuple[FloatArray, bool]:
    """The horizontal positions of a curve, and whether they are times."""
    if line.time_ms is not None:
        return line.time_ms.astype(np.float64), True
    return np.arange(len(line.equity), dtype=np.float64), False


def _title(name: str) -> str:
    return name.replace("_", " ")
