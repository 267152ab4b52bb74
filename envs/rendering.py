"""What an environment shows a person: a line of text, pixels, or a window."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

from ..market.arrays import FloatArray
from ..market.errors import ConfigError, MissingPackageError
from ..market.extras import require
from ..market.times import format_time
from .trace import PICTURE_SIZE, EpisodeTrace

if TYPE_CHECKING:
    import pygame

RENDER_MODES = ("ansi", "rgb_array", "human")


class PygameMissingError(MissingPackageError, DependencyNotInstalled):
    """Pictures are asked for where pygame is not installed."""


def render_text(trace: EpisodeTrace) -> str:
    """The newest bar as one line."""
    close, equity, weight = (trace.column(n)[-1] for n in ("close", "equity", "weight"))
    return (
        f"{trace.title}  bar {trace.newest - trace.first}  {format_time(int(trace.time_ms[-1]))}  "
        f"price {close:.2f}  weight {weight:+.2f}  equity {equity:.4f}"
    )


def check_render_mode(mode: str | None) -> None:
    """Refuse a mode that there is not, and pictures where pygame is missing.

    Raises:
        ConfigError: There is no such mode.
        PygameMissingError: It needs pygame.
    """
    if mode is None or mode == "ansi":
        return
    if mode not in RENDER_MODES:
        raise ConfigError(f"render_mode is {mode!r}; expected None or one of {RENDER_MODES}")
    require("pygame", f"render_mode {mode!r}", PygameMissingError)


class Screen:
    """Where pictures go: an array of pixels, or a window.

    Args:
        mode: ``"rgb_array"`` or ``"human"``.
        frames_per_second: At most so many in a window.
    """

    def __init__(self, mode: str, frames_per_second: int) -> None:
        self._mode = mode
        self._frames_per_second = frames_per_second
        self._opened: tuple[pygame.Surface, Any, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}  # a copy opens a window of its own

    def show(self, trace: EpisodeTrace, future: FloatArray | None) -> NDArray[np.uint8] | None:
        """Draw the episode so far.

        Args:
            trace: The episode.
            future: Closes of what may come next [N, B], if anything is known of it.

        Returns:
            Pixels [height, width, 3]; None where they are in a window.
        """
        pygame = _pygame()
        if self._opened is None:
            self._opened = self._open(pygame)
        surface, picture, clock = self._opened
        picture.draw(surface, trace, future)
        if self._mode == "human":
            pygame.event.pump()
            pygame.display.flip()
            clock.tick(self._frames_per_second)
            return None
        width, height = PICTURE_SIZE
        pixels = np.frombuffer(pygame.image.tobytes(surface, "RGB"), dtype=np.uint8)
        return pixels.reshape(height, width, 3).copy()

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._opened is not None and self._mode == "human":
            _pygame().display.quit()
        self._opened = None

    def _open(self, pygame: Any) -> tuple[pygame.Surface, Any, Any]:
        from .picture import Picture

        if self._mode != "human":
            return pygame.Surface(PICTURE_SIZE, 0, 32), Picture(), None
        try:
            window = pygame.display.set_mode(PICTURE_SIZE)
        except pygame.error as error:
            raise ConfigError(
                f"render_mode 'human' finds no display ({error}): use 'rgb_array' here"
            ) from error
        pygame.display.set_caption("worldmodel-trading")
        return window, Picture(), pygame.time.Clock()


def _pygame() -> Any:
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # it greets on standard output
    return importlib.import_module("pygame")
