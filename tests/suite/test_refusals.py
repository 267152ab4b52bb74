"""What cannot be done is refused on one line, before any work for it is done or kept."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from worldmodel_trading.cli import main

FETCH = "fetch --symbol BTCUSDT --start 2024-01-01"
WATCH = "watch --symbol BTCUSDT"
OUTSIDE = "outside the record: SYNTH 60 runs from 2020-01-01 00:00 UTC to 2022-12-31 00:00 UTC"
NO_FOLDER = "cannot be written: a part of its path is a file"
REFUSALS = {
    "dream --temperature nan": "temperature is nan; expected a number, 0 or more",
    "dream --temperature -1": "temperature is -1.0; expected a number, 0 or more",
    "dream --temperature inf": "temperature is inf; expected a number, 0 or more",
    "dream --count 0": "count is 0; expected a whole number, 1 or more",
    "dream --bars 0": "bars is 0; expected a whole number, 1 or more",
    "dream --seed -1": "seed is -1; expected a whole number, 0 or more",
    "dream --at 2022-12-31": f"--at is 2022-12-31 00:00 UTC, {OUTSIDE}",
    "dream --at 2019-12-31": f"--at is 2019-12-31 00:00 UTC, {OUTSIDE}",
    "dream --at noon": "--at: time is 'noon'; expected ISO 8601",
    "dream --out file": f"file {NO_FOLDER}",
    "dream --out file/below": f"{Path('file/below')} {NO_FOLDER}",
    "dream --world-model nowhere": "there is no world model at nowhere",
    "dream --candles nowhere.csv": "there is no file 'nowhere.csv'",
    "forecast --start 2023-01-01": f"--start is 2023-01-01 00:00 UTC, {OUTSIDE}",
    "forecast --end 2023-01-01": f"--end is 2023-01-01 00:00 UTC, {OUTSIDE}",
    "forecast --end 2020-01-01": f"--end is 2020-01-01 00:00 UTC, {OUTSIDE}",
    "forecast --start 2022-02-01 --end 2022-01-01": "--end is 2022-01-01 00:00 UTC, not later than "
    "--start, 2022-02-01 00:00 UTC",
    "forecast --save x.xlsx": "--save is 'x.xlsx'; expected a .csv or .parquet file",
    "forecast --save file/x.csv": f"file {NO_FOLDER}",
    "forecast --save folder.csv": "--save is 'folder.csv', a folder; expected a file",
    "fidelity --seed -1": "seed is -1; expected a whole number, 0 or more",
    "fidelity --out file": f"file {NO_FOLDER}",
    "pretrained --out file": f"file {NO_FOLDER}",
    f"{WATCH} --bars 0": "bars is 0; expected a whole number, 1 or more",
    f"{WATCH} --interval 240": "interval is 240; this world model was trained on 60",
    f"{WATCH} --controller nowhere": "nowhere is no linear controller",
    "watch --symbol btc": "symbol is 'btc'; expected capital letters",
    "fetch --symbol BTCUSDT --start yesterday": "--start: time is 'yesterday'; expected ISO 8601",
    f"{FETCH} --end 2023-01-01": "--end is 2023-01-01 00:00 UTC, not later than --start",
    f"{FETCH} --interval 7": "interval is '7'; expected one of 1, 3",
    f"{FETCH} --data-dir file": "--data-dir or WORLDMODEL_TRADING_DATA names the store",
    f"{FETCH} --base-url nonsense": "base URL is 'nonsense'; expected one such as",
}


@pytest.mark.parametrize("command", REFUSALS)
def test_a_refusal_is_one_line_and_leaves_nothing(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.csv").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", _no_network)
    monkeypatch.setenv("WORLDMODEL_TRADING_DATA", str(tmp_path / "store"))
    assert main(command.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("worldmodel-trading: ")
    assert REFUSALS[command] in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder.csv"]


def _no_network(*_: object) -> None:
    raise AssertionError("the network was used before everything was refused that can be")
