import hashlib
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from worldmodel_trading.market.errors import ModelFileError
from worldmodel_trading.models.storage import (
    CONFIG_FILE,
    FORMAT_VERSION,
    MANIFEST_FILE,
    WEIGHTS_FILE,
)
from worldmodel_trading.models.world_model import WorldModel


@pytest.fixture
def folder(market_model, tmp_path):
    market_model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def reseal(folder: Path) -> None:
    """Give the manifest the checksums of the files as they are now: an attacker can."""
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    for name, entry in manifest["files"].items():
        entry["sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))


def edit_json(file: Path, change) -> None:
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


def edit_tensors(folder: Path, change) -> None:
    tensors = load_file(folder / WEIGHTS_FILE)
    change(tensors)
    save_file({n: t.contiguous() for n, t in tensors.items()}, folder / WEIGHTS_FILE)
    reseal(folder)


def test_a_loaded_model_is_the_saved_one(world_model, candles, tmp_path):
    world_model.save_pretrained(tmp_path / "a")
    loaded = WorldModel.from_pretrained(tmp_path / "a")
    assert loaded.config == world_model.config
    assert loaded.provenance == world_model.provenance
    np.testing.assert_array_equal(loaded.bank.z, world_model.bank.z)
    np.testing.assert_array_equal(loaded.bank.open_time_ms, world_model.bank.open_time_ms)
    np.testing.assert_array_equal(loaded.bank.close, world_model.bank.close)
    mine, theirs = world_model.latents(candles), loaded.latents(candles)
    np.testing.assert_array_equal(mine.h, theirs.h)
    loaded.save_pretrained(tmp_path / "b")
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_only_three_files_and_no_leftovers(folder):
    assert {f.name for f in folder.iterdir()} == {CONFIG_FILE, WEIGHTS_FILE, MANIFEST_FILE}


def test_saving_again_over_the_old_one(folder, paper_model):
    paper_model.save_pretrained(folder)
    assert WorldModel.from_pretrained(folder).config.preset == "paper"


@pytest.mark.parametrize("name", [CONFIG_FILE, WEIGHTS_FILE])
@pytest.mark.parametrize("where", [0.0, 0.3, 0.6, 0.999])
def test_a_flipped_bit_is_noticed(folder, name, where):
    content = bytearray((folder / name).read_bytes())
    content[int(where * len(content))] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelFileError, match="SHA-256 differs"):
        WorldModel.from_pretrained(folder)


@pytest.mark.parametrize("name", [CONFIG_FILE, WEIGHTS_FILE, MANIFEST_FILE])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelFileError, match=f"{name} is missing"):
        WorldModel.from_pretrained(folder)


@pytest.mark.parametrize("name", [CONFIG_FILE, WEIGHTS_FILE, MANIFEST_FILE])
def test_a_truncated_file_is_refused(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelFileError):
        WorldModel.from_pretrained(folder)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ModelFileError, match="there is no world model at"):
        WorldModel.from_pretrained(tmp_path / "nothing")


def test_a_newer_format_is_named_with_the_cure(folder):
    newer = FORMAT_VERSION + 1
    edit_json(folder / MANIFEST_FILE, lambda m: m.update(format_version=newer))
    told = f"format version {newer}; this release reads {FORMAT_VERSION}: install"
    with pytest.raises(ModelFileError, match=told):
        WorldModel.from_pretrained(folder)


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


def test_a_pickle_in_disguise_is_not_run(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (folder / WEIGHTS_FILE).write_bytes(pickle.dumps(Bomb()))
    reseal(folder)
    with pytest.raises(ModelFileError, match="no safetensors file"):
        WorldModel.from_pretrained(folder)
    torch.save({"a": Bomb()}, folder / WEIGHTS_FILE)
    reseal(folder)
    with pytest.raises(ModelFileError, match="no safetensors file"):
        WorldModel.from_pretrained(folder)
    assert not (tmp_path / "exploded").exists()


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path):
    shutil.move(folder / WEIGHTS_FILE, tmp_path / "elsewhere")
    (folder / WEIGHTS_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelFileError, match="leaves the folder"):
        WorldModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "extra.json"])
