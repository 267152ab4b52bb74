"""Dreams of exact bars, which the market preset dreams: lanes, one lane, the features alone."""

from __future__ import annotations

from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.market.streamed_bars import stream_features
from worldmodel_trading.market.streams import StreamSpec
from worldmodel_trading.market.synthetic import synthetic_candles

from .dreams import engine_task, env_step
from .results import Benchmark, Line, Results, ratio
from .timing import Settings, alternate, local
from .worlds import default_family, default_world, random_world

_LANES = 1_024
_ACCOUNT = {"leverage": 3.0, "funding": 0.0001, "slippage_per_range": 0.02}


def _lanes(settings: Settings) -> Results:
    worlds = {"bars": default_world(), "paper": random_world(8, 64)}
    lanes, bars = settings.size(_LANES, 64), settings.size(16, 2)
    rates = alternate(
        {name: engine_task(world, lanes, bars) for name, world in worlds.items()}, settings
    )
    note = f"{1e9 / rates['bars'].wall:.0f} ns a lane-step, features included"
    return {"bars-lanes": ratio(rates["bars"], rates["paper"], "lane-steps/s", note)}


def _step(settings: Settings) -> Results:
    worlds = {"bars": default_world(), "paper": random_world(8, 64)}
    tasks = {
        name: local(env_step(DreamEnv(world, observation="features", **_ACCOUNT)))
        for name, world in worlds.items()
    }
    candles, spec = synthetic_candles(settings.size(20_000, 2_000)), StreamSpec()

    def features() -> float:
        stream_features(candles, spec)
        return float(len(candles))

    rates = alternate({**tasks, "features": local(features)}, settings)
    note = f"{1e6 / rates['bars'].cpu:.1f} µs of processor time, observed as features"
    cost = f"{1e9 / rates['features'].cpu:.0f} ns of processor time a bar"
    return {
        "bars-step": ratio(rates["bars"], rates["paper"], "steps/s", note),
        "bars-features": ratio(rates["features"], rates["bars"], "bars/s ÷ steps/s", cost),
    }


def _members(settings: Settings) -> Results:
    worlds = {"one": default_world(), "three": default_family(3)}
    lanes, bars = settings.size(_LANES, 64), settings.size(16, 2)
    many = alternate(
        {name: engine_task(world, lanes, bars) for name, world in worlds.items()}, settings
    )
    single = alternate(
        {name: local(env_step(DreamEnv(world, **_ACCOUNT))) for name, world in worlds.items()},
        settings,
    )
    note = f"{1e6 / single['three'].cpu:.1f} µs of processor time"
    return {
        "members-lanes": ratio(many["three"], many["one"], "lane-steps/s"),
        "members-step": ratio(single["three"], single["one"], "steps/s", note),
    }


BENCHMARKS = (
    Benchmark(
        "bars",
        (Line("bars-lanes", "dream of bars, 1,024 lanes: lane-steps/s ÷ paper's", 0.7),),
        _lanes,
    ),
    Benchmark(
        "bars-step",
        (
            Line("bars-step", "DreamEnv.step of bars, full account ÷ paper's"),
            Line("bars-features", "streamed features, bars ÷ steps"),
        ),
        _step,
    ),
    Benchmark(
        "members",
        (
            Line("members-lanes", "dream of three members, 1,024 lanes: lane-steps/s ÷ one's"),
            Line("members-step", "DreamEnv.step of three members, full account ÷ one's"),
        ),
        _members,
    ),
)
