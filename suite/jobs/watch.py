"""Follow the live market: one line for each closed candle. No orders, no keys."""

from __future__ import annotations

from dataclasses import replace

from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.agents.live import Decision, LiveTrader
from worldmodel_trading.agents.rules import flat
from worldmodel_trading.evaluation.policy import Policy
from worldmodel_trading.market.bybit.client import BybitClient
from worldmodel_trading.market.bybit.feed import KlineFeed
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import CandleError
from worldmodel_trading.market.extras import require
from worldmodel_trading.market.instruments import check_market
from worldmodel_trading.market.intervals import interval_ms
from worldmodel_trading.market.settings import check_count
from worldmodel_trading.market.times import format_time
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.progress import say, tell


def watch(
    symbol: str,
    interval: str,
    category: str,
    world_model: str,
    controller: str | None,
    base_url: str,
    stream_url: str,
    max_bars: int | None = None,
    funding: float | None = None,
) -> None:
    """Print the regime and the policy's action at every close, until stopped.

    Args:
        symbol: Instrument.
        interval: Bybit's code; the world model's.
        category: ``linear``, ``inverse`` or ``spot``.
        world_model: Folder, or ``default``.
        controller: File of a linear controller; None stays flat and only names the regime.
        base_url: Of the REST interface.
        stream_url: Of the WebSocket.
        max_bars: Stop after so many; None never does.
        funding: Rate that the paper account pays at every funding instant; None for none.
    """
    require("websockets", "watch")
    check_market(category, symbol, interval)
    bars = None if max_bars is None else check_count("bars", max_bars)
    model = open_world_model(world_model)
    policy = _policy(controller)
    model.provenance.check_market(symbol, interval)
    trader = LiveTrader(model, policy, funding=funding)
    with BybitClient(base_url) as client:
        history = _history(client, symbol, interval, category, trader.history_bars)
        if funding is not None:  # it knows how often
            history = replace(history, instrument=client.instrument(symbol, category))
        say(f"{history!r}; following {symbol} {interval}, Ctrl-C stops")
        tell(_line(trader.warm_up(history)))
        following = True
        feed = KlineFeed(client, symbol, interval, category, url=stream_url, tell=say)
        for count, bar in enumerate(feed.closed_candles(int(history.open_time_ms[-1])), start=1):
            decision = trader.update(bar)
            if decision is not None:
                tell(_line(decision))
            elif following:
                say(
                    "  the exchange lacks bars: the paper account is in cash, and decides again after "
                    f"{trader.history_bars} bars in a row"
                )
            following = decision is not None
            if count == bars:
                break


def _policy(controller: str | None) -> Policy:
    if controller is None:
        return flat()
    loaded = LinearController.load(controller)
    if loaded.world_model_hash is None:
        say(
            "  the controller does not say which world model it was trained in: see that it is this"
        )
    return loaded


def _history(client: BybitClient, symbol: str, interval: str, category: str, bars: int) -> Candles:
    now = client.server_time_ms()
    start = now - (bars + 2) * interval_ms(interval)
    history = client.candles(symbol, interval, start, now, category)
    if history is None:
        raise CandleError(f"the exchange has no candles of {symbol} {interval}: is it listed yet?")
    return history


def _line(decision: Decision) -> str:
    return (
        f"{format_time(decision.open_time_ms)}  close {decision.close:g}  "
        f"regime {decision.regime} ({decision.regime_probability:.0%}, σ {decision.volatility:.2f}% a bar)  "
        f"target {decision.target:+.3f}  weight {decision.weight:+.3f}  "
        f"paper equity {decision.equity:.4f}"
    )
