"""Whole candles that a world model dreams: valid, the same bits in any company, begun as asked."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, FeatureError
from worldmodel_trading.market.inspection import inspect_candles
from worldmodel_trading.market.streamed_bars import bar_numbers
from worldmodel_trading.market.ticks import on_grid
from worldmodel_trading.models.bar_world_model import (
    BarWorldModel,
    chosen,
    draw_bar_noise,
    start_lanes,
)
from worldmodel_trading.models.bars.dreaming import dream_bars
from worldmodel_trading.models.hallucination import Hallucination, Hallucinations
from worldmodel_trading.models.regimes.regimes import Regimes
from worldmodel_trading.models.world_model import WorldModel


def gridded(model: BarWorldModel, tick: float) -> BarWorldModel:
    """The same model, of a market whose prices lie on a grid."""
    made: BarWorldModel = pickle.loads(pickle.dumps(model))
    made.mdn_rnn.tick_size = tick
    made.bank.close[:] = on_grid(made.bank.close, tick)
    return made


def hashes(paths: Sequence[Candles]) -> list[str]:
    return [path.data_hash() for path in paths]


def test_paths_are_whole_candles(market_model: BarWorldModel) -> None:
    paths = list(market_model.hallucinate(6, 200, seed=7))
    assert len(set(hashes(paths))) == 6
    for path in paths:
        assert (path.symbol, path.interval, len(path)) == ("SYNTH", "60", 200)
        assert (path.open[1:] == path.close[:-1]).all()
        assert (path.turnover >= path.low * path.volume * (1 - 1e-12)).all()
        assert (path.turnover <= path.high * path.volume * (1 + 1e-12)).all()
        assert inspect_candles(path) == []


def test_they_are_what_the_engine_s_lanes_dream(market_model: BarWorldModel) -> None:
    made = Hallucinations(market_model, Hallucination(3, 40, seed=2, temperature=1.2))
    (block,) = made.blocks()
    starts = start_lanes(market_model)
    for path in range(3):
        rng = np.random.default_rng(np.random.SeedSequence(2, spawn_key=(path,)))
        lanes = chosen(starts, np.array([int(rng.random() * len(market_model.bank))]))
        noise = draw_bar_noise(rng, 1, 40)
        for t in range(40):
            dream_bars(*lanes, *market_model.network, noise[t], 0, np.float32(1.2), False)
            np.testing.assert_array_equal(block.bars[path, t], lanes.drawn[0])
    numbers = bar_numbers(made.cut(block, 1))
    np.testing.assert_allclose(numbers[1:], block.bars[1, 1:], atol=1e-12)


def test_a_path_is_the_same_in_any_company(family: BarWorldModel, candles: Candles) -> None:
    many = Hallucinations(family, Hallucination(9, 20, seed=3))
    few = Hallucinations(family, Hallucination(5, 20, seed=3))
    alone = [
        many.cut(block, number)
        for size in (1, 4)
        for block in many.blocks(size)
        for number in range(len(block.bars))
    ]
    assert hashes(list(many)) == hashes(alone[:9]) == hashes(alone[9:])
    assert hashes(list(few)) == hashes(alone[:5])
    begun = Hallucinations(family, Hallucination(4, 20, seed=3), candles)
    longer = Hallucinations(family, Hallucination(7, 20, seed=3), candles)
    assert hashes(list(begun)) == hashes(list(longer))[:4]
    (block,) = begun.blocks()
    assert block.bars[3].tolist() != block.bars[0].tolist()
    other = Hallucinations(family, Hallucination(5, 20, seed=4))
    assert not set(hashes(list(other))) & set(hashes(list(few)))


def test_prices_lie_on_the_market_s_grid(market_model: BarWorldModel) -> None:
    model = gridded(market_model, 0.5)
    for path in model.hallucinate(3, 150, seed=1):
        prices = np.concatenate([path.open, path.high, path.low, path.close])
        assert (prices * 2 == np.rint(prices * 2)).all()
        assert (path.open[1:] == path.close[:-1]).all()
    (high,) = model.hallucinate(1, 50, start_price=700.2)
    assert high.open[0] == 700.0
    assert (high.close * 2 == np.rint(high.close * 2)).all()
    (low,) = model.hallucinate(1, 50, start_price=100.2)
    assert low.open[0] == pytest.approx(100.2, rel=1e-12)
    assert not (low.close * 2 == np.rint(low.close * 2)).any()


def test_paths_go_on_from_a_moment_and_know_nothing_of_what_follows(
    market_model: BarWorldModel, candles: Candles
) -> None:
    last = 1_499
    moment = int(candles.open_time_ms[last]) + candles.interval_ms
    paths = list(market_model.hallucinate(3, 24, candles=candles, at=moment, seed=5))
    for path in paths:
        assert path.open_time_ms[0] == moment
        assert path.open[0] == pytest.approx(candles.close[last], rel=1e-12)
    cut = candles.rows(0, last + 1)
    assert hashes(list(market_model.hallucinate(3, 24, seed=5, candles=cut))) == hashes(paths)
    within = moment + candles.interval_ms // 2  # the bar under way is not known
    again = market_model.hallucinate(3, 24, seed=5, candles=candles, at=within)
    assert hashes(list(again)) == hashes(paths)


def test_price_time_and_drift_are_chosen(market_model: BarWorldModel) -> None:
    plain = list(market_model.hallucinate(2, 30, seed=1))
    priced = list(market_model.hallucinate(2, 30, seed=1, start_price=1.0))
    for one, other in zip(plain, priced, strict=True):
        np.testing.assert_allclose(other.close, one.close / one.open[0], rtol=1e-12)
        assert other.open[0] == pytest.approx(1.0)
    timed = market_model.hallucinate(2, 30, start_time="2030-01-01")
    assert all(path.open_time_ms[0] == 1_893_456_000_000 for path in timed)
    flat = market_model.hallucinate(64, 200, seed=1, drift=0.0)
    up = market_model.hallucinate(64, 200, seed=1, drift=8.76)  # 0.001 an hour

    def earned(paths: Iterable[Candles]) -> float:
        return float(np.mean([np.log(path.close[-1] / path.open[0]) for path in paths]))

    assert earned(up) - earned(flat) == pytest.approx(0.2, abs=0.03)


def test_paths_begin_in_the_segments_that_are_named(market_model: BarWorldModel) -> None:
    made = Hallucinations(market_model, Hallucination(8, 2), segments=np.array([3, 5]))
    (block,) = made.blocks()
    bank = market_model.bank
    begun = set((block.open_time_ms[:, 0] - 3_600_000).tolist())
    assert begun == set(bank.open_time_ms[[3, 5]].tolist())
    with pytest.raises(ConfigError, match="expected some of the 16"):
        Hallucinations(market_model, Hallucination(8, 2), segments=np.array([16]))


def test_paths_begin_in_a_regime(market_model: BarWorldModel) -> None:
    regimes = Regimes.fit(market_model, count=2, bootstraps=0)
    ends = regimes.of_bank(market_model)
    assert set(ends) == {0, 1}
    name = regimes.names[int(ends[0])]
    of_regime = market_model.bank.open_time_ms[ends == ends[0]] + 3_600_000
    paths = market_model.hallucinate(20, 2, from_regime=name, regimes=regimes)
    begun = {int(path.open_time_ms[0]) for path in paths}
    assert begun <= set(of_regime.tolist())
    assert len(begun) > 1
    with pytest.raises(ConfigError, match="no regime"):
        market_model.hallucinate(1, 2, from_regime="sideways", regimes=regimes)
    with pytest.raises(ConfigError, match="say one of the two"):
        market_model.hallucinate(1, 2, from_regime=name, regimes=regimes, at="2020-03-01")


def test_the_meter_reads_what_the_engine_shows(market_model: BarWorldModel) -> None:
    (block,) = Hallucinations(market_model, Hallucination(4, 25), ood=True).blocks()
    assert block.ood is not None
    assert ((block.ood >= 0.0) & (block.ood <= 1.0)).all()
    assert len(np.unique(block.ood)) > 10


def test_what_cannot_be_is_refused(
    market_model: BarWorldModel, paper_model: WorldModel, candles: Candles
) -> None:
    early = int(candles.open_time_ms[50])
    late = int(candles.open_time_ms[-1]) + 10 * candles.interval_ms
    with pytest.raises(ConfigError, match="the preset paper hears what an account does"):
        paper_model.hallucinate(1, 1)
    with pytest.raises(FeatureError, match="bars in a row before they begin"):
        market_model.hallucinate(1, 1, candles=candles, at=early)
    with pytest.raises(ConfigError, match="no recorded bar ends at"):
        market_model.hallucinate(1, 1, candles=candles, at=late)
    with pytest.raises(ConfigError, match="paths is 0"):
        market_model.hallucinate(0, 1)
    with pytest.raises(ConfigError, match="start_price is -1"):
        market_model.hallucinate(1, 1, start_price=-1.0)
    with pytest.raises(ConfigError, match="a multiple of 60 minutes"):
        market_model.hallucinate(1, 1, start_time="2024-01-01T00:30")
    with pytest.raises(ConfigError, match="ends after 2100"):
        market_model.hallucinate(1, 1_000_000)
    with pytest.raises(ConfigError, match="drift is 'up'"):
        market_model.hallucinate(1, 1, drift="up")
