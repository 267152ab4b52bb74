"""Write docs/environments.md from the environments' docstrings: ``python docs/generate.py``."""

from __future__ import annotations

import inspect
from pathlib import Path

from worldmodel_trading import BybitReplayEnv, DreamEnv

TARGET = Path(__file__).with_name("environments.md")
_HEAD = """# The environments

This page is generated from the docstrings by `python docs/generate.py`.

`gym.make(id)` makes one lane, `gym.make_vec(id, num_envs=N)` N lanes as arrays. For tools that take
an id and nothing else, `BybitReplayDiscrete-v0` and `WorldModelDreamDiscrete-v0` have discrete
actions.

**Many lanes.** `reset(seed=7)` seeds the one generator that all lanes draw from. `reset(seed=[3, 4])`
gives each lane a generator of its own: it then is `gym.make`'s environment with that seed, bit for
bit. `options` are those of the scalar environment, `start` or `segment`, once for all or in a list
of N with None where chance decides, and `reset_mask`; what would be ignored is refused.
`make_vec(id, num_envs=N, max_episode_steps=T)` truncates after T steps.

**Processes.** `make_vec(id, num_envs=N, vectorization_mode="async")` and Stable-Baselines3's
`SubprocVecEnv` may fork, spawn or use a fork server, whatever the parent has done before. Environments
enter no pool of threads, and `import worldmodel_trading` keeps PyTorch to one thread in every process
that is forked from then on: a child has its parent's pool without the threads, and would wait for
them for ever. A child that needs PyTorch's threads must be spawned. Native lanes, without processes,
are faster than both.

**A reward of your own** is a function of what a bar did to the account:

```python
import gymnasium as gym
from numba import njit
from worldmodel_trading import RewardStep


@njit
def cautious(step: RewardStep) -> float:
    drawdown = 1.0 - step.equity / step.peak
    return step.log_growth - 0.1 * drawdown - 0.01 * step.turnover


env = gym.make("BybitReplay-v0", reward=cautious)
```

Scalar and native vector environments pay the same bits. The function need not be compiled: a plain one
does the same, at some microseconds a lane in a vector environment, where a compiled one, which takes about half
a second to compile in each process, is called for all lanes at once. It must return a finite number. It remembers
nothing; a reward that does is a class ([how to add one](../CONTRIBUTING.md#how-to-add-)). The specification holds the
function, so `gym.make(env.spec)` works, and an environment is pickled as far as its function is; `spec.to_json` is for
named rewards. Searches do not look at it: they score what `objective` says (docs/engine.md).

**Other libraries.** `spec.max_episode_steps` tells an episode's length (with `episode_length=None`,
that of the longest stretch) to whatever looks for it, such as `TimeAwareObservation`. TorchRL's
`GymEnv(id)` and, over lanes with `autoreset_mode="same_step"`, `GymWrapper`, and skrl's `wrap_env`
take the environments as they are, as does Stable-Baselines3; `make_sb3_env` gives the last native
lanes. An argument that an environment does not take is an error that is also a `TypeError`. After
`close()` an environment steps and resets no more.

**Pictures.** `render_mode="ansi"` gives a line of text for the newest bar and needs nothing.
`"rgb_array"` (pixels [640, 960, 3]) and `"human"` (a window that follows by itself, at most 30 bars a
second) draw with pygame, which `pip install 'worldmodel-trading[render]'` brings: candles, position,
equity and costs over a time axis that moves on by one bar at a step. In the dream a fan shows what may
come next: quantiles and some paths of the next 30 bars, dreamed on 128 times from the state that the
lane is in, at its temperature, with noise of its own; the episode is the same with it and without.
`gymnasium.wrappers.RecordVideo` films `"rgb_array"` (with moviepy, which is not in the extra). On one
core a picture at bar 720 takes about 25 ms of a dream and 13 ms of a replay (`frames-dream` and
`frames-replay` of `python -m benchmarks`; an AMD EPYC). Native lanes draw nothing.
"""


def page() -> str:
    """The page as text."""
    sections = [_HEAD]
    for name, env in (("BybitReplay-v0", BybitReplayEnv), ("WorldModelDream-v0", DreamEnv)):
        manual = inspect.getdoc(env) or ""
        text = manual.replace("## ", "### ").replace("\nArgs:\n", "\n### Arguments\n")
        text = text.replace("\nAttributes:\n", "\n### Attributes\n")
        sections.append(f"## {name}\n\n{_listed(text)}\n")
    return "\n".join(sections)


def _listed(text: str) -> str:
    """Google-style arguments as a list."""
    lines, inside = [], False
    for line in text.splitlines():
        if line.startswith("### "):
            inside = line in ("### Arguments", "### Attributes")
            lines += ["", line, ""] if inside else [line]
        elif inside and line.startswith("    ") and not line.startswith("     "):
            name, _, rest = line.strip().partition(": ")
            lines.append(f"- `{name}`: {rest}")
        elif inside and line.strip():
            lines.append(f"  {line.strip()}")
        else:
            lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
