"""Many policies on many paths at once: the account's arithmetic for a whole population.

A linear policy's target is tanh(score + c·w + b): the score, of what the market shows, comes in from
one matrix product over many bars and candidates; bias and share of the drifted weight w are added
here, bar by bar, before the bar is settled. So it is for each unit of a hidden layer. Every loop over candidates is plain arithmetic, which
the compiler vectorises.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..arrays import BoolArray, Float32Array, FloatArray
from ..numerics.compiled import compiled, compiled_fused
from ..numerics.float32_tanh import tanh
from .formulas import fall_from
from .inputs import NUM_INPUTS, Weight, after_bar, shown
from .rules import BrokerConfig, flatten, unpack_rules
from .settlement import bar_at, settle, show_lanes
from .shared import execute, longest_after, settle_calm, settle_shared

_WEIGHT_BOUND: Final = Weight.bound
_NO_DOUBT: Final[FloatArray] = np.empty(0)
SCORE_FIELDS: Final = (
    "log_return",
    "return_sum",
    "square_sum",
    "turnover",
    "cost",
    "steps",
    "loss_square_sum",
    "max_drawdown",
    "exposure",
)
"""Rows of the result: log of the final equity; sums over bars of the simple return, of its square,
of |Δw| and of the cost as a fraction of equity; how many bars the account lived; the sum of the
squares of simple returns below 0; the deepest fall of equity from a peak, a fraction of it; and the sum
over bars of the weight held through them."""


@compiled_fused
def _choose(
    scores: Float32Array,
    account_share: Float32Array,
    bias: Float32Array,
    output: Float32Array,
    seen: Float32Array,
    leverage: float,
    chosen: FloatArray,
) -> None:
    """Targets [C] of policies with U units; `_choose_by_weight` is faster where it suffices.

    Args:
        scores: W·[z, h] of each unit and candidate [U C], from the matrix product.
        account_share: What W multiplies each shown input by [U, K, C].
        bias: b [U, C].
        output: Of the layer after the hidden one, its bias last [U + 1, C]; [0, C] of linear ones.
        seen: What the candidates see of their accounts [K, C].
        leverage: Scales the actions.
        chosen: Target weights [C], written.
    """
    units, count = bias.shape
    score, total = np.empty(count, np.float32), np.zeros(count, np.float32)
    for u in range(units):
        for p in range(count):
            score[p] = scores[u * count + p]
        for k in range(seen.shape[0]):
            for p in range(count):
                score[p] += account_share[u, k, p] * seen[k, p]
        for p in range(count):
            score[p] += bias[u, p]
        if output.shape[0] > 0:
            for p in range(count):
                total[p] += output[u, p] * tanh(score[p])
    for p in range(count):
        last = total[p] + output[units, p] if output.shape[0] > 0 else score[p]
        chosen[p] = float(tanh(last)) * leverage


@compiled_fused
def _choose_by_weight(
    scores: Float32Array,
    account_share: Float32Array,
    bias: Float32Array,
    weight: FloatArray,
    leverage: float,
    chosen: FloatArray,
) -> None:
    """`_choose` of linear policies that see their weight alone: the compiler vectorises this one."""
    for p in range(weight.shape[0]):
        seen = np.float32(min(max(weight[p], -_WEIGHT_BOUND), _WEIGHT_BOUND))
        score = scores[p] + account_share[p] * seen
        chosen[p] = float(tanh(score + bias[p])) * leverage


@compiled
def _show(
    inputs: FloatArray, which: NDArray[np.int64], weight: FloatArray, seen: Float32Array
) -> None:
    """What candidates see of their accounts [K, C]; of the weight alone ``inputs`` are not kept."""
    if which.shape[0] == 1 and which[0] == 0:
        for p in range(weight.shape[0]):
            seen[0, p] = np.float32(min(max(weight[p], -_WEIGHT_BOUND), _WEIGHT_BOUND))
        return
    for k in range(which.shape[0]):
        for p in range(weight.shape[0]):
            seen[k, p] = np.float32(shown(inputs[:, p], which[k]))


@compiled
def _tally(
    held: FloatArray,
    executed: FloatArray,
    growth: FloatArray,
    cost: FloatArray,
    ended: BoolArray,
    equity: FloatArray,
    peak: FloatArray,
    totals: FloatArray,
) -> None:
    """Add a bar to the sums [9, C]; row 0, the log return, is written once the path has ended."""
    for p in range(held.shape[0]):
        gain = growth[p] - 1.0
        totals[1, p] += gain
        totals[2, p] += gain * gain
        totals[6, p] += min(gain, 0.0) * min(gain, 0.0)
        peak[p] = max(peak[p], equity[p])
        totals[7, p] = max(totals[7, p], fall_from(peak[p], equity[p]))
        traded = abs(executed[p] - held[p])  # loaded in any case, or the loop stays scalar
        totals[3, p] += 0.0 if ended[p] else traded
        totals[4, p] += cost[p]
        totals[5, p] += 0.0 if ended[p] else 1.0
        position = executed[p]
        totals[8, p] += 0.0 if ended[p] else position


@compiled
def _discourage(doubt: float, executed: FloatArray, ended: BoolArray, penalty: FloatArray) -> None:
    """Add what a bar takes from the reward of positions [C] of accounts that live."""
    for p in range(executed.shape[0]):
        taken = doubt * abs(executed[p])
        penalty[p] += 0.0 if ended[p] else taken


@compiled
def _remember(
    inputs: FloatArray,
    held: FloatArray,
    executed: FloatArray,
    simple_return: float,
    weight: FloatArray,
) -> None:
    for p in range(held.shape[0]):
        after_bar(inputs[:, p], held[p], executed[p], simple_return, weight[p])


@compiled
def _longest(weight: FloatArray, terminated: BoolArray) -> float:
    """The largest |weight|, or infinity where an account has ended and must stand still."""
    longest = 0.0
    for p in range(weight.shape[0]):
        longest = max(longest, np.inf if terminated[p] else abs(weight[p]))
    return longest


@compiled
def settle_population(
    scores: Float32Array,
    bias: Float32Array,
    output: Float32Array,
    account_share: Float32Array,
    which: NDArray[np.int64],
    bars: FloatArray,
    doubt: FloatArray,
    rule_values: FloatArray,
    first: int,
    pending: FloatArray,
    equity: FloatArray,
    peak: FloatArray,
    weight: FloatArray,
    terminated: BoolArray,
    inputs: FloatArray,
    totals: FloatArray,
    penalty: FloatArray,
) -> None:
    """Trade C candidates through B bars; see `PopulationBook` for the state that is moved.

    Bars are the outer loop: a target depends on the weight that the bar before left. Candidates
    are the inner ones, one array of C numbers after another, all in the first-level cache.

    Args:
        scores: W·[z, h] of each bar, unit and candidate [B, U C].
        bias: b [U, C].
        output: See `_choose` [U + 1, C], or [0, C].
        account_share: What W multiplies each shown input by [U, K, C].
        which: Inputs of the account that are shown [K].
        bars: What each bar does [B, 8].
        doubt: What each takes from the reward of a weight of 1 [B]; empty for nothing.
        rule_values: The rules, flat.
        first: Number of the first of these bars on the path.
        pending: Targets that wait to be filled [delay + 1, C], a ring, updated.
        equity: [C], updated, as all that follow.
        peak: The highest equity so far [C].
        weight: [C].
        terminated: [C].
        inputs: What the accounts remember [A, C].
        totals: Sums [9, C], rows `SCORE_FIELDS`.
        penalty: What was taken from the rewards [C].
    """
    rules = unpack_rules(rule_values)
    candidates, delay = weight.shape[0], pending.shape[0]
    held, executed = np.empty(candidates), np.empty(candidates)
    growth, cost = np.empty(candidates), np.empty(candidates)
    ended = np.empty(candidates, dtype=np.bool_)
    limited = rules.has_limits > 0.0
    # two cases of nearly every search, each with loops of its own that the compiler vectorises
    by_weight = which.shape[0] == 1 and which[0] == 0
    seen = np.empty((which.shape[0], candidates), np.float32)
    alike = rules.has_rounding <= 0.0 and rules.has_sized_costs <= 0.0
    longest, calm_bars = _longest(weight, terminated), 0.0
    for t in range(bars.shape[0]):
        bar = bar_at(bars, t)
        decided = pending[(first + t) % delay]
        if by_weight and output.shape[0] == 0:
            share = account_share[0, 0]
            _choose_by_weight(scores[t], share, bias[0], weight, rules.leverage, decided)
        else:
            _show(inputs, which, weight, seen)
            _choose(scores[t], account_share, bias, output, seen, rules.leverage, decided)
            held[:] = weight
        target = pending[(first + t + 1) % delay]
        # A bar is calm if not even the longest weight can be liquidated or ruined in it: then no
        # candidate needs a condition. `longest` bounds all weights, and costs no pass over them.
        after = -1.0
        if alike and longest < np.inf:
            after = longest_after(longest, bar, rules)
        if after >= 0.0:
            if limited:
                execute(weight, target, rules, executed)
                target = executed
            settle_calm(equity, peak, weight, target, bar, rules, totals)
            if doubt.shape[0] > 0:
                _discourage(doubt[t], target, terminated, penalty)
            if not by_weight:
                _remember(inputs, held, target, bar.simple_return, weight)
            longest = after
            calm_bars += 1.0
            continue
        held[:] = weight
        ended[:] = terminated
        settle_shared(equity, weight, terminated, target, bar, rules, executed, growth, cost)
        _tally(held, executed, growth, cost, ended, equity, peak, totals)
        if doubt.shape[0] > 0:
            _discourage(doubt[t], executed, ended, penalty)
        if not by_weight:
            _remember(inputs, held, executed, bar.simple_return, weight)
        longest = _longest(weight, terminated)
    totals[5] += calm_bars  # nobody's account had ended before any of them


class PopulationBook:
    """Accounts of C candidates on one path after another.

    Args:
        account_share: Each unit's and candidate's coefficients of what it sees of its account
            [U, K, C].
        bias: Each unit's and candidate's b [U, C].
        output: The layer after the hidden one, its bias last [U + 1, C]; [0, C] of linear policies.
        broker: The account's rules.

    Attributes:
        penalty: What pessimism took from the rewards on the path so far [C].
    """

    def __init__(
        self,
        account_share: Float32Array,
        bias: Float32Array,
        output: Float32Array,
        broker: BrokerConfig,
    ) -> None:
        count = bias.shape[1]
        self._policy = (
            np.ascontiguousarray(bias),
            np.ascontiguousarray(output),
            np.ascontiguousarray(account_share),
            np.array(broker.view.indices),
        )
        self._inputs: FloatArray = np.zeros((NUM_INPUTS, count))
        self._rules = flatten(broker.compile())
        self._equity, self._peak, self._weight = np.empty((3, count))
        self._terminated = np.empty(count, dtype=np.bool_)
        self._pending = np.empty((broker.execution.fill_delay + 1, count))
        self._totals = np.empty((len(SCORE_FIELDS), count))
        self.penalty: FloatArray = np.empty(count)
        self.begin()

    def begin(self) -> None:
        """Start a path: equity 1, flat, no pending targets."""
        self._equity[:] = 1.0
        self._peak[:] = 1.0
        self._weight[:] = 0.0
        self._terminated[:] = False
        self._pending[:] = 0.0
        self._inputs[:] = 0.0
        self._totals[:] = 0.0
        self.penalty[:] = 0.0
        self._bars = 0

    def step(self, scores: Float32Array, bars: FloatArray, doubt: FloatArray = _NO_DOUBT) -> None:
        """Trade the next B bars of the path.

        Args:
            scores: Scores of each bar's observation without account and bias [B, U C].
            bars: What each bar does [B, 8], columns `BAR_FIELDS`.
            doubt: What each takes from the reward of a weight of 1 [B]; empty for nothing.
        """
        settle_population(
            scores,
            *self._policy,
            bars,
            doubt,
            self._rules,
            self._bars,
            self._pending,
            self._equity,
            self._peak,
            self._weight,
            self._terminated,
            self._inputs,
            self._totals,
            self.penalty,
        )
        self._bars += len(bars)

    def totals(self) -> FloatArray:
        """The path's results so far [9, C], rows `SCORE_FIELDS`."""
        self._totals[0] = np.log(self._equity)
        return self._totals


