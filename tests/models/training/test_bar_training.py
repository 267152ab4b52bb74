"""Training of a world model of bars: the same bits by seed and after a break, and free dreams held."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from scipy.stats import kstest

from worldmodel_trading.evaluation.baselines.har import HAR
from worldmodel_trading.evaluation.baselines.student_t import mean_nll
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, FeatureError, TrainingError
from worldmodel_trading.market.streamed_bars import bar_numbers
from worldmodel_trading.market.streams import StreamSpec
from worldmodel_trading.market.synthetic import SyntheticMarket, synthetic_candles
from worldmodel_trading.models.bar_world_model import (
    BarWorldModel,
    chosen,
    draw_bar_noise,
    start_lanes,
)
from worldmodel_trading.models.bars.config import CALENDAR, MarketConfig
from worldmodel_trading.models.bars.dreaming import dream_bars
from worldmodel_trading.models.bars.networks import build_bar_networks
from worldmodel_trading.models.mixture import mixture_log_prob
from worldmodel_trading.models.quality import vae_quality
from worldmodel_trading.models.training import learner as learning
from worldmodel_trading.models.training.bar_ground import BarGround, training_ranges
from worldmodel_trading.models.training.bar_ranges import BarRange
from worldmodel_trading.models.training.callbacks import TrainingCallback, TrainingHistory
from worldmodel_trading.models.training.learner import Learner, return_loss
from worldmodel_trading.models.training.teachers import Teachers
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel

STAGES = ("teacher_1", "forecast", "vae", "mdn_rnn", "heads")

LEARNED = {"forecast_epochs": 6, "head_epochs": 12, "batch_size": 64}
"""Settings with which the tiny world model has learned enough for its dreams to be corrected."""


@pytest.fixture(scope="module")
def record() -> Candles:
    """What the tiny world model of bars knows."""
    return synthetic_candles(seed=5, bars=2_600).rows(0, 1_900)


@pytest.fixture(scope="module")
def quick(market_config: MarketConfig) -> MarketConfig:
    """The tiny settings, without free dreams."""
    return replace(market_config, calibration_rounds=0)


def train(
    candles: Candles, config: MarketConfig, seed: int = 1, **settings: object
) -> tuple[WorldModel, TrainingHistory]:
    split = candles.rows(0, 1_500), candles.rows(1_500, 1_900)
    return train_world_model(*split, config, seed=seed, **settings)  # type: ignore[arg-type]


def assert_same(one: WorldModel, two: WorldModel) -> None:
    for mine, theirs in ((one.vae, two.vae), (one.mdn_rnn, two.mdn_rnn)):
        others = theirs.state_dict()
        for name, tensor in mine.state_dict().items():
            assert torch.equal(tensor, others[name]), name
    for name, part in vars(one.bank).items():
        np.testing.assert_array_equal(part, getattr(two.bank, name), err_msg=name)
    assert one.fingerprint == two.fingerprint


class Stops(TrainingCallback):
    """Stops the training once an epoch of a stage was told."""

    def __init__(self, stage: str, epoch: int) -> None:
        self.at = (stage, epoch)
        self.told: list[tuple[str, int]] = []

    def on_epoch(self, row: Mapping[str, object]) -> None:
        self.told.append((str(row["stage"]), int(str(row["epoch"]))))
        if self.told[-1] == self.at:
            raise KeyboardInterrupt


def test_the_same_seed_gives_the_same_model_and_another_another(
    candles: Candles, market_config: MarketConfig, market_model: BarWorldModel
) -> None:
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    again, _ = train(candles, market_config)
    assert_same(again, market_model)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002
    other, _ = train(candles, market_config, seed=2)
    assert other.fingerprint != market_model.fingerprint


def test_every_stage_learns(candles: Candles, quick: MarketConfig) -> None:
    names = ("forecast_epochs", "vae_epochs", "mdn_rnn_epochs", "head_epochs")
    config = replace(quick, mdn_rnn_weight_decay=0.0, **dict.fromkeys(names, 6))
    _, history = train(candles, config)
    for stage in STAGES:
        losses = [float(row["validation_loss"]) for row in history.stage(stage)]
        assert len(losses) == 6
        assert min(losses[1:]) < losses[0], stage
    # M begins from what single bars forecast: memory never makes it worse.
    best = [
        min(float(r["validation_loss"]) for r in history.stage(s)) for s in ("forecast", "mdn_rnn")
    ]
    assert best[1] < best[0] + 0.02


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("epoch", [1, 2])
def test_a_stopped_training_goes_on_to_the_same_bits(
    stage: str, epoch: int, candles: Candles, quick: MarketConfig, tmp_path: Path
) -> None:
    straight, _ = train(candles, quick)
    stops = Stops(stage, epoch)
    with pytest.raises(KeyboardInterrupt):
        train(candles, quick, callbacks=[stops], checkpoint_dir=tmp_path)
    rest = Stops("none", 0)
    resumed, history = train(candles, quick, callbacks=[rest], checkpoint_dir=tmp_path, resume=True)
    assert_same(resumed, straight)
    assert stops.told + rest.told == [(name, n) for name in STAGES for n in (1, 2)]
    assert [(row["stage"], row["epoch"]) for row in history.rows] == stops.told + rest.told


def test_a_checkpoint_of_other_settings_is_refused(
    candles: Candles, quick: MarketConfig, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(candles, quick, callbacks=[Stops("forecast", 1)], checkpoint_dir=tmp_path)
    with pytest.raises(TrainingError, match="belongs to other candles, settings or another seed"):
        train(candles, replace(quick, dropout=0.1), checkpoint_dir=tmp_path, resume=True)


def log_density(learner: Learner, data: BarRange, values: torch.Tensor) -> torch.Tensor:
    """Of standardised returns [N] after the bars that count [N], by what forecasts without memory."""
    known = learner.vae.outlook(data.features[data.rows])
    calendars = learner.mdn_rnn.calendars(data.cells[data.rows])
    mixture = learner.mdn_rnn.return_mixture(learner.mdn_rnn.trunk(known, calendars))
    return mixture_log_prob(mixture, values[:, None])


def tiny_learners(
    record: Candles, config: MarketConfig, count: int
) -> tuple[BarRange, list[Learner]]:
    """A range, and learners of random weights whose forecasts differ."""
    ground = BarGround.of(
        training_ranges(record.rows(0, 1_500), record.rows(1_500, 1_900), config), config
    )
    learners = []
    for seed in range(count):
        learner = Learner(*build_bar_networks(config, seed))
        with torch.no_grad():
            learner.mdn_rnn.return_head.bias += torch.linspace(-0.1, 0.1, 6) * seed
        learners.append(learner)
    return ground.bars[0], learners


@torch.no_grad()
def test_teachers_draw_from_what_each_forecasts(record: Candles, quick: MarketConfig) -> None:
    """As many draws of each; their places in its distribution are uniform (Rosenblatt 1952)."""
    data, learners = tiny_learners(record, quick, 3)
    drawn = Teachers(learners).draw(data, data.rows, torch.Generator().manual_seed(3))
    assert drawn.shape == (len(data.rows), 2 * 3)
    for learner, mine in zip(learners, drawn.reshape(-1, 3, 2).unbind(1), strict=True):
        known = learner.vae.outlook(data.features[data.rows])
        calendars = learner.mdn_rnn.calendars(data.cells[data.rows])
        mixture = learner.mdn_rnn.return_mixture(learner.mdn_rnn.trunk(known, calendars))
        weights = torch.softmax(mixture.logits, -1)[:, None]
        places = (mine[..., None] - mixture.means[:, None, :, 0]) / mixture.log_sigmas[
            :, None, :, 0
        ].exp()
        assert (
            kstest((weights * torch.special.ndtr(places)).sum(-1).ravel(), "uniform").pvalue > 1e-3
        )


@torch.no_grad()
def test_the_loss_of_what_teachers_draw_is_the_pooled_cross_entropy(
    record: Candles, quick: MarketConfig
) -> None:
    data, (student, *teachers) = tiny_learners(record, quick, 3)
    known = student.vae.outlook(data.features[data.rows])
    trunk = student.mdn_rnn.trunk(known, student.mdn_rnn.calendars(data.cells[data.rows]))
    pure = replace(quick, teacher_weight=0.999999, outlook_weight=0.0)
    generator = torch.Generator().manual_seed(1)
    losses = [
        float(return_loss(student, trunk, data, data.rows, pure, drawn))
        for drawn in (Teachers(teachers).draw(data, data.rows, generator) for _ in range(20))
    ]
    grid = torch.linspace(-30.0, 30.0, 3_001)
    exact = 0.0
    for value in grid:
        at = value.expand(len(data.rows))
        pooled = torch.stack([log_density(one, data, at).exp() for one in teachers]).mean(0)
        exact -= float((pooled * log_density(student, data, at)).mean()) * 0.02
    assert abs(np.mean(losses) - exact) < 4 * np.std(losses) / 20**0.5 + 2e-3


def test_without_teachers_nobody_is_heard(candles: Candles, quick: MarketConfig) -> None:
    _, alone = train(candles, replace(quick, teachers=0))
    assert alone.stages == STAGES[1:]
    _, taught = train(candles, replace(quick, teachers=2))
    assert taught.stages == ("teacher_1", "teacher_2", *STAGES[1:])
    first, second = (
        [row["train_loss"] for row in taught.stage(name)] for name in ("teacher_1", "teacher_2")
    )
    assert first != second
    assert taught.stage("forecast")[0]["train_loss"] != alone.stage("forecast")[0]["train_loss"]


def size_of_dreams(model: WorldModel) -> float:
    """Mean absolute log return of free dreams, of noise that calibration did not see."""
    assert isinstance(model, BarWorldModel)
    lanes = chosen(start_lanes(model), np.resize(np.arange(16), 256))
    size, rng = 0.0, np.random.default_rng(99)
    for noise in draw_bar_noise(rng, 256, 720):
        dream_bars(*lanes, *model.network, noise, 0, np.float32(1), False)
        size += float(np.abs(lanes.drawn[:, 0]).mean()) / 720
    return size


def test_the_mean_is_tempered_where_that_is_asked(candles: Candles, quick: MarketConfig) -> None:
    bold, wary = (
        train(candles, replace(quick, temper_mean=temper))[0].mdn_rnn.mean_trust.tolist()
        for temper in (False, True)
    )
    assert bold == [1.0, 0.0]
    assert 0.0 <= wary[0] <= 1.0
    assert 0.0 < abs(wary[1]) < 0.5


def noise_of(windows: np.ndarray) -> np.ndarray:
    """How far wicks, in units of the mean bar, and log volume step from bar to bar [3]."""
    unit = np.abs(windows[..., :3]).sum(-1).mean(1, keepdims=True)
    values = (windows[..., 1] / unit, windows[..., 2] / unit, np.log(windows[..., 3]))
    return np.array([np.log(np.diff(one, axis=1).std(1)).mean() for one in values])


def test_calibration_moves_the_noise_of_dreams_toward_the_record_s(
    candles: Candles, quick: MarketConfig
) -> None:
    recorded = noise_of(bar_numbers(candles.rows(0, 1_500))[60:].reshape(-1, 48, 4))
    misses = []
    for rounds in (0, 8):
        model, _ = train(candles, replace(quick, **LEARNED, calibration_rounds=rounds))
        assert isinstance(model, BarWorldModel)
        lanes, paths = chosen(start_lanes(model), np.resize(np.arange(16), 64)), []
        for noise in draw_bar_noise(np.random.default_rng(99), 64, 480):
            dream_bars(*lanes, *model.network, noise, 0, np.float32(1), False)
            paths.append(lanes.drawn.copy())
        windows = np.stack(paths, 1).reshape(-1, 48, 4)
        misses.append(np.abs(noise_of(windows) - recorded))
    assert np.abs(model.mdn_rnn.noise_calibration.numpy()).max() <= 0.3
    assert misses[1].mean() < 0.6 * misses[0].mean()


def test_calibration_moves_dreams_toward_the_size_of_the_record(
    candles: Candles, quick: MarketConfig
) -> None:
    recorded = np.abs(np.diff(np.log(candles.close[:1_500]))).mean()
    without, with_it = (
        train(candles, replace(quick, **LEARNED, calibration_rounds=rounds))[0] for rounds in (0, 8)
    )
    assert not without.mdn_rnn.calibration.any()
    assert not without.mdn_rnn.noise_calibration.any()
    misses = [abs(np.log(size_of_dreams(model) / recorded)) for model in (without, with_it)]
    assert misses[0] > 0.05
    assert misses[1] < 0.5 * misses[0]
    _, _, pull, _ = with_it.mdn_rnn.calibration.tolist()
    assert 0.0 <= pull <= 0.1


class Notes(Stops):
    """Besides, keeps what a person is told."""

    def __init__(self, stage: str = "none", epoch: int = 0) -> None:
        super().__init__(stage, epoch)
        self.notes: list[str] = []

    def on_note(self, note: str) -> None:
        self.notes.append(note)


def test_what_is_withheld_moves_nothing(candles: Candles, quick: MarketConfig) -> None:
    withheld = tuple(name for name in quick.features.names if "volume" in name)
    blind, _ = train(candles, replace(quick, withheld=(*withheld, CALENDAR)))
    seeing, _ = train(candles, quick)
    shuffled = replace(candles, volume=np.random.default_rng(0).permutation(candles.volume))
    for model, same in ((blind, True), (seeing, False)):
        one, two = model.latents(candles), model.latents(shuffled)
        assert np.array_equal(one.z, two.z, equal_nan=True) is same
    assert not blind.mdn_rnn.calendar.any()
    with pytest.raises(ConfigError, match="withheld names volumes"):
        replace(quick, withheld=("volumes",))


def test_free_dreams_are_told_of(candles: Candles, market_config: MarketConfig) -> None:
    heard = Notes()
    train(candles, market_config, callbacks=[heard])
    told = [note.split(":")[0] for note in heard.notes if note.startswith("dreams")]
    assert told == ["dreams 1 of 2", "dreams 2 of 2"]


def test_how_far_a_memory_is_heard_does_not_depend_on_a_break(
    candles: Candles, quick: MarketConfig, tmp_path: Path
) -> None:
    """It is told from what the forecast was before the memory, also where training stopped in it."""
    wild = replace(quick, mdn_rnn_learning_rate=1.0, gradient_clip=1e6, mdn_rnn_weight_decay=0.0)
    heard, rest = Notes(), Notes()
    straight, _ = train(candles, wild, callbacks=[heard])
    assert "memory by 100%" not in heard.notes[0]
    with pytest.raises(KeyboardInterrupt):
        train(candles, wild, callbacks=[Stops("mdn_rnn", 1)], checkpoint_dir=tmp_path)
    resumed, _ = train(candles, wild, callbacks=[rest], checkpoint_dir=tmp_path, resume=True)
    assert rest.notes == heard.notes
    assert_same(resumed, straight)


def test_what_validation_measures_does_not_depend_on_bars_after_it(
    candles: Candles, quick: MarketConfig
) -> None:
    _, history = train(candles, quick)
    split = candles.rows(0, 1_500), candles.rows(1_500, 1_900)
    _, other = train_world_model(split[0], split[1].rows(0, 300), quick, seed=1)
    for stage in STAGES:
        losses = [float(h.stage(stage)[0]["train_loss"]) for h in (history, other)]
        assert losses[0] == losses[1]


def test_markets_that_stand_still_are_refused(candles: Candles, quick: MarketConfig) -> None:
    still = {name: np.full(len(candles), 100.0) for name in ("open", "high", "low", "close")}
    with pytest.raises(FeatureError, match="never changes"):
        train(replace(candles, **still), quick)
    with pytest.raises(FeatureError, match="volume"):
        train(replace(candles, volume=np.zeros(len(candles))), quick)


def test_a_market_whose_closes_sometimes_repeat_is_learned_too(
    candles: Candles, quick: MarketConfig
) -> None:
    """The synthetic market never closes where it did; most real ones do at times."""
    assert (np.diff(candles.close) != 0.0).all()
    close = candles.close.copy()
    close[500:1_900:40] = close[499:1_899:40]
    high, low = np.maximum(candles.high, close), np.minimum(candles.low, close)
    model, _ = train(replace(candles, close=close, high=high, low=low), quick)
    flat = model.config.features.names.index("flat_24")
    assert model.scaler.scale[flat] < 0.1


@pytest.mark.parametrize("interval", ["15", "240", "D", "W"])
def test_bars_of_any_length_are_learned_and_dreamed(
    interval: str, market_config: MarketConfig
) -> None:
    config = replace(market_config, features=StreamSpec(interval), calibration_rounds=1)
    cut = config.features.warmup + 400
    candles = synthetic_candles(seed=2, bars=cut + 300, start="2018-01-01", interval=interval)
    split = candles.rows(0, cut), candles.rows(cut, cut + 300)
    model, _ = train_world_model(*split, config, seed=1)
    assert isinstance(model, BarWorldModel)
    assert np.isfinite(model.bar_log_prob(candles)[cut:-1]).all()
    lanes, step = start_lanes(model), candles.interval_ms
    begun = lanes.open_time_ms.copy()
    for noise in draw_bar_noise(np.random.default_rng(0), 16, 50):
        dream_bars(*lanes, *model.network, noise, 0, np.float32(1), False)
    np.testing.assert_array_equal(lanes.open_time_ms, begun + 50 * step)
    assert np.isfinite(lanes.drawn).all()


def test_ranges_too_short_are_refused(candles: Candles, quick: MarketConfig) -> None:
    with pytest.raises(TrainingError, match="give a longer range"):
        train_world_model(candles.rows(0, 350), candles.rows(350, 800), quick)
    with pytest.raises(TrainingError, match="validation range"):
        train_world_model(candles.rows(0, 1_500), candles.rows(1_500, 1_501), quick)


def steps(folder: Path, stage: str) -> int:
    """Optimiser steps that a stage's checkpoint tells of."""
    with safe_open(folder / f"{stage}.safetensors", framework="np") as stored:
        return int(json.loads(stored.metadata()["state"])["progress"]["steps"])


