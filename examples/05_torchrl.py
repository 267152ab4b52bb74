"""PPO by TorchRL: its GymWrapper takes native lanes of the dream as they are."""

import argparse

import gymnasium as gym
import torch
from tensordict import TensorDict
from tensordict.nn import (
    InteractionType,
    NormalParamExtractor,
    TensorDictModule,
    set_interaction_type,
)
from torch import nn
from torchrl.collectors import Collector
from torchrl.envs import GymWrapper
from torchrl.modules import ProbabilisticActor, TanhNormal, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from worldmodel_trading import evaluate_policy

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--steps", type=int, default=32_768, help="dreamed bars to train on")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

torch.set_num_threads(1)
torch.manual_seed(options.seed)
LANES, BARS = 16, 128
lanes = gym.make_vec("WorldModelDream-v0", LANES, horizon=256, autoreset_mode="same_step")
env = GymWrapper(lanes)
env.set_seed(options.seed)
size = lanes.single_observation_space.shape[0]
network = nn.Sequential(nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, 2), NormalParamExtractor())
actor = ProbabilisticActor(
    TensorDictModule(network, ["observation"], ["loc", "scale"]),
    in_keys=["loc", "scale"],
    distribution_class=TanhNormal,
    return_log_prob=True,
    default_interaction_type=InteractionType.RANDOM,
)
critic = ValueOperator(nn.Sequential(nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, 1)))
loss = ClipPPOLoss(actor, critic, entropy_bonus=False)
advantage = GAE(gamma=0.95, lmbda=0.9, value_network=critic)
adam = torch.optim.Adam(loss.parameters(), lr=1e-3)
frames = LANES * BARS
plan = {"frames_per_batch": frames, "total_frames": max(frames, options.steps)}
for data in Collector(env, actor, auto_register_policy_transforms=True, **plan):
    data["next", "reward"] = 100 * data["next", "reward"]  # in percent
    for _ in range(4):
        with torch.no_grad():
            advantage(data)
        losses = loss(data.reshape(-1))
        adam.zero_grad()
        (losses["loss_objective"] + losses["loss_critic"]).backward()
        adam.step()


class Mode:
    """The policy's mode, by the protocol that everything here judges."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        """The target weight."""
        with torch.no_grad(), set_interaction_type(InteractionType.DETERMINISTIC):
            seen = TensorDict(observation=torch.from_numpy(observation))
            return actor(seen)["action"].numpy(), None


dream = gym.make("WorldModelDream-v0", horizon=256)
replay = gym.make("BybitReplay-v0", world_model="default", start="2022-07-20", episode_length=256)
for name, env in (("dream", dream), ("replay", replay)):
    found = evaluate_policy(env, Mode(), bars_per_year=8_760, episodes=5, seed=options.seed)
    print(f"{name}: mean log return of 5 episodes {found.performance.log_return:+.4f}")
