"""Agents in tail scenarios: dreams in which something rare happens, and the worst of the record."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from worldmodel_trading.entrants import Entrant, open_entrants
from worldmodel_trading.envs.dream_funding import DreamFunding
from worldmodel_trading.envs.dream_lanes import check_temperature
from worldmodel_trading.envs.given_lanes import GivenPaths, GivenVectorEnv
from worldmodel_trading.envs.opening import open_recorded
from worldmodel_trading.envs.recorded import RecordedMarket
from worldmodel_trading.envs.spaces import ObservationKind
from worldmodel_trading.evaluation.episodes import Episodes
from worldmodel_trading.evaluation.lanes import run_lanes
from worldmodel_trading.evaluation.policy import check_policy
from worldmodel_trading.evaluation.report.stress_page import stress_text, write_stress
from worldmodel_trading.evaluation.stress.conditions import LONGEST, Condition
from worldmodel_trading.evaluation.stress.events import (
    EVENTS,
    Frequency,
    Moment,
    Windows,
    remembered,
    worst,
)
from worldmodel_trading.evaluation.stress.losses import under_water
from worldmodel_trading.evaluation.stress.results import (
    USUAL,
    WIDENED,
    Replayed,
    ScenarioFacts,
    StressResults,
)
from worldmodel_trading.evaluation.stress.scenarios import (
    Scenario,
    plain_scenario,
    recorded_paths,
    sampled_scenario,
)
from worldmodel_trading.evaluation.stress.splitting import sample_condition
from worldmodel_trading.evaluation.stress.steppers import DreamStepper
from worldmodel_trading.ground import Cuts, Recorded, open_recorded_ranges
from worldmodel_trading.market.account.costs import Fee, Slippage
from worldmodel_trading.market.account.rules import BrokerConfig, Execution
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.records import FROM_ZERO, Bounds, Record
from worldmodel_trading.market.settings import nearest
from worldmodel_trading.market.sources import with_order_rules
from worldmodel_trading.market.times import format_time
from worldmodel_trading.models.drift import with_drift
from worldmodel_trading.models.load import dreamed_instrument
from worldmodel_trading.output import job_folder, refuse_taken
from worldmodel_trading.progress import Counter, tell

_DREAMS = "dreams"
_LEAST_PATHS = 256


@dataclass(frozen=True)
class Widened(Record):
    """How costs and delays are in such hours: an assumption, since the record tells of no order book.

    Attributes:
        slippage_multiple: Of the constant slippage.
        slippage_per_range: Share of the fill bar's log range that is lost besides: in an hour that goes
            through 5%, 0.1 is half a percent.
        fee_multiple: Of the fees; exchanges do not raise them.
        fill_delay: Bars between decision and fill, more than usual.
    """

    slippage_multiple: float = 3.0
    slippage_per_range: float = 0.1
    fee_multiple: float = 1.0
    fill_delay: int = 1

    _bounds = {  # noqa: RUF012
        "slippage_multiple": (1.0, 1000.0),
        "slippage_per_range": (0.0, 1.0),
        "fee_multiple": (1.0, 100.0),
        "fill_delay": (0, 1000),
    }

    def of(self, account: Mapping[str, Any]) -> dict[str, Any]:
        """An account's settings, widened."""
        BrokerConfig.from_settings(**account)  # refuses what is none
        usual = (Fee(), Slippage(), Execution())
        plain = {name: value for one in usual for name, value in one.to_dict().items()} | dict(
            account
        )
        fees = {name: self.fee_multiple * plain[name] for name in ("taker_fee", "maker_fee")}
        return {
            **account,
            **fees,
            "slippage": self.slippage_multiple * plain["slippage"],
            "slippage_per_range": plain["slippage_per_range"] + self.slippage_per_range,
            "fill_delay": plain["fill_delay"] + self.fill_delay,
        }


