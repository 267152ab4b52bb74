import numpy as np
import pytest

from worldmodel_trading.evaluation.fidelity.paths import (
    BAR_COLUMNS,
    Dreams,
    dream,
    recorded_latents,
    recorded_paths,
)
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.features import FeatureSpec, compute_features
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.world_model import WorldModel

SPEC = FeatureSpec(horizons=(6, 24))


@pytest.fixture(scope="module")
def world_model():
    return WorldModel.from_pretrained("default")


def test_dreams_repeat_and_differ_by_seed(world_model):
    first, again, other = (dream(world_model, 6, 20, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.log_return, again.log_return)
    np.testing.assert_array_equal(first.h, again.h)
    assert not np.array_equal(first.log_return, other.log_return)
    assert first.features.shape == (6, 20, len(BAR_COLUMNS))
    assert first.z.shape == (6, 20, world_model.config.latent_size)


def test_states_do_not_change_the_dream(world_model):
    kept = dream(world_model, 4, 10, seed=1)
    bare = dream(world_model, 4, 10, seed=1, keep_states=False)
    np.testing.assert_array_equal(kept.log_return, bare.log_return)
    assert bare.features is None


def test_cold_dreams_are_all_modes(world_model):
    cold = dream(world_model, 4, 30, seed=1, temperature=0.0)
    again = dream(world_model, 4, 30, seed=2, temperature=0.0)
    np.testing.assert_array_equal(cold.log_return, again.log_return)


def test_recorded_paths_follow_each_other_and_skip_gaps():
    candles = synthetic_candles(seed=1, bars=400)
    keep = np.r_[0:200, 210:400]
    names = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
    gapped = Candles(*(getattr(candles, name)[keep] for name in names), interval="60")
    paths = recorded_paths(gapped, 50, SPEC)
    features = compute_features(gapped, SPEC)
    starts = [24, 74, 124, 224, 274, 324]
    assert len(paths) == len(starts)
    for path, shown, start in zip(paths.log_return, paths.features, starts, strict=True):
        expected = np.diff(np.log(gapped.close[start - 1 : start + 50]))
        np.testing.assert_allclose(path, expected, atol=1e-12)
        np.testing.assert_array_equal(shown, features[start : start + 50])


def test_lanes_and_ages_cut_every_part():
    returns = np.arange(12.0).reshape(3, 4)
    dreams = Dreams(returns, returns[..., None], name="x")
    cut = dreams.lanes(np.array([2, 0])).ages(1, 3)
    assert cut.log_return.tolist() == [[9, 10], [1, 2]]
    assert cut.features[..., 0].tolist() == [[9, 10], [1, 2]]
    assert cut.z is None
    assert (cut.name, cut.bars, len(cut)) == ("x", 2, 2)


def test_recorded_latents_are_those_of_the_model(world_model):
    candles = synthetic_candles(seed=1, bars=600)
    z, h = recorded_latents(world_model, candles, max_rows=50)
    latents = world_model.latents(candles)
    assert z.shape == (50, world_model.config.latent_size)
    np.testing.assert_array_equal(z[-1], latents.z[-1])
    np.testing.assert_array_equal(h[-1], latents.h[-1])


def test_wrong_input_is_named(world_model):
    with pytest.raises(ConfigError, match="shape"):
        Dreams(np.zeros((0, 5)))
    with pytest.raises(ConfigError, match="not finite"):
        Dreams(np.full((2, 2), np.nan))
    with pytest.raises(ConfigError, match="no window of 500"):
        recorded_paths(synthetic_candles(seed=1, bars=400), 500, SPEC)
    with pytest.raises(ConfigError, match="no recorded bar"):
        recorded_latents(world_model, synthetic_candles(seed=1, bars=50))
