"""Candles cut into training, validation and test range."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from worldmodel_trading.config import RunConfig
from worldmodel_trading.dates import refuse_outside
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, FundingError
from worldmodel_trading.market.features import candles_for
from worldmodel_trading.market.sources import open_funding
from worldmodel_trading.market.times import Time, format_time

_TRAIN_SHARE, _VALIDATION_SHARE = 0.70, 0.15


@dataclass(frozen=True)
class Split:
    """Candles, and where training, validation and test begin and end [ms UTC]."""

    candles: Candles
    train: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int]

    def part(self, name: str) -> Candles:
        """The candles of one range."""
        return self.candles.between(*getattr(self, name))

    def refuse_uncovered(self, funding: str | float) -> None:
        """Refuse recorded funding rates that begin after a range or end before it does.

        Dreams draw from the training range's rates, whichever there are; replay charges each.

        Args:
            funding: Anything `open_funding` opens.

        Raises:
            FundingError: There is none in the training range, or some of a replay are missing.
        """
        rates = open_funding(funding)
        if isinstance(rates, float):
            return
        rates.between(*self.train)
        for name in ("validation", "test"):
            part = self.part(name)
            missing = rates.unrecorded(part.open_time_ms, part.interval_ms, part.instrument)
            outside = (missing < rates.time_ms[0]) | (missing > rates.time_ms[-1])
            if outside.any():
                raise FundingError(
                    f"--funding: {rates!r} do not cover the {name} range, of which "
                    f"{int(outside.sum())} funding instants lie outside: give rates that do, or "
                    "say what is charged there, 0 perhaps, with --unrecorded-funding-rate"
                )

    def content(self, funding: str | float) -> str:
        """SHA-256 of all that is recorded: candles, where they are cut, rules and funding rates.

        Args:
            funding: Anything `open_funding` opens.
        """
        rates = open_funding(funding)
        told = rates if isinstance(rates, float) else rates.data_hash()
        rules = None if self.candles.instrument is None else asdict(self.candles.instrument)
        parts = [self.candles.data_hash(), self.train, self.validation, self.test, rules, told]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def open_split(config: RunConfig) -> Split:
    """Open the candles and cut them into training, validation and test range."""
    record = candles_for(
        config.training(config.interval or "60").features,
        config.candles,
        config.funding,
        symbol=config.symbol,
        interval=config.interval,
        instrument=config.instrument,
    )
    names = ("start", "train_end", "validation_end", "end")
    refuse_outside(record, {name: getattr(config, name) for name in names})
    candles = record.between(config.start, config.end)
    train_end, validation_end = cut_rows(candles, config.train_end, config.validation_end)
    edges = [0, train_end, validation_end]
    starts = [int(candles.open_time_ms[row]) for row in edges]
    ends = [*starts[1:], int(candles.open_time_ms[-1]) + candles.interval_ms]
    return Split(candles, *zip(starts, ends, strict=True))


def cut_rows(
    candles: Candles, train_end: Time | None, validation_end: Time | None
) -> tuple[int, int]:
    """First row of the validation range, and of the test range.

    Args:
        candles: The record.
        train_end: End of the training range; None is 70% of the bars.
        validation_end: End of the validation range; None is 85%.

    Raises:
        ConfigError: A range would be empty.
    """
    count = len(candles)
    middle = _cut(candles, train_end, _TRAIN_SHARE)
    late = _cut(candles, validation_end, _TRAIN_SHARE + _VALIDATION_SHARE)
    if not 0 < middle < late < count:
        raise ConfigError(
            f"training, validation and test have {middle}, {late - middle} and "
            f"{count - late} bars; expected train_end < validation_end, both inside "
            f"{format_time(int(candles.open_time_ms[0]))} – "
            f"{format_time(int(candles.open_time_ms[-1]))}"
        )
    return middle, late


def _cut(candles: Candles, time: Time | None, share: float) -> int:
    if time is None:
        return int(share * len(candles))
    return candles.row_range(None, time)[1]
