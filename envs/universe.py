"""What a replay plays: one record, or one of several symbols drawn for every episode."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..market.account.rules import BrokerConfig
from ..market.candles import UNNAMED, Candles
from ..market.errors import ConfigError
from ..market.series import FUNDING_COLUMNS
from ..market.sources import open_candles, open_funding, traded_instrument, with_order_rules
from ..market.times import Time
from .opening import count_training_bars, open_recorded, open_recorded_state
from .recorded import RecordedMarket, which_symbol

if TYPE_CHECKING:
    from ..market.sources import CandleSource, FundingSource, InstrumentSource
    from ..models.joint_world_model import JointWorldModel
    from ..models.world_model import WorldModel
    from .recorded_state import RecordedState
    from .spaces import ObservationKind


class Replayed(NamedTuple):
    """One symbol's record as a replay plays it.

    Attributes:
        recorded: What is shown, and what bars do to an account.
        world_model: What it is seen through, if anything.
    """

    recorded: RecordedMarket
    world_model: WorldModel | None

    @property
    def symbol(self) -> str:
        """Whose it is."""
        return self.recorded.candles.symbol


class Universe:
    """The records of a replay, which share one observation space.

    Args:
        candles: Anything `open_candles` opens; or a list of such, one for each symbol.
        world_model: A world model or its folder; of several symbols also a joint one, which gives each
            its own; None shows raw features.
        start: Episodes stay in ``[start, end)``.
        end: See start.
        funding: Anything `open_funding` opens; of several symbols also a mapping by symbol.
        unrecorded_funding_rate: See `funding_per_bar`.
        observation: ``"latent"`` or ``"features"``; None is the former where there is a world model.
        instrument: Trading rules, of a single symbol; several bring their own.
        account: The account's settings (`BrokerConfig.from_settings`), costs and delay among them.

    Attributes:
        markets: One for each symbol.
        broker: The account's rules, with the order rules of the instruments.
        world_model_hash: Of what the markets are seen through.

    Raises:
        ConfigError: Symbols come twice, have different intervals, or cannot share what was given.
    """

    def __init__(
        self,
        candles: CandleSource | Sequence[CandleSource],
        world_model: WorldModel | JointWorldModel | str | os.PathLike[str] | None,
        start: Time | None,
        end: Time | None,
        funding: FundingSource | Mapping[str, FundingSource],
        unrecorded_funding_rate: float,
        observation: ObservationKind | None,
        instrument: InstrumentSource,
        account: Mapping[str, Any],
    ) -> None:
        sources = several(candles) or [candles]
        if len(sources) > 1 and instrument is not None:
            raise ConfigError(
                "instrument is given with several candles; expected none: let each bring its own "
                "(open_candles(source, instrument=…))"
            )
        self.broker = BrokerConfig.from_settings(**_order_rules(account, sources, instrument))
        seen = _OpenedWorldModel(world_model)
        # funding's columns come of the rates, where there are some: see `candles_for`
        columns = [n for n in seen.needs if funding is None or n not in FUNDING_COLUMNS]
        records = [open_candles(one, instrument=instrument, columns=columns) for one in sources]
        _refuse_unlike(records)
        charged = _funding(funding, records)
        self.world_model_hash = seen.fingerprint
        self.markets: list[Replayed] = []
        for record, rates in zip(records, charged, strict=True):
            model = seen.of(record.symbol)
            shown = open_recorded(
                record, model, start, end, rates, unrecorded_funding_rate, observation
            )
            self.markets.append(Replayed(shown, model))

    @property
    def symbols(self) -> list[str]:
        """Of the markets."""
        return [market.symbol for market in self.markets]

    def number(self, symbol: object) -> int:
        """Which of the markets a symbol's is.

        Raises:
            ConfigError: None of them.
        """
        return which_symbol(symbol, self.symbols)

    def state(self, num_lanes: int) -> RecordedState | None:
        """M's state of N lanes beside the record, where it depends on the actions.

        Raises:
            ConfigError: There are several records: lanes that change symbols would have to carry one each.
        """
        states = [open_recorded_state(*market, num_lanes) for market in self.markets[:1]]
        if len(self.markets) > 1 and states[0] is not None:
            raise ConfigError(
                "the world model's preset is 'paper', whose memory hears the actions; lanes of several "
                "symbols take 'market': or make an environment for each symbol"
            )
        return states[0]

    def training_bars(self) -> int:
        """Observable bars that a world model was trained on."""
        seen = [(market.recorded, market.world_model) for market in self.markets]
        return sum(count_training_bars(shown, model) for shown, model in seen if model is not None)

    def other_market(self) -> str:
        """What is wrong with candles of other symbols than the world model's; empty for nothing."""
        told = [
            market.world_model.provenance.other_market(market.symbol)
            for market in self.markets
            if market.world_model is not None
        ]
        return "; ".join(filter(None, told))