@compiled
def settle_and_sum(
    action: FloatArray,
    bars: FloatArray,
    rule_values: FloatArray,
    number: int,
    pending: FloatArray,
    equity: FloatArray,
    peak: FloatArray,
    weight: FloatArray,
    terminated: BoolArray,
    inputs: FloatArray,
    totals: FloatArray,
) -> None:
    """Trade at a close, then live a bar; see `LaneSums` for the state that is moved."""
    rules, delay = unpack_rules(rule_values), pending.shape[0]
    decided, target = pending[number % delay], pending[(number + 1) % delay]
    for i in range(action.shape[0]):
        decided[i] = action[i] * rules.leverage
        if terminated[i]:
            continue
        before, held, bar = equity[i], weight[i], bar_at(bars, i)
        settled = settle(before, held, target[i], bar, rules)
        after_bar(inputs[i], held, settled.executed, bar.simple_return, settled.weight)
        equity[i], weight[i] = settled.equity, settled.weight
        terminated[i] = settled.terminated
        gain = settled.growth - 1.0
        totals[1, i] += gain
        totals[2, i] += gain * gain
        totals[3, i] += abs(settled.executed - held)
        totals[4, i] += (settled.fee + settled.slippage) / before
        totals[5, i] += 1.0
        totals[6, i] += min(gain, 0.0) * min(gain, 0.0)
        peak[i] = max(peak[i], equity[i])
        totals[7, i] = max(totals[7, i], fall_from(peak[i], equity[i]))
        totals[8, i] += settled.executed


