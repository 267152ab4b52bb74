"""Episodes for offline learning: dreamed ones in a Parquet file, and in a data set of Minari.

python examples/22_export.py --minari synthetic/momentum-v0    # needs the extra `minari`

Prints how many steps were written, and what a learner reads back from the file.
"""

from __future__ import annotations

import argparse
from collections import deque

import gymnasium as gym
import numpy as np
import pandas as pd

import worldmodel_trading  # noqa: F401 - registers the environments
from worldmodel_trading import RandomWeights
from worldmodel_trading.evaluation import record_episodes, write_minari, write_transitions

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--episodes", type=int, default=100)
parser.add_argument("--horizon", type=int, default=240, help="bars of each")
parser.add_argument("--out", default="episodes.parquet")
parser.add_argument("--minari", help="name of a data set, such as synthetic/random-v0")
parser.add_argument("--minari-folder", help="where Minari's data sets are kept")
given = parser.parse_args()

env = gym.make("WorldModelDream-v0", horizon=given.horizon)  # of the world model that ships
policy = RandomWeights(seed=0)  # explores; any agent goes here

# Episodes are written as they are played, so that none has to be kept.
with write_transitions(given.out, record_episodes(env, policy, given.episodes, 0)) as episodes:
    if given.minari:
        write_minari(given.minari, episodes, env, given.minari_folder, algorithm_name="random")
    else:
        deque(episodes, maxlen=0)

table = pd.read_parquet(given.out)
steps = table.dropna(subset=["reward"])
print(f"{table.episode.nunique()} episodes, {len(steps)} steps: {given.out}")
print(f"columns: {', '.join(table.columns)}")
observations = np.stack(steps.observation)
print(f"observations {observations.shape}, mean reward {steps.reward.mean():+.6f}")
