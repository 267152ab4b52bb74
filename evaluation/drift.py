"""What holding a position pays: in dreams an assumption, in a record an estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from ..market.candles import Candles
from ..market.errors import ConfigError
from .loss_tests import long_run_variance


@dataclass(frozen=True)
class RecordedDrift:
    """Mean simple return of recorded bars, a year.

    Attributes:
        value: As a fraction.
        standard_error: Of it, by the long-run variance of Newey & West over 168 lags.
    """

    value: float
    standard_error: float

    @classmethod
    def of(cls, candles: Candles) -> Self:
        """Of candles; returns across gaps do not count.

        Raises:
            ConfigError: There are fewer than two returns.
        """
        returns = np.expm1(candles.log_returns())
        returns = returns[np.isfinite(returns)]
        if len(returns) < 2:
            raise ConfigError(f"{candles!r} has {len(returns)} returns; a drift needs two")
        error = float(np.sqrt(long_run_variance(returns) / len(returns)))
        years = candles.bars_per_year
        return cls(float(returns.mean()) * years, error * years)


@dataclass(frozen=True)
class DriftOutcome:
    """The drift under which policies were ranked, beside what was recorded.

    Attributes:
        setting: ``recorded``, ``zero`` or a simple return a year, as asked for.
        dreamed: Mean simple return a year in the dreams.
        train: Of the training range.
        recent: Of its last part, where the dreams begin.
        share: How much of the training range that is.
    """

    setting: str | float
    dreamed: float
    train: RecordedDrift
    recent: RecordedDrift
    share: float
