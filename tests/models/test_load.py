"""What is opened as a world model, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldmodel_trading import DreamEnv, JointWorldModel, open_world_model
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models import BarWorldModel, WorldModel


def test_a_world_model_is_itself_and_a_folder_holds_it(
    market_model: WorldModel, tmp_path: Path
) -> None:
    assert open_world_model(market_model) is market_model
    market_model.save_pretrained(tmp_path)
    assert open_world_model(tmp_path).fingerprint == market_model.fingerprint
    assert open_world_model() is open_world_model("default")


def test_one_of_several_symbols_is_asked_for_by_its_symbol(
    market_model: BarWorldModel, tmp_path: Path
) -> None:
    joint = JointWorldModel({"SYNTH": market_model})
    with pytest.raises(
        ConfigError, match=r"of SYNTH is given .*take one symbol's, \.of\('SYNTH'\)"
    ):
        DreamEnv(joint)  # type: ignore[arg-type]
    joint.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"name a folder in it, one of SYNTH"):
        open_world_model(tmp_path)
    assert open_world_model(tmp_path / "SYNTH").fingerprint == joint.of("SYNTH").fingerprint


@pytest.mark.parametrize("given", [3, None, ["default"]])
def test_what_is_no_world_model_is_named(given: object) -> None:
    with pytest.raises(ConfigError, match=rf"the world model is {type(given).__name__}; expected"):
        open_world_model(given)  # type: ignore[arg-type]
