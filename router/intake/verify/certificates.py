"""Certificates that a provider publishes and names in each request. Each is fetched once; their number is bounded."""

import threading
import time
from collections import deque
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from router.intake.verify.fetched import Fetch, Fetched, fetch_url, fetched
from router.plugins.scheme import KeysAwaited, KeysUnavailable

MOST_CERTIFICATES = 16  #: certificates that are kept; a provider has one or two at a time
NEW_IN_A_MINUTE = 8  #: new addresses that are fetched in a minute


class Certificates:
    """RSA keys by the address of their certificate. Any thread may ask.

    Senders choose the address among the provider's hosts. So only a few new addresses are fetched in a minute, and they
    never replace a key that works.
    """

    def __init__(self, fetch: Fetch = fetch_url, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch, self._clock = fetch, clock
        self._lock = threading.Lock()
        self._by_url: dict[str, Fetched[RSAPublicKey]] = {}
        self._new: deque[float] = deque(maxlen=NEW_IN_A_MINUTE)  #: when new addresses were asked for

    def get(self, url: str) -> RSAPublicKey | KeysAwaited | KeysUnavailable:
        """The key. The caller has checked the address."""
        with self._lock:
            found = self._by_url.get(url) or self._add(url)
        return KeysUnavailable("too many certificates were named") if found is None else found.get()

    def _add(self, url: str) -> Fetched[RSAPublicKey] | None:
        now = self._clock()
        if len(self._new) == NEW_IN_A_MINUTE and now - self._new[0] < 60:
            return None
        if len(self._by_url) >= MOST_CERTIFICATES:
            useless = next((known for known, one in self._by_url.items() if not one.is_usable), None)
            if useless is None:
                return None
            del self._by_url[useless]
        self._new.append(now)
        self._by_url[url] = fetched(url, _read_certificate, self._fetch)
        return self._by_url[url]


def _read_certificate(text: bytes) -> RSAPublicKey:
    key = x509.load_pem_x509_certificate(text).public_key()
    if not isinstance(key, RSAPublicKey):
        raise ValueError("the certificate has no RSA key")
    return key
