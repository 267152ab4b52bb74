"""Hallucinated markets: whole candles that a world model dreams, in one table or a file for each path."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldmodel_trading.dates import refuse_outside
from worldmodel_trading.evaluation.report.fan_picture import draw_fan
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.features import candles_for
from worldmodel_trading.market.files.paths import check_target, write_paths
from worldmodel_trading.market.files.writer import refuse_unwritable, whole_file
from worldmodel_trading.market.times import Time, format_time
from worldmodel_trading.models.hallucination import (
    Hallucination,
    Hallucinations,
    segments_in,
)
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.progress import Counter, tell

_DRAWN = 1_000  # paths of a picture


def hallucinate(
    world_model: str,
    settings: Hallucination,
    out: str,
    *,
    candles: str | None = None,
    like: Time | None = None,
    from_regime: str | None = None,
    regimes: str | None = None,
    ood: bool = False,
    picture: str | None = None,
    overwrite: bool = False,
) -> None:
    """Dream paths and write them as they come.

    Args:
        world_model: Folder, or ``default``.
        settings: How many, how long, how.
        out: A ``.parquet`` or ``.csv`` file for one table, or a folder for a file of each path.
        candles: A record that they go on from; None, without ``like``, begins in the model's bank.
        like: The moment in it at which they begin.
        from_regime: Begin in segments of the bank that end in the regime of that name.
        regimes: Where regimes were saved; None finds three in the model's own bank.
        ood: Write the out-of-distribution meter's reading as a column of the table.
        picture: A ``.png`` file for a fan of the first 1,000; for paths that go on from a record.
        overwrite: Replace what is there.

    Raises:
        ConfigError: A setting is impossible, or what is asked for does not go together.
        OutputError: Something is there already, or cannot be written.
    """
    table = check_target(out, overwrite=overwrite)
    if ood and not table:
        raise ConfigError("--ood is a column of a table: name a .parquet or .csv file with --out")
    if picture is not None:
        _check_picture(picture, begins=candles is not None or like is not None)
    model = open_world_model(world_model)
    spec, begins = model.config.features, candles is not None or like is not None
    record = candles_for(spec, candles) if begins else None
    if record is not None:
        refuse_outside(record, {"like": like})
    segments = segments_in(model, from_regime, True if regimes is None else regimes)
    made = Hallucinations(model, settings, record, like, segments=segments, ood=ood)
    closes = _write(made, out, keep=_DRAWN if picture is not None else 0)
    _summarise(made, closes)
    if picture is not None and record is not None and made.known is not None:
        with whole_file(picture) as temporary:
            draw_fan(temporary, record, len(made.known) - 1, np.stack(closes))
        tell(f"Picture: {picture}")
    tell(f"Paths: {out}")


def _write(made: Hallucinations, out: str, keep: int) -> list[FloatArray]:
    """Write all paths; returns the price before the first bar and the closes of the first of them [T + 1]."""
    closes: list[FloatArray] = []
    asked = made.settings
    with write_paths(out) as paths, Counter("Dreaming", asked.paths, "path") as done:
        for block in made.blocks():
            for number in range(len(block.bars)):
                path = made.cut(block, number)
                more = {} if block.ood is None else {"ood": block.ood[number]}
                paths.add(path, **more)
                if len(closes) < max(keep, 1):
                    closes.append(_from_start(path))
                done()
    return closes


def _from_start(path: Candles) -> FloatArray:
    return np.append(path.open[0], path.close)


def _summarise(made: Hallucinations, closes: list[FloatArray]) -> None:
    asked, first = made.settings, made.known
    begun = "the bank's segments" if first is None else "the record as it stood"
    when = ""
    if first is not None:
        when = f" at {format_time(int(first.open_time_ms[-1]) + first.interval_ms)}"
    tell(f"{asked.paths} paths of {asked.bars} bars, begun from {begun}{when}")
    if first is not None and len(closes) > 1:
        low, high = np.percentile([path[-1] for path in closes], (5, 95))
        tell(f"Close {closes[0][0]:g}, then 90% of {len(closes)} between {low:g} and {high:g}")


def _check_picture(picture: str, *, begins: bool) -> None:
    if not picture.lower().endswith(".png"):
        raise ConfigError(f"--picture is {picture!r}; expected a .png file")
    if not begins:
        raise ConfigError(
            "--picture shows paths that go on from one moment: say which with --like, or give a record "
            "with --candles"
        )
    refuse_unwritable(Path(picture).parent)
