"""Settings of a world model of bars."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.streams import StreamSpec
from worldmodel_trading.models.bars.config import MarketConfig
from worldmodel_trading.models.config import PaperConfig
from worldmodel_trading.models.presets import default_config, read_config


def test_settings_go_through_json(market_config: MarketConfig) -> None:
    for config in (market_config, MarketConfig.for_interval("D", dropout=0.25)):
        told = json.loads(json.dumps(config.to_dict()))
        assert told["preset"] == "market"
        assert read_config(told) == config


def test_a_preset_has_the_settings_of_its_kind() -> None:
    assert default_config("240", latent_size=12) == MarketConfig(
        features=StreamSpec("240"), latent_size=12
    )
    assert isinstance(default_config("60", "paper"), PaperConfig)
    assert read_config(PaperConfig(hidden_size=17).to_dict()) == PaperConfig(hidden_size=17)
    for preset in ("Market", "bars", None, 3):
        with pytest.raises(ConfigError, match="expected one of market, paper"):
            read_config({"preset": preset})


def test_bars_of_a_week_are_remembered_for_less() -> None:
    weekly, hourly = MarketConfig.for_interval("W"), MarketConfig()
    assert weekly.features.interval == "W"
    assert weekly.chunk_bars < hourly.chunk_bars
    assert weekly.warmup_bars < hourly.warmup_bars


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"latent_size": 0}, "latent_size"),
        ({"num_components": 1.5}, "num_components"),
        ({"dropout": 1.0}, "dropout"),
        ({"feature_dropout": -0.1}, "feature_dropout"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"gradient_clip": float("nan")}, "gradient_clip"),
        ({"chunk_bars": 1}, "chunk_bars"),
        ({"calibration_rounds": -1}, "calibration_rounds"),
        ({"forecast_size": 16}, "forecast_size is 16; expected less than latent_size, 16"),
        ({"burn_in_bars": 192}, "burn_in_bars is 192; expected less than chunk_bars, 192"),
        ({"features": "60"}, "expected a StreamSpec"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        MarketConfig(**settings)


@pytest.mark.parametrize(
    "change",
    [
        {"spare": 1},
        {"features": {"interval": "61"}},
        {"features": {"interval": "60", "horizons": [2, 3]}},
        {"features": None},
        {"hidden_size": "64"},
    ],
)
def test_plain_values_that_fit_no_settings_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        read_config({**MarketConfig().to_dict(), **change})


def test_settings_do_not_change(market_config: MarketConfig) -> None:
    other = replace(market_config, dropout=0.1)
    assert other != market_config
    with pytest.raises(AttributeError):
        other.dropout = 0.2  # type: ignore[misc]
