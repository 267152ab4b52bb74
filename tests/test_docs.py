"""The documentation tells today's truth: its code runs as it stands, its links lead somewhere."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import doc_pages
import page_folder
import pytest
import yaml
from doc_pages import DOCS, PAGES, ROOT, SITE, Command, name_of

from worldmodel_trading.arguments import parser

LIMIT_S = 600  # for a page's code

SLOW = {  # pages whose Python takes over about 10 s, and why
    "README.md": "PPO on a million dreamed bars",
    "docs/agents.md": "the same, and a search on recorded bars",
    "docs/comparison.md": "a comparison",
    "docs/engine.md": "five searches",
    "docs/explore.md": "a sweep",
    "docs/regimes.md": "regimes found, and refits",
    "docs/first_agent.md": "PPO, a search, and their comparison",
    "docs/is_my_agent_good.md": "a comparison and a search",
    "docs/own_candles.md": "a training on nine months",
    "docs/evaluation.md": "every measure of fidelity, two minutes",
    "docs/scale.md": "a comparison by a cluster of Ray",
    "docs/stress.md": "two scenarios",
    "docs/transfer.md": "a joint training of two markets",
    "docs/world_model.md": "a training on a year",
}
RUN = {  # commands that are run as they stand, by how they begin; True is over about 15 s
    "data list": False,
    "data verify": False,
    "fetch --symbol": False,
    "fetch --universe": False,
    "hallucinate": False,
    "play": False,
    "regimes --world-model": True,
    "stress --agent": True,
}
OLD = {"CHANGELOG.md", "docs/changelog.md"}  # pages that speak of what was
FOREIGN = {  # programs of others, and modules that Python runs
    *(".", "cd", "deactivate", "echo", "export", "git", "mkdir", "ray", "source", "tensorboard"),
    *("http.server", "pip", "rl_zoo3.train", "venv"),
}
FOREIGN_OPTIONS = {"--logdir": "tensorboard", "--include-dashboard": "ray start"}


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def those(pages: list[Path], slow: Any) -> list[Any]:
    """Pages as a test's parameters."""
    return [
        pytest.param(page, id=name_of(page), marks=[pytest.mark.slow] * bool(slow(page)))
        for page in pages
    ]


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


# What the code of a page does


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    page_folder.prepare(folder)
    return folder


