"""An account with a capital trades by the rules of its own coin, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from worldmodel_trading.config import RunConfig
from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.dream_funding import DreamFunding
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.vector import DreamVectorEnv, ReplayVectorEnv
from worldmodel_trading.market.account.rules import Rounding
from worldmodel_trading.market.bybit.store import Store
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, StoreError, WorldModelTradingError
from worldmodel_trading.market.instruments import Instrument
from worldmodel_trading.models.world_model import WorldModel

CAPITAL: dict[str, Any] = {"capital_usdt": 1_000.0}
DOGE = {
    "symbol": "DOGEUSDT",
    "tick_size": 1e-5,
    "quantity_step": 1.0,
    "min_notional": 5.0,
    "funding_interval_minutes": 240,
}


@pytest.fixture(scope="module")
def doge(candles: Candles) -> Candles:
    """A coin of about 8 cents, from a file that carries no rules."""
    prices = {name: 8e-6 * getattr(candles, name) for name in ("open", "high", "low", "close")}
    return replace(candles, **prices, symbol="DOGEUSDT", instrument=None)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("WORLDMODEL_TRADING_DATA", str(tmp_path))
    return Store()


def rounding_of(env: BybitReplayEnv | DreamEnv) -> Rounding:
    rounding = env._account.config.rounding
    assert rounding is not None
    return rounding


def test_a_capital_without_rules_is_refused(doge: Candles, tmp_path: Path) -> None:
    for make in (BybitReplayEnv, lambda *a, **k: ReplayVectorEnv(2, *a, **k)):
        with pytest.raises(ConfigError, match=r"without qty_step, tick_size, min_notional_usdt"):
            make(doge, **CAPITAL)
    with pytest.raises(ConfigError, match=r"without tick_size, min_notional_usdt: .*fetch"):
        BybitReplayEnv(doge, qty_step=1.0, **CAPITAL)


def test_one_purchase_costs_what_its_own_tick_makes_it_cost(doge: Candles) -> None:
    env = BybitReplayEnv(doge, instrument=DOGE, taker_fee=0.0, slippage=0.0002, **CAPITAL)
    _, info = env.reset(seed=0)
    price = info["price"]
    *_, info = env.step(np.array([1.0]))
    # The fill is the next multiple of 0.00001 above 1.0002 times the price; the coins bought with
    # 1,000 USDT are whole, and what they cost beyond their price is taken from the equity.
    fill = np.ceil(1.0002 * price / 1e-5) * 1e-5
    order = info["turnover"] * (1.0 - info["cost"])  # of the equity before: the weight is of after
    assert info["cost"] == pytest.approx((fill / price - 1) * order, rel=1e-9)
    assert 0.0002 * 0.999 < info["cost"] < 0.0002 + 1e-5 / price
    coins = order * 1_000.0 / price
    assert coins == pytest.approx(round(coins), abs=1e-6)
    assert coins > 5_000
    # By BTCUSDT's tick of 0.1 the same purchase is filled at 0.1, dearer by 10% and more.
    wrong = {"qty_step": 0.001, "tick_size": 0.1, "min_notional_usdt": 5.0}
    env = BybitReplayEnv(doge, taker_fee=0.0, slippage=0.0002, **wrong, **CAPITAL)
    env.reset(seed=0)
    assert env.step(np.array([1.0]))[4]["cost"] > 0.1


def test_settings_that_are_named_win_over_the_instrument(doge: Candles) -> None:
    env = BybitReplayEnv(doge, instrument=DOGE, qty_step=10.0, **CAPITAL)
    assert rounding_of(env) == Rounding(1_000.0, 10.0, 1e-5, 5.0)
    lanes = ReplayVectorEnv(2, doge, instrument=DOGE, **CAPITAL)
    assert lanes._account.config.rounding == Rounding(1_000.0, 1.0, 1e-5, 5.0)


def test_rules_come_from_the_store(doge: Candles, store: Store) -> None:
    with pytest.raises(StoreError, match=r"no rules of linear DOGEUSDT.*fetch it"):
        BybitReplayEnv(doge, instrument="bybit:DOGEUSDT", **CAPITAL)
    store.save_instrument(Instrument(**DOGE))  # type: ignore[arg-type]
    named = BybitReplayEnv(doge, instrument="bybit:DOGEUSDT", **CAPITAL)
    assert rounding_of(named).tick_size == 1e-5
    span = (int(doge.open_time_ms[0]), int(doge.open_time_ms[-1]) + doge.interval_ms)
    store.add_candles("linear", "DOGEUSDT", "60", [doge], (span,))
    opened = store.open("linear", "DOGEUSDT", "60")
    for source in ("bybit:DOGEUSDT:60", opened, opened.between("2020-02-01", "2020-03-01")):
        assert rounding_of(BybitReplayEnv(source, episode_length=48, **CAPITAL)).qty_step == 1.0
    config = RunConfig(candles="bybit:DOGEUSDT:60", account=CAPITAL)
    assert config.broker().rounding == Rounding(1_000.0, 1.0, 1e-5, 5.0)


def test_a_run_without_rules_is_refused_before_it_begins(store: Store) -> None:
    with pytest.raises(ConfigError, match="a capital in USDT without qty_step"):
        RunConfig(candles="doge.csv", account=CAPITAL)
    store.save_instrument(Instrument(**DOGE))  # type: ignore[arg-type]
    config = RunConfig(candles="doge.csv", instrument="bybit:DOGEUSDT", account=CAPITAL)
    assert config.account_settings()["tick_size"] == 1e-5
    assert RunConfig(account=CAPITAL).account_settings()["tick_size"] == 0.1  # the embedded market


def test_the_rules_of_another_coin_are_refused(candles: Candles, market_model: WorldModel) -> None:
    for make in (
        lambda: BybitReplayEnv(candles, instrument=DOGE),
        lambda: DreamEnv(market_model, instrument=DOGE),
        lambda: DreamFunding(0.001, market_model, DOGE),
    ):
        with pytest.raises(
            WorldModelTradingError, match=r"the instrument is DOGEUSDT, and|and the"
        ):
            make()


def of_doge(model: WorldModel, source: str) -> WorldModel:
    """The same world model, as if it had been trained on another coin."""
    made = replace(model.provenance, symbol="DOGEUSDT", source=source)
    return type(model)(model.config, made, model.scaler, model.vae, model.mdn_rnn, model.bank)


def test_dreams_trade_by_the_rules_of_what_they_dream_of(
    market_model: WorldModel, store: Store
) -> None:
    assert rounding_of(DreamEnv(market_model, **CAPITAL)).tick_size == 0.1  # embedded
    dreamed = of_doge(market_model, "doge.csv")
    for make in (DreamEnv, lambda *a, **k: DreamVectorEnv(2, *a, **k)):
        with pytest.raises(ConfigError, match="a capital in USDT without qty_step"):
            make(dreamed, **CAPITAL)
    assert rounding_of(DreamEnv(dreamed, instrument=DOGE, **CAPITAL)).qty_step == 1.0
    stored = of_doge(market_model, "bybit:DOGEUSDT:60")
    with pytest.raises(ConfigError, match="a capital in USDT without qty_step"):
        DreamEnv(stored, **CAPITAL)
    store.save_instrument(Instrument(**DOGE))  # type: ignore[arg-type]
    assert rounding_of(DreamEnv(stored, **CAPITAL)).qty_step == 1.0


def test_a_constant_rate_follows_the_instrument_s_interval(
    candles: Candles, market_model: WorldModel
) -> None:
    """Every 4 h: six instants a day, in replay and in the dream."""
    rules = {**DOGE, "symbol": "SYNTH"}
    settings: dict[str, Any] = {"funding": 0.001, "taker_fee": 0.0, "slippage": 0.0}
    replay = BybitReplayEnv(candles, episode_length=24, instrument=rules, **settings)
    dream = DreamEnv(market_model, horizon=24, instrument=rules, **settings)
    for env in (replay, dream):
        env.reset(seed=2)
        before, charged = 1.0, []
        for _ in range(24):
            *_, info = env.step(np.array([1.0]))
            charged.append(1.0 + info["market_return"] - info["equity"] / before)
            before = info["equity"]
        assert np.sum(charged) == pytest.approx(6 * 0.001, abs=1e-12)


def test_orders_of_inverse_contracts_have_no_capital_in_usdt(candles: Candles) -> None:
    inverse = {"symbol": "SYNTH", "category": "inverse", "quantity_step": 1.0}
    with pytest.raises(ConfigError, match="orders of the inverse contract SYNTH"):
        BybitReplayEnv(candles, instrument=inverse, **CAPITAL)


@pytest.mark.parametrize(
    ("instrument", "message"),
    [
        ({"tick": 0.1}, "an instrument has no 'tick'; expected symbol, category, tick_size"),
        ({"tick_size": -0.1}, "tick_size of the instrument SYNTH is -0.1"),
        ({"tick_size": "0.1"}, "tick_size of the instrument SYNTH is '0.1'; expected a number"),
        ({"quantity_step": float("nan")}, "quantity_step of the instrument SYNTH is nan"),
        ({"funding_interval_minutes": 7.5}, "is 7.5; expected a whole number"),
        ({"category": "option"}, "category is 'option'; expected one of linear"),
        ("DOGEUSDT", "instrument is 'DOGEUSDT'; expected an Instrument"),
        (3, "instrument is 3; expected"),
    ],
)
def test_an_instrument_that_is_none_is_refused(
    instrument: Any, message: str, candles: Candles
) -> None:
    with pytest.raises(WorldModelTradingError) as caught:
        BybitReplayEnv(candles, instrument=instrument)
    assert message in str(caught.value)


def test_the_argument_survives_a_spec(candles: Candles) -> None:
    env = gym.make("BybitReplay-v0", instrument={"symbol": "SYNTH", "quantity_step": 0.5})
    assert env.spec is not None
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.recorded.candles.instrument.quantity_step == 0.5  # type: ignore[attr-defined]
