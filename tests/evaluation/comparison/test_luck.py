import json

import numpy as np
import pytest
import sharpebench
from arch.bootstrap import SPA

from worldmodel_trading.evaluation.comparison.luck import (
    Snooping,
    hold_together,
    measure_luck,
)
from worldmodel_trading.evaluation.significance import (
    stationary_bootstrap_rows,
    stationary_bootstrap_sums,
)
from worldmodel_trading.market.errors import ConfigError

HOURS = 8760
BARS = 2_400
NOTHING = np.zeros(BARS)


def field(policies=6, edges=(), bars=BARS, seed=0):
    """Worthless policies, and some that earn so many standard errors."""
    rng = np.random.default_rng(seed)
    table = 0.005 * rng.standard_normal((bars, policies + len(edges)))
    table -= table.mean(axis=0)
    drift = 0.005 / np.sqrt(bars)
    table += drift * np.concatenate([0.5 * rng.standard_normal(policies), edges])
    return {f"p{i}": column for i, column in enumerate(table.T)}


def measured(returns, holding=NOTHING, **settings):
    return measure_luck(returns, holding, bars_per_year=HOURS, **settings)


def test_ratios_are_those_of_another_package():
    returns = field(4, [3.0])
    found = measured(returns, trials={"others": 95}, trial_sharpe_std=0.8)
    assert found.trials == 100
    for name, column in returns.items():
        ours = found.policies[name]
        assert ours.sharpe.value == pytest.approx(
            np.sqrt(HOURS) * sharpebench.sharpe_ratio(column.tolist()), rel=1e-9
        )
        assert ours.probabilistic_sharpe == pytest.approx(
            sharpebench.probabilistic_sharpe_ratio(column.tolist()), abs=2e-3
        )
        deflated = sharpebench.deflated_sharpe_ratio(column.tolist(), 100, 0.8 / np.sqrt(HOURS))
        assert ours.deflated_sharpe == pytest.approx(deflated, abs=2e-3)


def days(returns):
    return [column.reshape(-1, 24).sum(axis=1).tolist() for column in returns.values()]


@pytest.mark.parametrize("edges", [(), (1.5,), (2.2, 2.8), (6.0,)])
def test_snooping_is_as_another_package_finds_it(edges):
    returns = field(8, edges, seed=len(edges))
    found = measured(returns, replications=4_000)
    theirs = {"seed": 1, "n_boot": 4_000, "block_prob": 24 / found.block_length}
    consistent = sharpebench.spa_consistent_pvalue(days(returns), **theirs)
    assert found.snooping.consistent == pytest.approx(consistent, abs=0.03)
    white = sharpebench.reality_check_pvalue(days(returns), **theirs)
    assert found.snooping.reality_check == pytest.approx(white, abs=0.03)
    assert found.snooping.lower <= found.snooping.consistent <= found.snooping.upper


def test_the_step_down_is_as_another_package_has_it():
    returns = field(8, [5.0, 6.0, 1.0])
    found = measured(returns)
    theirs = sharpebench.step_down_significant(days(returns), block_prob=24 / found.block_length)
    ours = [found.policies[name].superior for name in returns]
    assert ours == theirs == [*[False] * 8, True, True, False]


def test_a_wild_policy_does_not_hide_what_others_gain():
    returns = field(8, [5.0])
    returns["wild"] = 10 * returns["p0"]  # its mean by luck alone is as large as the other's gain
    found = measured(returns)
    assert [name for name in returns if found.policies[name].superior] == ["p8"]
    assert found.snooping.consistent < 0.01 < found.snooping.reality_check


def test_reality_check_is_archs_own():
    returns = field(5, [2.0])
    sums = np.array(days(returns)).T
    found = measured(returns, seed=3)
    test = SPA(np.zeros(len(sums)), -sums, block_size=found.block_length / 24, seed=3)
    test.compute()
    assert found.snooping.reality_check == test.pvalues["upper"]


def test_all_may_be_superior():
    found = measured(field(0, [8.0, 9.0, 30.0]))
    assert all(policy.superior for policy in found.policies.values())
    assert measured(field(0, [8.0])).policies["p0"].superior


@pytest.mark.parametrize("edge", [None, 8.0])
def test_overfitting_is_as_another_package_counts_it(edge):
    returns = field(9, [] if edge is None else [edge], bars=2_400)
    theirs = sharpebench.probability_of_backtest_overfitting(np.array(days(returns)).T.tolist(), 10)
    assert measured(returns).overfitting == pytest.approx(theirs, abs=0.02)


