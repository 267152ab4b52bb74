"""``sweep``: settings are chosen on validation, and the test range is not there."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldmodel_trading.cli import main
from worldmodel_trading.jobs.sweep import sweep
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, MissingPackageError, OutputError
from worldmodel_trading.market.files.export import write_candles
from worldmodel_trading.models.bars.config import MarketConfig
from worldmodel_trading.sweeping.space import Variable, read_space

VARY = {"model.trunk_size": "8:16", "model.learning_rate": "0.001:0.01:log"}


@pytest.fixture(scope="module")
def tiny(market_config: MarketConfig) -> dict[str, Any]:
    """Settings of a world model that trains in seconds."""
    plain = MarketConfig().to_dict()
    given = market_config.to_dict()
    changed = {name: given[name] for name in given if given[name] != plain[name]}
    return {**changed, "calibration_rounds": 0}


def swept(candles: Candles, tiny: dict[str, Any], folder: Path, **more: Any) -> dict[str, Any]:
    write_candles(candles, folder / "SYNTH-60.csv")
    ends = {
        "train_end": str(np.datetime64(int(candles.open_time_ms[1_500]), "ms")),
        "validation_end": str(np.datetime64(int(candles.open_time_ms[1_900]), "ms")),
    }
    given = {"candles": str(folder / "SYNTH-60.csv"), "model": tiny, "again": 1, **ends, **more}
    return sweep(VARY, folder / "study", **given)


@pytest.fixture(scope="module")
def four(
    candles: Candles, tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    return swept(candles, tiny, tmp_path_factory.mktemp("four"), trials=4)


def journal(folder: Path) -> Any:
    """The study as Optuna has it."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    backend = JournalFileBackend(str(folder / "checkpoints/study.journal"))
    return optuna.load_study(study_name="sweep", storage=optuna.storages.JournalStorage(backend))


def told(found: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(one["state"], one["value"], one["values"]) for one in found["trials"]]


def test_the_best_trial_is_the_one_of_the_lowest_nll(four: dict[str, Any]) -> None:
    values = [one["value"] for one in four["trials"]]
    assert len(set(values)) == 4
    best = four["best"]
    assert best["value"] == min(values) == values[best["trial"]]
    assert best["settings"] == four["trials"][best["trial"]]["values"]
    assert all(8 <= one["values"]["model.trunk_size"] <= 16 for one in four["trials"])
    assert f"--model trunk_size={best['settings']['model.trunk_size']}" in best["arguments"]
    assert len(four["given"]) == 2
    assert len(four["best_again"]) == 1
    assert np.isfinite(four["rival"]["HAR-t"])


def test_bars_of_the_test_range_change_nothing(
    four: dict[str, Any], candles: Candles, tiny: dict[str, Any], tmp_path: Path
) -> None:
    later = np.arange(len(candles)) >= 1_900
    names = [one.name for one in fields(candles) if one.name in ("open", "high", "low", "close")]
    other = {
        name: np.where(later, 3 * getattr(candles, name), getattr(candles, name)) for name in names
    }
    found = swept(replace(candles, **other), tiny, tmp_path, trials=4)
    assert told(found) == told(four)
    assert found["given"] == four["given"]
    assert found["rival"] == four["rival"]


def test_a_study_goes_on_to_more_trials_as_if_it_had_not_stopped(
    four: dict[str, Any], candles: Candles, tiny: dict[str, Any], tmp_path: Path
) -> None:
    swept(candles, tiny, tmp_path, trials=2)
    before = (tmp_path / "study/checkpoints/trial-0.json").stat().st_mtime_ns
    journal(tmp_path / "study").ask()  # of a process that is killed before it tells
    found = swept(candles, tiny, tmp_path, trials=4, resume=True)
    assert told(found) == told(four)
    states = [one.state.name for one in journal(tmp_path / "study").trials]
    assert states == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert (tmp_path / "study/checkpoints/trial-0.json").stat().st_mtime_ns == before
    kept = json.loads((tmp_path / "study/best.json").read_text())
    assert kept == found["best"]
    page = (tmp_path / "study/sweep.html").read_text()
    assert "With other seeds" in page
    with pytest.raises(OutputError, match="of other data or settings"):
        swept(candles, tiny, tmp_path, trials=4, resume=True, objective="controller", seed=1)


def test_two_processes_work_on_one_study(
    candles: Candles, tiny: dict[str, Any], tmp_path: Path
) -> None:
    found = swept(candles, tiny, tmp_path, trials=3, again=0, workers=2)
    assert [one["number"] for one in found["trials"]] == [0, 1, 2]
    assert len({one["value"] for one in found["trials"]}) == 3
    study = journal(tmp_path / "study")
    assert sorted(one.value for one in study.trials) == sorted(
        one["value"] for one in found["trials"]
    )


def test_controllers_are_swept_from_the_shell(
    candles: Candles, tiny: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_candles(candles, tmp_path / "SYNTH-60.csv")
    (tmp_path / "space.toml").write_text('population = "4,6"\ntemperature = "0.8:1.2"\n')
    given = ["sweep", str(tmp_path / "SYNTH-60.csv"), "--objective", "controller", "--workers", "0"]
    given += ["--space", str(tmp_path / "space.toml"), "--trials", "2", "--again", "0"]
    for name, value in {**{f"model.{k}": v for k, v in tiny.items()}, "generations": 2}.items():
        given += ["--set", f"{name}={json.dumps(value)}"]
    for setting in ("search_seeds=1", "dreams=4", "horizon=24"):
        given += ["--set", setting]
    assert main([*given, "--study", str(tmp_path / "study")]) == 0
    found = json.loads((tmp_path / "study/sweep.json").read_text())
    values = [one["value"] for one in found["trials"]]
    assert found["best"]["value"] == max(values)
    assert {one["values"]["population"] for one in found["trials"]} <= {4, 6}
    assert "--temperature" in found["best"]["arguments"]
    assert "Not checked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        ({}, "nothing is varied"),
        ({"model.hidden_size": "8"}, "expected two or more values"),
        ({"model.hidden_size": "9:8"}, "LOW below HIGH"),
        ({"model.hidden_size": "0:8:log"}, "LOW below HIGH"),
        ({"model.hidden_sizes": "4:8"}, "did you mean 'hidden_size'"),
        ({"model.hidden_size": "0:8"}, "hidden_size is 0"),
        ({"population": "4:8"}, "the objective 'nll' does not depend on it"),
    ],
)
def test_what_cannot_be_varied_is_refused_before_any_work(
    vary: dict[str, str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        sweep(vary, tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_ranges_are_of_the_numbers_that_they_are_written_in() -> None:
    assert Variable.read("a", "1:4") == Variable("a", (1, 4), "int")
    assert Variable.read("a", "1:4.5:log") == Variable("a", (1, 4.5), "float", log=True)
    assert Variable.read("a", "x,2,true") == Variable("a", ("x", 2, True), "list")
    with pytest.raises(ConfigError, match="a is varied twice"):
        read_space([("a", "1:2"), ("a", "1:3")])


def test_without_optuna_one_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, candles: Candles, tiny: dict[str, Any], tmp_path: Path
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'worldmodel-trading\[sweep\]'"):
        swept(candles, tiny, tmp_path, trials=1)
