"""The fidelity page on forecasts: of the next bar, of many, and from where they start."""

from __future__ import annotations

from collections.abc import Mapping

from ..density import WORLD_MODEL, DensityScores
from ..horizons import HorizonScores
from ..report.components import (
    chart,
    section,
    table,
)
from .figures import (
    pit_histogram,
    title_of,
)
from .forecasts import Forecasts
from .outlooks import Outlooks
from .page_cells import judged, notes
from .starts import Response, Starts


def forecast_sections(forecasts: Forecasts) -> list[str]:
    """The next return beside the baselines."""
    by_range = forecasts.by_range
    first = next(iter(by_range.values()))
    measures = ("NLL [nats]", "world model minus this", "confidence set", "CRPS [%]")
    header = ["", *(f"{measure}, {label}" for label in by_range for measure in measures)]
    rows = [
        [
            title_of(name),
            *(cell for scores in by_range.values() for cell in _forecast_cells(scores, name)),
        ]
        for name in first.nll
    ]
    return [
        section(
            "Forecasting the next return",
            table(header, [rows], text_columns=1),
            "Differences have 95% intervals that allow for losses which cluster as volatility does "
            "(Diebold–Mariano, 168 lags). The confidence set holds the best forecast 9 times in 10: "
            "those whose p-value is at least 0.1.",
            *notes(first.notes),
            _slopes_html(by_range),
            *(
                chart(
                    pit_histogram(scores.calibration),
                    f"Where outcomes fell in their forecasts, {label} ({scores.bars:,} bars).",
                )
                for label, scores in by_range.items()
            ),
        )
    ]


def _forecast_cells(scores: DensityScores, name: str) -> list[str]:
    gap = scores.nll_minus.get(name)
    return [
        f"{scores.nll[name]:.4f}",
        "" if gap is None else f"{gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})",
        f"p = {scores.confidence_set[name]:.2f}",
        f"{scores.crps[name]:.4f}",
    ]


STARTS_NOTE = (
    "From recorded bars of the last range, 24 bars are dreamed and compared with those that came. Rank "
    "correlations over starts; persistence is the 24 bars before. The response is the log ratio of what is dreamed "
    "after the loudest and after the quietest fifth of starts ÷ the record's: 0 forgets the start."
)


def starts_html(starts: Starts) -> str:
    """Whether dreams follow their start, as a table."""
    groups = [
        _response_rows(name, response)
        for name, response in (("volatility", starts.volatility), ("volume", starts.volume))
        if response is not None
    ]
    header = ["", "forecast by", "rank correlation", "world model minus this", "response"]
    return table(header, groups, text_columns=2)


def _response_rows(name: str, response: Response) -> list[list[str]]:
    rows = [
        [
            f"{name}, {response.starts} starts",
            title_of(by),
            judged(found),
            judged(response.minus[by]) if by in response.minus else "",
            judged(response.spread) if by == WORLD_MODEL else "",
        ]
        for by, found in response.correlation.items()
    ]
    floor = f"{response.shuffled.low:.3f} to {response.shuffled.high:.3f}"
    return [*rows, [name, "starts shuffled", floor, "", ""]]


OUTLOOKS_NOTE = (
    "By simulated paths from recorded bars of the last range, whose outcomes do not overlap: CRPS of the "
    "summed return and of the realised volatility, QLIKE of the realised variance with its difference "
    "from HAR's; share of outcomes in the 90% interval, and below the 1% and 5% quantiles with the "
    "p-values of Kupiec and Christoffersen."
)


def outlooks_html(outlooks: Outlooks) -> str:
    """Forecasts of days and weeks, as a table."""
    header = [
        "",
        "bars",
        "CRPS, return [%]",
        "CRPS, volatility [%]",
        "QLIKE",
        "QLIKE minus HAR's",
        "in 90%",
        "below 1%",
        "below 5%",
    ]
    groups = [
        [_outlook_cells(name, horizon, scores) for name, scores in found.items()]
        for horizon, found in outlooks.by_horizon.items()
    ]
    return table(header, groups, text_columns=1)


def _outlook_cells(name: str, horizon: int, scores: HorizonScores) -> list[str]:
    gap = scores.minus["qlike"]
    return [
        title_of(name),
        str(horizon),
        f"{scores.crps_return:.4f}",
        f"{scores.crps_volatility:.4f}",
        f"{scores.qlike:.4f}",
        f"{gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})",
        f"{scores.covered:.3f}",
        *(
            f"{test.share:.3f} (p = {test.kupiec_p:.2f}, {test.christoffersen_p:.2f})"
            for test in scores.var
        ),
    ]


def _slopes_html(by_range: Mapping[str, DensityScores]) -> str:
    """Whether the market pays what the mean forecast promises."""
    rows = []
    for label, scores in by_range.items():
        slope = scores.mean_slope
        rows.append([label, f"{slope.value:.2f}", f"{slope.low:.2f} to {slope.high:.2f}"])
    title = "slope of returns on the mean forecast: 1 is paid in full, 0 not at all"
    return table([title, "measured", "95% interval"], [rows], text_columns=1)
