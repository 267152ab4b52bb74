import pytest
import torch

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.config import PaperConfig
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel

TRAIN_BARS, VALIDATION_BARS = 1_200, 400


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def paper_config() -> PaperConfig:
    """The settings of the tiny world model of the ``paper`` preset, its dreams not calibrated."""
    return PaperConfig(
        vae_epochs=3,
        vae_hidden_size=16,
        hidden_size=12,
        num_components=3,
        latent_size=5,
        mdn_rnn_epochs=3,
        chunk_bars=48,
        burn_in_bars=12,
        warmup_bars=24,
        bank_segments=10,
        calibration_rounds=0,
    )


@pytest.fixture(scope="session")
def split(candles: Candles) -> tuple[Candles, Candles]:
    return (
        candles.rows(0, TRAIN_BARS),
        candles.rows(TRAIN_BARS, TRAIN_BARS + VALIDATION_BARS),
    )


@pytest.fixture(scope="session")
def paper_model(split: tuple[Candles, Candles], paper_config: PaperConfig) -> WorldModel:
    """A tiny world model of the ``paper`` preset."""
    return train_world_model(*split, paper_config, seed=5, source="synthetic")[0]


@pytest.fixture(params=["market", "paper"])
def world_model(request: pytest.FixtureRequest) -> WorldModel:
    """Each preset in turn."""
    model: WorldModel = request.getfixturevalue(f"{request.param}_model")
    return model


@pytest.fixture(scope="session")
def default_model() -> WorldModel:
    """The pretrained model that ships."""
    return WorldModel.from_pretrained("default")


@pytest.fixture(scope="session")
def unseen_candles() -> Candles:
    """Bars of the synthetic market on another seed than the default model's."""
    return synthetic_candles(seed=77, bars=3_000)
