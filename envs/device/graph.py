"""Work that a device repeats: as a CUDA graph, or kernel by kernel."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

_WARM_UPS = 3  # before a capture: libraries open their handles and take their workspaces


class Repeated:
    """A function over tensors that stay where they are, to be done again and again.

    Args:
        work: What to do.
        graph: The same, captured; None does the work itself.
        device: Where.
    """

    def __init__(
        self, work: Callable[[], None], graph: torch.cuda.CUDAGraph | None, device: torch.device
    ) -> None:
        self._work, self._graph, self._device = work, graph, device

    def __call__(self) -> None:
        """Do the work once; on CUDA it is only queued."""
        if self._graph is None:
            self._work()
        else:
            self._graph.replay()

    def forget(self) -> None:
        """Give back the graph and its memory."""
        if self._graph is not None:
            torch.cuda.synchronize(self._device)  # it may still run
            self._graph.reset()
            self._graph = None


class GraphMaker:
    """Captures work as CUDA graphs, whose replay costs one launch instead of one for each kernel.

    All captures and their warm-ups run on one stream of its own: cuBLAS keeps a handle and a
    workspace for each stream, which must not be made while a stream is captured, and which PyTorch
    may drop when a graph of that stream is reset (pytorch/pytorch#193402). So one graph of a maker
    lives at a time.

    Args:
        device: Where; on a CPU nothing is captured.
        wanted: Whether to capture at all.
    """

    def __init__(self, device: torch.device, wanted: bool = True) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        if wanted and device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call, unused-ignore]

    def repeated(self, work: Callable[[], None]) -> Repeated:
        """Make ready to repeat some work.

        Where it is captured, the warm-up does it for real: write the state that it starts from
        afterwards.

        Args:
            work: Reads and writes tensors that outlive the result. For a graph it must neither look
                at a tensor's values nor bring anything from the CPU.
        """
        graph = None if self._stream is None else self._capture(work, self._stream)
        return Repeated(work, graph, self._device)

    def _capture(self, work: Callable[[], None], stream: torch.cuda.Stream) -> torch.cuda.CUDAGraph:
        gc.collect()  # a forgotten graph that is found dead amid the capture would break it
        graph = torch.cuda.CUDAGraph()
        with on_device(self._device):
            stream.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UPS):
                    work()
            torch.cuda.current_stream(self._device).wait_stream(stream)
            with torch.cuda.graph(graph, stream=stream):
                work()
        return graph


@contextmanager
def on_device(device: torch.device) -> Iterator[None]:
    """Make a CUDA device the current one: a graph is captured where the current device is."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            yield
    else:
        yield
