"""Rollouts on a device against the compiled engine. With CUDA the same tests run there, in graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from worldmodel_trading.agents.cma_es import CMAESConfig
from worldmodel_trading.agents.dream_search import DreamSearchConfig, train_controller
from worldmodel_trading.envs.device.bar_dream import BarDream
from worldmodel_trading.envs.device.opening import open_device_dream
from worldmodel_trading.envs.device.paper_dream import PaperDream
from worldmodel_trading.envs.device.rollout import Rollout
from worldmodel_trading.envs.device.scorer import DeviceDreams, Tiles, chunk_length
from worldmodel_trading.envs.dream_funding import DreamFunding
from worldmodel_trading.envs.engine.opening import open_engine
from worldmodel_trading.envs.population.jobs import Dreams
from worldmodel_trading.envs.population.policies import policy_size
from worldmodel_trading.envs.population.scorers import DreamWorkers
from worldmodel_trading.envs.population.scoring import Scores, score_lanes
from worldmodel_trading.envs.scorers import open_scorer
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.funding import FundingRates
from worldmodel_trading.market.funding_clock import FUNDING_INTERVAL_MS
from worldmodel_trading.models.drift import with_drift
from worldmodel_trading.models.world_model import WorldModel

BROKERS = {
    "default": BrokerConfig(),
    "leverage": BrokerConfig.from_settings(leverage=3.0, maintenance_margin=0.02),
    "delay": BrokerConfig.from_settings(fill_delay=3),
    "limits": BrokerConfig.from_settings(no_trade_band=0.05, max_turnover=0.3),
    "range": BrokerConfig.from_settings(slippage_per_range=0.1),
    "impact": BrokerConfig.from_settings(impact=1.0, impact_capital_usdt=1e5),
}
NUM_DREAMS = 70  # blocks of 35 and 35
CUDA = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
    ],
)


@pytest.fixture(params=["cpu", CUDA])
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def population(model: WorldModel, count: int = 5) -> np.ndarray:
    size = model.config.latent_size + model.config.hidden_size + 2
    return np.random.default_rng(4).normal(0.0, 0.4, (count, size))


def some_dreams(model: WorldModel, num_bars: int = 24, **settings: Any) -> Dreams:
    segments = np.random.default_rng(0).integers(len(model.bank.close), size=NUM_DREAMS)
    return Dreams(segments, num_bars, 7, **settings)


def assert_close(found: Scores, expected: Scores, drawn: bool = True) -> None:
    """All but a few dreams agree to rounding: a uniform may fall between two roundings' components."""
    assert found.log_return.shape == expected.log_return.shape
    for name in Scores._fields:
        one, two = getattr(found, name), getattr(expected, name)
        agree = np.isclose(one, two, rtol=1e-4, atol=2e-5).all(axis=0)
        assert agree.mean() >= (0.95 if drawn else 1.0), f"{name}: {agree.mean()} of the dreams"


def expected_scores(model: WorldModel, dreams: Dreams, broker: BrokerConfig) -> Scores:
    return DreamWorkers(model, num_workers=0).score(population(model), dreams, broker)


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("broker", list(BROKERS))
def test_scores_are_those_of_the_compiled_engine(
    tiny_model: WorldModel, device: str, broker: str, temperature: float
) -> None:
    dreams, rules = some_dreams(tiny_model, temperature=temperature), BROKERS[broker]
    expected = expected_scores(tiny_model, dreams, rules)
    with DeviceDreams(tiny_model, device, chunk_bars=10) as there:  # chunks of 8 bars
        found = there.score(population(tiny_model), dreams, rules)
    assert np.unique(expected.log_return).size > 16
    assert_close(found, expected, drawn=temperature > 0.0)


@pytest.mark.parametrize("rates", ["constant", "recorded"])
def test_funding_is_drawn_as_the_compiled_engine_draws_it(
    tiny_model: WorldModel, device: str, rates: str
) -> None:
    source: float | FundingRates = 2e-3
    if rates == "recorded":
        start = tiny_model.provenance.train_start_ms // FUNDING_INTERVAL_MS + 1
        times = (start + np.arange(100)) * FUNDING_INTERVAL_MS
        source = FundingRates(times, np.random.default_rng(5).normal(0.0, 5e-3, 100))
    dreams = some_dreams(tiny_model, funding=DreamFunding(source, tiny_model))
    expected = expected_scores(tiny_model, dreams, BROKERS["default"])
    unfunded = expected_scores(tiny_model, some_dreams(tiny_model), BROKERS["default"])
    assert np.abs(expected.log_return - unfunded.log_return).max() > 1e-3
    with DeviceDreams(tiny_model, device, chunk_bars=9) as there:
        found = there.score(population(tiny_model), dreams, BROKERS["default"])
    assert_close(found, expected)


