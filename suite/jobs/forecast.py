"""The world model's forecast of the next return, bar by bar, as a table."""

from __future__ import annotations

from pathlib import Path

from worldmodel_trading.dates import refuse_outside
from worldmodel_trading.evaluation.ageing import Quarter, bar_losses, losses_by_quarter
from worldmodel_trading.evaluation.baselines.memoryless import of_each_bar
from worldmodel_trading.evaluation.baselines.scores import (
    TITLES,
    compare_with_baselines,
    fit_baselines,
)
from worldmodel_trading.evaluation.density import WORLD_MODEL
from worldmodel_trading.evaluation.fidelity.subject import find_ranges
from worldmodel_trading.evaluation.report.ageing_table import ageing_text
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, TrainingBarsError
from worldmodel_trading.market.features import candles_for
from worldmodel_trading.market.files.writer import refuse_unwritable, whole_file
from worldmodel_trading.market.times import Time, format_time
from worldmodel_trading.models.forecast import ReturnForecast
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.models.world_model import WorldModel
from worldmodel_trading.progress import tell

_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_SHOWN = 24  # newest bars printed


def forecast(
    world_model: str,
    candles: str | None,
    start: Time | None,
    end: Time | None,
    out: str | None,
    baselines: bool = False,
) -> None:
    """Print the newest forecasts, and save all of them.

    Args:
        world_model: Folder, or ``default``.
        candles: The record; None is the embedded market.
        start: Forecasts made at bars that open then or later; bars before serve as history.
        end: Forecasts made at bars that open before.
        out: A ``.csv`` or ``.parquet`` file; None saves nothing.
        baselines: Also score the forecasts beside those of the baselines, fitted on the bars that
            the world model was trained on: as a whole, and by quarter, saved beside the forecasts
            under the same name and ``-quarters``.
    """
    import pandas as pd

    if out is not None:
        _refuse_unwritable(Path(out))
    model = open_world_model(world_model)
    record = candles_for(model.config.features, candles)
    refuse_outside(record, {"start": start, "end": end})
    first, last = record.row_range(start, end)
    made = model.return_forecast(record.rows(0, last))
    predicted = made.rows(first, last)
    columns = {
        "open_time_ms": predicted.open_time_ms,
        "mean": predicted.mean,
        "volatility": predicted.volatility,
        **{f"p{p}": predicted.quantile(p / 100) for p in _PERCENTILES},
    }
    table = pd.DataFrame(columns)[predicted.valid]
    if table.empty:
        raise ConfigError("no bar of the range has enough history before it to be forecast from")
    for bar in table.tail(_SHOWN).to_dict("records"):
        tell(
            f"{format_time(int(bar['open_time_ms']))}  next bar: σ {bar['volatility']:.3f}%  "
            f"90% between {bar['p5']:+.3f}% and {bar['p95']:+.3f}%  mean {bar['mean']:+.4f}%"
        )
    quarters = _tell_scores(model, record, made, (first, last)) if baselines else ()
    if out is not None:
        _save(table, Path(out))
        tell(f"{len(table)} forecasts: {out}")
    if out is not None and quarters:
        path = Path(out)
        by_quarter = path.with_name(f"{path.stem}-quarters{path.suffix}")
        _save(pd.DataFrame(_row(quarter) for quarter in quarters), by_quarter)
        tell(f"{len(quarters)} quarters: {by_quarter}")


def _tell_scores(
    model: WorldModel, record: Candles, forecasts: ReturnForecast, rows: tuple[int, int]
) -> tuple[Quarter, ...]:
    """Mean likelihood loss of the bars after those rows, by forecaster; returns it by quarter.

    Raises:
        TrainingBarsError: The candles hold nothing of the training range, or nothing after it.
    """
    known = record.rows(0, rows[1])
    ranges = find_ranges(model, known)
    scored = (max(rows[0] + 1, ranges.train[1]), rows[1])
    if scored[0] >= scored[1]:
        raise TrainingBarsError(
            "the bars that are forecast were trained on: a score on them proves nothing; give later ones"
        )
    fitted = fit_baselines(known, ranges.train, settings=model.config)
    ours, returns = of_each_bar(forecasts), 100 * known.log_returns()
    scores = compare_with_baselines(ours, fitted, returns, {"later": scored})
    tell(
        "\nMean negative log-likelihood of bars after training, nats; world model minus each, 95%:"
    )
    for name, each in scores.items():
        if each.gap:
            gap = each.gap["later"]
            tell(
                f"  {TITLES[name]:<30} {each.return_nll['later']:.4f}  "
                f"{gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})"
            )
        if each.note:
            tell(f"  {TITLES[name]}: {each.note}")
    cut = {
        name: (max(scored[0], first), min(scored[1], last))
        for name, (first, last) in ranges.held_out.items()
        if max(scored[0], first) < min(scored[1], last)
    }
    losses = bar_losses({WORLD_MODEL: ours, **fitted.forecasts}, returns)
    quarters = losses_by_quarter(losses, known.open_time_ms, cut)
    tell("\nBy calendar quarter, with half the width of a 95% interval:\n" + ageing_text(quarters))
    return quarters


def _row(quarter: Quarter) -> dict[str, object]:
    """A quarter as a row of a table."""
    row: dict[str, object] = {"quarter": quarter.name, "range": quarter.range, "bars": quarter.bars}
    row |= {f"nll_{name}": value for name, value in quarter.nll.items()}
    for name, gap in quarter.gap.items():
        row |= {
            f"minus_{name}": gap.value,
            f"minus_{name}_low": gap.low,
            f"minus_{name}_high": gap.high,
        }
    return row


def _refuse_unwritable(path: Path) -> None:
    if path.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"--save is {str(path)!r}; expected a .csv or .parquet file")
    if path.is_dir():
        raise ConfigError(f"--save is {str(path)!r}, a folder; expected a file")
    refuse_unwritable(path.parent)


def _save(table: object, path: Path) -> None:
    import pandas as pd

    assert isinstance(table, pd.DataFrame)
    with whole_file(path) as temporary:
        if path.suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary, index=False)
