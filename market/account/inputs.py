"""What a policy sees of its own account: each input one class with two compiled methods.

Every account remembers one number for each input, 0 when an episode starts. Whoever settles a bar
tells all inputs with `after_bar`; whoever shows an observation asks `shown`. To add an input, write
its class here: ``account_observation=`` then knows its name, in every environment, rollout and
device.

The methods are arithmetic without branches, so that ``.py_func`` works on tensors, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from numba.extending import register_jitable

from ..arrays import FloatArray
from ..errors import ConfigError
from ..numerics.compiled import compiled

DAY_OF_HOURS: Final = 24.0


class AccountInput:
    """Base of the inputs.

    Attributes:
        name: In ``account_observation``.
        bound: No input is shown beyond ± this.
        after: ``after(value, held, executed, simple_return, weight)``: what is remembered after a
            bar, from what was before it; the weight before and after the fill, the bar's simple
            return and the drifted weight at its end.
        shown: ``shown(value)``: what a policy sees of that.
    """

    name: ClassVar[str]
    bound: ClassVar[float]
    after: ClassVar[Callable[..., Any]]
    shown: ClassVar[Callable[..., Any]]


class Weight(AccountInput):
    """The drifted weight, signed notional ÷ equity: the default observation's only input."""

    name = "weight"
    bound = 100.0  # a losing short's weight grows without limit on its way to ruin

    @staticmethod
    @compiled
    def after(
        value: float, held: float, executed: float, simple_return: float, weight: float
    ) -> float:
        """The weight."""
        return weight

    @staticmethod
    @compiled
    def shown(value: float) -> float:
        """The weight."""
        return value


class UnrealisedProfit(AccountInput):
    """Simple returns added up in favour of the side held, since that side was last taken."""

    name = "unrealised_profit"
    bound = 100.0

    @staticmethod
    @compiled
    def after(
        value: float, held: float, executed: float, simple_return: float, weight: float
    ) -> float:
        """Begins at 0 when the side changes."""
        side = (executed > 0.0) * 1.0 - (executed < 0.0) * 1.0
        return (held * executed > 0.0) * value + side * simple_return

    @staticmethod
    @compiled
    def shown(value: float) -> float:
        """As it is."""
        return value


class BarsOnSide(AccountInput):
    """Bars since the last change of sign (long, short or flat), as t ÷ (t + 24)."""

    name = "bars_on_side"
    bound = 1.0

    @staticmethod
    @compiled
    def after(
        value: float, held: float, executed: float, simple_return: float, weight: float
    ) -> float:
        """One more, or the first."""
        same = (held > 0.0) * (executed > 0.0) + (held < 0.0) * (executed < 0.0)
        both_flat = (held == 0.0) * (executed == 0.0)
        return (same + both_flat) * value + 1.0

    @staticmethod
    @compiled
    def shown(value: float) -> float:
        """Squashed: half at a day of hours."""
        return value / (value + DAY_OF_HOURS)


ACCOUNT_INPUTS: Final[tuple[type[AccountInput], ...]] = tuple(AccountInput.__subclasses__())
INPUT_NAMES: Final = tuple(kind.name for kind in ACCOUNT_INPUTS)
NUM_INPUTS: Final = len(ACCOUNT_INPUTS)


def input_indices(names: Sequence[str]) -> tuple[int, ...]:
    """Which of `ACCOUNT_INPUTS` are named, in that order.

    Raises:
        ConfigError: A name is unknown or twice there, or none is given.
    """
    if isinstance(names, str) or not names or len(set(names)) < len(tuple(names)):
        raise ConfigError(
            f"account_observation is {names!r}; expected a list of different names out of "
            f"{', '.join(INPUT_NAMES)}"
        )
    for name in names:
        if name not in INPUT_NAMES:
            raise ConfigError(
                f"account_observation names {name!r}; expected some of {', '.join(INPUT_NAMES)}"
            )
    return tuple(INPUT_NAMES.index(name) for name in names)


def _after_each(methods: list[Any], index: int) -> Any:
    """One function that updates the values [A] of all inputs from ``index`` on."""
    first = methods[index]
    if index == len(methods) - 1:

        def last(
            values: FloatArray, held: float, executed: float, simple_return: float, weight: float
        ) -> None:
            values[index] = first(values[index], held, executed, simple_return, weight)

        return register_jitable(last)
    others = _after_each(methods, index + 1)

    def each(
        values: FloatArray, held: float, executed: float, simple_return: float, weight: float
    ) -> None:
        values[index] = first(values[index], held, executed, simple_return, weight)
        others(values, held, executed, simple_return, weight)

    return register_jitable(each)


def _shown_of(inputs: list[type[AccountInput]], index: int) -> Any:
    """One function that shows the input of a number known only when it runs, within its bound."""
    method, bound = inputs[index].shown, inputs[index].bound
    if index == len(inputs) - 1:

        def last(values: FloatArray, which: int) -> Any:
            return min(max(method(values[index]), -bound), bound)

        return register_jitable(last)
    others = _shown_of(inputs, index + 1)

    def either(values: FloatArray, which: int) -> Any:
        if which == index:
            return min(max(method(values[index]), -bound), bound)
        return others(values, which)

    return register_jitable(either)


after_bar: Any = _after_each([kind.after for kind in ACCOUNT_INPUTS], 0)
"""``after_bar(values [A], held, executed, simple_return, weight)`` updates every input's value."""
shown: Any = _shown_of(list(ACCOUNT_INPUTS), 0)
"""``shown(values [A], which)`` is what a policy sees of one input."""
