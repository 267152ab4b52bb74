"""Train the linear controller with CMA-ES inside the dream, and compare dream with replay.

Every generation scores all candidates on the same fresh dreams; a validation range of the recorded
market chooses among the generations; the test range is touched once, at the end.
"""

import argparse
from pathlib import Path

import torch

from worldmodel_trading import (
    BybitReplayEnv,
    CMAESConfig,
    DreamEnv,
    DreamSearchConfig,
    WorldModel,
    buy_and_hold,
    comparison_table,
    evaluate_policy,
    flat,
    open_candles,
    open_recorded,
    train_controller,
)

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--generations", type=int, default=20)
parser.add_argument("--population", type=int, default=32)
parser.add_argument("--dreams", type=int, default=16, help="dreams that score each candidate")
parser.add_argument("--horizon", type=int, default=256, help="bars of a dream")
parser.add_argument("--save", type=Path, help="write the controller here (.safetensors)")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

torch.set_num_threads(1)  # small networks: more threads only wait for each other
candles = open_candles("synthetic")
world_model = WorldModel.from_pretrained("default")  # trained on the first 70% of these candles
validation_start, test_start = (
    int(candles.open_time_ms[int(share * len(candles))]) for share in (0.70, 0.85)
)

search = DreamSearchConfig(
    CMAESConfig(population=options.population, generations=options.generations),
    dreams=options.dreams,
    horizon=options.horizon,
)
# One search is one draw: `train_controllers(…, searches=5)` finds the range that a claim needs.
controller, found = train_controller(
    world_model,
    search,
    seed=options.seed,
    validation=open_recorded(candles, world_model, validation_start, test_start),
    callback=lambda lived: print(
        f"generation {lived.generation + 1:>3}  dream: best {lived.best:+.4f}, "
        f"mean {lived.mean:+.4f}"
    ),
)
print(f"\n{found.evaluations} controllers scored, {controller.parameters.size} parameters each\n")
if options.save:
    controller.save(options.save, seed=options.seed)

dream = DreamEnv(world_model, horizon=options.horizon)
whole = {"episode_length": None, "random_start": False}
replays = {
    "validation": BybitReplayEnv(candles, world_model, validation_start, test_start, **whole),
    "test": BybitReplayEnv(candles, world_model, test_start, None, **whole),
}
performance = {}
for name, policy in (
    ("controller", controller),
    ("buy and hold", buy_and_hold()),
    ("flat", flat()),
):
    venues = {"dream": (dream, 16), **{venue: (env, 1) for venue, env in replays.items()}}
    performance[name] = {
        venue: evaluate_policy(
            env, policy, bars_per_year=candles.bars_per_year, episodes=episodes, seed=options.seed
        ).performance
        for venue, (env, episodes) in venues.items()
    }
print(comparison_table(performance))
