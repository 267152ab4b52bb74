"""World models, by one name."""

from __future__ import annotations

import os
from functools import cache

from .world_model import WorldModel


def open_world_model(source: WorldModel | str | os.PathLike[str] = "default") -> WorldModel:
    """A world model from wherever it is: itself, its folder, or ``"default"``, which ships.

    Raises:
        ModelFileError: Something is missing, altered, or of another format.
    """
    if isinstance(source, WorldModel):
        return source
    return _default() if source == "default" else WorldModel.from_pretrained(os.fspath(source))


@cache
def _default() -> WorldModel:
    return WorldModel.from_pretrained("default")
