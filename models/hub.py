"""World models from the Hugging Face Hub, with `huggingface_hub` (the extra ``hub``)."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from ..market.errors import ModelFileError
from ..market.extras import require

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_id(name: str) -> bool:
    """Whether a name has the form ``owner/model``."""
    return _HUB_ID.fullmatch(name) is not None and ".." not in name


def fetch_from_hub(name: str, files: tuple[str, ...]) -> Path:
    """The folder that holds a hub model's files, fetched where they are new or changed.

    Only the named files are fetched, as plain files; they are verified like any other folder's.

    Raises:
        MissingPackageError: `huggingface_hub` is not installed.
        ModelFileError: The model cannot be fetched.
    """
    require("huggingface_hub", f"there is no folder {name}; to fetch it from the Hugging Face Hub")
    hub: Any = importlib.import_module("huggingface_hub")
    folder = user_cache_path("worldmodel-trading") / "hub" / name.replace("/", "--")
    try:
        hub.snapshot_download(repo_id=name, allow_patterns=list(files), local_dir=str(folder))
    except Exception as error:  # the library's errors have no common base that it promises
        raise ModelFileError(
            f"there is no folder {name}, and it cannot be fetched from the Hugging Face Hub: {error}"
        ) from error
    return folder
