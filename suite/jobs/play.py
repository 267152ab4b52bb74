"""A page to trade replay and dreams by hand: ``worldmodel-trading play``, `play`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel_trading.agents.training import broker_of
from worldmodel_trading.evaluation.game import GameConfig, Setup, make_game
from worldmodel_trading.evaluation.report.play_page import write_play_page
from worldmodel_trading.ground import Recorded, open_recorded_ranges
from worldmodel_trading.market.arrays import IntArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, OutputError
from worldmodel_trading.market.files.writer import refuse_unwritable
from worldmodel_trading.market.times import Time
from worldmodel_trading.models.drift import with_drift
from worldmodel_trading.models.regimes.opening import RegimeSource, open_regimes
from worldmodel_trading.models.world_model import WorldModel


def play(
    world_model: Any = "default",
    candles: Any = None,
    out: str | Path = "play.html",
    *,
    start: Time | None = None,
    regimes: RegimeSource = True,
    drift: str | float = "recorded",
    account: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    **settings: Any,
) -> Path:
    """Write a page on which a person trades recorded bars and dreams of them, and guesses which is which.

    Args:
        world_model: A `WorldModel` of the ``market`` preset, its folder, or ``"default"``.
        candles: Anything `open_candles` opens; None is the embedded market.
        out: The page, an ``.html`` file.
        start: First bar that is played; None is the first that model and choice have not seen.
        regimes: What a dream may begin in; see `open_regimes`.
        drift: What a held position earns in dreams; see `with_drift`.
        account: ``taker_fee`` and ``slippage``; None are the defaults.
        overwrite: Replace a file that is there.
        settings: Any field of `GameConfig`.

    Raises:
        ConfigError: A setting is impossible, or there are too few bars.
        OutputError: The file is there already, or cannot be written.
    """
    config, file = GameConfig.from_dict(settings), Path(out)
    _check_file(file, overwrite=overwrite)
    recorded = open_recorded_ranges(world_model, candles)
    if recorded.candles is None:
        raise ConfigError(
            f"the world model is of {recorded.world_model.provenance.symbol}, not of the embedded market: "
            "give its bars with --candles"
        )
    rows = _played(recorded, recorded.candles, start)
    model = with_drift(recorded.world_model, drift)
    broker = broker_of(dict(account or {}), model)
    setup = Setup(model, recorded.candles, rows, broker, _regimes(recorded.world_model, regimes))
    return write_play_page(file, make_game(setup, config))


def _check_file(file: Path, *, overwrite: bool) -> None:
    if file.suffix.lower() != ".html":
        raise OutputError(f"{file} is no page: name an .html file with --out")
    if file.exists() and not overwrite:
        raise OutputError(
            f"{file} is there already: name another file with --out, or say --overwrite"
        )
    refuse_unwritable(file.parent)


def _played(recorded: Recorded, candles: Candles, start: Time | None) -> tuple[int, int]:
    """The first row that is played, and the row after the last."""
    seen = recorded.world_model.provenance.validation_end_ms
    return candles.row_range(seen if start is None else start, None)


def _regimes(world_model: WorldModel, source: RegimeSource) -> dict[str, IntArray]:
    """Segments of the bank by the regime that they end in, of those that have any."""
    regimes = open_regimes(source, world_model)
    if regimes is None:
        return {}
    ends = regimes.of_bank(world_model)
    found = {name: np.flatnonzero(ends == number) for number, name in enumerate(regimes.names)}
    return {name: segments for name, segments in found.items() if len(segments)}
