"""Public keys and certificates that a provider publishes at an address, fetched in a thread of their own and cached.

`verify` never waits for the network: it returns `KeysAwaited`. An old document is used while a newer one is fetched,
and for a day when the fetches fail.
"""

import http.client
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar
from urllib.parse import urlsplit

import structlog

from router.plugins.scheme import KeysAwaited, KeysUnavailable

#: age at which a document is fetched again; providers announce new keys days before they use them
FRESH_SECONDS = 3600.0
USABLE_SECONDS = 86_400.0  #: age up to which an old document is used when no newer one can be fetched
AGAIN_SECONDS = 60.0  #: between two fetches for a key that the document lacks; anybody may name such a key
FAILED_SECONDS = 10.0  #: pause after a failed fetch; senders get 503 meanwhile
TIMEOUT_SECONDS = 5.0  #: for a connection, and for each read
MAX_BYTES = 256 * 1024  #: of a document; real ones have some 5 KiB

log = structlog.get_logger()
T = TypeVar("T")
Fetch = Callable[[str], bytes]
"""The document at an address. Raises OSError, HTTPException or ValueError."""


class Fetched(Generic[T]):
    """One document. Any thread may ask for it."""

    def __init__(self, url: str, read: Callable[[bytes], T], fetch: Fetch, clock: Callable[[], float]) -> None:
        self._url, self._read, self._fetch, self._clock = url, read, fetch, clock
        self._lock = threading.Lock()
        self._document: T | None = None
        self._came = self._tried = float("-inf")
        self._failed = False
        self._fetching: Future[None] | None = None

    def get(self) -> T | KeysAwaited | KeysUnavailable:
        """The document if there is a usable one; otherwise the fetch to wait for, or why there is none."""
        with self._lock:
            now = self._clock()
            document = self._document if now - self._came < USABLE_SECONDS else None
            fetching: Future[None] | None
            if now - self._came >= FRESH_SECONDS and not (self._failed and now - self._tried < FAILED_SECONDS):
                fetching = self._begin(now)
            else:
                fetching = self._fetching
            if document is not None:
                return document
            if fetching is not None:
                return KeysAwaited(fetching)
            return KeysUnavailable("the provider's public keys could not be fetched")

    @property
    def is_usable(self) -> bool:
        """Whether there is a document or a fetch is under way."""
        with self._lock:
            has_one = self._document is not None and self._clock() - self._came < USABLE_SECONDS
            return has_one or self._fetching is not None

    def newer(self) -> KeysAwaited | None:
        """A fetch of a newer document to wait for. None if the last fetch was a short time ago."""
        with self._lock:
            now = self._clock()
            if self._fetching is None and now - self._tried < AGAIN_SECONDS:
                return None
            return KeysAwaited(self._begin(now))

    def _begin(self, now: float) -> "Future[None]":
        if self._fetching is None:
            self._fetching, self._tried = Future(), now
            threading.Thread(target=self._run, args=(self._fetching,), name="fetch-keys", daemon=True).start()
        return self._fetching

    def _run(self, done: "Future[None]") -> None:
        try:
            document = self._read(self._fetch(self._url))
        except Exception as error:  # noqa: BLE001 - the end of a thread: the next one tries again
            log.warning("public keys could not be fetched", host=urlsplit(self._url).hostname, error=_reason(error))
            document = None
        with self._lock:
            self._failed = document is None
            if document is not None:
                self._document, self._came = document, self._clock()
            self._fetching = None
        done.set_result(None)


def _reason(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)[:200]


def fetch_url(url: str) -> bytes:
    """GET an https address (http on loopback), without redirects and proxies."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, parts.port, timeout=TIMEOUT_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        response = connection.getresponse()
        body = response.read(MAX_BYTES + 1)
    finally:
        connection.close()
    if response.status != 200:
        raise ValueError(f"the answer is {response.status}")
    if len(body) > MAX_BYTES:
        raise ValueError(f"the answer is larger than {MAX_BYTES} bytes")
    return body


def fetched(url: str, read: Callable[[bytes], T], fetch: Fetch = fetch_url) -> Fetched[T]:
    """A document that is fetched at its first use."""
    return Fetched(url, read, fetch, time.monotonic)
