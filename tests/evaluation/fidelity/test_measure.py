import json
import re
from dataclasses import replace

import numpy as np
import pytest
from browser import LOOKS, charts, chromium, look_over

from worldmodel_trading.evaluation.baselines.bars import Bars
from worldmodel_trading.evaluation.fidelity.card import model_card
from worldmodel_trading.evaluation.fidelity.consistency import _ratios
from worldmodel_trading.evaluation.fidelity.goals import Goal
from worldmodel_trading.evaluation.fidelity.measure import Fidelity, measure_fidelity
from worldmodel_trading.evaluation.fidelity.outlooks import DreamSimulator
from worldmodel_trading.evaluation.fidelity.report import (
    fidelity_summary,
    rewrite_fidelity,
    write_fidelity,
)
from worldmodel_trading.evaluation.fidelity.runs import FidelityRuns, measure_runs, over_runs
from worldmodel_trading.evaluation.fidelity.subject import FidelityConfig
from worldmodel_trading.evaluation.significance import Interval
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, TrainingBarsError
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.world_model import WorldModel

SMALL = FidelityConfig(
    num_dreams=24,
    bars=336,
    decay_dreams=8,
    controllers=12,
    rank_dreams=4,
    outlook_paths=16,
    control_epochs=1,
    seed=1,
)
TRAIN_BARS = 3_300


@pytest.fixture(scope="module")
def world_model():
    return WorldModel.from_pretrained("default")


@pytest.fixture(scope="module")
def market(world_model) -> Candles:
    """The last training bars of the default model's market, and a while after them."""
    candles = synthetic_candles(seed=0)
    end = int(np.searchsorted(candles.open_time_ms, world_model.provenance.train_end_ms))
    return candles.rows(end - TRAIN_BARS, len(candles))


@pytest.fixture(scope="module")
def stages() -> list[str]:
    return []


@pytest.fixture(scope="module")
def runs(world_model, market, stages) -> FidelityRuns:
    """The model once with everything beside it, and once alone with other dreams."""

    def recorded(train: Candles, rows, bars, rng) -> Bars:
        return Bars.of(train)

    models, generators = {"default": world_model}, {"recorded": recorded}
    return measure_runs(models, market, SMALL, stages.append, seeds=2, generators=generators)


@pytest.fixture(scope="module")
def measured(runs) -> Fidelity:
    return runs.first


def test_every_part_is_there_and_finite(measured, stages):
    results = json.loads(json.dumps(measured.results.to_dict(), allow_nan=False))
    assert stages[:2] == ["default, dreams 1", "density forecasts"]
    assert "default, dreams 2" in stages
    assert stages[-1] == "rank agreement"
    assert set(results["density"]) == {"validation", "test"}
    generators = {
        "world_model",
        "bars_one_by_one",
        "stationary_bootstrap",
        "gjr_garch_t_clock",
        "har_t",
        "untrained_m",
        "recorded",
    }
    assert set(results["facts"]) == generators
    assert set(results["two_sample"]["returns"]) == generators
    whole = {"world_model", "bars_one_by_one", "stationary_bootstrap", "untrained_m", "recorded"}
    for judge in ("summaries", "boosting", "convolution"):
        assert set(results["two_sample"]["whole"][judge]) == whole  # GARCH and HAR draw no volumes
        floor = results["two_sample"]["whole_floor"][judge]
        assert floor["low"] <= floor["value"] <= floor["high"]
    assert set(results["copies"]["share"]) == generators
    assert set(results["starts"]) == {"volatility", "volume"}
    assert set(results["outlooks"]["24"]) == {"world_model", "har_t", "gjr_garch_t_clock"}
    for scores in results["facts"].values():
        for span in scores.values():
            assert span["low"] <= span["high"]
    assert [row["to_bar"] for row in results["horizon_decay"]] == [24, 168, 720, 2160]
    assert results["action_sensitivity"] == 0.0
    assert set(results["ood"]) == {"train", "validation", "test"}
    assert results["ood"]["train"]["ood_above_95"] < 0.2
    assert results["horizon_decay"][-1]["ood_above_99"] < 0.5
    assert set(results["rank_agreement"]["controls"]) == {
        "z_only",
        "h_only",
        "untrained_m",
        "random_encoder",
    }


