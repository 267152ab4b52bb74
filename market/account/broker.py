"""The account that trades the candles: N lanes at once, or one.

Both run the same compiled `settle` on the same rows of `BAR_FIELDS`; replay builds the rows
with `replay_bars`, a dream with `dream_bars`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import BoolArray, FloatArray
from ..candles import Candles
from ..errors import ConfigError
from .inputs import NUM_INPUTS
from .rules import BrokerConfig, flatten
from .settlement import (
    BAR_FIELDS,
    OUT_FIELDS,
    STATE_INPUTS,
    STATE_SHOWN,
    expm1,
    settle_lanes,
    settle_row,
    show_lanes,
    show_state,
)


class Settlement(NamedTuple):
    """What one bar did to each lane; arrays [N], or floats for one lane.

    Attributes:
        equity: Equity after the bar, in initial equities.
        weight: Drifted weight after the bar, signed notional ÷ equity.
        reward: log(equity ÷ equity before).
        executed: Weight after the fill.
        cost: Fees and slippage as a fraction of the equity before.
        fee: Fees paid, in initial equities, as the next three are.
        slippage: Slippage paid.
        funding: Funding paid; negative is received.
        price_pnl: Gain from the price.
        terminated: Whether the account is liquidated or ruined.
    """

    equity: FloatArray
    weight: FloatArray
    reward: FloatArray
    executed: FloatArray
    cost: FloatArray
    fee: FloatArray
    slippage: FloatArray
    funding: FloatArray
    price_pnl: FloatArray
    terminated: BoolArray


class LaneSettlement(NamedTuple):
    """`Settlement` of one lane, as plain numbers."""

    equity: float
    weight: float
    reward: float
    executed: float
    cost: float
    fee: float
    slippage: float
    funding: float
    price_pnl: float
    terminated: bool


def replay_bars(candles: Candles, funding_rate: ArrayLike = 0.0) -> FloatArray:
    """Recorded bars as the kernel reads them [T, 8], columns `BAR_FIELDS`.

    Row t settles a position taken at the close of bar t − 1 and held through bar t; row 0, and a
    row after a gap, is NaN: there is no close before it.

    Args:
        candles: T bars.
        funding_rate: Rate charged on a position held during bar t, scalar or [T]
            (see `FundingRates.per_bar`).
    """
    columns = (candles.close, candles.open, candles.high, candles.low, candles.turnover)
    bars = bars_in_a_row(np.stack(columns, axis=1), funding_rate)
    bars[[gap.row for gap in candles.gaps()]] = np.nan
    return bars


def bars_in_a_row(candles: FloatArray, funding_rate: ArrayLike = 0.0) -> FloatArray:
    """`replay_bars` of candles without a gap, as an array.

    Args:
        candles: Close, open, high, low and turnover [T, 5].
        funding_rate: As of `replay_bars`.
    """
    # from logs, as in a dream, whose bars are drawn so: the same path gives the same bits in both
    logs = np.log(candles[:, :4])
    bars = np.full((len(candles), len(BAR_FIELDS)), np.nan)
    expm1(logs[1:] - logs[:-1, :1], out := np.empty((len(candles) - 1, 4)))
    bars[1:, :4] = out
    bars[1:, 4] = np.broadcast_to(np.asarray(funding_rate, dtype=np.float64), len(candles))[1:]
    bars[1:, 5] = logs[:-1, 2] - logs[:-1, 3]
    bars[1:, 6] = candles[:-1, 0]
    bars[1:, 7] = np.maximum(candles[:-1, 4], 1.0)
    return bars


def dream_bars(
    log_return: ArrayLike,
    log_high: ArrayLike | None = None,
    log_low: ArrayLike | None = None,
    funding_rate: ArrayLike = 0.0,
    fill_range: ArrayLike = 0.0,
    fill_price: ArrayLike = 0.0,
    fill_turnover: ArrayLike = 1.0,
    out: FloatArray | None = None,
) -> FloatArray:
    """Dreamed bars as the kernel reads them [..., 8], columns `BAR_FIELDS`.

    A dream has no gap between close and open. Highs and lows that are not given are the further
    of the bar's two ends.

    Args:
        log_return: log(close / previous close) [...].
        log_high: log(high / previous close), broadcast to it, like all that follow.
        log_low: log(low / previous close).
        funding_rate: Rate charged on a position held through the bar.
        fill_range: log(high / low) of the bar before.
        fill_price: Close of the bar before [USDT].
        fill_turnover: What was traded in the bar before [USDT].
        out: Array [..., 8] to fill; made when None.
    """
    logs = np.ascontiguousarray(log_return, dtype=np.float64)
    bars = np.empty((*logs.shape, len(BAR_FIELDS))) if out is None else out
    simple = np.empty(logs.shape)
    bars[..., 0] = _expm1(logs, simple)
    bars[..., 1] = 0.0
    bars[..., 2] = np.maximum(simple, 0.0) if log_high is None else _expm1(log_high)
    bars[..., 3] = np.minimum(simple, 0.0) if log_low is None else _expm1(log_low)
    bars[..., 4] = funding_rate
    bars[..., 5] = fill_range
    bars[..., 6] = fill_price
    bars[..., 7] = np.maximum(fill_turnover, 1.0)
    return bars


def _expm1(logs: ArrayLike, out: FloatArray | None = None) -> FloatArray:
    logs = np.ascontiguousarray(logs, dtype=np.float64)
    out = np.empty(logs.shape) if out is None else out
    expm1(logs, out)
    return out


class Account:
    """Accounts of N lanes, stepped together.

    Args:
        num_lanes: N.
        config: The rules; defaults to Bybit's costs, unlevered.

    Attributes:
        equity: Equity [N], in initial equities; 1 after a reset. Read, do not write.
        weight: Drifted weight [N] before the next trade: the account's part of an observation.
        terminated: Lanes that are liquidated, ruined or closed [N]; they stand still until reset.
    """

    def __init__(self, num_lanes: int, config: BrokerConfig | None = None) -> None:
        if num_lanes < 1:
            raise ConfigError(f"num_lanes is {num_lanes}; expected at least 1")
        self.config = config or BrokerConfig()
        self._rules = flatten(self.config.compile())
        self.num_lanes = num_lanes
        self.equity: FloatArray = np.ones(num_lanes)
        self.weight: FloatArray = np.zeros(num_lanes)
        self.terminated: BoolArray = np.zeros(num_lanes, dtype=np.bool_)
        self._pending: FloatArray = np.zeros((self.config.execution.fill_delay, num_lanes))
        self._head = 0
        self._target: FloatArray = np.empty(num_lanes)
        self._out: FloatArray = np.zeros((len(OUT_FIELDS), num_lanes))
        self._inputs: FloatArray = np.zeros((num_lanes, NUM_INPUTS))
        self._shown = np.array(self.config.view.indices)

    def reset(self, mask: BoolArray | None = None) -> None:
        """Start the lanes in ``mask`` [N], or all, afresh: equity 1, flat, no pending targets."""
        lanes: BoolArray | slice = slice(None) if mask is None else mask
        self.equity[lanes] = 1.0
        self.weight[lanes] = 0.0
        self.terminated[lanes] = False
        self._pending[:, lanes] = 0.0
        self._inputs[lanes] = 0.0

    def show(self, out: NDArray[np.float32]) -> None:
        """Write what policies see of the accounts into ``out`` [N, K]."""
        show_lanes(self._inputs, self._shown, out)

    def close(self, mask: BoolArray) -> None:
        """End the lanes in ``mask`` [N] in cash at the last close: delivery costs nothing."""
        self.weight[mask] = 0.0
        self.terminated[mask] = True
        self._inputs[mask] = 0.0

    def step(self, action: FloatArray, bars: FloatArray, *, copy: bool = True) -> Settlement:
        """Trade at a close, then live a bar.

        Args:
            action: Actions [N], clipped to [−1, 1]; ±1 is ± the leverage. With a fill delay of d
                the one given d steps ago is filled (flat, before there was one).
            bars: The bars to come [N, 8], columns `BAR_FIELDS`.
            copy: Whether the arrays returned are fresh; if not, the next step overwrites them.

        Raises:
            ConfigError: Shapes that do not match; the kernel itself checks no bounds.
        """
        if bars.shape != (self.num_lanes, len(BAR_FIELDS)) or action.shape != (self.num_lanes,):
            raise ConfigError(
                f"action {action.shape} and bars {bars.shape}; "
                f"expected ({self.num_lanes},) and ({self.num_lanes}, {len(BAR_FIELDS)})"
            )
        target = np.clip(action, -1.0, 1.0, out=self._target)
        target *= self.config.margin.leverage
        if len(self._pending):  # a ring: the place of the target that is due takes the new one
            oldest = self._pending[self._head]
            target, oldest[:] = oldest.copy(), target
            self._head = (self._head + 1) % len(self._pending)
        settle_lanes(
            self.equity,
            self.weight,
            self.terminated,
            target,
            bars,
            self._rules,
            self._inputs,
            self._out,
        )
        if not copy:
            return _settlement(self.equity, self.weight, self._out, self.terminated)
        return _settlement(
            self.equity.copy(), self.weight.copy(), self._out.copy(), self.terminated.copy()
        )


def _settlement(
    equity: FloatArray, weight: FloatArray, out: FloatArray, terminated: BoolArray
) -> Settlement:
    reward, executed, cost, fee, slippage, funding, price_pnl = out
    return Settlement(
        equity, weight, reward, executed, cost, fee, slippage, funding, price_pnl, terminated
    )


class ScalarAccount:
    """One account with plain numbers, for whoever trades a single lane.

    Args:
        config: The rules; defaults to Bybit's costs, unlevered.

    Attributes:
        state: Equity, weight, whether it is terminated, the rules and the inputs, as
            `market.account.settlement.settle_state` takes and updates it: a compiled step that settles the
            account among other things reads it here.
    """

    def __init__(self, config: BrokerConfig | None = None) -> None:
        self.config = config or BrokerConfig()
        parts = (np.zeros(3), flatten(self.config.compile()), np.zeros(NUM_INPUTS))
        self.state: FloatArray = np.concatenate([*parts, self.config.view.indices])
        self._pending: list[float] = []
        self.reset()

    @property
    def equity(self) -> float:
        """Equity, in initial equities."""
        return self.state.item(0)

    @property
    def weight(self) -> float:
        """Drifted weight before the next trade."""
        return self.state.item(1)

    @property
    def terminated(self) -> bool:
        """Whether the account is liquidated, ruined or closed; it stands still until reset."""
        return self.state.item(2) > 0.0

    def reset(self) -> None:
        """Start afresh: equity 1, flat, no pending targets."""
        self.state[:3] = 1.0, 0.0, 0.0
        self.state[STATE_INPUTS:STATE_SHOWN] = 0.0
        self._pending = [0.0] * self.config.execution.fill_delay

    def show(self, observation: NDArray[np.float32]) -> None:
        """Write what a policy sees of the account into the last K numbers."""
        show_state(self.state, observation)

    def close(self) -> None:
        """End the account in cash at the last close: delivery is no order and costs nothing."""
        self.state[1:3] = 0.0, 1.0
        self.state[STATE_INPUTS:STATE_SHOWN] = 0.0

    def due(self, action: float) -> float:
        """The action that is filled now where this one is given now: with a delay, an older one."""
        if not self._pending:
            return action
        self._pending.append(action)
        return self._pending.pop(0)

    def step(self, action: float, bars: FloatArray, row: int = 0) -> LaneSettlement:
        """Trade at a close, then live bar ``row`` of ``bars`` [T, 8]; as `Account.step`.

        Raises:
            ConfigError: There is no such row.
        """
        if not 0 <= row < len(bars):
            raise ConfigError(f"row is {row}; there are {len(bars)} bars")
        return LaneSettlement(*settle_row(self.state, self.due(action), bars, row))