def test_a_drift_is_dreamed_there_too(tiny_model: WorldModel, device: str) -> None:
    model, dreams, broker = with_drift(tiny_model, 9.0), some_dreams(tiny_model), BROKERS["default"]
    expected = expected_scores(model, dreams, broker)
    unmoved = expected_scores(tiny_model, dreams, broker)
    assert np.abs(expected.log_return - unmoved.log_return).max() > 1e-3
    with DeviceDreams(model, device, chunk_bars=9) as there:
        assert_close(there.score(population(tiny_model), dreams, broker), expected)


def test_accounts_end_as_they_do_on_the_compiled_engine(
    tiny_model: WorldModel, device: str
) -> None:
    broker = BrokerConfig.from_settings(leverage=65.0, maintenance_margin=0.01)
    calm = tiny_model.config.preset == "paper"  # whose dreams end hardly any account
    dreams = some_dreams(tiny_model, num_bars=40, temperature=20.0 if calm else 1.0)
    expected = expected_scores(tiny_model, dreams, broker)
    assert (expected.steps < 40).mean() > 0.1
    with DeviceDreams(tiny_model, device) as there:
        found = there.score(population(tiny_model), dreams, broker)
    alike = np.isclose(found.log_return, expected.log_return, rtol=1e-3, atol=1e-3)
    assert alike.mean() > 0.95
    assert (found.steps == expected.steps).mean() > 0.95


def test_orders_are_rounded(tiny_model: WorldModel, device: str) -> None:
    """A lot more or less follows from the last bit of a price, hence by share of lanes and on average."""
    price = float(np.median(tiny_model.bank.close))
    broker = BrokerConfig.from_settings(
        capital_usdt=1_000.0 * price, qty_step=0.001, tick_size=0.1, min_notional_usdt=0.0
    )
    dreams = some_dreams(tiny_model)
    expected = expected_scores(tiny_model, dreams, broker)
    with DeviceDreams(tiny_model, device) as there:
        found = there.score(population(tiny_model), dreams, broker)
    plain = expected_scores(tiny_model, dreams, BrokerConfig())
    assert np.abs(plain.log_return - expected.log_return).max() > 1e-6
    assert np.isclose(found.log_return, expected.log_return, atol=2e-6).mean() > 0.95


def test_separate_lanes_of_a_deaf_market_are_those_of_the_compiled_engine(
    market_model: WorldModel, device: str
) -> None:
    dreams, broker = some_dreams(market_model), BROKERS["leverage"]
    with DeviceDreams(market_model, device, shared=False) as there:
        separate = there.score(population(market_model), dreams, broker)
    with DeviceDreams(market_model, device) as there:
        assert_close(there.score(population(market_model), dreams, broker), separate)
    block, engine = dreams.blocks()[0], open_engine(market_model)
    expected = score_lanes(
        engine, population(market_model), dreams.segments[block], 24, dreams.generator(0), broker
    )
    assert_close(Scores(*(part[:, block] for part in separate)), expected)


@pytest.mark.parametrize("max_lanes", [1, 80, 150])
def test_tiles_do_not_change_the_scores(
    tiny_model: WorldModel, device: str, max_lanes: int
) -> None:
    dreams, parameters = some_dreams(tiny_model), population(tiny_model)
    with DeviceDreams(tiny_model, device) as whole:
        expected = whole.score(parameters, dreams, BROKERS["delay"])
    with DeviceDreams(tiny_model, device, max_lanes=max_lanes, chunk_bars=7) as cut:
        assert_close(cut.score(parameters, dreams, BROKERS["delay"]), expected)


def test_scores_repeat_whatever_was_scored_between(tiny_model: WorldModel, device: str) -> None:
    """The same plan again, other candidates, other dreams, another plan: no state is left behind."""
    parameters, dreams = population(tiny_model), some_dreams(tiny_model)
    with DeviceDreams(tiny_model, device, chunk_bars=16) as there:
        first = there.score(parameters, dreams, BROKERS["delay"])
        for others in (dreams, some_dreams(tiny_model, num_bars=11)):
            there.score(-parameters, others, BROKERS["leverage"])
        there.score(parameters[::-1], dreams, BROKERS["delay"])
        again = there.score(parameters, dreams, BROKERS["delay"])
    for name in Scores._fields:
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name), err_msg=name)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_graph_computes_what_its_kernels_do_one_by_one(tiny_model: WorldModel) -> None:
    dreams, parameters = some_dreams(tiny_model), population(tiny_model)
    scores = []
    for graph in (True, False):
        with DeviceDreams(tiny_model, "cuda", chunk_bars=10, graph=graph) as there:
            scores.append(there.score(parameters, dreams, BROKERS["leverage"]))
    for one, two in zip(*scores, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("num_bars", "length"), [(1, 1), (64, 64), (720, 60), (512, 64), (101, 50)]
)
def test_chunks_leave_few_bars_over(num_bars: int, length: int) -> None:
    assert chunk_length(num_bars, 64) == length


