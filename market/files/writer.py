"""Files that are whole or not there, and folders with one writer at a time."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import OutputError

_LOCK = ".lock"
_LEFT_BEHIND = ".*.tmp"  # by a writer that was killed
_CURES = {
    errno.ENOSPC: "the disk is full: free some space, or name a folder on another disk",
    errno.EDQUOT: "the quota is used up: free some space, or name a folder elsewhere",
    errno.EFBIG: "the file would be larger than the system allows: name a folder elsewhere",
    errno.EROFS: "the file system is read-only: name another folder",
    errno.EACCES: "permission denied: name a folder that you may write to",
    errno.EPERM: "permission denied: name a folder that you may write to",
    errno.ENOTDIR: "a part of its path is a file: name another folder",
    errno.EEXIST: "a part of its path is a file: name another folder",
    errno.EISDIR: "there is a folder of that name: name a file",
}


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write a file so that a reader finds the old content or the new, never a part.

    Args:
        path: The file; its folder is made if need be.
        content: Bytes, or text that is written as UTF-8 with plain newlines.

    Returns:
        The file.

    Raises:
        OutputError: It cannot be written; the message says why and what to do.
    """
    encoded = content.encode() if isinstance(content, str) else content
    with whole_file(path) as temporary:
        temporary.write_bytes(encoded)
    return Path(path)


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A file to fill in the place of another, which it replaces, durably, when the block ends well.

    If the block raises, nothing of it stays, and the old file is as it was.

    Args:
        path: The file to replace; its folder is made if need be.

    Yields:
        An empty file in the same folder.

    Raises:
        OutputError: It cannot be written; the message says why and what to do.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        yield temporary
        _sync(temporary)
        temporary.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        _forget(temporary)
        raise cannot_write(target, error) from error
    except BaseException:
        _forget(temporary)
        raise


@contextmanager
def whole_folder(path: str | os.PathLike[str], pattern: str) -> Iterator[Path]:
    """A folder to fill in the place of another, which it replaces when the block ends well.

    If the block raises, nothing of it stays, and the old folder is as it was.

    Args:
        path: The folder to replace.
        pattern: What the names of its files are like: a folder that holds others is not replaced.

    Yields:
        An empty folder beside it.

    Raises:
        OutputError: It holds something else, or cannot be written; the message says what to do.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        refuse_others(target, pattern)
        temporary.mkdir(parents=True)
        yield temporary
        if target.exists():
            shutil.rmtree(target)
        temporary.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise cannot_write(target, error) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def refuse_others(folder: Path, pattern: str) -> None:
    """Refuse a folder that holds a file of another name.

    Raises:
        OutputError: It does.
    """
    if not folder.exists():
        return
    others = [found.name for found in folder.iterdir() if not found.match(pattern)]
    if others:
        raise OutputError(
            f"{folder} holds {others[0]}, which is none of the files to be written there: name another "
            "folder"
        )


@contextmanager
def sole_writer(folder: str | os.PathLike[str], patience_s: float = 0.0) -> Iterator[Path]:
    """Hold a folder's lock, and clear what a killed writer left; the system frees it at exit.

    Args:
        folder: Made if need be.
        patience_s: How long to wait for another writer [s].

    Yields:
        The folder.

    Raises:
        OutputError: Another process holds it, or it cannot be written to.
    """
    held = Path(folder)
    lock = FileLock(held / _LOCK)
    try:
        held.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=patience_s)
        clear_left_behind(held)
    except Timeout:
        waited = f", for {patience_s:.0f} s now" if patience_s else ""
        raise OutputError(
            f"another process is writing to {held}{waited}: wait until it ends, "
            "or name another folder"
        ) from None
    except OSError as error:
        raise cannot_write(held, error) from error
    try:
        yield held
    finally:
        lock.release()


def clear_left_behind(folder: Path) -> None:
    """Remove what killed writers left in a folder that nobody else writes to now."""
    for left in folder.glob(_LEFT_BEHIND):
        left.unlink(missing_ok=True)


def refuse_unwritable(folder: str | os.PathLike[str]) -> None:
    """Refuse a folder that could not be made or written to, before any work is done for it.

    Nothing is made: the nearest folder above that exists is tried.

    Raises:
        OutputError: It cannot be; the message says why and what to do.
    """
    wanted = Path(folder)
    try:
        nearest = next((p for p in (wanted, *wanted.parents) if p.exists()), wanted)
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise cannot_write(wanted, error) from error


def cannot_write(path: str | os.PathLike[str], error: OSError) -> OutputError:
    """What to say of a failed write: the file, the cause and the cure, on one line."""
    if isinstance(error, OutputError):
        return error
    cause = _CURES.get(error.errno or 0) or error.strerror or str(error)
    return OutputError(f"{path} cannot be written: {cause}")


def _sync(file: Path) -> None:
    """Have the system put a file's content on the disk."""
    with file.open("r+b") as stream:
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Have the system put a folder's names on the disk, where folders can be opened."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _forget(temporary: Path) -> None:
    with suppress(OSError):  # the folder is gone or read-only: there is nothing to remove
        temporary.unlink(missing_ok=True)
