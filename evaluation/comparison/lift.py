"""What searching in dreams buys in the market, and where it begins to exploit the dream instead.

A search climbs what dreams promise. Its lift is what the market then pays its winner beyond what it
pays rivals that took as many looks: the best of as many random controllers, chosen by the same dreams,
and the winner of the same search on recorded bars. All returns are log returns a year, after costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ...market.arrays import FloatArray

if TYPE_CHECKING:
    import pandas as pd

RANDOM, RECORDED_SEARCH, HOLDING = "best of random", "search on recorded bars", "holding"
"""Names of the rivals."""
_NOTABLE = 0.01  # log return a year
DREAM, PROMISED = "dream", "promised"


@dataclass(frozen=True)
class Turn:
    """What a search gained in dreams, and lost in the market, after the market had paid it best.

    Attributes:
        generation: Which the market paid best, from 0.
        dream_gain: What dreams promise the last one more than that one.
        market_loss: What the market paid the last one less than that one, at least 0.
    """

    generation: int
    dream_gain: float
    market_loss: float

    @property
    def exploits(self) -> bool:
        """Whether the dream's score still rose while the market's fell, each by more than a hundredth."""
        return self.dream_gain > _NOTABLE and self.market_loss > _NOTABLE


@dataclass(frozen=True, eq=False)
class Climb:
    """One search, generation by generation [G].

    Attributes:
        promised: The best candidate of a generation, in the dreams that it was chosen by.
        dream: What the search stands for, the distribution's mean, in dreams that it has not seen.
        market: The same in replay, by range.
    """

    promised: FloatArray
    dream: FloatArray
    market: dict[str, FloatArray]

    def turn(self, range_: str) -> Turn:
        """Where the market's pay turns, on one range."""
        paid = self.market[range_]
        best = int(np.argmax(paid))
        return Turn(best, float(self.dream[-1] - self.dream[best]), float(paid[best] - paid[-1]))

    def to_dict(self) -> dict[str, object]:
        """Plain values that JSON can carry."""
        return {
            "promised": self.promised.tolist(),
            "dream": self.dream.tolist(),
            "market": {name: paid.tolist() for name, paid in self.market.items()},
            "turns": {name: asdict(self.turn(name)) for name in self.market},
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """What `to_dict` has told."""
        market = {name: np.array(paid) for name, paid in told["market"].items()}
        return cls(np.array(told["promised"]), np.array(told["dream"]), market)


@dataclass(frozen=True, eq=False)
class SearchLift:
    """What one search bought.

    Attributes:
        world_model: In whose dreams it searched.
        search: Its number.
        climb: How it went.
        rivals: What `RANDOM`, `RECORDED_SEARCH` and `HOLDING` are promised and paid, by rival and by
            `DREAM` or range. The search on recorded bars is missing where there are none.
    """

    world_model: str
    search: int
    climb: Climb
    rivals: dict[str, dict[str, float]]

    def lift(self, rival: str, range_: str) -> float:
        """What the market paid the winner more than a rival."""
        return float(self.climb.market[range_][-1]) - self.rivals[rival][range_]

    def exploitation(self, range_: str) -> float:
        """What fresh dreams promise the winner more than the market paid it."""
        return float(self.climb.dream[-1] - self.climb.market[range_][-1])

    def to_dict(self) -> dict[str, object]:
        """Plain values that JSON can carry."""
        return {
            "world_model": self.world_model,
            "search": self.search,
            "rivals": self.rivals,
            **self.climb.to_dict(),
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """What `to_dict` has told."""
        own = (told["world_model"], told["search"])
        return cls(*own, Climb.from_dict(told), told["rivals"])


@dataclass(frozen=True, eq=False)
class Lift:
    """What searches in the dreams of several world models bought.

    Attributes:
        searches: All of them.
        crossed: What winners of one world model earn in the dreams of another, the mean over winners,
            by the one they were trained in and the one that judges.
    """

    searches: tuple[SearchLift, ...]
    crossed: Mapping[str, Mapping[str, float]]

    @property
    def ranges(self) -> list[str]:
        """Names of the recorded ranges."""
        return list(self.searches[0].climb.market)

    def table(self) -> pd.DataFrame:
        """A row for each range and rival: median and range over searches, and how many are above 0."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"range": range_, "rival": rival, **_spread(values)}
                for range_ in self.ranges
                for rival in self.searches[0].rivals
                if (values := [one.lift(rival, range_) for one in self.searches])
            ]
        )

    def turns(self) -> pd.DataFrame:
        """A row for each search and range: where the market's pay turned."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "world_model": one.world_model,
                    "search": one.search,
                    "range": range_,
                    **asdict(turn),
                    "exploits": turn.exploits,
                    "promised_beyond_paid": one.exploitation(range_),
                }
                for one in self.searches
                for range_ in self.ranges
                for turn in [one.climb.turn(range_)]
            ]
        )

    def curves(self) -> pd.DataFrame:
        """A row for each search, generation and venue."""
        import pandas as pd

        tables = [
            pd.DataFrame(
                {
                    "world_model": one.world_model,
                    "search": one.search,
                    "venue": venue,
                    "generation": np.arange(len(values)),
                    "log_return": values,
                }
            )
            for one in self.searches
            for venue, values in {
                PROMISED: one.climb.promised,
                DREAM: one.climb.dream,
                **one.climb.market,
            }.items()
        ]
        return pd.concat(tables, ignore_index=True)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can carry."""
        return {
            "lift": self.table().to_dict("records"),
            "crossed": {name: dict(row) for name, row in self.crossed.items()},
            "searches": [one.to_dict() for one in self.searches],
        }


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "searches": len(values),
        "median": float(np.median(values)),
        "low": min(values),
        "high": max(values),
        "above": sum(value > 0.0 for value in values),
    }
