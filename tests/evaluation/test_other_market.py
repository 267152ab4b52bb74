"""Bars of another interval or symbol than a world model's, wherever they meet it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from worldmodel_trading.agents.live import LiveTrader
from worldmodel_trading.agents.rules import flat
from worldmodel_trading.cli import main
from worldmodel_trading.evaluation.comparison.rank_agreement import measure_rank_agreement
from worldmodel_trading.evaluation.fidelity.measure import measure_fidelity
from worldmodel_trading.evaluation.rollout import evaluate_policy
from worldmodel_trading.market.candles import UNNAMED, Candles
from worldmodel_trading.market.errors import OtherMarketError, OtherMarketWarning
from worldmodel_trading.market.files.export import write_candles
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.quality import mdn_rnn_quality, vae_quality
from worldmodel_trading.models.world_model import WorldModel

Meeting = Callable[[WorldModel, Candles], Any]
UNSEEN = 1_900  # the first bar after the tiny model's


def replayed(model: WorldModel, candles: Candles) -> Any:
    return gym.make("BybitReplay-v0", candles=candles, world_model=model, episode_length=50)


def replayed_in_lanes(model: WorldModel, candles: Candles) -> Any:
    return gym.make_vec(
        "BybitReplay-v0", num_envs=2, candles=candles, world_model=model, episode_length=50
    )


def dreamed_along(model: WorldModel, candles: Candles) -> Any:
    env = gym.make("WorldModelDream-v0", world_model=model, horizon=20)
    return env.reset(options={"candles": candles})


WARNED: dict[str, Meeting] = {
    "latents": lambda model, candles: model.latents(candles),
    "forecast": lambda model, candles: model.return_forecast(candles),
    "replay": replayed,
    "lanes": replayed_in_lanes,
    "dream": dreamed_along,
    "live": lambda model, candles: LiveTrader(model, flat()).warm_up(candles),
    "V's quality": vae_quality,
    "M's quality": mdn_rnn_quality,
}


def ranked(model: WorldModel, candles: Candles, **allowed: bool) -> Any:
    rows = {"later": (UNSEEN, len(candles))}
    return measure_rank_agreement(
        model, candles, rows, seed=0, controllers=8, dreams=2, bars=5, **allowed
    )


def judged(model: WorldModel, candles: Candles, **allowed: bool) -> Any:
    env = gym.make(
        "BybitReplay-v0",
        candles=candles,
        world_model=model,
        start=int(candles.open_time_ms[UNSEEN]),
        episode_length=50,
    )
    return evaluate_policy(env, flat(), bars_per_year=8_760, **allowed)


@pytest.fixture(scope="module")
def other(candles: Candles) -> Candles:
    return replace(candles, symbol="OTHERUSDT", instrument=None)


@pytest.mark.parametrize("meeting", list(WARNED))
def test_another_symbol_is_warned_of_and_goes_on(
    market_model: WorldModel, candles: Candles, other: Candles, meeting: str
) -> None:
    WARNED[meeting](market_model, candles)
    WARNED[meeting](market_model, replace(candles, symbol=UNNAMED, instrument=None))
    said = "candles are of OTHERUSDT; this world model was trained on SYNTH"
    with pytest.warns(OtherMarketWarning, match=said):
        WARNED[meeting](market_model, other)


@pytest.mark.parametrize("meeting", [*WARNED, "ranks", "fidelity"])
@pytest.mark.parametrize("interval", ["15", "240", "D"])
def test_another_interval_is_refused(market_model: WorldModel, meeting: str, interval: str) -> None:
    bars = synthetic_candles(bars=400, interval=interval)
    meet = (WARNED | {"ranks": ranked, "fidelity": measure_fidelity})[meeting]
    with pytest.raises(OtherMarketError, match=rf"interval is {interval}.*trained on 60: give"):
        meet(market_model, bars)


@pytest.mark.filterwarnings("ignore::worldmodel_trading.market.errors.OtherMarketWarning")
@pytest.mark.parametrize("compare", [ranked, judged])
def test_another_symbol_is_not_compared_unless_asked_in_as_many_words(
    market_model: WorldModel, other: Candles, compare: Callable[..., Any]
) -> None:
    assert compare(market_model, other, allow_other_market=True) is not None
    cure = r"OTHERUSDT; .* on SYNTH: give candles of the same market, or say allow_other_market"
    with pytest.raises(OtherMarketError, match=cure):
        compare(market_model, other)


def test_fidelity_refuses_another_symbol(market_model: WorldModel, other: Candles) -> None:
    with pytest.raises(OtherMarketError, match="OTHERUSDT"):
        measure_fidelity(market_model, other)


@pytest.mark.parametrize(
    ("symbol", "told"),
    [
        ("BTCUSDT", False),
        ("BTC-USDT", False),
        ("btc/usdt:USDT", False),
        (UNNAMED, False),
        ("BTCUSDC", True),
        ("ETHUSDT", True),
    ],
)
def test_one_instrument_is_spelled_in_many_ways(
    market_model: WorldModel, symbol: str, told: bool
) -> None:
    provenance = replace(market_model.provenance, symbol="BTCUSDT")
    assert bool(provenance.other_market(symbol)) is told


def test_bars_that_do_not_say_whose_they_are_still_count_as_trained_on(
    market_model: WorldModel, candles: Candles
) -> None:
    nameless = replayed(market_model, replace(candles, symbol=UNNAMED, instrument=None)).unwrapped
    assert nameless.training_bars == replayed(market_model, candles).unwrapped.training_bars > 0


@pytest.fixture(scope="module")
def folder(market_model: WorldModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("model")
    market_model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("job", ["hallucinate", "forecast"])
def test_jobs_say_so_in_one_line(
    folder: Path, other: Candles, job: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "OTHERUSDT-60.parquet"
    write_candles(other, path)
    out = str(tmp_path / "dreams.parquet")
    more = ["--paths", "2", "--bars", "3", "--out", out] if job == "hallucinate" else []
    assert main([job, "--world-model", str(folder), "--candles", str(path), *more]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "worldmodel-trading: the candles are of OTHERUSDT; this world model was trained on SYNTH"
    ]


@pytest.mark.parametrize("job", ["hallucinate", "forecast", "fidelity"])
@pytest.mark.parametrize("interval", ["240", "D"])
def test_jobs_refuse_another_interval(
    folder: Path, job: str, interval: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "SYNTH.parquet"
    write_candles(synthetic_candles(bars=400, interval=interval), path)
    given = [job, "--world-model", str(folder), "--candles", str(path)]
    out = [] if job == "forecast" else ["--out", str(tmp_path / "dreams.parquet")]
    assert main([*given, *out]) == 2
    assert f"interval is {interval}" in capsys.readouterr().err


def test_the_fidelity_job_can_be_told_to_go_on(
    folder: Path, other: Candles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "OTHERUSDT-60.parquet"
    write_candles(other.rows(0, 1_000), path)  # it ends inside the training range
    arguments = ["fidelity", "--world-model", str(folder), "--candles", str(path)]
    assert main(arguments) == 2
    assert "--allow-other-market" in capsys.readouterr().err
    assert main([*arguments, "--allow-other-market"]) == 2
    told = capsys.readouterr().err
    assert "are of OTHERUSDT" in told
    assert "inside the training range" in told