def test_the_default_model_dreams_of_its_market(measured, world_model):
    # Dreams start all over the training range, of which `market` is the end.
    trained = synthetic_candles(seed=0).between(None, world_model.provenance.train_end_ms)
    sigma = np.nanstd(trained.log_returns())
    results = measured.results
    assert results.facts.generated["world_model"].sigma == pytest.approx(sigma, rel=0.25)
    assert results.consistency.drawn_decoded_correlation > 0.99
    spread = results.consistency.latent_spread
    assert len(spread.level) == len(spread.change) == world_model.config.latent_size
    # of dreams all over the training range, against its end alone
    assert all(0.5 < ratio < 2.0 for ratio in spread.level + spread.change)
    assert results.forecasts.from_truth["log_return"].value < 0.06
    nll = results.memory.return_nll
    assert nll["untrained_m"] > 0.06 + nll["world_model"]
    assert all(age.frozen == 0.0 for age in results.dream_age.decay)


def test_dreams_begin_where_the_record_stands(world_model, market):
    rows = np.array([2_600, 2_700])
    drawn = DreamSimulator(world_model).simulate(market, rows, 4_000, 2, np.random.default_rng(0))
    expected = world_model.return_forecast(market).volatility[rows]
    assert drawn[:, :, 0].std(axis=1) == pytest.approx(expected, rel=0.1)
    with pytest.raises(ConfigError, match="a dream needs"):
        DreamSimulator(world_model).simulate(market, np.array([20]), 2, 2, np.random.default_rng(0))


def test_a_silenced_dimension_has_no_spread_to_compare():
    assert _ratios(np.array([2.0, 0.01]), np.array([1.0, 0.0])) == (2.0, None)


def test_goals_are_judged_by_their_bounds(measured):
    goals = {goal.name: goal for goal in measured.results.goals}
    assert len(goals) == len(measured.results.goals) == 48
    assert goals["sensitivity to the action [σ]"].met
    for goal in goals.values():
        least, most = (end if end is not None else None for end in goal.goal)
        low = goal.value if goal.low is None else goal.low
        high = goal.value if goal.high is None else goal.high
        inside = (least is None or low >= least) and (most is None or high <= most)
        outside = (least is not None and high < least) or (most is not None and low > most)
        assert goal.met == inside, goal.name
        assert (goal.verdict == "missed") == outside, goal.name


def test_recorded_paths_are_copies_and_possible(measured):
    copies, tests = measured.results.copies, measured.results.two_sample
    assert copies.distance["recorded"] == pytest.approx(0.0, abs=1e-6)
    assert copies.share["recorded"].value == 1.0
    assert copies.share["world_model"].value < 0.1
    assert tests.impossible["recorded"] == 0.0
    assert tests.impossible["world_model"] == 0.0


def test_a_worse_dream_misses(measured):
    facts = measured.results.facts
    wide = replace(facts.distances["world_model"], sigma_ratio=Interval(1.4, 1.3, 1.5))
    worse = replace(facts, distances={**facts.distances, "world_model": wide})
    goals = {goal.name: goal for goal in replace(measured.results, facts=worse).goals}
    assert goals["σ of returns ÷ real"].verdict == "missed"


def test_a_number_that_json_lacks_is_named(measured):
    lost = replace(measured.results.memory, action_sensitivity=float("nan"))
    with pytest.raises(ConfigError, match=r"fidelity\.action_sensitivity is nan"):
        replace(measured.results, memory=lost).to_dict()


def test_files_are_written_whole(measured, tmp_path):
    json_path, html_path = write_fidelity(tmp_path / "out", measured)
    assert json.loads(json_path.read_text("utf-8")) == measured.results.to_dict()
    text = html_path.read_text("utf-8")
    prose = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"https?:|url\(|@import", prose)
    assert text.count('role="img"') == 14
    figures = re.findall(r'<script type="application/json">(.*?)</script>', text)
    assert all(json.loads(figure)["data"] for figure in figures)
    assert html_path.stat().st_size < 6_000_000
    assert "record, random halves" in text


def test_summary_lines_up(measured):
    header, *lines = fidelity_summary(measured.results).splitlines()
    assert len(lines) == len(measured.results.goals)
    start = header.index("measured") + len("measured")
    assert all(line[start - 1].isdigit() for line in lines)


def test_candles_without_held_out_bars_are_refused(world_model, market):
    with pytest.raises(TrainingBarsError, match="inside the training range"):
        measure_fidelity(world_model, market.rows(0, TRAIN_BARS), SMALL)


def test_candles_of_another_time_are_refused(world_model):
    late = synthetic_candles(seed=0, bars=2_000, start="2030-01-01")
    with pytest.raises(TrainingBarsError, match="no bars of the training range"):
        measure_fidelity(world_model, late, SMALL)


def test_candles_of_another_market_are_refused(world_model, market):
    other = synthetic_candles(seed=1, bars=len(market), start=int(market.open_time_ms[0]))
    with pytest.raises(TrainingBarsError, match="candles of the same market"):
        measure_fidelity(world_model, other, SMALL)


