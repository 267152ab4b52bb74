"""One HTTP connection pool to Bybit: paced, timed out, repeated with back-off, errors in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

import numpy as np
import requests
from urllib3.exceptions import HTTPError

from ..errors import (
    BybitAnswerError,
    BybitBlockedError,
    BybitError,
    BybitRequestError,
    BybitUnavailableError,
)
from . import parse as wire
from .pace import Pace, Rest
from .timed_http import TimedSession, read_body, unpacked

BASE_URL = "https://api.bybit.com"
ARCHIVE_URL = "https://public.bybit.com"

_T = TypeVar("_T")

_MAX_HINT_S = 60.0  # a server's "wait until" is trusted up to here
_TRANSIENT_CODES = {
    10000: "it timed out",
    10002: "it disagrees about the time",
    10006: "too many requests",
    10016: "it has an internal error",
}
_REFUSED_CODES = {
    10001: "a parameter is wrong, or the symbol is unknown",
    10017: "the address is no endpoint of Bybit's",
    10029: "the symbol is unknown or not tradable",
}


@dataclass(frozen=True)
class RetryPolicy:
    """How a request is paced and repeated.

    Attributes:
        max_attempts: Tries of one request.
        first_delay_s: Longest wait before the second try; it doubles with each further one.
        max_delay_s: Longest wait.
        spacing_s: Shortest time between two requests. 0.05 s is 100 requests in 5 s, a sixth
            of what Bybit allows an address.
        connect_timeout_s: Longest wait for a connection.
        read_timeout_s: Longest silence while an answer is read.
        answer_timeout_s: Longest time from a request to the last byte of its answer.
        max_answer_bytes: Of an answer's body, also unpacked. Bybit's largest pages have 0.1 MB.
    """

    max_attempts: int = 7
    first_delay_s: float = 0.5
    max_delay_s: float = 30.0
    spacing_s: float = 0.05
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 20.0
    answer_timeout_s: float = 30.0
    max_answer_bytes: int = 4_194_304


@dataclass(frozen=True)
class Answer:
    """A successful answer's content, and the server's time when it was sent [ms UTC]."""

    result: dict[str, Any]
    time_ms: int


class _TransientError(Exception):
    """A failure worth another try; ``error`` is what it becomes when the tries are used up."""

    def __init__(
        self, message: str, wait_s: float = 0.0, error: type[BybitError] = BybitUnavailableError
    ) -> None:
        super().__init__(message)
        self.wait_s = wait_s
        self.error = error


class Transport:
    """Sends requests and takes answers apart; see `BybitClient` for the arguments."""

    def __init__(
        self,
        base_url: str,
        retry: RetryPolicy,
        seed: int,
        clock: Callable[[], float],
        rest: Rest,
        pace: Pace,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BybitRequestError(f"base URL is {base_url!r}; expected one such as {BASE_URL}")
        self.base_url = base_url.rstrip("/")
        self.retry = retry
        self.requests_sent = 0
        self._rng = np.random.default_rng(seed)
        self._clock, self._rest, self._pace = clock, rest, pace
        self._answer_due = clock()
        self._session = TimedSession(self._patience_s)
        self._session.headers["User-Agent"] = "worldmodel-trading"

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def get(self, path: str, params: Mapping[str, str | int]) -> Answer:
        """Ask for a path until it answers, or the tries are used up.

        Raises:
            BybitError: See its subclasses.
        """
        return self._repeat(path, lambda: self._ask(path, params))

    def download(self, path: str, take: Callable[[BinaryIO], _T]) -> _T | None:
        """What is made of a file packed by gzip, unpacked while it comes; None if there is none.

        Args:
            path: The file.
            take: Reads it; called anew if the connection breaks.

        Raises:
            BybitError: See its subclasses.
        """
        return self._repeat(path, lambda: self._take(path, take))

    def _repeat(self, path: str, once: Callable[[], _T]) -> _T:
        """Do it until it answers, or the tries are used up."""
        fault = _TransientError("no try was allowed")
        for attempt in range(self.retry.max_attempts):
            if attempt:
                self._rest(max(self._back_off(attempt), min(fault.wait_s, _MAX_HINT_S)))
            self._rest(self._pace.delay_s())
            self.requests_sent += 1
            try:
                return once()
            except _TransientError as error:
                fault = error
        raise fault.error(
            f"{self.base_url}{path}: {fault} (tried {self.retry.max_attempts} times); "
            "try later, or another host with --base-url"
        )

    def _back_off(self, attempt: int) -> float:
        longest = min(self.retry.max_delay_s, self.retry.first_delay_s * 2.0 ** (attempt - 1))
        return longest * float(self._rng.uniform(0.5, 1.0))

    def _ask(self, path: str, params: Mapping[str, str | int]) -> Answer:
        response, content = self._read(path, params)
        try:
            body = wire.json_object(content)
            code = wire.integer(body.get("retCode"), "retCode")
            time_ms = wire.integer(body.get("time"), "time")
        except BybitAnswerError as error:
            # A maintenance page or a body cut short: worth asking again.
            raise _TransientError(str(error), error=BybitAnswerError) from None
        if code:
            _raise_code(code, body, response, time_ms, params)
        return Answer(wire.member(body, "result", dict, path), time_ms)

    def _read(self, path: str, params: Mapping[str, str | int]) -> tuple[requests.Response, bytes]:
        """An answer of HTTP 200 and its body."""
        with self._answer(path, params) as response:
            _check_status(response)
            try:
                return response, read_body(response, self.retry.max_answer_bytes)
            except BybitAnswerError as error:
                raise BybitAnswerError(f"{error}; check the base URL") from None

    def _take(self, path: str, take: Callable[[BinaryIO], _T]) -> _T | None:
        with self._answer(path, {}) as response:
            if response.status_code == 404:
                return None
            _check_status(response)
            with unpacked(response, self.retry.max_answer_bytes) as stream:
                return take(stream)

    @contextmanager
    def _answer(self, path: str, params: Mapping[str, str | int]) -> Iterator[requests.Response]:
        """An answer whose body is to be read in the block, in time."""
        url, timeout_s = self.base_url + path, self.retry.answer_timeout_s
        self._answer_due = self._clock() + timeout_s
        try:
            with self._session.get(
                url,
                params=dict(params),
                timeout=(self.retry.connect_timeout_s, self.retry.read_timeout_s),
                allow_redirects=False,
                stream=True,
            ) as response:
                yield response
        except BybitAnswerError as error:
            raise BybitAnswerError(f"{url}: {error}") from None
        except (requests.RequestException, HTTPError) as error:
            if self._patience_s() <= 0:
                raise _TransientError(f"no whole answer within {timeout_s:g} s") from None
            raise _TransientError(f"{type(error).__name__}: {error}") from None

    def _patience_s(self) -> float:
        """Longest wait for the next bytes of the present answer [s]."""
        return min(self.retry.read_timeout_s, self._answer_due - self._clock())


def _check_status(response: requests.Response) -> None:
    status, url = response.status_code, response.url
    if status == 200:
        return
    if status == 403:
        raise BybitBlockedError(
            f"{url}: refused (HTTP 403). Either this address sent too many requests: wait ten "
            "minutes. Or Bybit does not serve its country: use a regional host (--base-url)"
        )
    if status == 429 or status >= 500:
        hint = response.headers.get("Retry-After", "")
        raise _TransientError(f"HTTP {status}", float(hint) if hint.isdecimal() else 0.0)
    raise BybitRequestError(f"{url}: HTTP {status}; check the base URL")


def _raise_code(
    code: int,
    body: Mapping[str, Any],
    response: requests.Response,
    time_ms: int,
    params: Mapping[str, str | int],
) -> None:
    message = f"Bybit says {str(body.get('retMsg'))[:200]!r} (retCode {code})"
    if code in _TRANSIENT_CODES:
        wait_s = _until_reset(response, time_ms) if code == 10006 else 0.0
        raise _TransientError(f"{message}: {_TRANSIENT_CODES[code]}", wait_s)
    if code == 10009:
        raise BybitBlockedError(
            f"{message}: it does not serve this address's country; "
            "use the host of your region (--base-url)"
        )
    asked = ", ".join(f"{name} {value}" for name, value in params.items())
    raise BybitRequestError(f"{message}: {_REFUSED_CODES.get(code, 'refused')}; asked for {asked}")


def _until_reset(response: requests.Response, time_ms: int) -> float:
    """Seconds until the limit resets; 0 without the header, or when that is past."""
    reset = response.headers.get("X-Bapi-Limit-Reset-Timestamp", "")
    return max(0.0, (int(reset) - time_ms) / 1000) if reset.isdecimal() else 0.0
