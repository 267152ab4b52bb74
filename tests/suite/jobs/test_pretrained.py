"""The world model that ships: how it is made, and its card."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldmodel_trading import MarketConfig, WorldModel
from worldmodel_trading.evaluation import FidelityConfig
from worldmodel_trading.jobs.pretrained import CARD, build_pretrained

QUICK = MarketConfig(forecast_epochs=1, vae_epochs=1, mdn_rnn_epochs=1, head_epochs=1)
GLANCE = FidelityConfig(
    num_dreams=16,
    bars=168,
    decay_dreams=4,
    controllers=8,
    rank_dreams=2,
    outlook_paths=8,
    control_epochs=1,
)


@pytest.mark.slow
def test_it_is_trained_measured_and_saved_with_its_card(tmp_path: Path) -> None:
    build_pretrained(tmp_path / "model", QUICK, GLANCE)
    world_model = WorldModel.from_pretrained(tmp_path / "model")
    assert world_model.config == QUICK
    assert world_model.provenance.source == "synthetic_candles(seed=0)"
    card = (tmp_path / "model" / CARD).read_text(encoding="utf-8")
    assert world_model.provenance.data_hash in card
    assert "**Not for anything about a real market.**" in card
    assert "| impossible bars, share | 0.000 |" in card


def test_the_card_that_ships_is_of_the_model_that_ships() -> None:
    world_model = WorldModel.from_pretrained("default")
    card = (Path(__file__).parents[3] / "models" / "pretrained" / "default" / CARD).read_text(
        "utf-8"
    )
    assert world_model.provenance.data_hash in card
    for name, number in world_model.provenance.versions.items():
        assert f"{name} {number}" in card
