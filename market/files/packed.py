"""Files as they lie on a disk: plain, or one of them packed by gzip or zip."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from ..errors import TableError


@dataclass(frozen=True)
class PackedFile:
    """A file whose content is read as if it were not packed.

    Attributes:
        path: Where it lies.
        name: What its content is called, in small letters: ``btcusdt-1h.csv``.
    """

    path: Path
    name: str

    @classmethod
    def at(cls, path: Path) -> PackedFile:
        """The file at a path.

        Raises:
            TableError: There is none, or it is a zip archive of no file or of several.
        """
        if not path.is_file():
            raise TableError(f"there is no such file in {path.parent}")
        name = path.name.lower()
        if name.endswith(".zip"):
            name = _only_member(path).lower()
        elif name.endswith(".gz"):
            name = name.removesuffix(".gz")
        return cls(path, name)

    @property
    def is_plain(self) -> bool:
        """Whether it is not packed."""
        return not self.path.name.lower().endswith((".gz", ".zip"))

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Its content, from the beginning."""
        name = self.path.name.lower()
        if name.endswith(".zip"):
            with (
                zipfile.ZipFile(self.path) as archive,
                archive.open(_only_member(self.path)) as stream,
            ):
                yield stream
        elif name.endswith(".gz"):
            with gzip.open(self.path, "rb") as stream:
                yield cast("IO[bytes]", stream)
        else:
            with self.path.open("rb") as stream:
                yield stream


def _only_member(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        names = [member.filename for member in archive.infolist() if not member.is_dir()]
    names = [name for name in names if not name.startswith("__MACOSX/")]
    if len(names) == 1:
        return names[0]
    shown = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
    raise TableError(
        f"the archive holds {len(names)} files ({shown}); expected one: unpack it, and read them "
        "one by one"
    )
