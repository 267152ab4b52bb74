"""What a CUDA graph asks of a rollout's chunk, checked without CUDA."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from worldmodel_trading.envs.device import rollout as device_rollout
from worldmodel_trading.envs.device.graph import GraphMaker, Repeated
from worldmodel_trading.envs.device.opening import open_device_dream
from worldmodel_trading.envs.device.rollout import Plan, Rollout
from worldmodel_trading.envs.device.scorer import DeviceDreams
from worldmodel_trading.envs.dream_funding import DreamFunding
from worldmodel_trading.envs.engine.opening import open_engine
from worldmodel_trading.envs.population.jobs import Dreams
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.models.world_model import WorldModel

BROKERS = {
    "default": BrokerConfig(),
    "delay": BrokerConfig.from_settings(fill_delay=3),
    "range": BrokerConfig.from_settings(slippage_per_range=0.1),
}


def population(model: WorldModel) -> np.ndarray:
    size = model.config.latent_size + model.config.hidden_size + 2
    return np.random.default_rng(4).normal(0.0, 0.4, (5, size))


def some_dreams(model: WorldModel, num_bars: int, **settings: Any) -> Dreams:
    segments = np.random.default_rng(0).integers(len(model.bank.close), size=70)
    return Dreams(segments, num_bars, 7, **settings)


class TapedGraph(TorchDispatchMode):
    """A CUDA graph's manners without CUDA: replay repeats kernels at their addresses, no Python."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__()
        self._tape: list[tuple[Any, Any, Any, Any]] = []
        self.was_reset = False
        for _ in range(2):
            work()
        with self:
            work()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self._tape.append((func, args, kwargs or {}, out))
        return out

    def replay(self) -> None:
        for func, args, kwargs, out in self._tape:
            for old, new in zip(tree_leaves(out), tree_leaves(func(*args, **kwargs)), strict=True):
                if old.data_ptr() != new.data_ptr():  # neither a view nor written in place
                    old.copy_(new)

    def reset(self) -> None:
        self.was_reset = True


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[TapedGraph]:
    """Have the CPU replay chunks as CUDA does; the graphs made so far."""
    made: list[TapedGraph] = []

    def repeated(self: GraphMaker, work: Callable[[], None]) -> Repeated:
        made.append(TapedGraph(work))
        return Repeated(work, cast(Any, made[-1]), torch.device("cpu"))

    monkeypatch.setattr(GraphMaker, "repeated", repeated)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _device: None)
    return made


@pytest.mark.parametrize("broker", ["default", "delay", "range"])
def test_a_chunk_can_be_replayed_without_its_python(
    tiny_model: WorldModel, broker: str, request: pytest.FixtureRequest
) -> None:
    """And neither the warm-up nor the capture leaves a trace in the scores."""
    parameters, rules = population(tiny_model), BROKERS[broker]
    funding = DreamFunding(1e-3, tiny_model)
    all_dreams = [some_dreams(tiny_model, n, funding=funding) for n in (24, 24, 3)]
    with DeviceDreams(tiny_model, "cpu", chunk_bars=5) as there:
        expected = [there.score(parameters, dreams, rules) for dreams in all_dreams]
    graphs: list[TapedGraph] = request.getfixturevalue("graphs")
    with DeviceDreams(tiny_model, "cpu", chunk_bars=5) as there:
        found = [there.score(parameters, dreams, rules) for dreams in all_dreams]
        assert [graph.was_reset for graph in graphs] == [True, False]
    assert all(graph.was_reset for graph in graphs)
    for pair in zip(found, expected, strict=True):
        for one, two in zip(*pair, strict=True):
            np.testing.assert_array_equal(one, two)


class NothingFromTheCPU(TorchDispatchMode):
    """Raises at a tensor on the CPU, where a CUDA graph could not go along; counts what it saw."""

    operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves((args, kwargs, out)):
            if isinstance(leaf, torch.Tensor):
                assert leaf.device.type == "meta", f"{func} takes or gives a tensor on the CPU"
        self.operations += 1
        return out


