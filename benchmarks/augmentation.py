"""What dreams add to few recorded bars, beside a block bootstrap of the same bars.

``python -m benchmarks.augmentation --candles candles.csv --test-start 2024-01-01 --test-end 2025-01-01``
takes the last 1, 3 and 12 months before each of several ends, trains a world model on those months alone,
and then forecasters of volatility and a controller four times: on the months, on the months and dreams,
on the months and a stationary bootstrap of them, on dreams alone. All are scored on the same year. It
prints, as Markdown, what each addition changes, with an interval over blocks of the year and the range
over the ends.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from worldmodel_trading.agents.cma_es import CMAESConfig
from worldmodel_trading.agents.dream_search import DreamSearchConfig, train_controllers
from worldmodel_trading.envs.population.recorded_scorer import RecordedScorer
from worldmodel_trading.envs.population.scoring import score_replay
from worldmodel_trading.envs.recorded import latent_record, restrict
from worldmodel_trading.evaluation.baselines.bootstrap import BarBootstrap
from worldmodel_trading.evaluation.baselines.har import HAR
from worldmodel_trading.evaluation.baselines.memoryless import Memoryless, MemorylessConfig
from worldmodel_trading.evaluation.baselines.scores import HAR_T, MEMORYLESS, range_losses
from worldmodel_trading.evaluation.loss_tests import diebold_mariano
from worldmodel_trading.evaluation.significance import stationary_bootstrap_interval
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.candles import Candles, join_candles
from worldmodel_trading.market.files.reader import read_candles
from worldmodel_trading.market.files.writer import write_whole
from worldmodel_trading.market.intervals import INTERVALS_MS
from worldmodel_trading.market.times import to_ms
from worldmodel_trading.models.bars.config import MarketConfig
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel

REAL, DREAMS, BOOTSTRAP, ALONE = "months", "+ dreams", "+ bootstrap", "dreams alone"
CONTROLLER = "controller"
_DAY, _WEEK = INTERVALS_MS["D"], INTERVALS_MS["W"]
_MONTH_DAYS = 365.25 / 12
_SPLIT = 0.8  # of the months, for V and M; the rest stops their training
_WINDOW = 168  # bars of a window of the search, and of the blocks that scores are kept in
_ENDS = "2022-07-01,2023-01-01,2023-07-01,2024-01-01"

Losses = dict[str, FloatArray]
"""Of a learner by what it was trained on: losses of the test bars, or minus the log returns of weeks."""

Found = dict[int, dict[str, list[Losses]]]
"""By months and learner, one for each end."""


def main(given: Sequence[str] | None = None) -> int:
    """Train, score and print."""
    arguments = _arguments(given)
    torch.set_num_threads(1)
    candles = read_candles(arguments.candles)
    found: Found = {}
    for months in arguments.months:
        for number, end in enumerate(arguments.ends.split(",")):
            for learner, losses in measure(candles, end, months, number, arguments).items():
                found.setdefault(months, {}).setdefault(learner, []).append(losses)
            print(f"{months} months to {end}", file=sys.stderr, flush=True)
        print(table(candles.symbol, months, found[months]), flush=True)
        _keep(found, arguments.out)
    return 0


def _keep(found: Found, out: Path | None) -> None:
    if out is not None:
        kept = {
            months: {learner: [_means(one) for one in each] for learner, each in learners.items()}
            for months, learners in found.items()
        }
        write_whole(out, json.dumps(kept, indent=2) + "\n")


def measure(
    candles: Candles, end: str, months: int, seed: int, arguments: argparse.Namespace
) -> dict[str, Losses]:
    """What every learner loses on the test year, by what it was trained on."""
    stop = to_ms(end)
    real = candles.between(stop - int(months * _MONTH_DAYS) * _DAY, stop)
    cut = int(_SPLIT * len(real))
    config = replace(MarketConfig(), **json.loads(arguments.model))
    model, _ = train_world_model(real.rows(0, cut), real.rows(cut, len(real)), config, seed=seed)
    dreams = list(model.hallucinate(arguments.paths, arguments.bars, seed=seed))
    copies = bootstrap(real, dreams, seed)
    records = {
        REAL: real,
        DREAMS: joined([real, *dreams]),
        BOOTSTRAP: joined([real, *copies]),
        ALONE: joined(dreams),
    }
    test = candles.between(to_ms(arguments.test_start) - 13 * _WEEK, arguments.test_end)
    losses = forecast_losses(records, test, arguments.test_start, seed)
    losses[CONTROLLER] = {
        name: -weekly_growth(model, record, test, arguments, seed)
        for name, record in records.items()
    }
    return losses


def bootstrap(real: Candles, dreams: Sequence[Candles], seed: int) -> list[Candles]:
    """As many paths as the dreams, as long and at the same times, of blocks of the months."""
    starts = np.array([int(path.open_time_ms[0]) for path in dreams])
    drawn = BarBootstrap.fit(real).bars(starts, len(dreams[0]), np.random.default_rng(seed))
    return [drawn.candles(number, float(real.close[-1]), real) for number in range(len(dreams))]


def joined(records: Sequence[Candles]) -> Candles:
    """Records one after the other, whole weeks apart, each at the prices where the one before ended."""
    parts = [records[0]]
    for record in records[1:]:
        last = parts[-1]
        weeks = -((int(record.open_time_ms[0]) - int(last.open_time_ms[-1])) // _WEEK) + 1
        scale = float(last.close[-1] / record.open[0])
        prices = {name: scale * getattr(record, name) for name in ("open", "high", "low", "close")}
        times = record.open_time_ms + weeks * _WEEK
        turnover = scale * record.turnover
        parts.append(replace(record, open_time_ms=times, turnover=turnover, **prices))
    return join_candles(parts)


def forecast_losses(
    records: dict[str, Candles], test: Candles, start: str, seed: int
) -> dict[str, Losses]:
    """Negative log-likelihoods of the test bars, by forecaster and by what it was fitted on."""
    returns, rows = 100 * test.log_returns(), test.row_range(start, None)
    config, forecasts = MemorylessConfig(seed=seed), {}
    for name, record in records.items():
        whole = (0, len(record))
        forecasts[HAR_T, name] = HAR.fit(record, whole).forecast(test)
        forecasts[MEMORYLESS, name] = Memoryless.fit(record, whole, config).forecast(test)
    scored = range_losses({" ".join(key): one for key, one in forecasts.items()}, returns, rows)
    return {
        learner: {name: scored[f"{learner} {name}"] for name in records}
        for learner in (HAR_T, MEMORYLESS)
    }


def weekly_growth(
    model: WorldModel, record: Candles, test: Candles, arguments: argparse.Namespace, seed: int
) -> FloatArray:
    """Log returns of the test weeks after costs, mean over controllers that were found on a record."""
    recorded = latent_record(record, model)
    cma_es = CMAESConfig(population=64, generations=arguments.generations)
    search = DreamSearchConfig(cma_es, dreams=arguments.windows, horizon=_WINDOW)
    scorer = RecordedScorer(model, recorded, _WINDOW)
    searches = train_controllers(
        model, search, searches=arguments.searches, seed=seed, scorer=scorer
    )
    parameters = np.array([one.controller.parameters for one in searches.trained], float)
    unseen = restrict(latent_record(test, model), arguments.test_start, None)
    scores = score_replay(unseen, parameters, BrokerConfig(), window=_WINDOW)
    growth: FloatArray = scores.log_return.mean(axis=0)
    return growth


def table(symbol: str, months: int, learners: dict[str, list[Losses]]) -> str:
    """What came out of so many months, as Markdown."""
    lines = [
        f"| {symbol}, {months} months | {REAL} | {DREAMS} | {BOOTSTRAP} | {ALONE} |",
        "|---|---|---|---|---|",
    ]
    for learner, each in learners.items():
        own = [_mean(one[REAL]) for one in each]
        cells = [f"{np.median(own):.3f} ({min(own):.3f} to {max(own):.3f})"]
        cells += [change(each, name, weekly=learner == CONTROLLER) for name in _OTHERS]
        lines.append(f"| {learner} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


_OTHERS = (DREAMS, BOOTSTRAP, ALONE)


def change(each: Sequence[Losses], name: str, *, weekly: bool) -> str:
    """Mean loss minus that of the months alone over all ends, its 95% interval, and how many gained."""
    before, after = (np.mean([one[key] for one in each], axis=0) for key in (REAL, name))
    if weekly:
        found = stationary_bootstrap_interval(after - before, seed=0, block_length=2.0)
        value, low, high = found.value, found.low, found.high
    else:
        gap = diebold_mariano(after, before)
        value, low, high = gap.value, gap.low, gap.high
    gained = sum(_mean(one[name]) < _mean(one[REAL]) for one in each)
    return f"{value:+.4f} ({low:+.4f} to {high:+.4f}), better {gained} of {len(each)}"


def _mean(losses: FloatArray) -> float:
    return float(np.mean(losses))


def _means(losses: Losses) -> dict[str, float]:
    return {name: _mean(values) for name, values in losses.items()}


def _arguments(given: Iterable[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.augmentation", description=__doc__)
    parser.add_argument("--candles", type=Path, required=True, help="CSV or Parquet file")
    parser.add_argument("--months", type=int, nargs="+", default=[1, 3, 12])
    parser.add_argument("--ends", default=_ENDS, help="ends of the months, exclusive")
    parser.add_argument("--test-start", default="2024-01-01")
    parser.add_argument("--test-end", default="2025-01-01")
    parser.add_argument("--paths", type=int, default=3, help="dreams, and bootstrapped paths")
    parser.add_argument("--bars", type=int, default=2_160, help="bars of each")
    parser.add_argument("--searches", type=int, default=2, help="seeds of the search")
    parser.add_argument("--generations", type=int, default=30)
    parser.add_argument("--windows", type=int, default=16, help="that score a candidate")
    parser.add_argument("--model", default="{}", help="settings of the world model, JSON")
    parser.add_argument("--out", type=Path, help="a JSON file for the mean losses of every end")
    return parser.parse_args(None if given is None else list(given))


if __name__ == "__main__":
    sys.exit(main())