def test_a_manifest_that_names_other_files_is_refused(folder, name):
    edit_json(folder / MANIFEST_FILE, lambda m: m["files"].update({name: {"sha256": ""}}))
    with pytest.raises(ModelFileError, match="expected the files"):
        WorldModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ["vae.forecast_out.weight", "mdn_rnn.lstm.weight_hh_l0", "bank.z"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(folder, name, value):
    edit_tensors(folder, lambda t: t[name].view(-1).__setitem__(3, value))
    with pytest.raises(ModelFileError, match=f"{name} holds numbers that are not finite"):
        WorldModel.from_pretrained(folder)


def test_a_wrong_shape_is_named(folder):
    edit_tensors(folder, lambda t: t.update({"mdn_rnn.return_head.bias": torch.zeros(4)}))
    with pytest.raises(ModelFileError, match=r"return_head.bias has shape \(4,\); expected \(6,\)"):
        WorldModel.from_pretrained(folder)


def test_a_wrong_type_is_named(folder):
    edit_tensors(folder, lambda t: t.update({"scaler.mean": t["scaler.mean"].float()}))
    with pytest.raises(
        ModelFileError, match=r"scaler.mean is torch.float32; expected torch.float64"
    ):
        WorldModel.from_pretrained(folder)


def test_a_missing_and_an_unknown_tensor_are_named(folder):
    edit_tensors(folder, lambda t: t.update({"spare": t.pop("bank.close")}))
    with pytest.raises(ModelFileError, match=r"unknown tensors: bank\.close, spare"):
        WorldModel.from_pretrained(folder)


def test_what_was_saved_before_noise_was_calibrated_still_opens(folder, market_model, candles):
    edit_tensors(folder, lambda tensors: tensors.pop("mdn_rnn.noise_calibration"))
    opened = WorldModel.from_pretrained(folder)
    assert opened.mdn_rnn.noise_calibration.tolist() == [0.0, 0.0, 0.0]
    mine, theirs = opened.latents(candles), market_model.latents(candles)
    np.testing.assert_array_equal(mine.h, theirs.h)


def test_a_bank_whose_parts_differ_in_length_is_refused(folder):
    edit_tensors(folder, lambda t: t.update({"bank.close": t["bank.close"][:-1].clone()}))
    with pytest.raises(ModelFileError, match="segments"):
        WorldModel.from_pretrained(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["config"].update(hidden_size=10**8),
        lambda c: c["config"]["features"].update(horizons=[2, 3]),
        lambda c: c["config"]["features"].update(detrend_volume="no"),
        lambda c: c["config"].update(spare=1),
        lambda c: c["config"].update(preset="paper"),
        lambda c: c["provenance"].pop("seed"),
        lambda c: c["provenance"].update(interval="61"),
        lambda c: c["provenance"].update(train_end_ms="yesterday"),
        lambda c: c.update(code="import os"),
        lambda c: c.pop("config"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(folder, change):
    """Bounded memory: a hidden size of 10⁸ is refused before anything of that size is made."""
    edit_json(folder / CONFIG_FILE, change)
    reseal(folder)
    with pytest.raises(ModelFileError):
        WorldModel.from_pretrained(folder)


@pytest.mark.parametrize("text", ["[]", "null", "{", "[" * 100_000, '"a"', "\x00"])
def test_json_that_is_none(folder, text):
    (folder / CONFIG_FILE).write_text(text)
    reseal(folder)
    with pytest.raises(ModelFileError):
        WorldModel.from_pretrained(folder)


def test_a_huge_json_is_not_read(folder):
    (folder / MANIFEST_FILE).write_text(" " * (2 << 20))
    with pytest.raises(ModelFileError, match="expected at most"):
        WorldModel.from_pretrained(folder)


def test_the_default_model_ships(default_model):
    assert default_model.config.preset == "market"
    assert default_model.provenance.symbol == "SYNTH"
    assert len(default_model.bank) == default_model.config.bank_segments