def test_sums_of_blocks_are_sums_of_rows():
    values = np.random.default_rng(0).standard_normal((500, 3)).cumsum(axis=0) % 3.0
    sums = stationary_bootstrap_sums(values, 9.0, 400, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    rows = np.stack([values[stationary_bootstrap_rows(500, 9.0, rng)].sum(axis=0) for _ in sums])
    np.testing.assert_allclose(sums, rows, rtol=1e-9)


def test_intervals_cover_what_is_true():
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(60):
        holding = 0.005 * rng.standard_normal(600)
        returns = {"a": 0.0002 + 0.5 * holding + 0.002 * rng.standard_normal(600)}
        found = measured(returns, holding, replications=200).policies["a"]
        inside += found.over_holding.low < HOURS * 0.0002 < found.over_holding.high
        assert found.sharpe.low < found.sharpe.value < found.sharpe.high
        assert found.standard_error == pytest.approx(np.sqrt(HOURS / 600), rel=0.35)
    assert 50 <= inside <= 60


def test_what_has_to_be_beaten_is_the_better_of_nothing_and_holding():
    returns = field(2, [6.0])
    good = returns["p2"]
    losing, gaining = (move + 0.0 * good for move in (-0.001, 0.5 * good.mean()))
    assert measured(returns, losing).benchmark == "nothing"
    assert measured(returns, losing).verdict("p2").good
    found = measured({**returns, "holding": good}, good)
    assert found.benchmark == "holding"
    assert not found.policies["holding"].superior
    assert not found.policies["p2"].superior
    assert measured(returns, gaining).policies["p2"].superior  # by half of six standard errors


def test_a_verdict_asks_four_things():
    returns = field(5, [7.0, -7.0])
    found = measured(returns)
    assert found.verdict("p5").to_dict() == {
        "earns": True,
        "deflated": True,
        "superior": True,
        "holds": True,
        "good": True,
    }
    assert not found.verdict("p6").earns
    assert found.verdict("p5", [0.2, 0.1]).good
    one_lost = found.verdict("p5", [[0.2, 0.1], [0.3, -0.01]])
    assert not one_lost.holds
    assert not one_lost.good


def test_trials_lower_the_deflated_ratio_of_all():
    returns = field(3, [4.0])
    few, many = measured(returns), measured(returns, trials={"p0": 1_000, "elsewhere": 500})
    assert (few.trials, many.trials) == (4, 1_503)
    for name in returns:
        assert many.policies[name].deflated_sharpe <= few.policies[name].deflated_sharpe
        assert many.policies[name].probabilistic_sharpe == few.policies[name].probabilistic_sharpe
    assert few.verdict("p3").deflated
    assert not many.verdict("p3").deflated


def test_one_seed_repeats():
    returns = field(3)
    assert measured(returns, seed=4).to_dict() == measured(returns, seed=4).to_dict()
    assert measured(returns, seed=4).to_dict() != measured(returns, seed=5).to_dict()
    json.dumps(measured(returns).to_dict(), allow_nan=False)


@pytest.mark.parametrize("bars", [0, 1, 2, 15, 40])
@pytest.mark.parametrize("value", [0.0, 0.001, -1.0])
def test_constant_returns_are_no_evidence(bars, value):
    found = measured({"a": np.full(bars, value), "b": np.zeros(bars)}, np.zeros(bars))
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.snooping == Snooping()
    assert not found.verdict("a").good
    assert found.policies["a"].sharpe.value == 0.0
    assert (found.policies["a"].annual_log_return > 0) == (value > 0 and bars > 0)


def test_a_total_loss_is_finite():
    returns = field(2, [6.0])
    returns["lost"] = np.where(np.arange(BARS) == 1_000, -1.0, 0.0)
    found = measured(returns)
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.policies["lost"].annual_log_return < -20
    assert not found.verdict("lost").earns
    assert found.verdict("p2").good


@pytest.mark.parametrize(
    ("returns", "holding", "settings", "message"),
    [
        ({}, [0.0], {}, "returns name no policy"),
        ({"a": [0.1, 0.2]}, [0.1], {}, r"returns\['a'\] has 2 bars, holding 1"),
        ({"a": [0.1, np.nan]}, [0.1, 0.1], {}, r"returns\['a'\]\[1\] is nan"),
        ({"a": [0.1, -1.5]}, [0.1, 0.1], {}, "the returns of 'a' fall to -1.5"),
        ({"a": [0.1]}, [0.1], {"trials": {"a": -1}}, r"trials\['a'\] is -1"),
        ({"a": [0.1]}, [0.1], {"bars_per_year": 0}, "bars_per_year is 0"),
        ({"a": [0.1]}, [0.1], {"replications": 3}, "replications is 3"),
        ({"a": [0.1] * 3}, [0.1] * 3, {"trial_sharpe_std": -1.0}, "trial_sharpe_std is"),
    ],
)
def test_what_is_impossible_is_refused(returns, holding, settings, message):
    with pytest.raises(ConfigError, match=message):
        measure_luck(returns, holding, **{"bars_per_year": HOURS, **settings})


def test_a_policy_that_was_not_measured_has_no_verdict():
    with pytest.raises(ConfigError, match="no policy 'b' was measured; got a"):
        measured({"a": [0.1]}, [0.1]).verdict("b")


def test_holding_together_by_hand():
    #                    two windows of three seeds: 3 and 2 of them hold
    found = hold_together([[0.1, 0.2], [0.1, -0.1], [0.3, 0.2]])
    assert found.share == pytest.approx(5 / 6)
    assert not found.every
    assert found.pass_k == pytest.approx(((1 + 2 / 3) / 2, (1 + 1 / 3) / 2, 0.5))
    assert hold_together([0.1, 0.2]).every
    assert hold_together([0.1, 0.2], level=0.15).pass_k == (0.5, 0.0)
    assert not hold_together([0.0]).every  # what earns nothing does not hold
    assert hold_together([]).pass_k == ()
    assert not hold_together(np.zeros((3, 0))).every
    with pytest.raises(ConfigError, match="expected finite numbers by seed"):
        hold_together([[np.nan]])
