"""Loads renewed certificates when their files change, and on SIGHUP."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from router.domain.certificates import CertificateError
from router.domain.files.trust import readable_by_all
from router.http.certificate import Certificate
from router.rules.reload.file_stat import FileStat, secret_file_stat

POLL_SECONDS = 1.0  #: between two checks of the files; a change is used when the next check finds the same files
RETRY_SECONDS = 60.0  #: until refused files are read again: a certificate may become valid as time passes
REMIND_SECONDS = 86400.0  #: between two warnings of a certificate that expires soon
#: a certificate expires soon when less time is left; renewal tools begin 30 days before its end
SOON_SECONDS = 14 * 86400.0

log = structlog.get_logger()

View = tuple[FileStat, ...]


@dataclass(slots=True)
class _Watched:
    """One listener's certificate, and how its last load ended. Times are monotonic."""

    listener: str
    certificate: Certificate
    seen: View  #: at the last check
    judged: View  #: at the last load
    refused: str = ""  #: why the files are not used; empty when they are
    retry_at: float = field(default=0.0)
    remind_at: float = field(default=0.0)


class CertificateWatch:
    """Watches certificates in a thread of its own. Any thread and any signal handler may call `reload_soon`."""

    def __init__(
        self, certificates: Mapping[str, Certificate], renewed: Callable[[str], None] = lambda _: None
    ) -> None:
        """The certificates, by the names of their listeners; `renewed` is called with the name of one that was loaded
        again."""
        self._renewed = renewed
        self._watched = [_watched(name, certificate) for name, certificate in certificates.items()]
        self._wake = threading.Event()
        self._asked = self._stopping = False
        self._thread = threading.Thread(target=self._run, name="certificates", daemon=True)

    @property
    def listeners(self) -> list[str]:
        """The names of the listeners that have a certificate."""
        return sorted(one.listener for one in self._watched)

    def expirations(self) -> dict[str, float]:
        """When each listener's certificate expires, in Unix time. Any thread may call it."""
        return {one.listener: one.certificate.expires.timestamp() for one in self._watched}

    def start(self) -> None:
        """Start watching."""
        for one in self._watched:
            if readable_by_all(one.certificate.files.key):
                log.warning(
                    "every user of this machine can read the TLS key; chmod it to 600",
                    listener=one.listener,
                    file=str(one.certificate.files.key),
                )
        if self._watched:
            self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def reload_soon(self) -> None:
        """Read all files again, changed or not."""
        self._asked = True
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            asked, self._asked = self._asked, False
            for one in self._watched:
                try:
                    self._look(one, time.monotonic(), asked=asked)
                except Exception as error:  # this thread must continue whatever happens
                    log.error("certificates can't be watched; trying again", listener=one.listener, exc_info=error)
            self._wake.wait(POLL_SECONDS)

    def _look(self, one: _Watched, now: float, *, asked: bool) -> None:
        view = _view(one.certificate)
        # Renewal tools write certificate and key one after the other. In between they don't match.
        is_steady, one.seen = view == one.seen, view
        is_due = one.refused and now > one.retry_at
        if asked or (is_steady and (view != one.judged or is_due)):
            self._reload(one, view, now, asked=asked)
        _remind(one, now)

    def _reload(self, one: _Watched, view: View, now: float, *, asked: bool) -> None:
        changed, one.judged, one.retry_at = view != one.judged, view, now + RETRY_SECONDS
        try:
            one.certificate.reload()
        except CertificateError as error:
            if asked or changed or str(error) != one.refused:
                expires = one.certificate.expires.isoformat()
                log.error(
                    "renewed certificate refused; the old one stays",
                    listener=one.listener,
                    error=str(error),
                    old_expires=expires,
                )
            one.refused = str(error)
            return
        one.refused, one.remind_at = "", 0.0
        self._renewed(one.listener)
        log.info("certificate loaded", listener=one.listener, expires=one.certificate.expires.isoformat())


def _watched(listener: str, certificate: Certificate) -> _Watched:
    # The first check reads the files again: they may have changed since the certificate was loaded.
    return _Watched(listener, certificate, _view(certificate), ())


def _view(certificate: Certificate) -> View:
    return tuple(secret_file_stat(path) for path in certificate.files.paths())


def _remind(one: _Watched, now: float) -> None:
    left = (one.certificate.expires - datetime.now(UTC)).total_seconds()
    if left < SOON_SECONDS and now > one.remind_at:
        one.remind_at = now + REMIND_SECONDS
        text = "certificate has expired; renew it" if left < 0 else "certificate expires soon; renew it"
        log.warning(text, listener=one.listener, expires=one.certificate.expires.isoformat())
