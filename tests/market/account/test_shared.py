"""Populations' accounts: the bits of `settle`, whichever way they are computed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from account_sums import Summed
from rule_cases import CASES

from worldmodel_trading.envs.population.policies import choose_actions
from worldmodel_trading.market.account.broker import Account, dream_bars
from worldmodel_trading.market.account.population import LaneSums, PopulationBook
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.account.settlement import Bar
from worldmodel_trading.market.account.shared import longest_after, safe_weights, settle_shared
from worldmodel_trading.market.arrays import FloatArray


def wild_bars(rng: np.random.Generator, volatility: float, shape: tuple[int, ...]) -> FloatArray:
    log_return = rng.normal(0.0, volatility, shape)
    bars = dream_bars(
        log_return,
        np.maximum(log_return, 0.0) + rng.exponential(volatility / 2, shape),
        np.minimum(log_return, 0.0) - rng.exponential(volatility / 2, shape),
        funding_rate=rng.normal(0.0, 1e-3, shape),
        fill_range=rng.exponential(volatility, shape),
        fill_price=rng.uniform(100.0, 60_000.0, shape),
        fill_turnover=rng.uniform(1e4, 1e8, shape),
    )
    bars[::7, ..., 1] = bars[::7, ..., 3] / 2  # some bars open with a gap
    return bars


@pytest.mark.parametrize("volatility", [0.003, 0.05])
@pytest.mark.parametrize("delay", [0, 2])
@pytest.mark.parametrize("name", CASES)
def test_lanes_are_summed_as_accounts_are(name: str, delay: int, volatility: float) -> None:
    config = BrokerConfig.from_settings(**{**CASES[name], "fill_delay": delay})
    lanes, steps = 37, 150
    rng = np.random.default_rng(13)
    bars = wild_bars(rng, volatility, (steps, lanes))
    actions = rng.uniform(-1.0, 1.0, (steps, lanes))
    account, sums = Account(lanes, config), LaneSums(lanes, config)
    reference = Summed(account)
    for action, bar in zip(actions, bars, strict=True):
        reference.step(action, bar)
        sums.step(action, bar)
    wanted = reference.totals()
    found = sums.totals()
    seen = np.empty_like(sums.seen)
    account.show(seen)
    assert sums.seen.tobytes() == seen.tobytes()
    assert found[0].tobytes() == wanted[0].tobytes()
    assert (found[5] == wanted[5]).all()
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-13)
    if name == "leverage" and volatility == 0.05:
        assert account.terminated.any(), "the case must meet liquidations"


@pytest.mark.parametrize("hidden", [0, 3])
@pytest.mark.parametrize("volatility", [0.003, 0.05])
@pytest.mark.parametrize("delay", [0, 2])
@pytest.mark.parametrize("name", CASES)
def test_a_population_is_summed_as_accounts_are(
    name: str, delay: int, volatility: float, hidden: int
) -> None:
    config = BrokerConfig.from_settings(**{**CASES[name], "fill_delay": delay})
    candidates, steps = 37, 150
    rng = np.random.default_rng(14)
    bars = wild_bars(rng, volatility, (steps,))
    units = max(1, hidden)
    scores = rng.normal(0.0, 1.0, (steps, units * candidates)).astype(np.float32)
    inputs = len(config.view.account_observation)
    share = rng.normal(0.0, 0.5, (units, inputs, candidates)).astype(np.float32)
    bias = rng.normal(0.0, 0.5, (units, candidates)).astype(np.float32)
    output = rng.normal(0.0, 1.0, (hidden + 1 if hidden else 0, candidates)).astype(np.float32)
    own = np.repeat(np.eye(units, dtype=np.float32)[np.newaxis], candidates, axis=0)
    weights = np.ascontiguousarray(np.concatenate([own, share.transpose(2, 1, 0)], axis=1))
    layers = weights, np.ascontiguousarray(bias.T), np.ascontiguousarray(output.T)
    actions = np.empty(candidates)
    book = PopulationBook(share, bias, output, config)
    for path in range(2):  # the second begins afresh
        book.begin()
        book.step(scores[:70], bars[:70])
        book.step(scores[70:], bars[70:])
        if path == 0:
            assert (book.totals()[5] > 0).all()
    account = Account(candidates, config)
    reference = Summed(account)
    for t in range(steps):
        seen = np.empty((candidates, inputs), dtype=np.float32)
        account.show(seen)
        observed = np.hstack([scores[t].reshape(units, candidates).T, seen])
        choose_actions(observed, *layers, actions)
        reference.step(actions, np.repeat(bars[t : t + 1], candidates, axis=0))
    wanted = reference.totals()
    assert (book.totals()[5] == wanted[5]).all()
    assert book.totals()[0].tobytes() == wanted[0].tobytes()
    np.testing.assert_allclose(book.totals(), wanted, rtol=1e-9, atol=1e-12)


def test_calm_bars_are_told_from_those_that_can_end_an_account() -> None:
    def after(longest: float, bar: tuple[float, ...], **settings: float) -> float:
        rules = BrokerConfig.from_settings(**settings).compile()
        return longest_after(longest, Bar(*bar, 0.0, 1.0), rules)

    plain = (0.01, 0.0, 0.02, -0.02, 0.0, 0.0)
    assert after(1.0, plain) == pytest.approx(1.01 / 0.99)
    assert after(1.0, plain, leverage=20.0) > 20.0
    assert after(1.0, (0.0, 0.0, 0.0, -0.06, 0.0, 0.0), leverage=20.0) == -1.0  # liquidated
    assert after(1.0, (0.0, 0.0, 1.0, 0.0, 0.0, 0.0)) == -1.0  # a short's price doubles
    assert after(1.0, (-1.0, 0.0, 0.0, -1.0, 0.0, 0.0)) == -1.0  # a long's is gone
    assert after(3.0, plain, max_turnover=0.1) == pytest.approx(3.03 / 0.97)  # it may still hold 3
    assert after(1e4, plain) == -1.0  # the order's costs would eat it up
    assert after(1.0, (math.nan, *plain[1:])) == -1.0


@pytest.mark.parametrize("volatility", [0.003, 0.05])
@pytest.mark.parametrize("name", [n for n in CASES if "fill_delay" not in CASES[n]])
def test_candidates_sharing_bars_are_settled_as_lanes_are(name: str, volatility: float) -> None:
    config = BrokerConfig.from_settings(**CASES[name])
    rules = config.compile()
    candidates, steps = 37, 150
    rng = np.random.default_rng(12)
    bars = wild_bars(rng, volatility, (steps,))
    action = rng.uniform(-1.0, 1.0, (steps, candidates))
    account = Account(candidates, config)
    equity, weight = np.ones(candidates), np.zeros(candidates)
    terminated = np.zeros(candidates, dtype=np.bool_)
    executed, growth, cost = np.empty((3, candidates))
    for t in range(steps):
        living = ~terminated
        lanes = account.step(action[t], np.repeat(bars[t : t + 1], candidates, axis=0))
        settle_shared(
            equity,
            weight,
            terminated,
            action[t] * rules.leverage,
            Bar(*map(float, bars[t])),
            rules,
            executed,
            growth,
            cost,
        )
        assert equity.tobytes() == lanes.equity.tobytes()
        assert weight.tobytes() == lanes.weight.tobytes()
        assert (terminated == lanes.terminated).all()
        assert [math.log(g) for g in growth] == lanes.reward.tolist()
        assert (executed[living] == lanes.executed[living]).all()
        np.testing.assert_allclose(cost, lanes.cost, rtol=1e-12)
    if name == "leverage" and volatility == 0.05:
        assert terminated.any(), "the case must meet liquidations"


@pytest.mark.parametrize(("worst", "margin"), [(-0.05, 0.005), (-0.3, 0.02), (0.05, 0.0)])
def test_safe_weights_end_where_liquidation_begins(worst: float, margin: float) -> None:
    # A long of a is liquidated at 1 + worst when 1 + a·worst ≤ m·a·(1 + worst).
    bar = Bar(0.0, 0.0, max(worst, 0.0), min(worst, 0.0), 0.0, 0.0, 1.0, 1.0)
    shortest, longest = safe_weights(bar, margin)
    if worst < 0:
        assert 1 + longest * worst == pytest.approx(margin * longest * (1 + worst), abs=1e-7)
    else:
        assert 1 + shortest * worst == pytest.approx(-margin * shortest * (1 + worst), abs=1e-7)
        assert longest == 1e300, "without a maintenance margin a rising bar is safe for any long"
