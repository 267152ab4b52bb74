"""Parses command lines of Python programs, as those do, and goes no further.

The lines come as a JSON list of lists of words on the standard input; the refused ones go back
likewise, each with what its parser said. Run from the repository's root.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import runpy
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from worldmodel_trading import arguments

_parse = argparse.ArgumentParser.parse_args
_known = argparse.ArgumentParser.parse_known_args


class Parsed(BaseException):
    """The arguments were taken."""


def _parse_only(self: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> None:
    """In place of `parse_args`: refuses as that does, and else ends the program."""
    _, left = _parsed(self, args, namespace)
    if left:
        self.error(f"unrecognized arguments: {' '.join(left)}")
    raise Parsed


def _parse_first(self: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> None:
    """In place of `parse_known_args`: what is left is for `worldmodel-trading run`."""
    _, left = _parsed(self, args, namespace)
    _parsed_whole(arguments.parser(defaultdict(lambda: print)), ["run", *left])
    raise Parsed


def _parsed_whole(parser: argparse.ArgumentParser, words: list[str]) -> None:
    _use(argparse.ArgumentParser, _parse, _known)
    parser.parse_args(words)


def _parsed(self: argparse.ArgumentParser, args: Any, namespace: Any) -> tuple[Any, list[str]]:
    _use(argparse.ArgumentParser, _parse, _known)  # parsers of subcommands, too
    try:
        return _known(self, args, namespace)
    finally:
        _use(argparse.ArgumentParser, _parse_only, _parse_first)


def _use(kind: Any, whole: Any, first: Any) -> None:
    kind.parse_args, kind.parse_known_args = whole, first


def refusal(words: Sequence[str]) -> str | None:
    """Why a program does not take its arguments; None if it does."""
    said = io.StringIO()
    _use(argparse.ArgumentParser, _parse_only, _parse_first)
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            if words[0] == "-m":
                sys.argv = list(words[1:])
                runpy.run_module(words[1], run_name="__main__", alter_sys=True)
            else:
                sys.argv = list(words)
                runpy.run_path(words[0], run_name="__main__")
    except Parsed:
        return None
    except SystemExit as stop:
        return None if stop.code in (0, None) else said.getvalue() or str(stop.code)
    except ImportError as error:
        return str(error)
    return "it ran without reading its arguments"


if __name__ == "__main__":
    sys.path.insert(0, "")
    given = json.load(sys.stdin)
    refused = {" ".join(words): said for words in given if (said := refusal(words))}
    print(json.dumps(refused))
