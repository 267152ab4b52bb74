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


def make_rule(
    name: str,
    training: Candles,
    features: Features | None = None,
    leverage: float = 1.0,
    **settings: Any,
) -> Policy:
    """A rule of `RULES`, for a market and an account.

    Args:
        name: One of `RULES`.
        training: Bars that a rule may be fitted on: those of the training range alone.
        features: The specification of the observations it will see; None is the default one for
            the candles' interval.
        leverage: Of the account.
        settings: What else the rule takes, such as ``horizon``; what it does not take is refused.

    Raises:
        ConfigError: There is no such rule, or a setting is not the rule's.
    """
    if name not in RULES:
        near = nearest(name, RULES)
        hint = f"did you mean {near!r}?" if near else f"expected one of {', '.join(RULES)}"
        raise ConfigError(f"there is no rule {name!r}; {hint}")
    taken = inspect.signature(RULES[name]).parameters
    known = {
        "training": training,
        "features": features or FeatureSpec.for_interval(training.interval),
        "bars_per_year": training.bars_per_year,
        "leverage": leverage,
    }
    refuse_unknown(settings, [name for name in taken if name not in known], f"the rule {name!r}")
    missing = [
        setting
        for setting, parameter in taken.items()
        if parameter.default is parameter.empty and setting not in {**known, **settings}
    ]
    if missing:
        raise ConfigError(f"the rule {name!r} needs {', '.join(missing)}")
    return RULES[name](**{name: known[name] for name in known if name in taken}, **settings)
