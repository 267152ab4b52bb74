"""One training of several symbols: each is a world model, and none is trained on another's future."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from worldmodel_trading.envs.engine.opening import open_engine
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, ModelFileError, TrainingError
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.bars.config import MarketConfig
from worldmodel_trading.models.config import PaperConfig
from worldmodel_trading.models.joint_world_model import JointWorldModel
from worldmodel_trading.models.training.fine_tuning import FineTuneConfig
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel

SYMBOLS = ("ONEUSDT", "TWOUSDT")


def market(number: int) -> Candles:
    candles = synthetic_candles(seed=20 + number, bars=1_900)
    return replace(candles, symbol=SYMBOLS[number], instrument=None)


def split(cut: int = 1_500) -> tuple[list[Candles], list[Candles]]:
    both = [market(0), market(1)]
    return [one.rows(0, cut) for one in both], [one.rows(1_500, 1_900) for one in both]


@pytest.fixture(scope="module")
def joint(market_config: MarketConfig) -> JointWorldModel:
    made, history = train_world_model(*split(), market_config, seed=4)
    assert isinstance(made, JointWorldModel)
    assert history.stages == ("teacher_1", "forecast", "vae", "mdn_rnn", "heads")
    return made


def test_a_symbol_s_world_model_is_one_as_any_other(joint: JointWorldModel) -> None:
    assert joint.symbols == SYMBOLS
    one = joint.of("ONEUSDT")
    assert one.provenance.symbol == "ONEUSDT"
    assert one.provenance.together == {"TWOUSDT": split()[0][1].data_hash()}
    forecast = one.return_forecast(market(0))
    assert np.isfinite(forecast.means[400:]).all()
    assert open_engine(one).num_segments == len(one.bank)


def test_symbols_share_v_and_m_but_for_what_tells_them_apart(joint: JointWorldModel) -> None:
    one, two = joint.of("ONEUSDT"), joint.of("TWOUSDT")
    for name, tensor in one.vae.state_dict().items():
        assert torch.equal(tensor, two.vae.state_dict()[name]), name
    others = two.mdn_rnn.state_dict()
    own = {"calendar", "return_scale", "calibration", "noise_calibration", "mean_trust"}
    for name, tensor in one.mdn_rnn.state_dict().items():
        assert name in own or torch.equal(tensor, others[name]), name
    apart = one.mdn_rnn.calendar - two.mdn_rnn.calendar
    assert apart[:48].abs().max() > 0.0
    torch.testing.assert_close(apart[:48], apart[:1].expand(48, -1))  # one row for all hours
    assert torch.equal(apart[48:], torch.zeros_like(apart[48:]))


def test_a_folder_keeps_it(joint: JointWorldModel, tmp_path: Path) -> None:
    joint.save_pretrained(tmp_path)
    read = JointWorldModel.from_pretrained(tmp_path)
    assert (read.symbols, read.fingerprint) == (joint.symbols, joint.fingerprint)
    alone = WorldModel.from_pretrained(tmp_path / "TWOUSDT")
    assert alone.fingerprint == joint.of("TWOUSDT").fingerprint
    alone.save_pretrained(tmp_path / "ONEUSDT")
    with pytest.raises(ModelFileError, match="not those that were saved together"):
        JointWorldModel.from_pretrained(tmp_path)
    said = json.loads((tmp_path / "joint.json").read_text())
    (tmp_path / "joint.json").write_text(json.dumps(said | {"symbols": ["../elsewhere"]}))
    with pytest.raises(ModelFileError, match="no joint world model"):
        JointWorldModel.from_pretrained(tmp_path)
    with pytest.raises(ModelFileError, match="missing"):
        JointWorldModel.from_pretrained(tmp_path / "TWOUSDT")


def test_a_new_symbol_learns_from_it(joint: JointWorldModel) -> None:
    other = replace(synthetic_candles(seed=30, bars=900), symbol="NEWUSDT", instrument=None)
    made, history = joint.fine_tune(
        other.rows(0, 700), other.rows(700, 900), FineTuneConfig(epochs=1)
    )
    assert made.provenance.symbol == "NEWUSDT"
    assert made.provenance.parent == joint.fingerprint
    assert history.notes[0].startswith(("begins as ONEUSDT", "begins as TWOUSDT"))


def test_what_cannot_be_learned_together_is_refused(
    joint: JointWorldModel, market_config: MarketConfig
) -> None:
    trains, validations = split()
    late = [trains[0].rows(0, 1_000), market(1).rows(0, 1_600)]
    with pytest.raises(TrainingError, match=r"training range of TWOUSDT ends at .* ONEUSDT begins"):
        train_world_model(late, validations, market_config)
    with pytest.raises(TrainingError, match="expected each once"):
        train_world_model([trains[0]] * 2, [validations[0]] * 2, market_config)
    with pytest.raises(TrainingError, match="lists of Candles, one of each"):
        train_world_model(trains, validations[:1], market_config)
    with pytest.raises(ConfigError, match="only 'market' learns several"):
        train_world_model(trains, validations, PaperConfig())  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="did you mean 'ONEUSDT'"):
        joint.of("ONEUSD")
