"""How many regimes there are, where that is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from worldmodel_trading.models.regimes import choice
from worldmodel_trading.models.regimes.chain import Chain, likeliest
from worldmodel_trading.models.regimes.choice import STABLE, choose


@pytest.fixture(scope="module")
def coordinate() -> np.ndarray:
    """Three levels, each stayed in for 100 bars in the mean [T]."""
    rng = np.random.default_rng(4)
    levels = np.repeat(rng.permutation(np.resize(np.arange(3), 90)), rng.geometric(0.01, 90))
    return 4.0 * levels + rng.normal(size=len(levels))


def test_as_many_regimes_are_chosen_as_there_are(coordinate: np.ndarray) -> None:
    found, trials = choose([coordinate], None, "hmm", 0, 4)
    assert [trial.count for trial in trials] == [2, 3, 4, 5, 6]
    assert found.trial.count == 3
    assert found.trial.stability >= STABLE


def test_stability_is_what_three_of_four_resamples_reach(
    coordinate: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    refits: list[Chain] = []
    fit = Chain.fit

    def noted(*arguments: object) -> object:
        refits.append((made := fit(*arguments)).chain)  # type: ignore[arg-type]
        return made

    monkeypatch.setattr(choice.Chain, "fit", noted)
    noisy = coordinate + np.random.default_rng(5).normal(size=len(coordinate)) * 3.0
    found, _ = choose([noisy], 4, "hmm", 0, 9)
    mine, *theirs = (likeliest(chain.filter(noisy)) for chain in refits)
    scores = sorted(adjusted_rand_score(mine, labels) for labels in theirs)
    assert len(scores) == 9
    assert scores[0] < scores[2] < scores[-1]
    assert found.trial.stability == pytest.approx(scores[2])
