"""Whatever takes candles takes what `open_candles` takes: here a file and a frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from worldmodel_trading.agents.live import LiveTrader
from worldmodel_trading.agents.rules import flat
from worldmodel_trading.evaluation.baselines.scores import fit_baselines
from worldmodel_trading.evaluation.comparison.rank_agreement import measure_rank_agreement
from worldmodel_trading.evaluation.density import density_scores
from worldmodel_trading.evaluation.fidelity.paths import recorded_latents, recorded_paths
from worldmodel_trading.evaluation.fidelity.probes import volatility_probes, warmup_effects
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.features import compute_features
from worldmodel_trading.market.files.export import to_frame, write_candles
from worldmodel_trading.market.inspection import inspect_candles
from worldmodel_trading.market.sources import open_candles
from worldmodel_trading.models.quality import mdn_rnn_quality, vae_quality
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel

TRAIN, LATER = (0, 1_200), (1_200, 1_900)


def trained(model: WorldModel, candles: Any) -> Any:
    config = replace(model.config, vae_epochs=1, mdn_rnn_epochs=1)
    made = train_world_model(candles, candles, config)[0]
    return made.fingerprint, made.provenance.data_hash


def ranked(model: WorldModel, candles: Any) -> Any:
    shape = {"controllers": 8, "dreams": 2, "bars": 5}
    return measure_rank_agreement(model, candles, {"later": LATER}, seed=0, **shape).to_dict()


TAKERS: dict[str, Callable[[WorldModel, Any], Any]] = {
    "features": lambda model, candles: compute_features(candles),
    "findings": lambda model, candles: inspect_candles(candles),
    "latents": lambda model, candles: vars(model.latents(candles)),
    "forecast": lambda model, candles: vars(model.return_forecast(candles)),
    "training": trained,
    "V's quality": vae_quality,
    "M's quality": mdn_rnn_quality,
    "live": lambda model, candles: LiveTrader(model, flat()).warm_up(candles),
    "density": lambda model, candles: density_scores(
        model, candles, fit_baselines(open_candles(candles), TRAIN), {"later": LATER}, seed=0
    ),
    "recorded latents": recorded_latents,
    "recorded paths": lambda model, candles: recorded_paths(candles, 48).log_return,
    "warm-up": lambda model, candles: warmup_effects(
        model, candles, LATER, lengths=(1, 4), samples=20
    ),
    "probes": lambda model, candles: volatility_probes(model, candles, TRAIN, LATER, seed=0),
    "ranks": ranked,
}


@pytest.fixture(scope="module")
def path(candles: Candles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("candles") / "candles.parquet"
    write_candles(candles, path)
    return path


@pytest.mark.parametrize("taker", list(TAKERS))
def test_a_file_a_name_and_a_frame_do_as_candles_do(
    market_model: WorldModel, candles: Candles, path: Path, taker: str
) -> None:
    take = TAKERS[taker]
    expected = take(market_model, candles)
    frame: pd.DataFrame = to_frame(candles)
    for source in (path, str(path), frame):
        np.testing.assert_equal(take(market_model, source), expected)
