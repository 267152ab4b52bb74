"""PPO by rl-zoo3's command, with the hyperparameters in 07_rl_zoo3.yml; then dream and replay.

The command is ``python -m rl_zoo3.train --gym-packages worldmodel_trading --env WorldModelDream-v0 …``.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import gymnasium as gym
from stable_baselines3 import PPO

from worldmodel_trading import evaluate_policy

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--steps", type=int, default=32_768, help="dreamed bars to train on")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

with tempfile.TemporaryDirectory() as folder:
    command = [
        sys.executable,
        "-m",
        "rl_zoo3.train",
        "--algo",
        "ppo",
        "--env",
        "WorldModelDream-v0",
    ]
    command += ["--gym-packages", "worldmodel_trading", "--env-kwargs", "horizon:256"]
    command += ["--conf-file", str(Path(__file__).with_suffix(".yml")), "--log-folder", folder]
    command += ["--n-timesteps", str(options.steps), "--seed", str(options.seed)]
    command += ["--eval-freq", "-1", "--verbose", "0", "--num-threads", "1"]
    subprocess.run(command, check=True)
    agent = PPO.load(Path(folder) / "ppo" / "WorldModelDream-v0_1" / "WorldModelDream-v0.zip")

dream = gym.make("WorldModelDream-v0", horizon=256)
replay = gym.make("BybitReplay-v0", world_model="default", start="2022-07-20", episode_length=256)
for name, env in (("dream", dream), ("replay", replay)):
    found = evaluate_policy(env, agent, bars_per_year=8_760, episodes=5, seed=options.seed)
    print(f"{name}: mean log return of 5 episodes {found.performance.log_return:+.4f}")
