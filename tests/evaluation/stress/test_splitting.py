"""Importance splitting, held against chances that are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from scipy.stats import chi2

from worldmodel_trading.evaluation.stress.conditions import Condition, Progress
from worldmodel_trading.evaluation.stress.guide import Guide, defended, systematic, wider
from worldmodel_trading.evaluation.stress.splitting import (
    Sampled,
    sample_condition,
    sample_plainly,
)
from worldmodel_trading.evaluation.stress.steppers import DreamStepper, SyntheticStepper
from worldmodel_trading.market.arrays import FloatArray, IntArray
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.synthetic import SyntheticMarket
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.load import open_world_model

SIGMA = 0.01


class Still(NamedTuple):
    """Nothing but how many lanes there are."""

    lanes: FloatArray


class Walk:
    """A random walk: Σ r² of T bars is σ² times a chi-square variable, so its law is known."""

    def start(self, count: int, rng: np.random.Generator) -> Still:
        return Still(np.zeros(count))

    def step(self, state: Still, rng: np.random.Generator) -> FloatArray:
        count = len(state.lanes)
        bars = np.zeros((count, 4))
        bars[:, 0], bars[:, 3] = SIGMA * rng.standard_normal(count), 1.0
        return bars

    def leap(self, state: Still, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        bars = self.step(state, rng)
        shocks, log_weight = wider(bars[:, 0] / SIGMA, rng)
        bars[:, 0] = SIGMA * shocks
        return bars, log_weight

    def copy(self, state: Still, which: IntArray) -> Still:
        return Still(state.lanes[which])

    def join(self, states: Sequence[Still]) -> Still:
        return Still(np.concatenate([state.lanes for state in states]))

    def outlook(self, state: Still) -> FloatArray:
        return np.zeros((len(state.lanes), 1))

    def usual_volume(self, state: Still) -> FloatArray:
        return np.ones(len(state.lanes))


def test_a_known_chance_is_covered_again_and_again_with_a_tenth_of_the_dreams() -> None:
    condition = Condition("volatility", False, SIGMA * np.sqrt(36.0), 12)
    truth = float(chi2.sf(36.0, 12))  # 3.2e-4
    found = [
        sample_condition(Walk(), condition, 1024, np.random.default_rng(seed)) for seed in range(20)
    ]
    covered = sum(one.probability.low <= truth <= one.probability.high for one in found)
    assert covered >= 17
    groups = np.concatenate([one.by_group for one in found])
    error = groups.std(ddof=1) / np.sqrt(len(groups))
    assert abs(groups.mean() - truth) < 3.0 * error  # unbiased
    plain = truth * (1.0 - truth) / error**2
    assert plain > 10 * sum(one.lanes for one in found)


def test_a_bad_guess_costs_exactness_but_no_truth() -> None:
    condition = Condition("volatility", False, SIGMA * np.sqrt(24.0), 12)
    truth, groups = float(chi2.sf(24.0, 12)), []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        guide = Guide.learn(Walk(), condition, 128, rng)
        guide.weights[..., -1] += 1.0  # everything looks e times wilder than it is
        found = sample_condition(Walk(), condition, 2048, rng, guide=guide)
        assert found.lanes == 2048  # who taught the guide is not counted here
        groups.append(found.by_group)
    every = np.concatenate(groups)
    assert abs(every.mean() - truth) < 3.0 * every.std(ddof=1) / np.sqrt(len(every))
    assert every.std(ddof=1) < truth


def test_the_synthetic_market_s_chance_is_that_of_very_many_plain_paths() -> None:
    stepper = SyntheticStepper(SyntheticMarket())
    condition = Condition.parse("return < -0.12 within 12")
    plain = sample_plainly(stepper, condition, 200_000, np.random.default_rng(1)) / 200_000
    found = sample_condition(stepper, condition, 4096, np.random.default_rng(0))
    assert 1e-4 < plain < 2e-3
    spread = 2 * np.sqrt(plain / 200_000)
    assert found.probability.low - spread < plain < found.probability.high + spread
    assert found.saving > 5.0


@pytest.fixture(scope="module")
def crash() -> Sampled:
    stepper = DreamStepper(open_world_model("default"))
    condition = Condition.parse("return < -0.1 within 12")
    return sample_condition(stepper, condition, 768, np.random.default_rng(3), groups=4)


def test_paths_meet_the_condition_and_weigh_one(crash: Sampled) -> None:
    assert crash.weights.sum() == pytest.approx(1.0)
    assert 1.0 <= crash.effective <= len(crash.weights)
    assert 1 <= crash.ancestors <= len(crash.weights)
    progress = Progress(crash.condition, len(crash.weights))
    for t in range(12):
        progress.live(crash.bars[:, t], np.ones(len(crash.weights)))
    assert progress.hit.all()
    assert crash.probability.value == pytest.approx(crash.by_group.mean())


def test_the_bars_are_what_the_dream_drew_from_where_they_begin(crash: Sampled) -> None:
    """Living them again ends where their times say, and the guessing left no bar out."""
    stepper = DreamStepper(open_world_model("default"))
    state = stepper.copy(crash.begun, np.arange(len(crash.weights)))
    before = state.open_time_ms.copy()
    for t in range(12):
        stepper.advance(state, np.random.default_rng(0), crash.bars[:, t])
    assert (state.open_time_ms - before == 12 * stepper.engine.interval_ms).all()
    assert (state.bars == crash.bars[:, -1]).all()
    assert np.unique(crash.bars[..., 0].sum(axis=1)).size > 10  # not copies of one


def test_bars_lived_again_leave_a_dream_where_it_was() -> None:
    stepper = DreamStepper(open_world_model("default"))
    rng = np.random.default_rng(1)
    dreamed = stepper.start(16, rng)
    again = stepper.copy(dreamed, np.arange(16))
    for _ in range(5):
        stepper.leap(dreamed, rng)
        stepper.advance(again, rng, dreamed.bars)
    for one, other in zip(dreamed.lanes, again.lanes, strict=True):
        assert (one == other).all()


def test_dreams_of_several_members_are_split_too(family: BarWorldModel) -> None:
    stepper = DreamStepper(family)
    condition = Condition.parse("return < -0.04 within 12")
    plain = sample_plainly(stepper, condition, 20_000, np.random.default_rng(1)) / 20_000
    found = sample_condition(stepper, condition, 2_048, np.random.default_rng(0))
    spread = 2 * np.sqrt(plain / 20_000)
    assert 1e-3 < plain < 0.2
    assert found.probability.low - spread < plain < found.probability.high + spread
    assert {0, 1} <= set(found.begun.member)  # each dream is one member's, copies too


def test_lanes_of_several_members_are_copied_and_joined_whole(family: BarWorldModel) -> None:
    stepper, rng = DreamStepper(family), np.random.default_rng(2)
    state = stepper.start(6, rng)
    halves = [stepper.copy(state, np.arange(0, 3)), stepper.copy(state, np.arange(3, 6))]
    again = stepper.join(halves)
    noise = [stepper.step(one, np.random.default_rng(5)) for one in (state, again)]
    np.testing.assert_array_equal(*noise)
    np.testing.assert_array_equal(state.member, again.member)
    assert not np.array_equal(state.bars, halves[0].bars.repeat(2, axis=0))


def test_systematic_draws_are_as_even_as_the_weights_allow() -> None:
    weights = np.array([[1.0, 2.0, 1.0], [0.0, 0.0, 1.0]])
    drawn = systematic(weights, 8, np.random.default_rng(0))
    assert np.bincount(drawn[0], minlength=3).tolist() == [2, 4, 2]
    assert drawn[1].tolist() == [2] * 8


def test_what_never_happens_has_an_upper_end() -> None:
    condition = Condition.parse("return < -0.9 within 2")
    found = sample_condition(Walk(), condition, 512, np.random.default_rng(0))
    assert len(found.weights) == 0
    assert found.probability.value == found.probability.low == 0.0
    assert 0.0 < found.probability.high < 0.02
    assert found.effective == found.saving == 0.0


def test_too_few_paths_are_refused() -> None:
    condition = Condition.parse("return < -0.1 within 2")
    with pytest.raises(ConfigError, match="16 paths in 8 groups"):
        sample_condition(Walk(), condition, 16, np.random.default_rng(0))


def test_no_lane_is_given_up() -> None:
    """Half of a thousand moments can meet the condition, and the guess says that they hardly will.

    Drawn by 1e-4 against 1 they would be 1 in 10,000. With a tenth of the mean chance, 0.05, for all,
    they are 0.0501 ÷ (0.0501 + 1.05) of those drawn, and stand for half of what there is.
    """
    chance = np.where(np.arange(1_000) < 500, 1e-4, 1.0)
    drawn_by = defended(chance, chance.mean())
    which = systematic(drawn_by[None], 3_000, np.random.default_rng(0))[0]
    stands_for = drawn_by.mean() / drawn_by[which]
    assert (which < 500).mean() == pytest.approx(0.0501 / 1.1001, abs=1e-3)
    assert (stands_for * (which < 500)).mean() == pytest.approx(0.5, abs=0.01)
    assert stands_for.max() == pytest.approx(0.55005 / 0.0501, rel=2e-3)
