"""``explore``: that scores are what the policies earn, that it goes on, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browser import look_at

from worldmodel_trading import explore
from worldmodel_trading.agents.search_spaces import Place, draw_block
from worldmodel_trading.cli import main
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.comparison.pay import Pay
from worldmodel_trading.evaluation.comparison.venues import Seen, dreamed, pay_of
from worldmodel_trading.evaluation.rollout import evaluate_policy
from worldmodel_trading.jobs.explore import Exploration
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.arrays import spread
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, OutputError, TrainingBarsError
from worldmodel_trading.market.times import format_time
from worldmodel_trading.models.world_model import WorldModel

SMALL: dict[str, Any] = {
    **{"spaces": ("linear", "momentum"), "count": 600, "dreams": 6, "horizon": 24},
    **{"finalists": 12, "fresh_dreams": 6, "best": 2, "audited": 20, "workers": 0},
}


@pytest.fixture(scope="module")
def explored(
    market_model: WorldModel, candles: Candles, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Exploration]:
    out = tmp_path_factory.mktemp("explored")
    return out, explore(market_model, candles, out, **SMALL)


def test_a_score_is_what_dreams_promise_the_policy(
    explored: tuple[Path, Exploration], market_model: WorldModel
) -> None:
    table = explored[1].candidates
    broker = BrokerConfig()
    place = Place(market_model, broker)
    for space, block, count in (("linear", 0, 300), ("momentum", 1, 44)):
        family = draw_block(space, place, 0, block, count).family
        paths = dreamed(market_model, 6, 24, broker, np.random.default_rng(0))
        pay = pay_of(paths, [family], broker)
        rows = table[table["space"] == space].iloc[-count:]
        for name in Pay._fields:
            assert np.array_equal(rows[name], getattr(pay, name)), (space, name)
        assert np.allclose(rows["score"], pay.net * 24)


def test_the_rival_is_scored_on_windows_of_the_training_range(
    explored: tuple[Path, Exploration], market_model: WorldModel, candles: Candles
) -> None:
    table, broker = explored[1].candidates, BrokerConfig()
    family = draw_block("linear", Place(market_model, broker), 0, 0, 300).family
    made = market_model.provenance
    rows = candles.row_range(made.train_start_ms, made.train_end_ms)
    windows = Seen.of(candles, market_model).paths(rows, 24)
    pay = pay_of([windows[k] for k in spread(6, len(windows))], [family], broker)
    recorded = table[table["space"] == "linear"]["recorded"]
    assert np.allclose(recorded, pay.net * 24)


def test_the_best_are_the_finalists_that_fresh_dreams_promise_most(
    explored: tuple[Path, Exploration],
) -> None:
    out, found = explored
    told = json.loads((out / "explore.json").read_text(encoding="utf-8"))
    best = [one for one in told["verified"] if "dream" in one["chosen_by"]]
    assert [one["name"] for one in best] == list(found.best)
    assert best[0]["fresh"] >= best[1]["fresh"]
    ordered = found.candidates.sort_values("score", ascending=False, kind="stable")
    finalists = {f"{s} {n}" for s, n in ordered[["space", "number"]].head(12).to_numpy()}
    assert set(found.best) <= finalists
    assert told["trials"] == 1_200
    assert told["luck"]["test"]["trials"] == 1_202


def test_a_replay_is_what_evaluate_policy_says(
    explored: tuple[Path, Exploration], market_model: WorldModel, candles: Candles
) -> None:
    told = explored[1].told
    name, policy = next(iter(explored[1].best.items()))
    start, end = told["ranges"]["test"]
    observation: Any = "latent" if name.startswith("linear") else "features"
    replay = BybitReplayEnv(
        candles, world_model=market_model, start=start, end=end, episode_length=None,
        random_start=False, observation=observation,
    )  # fmt: skip
    years = market_model.provenance.bars_per_year
    own = evaluate_policy(replay, policy, bars_per_year=years).performance
    said = next(one for one in told["verified"] if one["name"] == name)
    assert said["performance"]["test"] == own.to_dict()


def test_the_folder_and_the_page(explored: tuple[Path, Exploration]) -> None:
    out, found = explored
    table = pd.read_parquet(out / "candidates.parquet")
    assert len(table) == 600
    assert list(table["space"].unique()) == ["linear", "momentum"]
    page = (out / "explore.html").read_text(encoding="utf-8")
    assert "parcoords" in page
    assert "600 candidates" in page
    assert found.told["ranks"]["agreements"]["all"]["test"]


def test_the_page_is_made_again_from_the_folder(explored: tuple[Path, Exploration]) -> None:
    page = explored[0] / "explore.html"
    made = page.read_bytes()
    page.unlink()
    assert main(["report", str(explored[0])]) == 0
    assert page.read_bytes() == made


def test_workers_change_nothing(
    explored: tuple[Path, Exploration], market_model: WorldModel, candles: Candles, tmp_path: Path
) -> None:
    again = explore(
        market_model, candles, tmp_path / "two", **{**SMALL, "workers": 2, "audited": 0}
    )
    pd.testing.assert_frame_equal(again.candidates, explored[1].candidates)
    assert again.told["verified"] == explored[1].told["verified"]


def test_what_was_stopped_goes_on(
    explored: tuple[Path, Exploration], market_model: WorldModel, candles: Candles
) -> None:
    out, found = explored
    whole = (out / "explore.json").read_bytes()
    for name in ("explore.json", "checkpoints/fresh.npz", "checkpoints/dreams-momentum-1.npz"):
        (out / name).unlink()
    with pytest.raises(OutputError, match="--resume"):
        explore(market_model, candles, out, **SMALL)
    resumed = explore(market_model, candles, out, resume=True, **SMALL)
    assert (out / "explore.json").read_bytes() == whole
    pd.testing.assert_frame_equal(resumed.candidates, found.candidates)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"spaces": ("lineal",)}, "did you mean 'linear'"),
        ({"best": 20}, "12 finalists"),
        ({"count": 1}, "a candidate of each"),
        ({"objective": "luck"}, "expected one of log_return"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    wrong: dict[str, Any], said: str, market_model: WorldModel, candles: Candles, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        explore(market_model, candles, tmp_path / "no", **{**SMALL, **wrong})
    assert not (tmp_path / "no").exists()


def test_dreams_that_hear_actions_are_refused(
    paper_model: WorldModel, candles: Candles, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="preset 'market'"):
        explore(paper_model, candles, tmp_path / "no", **SMALL)
    assert not (tmp_path / "no").exists()


def test_bars_that_chose_the_model_cannot_verify(
    market_model: WorldModel, candles: Candles, tmp_path: Path
) -> None:
    early = format_time(market_model.provenance.validation_start_ms + 3_600_000 * 50)
    with pytest.raises(TrainingBarsError, match="--validation-end"):
        explore(market_model, candles, tmp_path / "no", validation_end=early, **SMALL)


def test_from_the_command_line(
    market_model: WorldModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    market_model.save_pretrained(folder)
    given = ["explore", "constant", "--world-model", str(folder), "--count", "20", "--dreams", "2"]
    given += ["--horizon", "12", "--finalists", "3", "--fresh-dreams", "2", "--best", "1"]
    given += ["--audited", "0", "--no-rival", "--workers", "0", "--out", str(tmp_path / "out")]
    status = main(given)
    said = capsys.readouterr()
    assert status == 0, said.err
    assert "constant" in said.out
    assert "holding" in said.out
    assert (tmp_path / "out" / "explore.html").exists()


@pytest.mark.browser
def test_the_page_as_readers_see_it(explored: tuple[Path, Exploration]) -> None:
    assert look_at(explored[0] / "explore.html") == 2 + 1  # a space each, and the ranks
