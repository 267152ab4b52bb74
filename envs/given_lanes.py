"""N lanes along given paths, one each: what was dreamed or recorded before, traded bar by bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from ..market.account.rules import BrokerConfig
from ..market.arrays import BoolArray, Float32Array, FloatArray, IntArray
from .protocol import Chance
from .spaces import ActionKind, observation_layout
from .vector import Observations, TradingVectorEnv


@dataclass(frozen=True, eq=False)
class GivenPaths:
    """N paths of T bars that no action moves, as one kind of policy sees them.

    Attributes:
        view: What a policy sees of the market before each bar [N, T, D], float32.
        bars: What each bar does to an account [N, T, 8], columns `BAR_FIELDS`.
        open_time_ms: Of each bar, and of the one before the first [N, T + 1].
        sizes: Numbers of each part of the view, by its name: ``latent`` and ``hidden``, or
            ``features``.
    """

    view: Float32Array
    bars: FloatArray
    open_time_ms: IntArray
    sizes: dict[str, int]


class GivenLanes:
    """A market for N lanes, see `Lanes`: every lane begins where its path does.

    Args:
        paths: The paths.
    """

    options: tuple[str, ...] = ("start",)
    doubt: FloatArray | None = None

    def __init__(self, paths: GivenPaths) -> None:
        self._paths = paths
        self._everyone = np.arange(len(paths.bars))
        self._lived: IntArray = np.zeros(len(paths.bars), dtype=np.int64)
        self._price: FloatArray = paths.bars[:, 0, 6].copy()
        self.layout = observation_layout(paths.sizes)
        self.max_steps: int = paths.bars.shape[1]

    @property
    def time_ms(self) -> IntArray:
        """Open times of the bars that just closed [N]."""
        times: IntArray = self._paths.open_time_ms[self._everyone, self._lived]
        return times

    @property
    def price(self) -> FloatArray:
        """Newest closes [N]."""
        return self._price

    def begin(self, lanes: BoolArray, chance: Chance, where: Any = None) -> int:
        """Start lanes [N] over."""
        self._lived[lanes] = 0
        self._price = np.where(lanes, self._paths.bars[:, 0, 6], self._price)
        return self.max_steps

    def advance(self, targets: FloatArray, chance: Chance, waiting: BoolArray) -> FloatArray:
        """Live one bar: the bars lived [N, 8], columns `BAR_FIELDS`."""
        bars: FloatArray = self._paths.bars[self._everyone, self._due()]
        self._lived = np.minimum(self._lived + 1, self.max_steps)
        self._price = self._price * (1.0 + bars[:, 0])
        return bars

    def view(self, out: Observations) -> None:
        """Write what policies see besides the account; after the last bar what they saw before it."""
        out[:] = self._paths.view[self._everyone, self._due()]

    def _due(self) -> IntArray:
        """The bars to come [N]; of a path that is over its last."""
        due: IntArray = np.minimum(self._lived, self.max_steps - 1)
        return due

    def extra_info(self) -> dict[str, FloatArray | BoolArray]:
        """Nothing."""
        return {}

    def delivered(self) -> BoolArray | None:
        """No lane."""
        return None

    def cut_short(self, info: dict[str, FloatArray]) -> BoolArray | None:
        """No lane."""
        return None


class GivenVectorEnv(TradingVectorEnv, VectorEnv[Observations, Any, Any]):
    """Accounts that trade given paths, one each; spaces and info are those of the other environments.

    Args:
        paths: The paths.
        broker: The accounts' rules.
        actions: ``"continuous"`` or ``"discrete"``.
        world_model_hash: Of the world model that the paths are seen through.
    """

    def __init__(
        self,
        paths: GivenPaths,
        broker: BrokerConfig,
        actions: ActionKind = "continuous",
        world_model_hash: str | None = None,
    ) -> None:
        count, lanes = len(paths.bars), GivenLanes(paths)
        mode = AutoresetMode.NEXT_STEP
        super().__init__(count, lanes, actions, broker, "log_return", mode, None)
        self.world_model_hash = world_model_hash
