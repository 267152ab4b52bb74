"""``export``: episodes of agents in dreams and in replay, to Parquet and Minari."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from worldmodel_trading.cli import main


@pytest.mark.parametrize("venue", ["dream", "test"])
def test_episodes_of_a_rule(venue: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("minari")
    out, sets = tmp_path / "episodes.parquet", tmp_path / "sets"
    command = ["export", "momentum", "--venue", venue, "--episodes", "2", "--horizon", "20"]
    where = ["--out", str(out), "--minari", "synth/momentum-v0", "--minari-folder", str(sets)]
    assert main([*command, *where, "--account", "taker_fee=0.001"]) == 0
    assert f"2 episodes, 40 bars, of momentum in {venue}" in capsys.readouterr().out
    table = pd.read_parquet(out)
    assert table.groupby("episode").size().tolist() == [21, 21]
    assert (sets / "synth" / "momentum-v0" / "data" / "1").is_dir()
    traded = table[table.turnover > 0]
    assert (traded.cost > 0.00119 * traded.turnover).all()  # and slippage of 0.0002
    assert main([*command, *where]) == 2
    assert "is there already" in capsys.readouterr().err


REFUSALS = {
    "export momentum": "there is nowhere to write to",
    "export momentum --out x.csv": "--out is 'x.csv'; expected a .parquet file",
    "export momentum --minari x": "expected a name such as bybit/btc-ppo-v0",
    "export nobody --out x.parquet": "there is no agent 'nobody'",
    "export momentum --out x.parquet --episodes 0": "episodes is 0",
    "export momentum --out x.parquet --train-end 2030-01-01": "--train-end is",
}


@pytest.mark.parametrize("command", REFUSALS)
def test_a_refusal_is_one_line_and_leaves_nothing(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    assert main(command.split()) == 2
    assert REFUSALS[command] in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
