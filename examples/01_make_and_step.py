"""Make both environments and step them: the same spaces, the same info, two sources.

The replay plays the embedded synthetic market, or a file of yours; the dream runs
on the small world model that ships with the package.
"""

import argparse

import gymnasium as gym

import worldmodel_trading  # noqa: F401 - registers the environments

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--candles", help="file of candles; the embedded market when left out")
parser.add_argument("--bars", type=int, default=48, help="bars to live in each environment")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

replay = gym.make("BybitReplay-v0", candles=options.candles, world_model="default")
dream = gym.make("WorldModelDream-v0")

# One agent moves between them unchanged.
assert replay.observation_space == dream.observation_space
assert replay.action_space == dream.action_space
print("observation:", dream.get_wrapper_attr("observation_layout"))
print("action:", dream.action_space)

for name, env in (("replay", replay), ("dream", dream)):
    observation, info = env.reset(seed=options.seed)
    env.action_space.seed(options.seed)
    total = 0.0
    for _ in range(options.bars):
        action = env.action_space.sample()  # the target weight, -1 to 1
        observation, reward, terminated, truncated, info = env.step(action)
        total += float(reward)
        if terminated or truncated:
            break
    print(
        f"{name}: {options.bars} bars of random trading, log return {total:+.4f}, "
        f"equity {info['equity']:.4f}, price {info['price']:.1f}"
    )
    env.close()
