"""The rules by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ...evaluation.policy import Policy
from ...market.candles import Candles
from ...market.errors import ConfigError
from ...market.features import Features, FeatureSpec
from ...market.records import refuse_unknown
from ...market.settings import nearest
from .chance import RandomWeights
from .constant import ConstantWeight, buy_and_hold, flat
from .trend import Momentum, Reversion
from .volatility import HARVolatilityTarget, VolatilityTarget

RULES: Mapping[str, Callable[..., Policy]] = MappingProxyType(
    {
        "flat": flat,
        "hold": buy_and_hold,
        "constant": ConstantWeight,
        "momentum": Momentum,
        "reversion": Reversion,
        "volatility_target": VolatilityTarget,
        "har_volatility_target": HARVolatilityTarget.fit,
        "random": RandomWeights,
    }
)
"""What makes each: a trained policy has to beat them all. All read the feature observation."""


_GIVEN = ("training", "features", "bars_per_year", "leverage")


def make_rule(
    name: str,
    training: Candles | None = None,
    features: Features | None = None,
    leverage: float = 1.0,
    bars_per_year: float | None = None,
    **settings: Any,
) -> Policy:
    """A rule of `RULES`, for a market and an account.

    Args:
        name: One of `RULES`.
        training: Bars that a rule may be fitted on: those of the training range alone. A rule that
            is fitted on none does without.
        features: The specification of the observations it will see; None is the default one for
            the candles' interval.
        leverage: Of the account.
        bars_per_year: 8,760 for hourly bars; None is the candles'.
        settings: What else the rule takes, such as ``horizon``; what it does not take is refused.

    Raises:
        ConfigError: There is no such rule, a setting is not the rule's, or it lacks bars to be fitted on.
    """
    if name not in RULES:
        near = nearest(name, RULES)
        hint = f"did you mean {near!r}?" if near else f"expected one of {', '.join(RULES)}"
        raise ConfigError(f"there is no rule {name!r}; {hint}")
    taken = inspect.signature(RULES[name]).parameters
    known = {**_known_of(training), "leverage": leverage}
    known |= {} if features is None else {"features": features}
    known |= {} if bars_per_year is None else {"bars_per_year": bars_per_year}
    refuse_unknown(settings, [name for name in taken if name not in _GIVEN], f"the rule {name!r}")
    if "training" in taken and training is None:
        raise ConfigError(
            f"the rule {name!r} is fitted on recorded bars, and there are none of the training range: "
            "give candles that hold it"
        )
    missing = [
        setting
        for setting, parameter in taken.items()
        if parameter.default is parameter.empty and setting not in {**known, **settings}
    ]
    if missing:
        raise ConfigError(f"the rule {name!r} needs {', '.join(missing)}")
    return RULES[name](**{name: known[name] for name in known if name in taken}, **settings)


def _known_of(training: Candles | None) -> dict[str, Any]:
    """What bars tell a rule of its market."""
    if training is None:
        return {}
    return {
        "training": training,
        "features": FeatureSpec.for_interval(training.interval),
        "bars_per_year": training.bars_per_year,
    }
