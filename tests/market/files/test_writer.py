"""Files that are whole or not there, and one writer a folder, by real failures of the system."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from worldmodel_trading.market.errors import OutputError, WorldModelTradingError
from worldmodel_trading.market.files.writer import (
    cannot_write,
    refuse_unwritable,
    sole_writer,
    whole_file,
    write_whole,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_and_bytes_arrive_as_they_are_and_folders_are_made(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "a" / "b" / "text.txt", "σ\nτ\n")
    assert path.read_bytes() == "σ\nτ\n".encode()
    assert write_whole(str(path), b"\x00\r\n").read_bytes() == b"\x00\r\n"
    assert names(path.parent) == ["text.txt"]


def test_text_that_has_no_bytes_changes_nothing(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "text.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\ud800")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["text.txt"]


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_a_block_that_raises_leaves_the_old_file_alone(
    tmp_path: Path, stop: type[BaseException]
) -> None:
    path = write_whole(tmp_path / "file", b"old")

    def interrupted() -> None:
        with whole_file(path) as temporary:
            temporary.write_bytes(b"half of the n")
            raise stop

    with pytest.raises(stop):
        interrupted()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_named_with_its_cure_and_leaves_nothing(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "file", b"old")
    with (
        pytest.raises(OutputError, match=r"file cannot be written: the disk is full: free some"),
        whole_file(path),
        open("/dev/full", "w") as full,
    ):
        full.write("more than there is room for")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_file_that_the_system_cuts_short_never_appears(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="larger than the system allows"):
            write_whole(tmp_path / "file", bytes(2_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == []


def test_a_file_in_a_folders_place_and_a_folder_in_a_files(tmp_path: Path) -> None:
    file = write_whole(tmp_path / "file", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="a part of its path is a file: name another folder"):
        write_whole(file / "below", b"")
    with pytest.raises(OutputError, match="there is a folder of that name"):
        write_whole(tmp_path / "folder", b"")
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "read-only: name another folder"),
        (errno.EACCES, "name a folder that you may write to"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_every_refusal_of_the_system_is_one_line(code: int, cure: str) -> None:
    error = cannot_write(Path("runs/x"), OSError(code, os.strerror(code)))
    assert isinstance(error, WorldModelTradingError)
    assert str(error).startswith(f"{Path('runs/x')} cannot be written: ")
    assert cure in str(error)
    assert "\n" not in str(error)


def test_a_folder_is_tried_before_the_work_and_not_made(tmp_path: Path) -> None:
    refuse_unwritable(tmp_path / "new" / "newer")
    refuse_unwritable(tmp_path)
    assert names(tmp_path) == []
    file = write_whole(tmp_path / "file", b"")
    for unfit in (file, file / "below" / "it"):
        with pytest.raises(OutputError, match="is a file"):
            refuse_unwritable(unfit)
    assert names(tmp_path) == ["file"]


HOLD = """
import sys
from worldmodel_trading.market.files.writer import sole_writer
with sole_writer(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_folder_has_one_writer_until_that_one_ends_or_dies(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    for patience_s in (0.0, 0.1):
        said = r"another process is writing to .*: wait until"
        with pytest.raises(OutputError, match=said), sole_writer(tmp_path, patience_s) as folder:
            pytest.fail(f"{folder} has two writers")
    other.kill()
    other.communicate()
    for _ in range(2):
        with sole_writer(tmp_path) as folder:
            assert folder == tmp_path


def test_what_a_killed_writer_left_is_cleared(tmp_path: Path) -> None:
    kept = write_whole(tmp_path / "file", b"")
    code = (
        "import os, signal, sys\n"
        "from worldmodel_trading.market.files.writer import whole_file\n"
        "with whole_file(sys.argv[1]) as temporary:\n"
        "    temporary.write_bytes(b'half')\n"
        "    os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(kept)], check=False)
    assert done.returncode == 9
    assert len(names(tmp_path)) == 2
    with sole_writer(tmp_path):
        assert set(names(tmp_path)) <= {"file", ".lock"}
    assert kept.read_bytes() == b""
