"""``fetch``, ``run --symbol`` and ``watch``, against an exchange on loopback."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.agents.live import LiveTrader
from worldmodel_trading.agents.rules import flat
from worldmodel_trading.cli import main
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.market.bybit.store import Store
from worldmodel_trading.market.errors import FeatureError
from worldmodel_trading.market.sources import open_funding
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.world_model import WorldModel

HOUR = 3_600_000
LAUNCH = 1_585_526_400_000
START = "2020-04-01"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORLDMODEL_TRADING_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def _fetch(bybit: Any, *more: str) -> int:
    return main(["fetch", "--symbol", "BTCUSDT", "--start", START, "--base-url", bybit.url, *more])


def test_fetch_says_what_it_got_and_fetches_only_what_is_missing(
    bybit: Any, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _fetch(bybit, "--end", "2020-05-01") == 0
    first = capsys.readouterr().out
    assert "720" in first
    assert "BTCUSDT" in first
    asked = len(bybit.log)
    files = {p: p.read_bytes() for p in store.rglob("*") if p.suffix == ".parquet"}
    assert _fetch(bybit, "--end", "2020-05-01") == 0
    assert len([1 for path, _ in bybit.log[asked:] if path.endswith("kline")]) == 0
    assert {p: p.read_bytes() for p in store.rglob("*") if p.suffix == ".parquet"} == files
    assert len(Store().open("linear", "BTCUSDT", "60")) == 720


def test_data_dir_overrides(bybit: Any, store: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    assert _fetch(bybit, "--end", "2020-04-03", "--data-dir", str(elsewhere)) == 0
    assert list(elsewhere.rglob("*.parquet"))
    assert not store.exists()


def test_stored_candles_are_opened_from_the_data_dir(
    bybit: Any, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = ["--data-dir", str(tmp_path / "elsewhere")]
    assert _fetch(bybit, "--end", "2020-04-03", *elsewhere) == 0
    late = ["--candles", "bybit:BTCUSDT:60", "--start", "2030-01-01"]
    for job in ("run", "forecast"):
        os.environ["WORLDMODEL_TRADING_DATA"] = str(store)
        assert main([job, *late]) == 2
        assert "fetch" in capsys.readouterr().err
        assert main([job, *late, *elsewhere]) == 2
        assert "2030-01-01" in capsys.readouterr().err


def test_an_unknown_symbol_is_one_line(
    bybit: Any, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["fetch", "--symbol", "NOPEUSDT", "--start", START, "--base-url", bybit.url])
    assert status == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "NOPEUSDT" in error


def test_replay_of_stored_candles_never_asks_the_network(bybit: Any, store: Path) -> None:
    assert _fetch(bybit, "--end", "2020-06-01") == 0
    bybit.log.clear()
    env = BybitReplayEnv(
        "bybit:BTCUSDT:60", start="2020-05-01", episode_length=48, funding="bybit:BTCUSDT"
    )
    env.reset(seed=0)
    for _ in range(48):
        env.step(np.ones(1, dtype=np.float32))
    assert bybit.log == []
    rates = open_funding("bybit:linear:BTCUSDT")
    assert env.recorded.bars[1:, 4].any()
    assert not isinstance(rates, float)


def test_small_accounts_round_by_the_stored_instrument_s_rules(bybit: Any, store: Path) -> None:
    assert _fetch(bybit, "--end", "2020-06-01") == 0
    rules = Store().instrument("linear", "BTCUSDT")
    Store().save_instrument(replace(rules, quantity_step=0.5, min_notional=7.0))
    settings: dict[str, Any] = {"capital_usdt": 1_000.0, "episode_length": 48}
    env = BybitReplayEnv("bybit:BTCUSDT:60", **settings)
    rounding = env._account.config.rounding
    assert rounding is not None
    assert (rounding.qty_step, rounding.min_notional_usdt) == (0.5, 7.0)
    env.reset(seed=0)
    *_, info = env.step(np.ones(1, dtype=np.float32))
    price = env.recorded.candles.close[env._row - 1]
    bought = info["turnover"] * 1_000.0 / price
    assert bought == pytest.approx(0.5 * round(bought / 0.5), rel=2e-3)
    own = BybitReplayEnv("bybit:BTCUSDT:60", qty_step=0.25, **settings)._account.config.rounding
    assert own is not None
    assert own.qty_step == 0.25


def test_run_by_symbol_fetches_and_reports(bybit: Any, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    small = {
        "vae-epochs": 1, "mdn-rnn-epochs": 1, "population": 4, "generations": 2,
        "dreams": 2, "horizon": 24, "evaluation-dreams": 2,
    }  # fmt: skip
    settings = [text for name, value in small.items() for text in (f"--{name}", str(value))]
    where = ["--symbol", "BTCUSDT", "--base-url", bybit.url, "--funding", "bybit:BTCUSDT"]
    when = ["--start", START, "--end", "2020-09-01", "--account", "leverage=2"]
    status = main(["run", *where, *when, "--out", str(out), *settings])
    assert status == 0
    results = json.loads((out / "results.json").read_text())
    assert results["candles"]["symbol"] == "BTCUSDT"
    assert results["candles"]["bars"] == 153 * 24
    assert results["config"]["account"] == {"leverage": 2}


def test_run_by_symbol_needs_a_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--symbol", "BTCUSDT"]) == 2
    assert "--start" in capsys.readouterr().err


def test_watch_prints_regime_and_action_for_each_closed_candle(
    bybit: Any,
    market_model: WorldModel,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    market_model.save_pretrained(tmp_path / "model")
    size = market_model.config.latent_size + market_model.config.hidden_size + 2
    LinearController(np.full(size, 0.1)).save(tmp_path / "controller.safetensors")
    arguments = ["watch", "--symbol", "BTCUSDT", "--world-model", str(tmp_path / "model")]
    arguments += ["--controller", str(tmp_path / "controller.safetensors"), "--bars", "3"]
    arguments += ["--base-url", bybit.url, "--stream-url", bybit.stream.url, "--funding", "0.001"]
    status: list[int] = []
    watching = threading.Thread(target=lambda: status.append(main(arguments)), daemon=True)
    first = bybit.last_closed()
    watching.start()
    bybit.stream.wait()
    lines: list[str] = []
    for step in range(1, 4):
        bybit.now_ms = first + (step + 1) * HOUR + 1_000
        bybit.stream.push(first + step * HOUR, confirm=False)
        bybit.stream.push(first + step * HOUR)
        deadline = time.monotonic() + 60
        while len(lines) <= step:
            assert time.monotonic() < deadline, f"bar {step} was not printed"
            lines += [line for line in capsys.readouterr().out.splitlines() if "regime" in line]
            time.sleep(0.005)
    watching.join(60)
    assert status == [0]
    assert any(path.endswith("instruments-info") for path, _ in bybit.log)  # when funding is due
    assert len(lines) == 4  # the history's last bar, and three closed ones
    assert all("target +" in line or "target -" in line for line in lines)


def test_live_decisions_equal_replay(tiny_model: WorldModel) -> None:
    """The same bars, streamed or replayed, lead to the same observations, actions and equity."""
    candles = synthetic_candles(seed=9, bars=600)
    size = tiny_model.config.latent_size + tiny_model.config.hidden_size + 2
    controller = LinearController(np.random.default_rng(0).normal(size=size))
    env = BybitReplayEnv(candles, tiny_model, episode_length=None, random_start=False)
    start = 400
    trader = LiveTrader(tiny_model, controller)
    decision = trader.warm_up(candles.rows(0, start + 1))
    observation, info = env.reset(options={"start": int(candles.open_time_ms[start])})
    for row in range(start + 1, 600):
        action, _ = controller.predict(observation)
        assert decision.target == pytest.approx(float(action[0]), abs=2e-3)
        observation, _, _, _, info = env.step(action)
        update = trader.update(candles.rows(row, row + 1))
        assert update is not None
        decision = update
        assert decision.open_time_ms == info["time_ms"]
        assert decision.close == info["price"]
    assert decision.equity == pytest.approx(info["equity"], rel=1e-3)


def test_too_little_history_is_refused(market_model: WorldModel) -> None:
    trader = LiveTrader(market_model, flat())
    with pytest.raises(FeatureError, match=str(trader.history_bars)):
        trader.warm_up(synthetic_candles(bars=150))
