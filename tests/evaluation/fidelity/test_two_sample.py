import numpy as np
import pytest

from worldmodel_trading.evaluation.fidelity.paths import Dreams
from worldmodel_trading.evaluation.fidelity.two_sample import (
    describe_windows,
    real_against_real,
    two_sample_score,
)
from worldmodel_trading.market.errors import ConfigError

NAMES = ("range", "log_volume")


def _normal(num, bars, seed, scale=0.01):
    return Dreams(scale * np.random.default_rng(seed).standard_normal((num, bars)))


def _clustered(num, bars, seed):
    """The same histogram of volatilities as `_shuffled`, in runs of 24 bars."""
    rng = np.random.default_rng(seed)
    volatility = np.repeat(np.exp(rng.standard_normal((num, bars // 24))), 24, axis=1)
    return Dreams(0.01 * volatility * rng.standard_normal((num, bars)))


def _shuffled(dreams, seed):
    order = np.random.default_rng(seed).permutation(dreams.log_return.size)
    return Dreams(dreams.log_return.ravel()[order].reshape(dreams.log_return.shape))


def test_the_same_process_cannot_be_told_apart():
    score = two_sample_score(_normal(120, 48, 0), _normal(24, 480, 1), seed=0)
    assert score.value < 0.1
    assert score.low == 0.0


def test_another_scale_is_seen_at_once():
    score = two_sample_score(_normal(60, 48, 0), _normal(60, 48, 1, scale=0.02), seed=0)
    assert score.value > 0.45
    assert score.low > 0.4


def test_lost_memory_is_seen():
    clustered = _clustered(150, 48, 0)
    score = two_sample_score(clustered, _shuffled(clustered, 1), seed=0)
    assert score.value > 0.15


def test_a_link_between_volume_and_return_is_seen_only_with_features():
    rng = np.random.default_rng(2)
    returns = 0.01 * rng.standard_normal((2, 80, 48))
    ranges = np.abs(returns) + 0.005
    volume = rng.standard_normal((2, 80, 48))
    volume[0] = np.abs(returns[0]) / 0.01
    volume[0] = (volume[0] - volume[0].mean()) / volume[0].std()
    first, second = (Dreams(returns[i], np.stack([ranges[i], volume[i]], axis=-1)) for i in (0, 1))
    blind = two_sample_score(first, second, seed=0)
    seeing = two_sample_score(first, second, seed=0, feature_names=NAMES)
    assert blind.value < 0.1
    assert seeing.value > 0.4


def test_it_repeats():
    sides = _clustered(30, 48, 0), _normal(30, 48, 1)
    assert two_sample_score(*sides, seed=3) == two_sample_score(*sides, seed=3)


def test_noise_floor_sees_drift_between_halves_and_not_between_fortnights():
    returns = _normal(210, 48, 5).log_return * np.linspace(0.5, 2.0, 210)[:, None]
    floor = real_against_real(Dreams(returns), seed=0)
    assert floor.shuffled_fortnights.value < 0.15
    assert floor.first_half_against_second.value > 0.2


def test_descriptions_are_finite_on_flat_windows():
    flat = Dreams(np.zeros((3, 100)), np.zeros((3, 100, 2)))
    described = describe_windows(flat, 48, NAMES)
    assert len(described) == 6
    assert np.isfinite(described).all()


def test_too_few_windows_are_named():
    with pytest.raises(ConfigError, match="5 windows"):
        two_sample_score(_normal(5, 48, 0), _normal(50, 48, 1), seed=0)
