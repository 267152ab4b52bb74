"""The pages of the documentation, taken apart: code blocks, command lines, headings, links."""

from __future__ import annotations

import re
import shlex
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SITE = sorted(DOCS.rglob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *SITE]

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>```+|~~~+) *\{? *\.?(?P<tag>[\w+-]*)[^\n]*$")
_SNIPPET = re.compile(r'^ *(?:-{2,}8<-{2,}) +"([^"]+)" *$')
_CHAINED = {"&&", "||", "|", ";", "&"}


def name_of(page: Path) -> str:
    """A page's path from the repository's root."""
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        tag: Its language; ``indented`` where the block is one by its four spaces.
        line: The page's line that its first line is.
        text: Without what the whole block is indented by.
    """

    tag: str
    line: int
    text: str


@dataclass(frozen=True)
class Command:
    """A command of a shell block.

    Attributes:
        line: Where it begins.
        words: As a shell would split it, without variables before it and folders before a program.
        tag: Of its block.
    """

    line: int
    words: tuple[str, ...]
    tag: str

    def __str__(self) -> str:
        return shlex.join(self.words)


def blocks(text: str) -> list[Block]:
    """All blocks of a page, in order."""
    found, lines, at = [], text.splitlines(), 0
    while at < len(lines):
        opening = _FENCE.match(lines[at])
        if opening:
            end = at + 1
            while end < len(lines) and lines[end].strip() != opening["fence"]:
                end += 1
            found.append(_block(opening["tag"].lower(), at + 1, lines[at + 1 : end]))
            at = end + 1
        elif lines[at].startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            end = at
            while (
                end < len(lines) and lines[end].startswith("    ") and not _FENCE.match(lines[end])
            ):
                end += 1
            if end > at:
                found.append(_block("indented", at, lines[at:end]))
            at = max(end, at + 1) if end > at else at + 1
        else:
            at += 1
    return found


def _block(tag: str, first: int, lines: list[str]) -> Block:
    whole = "\n".join(_included(line) for line in lines)
    return Block(tag, first + 1, textwrap.dedent(whole) + "\n")


def _included(line: str) -> str:
    """A line, or the file that it includes."""
    snippet = _SNIPPET.match(line)
    return (ROOT / snippet[1]).read_text(encoding="utf-8") if snippet else line


def script(text: str) -> str:
    """A page's Python blocks as one program; a line of it is the page's line of that number."""
    written: list[str] = []
    for block in blocks(text):
        if block.tag in ("python", "py"):
            written += [""] * (block.line - 1 - len(written))
            written += block.text.splitlines()
    return "\n".join(written) + "\n"


def printed(text: str) -> list[str]:
    """What a page says that its Python prints: the lines of text blocks right after Python's."""
    found, end = [], -1
    for block in blocks(text):
        if block.tag in ("python", "py"):
            end = block.line + block.text.count("\n")
        elif block.tag == "text" and block.line - end <= 3:
            found += block.text.splitlines()
    return found


def prose(text: str) -> str:
    """A page without its blocks."""
    lines = text.splitlines()
    for block in blocks(text):
        for row in range(block.line - 1, min(len(lines), block.line - 1 + block.text.count("\n"))):
            lines[row] = ""
    return "\n".join(lines)


def commands(text: str) -> list[Command]:
    """The command lines of a page's shell blocks, those that several lines write as one."""
    found = []
    for block in blocks(text):
        if block.tag in ("python", "py", "diff", "json", "toml", "yaml", "yml", "mermaid"):
            continue
        for line, said in _logical_lines(block):
            said = said.removeprefix("$ ").strip()
            if said and not said.startswith("#"):
                found += [Command(line, words, block.tag) for words in _split(said)]
    return found


def _logical_lines(block: Block) -> Iterator[tuple[int, str]]:
    begun, first = "", block.line
    for number, line in enumerate(block.text.splitlines(), start=block.line):
        if not begun:
            first = number
        begun += line.removesuffix("\\")
        if not line.endswith("\\"):
            yield first, begun
            begun = ""
    if begun:
        yield first, begun


def _split(said: str) -> list[tuple[str, ...]]:
    lexer = shlex.shlex(said, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # no shell would take it: output, a formula
        return []
    found: list[list[str]] = [[]]
    for word in words:
        if word in _CHAINED:
            found.append([])
        elif found[-1] or not re.match(r"[A-Z_]+=", word):
            found[-1].append(word)
    return [(Path(words[0]).name or words[0], *words[1:]) for words in found if words]


def codes(text: str) -> list[str]:
    """What stands between backticks in a page's prose."""
    plain = re.sub(r"\s+", " ", prose(text))
    return [code.strip() for _, code in re.findall(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", plain)]


def links(text: str) -> list[tuple[str, str]]:
    """Links into this repository: page, or nothing for the same one, and anchor, or nothing."""
    plain = re.sub(r"`[^`\n]*`", "", prose(text))
    found = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)", plain)
    return [(page, anchor) for page, anchor in found if page or anchor]


def anchors(text: str, *, on_site: bool) -> set[str]:
    """Where links may lead in a page, as the site, or else GitHub, names its headings."""
    found: Counter[str] = Counter()
    names = set()
    for heading in re.findall(r"(?m)^#{1,6} +(.+?)#* *$", prose(text)):
        own = re.search(r"\{[^}]*#([\w.-]+)[^}]*\} *$", heading)
        said = re.sub(r"\]\([^)]*\)|[`*\[]|<[^>]*>", "", heading)
        slug = own[1] if own else _site_slug(said) if on_site else _github_slug(said)
        repeated = f"{slug}{'_' if on_site else '-'}{found[slug]}"
        names.add(repeated if found[slug] else slug)
        found[slug] += 1
    return names | set(re.findall(r"(?:id|name)=\"([^\"]+)\"", text))


def _site_slug(heading: str) -> str:
    """As Python-Markdown's table of contents does."""
    plain = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def _github_slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
