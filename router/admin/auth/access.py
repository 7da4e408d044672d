"""Decides which requests the admin listener accepts: by Host, by origin, and by token."""

import hmac
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from router.admin.api.replies import problem_reply
from router.admin.auth.failed_logins import FailedLogins
from router.admin.auth.hosts import is_of_another_site, is_ours
from router.domain.external_url import ExternalUrl
from router.domain.reply import Reply

_BEARER = re.compile(r"bearer +([\x21-\x7e]+)", re.IGNORECASE)
_LOG_SECONDS = 10.0  #: between two log lines about refused tokens, so that guesses can't fill the disk

log = structlog.get_logger()


@dataclass(slots=True)
class AccessCheck:
    """Checks requests. Any thread may call it."""

    token: bytes
    names: Collection[str]  #: host names besides addresses and localhost, in lower case
    closed: bool  #: whether every request needs the token, because other machines reach the listener
    read_token: bytes | None = None  #: the read-only token; None: there is none
    external: ExternalUrl | None = None  #: the page's address behind a proxy
    clock: Callable[[], float] = time.monotonic
    _failures: FailedLogins = field(default_factory=FailedLogins)
    _logged_at: float = float("-inf")
    _unlogged: int = 0

    def check_host(self, headers: Mapping[str, str]) -> Reply | None:
        """Refuse a Host header of another server. Header names in lower case."""
        if not is_ours(headers.get("host", ""), self.names):
            detail = (
                "the Host header names another server; use the admin listener's own address, or start it with"
                " --admin-hosts"
            )
            return problem_reply(421, detail)
        return None

    def check_origin(self, headers: Mapping[str, str]) -> Reply | None:
        """Refuse requests from pages of other sites. Header names in lower case."""
        if self.is_foreign(headers):
            return problem_reply(403, "this comes from another site's page; ask the admin listener directly")
        return None

    def is_foreign(self, headers: Mapping[str, str]) -> bool:
        """Whether a page of another site sent the request. Header names in lower case."""
        return is_of_another_site(headers, self.names, "" if self.external is None else self.external.origin)

    def origin(self, headers: Mapping[str, str], *, is_secure: bool) -> str:
        """The origin of our own page for this browser. Header names in lower case. `is_secure`: the request came by our
        TLS.

        Behind a proxy it is the external origin: the proxy passes the browser's Host, or the browser tells its origin.
        """
        host, external = headers.get("host", ""), self.external
        if external is not None and (host.lower() == external.host or headers.get("origin") == external.origin):
            return external.origin
        return f"{'https' if is_secure else 'http'}://{host}"

    def check_token(self, authorizations: Sequence[str], ip: str, *, acts: bool = True) -> Reply | None:
        """Refuse a missing or wrong token, the read-only token where `acts`, and addresses with too many wrong
        tokens."""
        refusal = self.check_guesses(ip)
        if refusal is not None:
            return refusal
        now = self.clock()
        if not authorizations:  # not a guess, so it doesn't count
            self._log_refusal("no token", ip, now)
            return _challenge("this needs the admin token: Authorization: Bearer TOKEN")
        found = _BEARER.fullmatch(authorizations[0]) if len(authorizations) == 1 else None
        may_act = None if found is None else self._may_act(found[1].encode("latin-1"))
        if may_act is not None:
            self._failures.succeeded(ip)
            if acts and not may_act:
                return problem_reply(403, "this token may only read")
            return None
        self._failures.add(ip, now)
        self._log_refusal("wrong token" if found else "malformed Authorization header", ip, now)
        return _challenge(
            "this is not the admin token" if found else "send exactly one header Authorization: Bearer TOKEN"
        )

    def sees_all(self, authorizations: Sequence[str]) -> bool:
        """Whether this is the full token, which also sees hidden payloads."""
        found = _BEARER.fullmatch(authorizations[0]) if len(authorizations) == 1 else None
        return found is not None and hmac.compare_digest(found[1].encode("latin-1"), self.token)

    def check_guesses(self, ip: str) -> Reply | None:
        """Refuse an address with too many wrong guesses."""
        now = self.clock()
        seconds = self._failures.wait(ip, now)
        if not seconds:
            return None
        self._log_refusal("too many wrong tokens", ip, now)
        detail = f"too many wrong tokens came from this address, or from all; try again in {seconds} s"
        return problem_reply(429, detail, ("Retry-After", str(seconds)))

    def guessed_wrong(self, ip: str) -> None:
        """Count a wrong guess of the code in a sign-in link, the listener's other secret."""
        now = self.clock()
        self._failures.add(ip, now)
        self._log_refusal("wrong or used link", ip, now)

    def _may_act(self, given: bytes) -> bool | None:
        """Whether the holder of this token may change anything; None for an unknown token. Compares with both
        tokens."""
        reads = self.read_token is not None and hmac.compare_digest(given, self.read_token)
        return True if hmac.compare_digest(given, self.token) else False if reads else None

    def _log_refusal(self, reason: str, ip: str, now: float) -> None:
        """Log a refusal, at most once in _LOG_SECONDS; the count is approximate between threads."""
        if now < self._logged_at + _LOG_SECONDS:
            self._unlogged += 1
            return
        others, self._unlogged, self._logged_at = self._unlogged, 0, now
        log.warning("admin request refused", reason=reason, ip=ip, others_since=others)


def _challenge(detail: str) -> Reply:
    return problem_reply(401, detail, ("WWW-Authenticate", "Bearer"))
