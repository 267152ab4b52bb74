"""The package on a system without what POSIX adds to Python, as Windows is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Python imports it at the start of every process, children included. PyTorch looks at the system's
# name before it uses `os.register_at_fork`, so that has to stay.
WITHOUT_POSIX = """
import os, signal, sys

sys.modules.update(dict.fromkeys(("resource", "fcntl", "termios", "pwd", "grp")))
for name in ("fork", "forkpty", "sched_getaffinity", "getuid"):
    delattr(os, name)
for name in ("pthread_sigmask", "SIGKILL", "SIGHUP"):
    delattr(signal, name)
"""

IMPORTS = """
import importlib, pkgutil
import worldmodel_trading

for module in pkgutil.walk_packages(worldmodel_trading.__path__, "worldmodel_trading."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""

WORK = """
import sys
import gymnasium as gym
import numpy as np
import worldmodel_trading
from worldmodel_trading.envs.population.scorers import DreamWorkers
from worldmodel_trading.envs.population.jobs import Dreams
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.files.writer import sole_writer
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.bars.config import MarketConfig
from worldmodel_trading.models.training.train import train_world_model

if __name__ == "__main__":
    candles, folder = synthetic_candles(seed=1, bars=1_200), sys.argv[1]
    config = MarketConfig(
        latent_size=3, forecast_size=2, vae_hidden_size=8, calendar_size=2, trunk_size=6,
        hidden_size=4, num_components=2, head_size=4, forecast_epochs=1, vae_epochs=1,
        mdn_rnn_epochs=1, head_epochs=1, chunk_bars=48, burn_in_bars=12, warmup_bars=24,
        bank_segments=8, calibration_rounds=0,
    )
    with sole_writer(folder):
        model, history = train_world_model(
            candles.rows(0, 600), candles.rows(600, 900), config, checkpoint_dir=folder
        )
        model.save_pretrained(folder + "/model")
    assert all("memory_mb" not in row for row in history.rows)
    for name, settings in (("WorldModelDream-v0", {}), ("BybitReplay-v0", {"candles": candles})):
        env = gym.make(name, world_model=folder + "/model", **settings)
        env.reset(seed=0)
        env.step(np.ones(1, dtype=np.float32))
    with DreamWorkers(model, num_workers=1) as workers:
        controllers = np.zeros((2, model.config.latent_size + model.config.hidden_size + 2))
        scores = workers.score(controllers, Dreams(np.arange(4), 5, 0), BrokerConfig())
    assert scores.steps.min() == 5
    print("done")
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "sitecustomize.py").write_text(WITHOUT_POSIX)
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.skipif(os.name != "posix", reason="this is such a system")
def test_every_module_imports_without_what_posix_adds(tmp_path: Path) -> None:
    done = run(tmp_path, "-c", IMPORTS)
    assert done.returncode == 0, done.stderr
    missing = run(tmp_path, "-c", "import resource")
    assert "ModuleNotFoundError" in missing.stderr  # it is blocked indeed


@pytest.mark.skipif(os.name != "posix", reason="this is such a system")
def test_training_environments_and_workers_work_without_it(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(WORK)
    done = run(tmp_path, str(script), str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "done"
