"""What fidelity sees of dreams of bars, and of the record beside them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from worldmodel_trading.evaluation.fidelity.measure import measure_fidelity
from worldmodel_trading.evaluation.fidelity.paths import (
    BAR_COLUMNS,
    dream,
    recorded_paths,
    shown_columns,
)
from worldmodel_trading.evaluation.fidelity.probes import action_sensitivity
from worldmodel_trading.evaluation.fidelity.report import write_fidelity
from worldmodel_trading.evaluation.fidelity.subject import FidelityConfig
from worldmodel_trading.evaluation.untrained import with_untrained_memory
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.streamed_bars import bar_numbers
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.bars.config import MarketConfig
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel

RETURN, RANGE, VOLUME, UPPER, LOWER = range(len(BAR_COLUMNS))


def test_whole_bars_are_shown(market_model: BarWorldModel, paper_model: WorldModel) -> None:
    assert shown_columns(market_model) == BAR_COLUMNS
    assert shown_columns(paper_model) == paper_model.config.features.names


def test_dreams_repeat_and_are_whole_bars(market_model: BarWorldModel) -> None:
    first, again, other = (dream(market_model, 6, 20, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.features, again.features)
    assert not np.array_equal(first.log_return, other.log_return)
    assert first.features is not None
    assert first.features.shape == (6, 20, len(BAR_COLUMNS))
    shown = np.moveaxis(first.features, -1, 0)
    np.testing.assert_array_equal(shown[RETURN], first.log_return)
    body = np.abs(shown[RETURN])
    np.testing.assert_allclose(shown[RANGE], body + shown[UPPER] + shown[LOWER], rtol=1e-12)
    assert (shown[RANGE] >= body).all()
    bare = dream(market_model, 6, 20, seed=3, keep_states=False)
    np.testing.assert_array_equal(bare.log_return, first.log_return)
    assert bare.features is None


def test_recorded_windows_show_the_same_columns(
    market_model: BarWorldModel, candles: Candles
) -> None:
    spec = market_model.config.features
    paths = recorded_paths(candles, 50, spec)
    assert paths.features is not None
    first = spec.warmup
    rows = slice(first, first + 50)
    numbers = bar_numbers(candles)[rows]
    np.testing.assert_array_equal(paths.features[0, :, [RETURN, UPPER, LOWER]].T, numbers[:, :3])
    height = np.log(candles.high[rows] / candles.low[rows])
    gaps = np.abs(np.log(candles.open[rows] / candles.close[first - 1 : first + 49]))
    assert (np.abs(paths.features[0, :, RANGE] - height) <= gaps + 1e-12).all()
    volumes = market_model.features(candles)[rows, spec.names.index("volume")]
    np.testing.assert_array_equal(paths.features[0, :, VOLUME], volumes)


def test_an_untrained_memory_keeps_v_and_its_kind(market_model: BarWorldModel) -> None:
    untrained = with_untrained_memory(market_model, 3)
    assert isinstance(untrained, BarWorldModel)
    z = market_model.bank.features[:4]
    np.testing.assert_array_equal(untrained.encode(z), market_model.encode(z))
    assert untrained.fingerprint != market_model.fingerprint
    assert float(untrained.mdn_rnn.return_scale) == float(market_model.mdn_rnn.return_scale)
    assert np.isfinite(dream(untrained, 3, 10, seed=0).log_return).all()


def test_this_market_hears_no_action(market_model: BarWorldModel, candles: Candles) -> None:
    assert action_sensitivity(market_model, candles, (2_000, 2_500)) == 0.0


@pytest.mark.slow
def test_a_world_model_of_bars_is_measured_and_told_of(
    market_config: MarketConfig, tmp_path: Path
) -> None:
    config = FidelityConfig(
        num_dreams=24,
        bars=336,
        decay_dreams=8,
        controllers=12,
        rank_dreams=4,
        control_epochs=1,
    )
    candles = synthetic_candles(seed=8, bars=5_200)
    split = candles.rows(0, 2_700), candles.rows(2_700, 3_100)
    model, _ = train_world_model(*split, market_config, seed=1)
    measured = measure_fidelity(model, candles, config)
    told = json.loads(json.dumps(measured.results.to_dict(), allow_nan=False))
    assert set(told["density"]) == {"validation", "test"}
    write_fidelity(tmp_path, measured)
    assert any(tmp_path.iterdir())
