"""Bars that a generator draws are those that policies trade, window by window, seen as recorded ones are."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.agents.rules.constant import ConstantWeight
from worldmodel_trading.envs.engine.opening import open_engine
from worldmodel_trading.evaluation.baselines.bars import Bars
from worldmodel_trading.evaluation.comparison.floors import GENERATORS
from worldmodel_trading.evaluation.comparison.venues import (
    Family,
    Seen,
    drawn,
    dreamed,
    dreaming,
    pay_of,
)
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.arrays import IntArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.bar_world_model import BarWorldModel

TRAIN, BARS = 1_500, 24
HOLDER = Family("hold", ("hold",), [ConstantWeight(1.0)])


class WhatCame:
    """Draws the bars that were recorded after each row."""

    def __init__(self, candles: Candles) -> None:
        self._candles = candles

    def __call__(self, train: Candles, rows: IntArray, bars: int, rng: np.random.Generator) -> Bars:
        came = Bars.of(self._candles)  # whose first bar is the second recorded one
        after = rows[:, None] + np.arange(bars)
        parts = (came.log_return, came.upper, came.lower, came.volume)
        drawn_parts = [part[0][after] for part in parts if part is not None]
        expected = np.arange(after.size, dtype=float).reshape(after.shape)
        return Bars(came.open_time_ms[0][after], *drawn_parts, expected)


def test_drawn_bars_are_seen_and_traded_as_the_record_is(
    market_model: BarWorldModel, candles: Candles
) -> None:
    train = candles.rows(0, TRAIN)
    rng = np.random.default_rng(0)
    found = list(drawn(market_model, train, WhatCame(candles), 6, BARS, rng, series=2))
    past = market_model.config.features.settled + market_model.config.warmup_bars
    seen = Seen.of(candles, market_model)
    assert len(found) == 2
    for number, (paths, row) in enumerate(zip(found, (past - 1, TRAIN - 1), strict=True)):
        rows = row + np.arange(3 * BARS)
        lived = seen.latent.bars[rows + 1].reshape(3, BARS, -1)
        np.testing.assert_allclose(paths.bars[..., :7], lived[..., :7], rtol=1e-9, atol=1e-12)
        view = seen.latent.view[rows].reshape(3, BARS, -1)
        np.testing.assert_allclose(paths.view, view, atol=0.05)
        assert paths.features is not None
        shown = seen.features[rows].reshape(3, BARS, -1)
        np.testing.assert_allclose(
            paths.features, shown, atol=0.15
        )  # hourly averages are slow to settle
        assert paths.expected is not None
        np.testing.assert_array_equal(
            paths.expected.ravel(), 3 * BARS * number + np.arange(3 * BARS)
        )


@pytest.mark.parametrize("name", GENERATORS)
def test_generators_pay_a_holder_the_drift_that_is_asked_for(
    market_model: BarWorldModel, candles: Candles, name: str
) -> None:
    train = candles.rows(0, TRAIN)
    rng = np.random.default_rng(0)
    paths = list(drawn(market_model, train, GENERATORS[name], 8, BARS, rng, drift=0.002))
    paid = pay_of(paths, [HOLDER], BrokerConfig())
    returned = np.concatenate([one.bars[..., 0].ravel() for one in paths])
    assert returned.mean() == pytest.approx(0.002, abs=1e-4)
    assert paid.gross[0] == pytest.approx(0.002, abs=5e-4)


def test_one_world_model_can_draw_what_another_looks_at(
    market_model: BarWorldModel, candles: Candles
) -> None:
    rows = np.array([1_400, 1_450])
    rng = np.random.default_rng(0)
    made = dreaming(market_model)(candles, rows, 3, rng)
    engine = open_engine(market_model)
    state = engine.after(candles, rows)
    noise = engine.draw_noise(np.random.default_rng(0), 2)
    np.testing.assert_array_equal(engine.step(state, np.zeros(2), noise), made.log_return[:, 0])
    assert made.open_time_ms[0].tolist() == candles.open_time_ms[1_401:1_404].tolist()
    assert made.volume is not None
    assert made.expected is not None


def test_a_holder_is_promised_the_expectation_less_what_trading_costs(
    market_model: BarWorldModel,
) -> None:
    broker, rng = BrokerConfig(), np.random.default_rng(0)
    paths = list(dreamed(market_model, 8, BARS, broker, rng))
    paid = pay_of(paths, [HOLDER], broker)
    expected = np.concatenate([one.expected for one in paths if one.expected is not None])
    assert paid.gross[0] == pytest.approx(expected.mean(), rel=0.02, abs=1e-7)
    assert paid.cost[0] == pytest.approx(0.00075 / BARS, rel=1e-3)


def test_a_record_too_short_to_be_known_is_refused(
    market_model: BarWorldModel, candles: Candles
) -> None:
    short, rng = candles.rows(0, 800), np.random.default_rng(0)
    with pytest.raises(ConfigError, match="features would not know their past"):
        list(drawn(market_model, short, WhatCame(candles), 4, BARS, rng))