@dataclass(frozen=True)
class StressConfig(Record):
    """How a stress test is done.

    Attributes:
        events: Some of `EVENTS`.
        conditions: As `Condition.parse` reads them.
        bars: Of every path.
        paths: Dreams of each scenario.
        temperature: τ.
        observation: What a ``module:callable`` looks at.
        trust: Unpickle bare zips.
        drift: What a held position earns in dreams.
        funding: What positions pay.
        account: Any setting of the account; empty is that of the agents' own training.
        widened: Costs and delays in such hours.
        seed: Of all that is drawn.
    """

    events: tuple[str, ...] = tuple(EVENTS)
    conditions: tuple[str, ...] = ()
    bars: int = 72
    paths: int = 4096
    temperature: float = 1.0
    observation: ObservationKind = "latent"
    trust: bool = False
    drift: str | float = "recorded"
    funding: str | float = "off"
    account: Mapping[str, Any] = field(default_factory=dict)
    widened: Widened = field(default_factory=Widened)
    seed: int = 0

    _bounds = {  # noqa: RUF012
        "bars": (1, LONGEST),
        "paths": Bounds(_LEAST_PATHS, math.inf),
        "seed": FROM_ZERO,
    }
    _choices = {"observation": ("latent", "features")}  # noqa: RUF012

    def __post_init__(self) -> None:
        """Refuse events that there are none of, and conditions that say nothing."""
        super().__post_init__()
        check_temperature(self.temperature)
        for event in self.events:
            if event not in EVENTS:
                near = nearest(event, EVENTS)
                hint = (
                    f"did you mean {near!r}?" if near else f"expected some of {', '.join(EVENTS)}"
                )
                raise ConfigError(f"there is no event {event!r}; {hint}")
        for condition in self.parsed:
            if condition.within > self.bars:
                raise ConfigError(
                    f"the condition '{condition}' reaches beyond the {self.bars} bars of a path: give "
                    "more with --bars"
                )

    @property
    def parsed(self) -> list[Condition]:
        """The conditions."""
        return [Condition.parse(text) for text in self.conditions]


def stress(
    agents: Sequence[str] = (),
    world_model: Any = "default",
    candles: Any = None,
    out: str = "runs/stress",
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    cuts: Cuts | None = None,
    overwrite: bool = False,
    **config: Any,
) -> StressResults:
    """Put agents through tail scenarios; writes ``stress.json`` and ``stress.html``, prints the table.

    Args:
        agents: Folders, zips, rules' names or ``module:callable``; ``hold`` and ``flat`` are beside them.
        world_model: Its folder, or ``default``; of the preset ``market``.
        candles: The record, the training range included; None is the embedded market.
        out: Folder for the two files.
        settings: Of rules, by their names.
        cuts: Where validation and test are.
        overwrite: Replace a job's results there.
        config: Fields of `StressConfig`.

    Raises:
        ConfigError: A setting, an agent or the world model is not fit.
    """
    chosen = StressConfig.from_dict(config)
    refuse_taken(out, "stress", overwrite=overwrite)
    recorded = open_recorded_ranges(world_model, candles, cuts or Cuts())
    test = _Test(chosen, recorded, agents, settings)
    with job_folder(out, "stress", overwrite=overwrite) as emptied:
        results = test.run()
        page = write_stress(emptied(), results)
    tell(f"{stress_text(results)}\n\nReport: {page}")
    return results


