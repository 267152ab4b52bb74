"""Conditions on what a market does within so many bars, and how far along many paths are to one.

All quantities are free of the level of prices and volume, so that a condition fits any symbol; a bar
is four numbers, `market.streams.BAR_NUMBERS`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from ...market.arrays import BoolArray, FloatArray, IntArray
from ...market.errors import ConfigError

QUANTITIES = ("return", "range", "volatility", "volume")
"""Simple return of the close since before the first bar; highest high ÷ lowest low − 1 since then;
√Σ r² of the log returns since then; mean volume of all bars of the window ÷ usual volume before it."""
LONGEST = 1_000
"""Bars that a condition may reach ahead."""

_FORM = re.compile(r"(\w+)\s*([<>])\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s+within\s+(\d+)")
_EXPECTED = (
    f"one of {', '.join(QUANTITIES)}, then < or >, a number, 'within' and a number of bars, such as "
    "'return < -0.15 within 72'"
)
_RANGE_SQUARED = 4.0 * math.log(2.0)  # Parkinson (1980): E[range²] = 4 ln 2 σ²
_TINY = 1e-30


@dataclass(frozen=True)
class Condition:
    """What shall happen.

    A return or whatever grows is met by the first close that is beyond the bound; ``<`` of what grows,
    and of the volume, is judged over the whole window.

    Attributes:
        quantity: One of `QUANTITIES`.
        below: Whether it shall be below the bound, or above it.
        bound: As the quantity is: fractions, and a multiple of the usual volume.
        within: T, bars.
    """

    quantity: str
    below: bool
    bound: float
    within: int

    def __post_init__(self) -> None:
        """Refuse what cannot happen, or always does."""
        if self.quantity not in QUANTITIES:
            raise ConfigError(f"the condition is on {self.quantity!r}; expected {_EXPECTED}")
        if not 1 <= self.within <= LONGEST:
            raise ConfigError(
                f"the condition '{self}' reaches {self.within} bars ahead; expected 1 to {LONGEST}"
            )
        if not self._possible():
            raise ConfigError(
                f"the condition '{self}' holds always or never; expected a return below a bound "
                "between -1 and 0, or above one over 0, and a bound over 0 of what has no sign"
            )

    def _possible(self) -> bool:
        if not math.isfinite(self.bound):
            return False
        if self.quantity == "return" and self.below:
            return -1.0 < self.bound < 0.0
        return self.bound > 0.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``"return < -0.15 within 72"``.

        Raises:
            ConfigError: It says nothing of the kind.
        """
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise ConfigError(f"the condition is {text!r}; expected {_EXPECTED}")
        quantity, sign, bound, within = found.groups()
        return cls(quantity, sign == "<", float(bound), int(within))

    def __str__(self) -> str:
        """As `parse` reads it."""
        return f"{self.quantity} {'<' if self.below else '>'} {self.bound:g} within {self.within}"

    @property
    def late(self) -> bool:
        """Whether only the whole window tells."""
        return self.quantity == "volume" or (self.below and self.quantity != "return")


class Progress:
    """How far each of N paths has come towards a condition.

    Args:
        condition: Which.
        count: N.

    Attributes:
        bars: Lived so far.
        level: log(close ÷ the close before the first bar) [N].
        hit: Whether the condition has been met [N].
    """

    _PARTS = ("level", "high", "low", "squares", "volume", "hit")

    def __init__(self, condition: Condition, count: int) -> None:
        self.condition = condition
        self.bars = 0
        self.level, self.high, self.low, self.squares, self.volume = np.zeros((5, count))
        self.hit: BoolArray = np.zeros(count, dtype=np.bool_)

    def live(self, bars: FloatArray, usual_volume: FloatArray) -> None:
        """Follow a bar of each path.

        Args:
            bars: [N, 4], columns `BAR_NUMBERS`.
            usual_volume: Of a bar before the window [N].
        """
        self.bars += 1
        before = self.level
        self.level = before + bars[:, 0]
        self.high = np.maximum(self.high, np.maximum(before, self.level) + bars[:, 1])
        self.low = np.minimum(self.low, np.minimum(before, self.level) - bars[:, 2])
        self.squares = self.squares + bars[:, 0] ** 2
        self.volume = self.volume + bars[:, 3] / np.maximum(usual_volume, _TINY)
        last = self.bars == self.condition.within
        if last or not self.condition.late:
            self.hit = self.hit | self._met()

    def take(self, which: IntArray) -> None:
        """Become copies of some of the paths."""
        for name in self._PARTS:
            setattr(self, name, getattr(self, name)[which])

    def reached(self) -> FloatArray:
        """The quantity so far [N]; of the volume the share of the window's that has been traded."""
        kind = self.condition.quantity
        if kind == "return":
            return np.expm1(self.level)
        if kind == "range":
            return np.expm1(self.high - self.low)
        if kind == "volatility":
            return np.sqrt(self.squares)
        return self.volume / self.condition.within

    def _met(self) -> BoolArray:
        reached, bound = self.reached(), self.condition.bound
        return np.asarray(reached < bound if self.condition.below else reached > bound)

    def chance(self, ahead: Ahead) -> FloatArray:
        """A guess of the chance [N] that each will meet the condition; 1 where it has.

        It only steers: an estimate is unbiased whatever is guessed.
        """
        made = _GUESSES[self.condition.quantity](self, ahead)
        return np.where(self.hit, 1.0, np.clip(made, 0.0, 1.0))


class Ahead(Protocol):
    """What the rest of the window may hold, of N paths; chances of sums that are about known."""

    def squares(self, beyond: FloatArray) -> FloatArray:
        """Chance that Σ r² is more than so much [N]."""

    def volume(self, beyond: FloatArray) -> FloatArray:
        """Chance that Σ volume ÷ usual volume is more than so much [N]."""

    def reach(self, beyond: FloatArray) -> FloatArray:
        """Chance that the sum of the returns is ever more than so far from 0 [N], on either side."""


def _guess_return(progress: Progress, ahead: Ahead) -> FloatArray:
    goal = math.log1p(progress.condition.bound)
    return 0.5 * ahead.reach(np.abs(goal - progress.level))


def _guess_range(progress: Progress, ahead: Ahead) -> FloatArray:
    goal = math.log1p(progress.condition.bound)
    if progress.condition.below:
        left = goal**2 / _RANGE_SQUARED - progress.squares
        guess = 1.0 - ahead.squares(np.maximum(left, 0.0))
        return np.where(progress.high - progress.low < goal, np.maximum(guess, 1e-3), 0.0)
    up = progress.low + goal - progress.level
    down = progress.level - (progress.high - goal)
    return 0.5 * (ahead.reach(np.maximum(up, 0.0)) + ahead.reach(np.maximum(down, 0.0)))


def _guess_volatility(progress: Progress, ahead: Ahead) -> FloatArray:
    left = progress.condition.bound**2 - progress.squares
    return _of_sum(left, ahead.squares, progress.condition.below)


def _guess_volume(progress: Progress, ahead: Ahead) -> FloatArray:
    left = progress.condition.bound * progress.condition.within - progress.volume
    return _of_sum(left, ahead.volume, progress.condition.below)


def _of_sum(left: FloatArray, more: Callable[[FloatArray], FloatArray], below: bool) -> FloatArray:
    """Chance that what is added to a sum is more, or less, than what is left."""
    over = np.where(left > 0.0, more(np.maximum(left, 0.0)), 1.0)
    return 1.0 - over if below else over


_GUESSES: dict[str, Any] = {
    "return": _guess_return,
    "range": _guess_range,
    "volatility": _guess_volatility,
    "volume": _guess_volume,
}
