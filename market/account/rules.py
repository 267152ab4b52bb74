"""The rules of the account: margin, execution and order rounding, with Bybit's values.

Each rule is a frozen, JSON-able record that refuses impossible values; `BrokerConfig` joins them
with the cost models and compiles them to `BrokerRules`, which the compiled loops read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple, Self, cast

import numpy as np

from ..arrays import FloatArray
from ..errors import ConfigError
from ..numerics.compiled import compiled, first_numbers
from ..records import Record, refuse_unknown
from .costs import COST_MODELS, CostModel, CostRules
from .inputs import input_indices


class BrokerRules(NamedTuple):
    """What the compiled loops read; made by `BrokerConfig.compile`. Units as in the records."""

    costs: Any
    """The cost models' numbers, a `CostRules`."""
    leverage: float
    maintenance_margin: float
    liquidation_fee: float
    ruin_floor: float
    no_trade_band: float
    max_turnover: float
    capital_usdt: float
    qty_step: float
    tick_size: float
    min_notional_usdt: float
    has_margin: float
    """1 where liquidation inside the bar is checked, else 0; likewise below."""
    has_limits: float
    has_rounding: float
    has_sized_costs: float
    """Whether what an order costs, per notional, depends on its size."""


_COSTS: Final = len(CostRules._fields)
_OTHERS: Final = len(BrokerRules._fields) - 1
NUM_RULES: Final = _COSTS + _OTHERS


def flatten(rules: BrokerRules) -> FloatArray:
    """The rules as one array: to hand a tuple over to compiled code costs microseconds."""
    costs, *others = rules
    return np.array([*costs, *others], dtype=np.float64)


@compiled
def unpack_rules(values: FloatArray) -> BrokerRules:
    """What `flatten` made an array of."""
    costs = CostRules(*first_numbers(values[:_COSTS], _COSTS))
    return BrokerRules(costs, *first_numbers(values[_COSTS:NUM_RULES], _OTHERS))


