"""A rule by scikit-learn: ridge regression of the next return on what the observation shows.

It is fitted on the recorded bars that the world model was trained on, and trades the sign of its
forecast where that is large enough to pay for the trade.
"""

import argparse

import gymnasium as gym
import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from worldmodel_trading import evaluate_policy

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--steps", type=int, default=8_192, help="recorded bars to fit on")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

UNSEEN = "2022-07-20"  # of the embedded market; the world model knows what came before
settings = {"world_model": "default", "observation": "features"}
history = gym.make("BybitReplay-v0", end=UNSEEN, episode_length=options.steps, **settings)
observation, _ = history.reset(seed=options.seed)
seen, came = [], []
for _ in range(options.steps):
    seen.append(observation[:-1])  # the last number is the account's
    observation, *_, info = history.step(np.zeros(1, dtype=np.float32))
    came.append(np.log1p(info["market_return"]))
model = make_pipeline(StandardScaler(), RidgeCV(10.0 ** np.arange(0, 7)))
model.fit(np.array(seen), np.array(came))


class Rule:
    """Long or short where the forecast is above the cost, by the protocol that everything here judges."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        """The target weight; the one that is held where the forecast is small."""
        rows = np.atleast_2d(observation)
        forecast, held = model.predict(rows[:, :-1]), rows[:, -1]
        weight = np.where(np.abs(forecast) > 0.00075, np.sign(forecast), held)
        return weight.reshape(*np.shape(observation)[:-1], 1).clip(-1, 1), None


dream = gym.make("WorldModelDream-v0", observation="features", horizon=256)
replay = gym.make("BybitReplay-v0", start=UNSEEN, episode_length=256, **settings)
for name, env in (("dream", dream), ("replay", replay)):
    found = evaluate_policy(env, Rule(), bars_per_year=8_760, episodes=5, seed=options.seed)
    print(f"{name}: mean log return of 5 episodes {found.performance.log_return:+.4f}")
