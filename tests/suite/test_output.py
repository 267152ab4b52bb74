"""The folder of a run: one writer, one run, and nothing removed that a run did not write."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldmodel_trading.market.errors import OutputError
from worldmodel_trading.market.files.writer import write_whole
from worldmodel_trading.output import is_begun, run_folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


def leave(out: Path, run_id: str, *parts: str) -> None:
    """A run that wrote some of its files and ended, or was stopped."""
    with run_folder(out, run_id) as folder:
        for part in parts:
            write_whole(folder / part, run_id)


def test_a_new_folder_says_whose_it_is(tmp_path: Path) -> None:
    leave(tmp_path / "new" / "out", "first")
    assert names(tmp_path / "new" / "out") == {"run.json"}
    assert not is_begun(tmp_path / "new" / "out")


def test_another_run_is_refused_and_takes_the_place_only_when_told(tmp_path: Path) -> None:
    leave(tmp_path, "first", "results.json", "report.html", "world_model/config.json")
    (tmp_path / "notes.txt").write_text("mine")
    before = names(tmp_path)
    said = r"holds the results of another run, first; this one is second, .*--out.*--overwrite"
    for resume in (False, True):
        with pytest.raises(OutputError, match=said), run_folder(tmp_path, "second", resume=resume):
            pass
    assert names(tmp_path) == before
    with run_folder(tmp_path, "second", overwrite=True):
        assert names(tmp_path) == {"run.json", "notes.txt"}
    with pytest.raises(OutputError, match="this one is first"), run_folder(tmp_path, "first"):
        pass


def test_the_same_run_again_begins_anew(tmp_path: Path) -> None:
    leave(
        tmp_path, "first", "results.json", "checkpoints/vae.safetensors", "tensorboard/vae/events"
    )
    with run_folder(tmp_path, "first"):
        assert names(tmp_path) == {"run.json"}


def test_a_run_that_was_stopped_is_gone_on_with_or_given_up_but_not_by_accident(
    tmp_path: Path,
) -> None:
    leave(tmp_path, "first", "checkpoints/vae.safetensors", "world_model/config.json")
    assert is_begun(tmp_path)
    with (
        pytest.raises(OutputError, match="stopped before its end: go on with --resume, or begin"),
        run_folder(tmp_path, "first"),
    ):
        pass
    with run_folder(tmp_path, "first", resume=True):
        assert names(tmp_path) == {"run.json", "checkpoints", "world_model"}
    with run_folder(tmp_path, "first", overwrite=True):
        assert names(tmp_path) == {"run.json"}


def test_nothing_to_resume_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with run_folder(tmp_path / "out", "first", resume=True):
        pass
    assert "nothing to resume in" in capsys.readouterr().out


@pytest.mark.parametrize("overwrite", [False, True])
def test_folders_of_others_are_left_alone(tmp_path: Path, overwrite: bool) -> None:
    """``--out . --overwrite`` where a folder happens to be called ``checkpoints``."""
    write_whole(tmp_path / "checkpoints" / "mine.pt", b"years of work")
    with (
        pytest.raises(OutputError, match=r"holds checkpoints, but no run\.json that says"),
        run_folder(tmp_path, "first", overwrite=overwrite),
    ):
        pass
    assert (tmp_path / "checkpoints" / "mine.pt").read_bytes() == b"years of work"


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff"])
def test_a_run_file_that_tells_nothing_is_another_runs(tmp_path: Path, content: bytes) -> None:
    write_whole(tmp_path / "run.json", content)
    with pytest.raises(OutputError, match="another run, one that"), run_folder(tmp_path, "first"):
        pass


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        run_folder(tmp_path, "first"),
        pytest.raises(OutputError, match="another process is writing to"),
        run_folder(tmp_path, "first", overwrite=True),
    ):
        pass
    with run_folder(tmp_path, "first"):
        pass


def test_what_a_killed_run_left_half_written_is_cleared(tmp_path: Path) -> None:
    leave(tmp_path, "first", "checkpoints/vae.safetensors", "checkpoints/.vae.safetensors.a1.tmp")
    with run_folder(tmp_path, "first", resume=True):
        assert names(tmp_path / "checkpoints") == {"vae.safetensors"}
