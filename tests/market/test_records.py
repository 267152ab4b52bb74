"""One base of all settings: the same checks, words and round trip for each."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from worldmodel_trading.agents.cma_es import CMAESConfig
from worldmodel_trading.agents.dream_search import DreamSearchConfig
from worldmodel_trading.evaluation.fidelity.subject import FidelityConfig
from worldmodel_trading.market.account.rewards import DifferentialSharpe
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.records import AT_LEAST_ONE, POSITIVE, Bounds, Record
from worldmodel_trading.models.config import PaperConfig


@dataclass(frozen=True)
class Settings(Record):
    count: int = 1
    limit: int | None = None
    rate: float = 0.5
    cap: float = 1.0
    free: float = 0.0
    on: bool = True
    word: str = "one"

    _bounds = {  # noqa: RUF012
        "count": AT_LEAST_ONE,
        "limit": AT_LEAST_ONE,
        "rate": Bounds(0, 1, above=True),
        "cap": (0, math.inf),
    }
    _choices = {"word": ("one", "two")}  # noqa: RUF012


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"count": 0}, "count is 0; expected a whole number, 1 or more"),
        ({"count": 1.0}, "count is 1.0; expected a whole number, 1 or more"),
        ({"limit": 0}, "limit is 0; expected a whole number, 1 or more"),
        ({"rate": 0}, "rate is 0; expected a number, 0 < rate ≤ 1"),
        ({"rate": "x"}, "rate is 'x'; expected a number, 0 < rate ≤ 1"),
        ({"cap": -1.0}, "cap is -1.0; expected a number, 0 or more"),
        ({"cap": math.nan}, "cap is nan; expected a number, 0 or more"),
        ({"free": math.inf}, "free is inf; expected a number"),
        ({"free": None}, "free is None; expected a number"),
        ({"on": 1}, "on is 1; expected true or false"),
        ({"word": "three"}, "word is 'three'; expected one of one, two"),
        ({"wrod": "one"}, "Settings has no setting 'wrod'; did you mean 'word'"),
        ([("count", 1)], r"Settings is \[\('count', 1\)\]; expected a mapping of settings"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Settings.from_dict(given)


def test_ends_belong_to_bounds_unless_they_are_left_out() -> None:
    assert Settings(cap=math.inf, rate=1.0, limit=None).cap == math.inf
    assert [POSITIVE.hold(x) for x in (0.0, 1e-300, math.inf)] == [False, True, False]
    assert POSITIVE.describe("x") == "more than 0"


def test_numbers_are_python_s_own_whoever_counted() -> None:
    made = Settings(count=np.int32(3), rate=np.float32(0.25), on=np.False_)  # type: ignore[arg-type]
    assert made == Settings(count=3, rate=0.25, on=False)
    assert [type(x) for x in (made.count, made.rate, made.on)] == [int, float, bool]


@pytest.mark.parametrize(
    "kind",
    [
        BrokerConfig,
        DifferentialSharpe,
        PaperConfig,
        CMAESConfig,
        DreamSearchConfig,
        FidelityConfig,
    ],
)
def test_settings_of_every_room_are_records_that_survive_json(kind: type[Record]) -> None:
    made = kind()
    kept = json.loads(json.dumps(made.to_dict()))
    if kind is not DreamSearchConfig:  # whose search is a record of its own
        assert kind.from_dict(kept) == made
    with pytest.raises(ConfigError, match=f"{kind.__name__} has no setting 'zebra'"):
        kind.from_dict({**kept, "zebra": 1})
