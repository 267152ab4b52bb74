"""Where a rule finds what it reads in the feature observation."""

from __future__ import annotations

from ...market.errors import ConfigError
from ...market.features import Features


def horizons(features: Features, kind: str) -> dict[int, int]:
    """The columns of a kind of feature, such as ``"momentum"``: column by look-back in bars."""
    found: dict[int, int] = {}
    for column, name in enumerate(features.names):
        stem, _, bars = name.rpartition("_")
        if stem == kind and bars.isdigit():
            found[int(bars)] = column
    return found


def column_of(features: Features, kind: str, horizon: int) -> int:
    """The column of a feature over so many bars.

    Raises:
        ConfigError: The features have none over so many.
    """
    known = horizons(features, kind)
    if horizon not in known:
        names = [features.names[column] for column in known.values()]
        raise ConfigError(f"there is no {kind} over {horizon} bars; the features have {names}")
    return known[horizon]
