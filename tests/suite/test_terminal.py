"""What a terminal can do to the command: old encodings, no output, a full disk, Ctrl-C too early."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from worldmodel_trading.cli import main

COMMAND = [sys.executable, "-m", "worldmodel_trading"]
EVERY_HELP = """
import sys
from worldmodel_trading.cli import main
for job in ("", "run", "fetch", "watch", "hallucinate", "forecast", "fidelity", "pretrained"):
    try:
        main([*filter(None, [job]), "--help"])
    except SystemExit as stop:
        assert stop.code == 0
main(["run", "--candles", "nowhere-τ.csv"])
"""


def buffered() -> dict[str, str]:
    """The environment, with outputs buffered as they are for users."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_every_page_of_help_can_be_read_in_any_encoding(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EVERY_HELP],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    shown, error = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert shown.count("usage: worldmodel-trading") == 8
    assert "?" not in shown
    assert ("τ" if encoding == "utf-8" else "tau") in shown
    assert error.startswith("worldmodel-trading: there is no file 'nowhere-")
    assert ("nowhere-τ.csv" if encoding == "utf-8" else "nowhere-tau.csv") in error


def test_every_character_that_the_package_writes_has_a_spelling_in_ascii() -> None:
    spec = find_spec("worldmodel_trading")
    assert spec is not None
    rooms = [find_spec(f"worldmodel_trading.{room}") for room in ("evaluation", "agents", "market")]
    written = set()
    for origin in [spec.origin, *(room.origin for room in rooms if room is not None)]:
        assert origin is not None
        for path in Path(origin).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    written |= set(node.value)
    foreign = sorted(character for character in written if not character.isascii())
    assert {"τ", "σ", "│"} <= set(foreign)
    spelled = {c: c.encode("ascii", "worldmodel-trading-plain").decode() for c in foreign}
    assert [c for c, plain in spelled.items() if not plain or "?" in plain] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_under_the_output_is_one_line() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "--help"], stdout=full, stderr=subprocess.PIPE, env=buffered(), check=False
        )
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("worldmodel-trading: standard output cannot be written: the disk is fu")


def test_an_output_that_nobody_reads_ends_the_command_without_a_word() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*COMMAND, "--help"], stdout=write, stderr=subprocess.PIPE, env=buffered(), check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(os.name != "posix", reason="needs a shell that closes outputs")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_output_is_as_good_as_none(closed: str) -> None:
    job = [*COMMAND, "run", "--candles", "nowhere.csv"]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *job], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == ("2>&-" not in closed)


@pytest.mark.parametrize(
    "module", ["numpy.linalg", "gymnasium.core", "pandas.core.api", "torch.nn"]
)
def test_ctrl_c_while_modules_load_is_one_line(module: str) -> None:
    """Python itself says which module has just been loaded; the first two load before `main`."""
    command = [sys.executable, "-X", "importtime", "-m", "worldmodel_trading", "forecast"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        if not line.startswith("import time:"):
            said.append(line)
        elif line.rstrip().endswith(f" {module}"):
            process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=120)
    assert (process.returncode, shown) == (130, "")
    assert "".join(said).strip() == "stopped"


def test_ctrl_c_belongs_to_whoever_imports_the_package() -> None:
    code = (
        "import signal, worldmodel_trading\n"
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)\n"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "True\n"


def test_help_leaves_by_the_front_door(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert "usage: worldmodel-trading" in capsys.readouterr().out


LAST_OF_ALL = """
import atexit, gc, sys, weakref
at_first, sys.argv[0] = gc.get_threshold()[0], {script!r}
atexit.register(lambda: print("frozen:", gc.get_freeze_count() > 1_000))
import worldmodel_trading
from worldmodel_trading.cli import main
own = set()
weakref.finalize(own, print, "finalised")
atexit.register(lambda: print("handler:", gc.get_freeze_count() > 1_000))
print("rarely:", gc.get_threshold()[0] > at_first)
sys.exit(main())
"""


@pytest.mark.parametrize("script", ["worldmodel-trading", "mine.py"])
@pytest.mark.parametrize(("job", "status"), [(["agents", "list"], 0), (["agents", "nowhere"], 2)])
def test_a_command_ends_in_order_without_a_search_for_cycles(
    job: list[str], status: int, script: str
) -> None:
    """Whatever waits for the end runs, the oldest last; who imports the package sees no change."""
    done = subprocess.run(
        [sys.executable, "-c", LAST_OF_ALL.format(script=script), *job],
        capture_output=True, text=True, env=buffered(), check=False,
    )  # fmt: skip
    is_command = script == "worldmodel-trading"
    assert done.returncode == status
    assert ("nowhere" in done.stderr) == (status == 2)
    first, *shown, handler, finalised, last = done.stdout.splitlines()
    assert (first, last) == (f"rarely: {is_command}", f"frozen: {is_command}")
    assert (handler, finalised) == ("handler: False", "finalised")
    assert any("momentum" in line for line in shown) == (status == 0)
