"""World models, by one name."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..market.candles import UNNAMED
from ..market.errors import ConfigError
from ..market.sources import instrument_of, open_instrument
from ..market.synthetic import SYMBOL, synthetic_instrument
from .world_model import WorldModel

if TYPE_CHECKING:
    from ..market.instruments import Instrument
    from ..market.sources import InstrumentSource
    from .joint_world_model import JointWorldModel


def open_world_model(source: WorldModel | str | os.PathLike[str] = "default") -> WorldModel:
    """A world model from wherever it is: itself, its folder, or ``"default"``, which ships.

    Raises:
        ModelFileError: Something is missing, altered, or of another format.
        ConfigError: It is of several symbols, or nothing of the kind.
    """
    if isinstance(source, WorldModel):
        return source
    from .joint_world_model import JointWorldModel, is_joint

    if isinstance(source, JointWorldModel):
        symbols = ", ".join(source.symbols)
        raise ConfigError(
            f"a joint world model of {symbols} is given where one is expected: take one symbol's, "
            f".of({source.symbols[0]!r})"
        )
    if not isinstance(source, str | os.PathLike):
        raise ConfigError(
            f"the world model is {type(source).__name__}; expected a WorldModel, the folder of one, or 'default'"
        )
    if is_joint(os.fspath(source)):
        parts = sorted(part.name for part in Path(source).iterdir() if part.is_dir())
        raise ConfigError(
            f"{os.fspath(source)} holds a joint world model, and one symbol's is expected: name a folder in "
            f"it, one of {', '.join(parts)}"
        )
    return _default() if source == "default" else WorldModel.from_pretrained(os.fspath(source))


def open_any_world_model(
    source: WorldModel | JointWorldModel | str | os.PathLike[str],
) -> WorldModel | JointWorldModel:
    """As `open_world_model`, or what was learned of several symbols: itself, or its folder.

    Raises:
        ModelFileError: Something is missing, altered, or of another format.
    """
    from .joint_world_model import JointWorldModel, is_joint

    if isinstance(source, JointWorldModel):
        return source
    if not isinstance(source, WorldModel) and is_joint(os.fspath(source)):
        return JointWorldModel.from_pretrained(os.fspath(source))
    return open_world_model(source)


def dreamed_instrument(
    world_model: WorldModel, instrument: InstrumentSource = None
) -> Instrument | None:
    """Trading rules of the symbol that a world model dreams, where they are known.

    Args:
        world_model: The dream.
        instrument: Anything `open_instrument` opens; None looks whether the model's source is in the
            store, or is the embedded market.

    Raises:
        ConfigError: The rules are another symbol's.
    """
    made = world_model.provenance
    if instrument is None:
        if made.symbol == SYMBOL:
            return synthetic_instrument()
        return instrument_of(made.source) if made.source.startswith("bybit:") else None
    rules = open_instrument(instrument, made.symbol)
    if rules is not None and made.symbol not in (rules.symbol, UNNAMED):
        raise ConfigError(
            f"the instrument is {rules.symbol}, and the world model dreams of {made.symbol}: give "
            "the rules of the symbol that is traded"
        )
    return rules


@cache
def _default() -> WorldModel:
    return WorldModel.from_pretrained("default")
