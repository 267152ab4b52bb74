"""Dreams of exact bars beside dreams of latents: lanes, shared paths, one lane, features."""

from __future__ import annotations

from functools import cache

from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.population.scorers import DreamWorkers
from worldmodel_trading.market.streams import StreamSpec, stream_features
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.bars.config import MarketConfig
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel

from .dreams import engine_task, env_step
from .populations import score_task
from .results import Benchmark, Line, Results, ratio
from .timing import Settings, alternate, local
from .worlds import default_world

_LANES = 1_024
_ACCOUNT = {"leverage": 3.0, "funding": 0.0001, "slippage_per_range": 0.02}


@cache
def bar_world() -> WorldModel:
    """A world model of bars of the default sizes, trained for an epoch a stage."""
    epochs = dict.fromkeys(
        ("forecast_epochs", "vae_epochs", "mdn_rnn_epochs", "head_epochs", "calibration_rounds"), 1
    )
    candles = synthetic_candles(6_000)
    config = MarketConfig(**epochs)
    return train_world_model(candles.rows(0, 5_000), candles.rows(5_000, 6_000), config)[0]


def _lanes(settings: Settings) -> Results:
    worlds = {"bars": bar_world(), "market": default_world()}
    lanes, bars = settings.size(_LANES, 64), settings.size(16, 2)
    tasks = {name: engine_task(world, lanes, bars) for name, world in worlds.items()}
    candidates, dreams = settings.size(1_024, 32), settings.size(64, 4)
    length = settings.size(720, 16)
    for name, world in worlds.items():
        workers = DreamWorkers(world, 0)
        tasks[f"{name} shared"] = score_task(workers, candidates, dreams, length)
    rates = alternate(tasks, settings)
    note = f"{1e9 / rates['bars'].wall:.0f} ns a lane-step, features included"
    return {
        "bars-lanes": ratio(rates["bars"], rates["market"], "lane-steps/s", note),
        "bars-shared": ratio(rates["bars shared"], rates["market shared"], "candidate-steps/s"),
    }


def _step(settings: Settings) -> Results:
    worlds = {"bars": bar_world(), "market": default_world()}
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
        "bars-step": ratio(rates["bars"], rates["market"], "steps/s", note),
        "bars-features": ratio(rates["features"], rates["bars"], "bars/s ÷ steps/s", cost),
    }


BENCHMARKS = (
    Benchmark(
        "bars",
        (
            Line("bars-lanes", "dream of bars, 1,024 lanes: lane-steps/s ÷ market's", 0.6),
            Line("bars-shared", "1,024 candidates in shared dreams of bars ÷ market's", 0.9),
        ),
        _lanes,
    ),
    Benchmark(
        "bars-step",
        (
            Line("bars-step", "DreamEnv.step of bars, full account ÷ market's"),
            Line("bars-features", "streamed features, bars ÷ steps"),
        ),
        _step,
    ),
)
