"""Where the engine's time goes, by stage: every compiled function and product, timed from outside.

A stage is a function that the engine calls; its time is its own, without that of the stages it
calls in turn. What no stage claims is Python between them.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

from worldmodel_trading.envs.engine.bar_engine import BarEngine
from worldmodel_trading.envs.engine.paper_engine import PaperEngine
from worldmodel_trading.envs.population.scorers import DreamWorkers

from .dreams import engine_task, lanes_task
from .populations import score_task
from .results import figure_text
from .timing import Settings, Task
from .worlds import default_world, lane_flops, random_world, sgemm

_METHODS: dict[type, tuple[str, ...]] = {
    BarEngine: ("draw_noise", "step", "view"),
    PaperEngine: ("draw_noise", "step", "view"),
}


class Stages:
    """A stopwatch for nested stages.

    Attributes:
        seconds: Each stage's own time.
        calls: How often it was entered.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._inside: list[float] = []

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        def stage(*arguments: Any, **keywords: Any) -> Any:
            self._inside.append(0.0)
            start = time.perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                spent = time.perf_counter() - start
                self.seconds[name] += spent - self._inside.pop()
                self.calls[name] += 1
                if self._inside:
                    self._inside[-1] += spent

        return stage

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Time the engine's stages."""
        with ExitStack() as stack:
            for module in _modules():
                for name in _compiled_names(module):
                    stage = "matrix products" if name == "product" else name
                    stack.enter_context(self._replaced(module, name, stage))
            for kind, names in _METHODS.items():
                for name in names:
                    stage = f"{kind.__name__}.{name}: the rest"
                    stack.enter_context(self._replaced(kind, name, stage))
            yield

    @contextmanager
    def _replaced(self, owner: Any, name: str, stage: str) -> Iterator[None]:
        original = getattr(owner, name)
        setattr(owner, name, self.timed(stage, original))
        try:
            yield
        finally:
            setattr(owner, name, original)


def profile(settings: Settings) -> str:
    """A table for each use of the engine."""
    small, paper = default_world(), random_world(8, 64)
    large = random_world(32, 256)
    bars = settings.size(64, 4)
    flops = sgemm()(settings.slice_s)
    speed = flops.units / flops.wall_s
    uses: dict[str, tuple[Task, float]] = {
        "M alone, market, 1,024 lanes": (engine_task(small, 1024, bars), lane_flops(small.config)),
        "M alone, paper, 1,024 lanes": (engine_task(paper, 1024, bars), lane_flops(paper.config)),
        "M alone, paper, H=256, Z=32": (engine_task(large, 1024, bars), lane_flops(large.config)),
        "rollout, paper, 64 candidates × 16 dreams": (
            lanes_task(paper, bars, 64, 16),
            lane_flops(paper.config),
        ),
        "shared dreams, 1,024 candidates × 32 dreams": (
            score_task(DreamWorkers(small, 0), settings.size(1024, 16), 32, settings.size(720, 8)),
            2.0 * (small.config.latent_size + small.config.hidden_size),
        ),
    }
    parts = [f"sgemm {speed / 1e9:.1f} GFLOP/s"]
    parts += [_table(name, task, work, speed, settings) for name, (task, work) in uses.items()]
    return "\n\n".join(parts)


def _table(name: str, task: Task, flops: float, speed: float, settings: Settings) -> str:
    task(0.0)
    stages = Stages()
    with stages.watching():
        done = task(2 * settings.slice_s)
    total = done.wall_s
    each = 1e9 * total / done.units
    floor = 1e9 * flops / speed
    lines = [
        f"{name}: {figure_text(each)} ns a step; at sgemm's speed {figure_text(floor)} ns, {floor / each:.0%}"
    ]
    claimed = sum(stages.seconds.values())
    rows = sorted(stages.seconds.items(), key=lambda item: -item[1])
    for stage, seconds in [*rows, ("outside all stages", total - claimed)]:
        share = seconds / total
        if share >= 0.005:
            lines.append(f"  {share:6.1%} {figure_text(1e9 * seconds / done.units):>9} ns  {stage}")
    return "\n".join(lines)


def _modules() -> list[ModuleType]:
    """The package's modules that are loaded."""
    return [module for name, module in sys.modules.items() if name.startswith("worldmodel_trading")]


def _compiled_names(module: ModuleType) -> list[str]:
    """Compiled functions that Python code of the module calls by name."""
    return [name for name, value in vars(module).items() if hasattr(value, "py_func")]
