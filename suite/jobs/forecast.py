"""The world model's forecast of the next return, bar by bar, as a table."""

from __future__ import annotations

from pathlib import Path

from worldmodel_trading.dates import refuse_outside
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.files.writer import refuse_unwritable, whole_file
from worldmodel_trading.market.sources import open_candles
from worldmodel_trading.market.times import Time, format_time
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.progress import tell

_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_SHOWN = 24  # newest bars printed


def forecast(
    world_model: str, candles: str | None, start: Time | None, end: Time | None, out: str | None
) -> None:
    """Print the newest forecasts, and save all of them.

    Args:
        world_model: Folder, or ``default``.
        candles: The record; None is the embedded market.
        start: Forecasts made at bars that open then or later; bars before serve as history.
        end: Forecasts made at bars that open before.
        out: A ``.csv`` or ``.parquet`` file; None saves nothing.
    """
    import pandas as pd

    if out is not None:
        _refuse_unwritable(Path(out))
    record = open_candles(candles)
    refuse_outside(record, {"start": start, "end": end})
    first, last = record.row_range(start, end)
    predicted = (
        open_world_model(world_model).return_forecast(record.rows(0, last)).rows(first, last)
    )
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
    if out is not None:
        _save(table, Path(out))
        tell(f"{len(table)} forecasts: {out}")


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
