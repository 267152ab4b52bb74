from dataclasses import astuple

import numpy as np
import pytest
from dreamed_paths import NAMES, some_paths

from worldmodel_trading.evaluation.fidelity.distances import (
    FactDistances,
    bootstrap_distances,
    compare_facts,
    noise_floor,
)
from worldmodel_trading.evaluation.fidelity.paths import Dreams
from worldmodel_trading.evaluation.fidelity.stylised import PathFacts


def test_facts_equal_to_themselves():
    facts = PathFacts(some_paths(), NAMES).facts()
    assert compare_facts(facts, facts) == FactDistances(
        sigma_ratio=1.0,
        kurtosis_ratio_1=1.0,
        kurtosis_ratio_4=1.0,
        kurtosis_ratio_24=1.0,
        kurtosis_ratio_168=1.0,
        abs_acf_rmse=0.0,
        abs_acf_168_difference=0.0,
        hill_index=facts.hill_index,
        return_acf_1=facts.return_acf_1,
        leverage=facts.leverage,
        volume_rank_difference=0.0,
        range_given_return_error=0.0,
    )


def test_intervals_hold_the_truth_and_see_a_difference():
    real, same, wider = (
        PathFacts(some_paths(seed=s, degrees=d)) for s, d in ((0, 5), (1, 5), (2, 3))
    )
    floor = noise_floor(real, np.random.default_rng(0))
    assert floor.sigma_ratio.low < 1 < floor.sigma_ratio.high
    assert floor.abs_acf_rmse.low > 0
    alike, apart = (
        bootstrap_distances(dreamed, real.facts(), np.random.default_rng(0)).sigma_ratio
        for dreamed in (same, wider)
    )
    assert alike.low < 1 < alike.high
    assert alike.value == pytest.approx(same.facts().sigma / real.facts().sigma)
    assert apart.low > 1


def test_what_either_side_lacks_is_left_out():
    short, whole = (PathFacts(some_paths(bars=bars), NAMES).facts() for bars in (24, 720))
    for distances in (compare_facts(short, whole), compare_facts(whole, short)):
        assert distances.abs_acf_rmse is None
        assert distances.kurtosis_ratio_168 is None
        assert {"abs_acf_rmse", "kurtosis_ratio_168"}.isdisjoint(distances.to_dict())
        assert distances.kurtosis_ratio_24 is not None


def test_one_path_has_no_halves():
    floor = noise_floor(PathFacts(Dreams(np.zeros((1, 200)))), np.random.default_rng(0))
    assert set(astuple(floor)) == {None}
