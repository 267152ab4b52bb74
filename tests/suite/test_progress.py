"""What long work tells a person: few lines, none wider than a terminal, and none where asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from worldmodel_trading.models.training.callbacks import Row
from worldmodel_trading.progress import Amount, Counter, TrainingConsole, be_quiet, say, tell


@pytest.fixture
def quiet() -> Iterator[None]:
    be_quiet(True)
    yield
    be_quiet(False)


def row(stage: str, epoch: int) -> Row:
    made: Row = {"stage": stage, "epoch": epoch, "train_loss": -123.45678}
    made |= {"validation_loss": -123.45678, "seconds": 12.345, "memory_mb": 1234.5}
    return made


def train(console: TrainingConsole, stage: str, epochs: int, first: int = 1, last: int = 0) -> None:
    console.on_stage_start(stage, epochs)
    if first > 1:
        console.on_resume(stage, [row(stage, epoch) for epoch in range(1, first)])
    for epoch in range(first, (last or epochs) + 1):
        console.on_epoch(row(stage, epoch))
    console.on_stage_end(stage)


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.err == ""  # no terminal, no bar
    return captured.out.splitlines()


@pytest.mark.parametrize("stage", ["vae", "mdn_rnn"])
def test_a_stage_tells_few_epochs_the_last_among_them(
    stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    train(TrainingConsole(), stage, 1_000, last=790)
    lines = told(capsys)
    assert [int(line.split()[2]) for line in lines] == [1, 125, 250, 375, 500, 625, 750, 790]
    assert max(map(len, lines)) <= 80
    assert "validation -123.4568" in lines[0]


def test_short_stages_tell_every_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    train(TrainingConsole(), "vae", 3)
    assert [line[:13] for line in told(capsys)] == [f"  V epoch   {n}" for n in (1, 2, 3)]


def test_a_stage_that_goes_on_says_where_and_repeats_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    train(TrainingConsole(), "mdn_rnn", 40, first=21)
    first, *lines = told(capsys)
    assert first == "  M goes on after epoch 20"
    assert [int(line.split()[2]) for line in lines] == [25, 30, 35, 40]


@pytest.mark.usefixtures("quiet")
def test_quiet_leaves_results_and_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    console = TrainingConsole()
    train(console, "vae", 3)
    console.on_note("half of the mean is trusted")
    console.on_warning("the losses look odd")
    say("Evaluation")
    with Counter("C", 2, "generation") as counter:
        counter("a generation")
    with Amount("BTCUSDT", "bar") as amount:
        amount(1, 2)
    tell("the table")
    assert told(capsys) == ["  warning: the losses look odd", "the table"]
