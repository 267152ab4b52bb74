"""Where candles come from, by one name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .candles import Candles, Time
from .errors import CandleError

if TYPE_CHECKING:
    import pandas as pd

EMBEDDED = "synthetic"


def open_candles(
    source: Candles | pd.DataFrame | str | os.PathLike[str] | None = None,
    symbol: str | None = None,
    interval: str | None = None,
    start: Time | None = None,
    end: Time | None = None,
) -> Candles:
    """Candles from wherever they are.

    Args:
        source: Candles as they are; a DataFrame; the path of a CSV or Parquet file;
            ``"bybit:BTCUSDT:60"``, candles that ``worldmodel-trading fetch`` has stored (the
            network is not touched); ``"synthetic"`` or None, the embedded market.
        symbol: Names the instrument of a file or frame that does not name it itself.
        interval: Bybit's code; inferred from a file's or frame's spacing when None.
        start: Keep the bars that open then or later.
        end: Keep the bars that open before.
    """
    candles = _open(source, symbol, interval)
    return candles if start is None and end is None else candles.between(start, end)


def _open(
    source: Candles | pd.DataFrame | str | os.PathLike[str] | None,
    symbol: str | None,
    interval: str | None,
) -> Candles:
    if isinstance(source, Candles):
        return source
    if source is None or source == EMBEDDED:
        from .synthetic import synthetic_candles

        return synthetic_candles()
    if isinstance(source, str) and source.startswith("bybit:"):
        from .store import open_stored

        return open_stored(source)
    from .files import read_candles

    if isinstance(source, str) and not os.path.exists(source):
        raise CandleError(
            f"there is no file {source!r}; expected the path of a CSV or Parquet file, "
            f"'bybit:SYMBOL:INTERVAL', or {EMBEDDED!r}"
        )
    return read_candles(source, symbol=symbol, interval=interval)
