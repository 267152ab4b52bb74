from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="session")
def exchange() -> ModuleType:
    """The module beside this file: the loopback server and its faults."""
    path = Path(__file__).with_name("bybit_server.py")
    spec = importlib.util.spec_from_file_location("bybit_server", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bybit_server"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bybit(exchange: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A running server, and no proxy between it and the client."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = exchange.BybitServer()
    yield server
    server.close()
