"""What a user of skrl does first: wrap_env finds the wrapper, and a trainer steps the lanes."""

import gymnasium as gym
import torch
from skrl.envs.wrappers.torch import wrap_env
from skrl.envs.wrappers.torch.gymnasium_envs import GymnasiumWrapper

import worldmodel_trading  # noqa: F401 - registers the environments

torch.set_num_threads(1)

for name in ("WorldModelDream-v0", "BybitReplay-v0", "BybitReplayDiscrete-v0"):
    discrete = "Discrete" in name
    for made in (
        gym.make_vec(name, num_envs=3, max_episode_steps=4),
        gym.make(name),
        gym.make(name).unwrapped,
    ):
        env = wrap_env(made, verbose=False)
        assert type(env) is GymnasiumWrapper
        observations, _ = env.reset()
        count = env.num_envs
        assert observations.shape == (count, *made.observation_space.shape[-1:])
        ends = []
        for _ in range(5):
            actions = torch.ones(count, 1, dtype=torch.int64 if discrete else torch.float32)
            observations, rewards, terminated, truncated, _ = env.step(actions)
            assert rewards.shape == terminated.shape == truncated.shape == (count, 1)
            assert torch.isfinite(observations).all()
            ends.append(bool(truncated.all()))
        if count > 1:
            assert ends == [False, False, False, True, False]
            env.render()  # a trainer that is not told to be headless asks for it every step
        env.close()
