"""What the tests of several rooms share: small candles, and world models trained in seconds."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from worldmodel_trading.market.candles import Candles
    from worldmodel_trading.models.bar_world_model import BarWorldModel
    from worldmodel_trading.models.bars.config import MarketConfig
    from worldmodel_trading.models.paper_world_model import PaperWorldModel
    from worldmodel_trading.models.presets import AnyConfig
    from worldmodel_trading.models.world_model import WorldModel

TRAIN_BARS, KNOWN_BARS = 1_500, 1_900

# A shell starts its background jobs deaf to Ctrl-C, and children inherit that: the tests of Ctrl-C
# must not depend on how the suite was started.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def exchange() -> ModuleType:
    """The loopback server and its faults."""
    import bybit_server

    return bybit_server


@pytest.fixture
def bybit(exchange: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A running server, and no proxy between it and the client."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = exchange.BybitServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def candles() -> Candles:
    """2,600 bars of the synthetic market; the tiny models know the first 1,900."""
    from worldmodel_trading.market.synthetic import synthetic_candles

    return synthetic_candles(seed=5, bars=2_600)


@pytest.fixture(scope="session")
def paper_model(candles: Candles) -> PaperWorldModel:
    """A tiny world model of the ``paper`` preset."""
    from worldmodel_trading.models.config import PaperConfig
    from worldmodel_trading.models.paper_world_model import PaperWorldModel

    config = PaperConfig(
        latent_size=3,
        vae_hidden_size=16,
        vae_epochs=4,
        kl_warmup_epochs=2,
        hidden_size=6,
        num_components=2,
        mdn_rnn_epochs=3,
        chunk_bars=48,
        burn_in_bars=12,
        warmup_bars=24,
        bank_segments=16,
    )
    model = _train(candles, config)
    assert isinstance(model, PaperWorldModel)
    return model


@pytest.fixture(scope="session")
def market_config() -> MarketConfig:
    """The settings of the tiny world model of the ``market`` preset."""
    from worldmodel_trading.models.bars.config import MarketConfig

    return MarketConfig(
        latent_size=3,
        forecast_size=2,
        vae_hidden_size=16,
        calendar_size=3,
        trunk_size=12,
        hidden_size=6,
        num_components=2,
        head_size=8,
        forecast_epochs=2,
        vae_epochs=2,
        mdn_rnn_epochs=2,
        head_epochs=2,
        teachers=1,
        chunk_bars=48,
        burn_in_bars=12,
        warmup_bars=24,
        bank_segments=16,
        calibration_rounds=2,
    )


@pytest.fixture(scope="session")
def market_model(candles: Candles, market_config: MarketConfig) -> BarWorldModel:
    """A tiny world model of the ``market`` preset, which draws bars."""
    from worldmodel_trading.models.bar_world_model import BarWorldModel

    model = _train(candles, market_config)
    assert isinstance(model, BarWorldModel)
    return model


@pytest.fixture(scope="session")
def _trained_family(
    candles: Candles, market_config: MarketConfig
) -> tuple[BarWorldModel, tuple[str, ...]]:
    from dataclasses import replace

    from worldmodel_trading.models.bar_world_model import BarWorldModel
    from worldmodel_trading.models.training.train import train_world_model

    config = replace(market_config, members=3, resample_months=True, calibration_rounds=0)
    train, validation = candles.rows(0, TRAIN_BARS), candles.rows(TRAIN_BARS, KNOWN_BARS)
    model, history = train_world_model(train, validation, config, seed=1)
    assert isinstance(model, BarWorldModel)
    return model, history.stages


@pytest.fixture(scope="session")
def family(_trained_family: tuple[BarWorldModel, tuple[str, ...]]) -> BarWorldModel:
    """Three members, the second and third taught by months drawn with replacement."""
    return _trained_family[0]


@pytest.fixture(scope="session")
def family_stages(_trained_family: tuple[BarWorldModel, tuple[str, ...]]) -> tuple[str, ...]:
    """The stages of the family's training."""
    return _trained_family[1]


@pytest.fixture(params=["market", "paper"])
def tiny_model(request: pytest.FixtureRequest) -> WorldModel:
    """A tiny model of each preset, one after the other."""
    model: WorldModel = request.getfixturevalue(f"{request.param}_model")
    return model


def _train(candles: Candles, config: AnyConfig) -> WorldModel:
    import torch

    from worldmodel_trading.models.training.train import train_world_model

    torch.set_num_threads(1)
    train, validation = candles.rows(0, TRAIN_BARS), candles.rows(TRAIN_BARS, KNOWN_BARS)
    return train_world_model(train, validation, config, seed=1)[0]
