"""What a run does, as one frozen record whose hash names it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from worldmodel_trading.dates import read_times
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.intervals import interval_ms
from worldmodel_trading.market.records import AT_LEAST_ONE, FROM_ZERO, TEMPERATURES, Bounds, Record
from worldmodel_trading.market.settings import plain
from worldmodel_trading.market.sources import source_name, traded_instrument, with_order_rules
from worldmodel_trading.market.times import Time, iso_text

if TYPE_CHECKING:
    from worldmodel_trading.agents.dream_search import DreamSearchConfig
    from worldmodel_trading.envs.population.crew import Crew
    from worldmodel_trading.market.account.rules import BrokerConfig
    from worldmodel_trading.models.presets import AnyConfig

_TIMES = ("start", "train_end", "validation_end", "end")
# Of the settings these name no run: what is recorded is told by its content, the others have no
# part in the result.
_RECORDED = {"candles", "symbol", "interval", "funding", "world_model", *_TIMES}
_BESIDE = {"workers", "executor", "resume", "overwrite"}


@dataclass(frozen=True)
class RunConfig(Record):
    """Settings of the main job.

    Attributes:
        candles: Path of a file of candles, ``bybit:SYMBOL:INTERVAL``, or ``synthetic``.
        symbol: Names the instrument of a file that does not.
        interval: Bybit's code; inferred from a file's spacing when None.
        start: First bar used, a time as `market.times.to_ms` reads it; None is the first there is.
        train_end: End of the training range, exclusive; None is 70% of the bars.
        validation_end: End of the validation range, exclusive; None is 85% of the bars.
        end: End of the test range, exclusive; None is the last bar there is.
        preset: ``market`` or ``paper``.
        world_model: Folder of a world model of this market to take instead of training one; it may have
            seen nothing of the validation range.
        features: Groups that V sees beside the candles' own, joined by commas, see `market.groups`
            (``market``).
        seed: Of training, search and dreams.
        vae_epochs: Epochs of V at most, in each of its stages; None is the world model's default.
        mdn_rnn_epochs: Epochs of M at most, likewise.
        members: World models trained of the market, of which a dream draws one (``market``); None is
            the default.
        population: Candidates in a generation.
        generations: Generations of CMA-ES in a search, at most of each of its starts.
        covariance: ``diagonal`` or ``full``, of CMA-ES.
        restarts: Starts anew, each with twice the population (`CMAESConfig`).
        objective: What the search maximises, and validation chooses by (`Merit`).
        tail: Share of the dreams that the objective ``cvar`` looks at.
        aversion: λ of the objective ``mean_deviation``.
        inputs: What the controller reads of an observation, parts joined by ``_``.
        hidden_size: Units of the controller's hidden layer; 0 is none.
        search_seeds: Searches, each with a seed of its own, of which validation deploys one; what is
            reported of the controller is their range. None is 5 for ``market``, whose searches take
            seconds, and 1 for ``paper``, whose take minutes.
        dreams: Dreams that score each candidate.
        horizon: Bars of a dream.
        temperature: τ of the dreams that train the controller.
        pessimism: λ, what those dreams take from a position where the world model's members disagree.
        recent: Share of the training range, the last, in which dreams begin.
        drift: What a held position earns in dreams, an assumption: ``recorded`` as the world model was
            trained, ``zero``, or a simple return a year (see `with_drift`).
        evaluation_dreams: Dreams that measure each policy.
        workers: Processes that dream for the search; the result is the same for any number. None
            is none for ``market``, whose shared dreams take seconds, and one a core for ``paper``.
        executor: Who these are (`Crew`).
        ray_address: Likewise.
        taker_fee: Fraction of the notional traded.
        slippage: Fraction of the notional traded.
        funding: File of recorded rates, ``bybit:SYMBOL``, a constant rate an instant, or ``off``.
        unrecorded_funding_rate: Charged in replay at instants that were due and are not recorded;
            None charges nothing, and refuses a record that ends before a range does or begins
            after it.
        instrument: The symbol's trading rules, ``bybit:SYMBOL`` as ``fetch`` stores them or the
            fields of an `Instrument`; None takes those that the candles bring along.
        model: Any other setting of the world model, by name (`MarketConfig`, `PaperConfig`).
        account: Any other setting of the account, by name (`BrokerConfig.from_settings`):
            ``leverage``, ``fill_delay``, ``no_trade_band``, …
        refit: Train the world model anew whenever so many bars of the test range have gone by, on all
            bars up to there, and score its forecasts beside those of the first; None never does.
        device: ``cpu``, ``cuda`` or ``auto``, where V and M are trained and the search dreams; on
            CUDA ``workers`` are not needed and not started.
        resume: Go on from the checkpoints in ``out``, on a CPU as if nothing had happened.
        overwrite: Take the place of another run or job in ``out``, or of this run, unfinished.
        out: Folder for the results.
    """

    candles: str = "synthetic"
    symbol: str | None = None
    interval: str | None = None
    start: Time | None = None
    train_end: Time | None = None
    validation_end: Time | None = None
    end: Time | None = None
    preset: str = "market"
    world_model: str | None = None
    features: str | None = None
    seed: int = 0
    vae_epochs: int | None = None
    mdn_rnn_epochs: int | None = None
    members: int | None = None
    model: Mapping[str, Any] = field(default_factory=dict)
    population: int = 64
    generations: int = 60
    covariance: str = "diagonal"
    restarts: int = 0
    objective: str = "log_return"
    tail: float = 0.1
    aversion: float = 1.0
    inputs: str = "latent_hidden_account"
    hidden_size: int = 0
    search_seeds: int | None = None
    dreams: int = 64
    horizon: int = 720
    temperature: float = 1.0
    pessimism: float = 0.0
    recent: float = 0.25
    drift: str | float = "recorded"
    evaluation_dreams: int = 1024
    workers: int | None = None
    executor: str = "processes"
    ray_address: str | None = None
    taker_fee: float = 0.00055
    slippage: float = 0.0002
    funding: str | float = "off"
    unrecorded_funding_rate: float | None = None
    instrument: str | Mapping[str, Any] | None = None
    account: Mapping[str, Any] = field(default_factory=dict)
    refit: int | None = None
    device: str = "cpu"
    resume: bool = False
    overwrite: bool = False
    out: str = "runs/latest"

    _bounds = {  # noqa: RUF012
        "seed": FROM_ZERO,
        "vae_epochs": AT_LEAST_ONE,
        "mdn_rnn_epochs": AT_LEAST_ONE,
        "members": AT_LEAST_ONE,
        "search_seeds": AT_LEAST_ONE,
        "refit": AT_LEAST_ONE,
        "workers": FROM_ZERO,
        "temperature": TEMPERATURES,
        "recent": Bounds(0, 1, above=True),
        "evaluation_dreams": AT_LEAST_ONE,
    }
    _choices = {"covariance": ("diagonal", "full")}  # noqa: RUF012

    def __post_init__(self) -> None:
        """Refuse every impossible setting at once, and not when its turn comes."""
        super().__post_init__()
        self._write_out()
        self.broker()
        self.crew()
        if self.interval is not None:
            interval_ms(self.interval)
        self.training(self.interval or "60")  # what else is refused is the same for all
        self.search()
        if self.pessimism > 0.0 and (self.members or 1) < 2:
            raise ConfigError(
                f"pessimism is {self.pessimism:g}, and one world model disagrees with nobody: train "
                "several (--members 3), or leave it at 0"
            )
        object.__setattr__(self, "drift", self._drift())

    def _drift(self) -> str | float:
        from worldmodel_trading.models.drift import drift_setting

        return drift_setting(self.drift)

    def _write_out(self) -> None:
        """Turn times into ISO text and numpy's numbers into Python's, as JSON has them."""
        read_times({name: getattr(self, name) for name in _TIMES})
        for name, value in [(f.name, getattr(self, f.name)) for f in fields(self)]:
            if name in _TIMES:
                value = None if value is None else iso_text(value)
            elif name in ("account", "model"):
                value = {setting: plain(number) for setting, number in value.items()}
            object.__setattr__(self, name, plain(value))

    @property
    def out_dir(self) -> Path:
        """Where the results go."""
        return Path(self.out)

    def crew(self) -> Crew:
        """Who dreams for the search."""
        from worldmodel_trading.envs.population.crew import PROCESSES, Crew

        workers = self.workers
        if workers is None and self.preset != "paper" and self.executor == PROCESSES:
            workers = 0
        return Crew(workers, self.executor, self.ray_address)

    def num_searches(self) -> int:
        """Searches for a controller."""
        if self.search_seeds is not None:
            return self.search_seeds
        return 1 if self.preset == "paper" else 5

    def unrecorded_rate(self) -> float:
        """Funding charged in replay at instants that a record lacks."""
        return self.unrecorded_funding_rate or 0.0

    def account_settings(self) -> dict[str, Any]:
        """The account's rules as environments take them, order rules included."""
        traded = traded_instrument(self.candles, self.instrument)
        account = with_order_rules(self.account, traded)
        return {"taker_fee": self.taker_fee, "slippage": self.slippage, **account}

    def broker(self) -> BrokerConfig:
        """The account's rules."""
        from worldmodel_trading.market.account.rules import BrokerConfig

        return BrokerConfig.from_settings(**self.account_settings())

    def training(self, interval: str) -> AnyConfig:
        """How the world model is trained on bars of an interval."""
        from worldmodel_trading.models.presets import default_config

        given: dict[str, Any] = {"vae_epochs": self.vae_epochs}
        given["mdn_rnn_epochs"] = self.mdn_rnn_epochs
        if self.preset == "market":  # each network learns in two stages
            given |= {"forecast_epochs": self.vae_epochs, "head_epochs": self.mdn_rnn_epochs}
            given["members"] = self.members
            given["features"] = self.features
        elif self.features:
            raise ConfigError(
                f"features is {self.features!r}, and the {self.preset} preset keeps its four of a bar: "
                "leave it out, or take the market preset"
            )
        elif self.members is not None:
            raise ConfigError(
                f"members is {self.members}, and the {self.preset} preset has one M: leave it out, "
                "or take the market preset"
            )
        given = {name: number for name, number in given.items() if number is not None}
        return default_config(interval, self.preset, **{**given, **self.model})

    def search(self) -> DreamSearchConfig:
        """How a controller is searched for."""
        from worldmodel_trading.agents.cma_es import CMAESConfig
        from worldmodel_trading.agents.dream_search import DreamSearchConfig

        return DreamSearchConfig(
            CMAESConfig(
                population=self.population,
                generations=self.generations,
                diagonal=self.covariance == "diagonal",
                restarts=self.restarts,
            ),
            dreams=self.dreams,
            horizon=self.horizon,
            temperature=self.temperature,
            pessimism=self.pessimism,
            objective=cast(Any, self.objective),  # checked there
            tail=self.tail,
            aversion=self.aversion,
            inputs=cast(Any, self.inputs),
            hidden_size=self.hidden_size,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold, and people can share: files by name, without a path."""
        settings = {**asdict(self), "account": dict(self.account), "model": dict(self.model)}
        settings["search_seeds"] = self.num_searches()
        settings["candles"] = source_name(self.candles)
        if self.world_model is not None:
            settings["world_model"] = source_name(self.world_model)
        if isinstance(self.funding, str):
            settings["funding"] = source_name(self.funding)
        del settings["out"], settings["ray_address"]
        return settings

    def run_id(self, data: str) -> str:
        """A name for the run: 12 hexadecimal digits of the hash of all that decides the result.

        Args:
            data: Names what was recorded by its content, wherever it lies (`Split.content`), and a
                given world model by its fingerprint.
        """
        decisive = {k: v for k, v in self.to_dict().items() if k not in _RECORDED | _BESIDE}
        if not self.model:
            del decisive["model"]
        text = json.dumps({**decisive, "data": data}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
