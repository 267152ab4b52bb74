"""PPO by RLlib, in one process on one lane of the dream, made by its Gymnasium id."""

import argparse

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.tune.registry import register_env

from worldmodel_trading import evaluate_policy

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--steps", type=int, default=16_384, help="dreamed bars to train on")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()


def scaled(settings):
    """The dream, its reward in percent."""
    dream = gym.make("WorldModelDream-v0", **settings)
    return gym.wrappers.TransformReward(dream, lambda reward: 100 * reward)


register_env("dream", scaled)
batch = min(2_048, options.steps)
config = (
    PPOConfig()
    .environment("dream", env_config={"horizon": 256})
    .env_runners(num_env_runners=0)
    .training(train_batch_size=batch, minibatch_size=min(256, batch), num_epochs=4, gamma=0.95)
    .debugging(seed=options.seed, log_level="ERROR")
)
algorithm = config.build_algo()
for _ in range(max(1, options.steps // batch)):
    algorithm.train()
module = algorithm.get_module()


class Mean:
    """The policy's mean, by the protocol that everything here judges."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        """The target weight."""
        rows = torch.from_numpy(np.atleast_2d(observation))
        with torch.no_grad():
            out = module.forward_inference({Columns.OBS: rows})[Columns.ACTION_DIST_INPUTS]
        mean = out[:, :1].clamp(-1, 1).numpy()  # of mean and log deviation
        return mean.reshape(*observation.shape[:-1], 1), None


dream = gym.make("WorldModelDream-v0", horizon=256)
replay = gym.make("BybitReplay-v0", world_model="default", start="2022-07-20", episode_length=256)
for name, env in (("dream", dream), ("replay", replay)):
    found = evaluate_policy(env, Mean(), bars_per_year=8_760, episodes=5, seed=options.seed)
    print(f"{name}: mean log return of 5 episodes {found.performance.log_return:+.4f}")
algorithm.stop()