@pytest.mark.parametrize("symbol", ["ETHUSDT", "SOLUSDT", "TUSDT"])
def test_goals_know_no_symbols(measured, symbol):
    elsewhere = replace(measured.results, head=replace(measured.results.head, symbol=symbol))
    assert elsewhere.goals == measured.results.goals


def test_other_runs_are_of_the_model_alone(runs):
    first, second = runs.results.values()
    assert list(runs.results) == ["default, dreams 1", "default, dreams 2"]
    assert set(second.facts.distances) == {"world_model"}
    assert second.ranks.controls == {}
    # The rivals stand for both: the same likelihoods, of the same bars.
    assert second.forecasts.by_range["test"].nll == first.forecasts.by_range["test"].nll
    sigmas = [run.facts.generated["world_model"].sigma for run in (first, second)]
    assert sigmas[0] != sigmas[1]


def test_goals_over_runs_are_medians_with_ranges(runs):
    combined = {goal.name: goal for goal in runs.goals}
    singles = [{goal.name: goal for goal in run.goals} for run in runs.results.values()]
    assert list(combined) == list(singles[0])
    for name, goal in combined.items():
        values = [run[name].value for run in singles]
        assert goal.value == pytest.approx(np.median(values))
        assert goal.range == (min(values), max(values))
        assert goal.low <= goal.range[0] <= goal.range[1] <= goal.high
    assert combined["impossible bars, share"].met


def test_runs_are_written_with_their_goals(runs, tmp_path):
    json_path, html_path = write_fidelity(tmp_path, runs)
    written = json.loads(json_path.read_text("utf-8"))
    assert list(written["runs"]) == list(runs.results)
    assert len(written["goals"]) == len(written["runs"]["default, dreams 2"])
    assert written["facts"] == runs.first.results.to_dict()["facts"]
    text = html_path.read_text("utf-8")
    assert '<th scope="col">default, dreams 2</th>' in text
    assert text.count('role="img"') == 14
    html_path.unlink()
    assert rewrite_fidelity(tmp_path) == html_path
    assert html_path.read_text("utf-8") == text
    header, *lines = fidelity_summary(runs).splitlines()
    assert "range" in header
    assert len(lines) == len(runs.goals)


@pytest.mark.browser
def test_the_page_is_readable_wide_and_narrow_light_and_dark(runs, tmp_path):
    _, page = write_fidelity(tmp_path, runs)
    with chromium() as browser:
        for width, dark in LOOKS:
            look_over(browser, page, width, dark)
            assert len(charts(browser)) == 14


def test_the_interval_over_runs_holds_both_doubts():
    def goal(value: float, reach: float) -> Goal:
        return Goal.of("a", Interval(value, value - reach, value + reach), None, 1.0, "0.1")

    near = over_runs([goal(value, 0.3) for value in (0.4, 0.5, 0.6)])  # what a run cannot tell
    assert (near.value, near.low, near.high) == (0.5, pytest.approx(0.2), pytest.approx(0.8))
    assert (near.verdict, near.range, near.floor) == ("met", (0.4, 0.6), "0.1")
    far = over_runs([goal(value, 0.1) for value in (0.4, 0.5, 1.6)])  # what seeds change
    assert (far.low, far.high, far.verdict) == (pytest.approx(0.4), 1.6, "open")
    sure = over_runs([Goal.of("b", value, None, 1.0) for value in (2.0, 3.0)])
    assert (sure.value, sure.low, sure.high, sure.verdict) == (2.5, 2.0, 3.0, "missed")
    alone = goal(0.5, 0.1)
    assert over_runs([alone]) is alone


@pytest.mark.parametrize(("models", "seeds"), [({}, 1), ({"default": None}, 0)])
def test_nothing_to_run_is_refused(market, models, seeds):
    with pytest.raises(ConfigError, match=r"no world model|seeds is 0"):
        measure_runs(models, market, SMALL, seeds=seeds)


def test_the_card_tells_what_was_measured(world_model, runs) -> None:
    card = model_card(world_model, runs, more=["**Not for breakfast.**"])
    front, _, body = card.removeprefix("---\n").partition("---\n")
    assert "library_name: worldmodel-trading" in front
    assert "# World model of SYNTH, bars of " in body
    assert "2020-01-01" in body  # where its training range begins
    for goal in runs.goals:
        assert f"| {goal.name} | {goal.value:.3f} |" in body.replace("\\|", "|")
    missed = sum(goal.verdict == "missed" for goal in runs.goals)
    assert f"{missed} missed" in body
    assert "- **Not for breakfast.**" in body
    assert "- **Not for trading.**" in body
