"""What a user of TorchRL does first: GymEnv on every id, and native lanes wrapped."""

import gymnasium as gym
import torch
from torchrl.envs import GymEnv, GymWrapper
from torchrl.envs.utils import check_env_specs

import worldmodel_trading  # noqa: F401 - registers the environments

torch.set_num_threads(1)

for name in (
    "WorldModelDream-v0",
    "BybitReplay-v0",
    "WorldModelDreamDiscrete-v0",
    "BybitReplayDiscrete-v0",
):
    env = GymEnv(name)
    env.set_seed(3)
    check_env_specs(env)
    rollout = env.rollout(5)
    assert rollout["next", "reward"].shape == (5, 1)
    assert torch.isfinite(rollout["next", "observation"]).all()
    env.close()

# With frames skipped, each step lives four bars: eleven of them are three steps.
skipping = GymEnv("WorldModelDream-v0", horizon=11, frame_skip=4)
rollout = skipping.rollout(100)
assert rollout["next", "truncated"].squeeze(-1).tolist() == [False, False, True]

lanes = gym.make_vec("BybitReplay-v0", num_envs=3, episode_length=6, autoreset_mode="same_step")
env = GymWrapper(lanes)
env.set_seed(3)
check_env_specs(env)
rollout = env.rollout(14, break_when_any_done=False)
assert rollout["next", "done"].squeeze(-1).nonzero()[:, 1].tolist() == [5, 11] * 3
assert (rollout["observation"][:, 6, -1] == 0.0).all()  # a new episode holds nothing
