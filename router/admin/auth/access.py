"""Who may ask the admin listener: its own names only, no other site's page, and whoever has the token."""

import hmac
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from router.admin.api.replies import refused
from router.admin.auth.failed_logins import FailedLogins
from router.admin.auth.hosts import is_of_another_site, is_ours
from router.domain.reply import Reply

_BEARER = re.compile(r"bearer +([\x21-\x7e]+)", re.IGNORECASE)
_LOG_SECONDS = 10.0  #: between two log lines about refused tokens: whoever guesses must not fill the disk

log = structlog.get_logger()


@dataclass(slots=True)
class AccessCheck:
    """Any thread may ask it."""

    token: bytes
    names: Collection[str]  #: by which the listener may be called besides its addresses and localhost; lower case
    closed: bool  #: whether everything needs the token, because others than this machine can reach the listener
    clock: Callable[[], float] = time.monotonic
    _failures: FailedLogins = field(default_factory=FailedLogins)
    _logged_at: float = float("-inf")
    _unlogged: int = 0

    def of_ours(self, headers: Mapping[str, str]) -> Reply | None:
        """Refuses who calls us by another's name, or is another site's page; header names in lower case."""
        if not is_ours(headers.get("host", ""), self.names):
            detail = (
                "the Host header names another server; use the admin listener's own address, or start it with"
                " --admin-hosts"
            )
            return refused(421, detail)
        if is_of_another_site(headers, self.names):
            return refused(403, "this comes from another site's page; ask the admin listener directly")
        return None

    def allowed(self, authorizations: Sequence[str], ip: str) -> Reply | None:
        """Refuses who does not prove to have the token, or has failed to too often."""
        now = self.clock()
        seconds = self._failures.wait(ip, now)
        if seconds:
            self._tell("too many wrong tokens", ip, now)
            detail = f"too many wrong tokens came from this address, or from all; try again in {seconds} s"
            return refused(429, detail, ("Retry-After", str(seconds)))
        if not authorizations:  # which guesses nothing, so it costs nothing
            self._tell("no token", ip, now)
            return _challenge("this needs the admin token: Authorization: Bearer TOKEN")
        found = _BEARER.fullmatch(authorizations[0]) if len(authorizations) == 1 else None
        if found is not None and hmac.compare_digest(found[1].encode("latin-1"), self.token):
            self._failures.succeeded(ip)
            return None
        self._failures.add(ip, now)
        self._tell("wrong token" if found else "malformed Authorization header", ip, now)
        return _challenge(
            "this is not the admin token" if found else "send one header, Authorization: Bearer TOKEN, and nothing else"
        )

    def _tell(self, reason: str, ip: str, now: float) -> None:
        """Say so in the log, now and then; two threads may count as one."""
        if now < self._logged_at + _LOG_SECONDS:
            self._unlogged += 1
            return
        others, self._unlogged, self._logged_at = self._unlogged, 0, now
        log.warning("admin request refused", reason=reason, ip=ip, others_since=others)


def _challenge(detail: str) -> Reply:
    return refused(401, detail, ("WWW-Authenticate", "Bearer"))
