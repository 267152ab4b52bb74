"""A Ray cluster that asks for a token, or an instance of this machine alone; nothing else of Ray is used.

Whoever reaches a cluster's ports without a token may run anything on its nodes, so that one that answers
without is refused. Ray reads ``RAY_AUTH_MODE`` as it is imported: it is imported here, and nowhere before.
"""

from __future__ import annotations

import importlib
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ...market.errors import ConfigError
from ...market.extras import require

LOCAL = "local"
MODE, TOKEN = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"
_CURE = (
    "start every node with RAY_AUTH_MODE=token and the same token (ray get-auth-token --generate; copy "
    "~/.ray/auth_token to each node, or set RAY_AUTH_TOKEN)"
)
_PROBE = """
import sys
from ray._raylet import GcsClient
GcsClient(address=sys.argv[1]).internal_kv_get(b"worldmodel-trading", None, timeout=10)
"""
_REFUSED = "InvalidAuthToken"  # what a cluster with tokens says to one that has none
_CONNECT_S = 10.0
_users = 0
_ours = False


def connect(address: str | None, workers: int) -> Any:
    """Connect this process to Ray; to be followed by one `disconnect`.

    Args:
        address: ``HOST:PORT``, ``auto``, or None for an instance of this machine.
        workers: CPUs of an instance of this machine.

    Returns:
        The module.

    Raises:
        MissingPackageError: Ray is not installed.
        ConfigError: There is no such cluster, or one that anybody may use.
    """
    global _users, _ours
    ray = _imported()
    if not ray.is_initialized():
        _init(ray, address, workers)
        _ours = True
    try:
        refuse_open(ray.get_runtime_context().gcs_address)
    except ConfigError:
        if not _users:
            _leave(ray)
        raise
    _users += 1
    return ray


def disconnect(ray: Any) -> None:
    """Leave Ray, once nobody uses the connection; an instance of this machine ends."""
    global _users
    _users -= 1
    if not _users:
        _leave(ray)


def _leave(ray: Any) -> None:
    global _ours
    if _ours:
        ray.shutdown()
    _ours = False


def refuse_open(address: str) -> None:
    """Refuse a cluster that answers without a token.

    Raises:
        ConfigError: It does, or it does not answer at all.
    """
    asked = subprocess.run(
        [sys.executable, "-c", _PROBE, address],
        env={**os.environ, MODE: "disabled"},
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode == 0:
        raise ConfigError(
            f"the Ray cluster at {address} answers without a token, so that anybody who reaches its ports "
            f"may run anything there: {_CURE}"
        )
    if _REFUSED not in asked.stderr:
        last = (asked.stderr.strip().splitlines() or ["nothing"])[-1]
        raise ConfigError(f"the Ray cluster at {address} could not be asked for its token: {last}")


def _imported() -> Any:
    """Ray, with its tokens on, and what it tells others of itself off."""
    mode = os.environ.get(MODE, "token")
    if mode.lower() != "token" or ("ray" in sys.modules and MODE not in os.environ):
        raise ConfigError(
            f"{MODE} is {os.environ.get(MODE, 'not set')}, and Ray is used with tokens alone: set "
            f"{MODE}=token before this process imports ray, and {_CURE}"
        )
    os.environ[MODE] = "token"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    require("ray", "the executor 'ray'")
    import ray

    return ray


def _init(ray: Any, address: str | None, workers: int) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        own_token()
        with _on_loopback():
            ray.init(LOCAL, num_cpus=workers, num_gpus=0, include_dashboard=False, **quiet)
        return
    if not _has_token():
        raise ConfigError(f"there is no token for the Ray cluster at {address}: {_CURE}")
    _refuse_unreachable(ray, address)
    try:
        ray.init(address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        with suppress(Exception):
            ray.shutdown()
        raise ConfigError(
            f"the Ray cluster at {address} cannot be used from here: {_first_line(error)}\nThis machine has "
            f"to be one of its nodes (ray start --address=HOST:PORT), and its token the cluster's: {_CURE}"
        ) from None


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Have an instance listen to this machine alone, as Ray itself does on Windows and macOS."""
    constants: Any = importlib.import_module("ray._private.ray_constants")
    before = constants.ENABLE_RAY_CLUSTER
    constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


def own_token() -> None:
    """Give this process, and the nodes that it starts, a token of their own where there is none."""
    if not _has_token():
        os.environ[TOKEN] = secrets.token_hex(32)


def _has_token() -> bool:
    """Whether Ray will find one: it looks for these three, and remembers what it found."""
    named = TOKEN in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    return named or (Path.home() / ".ray" / "auth_token").exists()


def _refuse_unreachable(ray: Any, address: str) -> None:
    """Ask whether anybody listens: Ray itself would go on asking for minutes."""
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if "/" in address or not (colon and host and port.isdigit()):
        raise ConfigError(f"ray_address is {address!r}; expected HOST:PORT, or auto")
    if host in ("localhost", "127.0.0.1"):
        host = ray.util.get_node_ip_address()  # as which Ray knows this machine
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"nobody answers at {host}:{port} ({error}): start a cluster there with ray start --head"
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