def test_an_epoch_learns_from_no_more_bars_than_it_may(record, quick, tmp_path) -> None:
    whole, _ = train(record, quick, checkpoint_dir=tmp_path / "whole")
    short, _ = train(record, replace(quick, epoch_bars=300), checkpoint_dir=tmp_path / "short")
    rows, stride = 1_500 - quick.features.warmup - 1, quick.chunk_bars - quick.burn_in_bars
    for stage, epochs in (("forecast", 2), ("vae", 2), ("heads", 2)):
        assert steps(tmp_path / "whole", stage) == epochs * (rows // quick.batch_size)
        assert steps(tmp_path / "short", stage) == epochs * (300 // quick.batch_size)
    chunks = -(-300 // stride)
    assert steps(tmp_path / "short", "mdn_rnn") == 2 * max(1, chunks // quick.mdn_rnn_batch_size)
    assert short.fingerprint != whole.fingerprint
    assert np.isfinite(short.bar_log_prob(record)[1_500:-1]).all()


def test_a_long_run_is_remembered_as_a_short_one(monkeypatch, record, market_model) -> None:
    """By pieces side by side, each after bars enough to forget how it began."""
    ground = BarGround.of(
        training_ranges(record.rows(0, 1_500), record.rows(1_500, 1_900), market_model.config),
        market_model.config,
    )
    learner = Learner(market_model.vae, copy.deepcopy(market_model.mdn_rnn))
    learner.mdn_rnn.before.weight.data.normal_(generator=torch.Generator().manual_seed(0))
    data = ground.bars[0]
    whole, losses = learning.remembered(learner, data), learning.return_losses(learner, data)
    for name, value in (("CHUNK_BARS", 200), ("_LEAD_BARS", 64), ("_PIECE_BARS", 100)):
        monkeypatch.setattr(learning, name, value)
    monkeypatch.setattr(learning, "_PIECES", 3)
    torch.testing.assert_close(learning.remembered(learner, data), whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(learning.return_losses(learner, data), losses, atol=1e-4, rtol=0)
    assert whole.abs().amax(1)[data.rows].min() > 0


@pytest.mark.slow
@pytest.mark.parametrize("interval", ["5", "60"])
def test_minutes_and_hours_are_forecast_near_the_truth(interval: str) -> None:
    """At the default settings, on a market whose density is known."""
    market, first, last = SyntheticMarket(interval=interval), 13_000, 16_000
    candles, _ = market.sample(last, seed=3)
    split = candles.rows(0, 11_000), candles.rows(11_000, first)
    model, _ = train_world_model(*split, seed=0)
    returns = 100 * candles.log_returns()[first + 1 : last]
    rows = slice(first, last - 1)
    following = np.append(100 * candles.log_returns()[1:], np.nan)
    truth = -market.return_density(candles).log_prob(following)[rows]
    ours = -model.return_forecast(candles).rows(first, last - 1).log_prob(returns)
    har = HAR.fit(candles, (0, 11_000)).forecast(candles)[(first + 1, last)]
    assert 0.0 < (ours - truth).mean() < 0.03
    assert ours.mean() < mean_nll(har, returns)
    told = vae_quality(model, candles, int(candles.open_time_ms[first]))
    assert np.median(list(told.r2.values())) > 0.6
