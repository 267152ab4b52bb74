"""Candles and funding rates in files and frames, in and out.

What is accepted, what is refused and what is only flagged is the table of docs/candles.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..candles import Candles
from ..errors import CandleError
from .reader import guess_symbol, read_candles, read_funding
from .writer import whole_file

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["guess_symbol", "read_candles", "read_funding", "to_frame", "write_candles"]

_PRICES = ("open", "high", "low", "close")


def to_frame(candles: Candles) -> pd.DataFrame:
    """A DataFrame indexed by open time (UTC); ``attrs`` keep symbol and interval."""
    import pandas as pd

    index = pd.DatetimeIndex(candles.open_time_ms.astype("datetime64[ms]"), tz="UTC", name="time")
    names = (*_PRICES, "volume", "turnover")
    frame = pd.DataFrame(
        {**{name: getattr(candles, name) for name in names}, **candles.columns}, index=index
    )
    frame.attrs = {"symbol": candles.symbol, "interval": candles.interval}
    return frame


def write_candles(candles: Candles, path: str | os.PathLike[str]) -> None:
    """Write candles so that `read_candles` gives every number back bit for bit.

    Their `columns` are written behind the others; `read_candles` gives back those it is asked for.

    The file appears whole or not at all. Parquet also keeps symbol and interval; of a CSV they
    are read from its name and its spacing.

    Args:
        candles: What to write.
        path: Ends in ``.csv``, ``.csv.gz`` or ``.parquet``; an existing file is replaced.

    Raises:
        CandleError: Another ending.
        OutputError: It cannot be written.
    """
    target = Path(path)
    write = _writer(target)
    with whole_file(target) as temporary:
        write(candle_table([candles]), str(temporary))


def candle_table(records: Sequence[Candles]) -> pa.Table:
    """Records of one symbol one after the other, as a table that says symbol and interval of itself.

    With the columns of the first, which the others have too.
    """
    import numpy as np
    import pyarrow as pa

    names = ("open_time_ms", *_PRICES, "volume", "turnover")
    columns = [np.concatenate([getattr(one, name) for one in records]) for name in names]
    more = tuple(records[0].columns)
    columns += [
        pa.array(np.concatenate([one.columns[name] for one in records]), from_pandas=True)
        for name in more
    ]
    table = pa.table(columns, names=["timestamp", *names[1:], *more])
    said = {"symbol": records[0].symbol, "interval": records[0].interval}
    return table.replace_schema_metadata(said)


def _writer(path: Path) -> Callable[[pa.Table, str], None]:
    name = path.name.lower()
    if name.endswith(".parquet"):
        return _write_parquet
    if name.endswith((".csv", ".csv.gz")):
        return _write_gzip_csv if name.endswith(".gz") else _write_csv
    raise CandleError(f"{path.name}: expected a name ending in .csv, .csv.gz or .parquet")


def _write_parquet(table: pa.Table, path: str) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd")


def _write_csv(table: pa.Table, path: str) -> None:
    import pyarrow as pa

    with pa.OSFile(path, "wb") as stream:
        _write_csv_to(table, stream)


def _write_gzip_csv(table: pa.Table, path: str) -> None:
    import pyarrow as pa

    with pa.CompressedOutputStream(path, "gzip") as stream:
        _write_csv_to(table, stream)


def _write_csv_to(table: pa.Table, stream: Any) -> None:
    import pyarrow.csv as pacsv

    stream.write((",".join(table.column_names) + "\n").encode())
    pacsv.write_csv(table, stream, pacsv.WriteOptions(include_header=False))
