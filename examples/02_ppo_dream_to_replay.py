"""Train PPO in the dream, then find out in the recorded market whether it was worth anything.

The world model that ships with the package has seen the first 85% of the embedded market, so the
replay plays the rest. With the default few thousand steps expect no profit: expect to see how far
the dream's number and the replay's lie apart.
"""

import argparse

import gymnasium as gym
import torch
from stable_baselines3 import PPO

from worldmodel_trading import buy_and_hold, comparison_table, evaluate_policy, flat

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--steps", type=int, default=2048, help="dreamed bars to train on")
parser.add_argument("--episodes", type=int, default=3, help="episodes of each evaluation")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

torch.set_num_threads(1)  # small networks: more threads only wait for each other
UNSEEN = "2022-07-20"  # of the embedded market; the world model knows what came before
HOURS_PER_YEAR = 8_760

dream = gym.make("WorldModelDream-v0", horizon=256)
replay = gym.make("BybitReplay-v0", world_model="default", start=UNSEEN, episode_length=1_000)

agent = PPO("MlpPolicy", dream, n_steps=512, batch_size=128, seed=options.seed, device="cpu")
agent.learn(options.steps)

performance = {}
for name, policy in (("ppo", agent), ("buy and hold", buy_and_hold()), ("flat", flat())):
    performance[name] = {
        venue: evaluate_policy(
            env,
            policy,
            bars_per_year=HOURS_PER_YEAR,
            episodes=options.episodes,
            seed=options.seed,
        ).performance
        for venue, env in (("dream", dream), ("replay", replay))
    }
print(comparison_table(performance, venues=("dream", "replay")))

dreamed, real = (performance["ppo"][venue].log_return for venue in ("dream", "replay"))
print(f"\nPPO after {options.steps:,} dreamed bars, mean log return of an episode, after costs:")
print(f"dream {dreamed:+.4f}, replay {real:+.4f} of bars that neither agent nor model has seen.")
print("It lost money." if real < 0 else "It made money; more episodes would tell skill from luck.")
