"""Training an agent by name, in dreams or in replay, looked after by replay on validation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..envs.dream_funding import DreamFunding
from ..envs.engine.pessimism import MOST, check_pessimism
from ..envs.opening import open_recorded
from ..envs.population.recorded_scorer import RecordedScorer
from ..envs.recorded import RecordedMarket
from ..envs.replay import BybitReplayEnv
from ..envs.spaces import ActionKind
from ..evaluation.performance import Performance
from ..evaluation.rollout import play_through
from ..market.account.costs import Fee, Slippage
from ..market.account.rewards import open_reward
from ..market.account.rules import BrokerConfig
from ..market.candles import Candles
from ..market.errors import ConfigError
from ..market.files.writer import write_whole
from ..market.records import AT_LEAST_ONE, FROM_ZERO, TEMPERATURES, Record, refuse_unknown
from ..market.sources import source_name, with_order_rules
from ..market.times import iso_text
from ..models.drift import with_drift
from ..models.load import dreamed_instrument
from ..models.provenance import library_versions
from ..models.training.tracking import Tracker
from ..models.world_model import WorldModel
from .callbacks import Look
from .cma_es import CMAESConfig, Generation
from .dream_search import DreamSearchConfig, train_controller
from .folder import (
    CONTROLLER_FILE,
    EVALUATION_FILE,
    MODEL_FILE,
    Agent,
    AgentRecord,
    load_agent,
    write_record,
)
from .registry import CMA_ES, find_algorithm
from .sb3 import NativeVecEnv, make_sb3_env
from .sb3_training import CHECKPOINTS, Course, learn

_LOOKS = 10  # at validation, and checkpoints, in a training


@dataclass(frozen=True)
class TrainConfig(Record):
    """How an agent is trained.

    Attributes:
        agent: A name of `LEARNED`.
        env: ``dream``, or ``replay`` of the training range's recorded bars.
        steps: Bars to train on, all lanes together; None is the algorithm's default.
        objective: What is maximised: a reward's name (``log_return``, ``simple_return``,
            ``differential_sharpe``), or one of `DreamSearchConfig` for ``cma_es``.
        settings: The algorithm's own, in the place of its defaults.
        seed: Of networks, lanes and draws.
        lanes: Markets traded at once.
        horizon: Bars of an episode; None is 256, and 720 for ``cma_es``.
        temperature: τ of dreams.
        drift: What a held position earns in dreams; see `with_drift`.
        pessimism: λ, what dreams of several members take from the reward; see `Pessimism`.
        funding: What positions pay; see `open_funding`.
        unrecorded_funding_rate: In replay, at instants that are not recorded.
        account: Any setting of the account, by name.
        every: Bars between looks at validation, and between checkpoints; None is a tenth of the steps.
        patience: Looks without a better one after which training ends; None never ends early.
    """

    agent: str = "ppo"
    env: str = "dream"
    steps: int | None = None
    objective: str = "log_return"
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    lanes: int = 64
    horizon: int | None = None
    temperature: float = 1.0
    drift: str | float = "recorded"
    pessimism: float = 0.0
    funding: str | float = "off"
    unrecorded_funding_rate: float = 0.0
    account: Mapping[str, Any] = field(default_factory=dict)
    every: int | None = None
    patience: int | None = None

    _bounds = {  # noqa: RUF012
        "steps": AT_LEAST_ONE,
        "seed": FROM_ZERO,
        "lanes": AT_LEAST_ONE,
        "horizon": AT_LEAST_ONE,
        "temperature": TEMPERATURES,
        "pessimism": (0.0, MOST),
        "every": AT_LEAST_ONE,
        "patience": AT_LEAST_ONE,
    }
    _choices = {"env": ("dream", "replay")}  # noqa: RUF012

    def __post_init__(self) -> None:
        """Refuse every impossible setting before any work."""
        super().__post_init__()
        BrokerConfig.from_settings(**self.account)
        if not isinstance(self.objective, str):
            raise ConfigError(
                f"the objective is {self.objective!r}; expected the name of a reward: with a function, take "
                "make_sb3_env(…, reward=function) and make_sb3_agent, and choose on validation yourself"
            )
        if self.env == "replay" and self.pessimism > 0.0:
            raise ConfigError(
                f"pessimism is {self.pessimism:g}, and nobody disagrees about recorded bars: train in "
                "the dream, or leave it at 0"
            )
        if self.agent == CMA_ES:
            self.search()
            return
        find_algorithm(self.agent).settle(self.settings)
        open_reward(self.objective)

    @property
    def total_steps(self) -> int:
        """Bars to train on."""
        return self.steps or find_algorithm(self.agent).steps

    @property
    def bars(self) -> int:
        """Of an episode."""
        return self.horizon or (720 if self.agent == CMA_ES else 256)

    def dreamed(self) -> dict[str, Any]:
        """What dreams are like, as their environments take it."""
        return {name: getattr(self, name) for name in ("temperature", "drift", "pessimism")}

    def search(self) -> DreamSearchConfig:
        """How ``cma_es`` searches.

        Raises:
            ConfigError: It cannot be searched for so.
        """
        if self.steps is not None:
            raise ConfigError(
                "cma_es searches for so many generations: leave out --steps, and say "
                "--set generations=60"
            )
        inner = [f.name for f in fields(CMAESConfig)]
        outer = [f.name for f in fields(DreamSearchConfig) if f.name not in _OF_CONFIG]
        refuse_unknown(self.settings, [*inner, *outer], "the agent 'cma_es'")
        return DreamSearchConfig(
            CMAESConfig(**{name: self.settings[name] for name in inner if name in self.settings}),
            horizon=self.bars,
            temperature=self.temperature,
            pessimism=self.pessimism,
            objective=self.objective,  # type: ignore[arg-type]
            **{name: self.settings[name] for name in outer if name in self.settings},
        )


_FEES = {"taker_fee": Fee.taker_fee, "slippage": Slippage.slippage}
_OF_CONFIG = ("cma_es", "horizon", "temperature", "pessimism", "objective")


@dataclass(frozen=True, eq=False)
class Ground:
    """The markets that an agent is trained and looked after in.

    Attributes:
        world_model: The dream, and the agent's view of replay.
        candles: The record; None where there is none.
        train: Start and end of what replay may train on [ms UTC]; None where nothing is recorded of it.
        validation: The same of what chooses; None where nothing chooses.
    """

    world_model: WorldModel
    candles: Candles | None = None
    train: tuple[int, int] | None = None
    validation: tuple[int, int] | None = None


@dataclass(frozen=True)
class Followed:
    """Who follows a training.

    Attributes:
        on_look: Receives steps and look, at every checkpoint.
        on_generation: Receives each generation of ``cma_es``.
        on_resume: Receives the steps that a resumed training goes on from.
        trackers: Receive the numbers of the training, such as `MLflowTracker`; they stay open.
    """

    on_look: Callable[[int, Look | None], None] = lambda steps, look: None
    on_generation: Callable[[Generation], None] = lambda generation: None
    on_resume: Callable[[int], None] = lambda steps: None
    trackers: Sequence[Tracker] = ()

    def generation(self, lived: Generation) -> None:
        """A generation of ``cma_es`` is done."""
        self.on_generation(lived)
        told = asdict(lived)
        numbers = {
            f"controller/{name}": float(told[name])
            for name in ("best", "mean", "worst", "sigma", "validation")
            if told[name] is not None
        }
        for tracker in self.trackers:
            tracker.log(numbers, lived.generation + 1)


def refuse_impossible(config: TrainConfig, ground: Ground) -> None:
    """Raise `ConfigError` for a training that the markets do not suit, before any work."""
    check_pessimism(config.pessimism, ground.world_model)
    if config.env == "replay" and ground.train is None:
        raise ConfigError(
            "--env replay trains on the training range, and the candles hold none of it"
        )


def train_in_folder(
    config: TrainConfig,
    ground: Ground,
    folder: Path,
    *,
    resume: bool = False,
    followed: Followed | None = None,
) -> Agent:
    """Train an agent and write its folder; ``agent.json`` comes last.

    Args:
        config: How.
        ground: Where.
        folder: Checkpoints, TensorBoard's files and the agent go there.
        resume: Go on from the checkpoint in it, where there is one.
        followed: Who is told.

    Raises:
        ConfigError: The environments refuse something.
    """
    followed = followed or Followed()
    refuse_impossible(config, ground)
    if config.agent == CMA_ES:
        return _search(config, ground, folder, resume, followed)
    algorithm = find_algorithm(config.agent)
    env = _lanes(config, ground)
    replay = open_validation(config, ground)
    course = Course(
        algorithm,
        algorithm.settle(config.settings),
        config.total_steps,
        config.every or -(-config.total_steps // _LOOKS),
        config.patience,
        config.seed,
    )
    years = ground.world_model.provenance.bars_per_year

    def judge(model: Any) -> Performance:
        assert replay is not None
        return play_through(replay, model, years).performance

    looks, best, steps = learn(
        course,
        env,
        folder,
        judge=None if replay is None else judge,
        resume=resume,
        on_look=followed.on_look,
        on_resume=followed.on_resume,
        trackers=followed.trackers,
    )
    box: Any = env.observation_space
    env.close()
    chosen = None if best is None else looks[best]
    _write_evaluation(
        folder, [look._asdict() for look in looks], None if chosen is None else chosen.steps
    )
    record = _record(config, ground, course.settings, steps, algorithm.actions, box.high)
    write_record(folder, record, [MODEL_FILE, EVALUATION_FILE])
    return load_agent(folder)


def open_validation(config: TrainConfig, ground: Ground) -> BybitReplayEnv | None:
    """Replay of the validation range, whole; None where there is none."""
    if ground.validation is None:
        return None
    discrete = config.agent != CMA_ES and find_algorithm(config.agent).actions == "discrete"
    return BybitReplayEnv(
        ground.candles,
        ground.world_model,
        *ground.validation,
        episode_length=None,
        random_start=False,
        actions="discrete" if discrete else "continuous",
        funding=config.funding,
        unrecorded_funding_rate=config.unrecorded_funding_rate,
        **config.account,
    )


def _lanes(config: TrainConfig, ground: Ground) -> NativeVecEnv:
    """What is traded while training."""
    shared: dict[str, Any] = {
        "world_model": ground.world_model,
        "actions": find_algorithm(config.agent).actions,
        "reward": config.objective,
        "funding": config.funding,
        **config.account,
    }
    if config.env == "dream":
        dream = {"horizon": config.bars, **config.dreamed()}
        return make_sb3_env("WorldModelDream-v0", config.lanes, **dream, **shared)
    assert ground.train is not None
    return make_sb3_env(
        "BybitReplay-v0",
        config.lanes,
        candles=ground.candles,
        start=ground.train[0],
        end=ground.train[1],
        episode_length=config.bars,
        unrecorded_funding_rate=config.unrecorded_funding_rate,
        **shared,
    )


def _search(
    config: TrainConfig, ground: Ground, folder: Path, resume: bool, followed: Followed
) -> Agent:
    model = with_drift(ground.world_model, config.drift)
    broker = broker_of(config.account, model)
    recorded = _record_of(config, ground, model, ground.validation)
    search = config.search()
    controller, found = train_controller(
        model,
        search,
        broker,
        seed=config.seed,
        funding=DreamFunding(config.funding, model) if config.env == "dream" else None,
        validation=recorded,
        callback=followed.generation,
        scorer=_recorded_scorer(config, ground, model),
        checkpoint_dir=folder / CHECKPOINTS,
        resume=resume,
    )
    controller.save(folder / CONTROLLER_FILE, validation=found.validation)
    looks = [asdict(generation) for generation in found.history]
    _write_evaluation(folder, looks, found.validation)
    others = {name: value for name, value in search.to_dict().items() if name not in _OF_CONFIG}
    settings = {**search.cma_es.to_dict(), **others}
    steps = found.evaluations * search.dreams * search.horizon
    record = _record(config, ground, settings, steps, "continuous", ())
    write_record(folder, record, [CONTROLLER_FILE, EVALUATION_FILE])
    return load_agent(folder)


def broker_of(account: Mapping[str, Any], world_model: WorldModel) -> BrokerConfig:
    """The account's rules, as environments of a world model's market have them.

    Args:
        account: Settings by name, such as ``taker_fee``.
        world_model: Whose market's order rules hold, where they are known.

    Raises:
        ConfigError: A setting is unknown or impossible.
    """
    rules = with_order_rules({**_FEES, **account}, dreamed_instrument(world_model))
    return BrokerConfig.from_settings(**rules)


def _recorded_scorer(
    config: TrainConfig, ground: Ground, model: WorldModel
) -> RecordedScorer | None:
    """What scores candidates on recorded bars; None dreams."""
    if config.env == "dream":
        return None
    record = _record_of(config, ground, model, ground.train)
    assert record is not None
    return RecordedScorer(model, record, config.bars)


def _record_of(
    config: TrainConfig, ground: Ground, model: WorldModel, ends: tuple[int, int] | None
) -> RecordedMarket | None:
    if ends is None or ground.candles is None:
        return None
    rates = config.funding, config.unrecorded_funding_rate
    return open_recorded(ground.candles, model, *ends, *rates)


def _record(
    config: TrainConfig,
    ground: Ground,
    settings: Mapping[str, Any],
    steps: int,
    actions: ActionKind,
    bounds: Iterable[float],
) -> AgentRecord:
    made = ground.world_model.provenance
    ranges = {"train": ground.train, "validation": ground.validation}
    environment = {
        "horizon": config.bars,
        "objective": config.objective,
        "funding": _named(config.funding),
        "unrecorded_funding_rate": config.unrecorded_funding_rate,
    }
    if config.env == "dream":
        environment |= config.dreamed()
    return AgentRecord(
        algorithm=config.agent,
        settings=settings,
        seed=config.seed,
        steps=steps,
        env=config.env,
        environment=environment,
        lanes=config.lanes,
        world_model=ground.world_model.fingerprint,
        symbol=made.symbol,
        interval=made.interval,
        candles="" if ground.candles is None else ground.candles.data_hash(),
        ranges={
            name: (iso_text(ends[0]), iso_text(ends[1]))
            for name, ends in ranges.items()
            if ends is not None
        },
        account={**_FEES, **config.account},
        actions=actions,
        bounds=tuple(float(bound) for bound in bounds),
        versions=_versions(),
    )


def _named(funding: str | float) -> str | float:
    return source_name(funding) if isinstance(funding, str) else funding


def _versions() -> dict[str, str]:
    packages = ("stable-baselines3", "sb3-contrib", "gymnasium", "cma")
    return library_versions() | {name: version(name) for name in packages if _has(name)}


def _has(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _write_evaluation(folder: Path, looks: list[dict[str, Any]], best: float | None) -> None:
    told = {"venue": "validation", "looks": looks, "best": best}
    write_whole(folder / EVALUATION_FILE, json.dumps(told, indent=2) + "\n")
