"""Hallucinated markets: dreams that begin where a record stands, as a table and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from worldmodel_trading.dates import refuse_outside
from worldmodel_trading.envs.dream_lanes import check_temperature
from worldmodel_trading.envs.engine.base import Engine
from worldmodel_trading.envs.engine.opening import open_engine
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import FeatureError
from worldmodel_trading.market.features import valid_rows
from worldmodel_trading.market.files.writer import whole_file
from worldmodel_trading.market.settings import check_count, seed_number
from worldmodel_trading.market.sources import open_candles
from worldmodel_trading.market.times import Time, format_time, to_ms
from worldmodel_trading.models.drift import with_drift
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.models.ood import OODMeter
from worldmodel_trading.models.world_model import WorldModel
from worldmodel_trading.output import job_folder, refuse_taken
from worldmodel_trading.progress import tell

_BANDS = ((5, 95), (25, 75))  # percentiles


def dream(
    world_model: str,
    candles: str | None,
    at: Time | None,
    count: int,
    bars: int,
    temperature: float,
    drift: str | float,
    seed: int,
    out: str,
    overwrite: bool = False,
) -> Path:
    """Dream on from a recorded moment; writes ``dreams.parquet`` and ``fan.png``.

    The table has a row for each dream and bar: ``dream``, ``open_time_ms``, ``close``, and ``ood``,
    the out-of-distribution meter's reading.

    Args:
        world_model: Folder, or ``default``.
        candles: The record; None is the embedded market.
        at: The last bar that the dreams know; None is the record's last.
        count: Dreams.
        bars: Bars of each.
        temperature: τ.
        drift: What a held position earns in them; see `with_drift`.
        seed: Of the noise.
        out: Folder for the two files.
        overwrite: Let them take the place of a job's results in that folder.

    Returns:
        The picture.
    """
    count, bars = check_count("count", count), check_count("bars", bars)
    seed, temperature = seed_number(seed), check_temperature(temperature)
    refuse_taken(out, "dream", overwrite=overwrite)
    record = open_candles(candles)
    refuse_outside(record, {"at": at})
    model = with_drift(open_world_model(world_model), drift)
    with job_folder(out, "dream", overwrite=overwrite) as emptied:
        row = len(record) - 1 if at is None else record.row_range(None, to_ms(at) + 1)[1] - 1
        known = record.rows(0, row + 1)
        closes, readings = _dreamed(model, known, count, bars, temperature, seed)
        times = record.open_time_ms[row] + model.provenance.interval_ms * np.arange(bars + 1)
        folder = emptied()
        _write_table(folder / "dreams.parquet", times, closes, readings)
        picture = _write_fan(folder / "fan.png", model, record, row, times, closes)
    low, high = np.percentile(closes[:, -1], (5, 95))
    tell(
        f"{count} dreams of {bars} bars from {format_time(int(times[0]))}: close "
        f"{closes[0, 0]:g}, then 90% between {low:g} and {high:g}"
    )
    return picture


def _dreamed(
    model: WorldModel, known: Candles, count: int, bars: int, temperature: float, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Closes [N, T + 1], the first of which is known, and the meter's readings beside them."""
    engine, rng = open_engine(model), np.random.default_rng(seed)
    state, meter = _state_after(engine, known).repeated(count), OODMeter.fit(model)
    idle = np.zeros(count)
    returns = [np.zeros(count)]
    readings = [meter.read(np.concatenate([state.z, state.h], axis=1))]
    for _ in range(bars):
        returns.append(engine.step(state, idle, engine.draw_noise(rng, count), temperature))
        readings.append(meter.read(np.concatenate([state.z, state.h], axis=1)))
    closes = known.close[-1] * np.exp(np.cumsum(returns, axis=0).T)
    return closes, np.stack(readings, axis=1)


def _state_after(engine: Engine, known: Candles) -> Any:
    features = engine.world_model.features(known)[-engine.warmup :]
    if len(features) < engine.warmup or not valid_rows(features).all():
        raise FeatureError(
            f"the dreams need {engine.warmup + engine.config.features.warmup} bars in a row "
            f"before they begin; there are {len(known)}, or a gap among them"
        )
    return engine.after(known, np.array([len(known) - 1]))


def _write_table(path: Path, times: FloatArray, closes: FloatArray, readings: FloatArray) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count, points = closes.shape
    table = pa.table(
        {
            "dream": np.repeat(np.arange(count), points),
            "open_time_ms": np.tile(times, count),
            "close": closes.ravel(),
            "ood": readings.ravel(),
        }
    )
    with whole_file(path) as temporary:
        pq.write_table(table, temporary)


def _write_fan(
    path: Path, model: WorldModel, record: Candles, row: int, times: FloatArray, closes: FloatArray
) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.2), dpi=130, layout="constrained")
    axes = figure.subplots()
    clock = times.astype("datetime64[ms]")
    for low, high in _BANDS:
        edges = np.percentile(closes, (low, high), axis=0)
        label = f"dreamed, {low}–{high}%"
        axes.fill_between(clock, *edges, color="#3b7dd8", alpha=0.18, linewidth=0, label=label)
    axes.plot(clock, closes[:6].T, color="#3b7dd8", linewidth=0.7, alpha=0.75)
    before = slice(max(0, row - len(times) // 2), row + 1)
    after = slice(row, min(len(record), row + len(times)))
    recorded = record.open_time_ms.astype("datetime64[ms]")
    axes.plot(recorded[before], record.close[before], color="#555555", linewidth=1.2, label="known")
    axes.plot(
        recorded[after], record.close[after], color="#d1495b", linewidth=1.4, label="happened"
    )
    axes.axvline(clock[0], color="#999999", linewidth=0.8, linestyle=":")
    axes.set_title(f"{len(closes)} dreams of {record.symbol} {record.interval}", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.grid(alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png")
    return path
