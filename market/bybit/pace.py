"""When requests may be sent: by one client, or by several in threads that keep one limit together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..errors import BybitError


class StoppedError(BybitError):
    """A client that was told to send nothing more."""


class Pace:
    """The shortest time between two requests, of all clients that share it.

    Args:
        spacing_s: That time [s].
        clock: Monotonic seconds.
    """

    def __init__(self, spacing_s: float, clock: Callable[[], float]) -> None:
        self._spacing_s, self._clock = spacing_s, clock
        self._lock = threading.Lock()
        self._next = clock()

    def delay_s(self) -> float:
        """Take the next free moment; how long it is until then [s], at least 0."""
        with self._lock:
            now = self._clock()
            moment = max(now, self._next)
            self._next = moment + self._spacing_s
        return moment - now


class Rest:
    """Waits that end at once, as all requests do, when an event is set.

    Args:
        sleep: Waits seconds.
        stopped: The event.
    """

    def __init__(self, sleep: Callable[[float], None], stopped: threading.Event) -> None:
        self._sleep = stopped.wait if sleep is time.sleep else sleep
        self._stopped = stopped

    def __call__(self, seconds: float) -> None:
        """Wait.

        Raises:
            StoppedError: The event is set, before or meanwhile.
        """
        if seconds > 0 and not self._stopped.is_set():
            self._sleep(seconds)
        if self._stopped.is_set():
            raise StoppedError("stopped")
