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
from collections.abc import Sequence

_parse = argparse.ArgumentParser.parse_args


class Parsed(BaseException):
    """The arguments were taken."""


def _parse_only(
    self: argparse.ArgumentParser,
    args: Sequence[str] | None = None,
    namespace: argparse.Namespace | None = None,
) -> None:
    _parse(self, args, namespace)
    raise Parsed


def refusal(words: Sequence[str]) -> str | None:
    """Why a program does not take its arguments; None if it does."""
    said = io.StringIO()
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
    argparse.ArgumentParser.parse_args = _parse_only  # type: ignore[assignment,method-assign]
    sys.path.insert(0, "")
    given = json.load(sys.stdin)
    refused = {" ".join(words): said for words in given if (said := refusal(words))}
    print(json.dumps(refused))