class LaneSums:
    """Accounts of L lanes that each live bars of their own, and the sums of what those did to them.

    Args:
        num_lanes: L.
        broker: The accounts' rules.

    Attributes:
        seen: What policies see of the accounts before the next trade [L, K].
    """

    def __init__(self, num_lanes: int, broker: BrokerConfig) -> None:
        self._rules = flatten(broker.compile())
        self._equity: FloatArray = np.ones(num_lanes)
        self._peak: FloatArray = np.ones(num_lanes)
        self._weight: FloatArray = np.zeros(num_lanes)
        self._inputs: FloatArray = np.zeros((num_lanes, NUM_INPUTS))
        self._shown = np.array(broker.view.indices)
        self.seen: Float32Array = np.zeros((num_lanes, len(self._shown)), dtype=np.float32)
        self._terminated: BoolArray = np.zeros(num_lanes, dtype=np.bool_)
        self._pending: FloatArray = np.zeros((broker.execution.fill_delay + 1, num_lanes))
        self._totals: FloatArray = np.zeros((len(SCORE_FIELDS), num_lanes))
        self._bars = 0

    def step(self, action: FloatArray, bars: FloatArray) -> None:
        """Trade at a close, then live a bar.

        Args:
            action: Actions [L] in [−1, 1]; ±1 is ± the leverage.
            bars: The bars to come [L, 8], columns `BAR_FIELDS`.
        """
        settle_and_sum(
            action,
            bars,
            self._rules,
            self._bars,
            self._pending,
            self._equity,
            self._peak,
            self._weight,
            self._terminated,
            self._inputs,
            self._totals,
        )
        show_lanes(self._inputs, self._shown, self.seen)
        self._bars += 1

    def totals(self) -> FloatArray:
        """The results so far [9, L], rows `SCORE_FIELDS`."""
        self._totals[0] = np.log(self._equity)
        return self._totals