@pytest.fixture(scope="session")
def agents(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("agents")
    page_folder.train(prepared, folder)
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    page_folder.give(prepared, tmp_path)
    return tmp_path


def run(program: list[str], folder: Path, *, online: bool) -> str:
    """Run a Python program in a folder, with a market of its own where it needs the exchange."""
    environment = {
        **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        "WORLDMODEL_TRADING_DATA": str(folder / "market-data"),
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
    }
    with page_folder.market_open() as exchange:
        there = [str(ROOT / "tests/support/loopback.py"), exchange.url, exchange.stream.url]
        done = subprocess.run(
            [sys.executable, *(there if online else []), *program],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "page",
    those(
        [page for page in PAGES if doc_pages.script(text_of(page)).strip()],
        lambda page: name_of(page) in SLOW,
    ),
)
def test_a_page_s_python_runs(page: Path, folder: Path) -> None:
    script = doc_pages.script(text_of(page))
    (folder / "page.py").write_text(script, encoding="utf-8")
    online = re.search(r"\b(fetch_\w+|list_universe|BybitClient|KlineFeed)\b", script)
    shown = run(["page.py"], folder, online=online is not None)
    assert not unprinted(text_of(page), shown)


def unprinted(text: str, shown: str) -> list[str]:
    """Lines that a page says are printed, and are not, whatever their numbers on this processor."""
    lines = iter(map(shape, shown.splitlines()))
    return [line for line in doc_pages.printed(text) if line.strip() and shape(line) not in lines]


def shape(line: str) -> str:
    """A line without its numbers and the room they take."""
    return re.sub(r"[\s│]+", " ", re.sub(r"[-+−]?\d[\d.,:]*(e[-+]\d+)?", "#", line)).strip()


def test_what_is_not_printed_is_found() -> None:
    page = "```python\nprint(1)\n```\n\n```text\none  +1.5%\ntwo\n```\n\nNothing.\n\n```text\nthree\n```\n"
    assert unprinted(page, "one 20.25%\ntwo\n") == []
    assert unprinted(page, "two\none 20.25%\n") == ["two"]
    assert unprinted(page, "one 20.25\ntwo\n") == ["one  +1.5%", "two"]


def test_lines_of_a_script_are_those_of_its_page() -> None:
    page = 'A page.\n\n```python\nfirst = 1\n```\n\n    make test\n\n=== "tab"\n\n    ```py\n    second = 2\n    ```\n'
    assert doc_pages.script(page).splitlines() == [*[""] * 3, "first = 1", *[""] * 7, "second = 2"]


def to_run(page: Path) -> dict[Command, bool]:
    """The commands of a page that are run, and whether that takes long."""
    return {
        command: long
        for command in doc_pages.commands(text_of(page))
        for begun, long in RUN.items()
        if str(command).startswith(f"worldmodel-trading {begun}")
    }


@pytest.mark.parametrize(
    "page", those([page for page in PAGES if to_run(page)], lambda page: any(to_run(page).values()))
)
def test_a_page_s_quick_commands_run(page: Path, folder: Path, agents: Path) -> None:
    page_folder.give(agents, folder / "runs")
    for command in to_run(page):
        program = ["-m", "worldmodel_trading", *command.words[1:]]
        assert run(program, folder, online=command.words[1] in ("fetch", "watch", "data"))


def test_what_is_run_is_there() -> None:
    shown = [str(command) for page in PAGES for command in to_run(page)]
    for begun in RUN:
        assert any(one.startswith(f"worldmodel-trading {begun}") for one in shown), begun


# What its command lines say


@every_page
def test_commands_are_taken_by_today_s_parsers(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = []
    for command in doc_pages.commands(text_of(page)):
        if command.words[0] == "worldmodel-trading":
            assert taken(command.words[1:]), f"{page}:{command.line}: {capsys.readouterr().err}"
        elif re.fullmatch(r"python[\d.]*", command.words[0]):
            programs += program_of(page, command)
        elif command.words[0] in _SAID:
            fault = _SAID[command.words[0]](page, command)
            assert not fault, f"{page}:{command.line}: {command}: {fault}"
        elif command.tag in ("bash", "sh", "shell", "console"):
            assert command.words[0] in FOREIGN, f"{page}:{command.line}: {command}: what is that?"
    assert refused(programs) == {}


def taken(words: tuple[str, ...]) -> bool:
    """Whether the command's own parser takes the arguments; it says why not."""
    try:
        parser(defaultdict(lambda: print)).parse_args(words)
    except SystemExit as stop:
        return stop.code == 0  # --help, --version
    return True


def program_of(page: Path, command: Command) -> list[list[str]]:
    """What a line that begins with ``python`` runs, if a parser of ours reads it."""
    words = list(command.words[1:])
    if words[:1] == ["-m"] and words[1].startswith(("benchmarks", "worldmodel_trading")):
        return [words]
    if words[:1] == ["-m"]:
        assert words[1] in FOREIGN, f"{page}:{command.line}: {command}: what is that?"
        return []
    if words[0].startswith("examples/"):
        assert (ROOT / words[0]).exists(), f"{page}:{command.line}: {words[0]} is not there"
        return [words] if words[0] != "examples/notebook.py" else []
    assert named_before(page, command.line, words[0]), f"{page}:{command.line}: which {words[0]}?"
    return []


def named_before(page: Path, line: int, file: str) -> bool:
    """Whether a page has spoken of a file before it runs it."""
    return file in "\n".join(text_of(page).splitlines()[: line - 1])


def refused(programs: list[list[str]]) -> dict[str, str]:
    if not programs:
        return {}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/parse_only.py")],
        input=json.dumps(programs),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def makes_nothing(page: Path, command: Command) -> str | None:
    """Targets of the Makefile that are not there."""
    known = set(re.findall(r"(?m)^([a-z][\w-]*):", text_of(ROOT / "Makefile")))
    wanted = {word for word in command.words[1:] if "=" not in word}
    return f"no target {wanted - known}" if wanted - known else None


def installs_nothing(page: Path, command: Command) -> str | None:
    """Extras of the package that are not there."""
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    for word in command.words[1:]:
        extras = re.search(r"^(?:\.|worldmodel-trading[^\[]*|.*\.whl)\[([^\]]*)\]", word)
        unknown = (
            set(extras[1].split(",")) - set(project["optional-dependencies"]) if extras else ()
        )
        if unknown:
            return f"no extra {unknown}"
    return None


def opens_nothing(page: Path, command: Command) -> str | None:
    """Notebooks that are not there."""
    files = [word for word in command.words if word.endswith(".py")]
    missing = [file for file in files if not (ROOT / file).exists()]
    return f"no {missing}" if missing else None


_SAID = {
    "make": makes_nothing,
    "pip": installs_nothing,
    "pytest": opens_nothing,
    "marimo": opens_nothing,
}


@pytest.mark.parametrize(
    "line",
    [
        "worldmodel-trading run --colour red",
        "worldmodel-trading fly",
        "python -m benchmarks.audit --colour red",
        "python -m benchmarks.nothing",
        "python -m benchmarks.growth --bars 10 --colour red",
        "python examples/01_make_and_step.py --colour red",
        "python mine.py",
        "make nothing",
        "pip install 'worldmodel-trading[nothing]'",
        "marimo edit examples/nothing.py",
        "nothing --at all",
    ],
)
def test_a_command_that_does_not_exist_is_found(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        f"Do this:\n\n```bash\nmake test  # first\n.venv/bin/{line} \\\n    # then\n```\n"
    )
    with pytest.raises(AssertionError):
        test_commands_are_taken_by_today_s_parsers(page, capsys)


@pytest.mark.parametrize("page", [page for page in PAGES if name_of(page) not in OLD], ids=name_of)
def test_options_in_the_text_exist(page: Path) -> None:
    jobs, programs = options_of_jobs(), options_of_programs()
    everywhere = programs.union(*jobs.values())
    for code in doc_pages.codes(text_of(page)):
        words = code.removeprefix(".venv/bin/").removeprefix("worldmodel-trading ").split()
        named = re.findall(r"(?<![\w-])--[a-z][\w-]*", code)
        known = jobs.get(words[0], everywhere) if words and words[0] in jobs else everywhere
        unknown = [option for option in named if option not in known]
        assert unknown == [], f"{code}: unknown"


@functools.cache
def options_of_jobs() -> dict[str, frozenset[str]]:
    whole = parser(defaultdict(lambda: print))
    jobs = next(action.choices for action in whole._actions if isinstance(action.choices, dict))
    return {job: frozenset(one._option_string_actions) for job, one in jobs.items()}


@functools.cache
def options_of_programs() -> frozenset[str]:
    """Of benchmarks, examples and the command itself, and some of others."""
    files = [*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "examples").glob("*.py")]
    own = {option for file in files for option in re.findall(r'"(--[a-z][\w-]*)"', text_of(file))}
    return frozenset(own) | {"--help", "--version"} | set(FOREIGN_OPTIONS)


# Blocks of other languages


def of_tag(*tags: str) -> list[Any]:
    return [
        pytest.param(page, block, id=f"{name_of(page)}:{block.line}")
        for page in PAGES
        for block in doc_pages.blocks(text_of(page))
        if block.tag in tags
    ]


@pytest.mark.parametrize(("page", "block"), of_tag("json", "toml", "yaml", "yml") or [(None, None)])
def test_blocks_of_data_can_be_read(page: Path | None, block: doc_pages.Block | None) -> None:
    if block is None:
        pytest.skip("there is none")
    read = {"json": json.loads, "toml": tomllib.loads}.get(block.tag, yaml.safe_load)
    assert read(block.text)


@pytest.mark.parametrize(("page", "block"), of_tag("diff"))
def test_changes_that_are_shown_fit_the_code(page: Path, block: doc_pages.Block) -> None:
    before = "\n".join(text_of(page).splitlines()[: block.line - 1])
    assert fits(before, block.text)


def fits(before: str, change: str) -> bool:
    """Hold a change to the files that the text before it names last: an error says what is wrong."""
    files = named_code(before)
    lines = [line for line in change.splitlines() if not re.match(r"(\+\+\+|---|@@)( |$)", line)]
    old = [line[1:].rstrip() for line in lines if line[:1] != "+"]
    new = [line[1:].rstrip() for line in lines if line[:1] != "-"]
    if any(old):
        changed = [made for file in files if (made := replaced(text_of(file), old, new))]
        assert changed, f"these lines are in none of {files}: {old}"
        compile(changed[0], str(files[0]), "exec", dont_inherit=True)
        return True
    check = (
        "import sys, json; sys.path.insert(0, 'tests/support'); import doc_changes; "
        "doc_changes.check(*json.load(sys.stdin))"
    )
    done = subprocess.run(
        [sys.executable, "-c", check],
        input=json.dumps(["\n".join(new), list(map(module_of, files))]),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return True


def replaced(text: str, old: list[str], new: list[str]) -> str | None:
    """A text with some lines in the place of others; None where those are not in it."""
    lines = text.splitlines()
    for row in range(len(lines) - len(old) + 1):
        if lines[row : row + len(old)] == old:
            return "\n".join([*lines[:row], *new, *lines[row + len(old) :]]) + "\n"
    return None


def named_code(before: str) -> list[Path]:
    """The file, or the files of the folder, of the package that a text names last."""
    for code in reversed(re.findall(r"`([\w/]+(?:\.py|/))`", before)):
        path = ROOT / code
        if path.is_file():
            return [path]
        if path.is_dir():
            return sorted(path.glob("[a-z]*.py"))
    raise AssertionError("the text names no file of the package before the change")


def module_of(file: Path) -> str:
    return ".".join(("worldmodel_trading", *file.relative_to(ROOT).with_suffix("").parts))


def test_a_change_that_does_not_fit_is_found() -> None:
    before = "One class in `market/account/rewards.py`."
    for wrong in (
        "+class Cautious(Rewards):\n+    pass\n",
        "+class Cautious(Reward):\n+    def start(self):\n+        return begun\n",
        "+@nothing\n+class Cautious(Reward):\n+    pass\n",
        "+class Cautious(Reward:\n",
        "-class Nothing(Reward):\n+class Cautious(Reward):\n     pass\n",
        "     def start(self) -> tuple[float]:\n+        begun = 1\n",
        "     def start(self) -> tuple[float, ...]:\n+  begun = 1\n",
    ):
        with pytest.raises((AssertionError, SyntaxError)):
            fits(before, wrong)
    assert fits(
        before, "+@dataclass(frozen=True)\n+class Cautious(Reward):\n+    name = 'cautious'\n"
    )
    assert fits(before, "     def start(self) -> tuple[float, ...]:\n+        begun = 1\n")
    with pytest.raises(AssertionError, match="names no file"):
        fits("One class.", "+x = 1\n")


# Where pages lead


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    assert lost(page) == []


def lost(page: Path) -> list[str]:
    """Links of a page to files or headings that do not exist."""
    found = []
    for target, anchor in doc_pages.links(text_of(page)):
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and file.suffix == ".md" and not leads(file, anchor)):
            found.append(f"{target}#{anchor}".rstrip("#"))
    return found


def leads(file: Path, anchor: str) -> bool:
    text, on_site = text_of(file), DOCS in file.parents
    faces = re.findall(r"(?m)^::: +([\w.]+)", text)
    if any(anchor == face or anchor.startswith(f"{face}.") for face in faces):
        return importable(anchor)
    return anchor in doc_pages.anchors(text, on_site=on_site)


def importable(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    return importlib.util.find_spec(name.split(".")[0]) is not None and hasattr(
        importlib.import_module(module), attribute
    )


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    other.write_text("# Its title: `code`, *and* more\n\n```text\n# no heading\n```\n")
    page.write_text(
        "[a](other.md#its-title-code-and-more) [b](nothing.md) [c](other.md#no-heading)"
    )
    assert lost(page) == ["nothing.md", "other.md#no-heading"]


def test_the_site_has_every_page() -> None:
    def files(entry: Any) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        else:
            for each in entry.values() if isinstance(entry, dict) else entry:
                yield from files(each)

    nav = list(files(yaml.safe_load(text_of(ROOT / "mkdocs.yml"))["nav"]))
    assert len(nav) == len(set(nav))
    assert sorted(nav) == sorted(page.relative_to(DOCS).as_posix() for page in SITE)