@dataclass(frozen=True)
class Margin(Record):
    """How much may be held, and what happens when it goes wrong.

    Attributes:
        leverage: The action 1 means this many times the equity, long; −1 short.
        maintenance_margin: Equity below this fraction of the position's notional is liquidated,
            judged at the bar's worst price for the side held (Bybit BTCUSDT, first tier: 0.5 %).
        liquidation_fee: Fee of closing at liquidation, fraction of notional.
        intrabar: Whether bars are searched for liquidation; if not, only a close that leaves
            nothing ruins the account.
        ruin_floor: Fraction of the equity before a bar that its ruin leaves, so that the reward
            stays finite: ``log(ruin_floor)``, −9.2 by default. A bar that leaves no more ends the
            account.
    """

    leverage: float = 1.0
    maintenance_margin: float = 0.005
    liquidation_fee: float = 0.00055
    intrabar: bool = True
    ruin_floor: float = 1e-4

    _bounds = {  # noqa: RUF012
        "leverage": (1e-3, 1000.0),
        "maintenance_margin": (0.0, 0.5),
        "liquidation_fee": (0.0, 0.5),
        "ruin_floor": (1e-12, 0.1),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.leverage * self.maintenance_margin >= 1:
            raise ConfigError(
                f"leverage {self.leverage:g} with maintenance_margin {self.maintenance_margin:g} is "
                f"liquidated at the fill; expected leverage < {1 / self.maintenance_margin:g}"
            )
        if self.intrabar and self.liquidation_fee > self.maintenance_margin:
            raise ConfigError(
                f"liquidation_fee {self.liquidation_fee:g} exceeds maintenance_margin "
                f"{self.maintenance_margin:g}: the margin must cover the fee of closing"
            )


@dataclass(frozen=True)
class Execution(Record):
    """When and how far a target is followed.

    Attributes:
        fill_delay: Bars between the decision and the fill; 0 fills at the close it was made at.
        no_trade_band: A target within this distance of the weight held is not traded at all.
        max_turnover: Largest change of weight in one bar; None is no limit.
    """

    fill_delay: int = 0
    no_trade_band: float = 0.0
    max_turnover: float | None = None

    _bounds = {  # noqa: RUF012
        "fill_delay": (0, 100_000),
        "no_trade_band": (0.0, 1000.0),
        "max_turnover": (1e-9, 2000.0),
    }


@dataclass(frozen=True)
class Rounding(Record):
    """An instrument's order rules for an account of a given size.

    There are no defaults: one coin's tick is another's fortune. Bybit's BTCUSDT has 0.001, 0.1 and 5.

    Attributes:
        capital_usdt: What equity 1.0 is worth [USDT].
        qty_step: Orders are whole multiples of this quantity [base currency], rounded towards 0.
        tick_size: Fill prices are whole multiples of this [USDT], rounded against the trader;
            0 leaves them.
        min_notional_usdt: A smaller order is not executed, unless it only reduces the position
            [USDT].
    """

    capital_usdt: float
    qty_step: float
    tick_size: float
    min_notional_usdt: float

    _bounds = {  # noqa: RUF012
        "capital_usdt": (1e-6, 1e15),
        "qty_step": (1e-12, 1e12),
        "tick_size": (0.0, 1e9),
        "min_notional_usdt": (0.0, 1e12),
    }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping; refuses unknown keys, and rules that are not all there."""
        missing = [f.name for f in fields(cls) if f.name not in values]
        if missing:
            raise ConfigError(
                f"a capital in USDT without {', '.join(missing)}: orders are rounded by the rules of "
                "the instrument that is traded. Give them by name; or instrument='bybit:SYMBOL', "
                "which `worldmodel-trading fetch` stores; or stored candles, 'bybit:SYMBOL:INTERVAL'"
            )
        return super().from_dict(values)


@dataclass(frozen=True)
class AccountView(Record):
    """What a policy sees of its account.

    Attributes:
        account_observation: Names out of `market.account.inputs`, in the order shown: ``"weight"``,
            ``"unrealised_profit"``, ``"bars_on_side"``.
    """

    account_observation: tuple[str, ...] = ("weight",)

    def __post_init__(self) -> None:
        names = self.account_observation
        input_indices(names)
        object.__setattr__(self, "account_observation", tuple(names))

    @property
    def indices(self) -> tuple[int, ...]:
        """The same as numbers of `ACCOUNT_INPUTS` [K]."""
        return input_indices(self.account_observation)


@dataclass(frozen=True)
class BrokerConfig(Record):
    """All rules of an account.

    Attributes:
        costs: Fees, slippage and impact: any `CostModel`; one of each kind of model that there is,
            those that are not given with their defaults.
        margin: Leverage, liquidation and ruin.
        execution: Delay, band and turnover limit.
        rounding: Order rounding; None trades any fraction of a contract.
        view: What a policy sees of the account.
    """

    costs: tuple[CostModel, ...] = ()
    margin: Margin = field(default_factory=Margin)
    execution: Execution = field(default_factory=Execution)
    rounding: Rounding | None = None
    view: AccountView = field(default_factory=AccountView)

    def __post_init__(self) -> None:
        for name, kind in _PARTS.items():
            value = getattr(self, name)
            if not (isinstance(value, kind) or (name == "rounding" and value is None)):
                raise ConfigError(f"{name} is {value!r}; expected a {kind.__name__}")
        object.__setattr__(self, "costs", _one_of_each(self.costs))
        self._cost_values()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BrokerConfig:
        """Build from nested mappings, such as parsed JSON; refuses unknown keys."""
        refuse_unknown(values, ["costs", *_PARTS], cls.__name__)
        for name, value in values.items():
            if not (isinstance(value, Mapping) or (name == "rounding" and value is None)):
                raise ConfigError(f"{name} is {value!r}; expected a mapping of settings")
        parts: dict[str, Any] = {
            name: None if values[name] is None else kind.from_dict(values[name])
            for name, kind in _PARTS.items()
            if name in values
        }
        costs = values.get("costs", {})
        models = {model.__name__: model for model in COST_MODELS}
        refuse_unknown(costs, list(models), "costs")
        parts["costs"] = tuple(models[name].from_dict(kept) for name, kept in costs.items())
        return cls(**parts)

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values that JSON can carry; `from_dict` restores an equal record."""
        costs = {type(model).__name__: model.to_dict() for model in self.costs}
        return {**super().to_dict(), "costs": costs}

    @classmethod
    def from_settings(cls, **settings: Any) -> BrokerConfig:
        """Build from flat names, as environments take them: ``taker_fee=…, leverage=…``.

        Any field of the records or of a cost model may be named; rounding is on when
        ``capital_usdt`` is given, with the instrument's ``qty_step``, ``tick_size`` and
        ``min_notional_usdt``.

        Raises:
            ConfigError: An unknown name (the nearest is suggested), or an impossible value.
        """
        homes = _homes()
        refuse_unknown(settings, list(homes), cls.__name__)
        grouped: dict[type[Record], dict[str, Any]] = {}
        for name, value in settings.items():
            grouped.setdefault(homes[name], {})[name] = value
        if Rounding in grouped and grouped[Rounding].get("capital_usdt") is None:
            named = ", ".join(n for n in grouped.pop(Rounding) if n != "capital_usdt")
            if named:
                raise ConfigError(f"{named} without capital_usdt; give the capital in USDT as well")
        made = {kind: kind.from_dict(values) for kind, values in grouped.items()}
        parts = {name: made[kind] for name, kind in _PARTS.items() if kind in made}
        models = (made[kind] for kind in COST_MODELS if kind in made)
        return cls(costs=tuple(cast(Iterable[CostModel], models)), **cast(Any, parts))

    @property
    def reads(self) -> frozenset[str]:
        """Which fields of a `Fill` the costs depend on."""
        return frozenset().union(*(model.reads for model in self.costs))

    @property
    def looks_inside_bars(self) -> bool:
        """Whether a bar's high and low, range or turnover matter, and not its return alone."""
        return self.margin.leverage > 1.0 or bool(self.reads)

    @staticmethod
    def setting_names() -> list[str]:
        """The names that `from_settings` takes."""
        return list(_homes())

    def compile(self) -> BrokerRules:
        """What the compiled loops read."""
        margin, execution = self.margin, self.execution
        rounding = self.rounding or Rounding(1.0, 1.0, 0.0, 0.0)  # not looked at without one
        limit = math.inf if execution.max_turnover is None else float(execution.max_turnover)
        return BrokerRules(
            costs=CostRules(*self._cost_values()),
            leverage=float(margin.leverage),
            maintenance_margin=float(margin.maintenance_margin),
            liquidation_fee=float(margin.liquidation_fee),
            ruin_floor=float(margin.ruin_floor),
            no_trade_band=float(execution.no_trade_band),
            max_turnover=limit,
            capital_usdt=float(rounding.capital_usdt),
            qty_step=float(rounding.qty_step),
            tick_size=float(rounding.tick_size),
            min_notional_usdt=float(rounding.min_notional_usdt),
            has_margin=float(margin.intrabar),
            has_limits=float(execution.no_trade_band > 0 or math.isfinite(limit)),
            has_rounding=float(self.rounding is not None),
            has_sized_costs=float("order" in self.reads),
        )

    def _cost_values(self) -> list[float]:
        capital = None if self.rounding is None else self.rounding.capital_usdt
        return [value for model in self.costs for value in model.values(capital)]


_PARTS: Final[dict[str, type[Record]]] = {
    "margin": Margin,
    "execution": Execution,
    "rounding": Rounding,
    "view": AccountView,
}


def _homes() -> dict[str, type[Record]]:
    """The record or cost model to which each flat name belongs."""
    kinds: tuple[type[Record], ...] = (*COST_MODELS, *_PARTS.values())
    return {f.name: kind for kind in kinds for f in fields(cast(Any, kind))}


def _one_of_each(costs: tuple[CostModel, ...]) -> tuple[CostModel, ...]:
    """The models in the order in which their numbers are kept, absent ones by default."""
    given = {type(model): model for model in costs}
    wrong = [model for model in costs if type(model) not in COST_MODELS]
    if wrong or len(given) < len(costs):
        names = ", ".join(model.__name__ for model in COST_MODELS)
        raise ConfigError(f"costs are {costs!r}; expected at most one each of {names}")
    return tuple(given[kind] if kind in given else kind() for kind in COST_MODELS)
