"""Many lanes at once, as native Gymnasium vector environments."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from ..market.account.broker import Account
from ..market.account.rewards import LaneRewards, RewardLike
from ..market.account.rules import BrokerConfig
from ..market.arrays import BoolArray, Float32Array, FloatArray, IntArray
from ..market.errors import ConfigError
from ..market.settings import scalar, seed_number, whole_number
from ..market.sources import with_order_rules
from ..market.times import Time
from .arguments import refuse_unknown
from .protocol import (
    Chance,
    complete_spec,
    for_lanes,
    read_options,
    refuse_closed,
)
from .replay import check_length
from .spaces import (
    ActionKind,
    ObservationKind,
    action_space,
    observation_space,
    target_weights,
    with_account,
)
from .universe import Universe

if TYPE_CHECKING:
    from ..market.sources import CandleSource, FundingSource, InstrumentSource
    from ..models.joint_world_model import JointWorldModel
    from ..models.regimes.opening import RegimeSource
    from ..models.world_model import WorldModel

Observations = Float32Array

_LIVED = ("market_return", "cost", "slippage", "funding", "turnover")
"""What the info tells of the bar just lived, as in the scalar environment."""


class Lanes(Protocol):
    """A market for N lanes: `ReplayLanes` or `DreamLanes`."""

    layout: dict[str, slice]
    options: tuple[str, ...]
    """The reset options that say where lanes begin."""
    max_steps: int
    """Steps that an episode has at most."""
    doubt: FloatArray | None
    """What the bar just lived takes from the reward of a weight of 1 [N], where pessimism does."""

    @property
    def time_ms(self) -> IntArray:
        """Open times of the bars that just closed [N]."""

    @property
    def price(self) -> FloatArray:
        """Newest closes [N]."""

    def begin(
        self, lanes: BoolArray, chance: Chance, where: Mapping[str, Any] | None = None
    ) -> IntArray | int:
        """Start lanes [N] over, where `options` say or chance; returns the steps they can take."""

    def advance(self, targets: FloatArray, chance: Chance, waiting: BoolArray) -> FloatArray:
        """Live one bar, which is nothing to the lanes [N] that wait for a reset: bars [N, 8]."""

    def view(self, out: Observations) -> None:
        """Write what policies see besides the account into ``out`` [N, D - 1]."""

    def extra_info(self) -> Mapping[str, Any]:
        """What this market tells beyond the others, arrays [N]."""

    def delivered(self) -> BoolArray | None:
        """Lanes [N] whose contract ended with the bar just lived, if any can."""

    def cut_short(self, info: dict[str, FloatArray]) -> BoolArray | None:
        """Lanes [N] to truncate before their time, if any."""


class TradingVectorEnv(VectorEnv[Observations, Any, Any]):
    """N accounts that trade a market bar by bar, as arrays.

    Spaces, reward, info and episode ends are those of the scalar environment; `step` returns
    fresh arrays. A subclass names Gymnasium's class as a direct base too, as those of `TradingEnv`
    do.

    Args:
        num_envs: N.
        lanes: The market.
        actions: ``"continuous"`` or ``"discrete"``.
        broker: The account's rules.
        reward: What a bar pays.
        autoreset_mode: ``NEXT_STEP``, ``SAME_STEP`` or ``DISABLED``, as enum or text.
        max_episode_steps: Truncate episodes after so many steps, as `gymnasium.make` would; None
            and −1 leave them as long as the market does.

    Attributes:
        observation_layout: Names of the observation's parts, and their slices.
        reset_options: Names of the options that `reset` takes.
        world_model_hash: `WorldModel.fingerprint` of the one that the market is seen through.
    """

    _spec: EnvSpec | None = None
    world_model_hash: str | None = None

    def __init__(
        self,
        num_envs: int,
        lanes: Lanes,
        actions: ActionKind,
        broker: BrokerConfig,
        reward: RewardLike,
        autoreset_mode: AutoresetMode | str,
        max_episode_steps: int | None,
    ) -> None:
        self.num_envs = num_envs
        self._max_steps = min(lanes.max_steps, _check_limit(max_episode_steps) or lanes.max_steps)
        self.autoreset_mode = parse_autoreset_mode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self.render_mode = None
        self.observation_layout = with_account(lanes.layout, broker.view)
        self.single_observation_space = observation_space(self.observation_layout, broker.view)
        self.single_action_space = action_space(actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.reset_options = ("reset_mask", *lanes.options)
        self._lanes = lanes
        self._actions = actions
        self._account = Account(num_envs, broker)
        self._reward = LaneRewards(num_envs, reward)
        self._steps_left: IntArray = np.zeros(num_envs, dtype=np.int64)
        self._done: BoolArray = np.zeros(num_envs, dtype=np.bool_)
        self._begun = False
        self._own: list[np.random.Generator] = []

    @property
    def spec(self) -> EnvSpec | None:
        """What `gymnasium.make_vec` made it from, with the steps that an episode has at most."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = complete_spec(spec, self._max_steps)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observations, dict[str, Any]]:
        """Start all lanes, or those in ``options["reset_mask"]`` [N], over.

        Args:
            seed: A number seeds the one generator that all lanes draw from. A list [N] gives each
                lane a generator of its own, and its number the draws of a scalar environment with
                that seed; None in it leaves a lane's generator as it is.
            options: ``reset_mask``: a boolean array [N] with at least one lane. ``start`` and, of
                several symbols, ``symbol`` (replay) or ``segment`` (dream), as in the scalar environment: one for all, or a list of one
                for each lane [N], where None lets chance decide; the entries of lanes that do not
                start over are not read.

        Raises:
            ConfigError: A seed or a mask is none, or an option would be ignored.
            gymnasium.error.ClosedEnvironmentError: The lanes are closed.
        """
        refuse_closed(self.closed)
        given = read_options(options, *self.reset_options)
        mask = self._reset_mask(given.get("reset_mask"))
        self._reseed(seed, mask)
        self._begin(mask, {name: given[name] for name in self._lanes.options if name in given})
        self._begun = True
        return self._observe(), self._info(self._nothing(), mask)

    def step(
        self, actions: Any
    ) -> tuple[Observations, FloatArray, BoolArray, BoolArray, dict[str, Any]]:
        """Trade every lane to its target weight, then live a bar.

        In ``NEXT_STEP`` mode a lane that ended in the last step starts over instead, with reward
        0; in ``SAME_STEP`` mode it starts over at once and ``infos["final_obs"]`` and
        ``infos["final_info"]`` hold where it ended.
        """
        self._check_running()
        restarting = self._done
        targets = target_weights(actions, self._actions, self.num_envs)
        before, held = self._account.equity.copy(), self._account.weight.copy()
        bars = self._lanes.advance(targets, self._chance, restarting)
        settled = self._account.step(targets, bars)
        self._steps_left -= 1
        terminated, delivered = settled.terminated, self._lanes.delivered()
        if delivered is not None:
            self._account.close(delivered)
            terminated = terminated | delivered
        truncated = (self._steps_left <= 0) & ~terminated
        market_return, cost = bars[:, 0].copy(), settled.cost
        turnover = np.abs(settled.executed - held)
        shares = settled.slippage / before, settled.funding / before
        lived = dict(zip(_LIVED, (market_return, cost, *shares, turnover), strict=True))
        equity, weight = settled.equity, self._account.weight
        rewards = self._reward.step(
            settled.reward, equity, weight, turnover, cost, market_return, restarting
        )
        if self._lanes.doubt is not None:
            rewards -= self._lanes.doubt * np.abs(settled.executed)
        if restarting.any():
            self._begin(restarting)
            for values in (rewards, *lived.values()):
                values[restarting] = 0.0
            terminated[restarting] = truncated[restarting] = False
        everyone = np.ones(self.num_envs, dtype=np.bool_)
        info = self._info(lived, everyone)
        early = self._lanes.cut_short(info)
        if early is not None:
            truncated |= early & ~terminated & ~restarting
        self._done = terminated | truncated
        observations = self._observe()
        if self.autoreset_mode == AutoresetMode.SAME_STEP and self._done.any():
            observations, info = self._restart_now(observations, info)
        return observations, rewards, terminated, truncated, info

    def _restart_now(
        self, final: Observations, final_info: dict[str, Any]
    ) -> tuple[Observations, dict[str, Any]]:
        ended = self._done
        self._begin(ended)
        everyone = np.ones(self.num_envs, dtype=np.bool_)
        fresh = self._info(self._nothing(), everyone)
        info = {
            key: values if key.startswith("_") else np.where(ended, fresh[key], values)
            for key, values in final_info.items()
        }
        final_obs = np.full(self.num_envs, None, dtype=object)
        for lane in np.flatnonzero(ended):
            final_obs[lane] = final[lane]
        kept = {k: ended.copy() if k.startswith("_") else v for k, v in final_info.items()}
        info |= {"final_obs": final_obs, "_final_obs": ended.copy()}
        info |= {"final_info": kept, "_final_info": ended.copy()}
        return self._observe(), info

    def _begin(self, lanes: BoolArray, where: Mapping[str, Any] | None = None) -> None:
        num_steps = self._lanes.begin(lanes, self._chance, where)
        self._account.reset(lanes)
        self._reward.reset(lanes)
        self._steps_left[lanes] = np.minimum(num_steps, self._max_steps)
        self._done = self._done & ~lanes

    @property
    def _chance(self) -> Chance:
        return self._own or self.np_random

    def _reseed(self, seed: int | Sequence[int | None] | None, lanes: BoolArray) -> None:
        if seed is None:
            return
        if not isinstance(scalar(seed), list | tuple | np.ndarray):
            super().reset(seed=seed_number(seed))
            self._own = []
            return
        seeds = [
            None if number is None else seed_number(number)
            for number in for_lanes("seed", seed, lanes)
        ]
        # Lanes that are given none, or are not started over, draw on from a child of the old one.
        own = self._own or self.np_random.spawn(self.num_envs)
        for lane, number in zip(np.flatnonzero(lanes).tolist(), seeds, strict=True):
            if number is not None:
                own[lane], _ = np_random(number)
        self._own = list(own)

    def _observe(self) -> Observations:
        size = self.observation_layout["account"].stop
        observations = np.empty((self.num_envs, size), dtype=np.float32)
        account = self.observation_layout["account"]
        self._lanes.view(observations[:, : account.start])
        self._account.show(observations[:, account])
        return observations

    def _nothing(self) -> dict[str, FloatArray]:
        return dict.fromkeys(_LIVED, np.zeros(self.num_envs))

    def _info(self, lived: dict[str, FloatArray], mask: BoolArray) -> dict[str, Any]:
        values = {
            "equity": self._account.equity.copy(),
            "weight": self._account.weight.copy(),
            "price": self._lanes.price.copy(),
            **lived,
            "time_ms": self._lanes.time_ms.copy(),
            **self._lanes.extra_info(),
        }
        return values | {f"_{name}": mask for name in values}

    def render(self) -> None:
        """Nothing: lanes show nothing, whoever asks; see the scalar environment."""

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """An attribute, or a method's answer, once for each lane, as `SyncVectorEnv.call` has it."""
        value = getattr(self, name)
        return (value(*args, **kwargs) if callable(value) else value,) * self.num_envs

    def _check_running(self) -> None:
        refuse_closed(self.closed)
        if not self._begun:
            raise ResetNeeded("call reset() before step()")
        if self.autoreset_mode == AutoresetMode.DISABLED and self._done.any():
            raise ResetNeeded(
                f"the episodes of {int(self._done.sum())} lanes are over: "
                "reset(options={'reset_mask': …}) them before step()"
            )

    def _reset_mask(self, wanted: Any) -> BoolArray:
        if wanted is None:
            return np.ones(self.num_envs, dtype=np.bool_)
        mask: BoolArray = np.asarray(wanted)
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ConfigError(
                f"reset_mask has shape {mask.shape} and type {mask.dtype}; expected booleans "
                f"[{self.num_envs}] with at least one lane"
            )
        if not self._begun:
            raise ResetNeeded("reset() all lanes before resetting some")
        return mask


