"""PPO in one file, from CleanRL's idea: everything that it does can be read from top to bottom.

It steps native lanes of the dream, and is then judged in dream and replay.
"""

import argparse

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Normal

from worldmodel_trading import evaluate_policy

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--steps", type=int, default=65_536, help="dreamed bars to train on")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

torch.set_num_threads(1)
torch.manual_seed(options.seed)
LANES, BARS, EPOCHS, PARTS, GAMMA, LAMBDA, CLIP = 16, 128, 4, 4, 0.95, 0.9, 0.2
lanes = gym.make_vec("WorldModelDream-v0", LANES, horizon=256, autoreset_mode="same_step")
size = lanes.single_observation_space.shape[0]
actor, critic = (nn.Sequential(nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, 1)) for _ in "12")
log_std = nn.Parameter(torch.full((1,), -0.5))
adam = torch.optim.Adam([*actor.parameters(), *critic.parameters(), log_std], lr=1e-3, eps=1e-5)
seen, _ = lanes.reset(seed=options.seed)
for _ in range(max(1, options.steps // (LANES * BARS))):
    rows = []
    for _ in range(BARS):
        observation = torch.from_numpy(seen)
        with torch.no_grad():
            policy, value = Normal(actor(observation), log_std.exp()), critic(observation)[:, 0]
            action = policy.sample()
        seen, reward, terminated, truncated, _ = lanes.step(action.numpy())
        paid = torch.from_numpy(100 * reward).float()  # in percent
        ended = torch.from_numpy(terminated | truncated).float()
        rows.append((observation, action, policy.log_prob(action)[:, 0], value, paid, ended))
    observations, actions, chances, values, rewards, ends = map(
        torch.stack, zip(*rows, strict=True)
    )
    with torch.no_grad():
        following, advantage = critic(torch.from_numpy(seen))[:, 0], torch.zeros(LANES)
    advantages = torch.zeros_like(rewards)
    for t in reversed(range(BARS)):  # generalised advantage estimation
        error = rewards[t] + GAMMA * (1 - ends[t]) * following - values[t]
        advantage = error + GAMMA * LAMBDA * (1 - ends[t]) * advantage
        advantages[t], following = advantage, values[t]
    flat = [
        x.flatten(0, 1) for x in (observations, actions, chances, advantages, advantages + values)
    ]
    for part in np.array_split(torch.randperm(LANES * BARS).numpy(), PARTS) * EPOCHS:
        observation, action, chance, gain, target = (x[part] for x in flat)
        ratio = (Normal(actor(observation), log_std.exp()).log_prob(action)[:, 0] - chance).exp()
        gain = (gain - gain.mean()) / (gain.std() + 1e-8)
        clipped = torch.min(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain)
        loss = 0.5 * (critic(observation)[:, 0] - target).square().mean() - clipped.mean()
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([*actor.parameters(), *critic.parameters(), log_std], 0.5)
        adam.step()


class Mean:
    """The policy's mean, by the protocol that everything here judges."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        """The target weight."""
        with torch.no_grad():
            return actor(torch.from_numpy(observation)).clamp(-1, 1).numpy(), None


dream = gym.make("WorldModelDream-v0", horizon=256)
replay = gym.make("BybitReplay-v0", world_model="default", start="2022-07-20", episode_length=256)
for name, env in (("dream", dream), ("replay", replay)):
    found = evaluate_policy(env, Mean(), bars_per_year=8_760, episodes=5, seed=options.seed)
    print(f"{name}: mean log return of 5 episodes {found.performance.log_return:+.4f}")
