import json

import pytest

from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.features import FeatureSpec
from worldmodel_trading.models.config import PaperConfig


def test_survives_json():
    config = PaperConfig(features=FeatureSpec((4, 30), detrend_volume=False), hidden_size=17)
    assert PaperConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_an_unknown_setting_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"'hiden_size'; did you mean 'hidden_size'\?"):
        PaperConfig.from_dict({"hiden_size": 3})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("features", (6, 24)),
        ("latent_size", 1),
        ("latent_size", 8.0),
        ("hidden_size", True),
        ("hidden_size", 10**12),
        ("num_components", 0),
        ("kl_weight", -0.1),
        ("kl_weight", float("nan")),
        ("mdn_rnn_learning_rate", 0.0),
        ("gradient_clip", float("inf")),
        ("ema_decay", 1.0),
        ("burn_in_bars", 100_000),
        ("vae_epochs", "40"),
    ],
)
def test_impossible_values_are_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=name):
        PaperConfig(**{name: value})


@pytest.mark.parametrize(
    "features", [None, [6, 24], {"horizons": "6"}, {"horizons": [1]}, {"detrend_volume": 1}]
)
def test_impossible_features_are_refused(features):
    with pytest.raises(ConfigError, match=r"features|horizons|detrend_volume"):
        PaperConfig.from_dict({"features": features})


def test_it_is_frozen():
    with pytest.raises(AttributeError):
        PaperConfig().hidden_size = 3  # type: ignore[misc]
