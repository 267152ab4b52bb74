"""Hallucinated markets: whole candles from a world model, and a rule that trades them in replay."""

import argparse

import gymnasium as gym
import numpy as np

from worldmodel_trading import make_rule, open_candles, open_world_model, run_episode

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--paths", type=int, default=20)
parser.add_argument("--bars", type=int, default=720)
parser.add_argument("--seed", type=int, default=7)
options = parser.parse_args()

record = open_candles("synthetic")
model = open_world_model("default")  # of the embedded market, up to the middle of 2022
moment = "2022-11-08"  # each path goes on from here, knowing what had closed by then
paths = model.hallucinate(options.paths, options.bars, seed=options.seed, candles=record, at=moment)

rule = make_rule("momentum")  # follows the week behind it
held, earned = [], []
for path in paths:
    replay = gym.make("BybitReplay-v0", candles=path, episode_length=None, random_start=False)
    episode = run_episode(replay, rule)
    held.append(np.log(path.close[-1] / path.open[0]))
    earned.append(np.log(episode.equity[-1]))

happened = record.between(moment).close[: options.bars]
print(
    f"holding {options.bars} bars from {moment}: {np.log(happened[-1] / happened[0]):+.4f} in the record"
)
for name, results in (("holding", held), ("momentum", earned)):
    low, middle, high = np.percentile(results, (5, 50, 95))
    print(
        f"{name} in {options.paths} dreams: median {middle:+.4f}, 90% between {low:+.4f} and {high:+.4f}"
    )