class ReplayVectorEnv(TradingVectorEnv, VectorEnv[Observations, Any, Any]):
    """N lanes of ``BybitReplay-v0``; see `BybitReplayEnv` for the arguments.

    Of several symbols lanes trade one each, drawn anew with every episode.
    """

    public_name = "BybitReplay-v0"

    def __init__(
        self,
        num_envs: int = 1,
        candles: CandleSource | Sequence[CandleSource] = None,
        world_model: WorldModel | JointWorldModel | str | os.PathLike[str] | None = None,
        start: Time | None = None,
        end: Time | None = None,
        episode_length: int | None = 720,
        random_start: bool = True,
        actions: ActionKind = "continuous",
        taker_fee: float = 0.00055,
        slippage: float = 0.0002,
        fill_delay: int = 0,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: None = None,
        reward: RewardLike = "log_return",
        funding: FundingSource | Mapping[str, FundingSource] = None,
        unrecorded_funding_rate: float = 0.0,
        max_episode_steps: int | None = None,
        instrument: InstrumentSource = None,
        observation: ObservationKind | None = None,
        regimes: RegimeSource = None,
        **account: Any,
    ) -> None:
        from .followed_regimes import recorded_regimes
        from .replay_lanes import ReplayLanes

        num_envs = check_num_envs(num_envs)
        refuse_rendering(render_mode)
        refuse_unknown(ReplayVectorEnv, self.public_name, account)
        universe = Universe(
            candles,
            world_model,
            start,
            end,
            funding,
            unrecorded_funding_rate,
            observation,
            instrument,
            {"taker_fee": taker_fee, "slippage": slippage, "fill_delay": fill_delay, **account},
        )
        told = [
            recorded_regimes(regimes, one.world_model, one.recorded) for one in universe.markets
        ]
        lanes = ReplayLanes(
            [one.recorded for one in universe.markets],
            num_envs,
            check_length(episode_length),
            random_start,
            universe.state(num_envs),
            None if told[0] is None else np.concatenate([one for one in told if one is not None]),
        )
        super().__init__(
            num_envs, lanes, actions, universe.broker, reward, autoreset_mode, max_episode_steps
        )
        self.world_model_hash = universe.world_model_hash


