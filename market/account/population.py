"""Many policies on many paths at once: the account's arithmetic for a whole population.

A linear policy's target is tanh(score + c·w): the score, of what the market shows, comes in from
one matrix product over many bars and candidates; bias and share of the drifted weight w are added
here, bar by bar, before the bar is settled. Every loop over candidates is plain arithmetic, which
the compiler vectorises.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..arrays import BoolArray, Float32Array, FloatArray
from ..numerics.compiled import compiled
from ..numerics.float32_tanh import tanh
from .inputs import NUM_INPUTS, Weight, after_bar, shown
from .rules import BrokerConfig, flatten, unpack_rules
from .settlement import bar_at, settle, show_lanes
from .shared import execute, longest_after, settle_calm, settle_shared

_WEIGHT_BOUND: Final = Weight.bound
SCORE_FIELDS: Final = ("log_return", "return_sum", "square_sum", "turnover", "cost", "steps")
"""Rows of the result: log of the final equity; sums over bars of the simple return, of its square,
of |Δw| and of the cost as a fraction of equity; and how many bars the account lived."""


@compiled
def _choose(
    scores: Float32Array,
    account_share: Float32Array,
    bias: Float32Array,
    inputs: FloatArray,
    which: NDArray[np.int64],
    leverage: float,
    chosen: FloatArray,
) -> None:
    """Targets [C] of linear policies that see inputs ``which`` [K] of their accounts [A, C].

    Args:
        scores: W·[z, h] of each candidate [C], from the matrix product.
        account_share: What W multiplies each shown input by [K, C].
        bias: b [C].
        inputs: What the accounts remember [A, C].
        which: Inputs that are shown [K].
        leverage: Scales the actions.
        chosen: Target weights [C], written.
    """
    for p in range(chosen.shape[0]):
        score = scores[p] + bias[p]
        for k in range(which.shape[0]):
            score += account_share[k, p] * np.float32(shown(inputs[:, p], which[k]))
        chosen[p] = float(tanh(score)) * leverage


@compiled
def _choose_by_weight(
    scores: Float32Array,
    account_share: Float32Array,
    bias: Float32Array,
    weight: FloatArray,
    leverage: float,
    chosen: FloatArray,
) -> None:
    """`_choose` where the weight is all that they see: the compiler vectorises this one."""
    for p in range(weight.shape[0]):
        seen = np.float32(min(max(weight[p], -_WEIGHT_BOUND), _WEIGHT_BOUND))
        chosen[p] = float(tanh(scores[p] + bias[p] + account_share[p] * seen)) * leverage


@compiled
def _tally(
    held: FloatArray,
    executed: FloatArray,
    growth: FloatArray,
    cost: FloatArray,
    ended: BoolArray,
    totals: FloatArray,
) -> None:
    """Add a bar to the sums [6, C]; row 0, the log return, is written once the path has ended."""
    for p in range(held.shape[0]):
        gain = growth[p] - 1.0
        totals[1, p] += gain
        totals[2, p] += gain * gain
        traded = abs(executed[p] - held[p])  # loaded in any case, or the loop stays scalar
        totals[3, p] += 0.0 if ended[p] else traded
        totals[4, p] += cost[p]
        totals[5, p] += 0.0 if ended[p] else 1.0


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
    account_share: Float32Array,
    which: NDArray[np.int64],
    bars: FloatArray,
    rule_values: FloatArray,
    first: int,
    pending: FloatArray,
    equity: FloatArray,
    weight: FloatArray,
    terminated: BoolArray,
    inputs: FloatArray,
    totals: FloatArray,
) -> None:
    """Trade C candidates through B bars; see `PopulationBook` for the state that is moved.

    Bars are the outer loop: a target depends on the weight that the bar before left. Candidates
    are the inner ones, one array of C numbers after another, all in the first-level cache.

    Args:
        scores: W·[z, h] of each bar and candidate [B, C].
        bias: b [C].
        account_share: What W multiplies each shown input by [K, C].
        which: Inputs of the account that are shown [K].
        bars: What each bar does [B, 8].
        rule_values: The rules, flat.
        first: Number of the first of these bars on the path.
        pending: Targets that wait to be filled [delay + 1, C], a ring, updated.
        equity: [C], updated, as all that follow.
        weight: [C].
        terminated: [C].
        inputs: What the accounts remember [A, C].
        totals: Sums [6, C], rows `SCORE_FIELDS`.
    """
    rules = unpack_rules(rule_values)
    candidates, delay = weight.shape[0], pending.shape[0]
    held, executed = np.empty(candidates), np.empty(candidates)
    growth, cost = np.empty(candidates), np.empty(candidates)
    ended = np.empty(candidates, dtype=np.bool_)
    limited = rules.has_limits > 0.0
    # two cases of nearly every search, each with loops of its own that the compiler vectorises
    by_weight = which.shape[0] == 1 and which[0] == 0
    alike = rules.has_rounding <= 0.0 and rules.has_sized_costs <= 0.0
    longest, calm_bars = _longest(weight, terminated), 0.0
    for t in range(bars.shape[0]):
        bar = bar_at(bars, t)
        decided = pending[(first + t) % delay]
        if by_weight:
            _choose_by_weight(scores[t], account_share[0], bias, weight, rules.leverage, decided)
        else:
            _choose(scores[t], account_share, bias, inputs, which, rules.leverage, decided)
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
            settle_calm(equity, weight, target, bar, rules, totals)
            if not by_weight:
                _remember(inputs, held, target, bar.simple_return, weight)
            longest = after
            calm_bars += 1.0
            continue
        held[:] = weight
        ended[:] = terminated
        settle_shared(equity, weight, terminated, target, bar, rules, executed, growth, cost)
        _tally(held, executed, growth, cost, ended, totals)
        if not by_weight:
            _remember(inputs, held, executed, bar.simple_return, weight)
        longest = _longest(weight, terminated)
    totals[5] += calm_bars  # nobody's account had ended before any of them


class PopulationBook:
    """Accounts of C candidates on one path after another.

    Args:
        account_share: Each candidate's coefficients of what it sees of its account [K, C].
        bias: Each candidate's b [C].
        broker: The account's rules.
    """

    def __init__(
        self, account_share: Float32Array, bias: Float32Array, broker: BrokerConfig
    ) -> None:
        count = len(bias)
        share = np.ascontiguousarray(account_share)
        self._policy = np.ascontiguousarray(bias), share, np.array(broker.view.indices)
        self._inputs: FloatArray = np.zeros((NUM_INPUTS, count))
        self._rules = flatten(broker.compile())
        self._equity, self._weight = np.empty(count), np.empty(count)
        self._terminated = np.empty(count, dtype=np.bool_)
        self._pending = np.empty((broker.execution.fill_delay + 1, count))
        self._totals = np.empty((len(SCORE_FIELDS), count))
        self.begin()

    def begin(self) -> None:
        """Start a path: equity 1, flat, no pending targets."""
        self._equity[:] = 1.0
        self._weight[:] = 0.0
        self._terminated[:] = False
        self._pending[:] = 0.0
        self._inputs[:] = 0.0
        self._totals[:] = 0.0
        self._bars = 0

    def step(self, scores: Float32Array, bars: FloatArray) -> None:
        """Trade the next B bars of the path.

        Args:
            scores: Scores of each bar's observation without account and bias [B, C].
            bars: What each bar does [B, 8], columns `BAR_FIELDS`.
        """
        settle_population(
            scores,
            *self._policy,
            bars,
            self._rules,
            self._bars,
            self._pending,
            self._equity,
            self._weight,
            self._terminated,
            self._inputs,
            self._totals,
        )
        self._bars += len(bars)

    def totals(self) -> FloatArray:
        """The path's results so far [6, C], rows `SCORE_FIELDS`."""
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
            self._weight,
            self._terminated,
            self._inputs,
            self._totals,
        )
        show_lanes(self._inputs, self._shown, self.seen)
        self._bars += 1

    def totals(self) -> FloatArray:
        """The results so far [6, L], rows `SCORE_FIELDS`."""
        self._totals[0] = np.log(self._equity)
        return self._totals
