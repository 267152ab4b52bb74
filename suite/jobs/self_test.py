"""Can an agent learn here at all? ``worldmodel-trading compare --self-test``, and `self_test`."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from worldmodel_trading.agents.cma_es import CMAESConfig, search
from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.agents.registry import CMA_ES, LEARNED, find_algorithm
from worldmodel_trading.entrants import named_object
from worldmodel_trading.envs.population.scoring import score_replay
from worldmodel_trading.envs.spaces import ActionKind
from worldmodel_trading.evaluation.policy import Policy
from worldmodel_trading.evaluation.significance import Interval, percentile_interval
from worldmodel_trading.known_market import YEAR, KnownMarket, Variant, judging_market
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.records import AT_LEAST_ONE, FROM_ZERO, MANY, Record
from worldmodel_trading.market.settings import nearest
from worldmodel_trading.progress import say

_LANES, _HORIZON = 64, 256  # bars of an episode while learning
_WINDOW: Final = 720  # bars that a candidate of ``cma_es`` is scored on at a time
_DRAWS: Final = 4_000
_HANDED: Final = Variant(edge=0.0, handed=True)
_EDGE: Final = Variant(edge=1.0)
_NO_EDGE: Final = Variant(edge=0.0)


@dataclass(frozen=True)
class SelfTestConfig(Record):
    """How an agent is tested.

    Attributes:
        seeds: Trainings of each of the three.
        seed: The first.
        steps: Bars of a training where an edge has to be found; a third of it where the next return
            is handed. ``cma_es`` reads generations from ``settings`` instead, and a trainer of yours
            decides itself.
        episodes: Unseen stretches that judge.
        bars: Of each of them.
        train_bars: Of the record that is learned on, one for each seed: long, for in a short one its
            chance drift outweighs the edge, and a search ends at holding it.
        settings: The algorithm's own, in the place of its defaults.
    """

    seeds: int = 3
    seed: int = 0
    steps: int = 300_000
    episodes: int = 12
    bars: int = YEAR
    train_bars: int = 24 * YEAR
    settings: Mapping[str, Any] = field(default_factory=dict)

    _bounds = {  # noqa: RUF012
        "seeds": AT_LEAST_ONE,
        "seed": FROM_ZERO,
        "steps": AT_LEAST_ONE,
        "episodes": AT_LEAST_ONE,
        "bars": AT_LEAST_ONE,
        "train_bars": (_WINDOW, MANY),
    }


@dataclass(frozen=True)
class Check:
    """One of the three questions, and its answer.

    Attributes:
        name: ``handed the next return``, ``a known edge`` or ``no edge``.
        passed: Whether it went as it must.
        earned: Mean annual log return after costs in unseen stretches; a 95% interval by resampling
            seeds and stretches.
        by_seed: The mean of each seed.
        best: What the best policy earns there; 0 without an edge.
        words: The verdict.
    """

    name: str
    passed: bool
    earned: Interval
    by_seed: tuple[float, ...]
    best: float
    words: str


@dataclass(frozen=True)
class SelfTest:
    """Whether an agent can learn here.

    Attributes:
        agent: Which.
        checks: The three.
        seconds: What it took.
    """

    agent: str
    checks: tuple[Check, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether all three went as they must."""
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can carry."""
        return {**asdict(self), "passed": self.passed}

    def __str__(self) -> str:
        lines = [
            f"{'pass' if one.passed else 'FAIL'}  {one.name}: {one.words}" for one in self.checks
        ]
        verdict = "can" if self.passed else "cannot yet"
        return "\n".join([*lines, f"{self.agent} {verdict} learn here ({self.seconds:.0f} s)"])


Trainer = Callable[[KnownMarket, int, int], tuple[Policy, ActionKind]]
"""Learns in a market, with a seed and so many bars: the policy, and the actions that it takes."""


def self_test(agent: str, **settings: Any) -> SelfTest:
    """Train an agent on the synthetic market, whose truth is known, and say what it learned.

    It must earn when it is handed the coming bar's return, earn an edge that exists, and earn
    nothing where none exists: an agent that fails the first has a fault in its training loop, and one
    that fails the last sees what it must not. All is judged after costs on bars that nobody learned
    on.

    Args:
        agent: A name of `LEARNED`, or ``module:callable``: a function that takes a Gymnasium
            environment (and ``seed``, where it has such an argument), learns in it, and returns a
            policy with Stable-Baselines3's ``predict`` that takes batches of observations.
        settings: Fields of `SelfTestConfig`.

    Raises:
        ConfigError: There is no such agent, a setting is impossible, or a trainer returns no policy.
    """
    config = SelfTestConfig.from_dict(settings)
    train = _trainer(agent, config)
    begun = time.perf_counter()
    checks = []
    for variant, steps, judge in (
        (_HANDED, -(-config.steps // 3), _judge_handed),
        (_EDGE, config.steps, _judge_edge),
        (_NO_EDGE, config.steps, _judge_nothing),
    ):
        unseen = judging_market(variant, config.episodes, config.bars)
        checks.append(judge(_earned(train, unseen, steps, config), unseen.best))
        say(f"  {checks[-1].name}: {checks[-1].words}")
    return SelfTest(agent, tuple(checks), time.perf_counter() - begun)


def _earned(train: Trainer, unseen: KnownMarket, steps: int, config: SelfTestConfig) -> FloatArray:
    """Annual log returns [seeds, stretches] of trainings in a market like the one that judges."""
    rows = []
    for seed in range(config.seed, config.seed + config.seeds):
        learned_on = KnownMarket(unseen.variant, config.train_bars // _HORIZON, _HORIZON, seed)
        rows.append(unseen.earned(*train(learned_on, seed, steps)))
    return np.stack(rows)


def _judge_handed(earned: FloatArray, best: float) -> Check:
    span = _interval(earned)
    share = f"{span.value / best:.0%} of what the sign of that return earns"
    words = f"earned {_told(span)} a year, {share}"
    passed = span.low > 0.0
    if not passed:
        words += ": it does not learn what it is told, so look for a fault in its training"
    return Check("handed the next return", passed, span, _by_seed(earned), best, words)


def _judge_edge(earned: FloatArray, best: float) -> Check:
    span = _interval(earned)
    words = (
        f"earned {_told(span)} a year, {span.value / best:.0%} of the optimal policy's {best:+.2f}"
    )
    passed = span.low > 0.0
    if not passed:
        words += ": it does not find the edge"
    return Check("a known edge", passed, span, _by_seed(earned), best, words)


def _judge_nothing(earned: FloatArray, _: float) -> Check:
    span = _interval(earned)
    passed = span.low <= 0.0
    words = f"earned {_told(span)} a year where nothing can be earned"
    if not passed:
        words += ": it sees what it must not, or its account pays too little"
    elif span.high < 0.0:
        words += ": it pays for trades that earn nothing"
    return Check("no edge", passed, span, _by_seed(earned), 0.0, words)


def _told(span: Interval) -> str:
    return f"{span.value:+.2f} ({span.low:+.2f} to {span.high:+.2f})"


def _by_seed(earned: FloatArray) -> tuple[float, ...]:
    return tuple(float(value) for value in earned.mean(axis=1))


def _interval(earned: FloatArray) -> Interval:
    """The mean of returns [S, N] with the 95% interval of resampled seeds and stretches."""
    seeds, stretches = earned.shape
    rng = np.random.default_rng(0)
    of_seeds = rng.multinomial(seeds, np.full(seeds, 1.0 / seeds), _DRAWS) / seeds
    even = np.full(stretches, 1.0 / stretches)
    of_stretches = rng.multinomial(stretches, even, _DRAWS) / stretches
    draws = np.einsum("ds,sn,dn->d", of_seeds, earned, of_stretches)
    return percentile_interval(float(earned.mean()), draws.tolist())


def _trainer(agent: str, config: SelfTestConfig) -> Trainer:
    """What trains the agent, and all that can be wrong with it."""
    if agent == CMA_ES:
        searching = CMAESConfig.from_dict(config.settings)
        return lambda market, seed, steps: (_search(market, seed, searching), "continuous")
    if ":" in agent:
        return _users_trainer(agent, config.settings)
    if agent not in LEARNED:
        near = nearest(agent, LEARNED)
        hint = f"did you mean {near!r}?" if near else f"expected one of {', '.join(LEARNED)}"
        raise ConfigError(f"there is no agent {agent!r} to train; {hint}, or module:callable")
    algorithm = find_algorithm(agent)
    algorithm.settle(config.settings)

    def train(market: KnownMarket, seed: int, steps: int) -> tuple[Policy, ActionKind]:
        from worldmodel_trading.agents.sb3 import NativeVecEnv
        from worldmodel_trading.agents.sb3_models import make_sb3_agent

        lanes = NativeVecEnv(market.lanes(_LANES, algorithm.actions))
        model = make_sb3_agent(agent, lanes, seed, **config.settings)
        return model.learn(steps), algorithm.actions

    return train


def _users_trainer(name: str, settings: Mapping[str, Any]) -> Trainer:
    found = named_object(name)
    if not callable(found):
        raise ConfigError(
            f"{name} is a {type(found).__name__}; expected a function that takes an environment and "
            "returns a policy"
        )
    takes_seed = "seed" in inspect.signature(found).parameters

    def train(market: KnownMarket, seed: int, steps: int) -> tuple[Policy, ActionKind]:
        env = market.env()
        policy = found(env, **settings, **({"seed": seed} if takes_seed else {}))
        env.close()
        if not hasattr(policy, "predict"):
            raise ConfigError(
                f"{name} returned a {type(policy).__name__}; expected a policy with predict"
            )
        return policy, "continuous"

    return train


def _search(market: KnownMarket, seed: int, config: CMAESConfig) -> LinearController:
    """A linear controller by CMA-ES on the whole record, in windows."""
    broker = BrokerConfig()
    size = market.recorded.view.shape[1] + len(broker.view.indices) + 1

    def fitness(candidates: FloatArray, _: int) -> FloatArray:
        scores = score_replay(market.recorded, candidates, broker, window=_WINDOW)
        return np.asarray(scores.log_return.mean(axis=1))

    return LinearController(search(fitness, size, config, seed).parameters)
