"""What an order costs: cost models, each one class with one compiled method.

A model is a frozen record of settings whose ``rate`` says what fraction of the notional traded an
order loses. Whoever trades asks `fee_rate` and `slippage_rate`, which add up all models of that
kind, and names none. To add a model, write its class here: its settings become arguments of the
environments, and every loop honours it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, NamedTuple, TypeVar, get_args

from numba.extending import register_jitable

from ..errors import ConfigError
from ..numerics.compiled import compiled, interpreted
from ..records import Record

Liquidity = Literal["taker", "maker"]
Kind = Literal["fee", "slippage"]
Rate = Callable[[Any, "Fill"], Any]
_RANGE_PER_DEVIATION: Final = 2.0 * math.sqrt(
    math.log(2.0)
)  # Parkinson (1980): E[range²] = 4 ln 2 σ²


class Fill(NamedTuple):
    """An order, and the bar at whose close it is filled.

    Attributes:
        bar_range: log(high / low) of that bar.
        turnover: What was traded in it [USDT], at least 1.
        order: Notional of the order, in initial equities.
    """

    bar_range: Any
    turnover: Any
    order: Any


class CostModel(Record):
    """Base of the cost models.

    A model declares ``kind`` and ``names`` when it subclasses, has a compiled static method
    ``rate(costs, fill)``, fraction of the notional traded, and says its ``values``.
    """

    kind: ClassVar[Kind]
    names: ClassVar[tuple[str, ...]]
    """Of the numbers that ``rate`` reads from ``costs``, one namespace for all models."""
    rate: ClassVar[Any]
    """The compiled method, a `Rate`."""

    def values(self, capital_usdt: float | None) -> tuple[float, ...]:
        """The numbers named; ``capital_usdt`` is what equity 1.0 is worth, if that is known."""
        raise TypeError(f"{type(self).__name__} does not say its values")

    @property
    def reads(self) -> frozenset[str]:
        """Fields of `Fill` that the rate depends on, with these settings."""
        return frozenset()


Model = TypeVar("Model", bound=type[CostModel])
COST_MODELS: list[type[CostModel]] = []


def cost_model(model: Model) -> Model:
    """Enlist a cost model of this file.

    Raises:
        ConfigError: The loops, which are compiled for the models of this file, are made already.
    """
    if "CostRules" in globals():
        raise ConfigError(
            f"{model.__name__} comes too late: cost models are compiled into every loop, and are written in "
            "market/account/costs.py; charge a cost of your own in a reward (reward=function)"
        )
    COST_MODELS.append(model)
    return model


@cost_model
@dataclass(frozen=True)
class Fee(CostModel):
    """The exchange's fee.

    Attributes:
        taker_fee: Fee of an order that takes liquidity (Bybit linear: 0.055 %).
        maker_fee: Fee of an order that provides it (0.02 %).
        liquidity: Which of them is charged, ``"taker"`` or ``"maker"``.
    """

    taker_fee: float = 0.00055
    maker_fee: float = 0.0002
    liquidity: Liquidity = "taker"

    kind = "fee"
    names = ("fee",)
    _bounds = {"taker_fee": (-0.01, 0.1), "maker_fee": (-0.01, 0.1)}  # noqa: RUF012

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.liquidity not in get_args(Liquidity):
            raise ConfigError(f"liquidity is {self.liquidity!r}; expected 'taker' or 'maker'")

    def values(self, capital_usdt: float | None) -> tuple[float, ...]:
        """The fee charged; negative is a rebate."""
        return (float(self.taker_fee if self.liquidity == "taker" else self.maker_fee),)

    @staticmethod
    @compiled
    def rate(costs: Any, fill: Fill) -> Any:
        """The fee."""
        return costs.fee


@cost_model
@dataclass(frozen=True)
class Slippage(CostModel):
    """The distance of the fill from the close: ``slippage + slippage_per_range · log(high/low)``.

    Attributes:
        slippage: Constant part.
        slippage_per_range: Share of the fill bar's log range.
    """

    slippage: float = 0.0002
    slippage_per_range: float = 0.0

    kind = "slippage"
    names = ("slippage", "slippage_per_range")
    _bounds = {"slippage": (0.0, 0.1), "slippage_per_range": (0.0, 1.0)}  # noqa: RUF012

    def values(self, capital_usdt: float | None) -> tuple[float, ...]:
        """Both settings."""
        return float(self.slippage), float(self.slippage_per_range)

    @property
    def reads(self) -> frozenset[str]:
        """The range, where a share of it is charged."""
        return frozenset({"bar_range"} if self.slippage_per_range > 0.0 else ())

    @staticmethod
    @compiled
    def rate(costs: Any, fill: Fill) -> Any:
        """Constant and share of the range."""
        return costs.slippage + costs.slippage_per_range * fill.bar_range


@cost_model
@dataclass(frozen=True)
class SquareRootImpact(CostModel):
    """Market impact: ``impact · σ · √(order ÷ turnover)`` of the notional.

    The square-root law (Almgren et al. 2005, "Direct Estimation of Equity Market Impact"; Tóth et
    al. 2011, "Anomalous Price Impact and the Critical Nature of Liquidity in Financial Markets"),
    with σ and turnover of the bar at whose close the order is filled: σ from its range (Parkinson
    1980), turnover in USDT.

    Attributes:
        impact: Coefficient, of order 1; 0 is none.
        impact_capital_usdt: What equity 1.0 is worth [USDT]; ``capital_usdt`` where None.
    """

    impact: float = 0.0
    impact_capital_usdt: float | None = None

    kind = "slippage"
    names = ("impact_of_root",)
    _bounds = {"impact": (0.0, 100.0), "impact_capital_usdt": (1e-6, 1e15)}  # noqa: RUF012

    def values(self, capital_usdt: float | None) -> tuple[float, ...]:
        """``impact · √capital`` per unit of range.

        Raises:
            ConfigError: There is an impact but no capital that moves the market.
        """
        capital = capital_usdt if self.impact_capital_usdt is None else self.impact_capital_usdt
        if self.impact == 0.0:
            return (0.0,)
        if capital is None:
            raise ConfigError(
                f"impact is {self.impact:g}, but nothing says how large the orders are; give "
                "impact_capital_usdt (or capital_usdt), the account's worth in USDT"
            )
        return (float(self.impact * math.sqrt(capital) / _RANGE_PER_DEVIATION),)

    @property
    def reads(self) -> frozenset[str]:
        """Everything, where there is an impact."""
        return frozenset(Fill._fields if self.impact > 0.0 else ())

    @staticmethod
    @compiled
    def rate(costs: Any, fill: Fill) -> Any:
        """The square-root law; ``** 0.5`` because tensors know it, too."""
        if costs.impact_of_root == 0.0:
            return 0.0
        return costs.impact_of_root * fill.bar_range * (fill.order / fill.turnover) ** 0.5


_NAMES = [name for model in COST_MODELS for name in model.names]
CostRules: Any = NamedTuple("CostRules", [(name, float) for name in _NAMES])  # type: ignore[misc]
"""The models' numbers, as the compiled methods read them."""


def _sum(rates: list[Any]) -> Any:
    """One function that adds up the rates, for compiled callers and plain ones alike."""
    first, *rest = rates
    if not rest:
        return first
    others = _sum(rest)

    def total(costs: Any, fill: Fill) -> Any:
        return first(costs, fill) + others(costs, fill)

    return register_jitable(total)


def _rates(kind: Kind, *, plain: bool = False) -> list[Any]:
    methods: list[Any] = [model.rate for model in COST_MODELS if model.kind == kind]
    return [interpreted(method) for method in methods] if plain else methods


fee_rate, slippage_rate = (_sum(_rates(kind)) for kind in get_args(Kind))
"""What all models of a kind take of the notional, for compiled callers."""
plain_fee_rate, plain_slippage_rate = (_sum(_rates(kind, plain=True)) for kind in get_args(Kind))
"""The same on numbers or tensors."""