class _Test:
    """A stress test, ready to be run: everything that can be refused has been."""

    def __init__(
        self,
        config: StressConfig,
        recorded: Recorded,
        agents: Sequence[str],
        settings: Mapping[str, Mapping[str, Any]] | None,
    ) -> None:
        if recorded.candles is None or "train" not in recorded.ranges:
            raise ConfigError(
                "events are told in deviations of the training range, and the candles hold none of it: "
                "give the file that the world model was trained on"
            )
        self.config, self.recorded, self.candles = config, recorded, recorded.candles
        model = with_drift(recorded.world_model, config.drift)
        self.stepper = DreamStepper(model, config.temperature)
        self.funding = DreamFunding(config.funding, model)
        self.entrants, account = open_entrants(
            agents,
            recorded,
            config.account,
            config.observation,
            trust=config.trust,
            settings=settings,
        )
        for entrant in self.entrants.values():
            check_policy(entrant.policy, model.fingerprint)
        self.accounts = {USUAL: account, WIDENED: config.widened.of(account)}
        traded = dreamed_instrument(model)
        self.brokers = {
            name: BrokerConfig.from_settings(**with_order_rules(each, traded))
            for name, each in self.accounts.items()
        }

    def run(self) -> StressResults:
        """Dream, trade and measure."""
        made, config = self.recorded.world_model.provenance, self.config
        results = StressResults(
            self.recorded.world_model.fingerprint,
            (made.symbol, made.interval),
            config.bars,
            self.accounts,
            config.to_dict(),
        )
        moments = self._moments()
        total = len(self.entrants) * (1 + len(self.conditions) + len(moments))
        with Counter("stress", total, "run") as counter:
            for facts, scenario in self._scenarios():
                results.scenarios[facts.name] = facts
                for name, entrant in self.entrants.items():
                    if scenario is not None:
                        self._suffer(results, scenario, name, entrant)
                    counter()
            for event, moment in moments:
                for name, entrant in self.entrants.items():
                    replayed = self._replay(event, moment, entrant)
                    results.windows.setdefault(name, []).append(replayed)
                    counter()
        return results

    @cached_property
    def conditions(self) -> dict[str, Condition]:
        """What shall happen, by name."""
        scale = self.windows.between(*self.recorded.ranges["train"]).scale()
        named = {event: EVENTS[event](scale) for event in self.config.events}
        return named | {str(condition): condition for condition in self.config.parsed}

    @cached_property
    def windows(self) -> Windows:
        """The record's windows."""
        known = self._market("latent").steps_left >= 0
        spec = self.stepper.engine.config.features
        return Windows.of(self.candles, spec, known, self.config.bars)

    @cached_property
    def _markets(self) -> dict[ObservationKind, RecordedMarket]:
        kinds: tuple[ObservationKind, ...] = ("latent", "features")
        model, funding = self.recorded.world_model, self.config.funding
        return {
            kind: open_recorded(self.candles, model, funding=funding, observation=kind)
            for kind in kinds
        }

    def _market(self, observation: ObservationKind) -> RecordedMarket:
        return self._markets[observation]

    def _scenarios(self) -> Iterator[tuple[ScenarioFacts, Scenario | None]]:
        """One after the other, so that one at a time is in memory."""
        config, rng = self.config, np.random.default_rng(self.config.seed)
        shared = (config.bars, rng, self.funding)
        plain = plain_scenario(self.stepper, config.paths, *shared)
        yield ScenarioFacts.of(_DREAMS, plain), plain
        for name, condition in self.conditions.items():
            sampled = sample_condition(self.stepper, condition, config.paths, rng)
            scenario = None
            if len(sampled.weights):
                scenario = sampled_scenario(self.stepper, name, sampled, *shared)
            how_often = (self._frequency(condition, later) for later in (False, True))
            yield ScenarioFacts.of(name, scenario, sampled, *how_often), scenario

    def _frequency(self, condition: Condition, later: bool) -> Frequency | None:
        start, end = self.recorded.ranges["train"]
        last = int(self.candles.open_time_ms[-1]) + self.candles.interval_ms
        some = self.windows.between(*((end, last) if later else (start, end)))
        return Frequency.of(some, condition, self.config.seed)

    def _moments(self) -> list[tuple[str | None, Moment]]:
        """The windows of the record to replay, and of which event each is the worst."""
        found: list[tuple[str | None, Moment]] = [(None, one) for one in remembered(self.windows)]
        for name, condition in self.conditions.items():
            found += [(name, one) for one in worst(self.windows, condition)]
        return found

    def _suffer(
        self, results: StressResults, scenario: Scenario, name: str, entrant: Entrant
    ) -> None:
        for account in self.brokers:
            lived = self._play(entrant, scenario.seen(entrant.observation), account)
            results.add(name, scenario, account, lived)

    def _play(self, entrant: Entrant, paths: GivenPaths, account: str) -> Episodes:
        hash_ = self.recorded.world_model.fingerprint
        env = GivenVectorEnv(paths, self.brokers[account], entrant.actions, hash_)
        return run_lanes(env, entrant.policy, seed=self.config.seed)

    def _replay(self, event: str | None, moment: Moment, entrant: Entrant) -> Replayed:
        bars, row = self.config.bars, moment.row
        paths = recorded_paths(self._market(entrant.observation), row, bars)
        lived = {account: self._play(entrant, paths, account) for account in self.brokers}
        first, last = (int(self.candles.open_time_ms[row + k]) for k in (1, bars))
        start, end = self.recorded.ranges["train"]
        return Replayed(
            window=moment.title,
            start=format_time(first),
            seen=start <= last and first < end,
            event=event,
            market_return=float(self.candles.close[row + bars] / self.candles.close[row] - 1.0),
            loss={name: float(1.0 - each.equity[0, -1]) for name, each in lived.items()},
            liquidated={name: bool(each.terminated[0]) for name, each in lived.items()},
            under_water={name: float(under_water(each.equity)[0]) for name, each in lived.items()},
            equity=lived[USUAL].equity[0],
        )
