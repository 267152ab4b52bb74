"""The curves that a page draws, and the table that keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...market.arrays import FloatArray
from ...market.errors import ConfigError
from ...market.files.writer import whole_file
from ..rollout import Curve

if TYPE_CHECKING:
    import pandas as pd

Curves = Mapping[str, Mapping[str, Curve]]
"""By policy and venue; of ``dream`` the equity is [N, T + 1]."""

FAN = {"q05": 0.05, "q25": 0.25, "equity": 0.5, "q75": 0.75, "q95": 0.95}
"""Columns of the table to the quantiles of dreams that they hold; the median is the equity."""
_COLUMNS = ("equity", "weight", "price", "lowest", "highest")


def fan(curve: Curve) -> FloatArray:
    """Quantiles of the equity of dreams at each bar [5, T + 1], as `FAN` names them.

    Five curves of which none crosses another are such quantiles: what was read from a table is
    drawn as it was.
    """
    lanes = np.atleast_2d(curve.equity)
    quantiles: FloatArray = np.quantile(lanes, list(FAN.values()), axis=0)
    return lanes if len(lanes) == len(FAN) and _is_fan(lanes) else quantiles


def _is_fan(lanes: FloatArray) -> bool:
    return bool((np.diff(lanes, axis=0) >= 0).all())


def write_curves(path: str | Path, curves: Curves) -> Path:
    """Write the table, whole or not at all: a row for each policy, venue and bar.

    Columns are ``policy, venue, bar, time_ms, equity, weight, price, lowest, highest``, of dreams
    the median equity beside the quantiles ``q05, q25, q75, q95``; what is not known is empty.
    """
    with whole_file(path) as temporary:
        _frame(curves).to_parquet(temporary, index=False)
    return Path(path)


def read_curves(path: str | Path) -> dict[str, dict[str, Curve]]:
    """What `write_curves` wrote; dreams as their five quantiles.

    Raises:
        ConfigError: The file is no such table.
    """
    import pandas as pd

    try:
        table = pd.read_parquet(path)
        curves: dict[str, dict[str, Curve]] = {}
        for (policy, venue), rows in table.groupby(["policy", "venue"], sort=False):
            curves.setdefault(str(policy), {})[str(venue)] = _curve(rows)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{path} is no table of curves: {error}") from None
    return curves


def _frame(curves: Curves) -> pd.DataFrame:
    import pandas as pd

    parts = [
        pd.DataFrame({"policy": policy, "venue": venue, **_columns(curve)})
        for policy, by_venue in curves.items()
        for venue, curve in by_venue.items()
    ]
    empty = pd.DataFrame({"policy": [], "venue": [], "bar": [], "time_ms": [], "equity": []})
    return pd.concat(parts, ignore_index=True) if parts else empty


def _columns(curve: Curve) -> dict[str, Any]:
    import pandas as pd

    several = curve.equity.ndim > 1
    length = curve.equity.shape[-1]
    unknown = np.full(length, np.nan)
    times = [pd.NA] * length if curve.time_ms is None else curve.time_ms
    kept: dict[str, Any] = {"bar": np.arange(length), "time_ms": pd.array(times, dtype="Int64")}
    for name in _COLUMNS:
        values = getattr(curve, name)
        kept[name] = unknown if values is None or several else values
    quantiles = fan(curve) if several else [unknown] * len(FAN)
    kept |= {
        name: line
        for name, line in zip(FAN, quantiles, strict=True)
        if several or name not in _COLUMNS
    }
    return kept


def _curve(rows: pd.DataFrame) -> Curve:
    if rows["q05"].notna().all():
        return Curve(np.stack([rows[name].to_numpy(dtype=np.float64) for name in FAN]))
    kept = {
        name: rows[name].to_numpy(dtype=np.float64) if rows[name].notna().all() else None
        for name in _COLUMNS
    }
    equity = kept.pop("equity")
    if equity is None:
        raise ValueError("an equity is missing")
    times = rows["time_ms"]
    return Curve(
        equity, time_ms=times.to_numpy(dtype=np.int64) if times.notna().all() else None, **kept
    )
