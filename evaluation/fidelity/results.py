"""All that was measured of a world model, typed to the disk's edge."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ...market.times import format_time
from ...models.quality import VAEQuality, vae_quality
from ..results import to_plain
from .consistency import Consistency
from .copies import Copies
from .dream_age import DreamAge
from .facts import Facts
from .forecasts import Forecasts
from .goals import Goal, Part
from .memory import Memory
from .outlooks import Outlooks
from .ranks import Ranks
from .starts import Starts
from .subject import FidelityConfig, Rows, Subject
from .two_sample import TwoSample


@dataclass(frozen=True)
class Head:
    """What was measured, on which bars.

    Attributes:
        symbol: Of the candles.
        interval: Of the candles.
        preset: Of the world model.
        ranges: First and last bar of each range.
        settings: How thoroughly.
        vae: How well V describes the last range.
    """

    symbol: str
    interval: str
    preset: str
    ranges: dict[str, tuple[str, str]]
    settings: FidelityConfig
    vae: VAEQuality

    @classmethod
    def of(cls, subject: Subject) -> Head:
        """Of a world model on its market."""
        candles, last = subject.candles, subject.ranges.last

        def ends(rows: Rows) -> tuple[str, str]:
            first, final = (int(candles.open_time_ms[row]) for row in (rows[0], rows[1] - 1))
            return format_time(first), format_time(final)

        return cls(
            symbol=candles.symbol,
            interval=candles.interval,
            preset=subject.world_model.config.preset,
            ranges={name: ends(rows) for name, rows in subject.ranges.all.items()},
            settings=subject.config,
            vae=vae_quality(
                subject.world_model,
                candles.rows(0, last[1]),
                start=int(candles.open_time_ms[last[0]]),
            ),
        )


@dataclass(frozen=True, eq=False)
class FidelityResults:
    """Every measure's results, in the order of the table of goals.

    Attributes:
        head: What was measured.
        forecasts: Density forecasts of the next return.
        outlooks: Forecasts of many bars by dreams.
        starts: Whether dreams follow the bars that they begin after.
        facts: Stylised facts of dreams and other generators.
        consistency: Whether the dream's observations belong together.
        two_sample: Whether a learner tells dream from record.
        copies: Whether the dream repeats its training range.
        dream_age: How dreams change as they age.
        memory: What M remembers and hears.
        ranks: Whether the dream ranks policies as the market does.
    """

    head: Head
    forecasts: Forecasts
    outlooks: Outlooks
    starts: Starts
    facts: Facts
    consistency: Consistency
    two_sample: TwoSample
    copies: Copies
    dream_age: DreamAge
    memory: Memory
    ranks: Ranks

    @property
    def parts(self) -> list[Part]:
        """What was measured, one part after the other."""
        values = (getattr(self, each.name) for each in fields(self))
        return [value for value in values if isinstance(value, Part)]

    @property
    def goals(self) -> list[Goal]:
        """What was wanted of each, and whether it was met."""
        return [goal for part in self.parts for goal in part.goals()]

    def to_dict(self) -> dict[str, Any]:
        """``fidelity.json``, in JSON's own types.

        Raises:
            ConfigError: A number is not finite; its place is named.
        """
        written = vars(self.head)
        for part in self.parts:
            written = {**written, **part.to_dict()}
        plain: Any = to_plain({**written, "goals": self.goals}, "fidelity")
        return dict(plain)
