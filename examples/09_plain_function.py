"""A plain function as an agent: an observation goes in, a target weight comes out."""

import argparse

import gymnasium as gym

import worldmodel_trading  # noqa: F401 - registers the environments

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--steps", type=int, default=256, help="bars of an episode")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

settings = {"observation": "features"}
dream = gym.make("WorldModelDream-v0", horizon=options.steps, **settings)
replay = gym.make(
    "BybitReplay-v0",
    world_model="default",
    start="2022-07-20",  # of the embedded market; the world model knows what came before
    episode_length=options.steps,
    **settings,
)
names = dream.get_wrapper_attr("engine").config.features.names
slow, fast = names.index("momentum_168"), names.index("momentum_6")


def after_a_dip(observation):
    """Long in a rising week whose last hours fell; otherwise keep what is held."""
    if observation[slow] > 0 > observation[fast]:
        return 1.0
    return 0.0 if observation[slow] < 0 else min(1.0, observation[-1])


for name, env in (("dream", dream), ("replay", replay)):
    equity = []
    for episode in range(5):
        observation, info = env.reset(seed=options.seed + episode)
        over = False
        while not over:
            observation, _, terminated, truncated, info = env.step(after_a_dip(observation))
            over = terminated or truncated
        equity.append(info["equity"])
    print(f"{name}: equity after 5 episodes from 1 each: {', '.join(f'{e:.4f}' for e in equity)}")