def test_tiles_hold_whole_blocks(market_model: WorldModel) -> None:
    segments = np.zeros(500, dtype=np.int64)  # blocks of 125
    tiles = Tiles.of(10, Dreams(segments, 2, 0), 1_000)
    assert tiles.candidates == [slice(0, 8), slice(8, 10)]
    assert tiles.waves == [[0], [1], [2], [3]]
    assert (tiles.most_candidates, tiles.most_dreams) == (8, 125)
    tiles = Tiles.of(3, Dreams(segments, 2, 0), 1_000)
    assert (tiles.waves, tiles.most_dreams) == ([[0, 1], [2, 3]], 250)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA")
def test_without_cuda_a_request_for_it_names_the_cure(market_model: WorldModel) -> None:
    for opened in (DeviceDreams, open_scorer):
        with pytest.raises(ConfigError, match="finds no CUDA device: use cpu or auto"):
            opened(market_model, "cuda")
    with open_scorer(market_model, "auto", num_workers=0) as scorer:
        assert isinstance(scorer, DreamWorkers)


def test_impossible_requests_are_refused(paper_model: WorldModel) -> None:
    with pytest.raises(ConfigError, match="cannot be shared"):
        DeviceDreams(paper_model, "cpu", shared=True)
    with pytest.raises(ConfigError, match="expected 1 or more"):
        DeviceDreams(paper_model, "cpu", chunk_bars=0)
    with pytest.raises(ConfigError, match="expected 1 or more"):
        DeviceDreams(paper_model, "cpu", max_lanes=0)
    there = DeviceDreams(paper_model, "cpu")
    with pytest.raises(ConfigError, match="a policy has 3 parameters; one that reads 10 numbers"):
        there.score(np.zeros((2, 3)), some_dreams(paper_model), BrokerConfig())
    with pytest.raises(ConfigError, match=r"linear controllers alone.*device 'cpu'"):
        there.score(np.zeros((2, policy_size(10, 3))), some_dreams(paper_model), BrokerConfig())
    there.close()
    with pytest.raises(ConfigError, match="given back"):
        there.score(population(paper_model), some_dreams(paper_model), BrokerConfig())


def test_too_many_lanes_for_the_memory_are_refused_with_the_cure(
    paper_model: WorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with DeviceDreams(paper_model, "cpu", max_lanes=500) as there, monkeypatch.context() as patch:
        patch.setattr(Rollout, "score", full)
        with pytest.raises(ConfigError, match="500 lanes at once: give DeviceDreams a smaller"):
            there.score(population(paper_model), some_dreams(paper_model), BrokerConfig())
        patch.undo()
        there.score(population(paper_model), some_dreams(paper_model), BrokerConfig())


def test_the_world_model_stays_where_it_is(tiny_model: WorldModel) -> None:
    def opened() -> BarDream | PaperDream:
        dream = open_device_dream(open_engine(tiny_model), torch.device("cpu"))
        assert isinstance(dream, BarDream | PaperDream)
        return dream

    opened()._rnn.lstm.weight_hh_l0.data.add_(1.0)
    assert torch.equal(opened()._rnn.lstm.weight_hh_l0, tiny_model.mdn_rnn.lstm.weight_hh_l0)


def test_a_search_finds_the_same_on_a_device(tiny_model: WorldModel, device: str) -> None:
    config = DreamSearchConfig(CMAESConfig(population=6, generations=3), dreams=40, horizon=24)
    _, expected = train_controller(tiny_model, config, seed=2)
    with DeviceDreams(tiny_model, device) as there:
        _, found = train_controller(tiny_model, config, seed=2, scorer=there)
    theirs, ours = (
        [[each.best, each.mean, each.worst, each.sigma] for each in result.history]
        for result in (found, expected)
    )
    np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.parameters, expected.parameters, rtol=1e-3, atol=1e-5)
