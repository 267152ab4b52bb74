"""The folder that a page's code runs in: what its reader has by then."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from bybit_server import HOUR_MS, LAUNCH_MS, BybitServer, Listed

from worldmodel_trading import open_world_model, synthetic_candles, write_candles

BARS = (2_074 - 1) * 24  # 2020-04-01 to 2025-12-04: five years and eight months
MARKETS = {  # a file of candles: its symbol, and the seed of the synthetic market in it
    "BTCUSDT-60.csv": ("BTCUSDT", 11),
    "ETHUSDT-60.csv": ("ETHUSDT", 12),
    "SOLUSDT-60.csv": ("SOLUSDT", 13),
}
AS_FETCHED = "bybit-linear-BTCUSDT-60.csv"  # the first of them, named as `fetch` exports it
FUNDING = "bybit-linear-BTCUSDT-funding.csv"
OWN = ("btc.csv", "btc-funding.csv")  # one's own, with a column
WORLD_MODEL = "runs/btc/world_model"  # what `run --candles BTCUSDT-60.csv --out runs/btc` leaves


def prepare(folder: Path) -> None:
    """Write what pages name into a folder."""
    for file, (symbol, seed) in MARKETS.items():
        candles = synthetic_candles(seed=seed, bars=BARS, start="2020-04-01", symbol=symbol)
        write_candles(candles, folder / file)
        if symbol == "BTCUSDT":
            shutil.copy(folder / file, folder / AS_FETCHED)
            imbalance = np.tanh(np.random.default_rng(0).normal(size=len(candles)))
            own = replace(candles, columns={"book_imbalance": imbalance})
            write_candles(own, folder / OWN[0])
            _write_funding(candles.open_time_ms, (folder / FUNDING, folder / OWN[1]))
    model = open_world_model("default")
    model.provenance = replace(model.provenance, symbol="BTCUSDT")
    model.save_pretrained(folder / WORLD_MODEL)


def _write_funding(times: np.ndarray, files: tuple[Path, ...]) -> None:
    due = times[times % (8 * HOUR_MS) == 0]
    rates = np.random.default_rng(0).normal(1e-4, 1e-4, size=len(due))
    rows = [f"{time},{rate:.6f}" for time, rate in zip(due, rates, strict=True)]
    for file in files:
        file.write_text("\n".join(["timestamp,fundingRate", *rows, ""]))


def train(prepared: Path, folder: Path) -> None:
    """Write what trainings leave into a folder: ``runs/ppo``, which pages also call ``runs/agent``."""
    arguments = ["--agent", "ppo", "--steps", "4096", "--lanes", "16", "--horizon", "128"]
    arguments += ["--every", "4096", "--set", "n_steps=128", "--set", "batch_size=512"]
    arguments += ["--world-model", str(prepared / WORLD_MODEL), "--out", str(folder / "ppo")]
    arguments += ["--candles", str(prepared / "BTCUSDT-60.csv")]
    subprocess.run(
        [sys.executable, "-m", "worldmodel_trading", "train", *arguments],
        check=True,
        capture_output=True,
        timeout=120,
    )
    shutil.copytree(folder / "ppo", folder / "agent")


def give(prepared: Path, folder: Path) -> None:
    """Let a folder have what was prepared: files as links, what jobs may write to as copies."""
    for path in prepared.iterdir():
        if path.is_dir():
            shutil.copytree(path, folder / path.name)
        else:
            (folder / path.name).symlink_to(path)


@contextmanager
def market_open() -> Iterator[BybitServer]:
    """The exchange in the middle of February 2021: bars close as fast as they are followed."""
    server = BybitServer()
    server.now_ms = LAUNCH_MS + 7_700 * HOUR_MS + HOUR_MS // 2
    server.others = {"ETHUSDT": Listed(), "GONEUSDT": Listed(ended_ms=LAUNCH_MS + 900 * HOUR_MS)}
    closing = threading.Event()

    def close_bars() -> None:
        while not closing.wait(0.05):
            if server.stream.subscribed:
                server.now_ms += server.step_ms
                server.stream.push(server.last_closed())

    clock = threading.Thread(target=close_bars, daemon=True)
    clock.start()
    try:
        yield server
    finally:
        closing.set()
        clock.join(5)
        server.close()
