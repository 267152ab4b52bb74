"""Train PPO in the dream, then find out in the recorded market whether it was worth anything.

The world model that ships with the package has seen the first 85% of the embedded market, whose edge
is real, so the replay plays the rest. A million dreamed bars take about half a minute of one processor.
"""

import argparse

import gymnasium as gym
import torch

from worldmodel_trading import (
    buy_and_hold,
    comparison_table,
    evaluate_policy,
    flat,
    make_sb3_agent,
    make_sb3_env,
)

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--steps", type=int, default=1_000_000, help="dreamed bars to train on")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

torch.set_num_threads(1)  # small networks: more threads only wait for each other
UNSEEN = "2022-07-20"  # of the embedded market; the world model knows what came before
HOURS_PER_YEAR = 8_760

agent = make_sb3_agent(
    "ppo", make_sb3_env("WorldModelDream-v0", 64, horizon=256), seed=options.seed
)
agent.learn(options.steps)

dream = gym.make("WorldModelDream-v0", horizon=4_000)
replay = gym.make("BybitReplay-v0", world_model="default", start=UNSEEN, episode_length=None)

performance = {}
for name, policy in (("ppo", agent), ("buy and hold", buy_and_hold()), ("flat", flat())):
    performance[name] = {
        venue: evaluate_policy(
            env, policy, bars_per_year=HOURS_PER_YEAR, seed=options.seed
        ).performance
        for venue, env in (("dream", dream), ("replay", replay))
    }
print(comparison_table(performance, venues=("dream", "replay")))

dreamed, real = (performance["ppo"][venue].log_return for venue in ("dream", "replay"))
print(f"\nPPO after {options.steps:,} dreamed bars, log return after costs:")
print(f"dream {dreamed:+.4f}, replay {real:+.4f} of bars that neither agent nor model has seen.")
print("It lost money." if real < 0 else "It made money; more seeds would tell skill from luck.")
