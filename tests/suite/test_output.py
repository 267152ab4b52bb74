"""The folder of a job: one writer, one job's results, and nothing removed that no job wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldmodel_trading.market.errors import OutputError
from worldmodel_trading.market.files.writer import write_whole
from worldmodel_trading.models.world_model import WorldModel
from worldmodel_trading.output import Job, is_begun, job_folder, refuse_taken, run_folder

TAKEN = "the folder was given out all the same"

FILES: dict[Job, set[str]] = {
    "fidelity": {"fidelity.json", "fidelity.html"},
    "evaluate": {"evaluation.json", "curves.parquet"},
    "pretrained": {"config.json", "manifest.json", "model.safetensors"},
}


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
            pytest.fail(TAKEN)
    assert names(tmp_path) == before
    with run_folder(tmp_path, "second", overwrite=True) as folder:
        assert names(tmp_path) == {"run.json", "notes.txt"}
        write_whole(folder / "results.json", "")
    with pytest.raises(OutputError, match="this one is first"), run_folder(tmp_path, "first"):
        pytest.fail(TAKEN)


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
        pytest.fail(TAKEN)
    with run_folder(tmp_path, "first", resume=True):
        assert names(tmp_path) == {"run.json", "checkpoints", "world_model"}
    with run_folder(tmp_path, "first", overwrite=True):
        assert names(tmp_path) == {"run.json"}


def test_nothing_to_resume_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with run_folder(tmp_path / "out", "first", resume=True) as folder:
        assert names(folder) == {"run.json"}
    assert "nothing to resume in" in capsys.readouterr().out


@pytest.mark.parametrize("overwrite", [False, True])
def test_folders_of_others_are_left_alone(tmp_path: Path, overwrite: bool) -> None:
    """``--out . --overwrite`` where a folder happens to be called ``checkpoints``."""
    write_whole(tmp_path / "checkpoints" / "mine.pt", b"years of work")
    with (
        pytest.raises(OutputError, match=r"holds checkpoints, but no run\.json that says"),
        run_folder(tmp_path, "first", overwrite=overwrite),
    ):
        pytest.fail(TAKEN)
    assert (tmp_path / "checkpoints" / "mine.pt").read_bytes() == b"years of work"


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff"])
def test_a_run_file_that_tells_nothing_is_another_runs(tmp_path: Path, content: bytes) -> None:
    write_whole(tmp_path / "run.json", content)
    write_whole(tmp_path / "results.json", "{}")
    with pytest.raises(OutputError, match="another run, one that"), run_folder(tmp_path, "first"):
        pytest.fail(TAKEN)


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        run_folder(tmp_path, "first"),
        pytest.raises(OutputError, match="another process is writing to"),
        run_folder(tmp_path, "first", overwrite=True),
    ):
        pytest.fail(TAKEN)
    with run_folder(tmp_path, "first") as folder:
        assert names(folder) == {"run.json"}


def test_what_a_killed_run_left_half_written_is_cleared(tmp_path: Path) -> None:
    leave(tmp_path, "first", "checkpoints/vae.safetensors", "checkpoints/.vae.safetensors.a1.tmp")
    with run_folder(tmp_path, "first", resume=True):
        assert names(tmp_path / "checkpoints") == {"vae.safetensors"}


def do(job: Job, out: Path, model: WorldModel, *, overwrite: bool = False) -> None:
    """The files of a job, written as it writes them; `run` stands for a finished run."""
    if job == "run":
        with run_folder(out, "first", overwrite=overwrite) as folder:
            write_whole(folder / "results.json", "{}")
            model.save_pretrained(folder / "world_model")
        return
    refuse_taken(out, job, overwrite=overwrite)
    with job_folder(out, job, overwrite=overwrite) as emptied:
        folder = emptied()
        if job == "pretrained":
            model.save_pretrained(folder)
        else:
            for name in FILES[job]:
                write_whole(folder / name, job)


JOBS: tuple[Job, ...] = ("run", "evaluate", "fidelity", "pretrained")
PAIRS = [(a, b) for a in JOBS for b in JOBS if (a, b) != ("run", "run")]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_job_takes_the_place_of_a_job_only_when_told(
    first: Job, second: Job, tmp_path: Path, market_model: WorldModel
) -> None:
    do(first, tmp_path, market_model)
    write_whole(tmp_path / "notes.txt", "mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    whose = "a run, first" if first == "run" else f"the job {first}"
    said = f"holds the results of {whose}: name another folder with --out, or .*--overwrite"
    with pytest.raises(OutputError, match=said):
        do(second, tmp_path, market_model)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    do(second, tmp_path, market_model, overwrite=True)
    left = names(tmp_path) - {"notes.txt"}
    do(second, tmp_path / "alone", market_model)
    assert left == names(tmp_path / "alone")


def test_what_lies_there_stays_until_a_job_has_something_to_write(tmp_path: Path) -> None:
    with job_folder(tmp_path, "evaluate") as emptied:
        write_whole(emptied() / "curves.parquet", b"old")
    with job_folder(tmp_path, "evaluate", overwrite=True) as emptied:
        assert (tmp_path / "curves.parquet").read_bytes() == b"old"
        emptied()
        assert names(tmp_path) == {"run.json"}
    with job_folder(tmp_path, "fidelity"):  # a job that left nothing is in nobody's way
        assert names(tmp_path) == {"run.json"}


@pytest.mark.parametrize("job", FILES)
@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_others_with_a_job_s_names_are_left_alone(
    job: Job, overwrite: bool, tmp_path: Path
) -> None:
    path = write_whole(tmp_path / min(FILES[job]), b"{}")
    with pytest.raises(OutputError, match=rf"holds {path.name}, but no \w+\.json that says"):
        refuse_taken(tmp_path, job, overwrite=overwrite)
    with (
        pytest.raises(OutputError, match=rf"holds {path.name}, but no"),
        job_folder(tmp_path, job, overwrite=overwrite),
    ):
        pytest.fail(TAKEN)
    assert path.read_bytes() == b"{}"


@pytest.mark.parametrize("job", FILES)
def test_two_jobs_do_not_share_a_folder(job: Job, tmp_path: Path) -> None:
    with (
        run_folder(tmp_path, "first"),
        pytest.raises(OutputError, match="another process is writing to"),
        job_folder(tmp_path, job, overwrite=True),
    ):
        pytest.fail(TAKEN)
    with (
        job_folder(tmp_path, job),
        pytest.raises(OutputError, match="another process is writing to"),
        run_folder(tmp_path, "first", overwrite=True),
    ):
        pytest.fail(TAKEN)
