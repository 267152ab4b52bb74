"""HTTP whose answers have a deadline and a largest size, whatever a server sends and how slowly.

The time-outs of `requests` bound each silence, not an answer: a byte a second would hold its reader
for ever. Here every single read from the socket waits no longer than the answer has left.
"""

from __future__ import annotations

import gzip
import http.client
import io
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from ..errors import BybitAnswerError

_BLOCK_BYTES = 65_536


class TimedSession(requests.Session):
    """A session that follows no redirect and reads no answer longer than it may.

    Args:
        patience_s: Gives the longest wait for the next bytes of the present answer [s]; at most 0
            when its time is over.
    """

    def __init__(self, patience_s: Callable[[], float]) -> None:
        super().__init__()
        self.headers["Accept-Encoding"] = "gzip"  # all that `read_body` unpacks
        for scheme in ("http://", "https://"):
            self.mount(scheme, _TimedAdapter(patience_s))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: to find the target, `requests` would read the whole body, however long."""


def read_body(response: requests.Response, max_bytes: int) -> bytes:
    """The body of an answer that was asked for with ``stream=True``, unpacked.

    Raises:
        BybitAnswerError: It is larger than allowed, packed or unpacked, or packed in another way
            than by gzip, or not well.
        requests.RequestException, urllib3.exceptions.HTTPError: It breaks off, or is late.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise BybitAnswerError(f"the answer is packed as {encoding[:40]!r}; asked for was gzip")
    unpacker = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    body = bytearray()
    received = 0
    while block := response.raw.read(_BLOCK_BYTES, decode_content=False):
        received += len(block)
        try:
            # One byte more than allowed is enough to know, however far a bomb would unpack.
            body += unpacker.decompress(block, max_bytes + 1 - len(body)) if unpacker else block
        except zlib.error as error:
            raise BybitAnswerError(f"the answer cannot be unpacked: {error}") from None
        if max(received, len(body)) > max_bytes:
            raise BybitAnswerError(f"the answer is larger than {max_bytes:,} bytes")
    return bytes(body)


@contextmanager
def unpacked(response: requests.Response, max_bytes: int) -> Iterator[BinaryIO]:
    """The content of a file packed by gzip, unpacked block by block as it comes.

    Args:
        response: An answer that was asked for with ``stream=True``.
        max_bytes: Of the file as it is packed.

    Raises:
        BybitAnswerError: In the block: the file is larger than allowed, or not packed well.
        requests.RequestException, urllib3.exceptions.HTTPError: It breaks off, or is late.
    """
    try:
        with gzip.GzipFile(fileobj=_Counted(response.raw, max_bytes)) as stream:
            yield cast(BinaryIO, stream)
    except EOFError:
        raise HTTPError("the file ends early") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise BybitAnswerError(f"the file cannot be unpacked: {error}") from None


class _Counted(io.RawIOBase):
    """The bytes of an answer as they were sent, up to a number of them."""

    def __init__(self, raw: Any, max_bytes: int) -> None:
        self._raw, self._max_bytes, self._left = raw, max_bytes, max_bytes

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most ``size``."""
        block: bytes = self._raw.read(min(size, _BLOCK_BYTES) if size >= 0 else _BLOCK_BYTES)
        self._left -= len(block)
        if self._left < 0:
            raise BybitAnswerError(f"the file is larger than {self._max_bytes:,} bytes")
        return block


class _TimedReader(io.RawIOBase):
    """The reading side of a socket, with a time-out that is set anew before every read."""

    def __init__(
        self, raw: io.RawIOBase, connection: socket.socket, patience_s: Callable[[], float]
    ) -> None:
        self._raw, self._connection, self._patience_s = raw, connection, patience_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        patience_s = self._patience_s()
        if patience_s <= 0:
            raise TimeoutError("the time for the answer is over")
        self._connection.settimeout(patience_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedAdapter(HTTPAdapter):
    """Connections, direct or by a proxy, whose answers are read by a `_TimedReader`."""

    def __init__(self, patience_s: Callable[[], float]) -> None:
        class Response(http.client.HTTPResponse):
            def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
                super().__init__(sock, *args, **kwargs)
                raw = self.fp.detach()  # nothing is read yet
                self.fp = io.BufferedReader(_TimedReader(raw, sock, patience_s))

        class Plain(HTTPConnection):
            response_class = Response

        class Secure(HTTPSConnection):
            response_class = Response

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self._pools = {"http": PlainPool, "https": SecurePool}
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> PoolManager:
        manager: PoolManager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager
