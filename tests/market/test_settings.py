"""numpy's scalars are numbers wherever a number is taken, and nothing else becomes one."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from worldmodel_trading.config import RunConfig
from worldmodel_trading.market.account.rewards import DifferentialSharpe
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, FeatureError
from worldmodel_trading.market.features import FeatureSpec
from worldmodel_trading.market.settings import (
    nearest,
    plain,
    real_number,
    seed_number,
    truth,
    whole_number,
)
from worldmodel_trading.market.sources import funding_per_bar, open_funding
from worldmodel_trading.models.config import PaperConfig

NO_NUMBERS: list[Any] = [True, np.True_, None, "3", b"3", [3], np.array([3]), 3j, Decimal(3)]


@pytest.mark.parametrize("given", [3, np.int64(3), np.uint8(3), np.array(3), np.array(3, "i2")])
def test_whole_numbers(given: Any) -> None:
    assert whole_number(given) == real_number(given) == plain(given) == 3
    assert type(whole_number(given)) is type(plain(given)) is int


@pytest.mark.parametrize("given", [0.5, np.float32(0.5), np.float16(0.5), np.array(0.5)])
def test_real_numbers(given: Any) -> None:
    assert whole_number(given) is None
    assert real_number(given) == plain(given) == 0.5
    assert type(real_number(given)) is float


@pytest.mark.parametrize("given", NO_NUMBERS, ids=repr)
def test_what_is_no_number(given: Any) -> None:
    assert whole_number(given) is real_number(given) is None


def test_what_is_neither_finite_nor_true() -> None:
    for given in (np.nan, np.inf, np.float32(-np.inf)):
        assert real_number(given) is None
    assert truth(np.False_) is False
    assert truth(np.array(True)) is True
    assert all(truth(given) is None for given in (0, 1.0, "yes", None, np.int64(1)))
    assert plain("text") == "text"


def test_seeds() -> None:
    assert seed_number(np.int64(7)) == 7
    assert type(seed_number(np.uint8(7))) is int
    for wrong in (-1, 1.0, None, True, "7"):
        with pytest.raises(ConfigError, match=r"seed is .*; expected a whole number, 0 or more"):
            seed_number(wrong)


def test_the_nearest_name() -> None:
    assert nearest("temprature", ["temperature", "horizon"]) == "temperature"
    assert nearest("zzz", ["temperature", "horizon"]) is None


def test_an_account_is_the_same_whoever_counts() -> None:
    ours = BrokerConfig.from_settings(
        leverage=3, taker_fee=0.0005, fill_delay=2, max_turnover=0.5, capital_usdt=10_000,
        intrabar=False, qty_step=1, tick_size=0.5, min_notional_usdt=5,
    )  # fmt: skip
    theirs = BrokerConfig.from_settings(
        leverage=np.int64(3), taker_fee=np.float64(0.0005), fill_delay=np.int32(2),
        max_turnover=np.array(0.5), capital_usdt=np.uint32(10_000), intrabar=np.False_,
        qty_step=np.int8(1), tick_size=np.float32(0.5), min_notional_usdt=np.array(5),
    )  # fmt: skip
    assert theirs == ours
    assert json.dumps(theirs.to_dict()) == json.dumps(ours.to_dict())
    assert theirs.compile() == ours.compile()
    single = DifferentialSharpe(adaptation_rate=np.float32(0.5))
    assert single == DifferentialSharpe(adaptation_rate=0.5)
    for wrong in (np.True_, np.float64(np.nan), np.array([3.0])):
        with pytest.raises(ConfigError, match=r"leverage is .*; expected a number"):
            BrokerConfig.from_settings(leverage=wrong)
    with pytest.raises(ConfigError, match=r"fill_delay is 1.0; expected a whole number"):
        BrokerConfig.from_settings(fill_delay=np.float64(1.0))


def test_a_world_model_s_settings_are_the_same_whoever_counts() -> None:
    ours = PaperConfig(features=FeatureSpec((2, 5), False), latent_size=4, dropout=0.25)
    theirs = PaperConfig(
        features=FeatureSpec(np.array([2, 5]), np.False_),  # type: ignore[arg-type]
        latent_size=np.int64(4),  # type: ignore[arg-type]
        dropout=np.float32(0.25),  # type: ignore[arg-type]
    )
    assert theirs == ours
    assert json.dumps(theirs.to_dict()) == json.dumps(ours.to_dict())
    for horizons in (7, "24", [2.5], [True], [10**6], np.array([[2]])):
        with pytest.raises(FeatureError, match=r"horizons are .*; expected at least one"):
            FeatureSpec(horizons)  # type: ignore[arg-type]
    with pytest.raises(FeatureError, match="detrend_volume is 1; expected true or false"):
        FeatureSpec(detrend_volume=1)  # type: ignore[arg-type]


def test_a_run_s_settings_are_the_same_whoever_counts() -> None:
    ours = RunConfig(seed=3, taker_fee=0.001, account={"leverage": 3}, start="2020-02-01T00:00")
    theirs = RunConfig(
        seed=np.int64(3),  # type: ignore[arg-type]
        taker_fee=np.float64(0.001),
        account={"leverage": np.int64(3)},
        start=np.datetime64("2020-02-01"),
    )
    assert theirs.start == "2020-02-01T00:00:00+00:00"
    assert RunConfig(start="1580515200").start == theirs.start  # as the command line has it
    assert json.loads(json.dumps(theirs.to_dict())) == {**ours.to_dict(), "start": theirs.start}
    assert theirs.run_id("x") == RunConfig(**theirs.to_dict()).run_id("x")


def test_funding_rates(candles: Candles) -> None:
    assert open_funding(np.float64(0.0001)) == open_funding(0.0001) == 0.0001
    assert open_funding(np.int64(0)) == 0.0
    for wrong in (np.nan, 0.2, "much", None):
        with pytest.raises(ConfigError, match=r"unrecorded_funding_rate is .*within ±0.1"):
            funding_per_bar(0.0, candles, wrong)  # type: ignore[arg-type]
