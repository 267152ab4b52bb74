"""The arguments of an environment: which it takes, and which one a person may have meant."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from ..market.account.rules import BrokerConfig
from ..market.errors import UnknownArgumentError
from ..market.settings import nearest

_LENGTH, _CANDLES = ("episode_length", "horizon"), ("candles",)
_MEANT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("fee", "fees", "commission", "commissions", "tradingfee"), ("taker_fee",)),
    **dict.fromkeys(("cost", "costs", "transactioncost", "brokerfee"), ("taker_fee",)),
    **dict.fromkeys(("spread", "halfspread"), ("slippage",)),
    **dict.fromkeys(("delay", "latency", "lag"), ("fill_delay",)),
    **dict.fromkeys(("horizon", "episodelength", "length", "steps", "maxsteps"), _LENGTH),
    **dict.fromkeys(("maxepisodesteps", "maxepisodelength", "numsteps", "bars"), _LENGTH),
    **dict.fromkeys(("df", "data", "dataset", "dataframe", "prices", "csv", "symbol"), _CANDLES),
    **dict.fromkeys(("model", "modelpath"), ("world_model",)),
    **dict.fromkeys(("tau", "temp"), ("temperature",)),
    **dict.fromkeys(("capital", "initialcapital", "balance", "initialbalance"), ("capital_usdt",)),
    **dict.fromkeys(("discrete", "actiontype", "actionspace"), ("actions",)),
    **dict.fromkeys(("begin", "startdate", "starttime"), ("start",)),
    **dict.fromkeys(("stop", "until", "enddate", "endtime"), ("end",)),
    **dict.fromkeys(("lookback", "window", "windowsize"), ("warmup",)),
    **dict.fromkeys(("numlanes", "nenvs"), ("num_envs",)),
}
"""What other houses call them, in plain letters: the first that an environment takes is meant."""


def refuse_unknown(environment: type[Any], name: str, others: Mapping[str, Any]) -> None:
    """Refuse a keyword argument that neither an environment nor its account takes.

    Args:
        environment: Its class; the parameters of its constructor are its arguments.
        name: What it is called in public, ``"WorldModelDream-v0"``.
        others: What was given beside those parameters.

    Raises:
        UnknownArgumentError: Worded as Python words it, with the nearest argument, and all of them.
    """
    parameters = inspect.signature(environment).parameters.values()
    own = [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
    account = [setting for setting in BrokerConfig.setting_names() if setting not in own]
    for given in others:
        if given not in account:
            meant = _meant(given, [*own, *account])
            hint = "" if meant is None else f"did you mean {meant!r}? "
            raise UnknownArgumentError(
                f"{name} got an unexpected keyword argument {given!r}; {hint}"
                f"expected one of {', '.join(own)}; or of the account {', '.join(account)}"
            )


def _meant(given: str, known: list[str]) -> str | None:
    for name in _MEANT.get(re.sub(r"[\W_]", "", given).lower(), ()):
        if name in known:
            return name
    return nearest(given, known)
