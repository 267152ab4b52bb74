"""The rules of the account: costs, margin, execution and order rounding, with Bybit's values.

Each rule is a frozen, JSON-able record that refuses impossible values; `BrokerConfig` joins them
and compiles them to `BrokerRules`, the flat tuple that the compiled kernel reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal, NamedTuple, Self, cast, get_args

from ..errors import ConfigError
from ..settings import nearest, real_number, truth

Liquidity = Literal["taker", "maker"]


class BrokerRules(NamedTuple):
    """What the kernel reads; made by `BrokerConfig.compile`. Units as in the public records."""

    fee: float
    slippage: float
    slippage_per_range: float
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


class Rule:
    """Checked construction from plain mappings, shared by the records below."""

    _bounds: ClassVar[Mapping[str, tuple[float, float]]] = {}
    """Closed interval of each number."""
    _optional: ClassVar[frozenset[str]] = frozenset()
    """Numbers that may be None."""

    def __post_init__(self) -> None:
        for name, (low, high) in self._bounds.items():
            value = getattr(self, name)
            if value is None and name in self._optional:
                continue
            number = real_number(value)
            if number is None:
                raise ConfigError(f"{name} is {value!r}; expected a number")
            if not low <= number <= high:
                raise ConfigError(f"{name} is {value!r}; expected {low:g} ≤ {name} ≤ {high:g}")
            object.__setattr__(self, name, number)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping, such as parsed JSON; refuses unknown keys with `ConfigError`."""
        _refuse_unknown(values, [f.name for f in fields(cast(Any, cls))], cls.__name__)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can carry; `from_dict` restores an equal record."""
        return asdict(cast(Any, self))


@dataclass(frozen=True)
class Costs(Rule):
    """What an order costs, as fractions of the notional traded.

    The slippage of an order filled at the close of bar t is
    ``slippage + slippage_per_range · log(high_t / low_t)``.

    Attributes:
        taker_fee: Fee of an order that takes liquidity (Bybit linear: 0.055 %).
        maker_fee: Fee of an order that provides it (0.02 %).
        slippage: Constant distance of the fill from the close.
        slippage_per_range: Share of the fill bar's log range added to it; 0 is constant slippage.
        liquidity: Which fee is charged, ``"taker"`` or ``"maker"``.
    """

    taker_fee: float = 0.00055
    maker_fee: float = 0.0002
    slippage: float = 0.0002
    slippage_per_range: float = 0.0
    liquidity: Liquidity = "taker"

    _bounds = {  # noqa: RUF012 - a constant table; ClassVar in the base
        "taker_fee": (-0.01, 0.1),
        "maker_fee": (-0.01, 0.1),
        "slippage": (0.0, 0.1),
        "slippage_per_range": (0.0, 1.0),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.liquidity not in get_args(Liquidity):
            raise ConfigError(f"liquidity is {self.liquidity!r}; expected 'taker' or 'maker'")

    @property
    def fee(self) -> float:
        """The fee charged, fraction of notional; negative is a rebate."""
        return self.taker_fee if self.liquidity == "taker" else self.maker_fee


@dataclass(frozen=True)
class Margin(Rule):
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
        intrabar = truth(self.intrabar)
        if intrabar is None:
            raise ConfigError(f"intrabar is {self.intrabar!r}; expected true or false")
        object.__setattr__(self, "intrabar", intrabar)
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
class Execution(Rule):
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
    _optional = frozenset({"max_turnover"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.fill_delay, int):
            raise ConfigError(f"fill_delay is {self.fill_delay!r}; expected a whole number of bars")


@dataclass(frozen=True)
class Rounding(Rule):
    """An instrument's order rules for an account of a given size (defaults: Bybit BTCUSDT).

    Attributes:
        capital_usdt: What equity 1.0 is worth [USDT].
        qty_step: Orders are whole multiples of this quantity [base currency], rounded towards 0.
        tick_size: Fill prices are whole multiples of this [USDT], rounded against the trader;
            0 leaves them.
        min_notional_usdt: A smaller order is not executed, unless it only reduces the position
            [USDT].
    """

    capital_usdt: float
    qty_step: float = 0.001
    tick_size: float = 0.1
    min_notional_usdt: float = 5.0

    _bounds = {  # noqa: RUF012
        "capital_usdt": (1e-6, 1e15),
        "qty_step": (1e-12, 1e12),
        "tick_size": (0.0, 1e9),
        "min_notional_usdt": (0.0, 1e12),
    }


@dataclass(frozen=True)
class BrokerConfig(Rule):
    """All rules of an account.

    Attributes:
        costs: Fees and slippage.
        margin: Leverage, liquidation and ruin.
        execution: Delay, band and turnover limit.
        rounding: Order rounding; None trades any fraction of a contract.
    """

    costs: Costs = field(default_factory=Costs)
    margin: Margin = field(default_factory=Margin)
    execution: Execution = field(default_factory=Execution)
    rounding: Rounding | None = None

    def __post_init__(self) -> None:
        for name, kind in _PARTS.items():
            value = getattr(self, name)
            if not (isinstance(value, kind) or (name == "rounding" and value is None)):
                raise ConfigError(f"{name} is {value!r}; expected a {kind.__name__}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BrokerConfig:
        """Build from nested mappings, such as parsed JSON; refuses unknown keys."""
        _refuse_unknown(values, list(_PARTS), cls.__name__)
        for name, value in values.items():
            if not (isinstance(value, Mapping) or (name == "rounding" and value is None)):
                raise ConfigError(f"{name} is {value!r}; expected a mapping of settings")
        parts = {
            name: None if value is None else _PARTS[name].from_dict(value)
            for name, value in values.items()
        }
        return cls(**cast(Any, parts))

    @classmethod
    def from_settings(cls, **settings: Any) -> BrokerConfig:
        """Build from flat names, as environments take them: ``taker_fee=…, leverage=…``.

        Any field of the four records may be named; rounding is on when ``capital_usdt`` is given.

        Raises:
            ConfigError: An unknown name (the nearest is suggested), or an impossible value.
        """
        homes = _setting_homes()
        _refuse_unknown(settings, list(homes), cls.__name__)
        grouped: dict[str, dict[str, Any]] = {}
        for name, value in settings.items():
            grouped.setdefault(homes[name], {})[name] = value
        if "rounding" in grouped and grouped["rounding"].get("capital_usdt") is None:
            named = ", ".join(n for n in grouped.pop("rounding") if n != "capital_usdt")
            if named:
                raise ConfigError(f"{named} without capital_usdt; give the capital in USDT as well")
        return cls(**cast(Any, {p: _PARTS[p].from_dict(v) for p, v in grouped.items()}))

    @staticmethod
    def setting_names() -> list[str]:
        """The names that `from_settings` takes."""
        return list(_setting_homes())

    def compile(self) -> BrokerRules:
        """The flat tuple that the kernel reads."""
        costs, margin, execution = self.costs, self.margin, self.execution
        rounding = self.rounding or Rounding(capital_usdt=1.0)
        limit = math.inf if execution.max_turnover is None else float(execution.max_turnover)
        return BrokerRules(
            fee=float(costs.fee),
            slippage=float(costs.slippage),
            slippage_per_range=float(costs.slippage_per_range),
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
        )


_PARTS: dict[str, type[Rule]] = {
    "costs": Costs,
    "margin": Margin,
    "execution": Execution,
    "rounding": Rounding,
}


def _setting_homes() -> dict[str, str]:
    """In which of the parts each setting lies."""
    return {f.name: part for part, kind in _PARTS.items() for f in fields(cast(Any, kind))}


def _refuse_unknown(values: Mapping[str, Any], known: list[str], owner: str) -> None:
    for name in values:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near!r}?" if near else f"expected one of {', '.join(known)}"
            raise ConfigError(f"{owner} has no setting {name!r}; {hint}")
