"""All baselines fitted at once, and what they score beside a world model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...market.arrays import FloatArray
from ...market.candles import Candles
from ...market.errors import ConfigError
from ...models.presets import AnyConfig
from ..loss_tests import LossDifference, diebold_mariano
from .garch import GarchModel
from .har import HAR
from .memoryless import Memoryless, MemorylessConfig
from .student_t import Forecast, finite_scores, scored_rows

GJR_GARCH, GJR_GARCH_CLOCK = "gjr_garch_t", "gjr_garch_t_clock"
HAR_T, MEMORYLESS = "har_t", "memoryless"
TITLES = {
    GJR_GARCH: "GJR-GARCH-t",
    GJR_GARCH_CLOCK: "GJR-GARCH-t × hour × weekend",
    HAR_T: "HAR-t, ranges and clock",
    MEMORYLESS: "memoryless network",
}
"""Names of the baselines as people read them."""


@dataclass(frozen=True)
class Baselines:
    """Forecasts of every bar's return, and what there is to say of their fits.

    Attributes:
        forecasts: By name; row t of each is the density of bar t's return.
        notes: By name, where a fit did not converge or could not be made.
    """

    forecasts: Mapping[str, Forecast]
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BaselineScores:
    """How one baseline forecasts the next return.

    Attributes:
        return_nll: Mean negative log-likelihood [nats] by range.
        gap: The world model's likelihood loss minus this one's [nats] by range: negative where the
            world model is better. Bars that both forecast.
        note: What there is to say about its fit; empty where it converged.
    """

    return_nll: Mapping[str, float]
    gap: Mapping[str, LossDifference] = field(default_factory=dict)
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold; the note where there is one."""
        scores: dict[str, Any] = {
            "return_nll": dict(self.return_nll),
            "world_model_minus_this": {name: gap.to_dict() for name, gap in self.gap.items()},
        }
        return scores | ({"note": self.note} if self.note else {})


def fit_baselines(
    candles: Candles,
    train_rows: tuple[int, int],
    *,
    seed: int = 0,
    settings: AnyConfig | None = None,
    first: int = 0,
) -> Baselines:
    """Fit every baseline on the training rows and forecast every bar from a row on.

    One that cannot be fitted, for want of bars, is left out and noted.

    Args:
        candles: All bars.
        train_rows: Rows to fit on.
        seed: Of the network.
        settings: Of the world model that they stand beside: the network without memory is as wide.
        first: The row of the first forecast that is wanted.

    Raises:
        ConfigError: There are fewer than 100 returns to fit on, or they do not vary.
    """
    config = MemorylessConfig.beside(settings, seed)

    def later(model: GarchModel | HAR) -> Forecast:
        return copy.deepcopy(model.forecast(candles)[first, len(candles)])

    makers: dict[str, Callable[[], Forecast]] = {
        GJR_GARCH: lambda: later(GarchModel.fit(candles, train_rows, clock=False)),
        GJR_GARCH_CLOCK: lambda: later(GarchModel.fit(candles, train_rows)),
        HAR_T: lambda: later(HAR.fit(candles, train_rows)),
        MEMORYLESS: lambda: Memoryless.fit(candles, train_rows, config).forecast(candles, first),
    }
    forecasts, notes = {}, {}
    for name, make in makers.items():
        try:
            forecasts[name] = make()
        except ConfigError as error:
            if name != MEMORYLESS:
                raise
            notes[name] = f"left out: {error}"
            continue
        note = getattr(forecasts[name], "note", "")
        if note:
            notes[name] = note
    return Baselines(forecasts, notes)


def compare_with_baselines(
    world_model: Forecast,
    baselines: Baselines,
    returns: FloatArray,
    ranges: Mapping[str, tuple[int, int]],
) -> dict[str, BaselineScores]:
    """Score every baseline on the bars that all of them and the world model forecast.

    Args:
        world_model: Row t is its density of bar t's return, see `of_each_bar`.
        baselines: Fitted.
        returns: Log returns [T], percent; NaN where missing.
        ranges: Rows to score, by name.

    Raises:
        ConfigError: A range has no bar that all forecast, or a density fails on one.
    """
    nll: dict[str, dict[str, float]] = {name: {} for name in baselines.forecasts}
    gaps: dict[str, dict[str, LossDifference]] = {name: {} for name in baselines.forecasts}
    for label, rows in ranges.items():
        losses = range_losses({"world_model": world_model, **baselines.forecasts}, returns, rows)
        for name in baselines.forecasts:
            nll[name][label] = float(losses[name].mean())
            gaps[name][label] = diebold_mariano(losses["world_model"], losses[name])
    return {
        name: BaselineScores(nll.get(name, {}), gaps.get(name, {}), baselines.notes.get(name, ""))
        for name in {**baselines.forecasts, **baselines.notes}
    }


def range_losses(
    forecasts: Mapping[str, Forecast], returns: FloatArray, rows: tuple[int, int]
) -> dict[str, FloatArray]:
    """Negative log-likelihoods [n] by forecast of the rows' bars that all forecast, nats.

    Raises:
        ConfigError: There is no such bar, or a density fails on one.
    """
    cut = {name: forecast.rows(*rows) for name, forecast in forecasts.items()}
    outcomes = returns[slice(*rows)]
    known = scored_rows(list(cut.values()), outcomes)
    if not known.any():
        raise ConfigError("no bar in the range has enough bars before it to be forecast by all")
    return {
        name: -finite_scores(forecast.log_prob(outcomes)[known], f"{name}'s log density")
        for name, forecast in cut.items()
    }
