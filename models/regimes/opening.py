"""Regimes, by whatever says which."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ...market.errors import ConfigError
from .regimes import Regimes

if TYPE_CHECKING:
    from ..world_model import WorldModel

RegimeSource = Regimes | str | os.PathLike[str] | bool | None
"""What `open_regimes` opens."""

_COUNT = 3  # of regimes that nobody has chosen


def open_regimes(source: RegimeSource, world_model: WorldModel) -> Regimes | None:
    """Regimes of a world model.

    Args:
        source: Themselves; the folder or file that `Regimes.save` wrote; True for three that are found in
            the model's own bank, in about a second; None or False for none.
        world_model: What they must belong to.

    Raises:
        ModelFileError: The file is missing or altered.
        ConfigError: They are of another world model, or the source is none.
    """
    if source is None or source is False:
        return None
    if source is True:
        return Regimes.fit(world_model, count=_COUNT, bootstraps=0)
    if isinstance(source, Regimes):
        source.check(world_model)
        return source
    if not isinstance(source, str | os.PathLike):
        raise ConfigError(
            f"regimes is {source!r}; expected Regimes, the folder they were saved in, True or None"
        )
    return Regimes.load(os.fspath(source), world_model)
