"""What cannot be done is refused on one line, before any work for it is done or kept."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from worldmodel_trading.cli import main
from worldmodel_trading.models.storage import FORMAT

FETCH = "fetch --symbol BTCUSDT --start 2024-01-01"
WATCH = "watch --symbol BTCUSDT"
OUTSIDE = "outside the record: SYNTH 60 runs from 2020-01-01 00:00 UTC to 2022-12-31 00:00 UTC"
NO_FOLDER = "cannot be written: a part of its path is a file"
COUNT = "expected a whole number, {} or more".format
TEMPERATURE = "temperature is {}; expected a number, 0 ≤ temperature < 100"
DRIFT = "recorded, zero, or the mean simple return a year as a fraction, -10 ≤ drift ≤ 10"
REFUSALS = {
    "run --generations 0": f"generations is 0; {COUNT(1)}",
    "run --population 1": f"population is 1; {COUNT(2)}",
    "run --dreams 0": f"dreams is 0; {COUNT(1)}",
    "run --horizon 0": f"horizon is 0; {COUNT(1)}",
    "run --evaluation-dreams 0": f"evaluation_dreams is 0; {COUNT(1)}",
    "run --search-seeds 0": f"search_seeds is 0; {COUNT(1)}",
    "run --workers -1": f"workers is -1; {COUNT(0)}",
    "run --seed -1": f"seed is -1; {COUNT(0)}",
    "run --vae-epochs 0": f"vae_epochs is 0; {COUNT(1)}",
    "run --mdn-rnn-epochs -3": f"mdn_rnn_epochs is -3; {COUNT(1)}",
    "run --members 0": f"members is 0; {COUNT(1)}",
    "run --pessimism 0.5": "pessimism is 0.5, and one world model disagrees with nobody",
    "run --members 3 --pessimism -1": "pessimism is -1.0; expected a number",
    "run --members 2 --preset paper": "members is 2, and the paper preset has one M",
    "run --temperature nan": TEMPERATURE.format("nan"),
    "run --temperature -1": TEMPERATURE.format("-1.0"),
    "run --temperature inf": TEMPERATURE.format("inf"),
    "run --recent 0": "recent is 0.0; expected a number, 0 < recent ≤ 1",
    "run --recent nan": "recent is nan; expected a number, 0 < recent ≤ 1",
    "run --drift nan": f"drift is nan; expected {DRIFT}",
    "run --drift up": f"drift is 'up'; expected {DRIFT}",
    "run --refit 0": f"refit is 0; {COUNT(1)}",
    "run --end 2020-06-01 --refit 600": "refit is 600 bars, and the test range has 548: give fewer",
    "run --taker-fee nan": "taker_fee is nan; expected a number",
    "run --slippage -1": "slippage is -1.0; expected a number, 0 ≤ slippage",
    "run --account leverage=0": "leverage is 0; expected",
    "run --account colour=red": "'colour'",
    "run --candles nowhere.csv": "there is no file 'nowhere.csv'",
    "run --interval 7": "interval is '7'; expected one of 1, 3",
    "run --out file": f"file {NO_FOLDER}",
    "run --out file/below": f"{Path('file/below')} {NO_FOLDER}",
    "run --start 2022-12-31": f"--start is 2022-12-31 00:00 UTC, {OUTSIDE}",
    "run --start 2019-01-01": f"--start is 2019-01-01 00:00 UTC, {OUTSIDE}",
    "run --train-end 2031-01-01": f"--train-end is 2031-01-01 00:00 UTC, {OUTSIDE}",
    "run --validation-end 2020-01-01": f"--validation-end is 2020-01-01 00:00 UTC, {OUTSIDE}",
    "run --end 2022-12-31T01:00": f"--end is 2022-12-31 01:00 UTC, {OUTSIDE}",
    "run --end yesterday": "--end: time is 'yesterday'; expected ISO 8601",
    "run --train-end 2021-02-01 --validation-end 2021-01-01": "--validation-end is 2021-01-01 "
    "00:00 UTC, not later than --train-end, 2021-02-01 00:00 UTC",
    "run --end 2020-01-15": "the training range has",
    "run --funding nowhere.csv": "nowhere.csv",
    "run --funding 5": "funding is 5.0; expected a fraction of notional",
    "run --funding rates.csv": "--funding: FundingRates(2 rates, 2020-02-01 00:00 UTC – 2020-02-01 "
    "08:00 UTC) do not cover the validation range",
    "run --funding rates.csv --unrecorded-funding-rate nan": "unrecorded_funding_rate is nan",
    "run --funding rates.csv --start 2020-03-01": "no funding rates between",
    "run --symbol BTCUSDT": "--symbol without --candles is fetched: give --start as well",
    "run --symbol BTCUSDT --start 2024-01-01 --generations 0": "generations is 0",
    "run --symbol BTCUSDT --start 2024-01-01 --out file": f"file {NO_FOLDER}",
    "run --symbol BTCUSDT --start 2024-01-01 --data-dir file": "names the store",
    "hallucinate --temperature nan": TEMPERATURE.format("nan"),
    "hallucinate --temperature -1": TEMPERATURE.format("-1.0"),
    "hallucinate --temperature inf": TEMPERATURE.format("inf"),
    "hallucinate --drift up": f"drift is 'up'; expected {DRIFT}",
    "hallucinate --paths 0": f"paths is 0; {COUNT(1)}",
    "hallucinate --bars 0": f"bars is 0; {COUNT(1)}",
    "hallucinate --seed -1": f"seed is -1; {COUNT(0)}",
    "hallucinate --like 2022-12-31T01:00": f"--like is 2022-12-31 01:00 UTC, {OUTSIDE}",
    "hallucinate --like 2019-12-31": f"--like is 2019-12-31 00:00 UTC, {OUTSIDE}",
    "hallucinate --like noon": "--like: time is 'noon'; expected ISO 8601",
    "hallucinate --out file": f"file {NO_FOLDER}",
    "hallucinate --out file/below": f"{Path('file/below')} {NO_FOLDER}",
    "hallucinate --world-model nowhere": "there is no world model at nowhere",
    "hallucinate --candles nowhere.csv": "there is no file 'nowhere.csv'",
    "forecast --start 2023-01-01": f"--start is 2023-01-01 00:00 UTC, {OUTSIDE}",
    "forecast --end 2023-01-01": f"--end is 2023-01-01 00:00 UTC, {OUTSIDE}",
    "forecast --end 2020-01-01": f"--end is 2020-01-01 00:00 UTC, {OUTSIDE}",
    "forecast --start 2022-02-01 --end 2022-01-01": "--end is 2022-01-01 00:00 UTC, not later than "
    "--start, 2022-02-01 00:00 UTC",
    "forecast --save x.xlsx": "--save is 'x.xlsx'; expected a .csv or .parquet file",
    "forecast --save file/x.csv": f"file {NO_FOLDER}",
    "forecast --save folder.csv": "--save is 'folder.csv', a folder; expected a file",
    "hallucinate --out taken": "taken is there already: name another with --out, or replace it",
    "hallucinate --out taken --overwrite": "taken holds ",
    "hallucinate --out file --overwrite": f"file {NO_FOLDER}",
    "hallucinate --out x.xlsx": "x.xlsx: expected a name ending in .parquet or .csv, or a folder",
    "hallucinate --ood --out paths": "--ood is a column of a table",
    "hallucinate --picture fan.jpg": "--picture is 'fan.jpg'; expected a .png file",
    "hallucinate --picture fan.png": "--picture shows paths that go on from one moment",
    "hallucinate --start-price 0": "start_price is 0.0; expected a number, more than 0",
    "hallucinate --start-time 2024-01-01T00:30": "start_time is 2024-01-01 00:30 UTC; expected",
    "hallucinate --start-time 2099-12-20": "bars is 720; a path of so many from 2099-12-20 00:00 UTC",
    "hallucinate --like 2020-01-05": "paths need ",
    "fidelity --out taken": "taken holds the results of the job fidelity: name another folder",
    "pretrained --out taken": "taken holds the results of the job fidelity: name another folder",
    "run --out taken": "taken holds the results of the job fidelity: name another folder",
    "run --symbol BTCUSDT --start 2024-01-01 --out taken": "taken holds the results of the job",
    "fidelity --seeds 0": "seeds is 0; expected a whole number, at least 1",
    "fidelity --world-model nowhere": "there is no world model at nowhere",
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
    rates = "fundingRateTimestamp,fundingRate\n1580515200000,0.0001\n1580544000000,0.0001\n"
    (tmp_path / "rates.csv").write_text(rates)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "run.json").write_text('{"job": "fidelity"}')
    (tmp_path / "taken" / "fidelity.html").write_text("")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "manifest.json").write_text(f'{{"format": "{FORMAT}"}}')
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", _no_network)
    monkeypatch.setenv("WORLDMODEL_TRADING_DATA", str(tmp_path / "store"))
    assert main(command.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("worldmodel-trading: ")
    assert REFUSALS[command] in captured.err
    assert captured.err.count("\n") == 1
    assert "Baselines" not in captured.out  # the first stage of a run that takes time
    assert captured.out == "" or command.startswith("run")
    assert sorted(tmp_path.rglob("*")) == before


def _no_network(*_: object) -> None:
    raise AssertionError("the network was used before everything was refused that can be")