def several(candles: object) -> list[Any] | None:
    """The sources of several symbols' candles, where it is a list of them and not one of rows."""
    if not isinstance(candles, list | tuple) or not candles:
        return None
    named = all(
        isinstance(one, Candles | str | os.PathLike) or hasattr(one, "columns") for one in candles
    )
    return list(candles) if named else None


class _OpenedWorldModel:
    """A world model for every symbol, from one that knows one market or a joint one."""

    def __init__(
        self, source: WorldModel | JointWorldModel | str | os.PathLike[str] | None
    ) -> None:
        self._model: WorldModel | JointWorldModel | None = None
        if source is not None:
            from ..models.load import open_any_world_model

            self._model = open_any_world_model(source)

    @property
    def fingerprint(self) -> str | None:
        return None if self._model is None else self._model.fingerprint

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that candles must have."""
        return () if self._model is None else self._model.config.features.needs

    def of(self, symbol: str) -> WorldModel | None:
        joint = getattr(self._model, "of", None)
        model: WorldModel | None = self._model if joint is None else joint(symbol)  # type: ignore[assignment]
        return model


def _order_rules(
    account: Mapping[str, Any], sources: Sequence[CandleSource], instrument: InstrumentSource
) -> Mapping[str, Any]:
    """The account's settings with order rules, which several symbols must have in common."""
    found = [with_order_rules(account, traded_instrument(one, instrument)) for one in sources]
    if any(dict(one) != dict(found[0]) for one in found[1:]):
        raise ConfigError(
            "capital_usdt is given, and the symbols' orders are rounded by different rules; leave it "
            "out, name the rules (qty_step, tick_size, min_notional_usdt), or make an environment "
            "for each symbol"
        )
    return found[0]


def _refuse_unlike(records: Sequence[Candles]) -> None:
    symbols = [record.symbol for record in records]
    twice = sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})
    if twice:
        unnamed = ": name them, open_candles(file, symbol=…)" if UNNAMED in twice else ""
        raise ConfigError(
            f"candles of {', '.join(twice)} come twice; expected each symbol once{unnamed}"
        )
    intervals = sorted({record.interval for record in records})
    if len(intervals) > 1:
        raise ConfigError(
            f"the candles' intervals are {', '.join(intervals)}; expected one for all symbols"
        )


def _funding(funding: Any, records: Sequence[Candles]) -> list[FundingSource]:
    """Of each record: the same for all, or by symbol."""
    if not isinstance(funding, Mapping):
        if len(records) > 1 and isinstance(open_funding(funding), float) is False:
            raise ConfigError(
                "funding is one symbol's recorded rates, and there are several symbols; expected a "
                "mapping, {'BTCUSDT': 'bybit:BTCUSDT', …}, a constant rate, or None"
            )
        return [funding] * len(records)
    symbols = [record.symbol for record in records]
    unlike = sorted(set(symbols) ^ set(funding))
    if unlike:
        raise ConfigError(
            f"funding names {', '.join(funding)}; expected rates of {', '.join(symbols)}"
        )
    return [funding[symbol] for symbol in symbols]
