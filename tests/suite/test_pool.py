"""Pieces of work: each leaves its file, whoever does it, and what was done is not done again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from small_work import Grave, Note, Refused

from worldmodel_trading.config import RunConfig
from worldmodel_trading.envs.population.crew import PROCESSES, RAY, SERIAL, Crew
from worldmodel_trading.market.errors import ConfigError, WorkerError
from worldmodel_trading.pool import _Seen, work_through

NAMES = ["a", "b", "c", "d"]


@pytest.mark.skipif(os.name != "posix", reason="Ray and kill -9")
@pytest.mark.parametrize("executor", [SERIAL, PROCESSES, RAY])
def test_pieces_leave_their_files_in_the_folder_where_the_job_stands(
    executor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("out") / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "b").write_text("done before")
    done: list[str] = []
    crew = Crew(None if executor == SERIAL else 2, executor)
    work_through([Note(folder / name) for name in NAMES], crew, done.append)
    assert sorted(done) == ["", "a", "c", "d"]
    assert {file.name: file.read_text() for file in folder.iterdir()} == {
        "a": "a",
        "b": "done before",
        "c": "c",
        "d": "d",
    }


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_piece_whose_worker_died_is_done_again(tmp_path: Path) -> None:
    pieces = [Grave(tmp_path / "a"), *(Note(tmp_path / name) for name in "bcd")]
    with pytest.warns(RuntimeWarning, match=r"(?s)a worker died: .*New ones do \d blocks again"):
        work_through(pieces, 2)
    assert (tmp_path / "a").read_text() == "risen"
    assert all((tmp_path / name).read_text() == name for name in "bcd")


def test_what_a_piece_raises_is_raised_and_what_was_done_is_kept(tmp_path: Path) -> None:
    notes = [Note(tmp_path / name) for name in NAMES]
    with pytest.raises(ConfigError, match=r"^too warm$"):
        work_through([*notes, Refused(tmp_path / "e", ConfigError("too warm"))], 1)
    assert sorted(file.name for file in tmp_path.iterdir()) == NAMES
    with pytest.raises(WorkerError, match=r"(?s)KeyError.*is kept: go on with --resume"):
        work_through(
            [Refused(tmp_path / name, KeyError(name)) for name in ("e", "f")], Crew(1, PROCESSES)
        )


def test_a_node_that_does_not_see_the_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mark").write_text("another")
    for started, name in ((tmp_path, "mark"), (tmp_path, "none"), (tmp_path / "none", "mark")):
        with pytest.raises(ConfigError, match=r"does not see .* folder that all nodes share"):
            _Seen(started, tmp_path / name, "one", None)()
    assert _Seen(tmp_path, Path("mark"), "another", None)() is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"workers": 2, "executor": SERIAL}, "the executor 'serial' has none"),
        ({"workers": 0, "executor": RAY}, "give 1 or more"),
        ({"ray_address": "a:1"}, "say executor='ray'"),
        ({"executor": "dask"}, "expected one of serial, processes, ray"),
        ({"workers": -1}, "expected a whole number, 0 or more"),
    ],
)
def test_crews_that_cannot_be_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Crew(**settings)  # type: ignore[arg-type, unused-ignore]


def test_a_run_hires_nobody_for_dreams_that_are_shared_and_its_name_does_not_tell_who_worked() -> (
    None
):
    assert RunConfig().crew() == Crew(0)
    assert RunConfig(preset="paper").crew() == Crew()
    assert RunConfig(executor=RAY, ray_address="a:1").crew() == Crew(None, RAY, "a:1")
    with pytest.raises(ConfigError, match="say executor='ray'"):
        RunConfig(ray_address="a:1")
    name = RunConfig().run_id("data")
    assert RunConfig(executor=RAY, ray_address="a:1", workers=3).run_id("data") == name
    assert RunConfig(model={"hidden_size": 32}).run_id("data") != name
    assert "a:1" not in str(RunConfig(executor=RAY, ray_address="a:1").to_dict())
    with pytest.raises(ConfigError, match="did you mean 'hidden_size'"):
        RunConfig(model={"hiden_size": 32})
