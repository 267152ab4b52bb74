"""Holds code that a page would add to the modules that it would be added to."""

from __future__ import annotations

import ast
import builtins
import dis
import importlib
import textwrap
from collections.abc import Iterator, Sequence
from types import CodeType


def check(added: str, modules: Sequence[str]) -> None:
    """Run code as if it stood in one of the modules.

    Args:
        added: The code.
        modules: Import names; the code may use what any of them knows.

    Raises:
        NameError: The code, or a function in it, uses a name that none of them knows.
    """
    known: dict[str, object] = {}
    for module in modules:
        known |= vars(importlib.import_module(module))
    known["__name__"] = modules[0]
    tree = ast.parse(textwrap.dedent(added))
    names = _drop_enlisting(tree)
    code = compile(tree, "<added>", "exec", dont_inherit=True)
    exec(code, known)
    names |= set(_globals(code))
    missing = {name for name in names if name not in known and not hasattr(builtins, name)}
    if missing:
        raise NameError(f"nothing is called {', '.join(sorted(missing))}")


def _drop_enlisting(tree: ast.Module) -> set[str]:
    """Take away what enlists classes, which is open while its module is made; returns its names."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            plain = [one for one in node.decorator_list if isinstance(one, ast.Name)]
            names |= {one.id for one in plain}
            node.decorator_list = [one for one in node.decorator_list if one not in plain]
    return names


def _globals(code: CodeType) -> Iterator[str]:
    """Names that functions in the code look up in their module."""
    for step in dis.get_instructions(code):
        if step.opname == "LOAD_GLOBAL":
            yield step.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals(constant)
