"""Runs a program, or a command of the package, with a loopback server in the exchange's place.

    python loopback.py HTTP_URL STREAM_URL page.py ARGUMENTS…
    python loopback.py HTTP_URL STREAM_URL -m worldmodel_trading ARGUMENTS…

The program is run as it stands: the addresses that it gives, or leaves to their defaults, are
exchanged where the package opens a connection.
"""

from __future__ import annotations

import functools
import runpy
import sys
from typing import Any

from worldmodel_trading.market.bybit.feed import KlineFeed
from worldmodel_trading.market.bybit.transport import Transport


def _redirect(owner: Any, argument: str, url: str) -> None:
    """Have instances of a class take a URL in place of any that they are given, or none."""
    begin = owner.__init__

    def there(value: Any) -> Any:
        return url if isinstance(value, str) and "://" in value else value

    @functools.wraps(begin)
    def begin_there(self: Any, *args: Any, **named: Any) -> None:
        args = tuple(map(there, args))
        if url not in args:
            named[argument] = url
        begin(self, *args, **named)

    owner.__init__ = begin_there


if __name__ == "__main__":
    _, http, stream, *program = sys.argv
    _redirect(Transport, "base_url", http)
    _redirect(KlineFeed, "url", stream)
    if program[0] == "-m":
        sys.argv = program[1:]
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = program
        runpy.run_path(program[0], run_name="__main__")