class DreamVectorEnv(TradingVectorEnv, VectorEnv[Observations, Any, Any]):
    """N lanes of ``WorldModelDream-v0``; see `DreamEnv` for the arguments."""

    public_name = "WorldModelDream-v0"

    def __init__(
        self,
        num_envs: int = 1,
        world_model: WorldModel | str | os.PathLike[str] = "default",
        temperature: float = 1.0,
        horizon: int = 720,
        warmup: int | None = None,
        observation: ObservationKind = "latent",
        actions: ActionKind = "continuous",
        taker_fee: float = 0.00055,
        slippage: float = 0.0002,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: None = None,
        reward: RewardLike = "log_return",
        funding: FundingSource = None,
        ood_limit: float | None = None,
        max_episode_steps: int | None = None,
        instrument: InstrumentSource = None,
        drift: str | float = "recorded",
        pessimism: float = 0.0,
        regimes: RegimeSource = None,
        **account: Any,
    ) -> None:
        from ..models.drift import with_drift
        from ..models.load import dreamed_instrument, open_world_model
        from .dream_funding import DreamFunding
        from .dream_lanes import DreamLanes
        from .engine.opening import open_engine
        from .followed_regimes import FollowedRegimes

        num_envs = check_num_envs(num_envs)
        refuse_rendering(render_mode)
        refuse_unknown(DreamVectorEnv, self.public_name, account)
        model = with_drift(open_world_model(world_model), drift)
        traded = dreamed_instrument(model, instrument)
        broker = BrokerConfig.from_settings(
            taker_fee=taker_fee, slippage=slippage, **with_order_rules(account, traded)
        )
        engine = open_engine(model, warmup)
        charged = DreamFunding(funding, model, instrument)
        lanes = DreamLanes(
            engine,
            num_envs,
            observation,
            temperature,
            horizon,
            charged,
            ood_limit,
            broker,
            pessimism,
            FollowedRegimes.open(regimes, model, num_envs),
        )
        super().__init__(
            num_envs, lanes, actions, broker, reward, autoreset_mode, max_episode_steps
        )
        self.world_model_hash = engine.world_model.fingerprint


