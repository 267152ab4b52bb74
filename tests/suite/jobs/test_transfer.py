"""The learning curve of a parent on few bars of another market: what it measures, keeps and refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import look_at

from worldmodel_trading.cli import main
from worldmodel_trading.evaluation.transfer import (
    FINE_TUNED,
    HAR_T,
    NOT_ADAPTED,
    SCRATCH,
    Transfer,
)
from worldmodel_trading.jobs.transfer import transfer
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, OutputError
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.joint_world_model import JointWorldModel
from worldmodel_trading.models.paper_world_model import PaperWorldModel
from worldmodel_trading.models.world_model import WorldModel

SMALL = {"audited_bars": 800, "controllers": 20, "rank_dreams": 16, "workers": 0}


@pytest.fixture(scope="module")
def parent(market_model: BarWorldModel) -> BarWorldModel:
    """One that is not calibrated again and again."""
    config = replace(market_model.config, calibration_rounds=0)
    parts = (market_model.provenance, market_model.scaler, market_model.vae, market_model.mdn_rnn)
    return BarWorldModel(config, *parts, market_model.bank)


@pytest.fixture(scope="module")
def target(candles: Candles) -> Candles:
    return replace(synthetic_candles(seed=8, bars=2_600), symbol="OTHERUSDT", instrument=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("transfer") / "curve"


@pytest.fixture(scope="module")
def found(parent: BarWorldModel, target: Candles, folder: Path) -> Transfer:
    return transfer(parent, target, folder, bars=(400, 800), **SMALL, **cuts(target))


def cuts(target: Candles) -> dict[str, int]:
    """300 bars choose at most, and the last 700 test."""
    times = target.open_time_ms
    return {"train_end": int(times[1_600]), "validation_end": int(times[1_900])}


def test_every_learner_has_its_row(found: Transfer) -> None:
    keys = [(NOT_ADAPTED, 800), (FINE_TUNED, 400), (FINE_TUNED, 800), (HAR_T, 400), (HAR_T, 800)]
    made = {(row.learner, row.bars) for row in found.rows if row.nll is not None}
    assert made == {*keys, (SCRATCH, 800)}
    assert found.scored.sum() == 700
    refused = found.row((SCRATCH, 400))
    assert "expected at least 49" in refused.note


def test_the_last_quarter_of_the_known_bars_chooses(found: Transfer) -> None:
    split = {cell.bars: (cell.train_bars, cell.validation_bars) for cell in found.cells}
    assert split == {400: (360, 40), 800: (600, 200)}


def test_losses_are_those_of_the_test_range(found: Transfer, target: Candles, folder: Path) -> None:
    tuned = WorldModel.from_pretrained(folder / "models" / "fine-tuned-800-0")
    returns = 100 * np.diff(np.log(target.close))[1_899:]
    losses = -tuned.return_forecast(target).rows(1_899, 2_599).log_prob(returns)
    np.testing.assert_allclose(found.losses((FINE_TUNED, 800)), losses, atol=1e-5)
    gap = found.difference((FINE_TUNED, 800), (SCRATCH, 800))
    assert gap is not None
    mean = losses.mean() - found.losses((SCRATCH, 800)).mean()
    assert gap.value == pytest.approx(mean, abs=1e-5)
    assert tuned.provenance.validation_end_ms == int(target.open_time_ms[1_900])


def test_dreams_are_measured_where_enough_is_known(found: Transfer) -> None:
    assert not found.row((FINE_TUNED, 400)).figures
    figures = found.row((FINE_TUNED, 800)).figures
    assert 0.2 < figures["σ ÷ real"] < 5.0
    assert -1.0 <= figures["ranks, lowest"] <= figures["ranks"] <= figures["ranks, highest"] <= 1.0


def test_a_file_and_a_page_tell_it(found: Transfer, folder: Path) -> None:
    told = json.loads((folder / "transfer.json").read_text(encoding="utf-8"))
    rows = {(row["learner"], row["bars"]): row for row in told["rows"]}
    assert rows["fine-tuned", 800]["nll"] == pytest.approx(found.row((FINE_TUNED, 800)).nll)
    assert rows["from scratch", 400]["nll"] is None
    assert len(told["differences"]) == 2 * 4
    page = (folder / "transfer.html").read_text(encoding="utf-8")
    assert "What is another market" in page
    assert "expected at least 49" in page
    assert f"{rows['fine-tuned', 800]['nll']:.4f}" in page


def test_what_is_done_is_not_done_again(
    found: Transfer, parent: BarWorldModel, target: Candles, folder: Path
) -> None:
    asked = {"bars": (400, 800), **SMALL, **cuts(target)}
    (folder / "transfer.json").unlink()
    pieces = sorted((folder / "checkpoints").glob("*.json"))
    times = [piece.stat().st_mtime_ns for piece in pieces]
    with pytest.raises(OutputError, match="go on with --resume"):
        transfer(parent, target, folder, **asked)
    again = transfer(parent, target, folder, resume=True, **asked)
    assert [piece.stat().st_mtime_ns for piece in pieces] == times
    assert again.to_dict() == found.to_dict()


def test_a_joint_parent_begins_as_one_of_its_symbols(
    found: Transfer, parent: BarWorldModel, target: Candles, tmp_path: Path
) -> None:
    JointWorldModel({parent.provenance.symbol: parent}).save_pretrained(tmp_path / "joint")
    again = transfer(
        tmp_path / "joint", target, tmp_path / "out", bars=(400,), workers=0, **cuts(target)
    )
    assert again.row((FINE_TUNED, 400)).nll == found.row((FINE_TUNED, 400)).nll


def test_what_cannot_be_measured_is_refused_before_work(
    parent: BarWorldModel, paper_model: PaperWorldModel, target: Candles, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="only 'market' can be fine-tuned"):
        transfer(paper_model, target, tmp_path)
    early = {"train_end": int(target.open_time_ms[1_000])}
    early["validation_end"] = int(target.open_time_ms[1_500])
    with pytest.raises(ConfigError, match=r"chosen on bars up to .* markets move together"):
        transfer(parent, target, tmp_path, **early)
    with pytest.raises(ConfigError, match="expected numbers from 200 to 1,900"):
        transfer(parent, target, tmp_path, bars=(5_000,), **cuts(target))
    assert list(tmp_path.iterdir()) == []


def test_the_command_tells_the_table(
    parent: BarWorldModel, target: Candles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from worldmodel_trading.market.files.export import write_candles

    parent.save_pretrained(tmp_path / "parent")
    write_candles(target, tmp_path / "other.csv")
    times = [str(np.datetime64(time, "ms")) for time in cuts(target).values()]
    words = ["--train-end", times[0], "--validation-end", times[1], "--bars", "400"]
    command = ["transfer", "--from", str(tmp_path / "parent"), "--quiet"]
    command += ["--candles", str(tmp_path / "other.csv"), "--out", str(tmp_path / "out")]
    assert main([*command, *words]) == 0
    told = capsys.readouterr().out
    assert "fine-tuned" in told
    assert "from scratch" in told
    assert main([*command, "--bars", "many"]) == 2
    assert "--bars is 'many'" in capsys.readouterr().err


@pytest.mark.browser
def test_the_page_as_readers_see_it(found: Transfer, folder: Path) -> None:
    assert found.rows
    assert look_at(folder / "transfer.html") == 1
