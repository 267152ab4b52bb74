"""The main job of several symbols: each run is that of the symbol alone, and one page beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from worldmodel_trading.cli import main
from worldmodel_trading.market.files.export import write_candles
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.joint_world_model import JointWorldModel
from worldmodel_trading.models.world_model import WorldModel

TINY = [
    "--vae-epochs", "2", "--mdn-rnn-epochs", "2", "--population", "8", "--generations", "10",
    "--dreams", "8", "--horizon", "72", "--evaluation-dreams", "8", "--seed", "3",
    "--search-seeds", "2", "--train-end", "2020-02-20", "--validation-end", "2020-03-05",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("markets")
    for seed, symbol in enumerate(("AAA", "BBB")):
        write_candles(
            synthetic_candles(seed=seed, bars=1_900, symbol=symbol), path / f"{symbol}.csv"
        )
    return path


def command(folder: Path, out: Path, *extra: str) -> list[str]:
    source = str(folder / "{symbol}.csv")
    return [
        "run", "--symbols", "AAA,BBB", "--candles", source, "--out", str(out), *TINY, *extra
    ]  # fmt: skip


@pytest.fixture(scope="module")
def out(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("universe")
    assert main(command(folder, path)) == 0
    return path


def read(file: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(file.read_text())
    return told


def test_each_run_is_that_of_the_symbol_alone(out: Path, folder: Path, tmp_path: Path) -> None:
    alone = ["run", "--symbol", "BBB", "--candles", str(folder / "BBB.csv"), *TINY]
    assert main([*alone, "--workers", "0", "--out", str(tmp_path / "alone")]) == 0
    mine, theirs = (read(p / "results.json") for p in (tmp_path / "alone", out / "symbols" / "BBB"))
    for name in ("run_id", "performance", "significance", "world_model"):
        assert mine[name] == theirs[name], name
    assert read(out / "symbols" / "AAA" / "results.json")["performance"] != mine["performance"]


def test_the_table_tells_what_the_runs_told(out: Path) -> None:
    whole = read(out / "universe.json")
    assert [one["symbol"] for one in whole["symbols"]] == ["AAA", "BBB"]
    for one in whole["symbols"]:
        own = read(out / "symbols" / one["symbol"] / "results.json")
        scores = own["world_model"]["baselines"]
        nll = own["world_model"]["mdn_rnn"]["return_nll"]["test"]
        assert one["nll"] == nll
        rivals = {name: s["return_nll"]["test"] for name, s in scores.items()}
        assert one["rival"] == min(rivals, key=rivals.__getitem__)
        assert one["gap"] == scores[one["rival"]]["world_model_minus_this"]["test"]
        growth = {name: by["test"]["annual_log_return"] for name, by in own["performance"].items()}
        assert one["growth"] == growth
        assert one["growth_range"][0] <= growth["controller"] <= one["growth_range"][1]
    beat = [one["growth"]["controller"] > one["growth"]["buy_and_hold"] for one in whole["symbols"]]
    assert whole["beating_holding"] == sum(beat)
    page = (out / "universe.html").read_text()
    assert f"{sum(beat)} of 2 beat holding" in page
    assert "AAA" in page


def test_it_goes_on_with_what_is_left_and_makes_its_page_again(
    out: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read(out / "universe.json")
    (out / "universe.json").unlink()
    (out / "symbols" / "BBB" / "results.json").unlink()
    kept = (out / "symbols" / "AAA" / "results.json").stat().st_mtime_ns
    assert main(command(folder, out)) == 2
    assert "stopped before its end: go on with --resume" in capsys.readouterr().err
    assert main(command(folder, out, "--resume")) == 0
    assert read(out / "universe.json") == before
    assert (out / "symbols" / "AAA" / "results.json").stat().st_mtime_ns == kept
    (out / "universe.html").unlink()
    assert main(["report", str(out)]) == 0
    assert (out / "universe.html").is_file()


def test_one_world_model_may_learn_all(folder: Path, tmp_path: Path) -> None:
    assert main(command(folder, tmp_path, "--joint", "--workers", "2")) == 0
    joint = JointWorldModel.from_pretrained(tmp_path / "world_model")
    assert joint.symbols == ("AAA", "BBB")
    for symbol in joint.symbols:
        own = WorldModel.from_pretrained(tmp_path / "symbols" / symbol / "world_model")
        assert own.fingerprint == joint.of(symbol).fingerprint
        told = read(tmp_path / "symbols" / symbol / "results.json")
        assert told["config"]["world_model"] == symbol
        assert read(tmp_path / "universe.json")["joint"] is True
        assert set(told["timings_s"]) >= {"baselines", "controller"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--symbols", "AAA"], "--symbols names AAA; expected at least two, each once"),
        (["--symbols", "AAA,AAA"], "expected at least two, each once"),
        (["--joint"], "--symbols names none; expected at least two"),
        (["--symbols", "AAA,BBB", "--candles", "synthetic"], "expected {symbol} in it"),
        (["--symbols", "AAA,BBB", "--joint", "--preset", "paper"], "--joint is of the market preset"),
        (["--symbols", "AAA,BBB", "--joint", "--world-model", "x"], "leave one out"),
        (["--symbols", "AAA,CCC"], "1 of 2 symbols cannot be run:\nCCC: "),
        (["--symbols", "AAA,BBB", "--refit", "9999"], "2 of 2 symbols cannot be run:\nAAA: refit is"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_refused_before_work_begins(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], said: str
) -> None:
    source = [] if "--candles" in given else ["--candles", str(folder / "{symbol}.csv")]
    out = tmp_path / "out"
    assert main(["run", *source, *given, "--out", str(out), *TINY]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_symbols_whose_ranges_overlap_are_not_learned_together(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = synthetic_candles(seed=5, bars=1_900, symbol="LATE", start="2020-02-01")
    write_candles(late, tmp_path / "LATE.csv")
    (tmp_path / "AAA.csv").write_bytes((folder / "AAA.csv").read_bytes())
    given = ["--symbols", "AAA,LATE", "--candles", str(tmp_path / "{symbol}.csv"), "--joint"]
    assert main(["run", *given, *TINY[:-4], "--out", str(tmp_path / "out")]) == 2
    assert "end all training ranges before the first validation range begins" in (
        capsys.readouterr().err
    )


def test_a_world_model_that_has_seen_the_ranges_is_refused(
    out: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = out / "symbols" / "AAA" / "world_model"
    given = ["run", "--candles", str(folder / "AAA.csv"), "--world-model", str(own), *TINY]
    early = [*given, "--validation-end", "2020-03-01", "--out", str(tmp_path / "early")]
    assert main(early) == 2
    assert "chose on bars up to 2020-03-05" in capsys.readouterr().err
    assert main([*given, "--preset", "paper", "--out", str(tmp_path / "paper")]) == 2
    assert "name it with --preset" in capsys.readouterr().err
    assert main([*given, "--out", str(tmp_path / "again")]) == 0
    mine, theirs = (read(p / "results.json") for p in (tmp_path / "again", out / "symbols" / "AAA"))
    assert mine["performance"] == theirs["performance"]
    assert mine["run_id"] != theirs["run_id"]
