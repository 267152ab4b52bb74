"""Work that a device repeats: as a CUDA graph, or step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

_WARM_UPS = 3  # before a capture: libraries open their handles and take their workspaces


class Repeated:
    """A function over tensors that stay where they are, to be done again and again.

    On CUDA it is captured once as a graph, whose replay costs one launch instead of one a kernel.
    The warm-up does the work for real: whoever made this writes the state it starts from
    afterwards.

    Args:
        work: Reads and writes tensors that outlive this object. For a graph it must neither look at
            a tensor's values nor bring anything from the CPU.
        device: Where.
        graph: Whether to capture; on a CPU nothing is captured.
    """

    def __init__(self, work: Callable[[], None], device: torch.device, graph: bool = True) -> None:
        self._work, self._device = work, device
        self._graph = capture(work, device) if graph and device.type == "cuda" else None

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


def capture(work: Callable[[], None], device: torch.device) -> torch.cuda.CUDAGraph:
    """Capture work as a graph on a stream of its own.

    The warm-up runs on the stream of the capture: cuBLAS keeps a handle and a workspace for each
    stream, and making them is forbidden while a stream is captured.
    """
    graph = torch.cuda.CUDAGraph()
    with on_device(device):
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call, unused-ignore]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                work()
        torch.cuda.current_stream(device).wait_stream(stream)
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