def _check_limit(max_episode_steps: int | None) -> int | None:
    """The limit, or None for none."""
    steps = whole_number(max_episode_steps)
    if max_episode_steps is None or steps == -1:
        return None
    if steps is None or steps < 1:
        raise ConfigError(
            f"max_episode_steps is {max_episode_steps!r}; expected a number of steps, or None or −1 "
            "for no limit"
        )
    return steps


def parse_autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """The mode, from the enum or its name or value in any case."""
    if isinstance(mode, AutoresetMode):
        return mode
    names = {m.name: m for m in AutoresetMode}
    spelled = {name.replace("_", ""): m for name, m in names.items()}
    try:
        return spelled[str(mode).upper().replace("-", "").replace("_", "")]
    except KeyError:
        raise ConfigError(
            f"autoreset_mode is {mode!r}; expected one of {', '.join(n.lower() for n in names)}"
        ) from None


def check_num_envs(num_envs: int) -> int:
    """The number of lanes, if it is one; raises `ConfigError`."""
    count = whole_number(num_envs)
    if count is None or count < 1:
        raise ConfigError(f"num_envs is {num_envs!r}; expected a whole number, at least 1")
    return count


def refuse_rendering(render_mode: str | None) -> None:
    """Raise `ConfigError`: a vector environment shows nothing."""
    if render_mode is not None:
        raise ConfigError("a vector environment does not render; make a scalar one for that")
