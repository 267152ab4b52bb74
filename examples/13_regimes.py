"""Find the regimes of the market that the shipped world model dreams, and start dreams in one of them.

    python 13_regimes.py --count 4

What is known at a close comes from the bars up to it; nothing later is looked at.
"""

from __future__ import annotations

import argparse

import gymnasium as gym
import numpy as np

from worldmodel_trading import Regimes, open_world_model, synthetic_candles


def main() -> None:
    """Name the regimes, say which the newest bar is in, and compare dreams that start in each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=4, help="regimes")
    parser.add_argument("--dreams", type=int, default=64, help="dreams of a day from each")
    options = parser.parse_args()

    world_model, candles = open_world_model("default"), synthetic_candles()
    regimes = Regimes.fit(world_model, candles, count=options.count, bootstraps=0)
    newest = regimes.filter(world_model, candles)[-1]
    print(f"now: {regimes.names[newest.argmax()]}, {newest.max():.0%}")

    env = gym.make_vec("worldmodel_trading:WorldModelDream-v0", num_envs=options.dreams)
    rng = np.random.default_rng(0)
    for name, traits in zip(regimes.names, regimes.traits, strict=True):
        segments = rng.choice(regimes.segments(world_model, name), options.dreams)
        env.reset(seed=0, options={"segment": segments.tolist()})
        moves = []
        for _ in range(24):
            *_, info = env.step(np.zeros((options.dreams, 1), dtype=np.float32))
            moves.append(info["market_return"])
        print(
            f"{name}: {traits.share:.0%} of all bars, {traits.duration:.0f} bars at a time; "
            f"dreams from it move {np.std(moves):.2%} a bar"
        )


if __name__ == "__main__":
    main()
