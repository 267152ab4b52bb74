"""PPO by skrl: its wrap_env takes native lanes of the dream as they are."""

import argparse

import gymnasium as gym
import torch
from skrl.agents.torch.ppo import PPO, PPO_CFG
from skrl.envs.wrappers.torch import wrap_env
from skrl.memories.torch import RandomMemory
from skrl.models.torch import DeterministicMixin, GaussianMixin, Model
from skrl.trainers.torch import SequentialTrainer
from torch import nn

from worldmodel_trading import evaluate_policy

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--steps", type=int, default=32_768, help="dreamed bars to train on")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

torch.set_num_threads(1)
torch.manual_seed(options.seed)
LANES, BARS = 16, 128
lanes = gym.make_vec("WorldModelDream-v0", LANES, horizon=256)
lanes.reset(seed=options.seed)
env = wrap_env(lanes, verbose=False)
spaces = {"observation_space": env.observation_space, "action_space": env.action_space}


class Actor(GaussianMixin, Model):
    """The policy."""

    def __init__(self):
        Model.__init__(self, **spaces)
        GaussianMixin.__init__(self)
        self.net = nn.Sequential(nn.Linear(self.num_observations, 64), nn.Tanh(), nn.Linear(64, 1))
        self.log_std = nn.Parameter(torch.full((1,), -0.5))

    def compute(self, inputs, role):
        """Mean and log deviation."""
        return self.net(inputs["observations"]), {"log_std": self.log_std}


class Critic(DeterministicMixin, Model):
    """What is still to come."""

    def __init__(self):
        Model.__init__(self, **spaces)
        DeterministicMixin.__init__(self)
        self.net = nn.Sequential(nn.Linear(self.num_observations, 64), nn.Tanh(), nn.Linear(64, 1))

    def compute(self, inputs, role):
        """The value."""
        return self.net(inputs["observations"]), {}


settings = PPO_CFG(rollouts=BARS, learning_epochs=4, mini_batches=4, discount_factor=0.95)
settings.rewards_shaper = lambda rewards, *_: 100 * rewards  # in percent
settings.experiment.write_interval = settings.experiment.checkpoint_interval = 0  # no files
models = {"policy": Actor(), "value": Critic()}
agent = PPO(
    models=models, memory=RandomMemory(memory_size=BARS, num_envs=LANES), cfg=settings, **spaces
)
bars = BARS * max(1, options.steps // (LANES * BARS))
plan = {"timesteps": bars, "headless": True, "disable_progressbar": True}
SequentialTrainer(env=env, agents=agent, cfg=plan).train()


class Mean:
    """The policy's mean, by the protocol that everything here judges."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        """The target weight."""
        with torch.no_grad():
            return models["policy"].net(torch.from_numpy(observation)).clamp(-1, 1).numpy(), None


dream = gym.make("WorldModelDream-v0", horizon=256)
replay = gym.make("BybitReplay-v0", world_model="default", start="2022-07-20", episode_length=256)
for name, env in (("dream", dream), ("replay", replay)):
    found = evaluate_policy(env, Mean(), bars_per_year=8_760, episodes=5, seed=options.seed)
    print(f"{name}: mean log return of 5 episodes {found.performance.log_return:+.4f}")
