"""What each choice in the world model is worth: one row for every setting changed alone.

``python -m benchmarks.ablation --candles candles.csv --train-end 2023-07-01
--validation-end 2024-01-01`` prints the table of ``docs/world_model.md`` as Markdown. Choose by the
column of the validation range; the one of the test range is there to be reported.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodel_trading.evaluation.baselines.scores import TITLES, fit_baselines
from worldmodel_trading.evaluation.baselines.student_t import mean_nll
from worldmodel_trading.evaluation.comparison.rank_agreement import measure_rank_agreement
from worldmodel_trading.evaluation.fidelity.distances import compare_facts
from worldmodel_trading.evaluation.fidelity.judges import summaries_score
from worldmodel_trading.evaluation.fidelity.paths import dream, recorded_paths, shown_columns
from worldmodel_trading.evaluation.fidelity.stylised import PathFacts
from worldmodel_trading.evaluation.fidelity.windows import Windows
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.files.writer import write_whole
from worldmodel_trading.market.streams import StreamSpec
from worldmodel_trading.models.bars.config import CALENDAR, MarketConfig
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel

from .records import add_record, open_record

DREAMS, BARS = 256, 720


@dataclass(frozen=True)
class Variant:
    """A configuration that differs from the default in what its name says."""

    name: str
    changes: dict[str, Any] = field(default_factory=dict)

    def config(self) -> MarketConfig:
        """The default configuration, changed."""
        return replace(MarketConfig(), **self.changes)


def without(*groups: str) -> dict[str, Any]:
    """The change that withholds features whose names begin thus."""
    names = [name for name in StreamSpec().names if name.startswith(groups)]
    return {"withheld": (*names, *(group for group in groups if group == CALENDAR))}


VARIANTS = (
    Variant("default"),
    Variant("no range volatilities", without("garman_klass", "parkinson", "range")),
    Variant("no volatilities of returns", without("volatility", "downside", "peak")),
    Variant("no wicks", without("upper_wick", "lower_wick")),
    Variant("no volume", without("volume", "next_hour_volume")),
    Variant("no momentum", without("momentum", "skew", "drawdown", "rally")),
    Variant("no memories of the same hour", without("next_", "range_for_hour", "volume_for_hour")),
    Variant("no calendar", without(CALENDAR)),
    Variant("neither calendar nor hours", without("next_", "range_for", "volume_for", CALENDAR)),
    Variant("Z = 8, 6 of them forecasting", {"latent_size": 8, "forecast_size": 6}),
    Variant("Z = 12", {"latent_size": 12}),
    Variant("Z = 24", {"latent_size": 24}),
    Variant("no teachers", {"teachers": 0}),
    Variant("five teachers", {"teachers": 5, "teacher_weight": 0.8}),
    Variant("memory not heard", {"mdn_rnn_learning_rate": 1e-12}),
    Variant("three members", {"members": 3}),
    Variant("three members, months resampled", {"members": 3, "resample_months": True}),
    Variant("no dropout of features", {"feature_dropout": 0.0}),
    Variant("no noise on features", {"feature_noise": 0.0}),
    Variant("no outlook", {"outlook_weight": 0.0}),
    Variant("weight decay 0.05", {"weight_decay": 0.05}),
    Variant("half the learning rate", {"learning_rate": 1e-3}),
    Variant("mean not held back", {"mean_weight": 0.0}),
    Variant("mean forecast trusted whole", {"temper_mean": False}),
    Variant("6 forecasting numbers", {"forecast_size": 6}),
    Variant("14 forecasting numbers", {"forecast_size": 14}),
    Variant("trunk of 32", {"trunk_size": 32}),
    Variant("one component", {"num_components": 1}),
    Variant("three components", {"num_components": 3}),
    Variant("H = 16", {"hidden_size": 16}),
    Variant("H = 128", {"hidden_size": 128}),
    Variant("no dropout of h", {"dropout": 0.0}),
    Variant("memory decays by 0.1", {"mdn_rnn_weight_decay": 0.1}),
    Variant("chunks of 432 bars", {"chunk_bars": 432}),
    Variant("dreams not calibrated", {"calibration_rounds": 0}),
)

HEADER = (
    "| variant | NLL, validation | NLL, test | σ ratio | kurtosis ratio | ACF of abs. r, RMSE "
    "| Hill | two-sample | whole bars | rank, validation | rank, test | training [s] |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def main(given: Sequence[str] | None = None) -> int:
    """Train and measure every variant that is asked for."""
    arguments = _arguments(given)
    torch.set_num_threads(1)
    candles = open_record(arguments)
    split = _Split(candles, arguments.train_end, arguments.validation_end)
    print(
        f"{candles!r}; likelihoods less those of the {TITLES[split.strongest]}, nats\n\n{HEADER}",
        flush=True,
    )
    rows = []
    for variant in VARIANTS:
        if not arguments.only or variant.name in arguments.only:
            row = measure(variant, split, arguments.seeds)
            rows.append(row)
            print(row_text(row), flush=True)
    if arguments.out is not None:
        write_whole(arguments.out, json.dumps(rows, indent=2) + "\n")
    return 0


class _Split:
    """The ranges, and the likelihood of the baseline that forecasts validation best."""

    def __init__(self, candles: Candles, train_end: str, validation_end: str) -> None:
        self.candles = candles
        self.train = candles.between(None, train_end)
        self.validation = candles.between(train_end, validation_end)
        self.ranges = {
            "validation": candles.row_range(train_end, validation_end),
            "test": candles.row_range(validation_end, None),
        }
        self.returns = 100 * candles.log_returns()
        forecasts = fit_baselines(candles, (0, len(self.train)), settings=MarketConfig()).forecasts
        nll = {
            name: {
                label: mean_nll(forecast.rows(*rows), self.returns[slice(*rows)])
                for label, rows in self.ranges.items()
            }
            for name, forecast in forecasts.items()
        }
        self.strongest = min(nll, key=lambda name: nll[name]["validation"])
        self.baseline_nll = nll[self.strongest]


def measure(variant: Variant, split: _Split, seeds: int) -> dict[str, Any]:
    """Mean results of one variant over seeds from 0 up."""
    results = [_measure_once(variant.config(), split, seed) for seed in range(seeds)]
    means = {name: float(np.mean([result[name] for result in results])) for name in results[0]}
    return {"variant": variant.name, **means}


def _measure_once(config: MarketConfig, split: _Split, seed: int) -> dict[str, float]:
    began = time.perf_counter()
    world_model, _ = train_world_model(split.train, split.validation, config, seed=seed)
    seconds = time.perf_counter() - began
    nll = _return_nll(world_model, split)
    names = shown_columns(world_model)
    dreams = dream(world_model, DREAMS, BARS, seed=seed)
    real = recorded_paths(split.train, BARS, config.features)
    facts, real_facts = (PathFacts(paths, names).facts() for paths in (dreams, real))
    scores = compare_facts(facts, real_facts)
    assert dreams.whole is not None
    windows = [
        Windows.recorded(split.train),
        Windows.of(dreams.whole, split.train.interval_ms),
    ]
    return {
        **{f"nll_gap_{name}": nll[name] - split.baseline_nll[name] for name in nll},
        "sigma_ratio": scores.sigma_ratio,
        "kurtosis_ratio": scores.kurtosis_ratio_1,
        "abs_acf_rmse": scores.abs_acf_rmse,
        "hill_index": scores.hill_index,
        "two_sample": summaries_score(*(side.returns_alone() for side in windows), seed=0).value,
        "whole_bars": summaries_score(*windows, seed=0).value,
        **_ranks(world_model, split, seed),
        "seconds": seconds,
    }


def _ranks(world_model: WorldModel, split: _Split, seed: int) -> dict[str, float]:
    """Of dreams that begin all over the training range: where they do is no choice of the model's."""
    agreement = measure_rank_agreement(
        world_model, split.candles, split.ranges, seed=seed, recent=1.0
    )
    return {f"rank_{name}": found.value for name, found in agreement.spearman.items()}


def _return_nll(world_model: WorldModel, split: _Split) -> dict[str, float]:
    forecast = world_model.return_forecast(split.candles)
    return {
        name: float(-forecast.rows(start - 1, stop - 1).log_prob(split.returns[start:stop]).mean())
        for name, (start, stop) in split.ranges.items()
    }


def row_text(row: dict[str, Any]) -> str:
    """One line of the Markdown table."""
    cells = [
        row["variant"],
        f"{row['nll_gap_validation']:+.4f}",
        f"{row['nll_gap_test']:+.4f}",
        f"{row['sigma_ratio']:.3f}",
        f"{row['kurtosis_ratio']:.2f}",
        f"{row['abs_acf_rmse']:.4f}",
        f"{row['hill_index']:.2f}",
        f"{row['two_sample']:.3f}",
        f"{row['whole_bars']:.3f}",
        f"{row['rank_validation']:.2f}",
        f"{row['rank_test']:.2f}",
        f"{row['seconds']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__)
    add_record(parser)
    parser.add_argument("--seeds", type=int, default=1, help="trainings a variant, averaged")
    parser.add_argument("--only", nargs="*", choices=[v.name for v in VARIANTS], default=[])
    parser.add_argument("--out", type=Path, help="also write the rows as JSON")
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
