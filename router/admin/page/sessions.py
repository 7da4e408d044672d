"""Who is signed in to the page: sessions by cookie, and one-time codes that open a session.

Nothing is written to a disk: a restart of the daemon signs everybody out.
"""

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

SESSION_SECONDS = 12 * 3600.0  #: a working day; then the page asks for the token again
CODE_SECONDS = 600.0  #: how long the link that `serve` prints opens a session
MOST_SESSIONS = 100  #: open at once; a further session ends the oldest
_RANDOM_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """One operator's browser."""

    csrf: str = field(repr=False)  #: the value that its forms must send
    may_act: bool  #: False: it is read-only
    ends_at: float  #: by the clock of Sessions


@dataclass(slots=True)
class Sessions:
    """The open sessions. Any thread may call it. `clock` gives monotonic seconds."""

    clock: Callable[[], float]
    _open: dict[bytes, Session] = field(default_factory=dict)  #: by the cookie's hash, the oldest first
    _codes: dict[bytes, float] = field(default_factory=dict)  #: when each code ends, by its hash
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, *, may_act: bool) -> tuple[str, Session]:
        """A new session, and the value of its cookie."""
        cookie = secrets.token_urlsafe(_RANDOM_BYTES)
        session = Session(secrets.token_urlsafe(_RANDOM_BYTES), may_act, self.clock() + SESSION_SECONDS)
        with self._lock:
            while len(self._open) >= MOST_SESSIONS:
                del self._open[next(iter(self._open))]
            self._open[_hash(cookie)] = session
        return cookie, session

    def find(self, cookie: str | None) -> Session | None:
        """The session of a cookie, unless it has ended."""
        if not cookie:
            return None
        with self._lock:
            session = self._open.get(_hash(cookie))
            if session is not None and session.ends_at <= self.clock():
                del self._open[_hash(cookie)]
                return None
        return session

    def end(self, cookie: str | None) -> None:
        """Sign out."""
        with self._lock:
            self._open.pop(_hash(cookie or ""), None)

    def make_code(self) -> str:
        """Make a code that opens one session, once."""
        code = secrets.token_urlsafe(_RANDOM_BYTES)
        with self._lock:
            self._codes[_hash(code)] = self.clock() + CODE_SECONDS
        return code

    def redeem(self, code: str) -> bool:
        """Use a code up. False for a code that is unknown, used or too old."""
        with self._lock:
            ends_at = self._codes.pop(_hash(code), None)
        return ends_at is not None and ends_at > self.clock()


def same(one: str, other: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


def _hash(secret: str) -> bytes:
    """The hash by which a secret is found, so that the time of a look-up tells nothing about it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
