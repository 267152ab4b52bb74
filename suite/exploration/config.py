"""How candidates are explored: the settings of `explore`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worldmodel_trading.agents.objectives import OBJECTIVES, Objective
from worldmodel_trading.agents.search_spaces import LINEAR, SPACES, blocks_of
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.records import AT_LEAST_ONE, FROM_ZERO, TEMPERATURES, Record
from worldmodel_trading.market.settings import nearest


@dataclass(frozen=True)
class ExploreConfig(Record):
    """How candidates are drawn, scored and verified.

    Attributes:
        spaces: Names of `SPACES`; the candidates are shared out equally.
        count: Candidates in all.
        dreams: In which each trades; all trade the same.
        horizon: Bars of each.
        temperature: τ of the dreams.
        drift: What a held position earns in dreams.
        objective: By which they are ranked; see `Merit`.
        finalists: The best so many are scored again, in fresh dreams.
        fresh_dreams: How many.
        best: So many are verified in replay.
        audited: Candidates whose ranking is held against that of the market and of blind rankings; 0
            does without.
        rival: Whether the same candidates are also ranked on the recorded training range.
        seed: Of candidates and dreams.
        account: Any setting of the account.
    """

    spaces: tuple[str, ...] = (LINEAR,)
    count: int = 100_000
    dreams: int = 64
    horizon: int = 720
    temperature: float = 1.0
    drift: str | float = "recorded"
    objective: Objective = "log_return"
    finalists: int = 500
    fresh_dreams: int = 512
    best: int = 5
    audited: int = 300
    rival: bool = True
    seed: int = 0
    account: Mapping[str, Any] = field(default_factory=dict)

    _bounds = {  # noqa: RUF012
        "count": AT_LEAST_ONE,
        "dreams": AT_LEAST_ONE,
        "horizon": AT_LEAST_ONE,
        "temperature": TEMPERATURES,
        "finalists": AT_LEAST_ONE,
        "fresh_dreams": AT_LEAST_ONE,
        "best": AT_LEAST_ONE,
        "audited": FROM_ZERO,
        "seed": FROM_ZERO,
    }
    _choices = {"objective": OBJECTIVES}  # noqa: RUF012

    def __post_init__(self) -> None:
        """Refuse what cannot be, before any work."""
        super().__post_init__()
        object.__setattr__(self, "spaces", tuple(dict.fromkeys(self.spaces)))
        for name in self.spaces:
            if name not in SPACES:
                near = nearest(name, SPACES)
                hint = (
                    f"did you mean {near!r}?" if near else f"expected some of {', '.join(SPACES)}"
                )
                raise ConfigError(f"there is no space {name!r}; {hint}")
        if not self.spaces or self.count < len(self.spaces):
            raise ConfigError(
                f"{self.count} candidates of {len(self.spaces)} spaces; expected a space and a "
                "candidate of each at least"
            )
        if self.best > self.finalists:
            raise ConfigError(
                f"best is {self.best}, and there are {self.finalists} finalists to take them from: "
                "expected as many at most"
            )

    @property
    def counts(self) -> dict[str, int]:
        """Candidates of each space."""
        share, rest = divmod(self.count, len(self.spaces))
        return {name: share + (number < rest) for number, name in enumerate(self.spaces)}

    def blocks(self) -> list[tuple[str, int, int]]:
        """Space, number and size of every block of candidates."""
        return [
            (name, block, size)
            for name, count in self.counts.items()
            for block, size in enumerate(blocks_of(name, count))
        ]