@pytest.mark.parametrize(
    ("preset", "shared"), [("market", True), ("market", False), ("paper", False)]
)
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_chunk_brings_nothing_from_the_cpu(
    preset: str,
    shared: bool,
    temperature: float,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On PyTorch's ``meta`` device, which has shapes but no numbers: none can be looked at."""
    monkeypatch.setattr(device_rollout, "Staging", lambda *_tensors: None)
    model: WorldModel = request.getfixturevalue(f"{preset}_model")
    dream = open_device_dream(open_engine(model), torch.device("meta"))
    every_rule = BrokerConfig.from_settings(
        leverage=3.0,
        fill_delay=2,
        no_trade_band=0.1,
        max_turnover=0.5,
        slippage_per_range=0.1,
        capital_usdt=1e6,
        qty_step=0.001,
        tick_size=0.1,
        min_notional_usdt=5.0,
    )
    plan = Plan(3, 4, 10, 5, temperature, every_rule, True, shared)
    with torch.no_grad():
        rollout = Rollout(dream, plan, GraphMaker(dream.device))
        with NothingFromTheCPU() as watch:
            rollout._chunk()
    assert watch.operations > 20 * plan.chunk_bars  # M, its draws and the account, bar by bar


def test_the_watch_for_the_cpu_can_fail() -> None:
    ones = torch.ones(2, device="meta")
    with pytest.raises(AssertionError, match="on the CPU"), NothingFromTheCPU():
        torch.where(ones > 0, ones, torch.ones(()))
    with pytest.raises(RuntimeError):
        ones.sum().item()


def test_another_plan_frees_the_tensors_of_the_last(paper_model: WorldModel) -> None:
    """By counting references: nothing waits for the garbage collector, which knows no GPU memory."""
    gc.disable()
    try:
        with DeviceDreams(paper_model, "cpu") as there:
            there.score(population(paper_model), some_dreams(paper_model, 3), BrokerConfig())
            assert there._rollout is not None
            last = weakref.ref(there._rollout[1]._noise)
            there.score(population(paper_model), some_dreams(paper_model, 4), BrokerConfig())
            assert last() is None
    finally:
        gc.enable()


def test_a_capture_is_warmed_up_on_its_own_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's recipe, step by step, on a pretended CUDA."""
    steps: list[str] = []

    class Stream:
        def __init__(self, name: str) -> None:
            self.name = name

        def wait_stream(self, other: Stream) -> None:
            steps.append(f"{self.name} waits for {other.name}")

    class Graph:
        def replay(self) -> None:
            steps.append("replay")

        def reset(self) -> None:
            steps.append("reset")

    @contextmanager
    def inside(name: str) -> Iterator[None]:
        steps.append(f"in {name}")
        yield
        steps.append("out")

    pretended = {
        "Stream": lambda _device: Stream("own"),
        "current_stream": lambda _device: Stream("current"),
        "CUDAGraph": Graph,
        "device": lambda device: inside(str(device)),
        "stream": lambda stream: inside(f"stream {stream.name}"),
        "graph": lambda _graph, stream: inside(f"capture on {stream.name}"),
        "synchronize": lambda device: steps.append(f"synchronize {device}"),
    }
    for name, value in pretended.items():
        monkeypatch.setattr(torch.cuda, name, value)
    chunk = GraphMaker(torch.device("cuda", 0)).repeated(lambda: steps.append("work"))
    chunk()
    chunk.forget()
    warm_up = ["own waits for current", "in stream own", *["work"] * 3, "out"]
    capture = ["current waits for own", "in capture on own", "work", "out"]
    ended = ["replay", "synchronize cuda:0", "reset"]
    assert steps == ["in cuda:0", *warm_up, *capture, "out", *ended]
