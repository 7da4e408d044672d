"""The daemon loads renewed certificates while it runs."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from router.daemon import certificate_watch
from router.daemon.certificate_watch import CertificateWatch
from router.http.certificate import Certificate, TlsFiles
from tests.conftest import until
from tests.http.authority import Authority

Lines = list[Any]
LOADED, REFUSED = "certificate loaded", "renewed certificate refused; the old one stays"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that signs certificates."""
    return Authority(tmp_path)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than a test takes between writing a certificate and its key, in most cases.
    monkeypatch.setattr(certificate_watch, "POLL_SECONDS", 0.25)


@pytest.fixture
def watched(authority: Authority) -> Iterator[tuple[Certificate, CertificateWatch, Lines]]:
    """A certificate, its watch, and the lines that the watch logs."""
    with capture_logs() as lines:
        certificate = Certificate(authority.issue(ends=timedelta(days=20)))
        watch = CertificateWatch({"intake": certificate})
        watch.start()
        until(lambda: lines)
        lines.clear()
        yield certificate, watch, lines
        watch.stop()


def _count(lines: Lines, event: str) -> int:
    return sum(line["event"] == event for line in lines)


def test_a_changed_certificate_is_loaded(
    watched: tuple[Certificate, CertificateWatch, Lines], authority: Authority
) -> None:
    certificate, watch, lines = watched
    before, ended = certificate.context, watch.expirations()

    authority.issue(ends=timedelta(days=30))
    until(lambda: _count(lines, LOADED))

    assert certificate.context is not before
    assert watch.expirations()["intake"] > ended["intake"]
    assert [line["log_level"] for line in lines if line["event"] == LOADED] == ["info"]


def test_a_certificate_is_loaded_once_its_key_fits(
    watched: tuple[Certificate, CertificateWatch, Lines], authority: Authority
) -> None:
    certificate, _, lines = watched
    new = authority.issue("renewed", ends=timedelta(days=30))
    certificate.files.cert.write_bytes(new.cert.read_bytes())
    until(lambda: _count(lines, REFUSED))
    before = certificate.context

    certificate.files.key.write_bytes(new.key.read_bytes())
    until(lambda: _count(lines, LOADED))

    assert certificate.context is not before


def test_a_refused_certificate_is_reported_once_and_tried_again(
    watched: tuple[Certificate, CertificateWatch, Lines], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificate_watch, "RETRY_SECONDS", 0.05)
    tries: list[int] = []
    reload = Certificate.reload

    def counted(self: Certificate) -> None:
        tries.append(1)
        reload(self)

    monkeypatch.setattr(Certificate, "reload", counted)
    certificate, watch, lines = watched
    certificate.files.key.unlink()
    until(lambda: len(tries) > 3)
    assert _count(lines, REFUSED) == 1

    watch.reload_soon()  # on request the refusal is reported again
    until(lambda: _count(lines, REFUSED) == 2)
    authority.issue(ends=timedelta(days=30))
    until(lambda: _count(lines, LOADED) == 1)


def test_a_certificate_that_expires_soon_gets_a_warning(authority: Authority) -> None:
    with capture_logs() as lines:
        watch = CertificateWatch({"admin": Certificate(authority.issue(ends=timedelta(days=3)))})
        watch.start()
        until(lambda: _count(lines, "certificate expires soon; renew it"))
        watch.stop()

    assert _count(lines, "certificate expires soon; renew it") == 1


def test_a_key_that_everybody_can_read_gets_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate_watch, "readable_by_all", lambda path: path.suffix == ".key")
    files = Authority(tmp_path).issue(ends=timedelta(days=30))
    with capture_logs() as lines:
        watch = CertificateWatch({"intake": Certificate(TlsFiles(files.cert, files.key))})
        watch.start()
        watch.stop()

    assert lines[0]["file"] == str(files.key)
    assert lines[0]["log_level"] == "warning"


def test_without_certificates_no_thread_runs() -> None:
    watch = CertificateWatch({})
    watch.start()
    watch.reload_soon()

    assert "certificates" not in [thread.name for thread in threading.enumerate()]
    watch.stop()


def test_a_listener_learns_of_a_renewed_certificate_before_the_log_does(authority: Authority) -> None:
    told: list[tuple[str, int]] = []
    with capture_logs() as lines:
        watch = CertificateWatch(
            {"intake": Certificate(authority.issue())}, lambda name: told.append((name, len(lines)))
        )
        watch.start()
        until(lambda: [line for line in lines if line["event"] == LOADED])
        watch.stop()

    assert told == [("intake", 0)]
