"""The daemon with TLS: renewed certificates under load, client certificates, and unusable files."""

import http.client
import signal
import ssl
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from router.http.certificate import TlsFiles
from tests.conftest import PATIENCE_SECONDS, Answer, Daemon, until
from tests.free_port import free_port
from tests.http.authority import Authority

Start = Callable[..., Daemon]
RULES = "sources: {open: {verify: none}}\nrules: [{name: all, actions: [append: all.jsonl]}]\n"
SENDERS = 4
LOADED, REFUSED = "certificate loaded", "renewed certificate refused; the old one stays"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that signs the certificates of the daemon and its clients."""
    folder = tmp_path / "tls"
    folder.mkdir()
    return Authority(folder)


def _flags(files: TlsFiles, prefix: str = "--tls") -> tuple[str, ...]:
    client_ca = () if files.client_ca is None else (f"{prefix}-client-ca", str(files.client_ca))
    return (f"{prefix}-cert", str(files.cert), f"{prefix}-key", str(files.key), *client_ca)


def _ask(
    port: int,
    context: ssl.SSLContext,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> tuple[Answer, bytes]:
    """Send a request on its own connection. Return the answer and the daemon's certificate."""
    connection = http.client.HTTPSConnection("localhost", port, timeout=PATIENCE_SECONDS, context=context)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
        shown = connection.sock.getpeercert(binary_form=True)
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read()), shown or b""
    finally:
        connection.close()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_certificates_are_renewed_under_load_and_no_connection_is_refused(
    start: Start, authority: Authority, processes: str
) -> None:
    daemon = start(RULES, flags=(*_flags(authority.issue()), "--processes", processes))
    context, over, shown = authority.client(), threading.Event(), set[bytes]()
    daemon.wait_for_line(LOADED)  # the first check

    def load() -> None:
        while not over.is_set():
            answer, certificate = _ask(daemon.port, context, "POST", "/hooks/open", b"{}")
            assert answer.status == 202, answer
            shown.add(certificate)
            over.wait(0.1)  # handshakes use most of the CPU

    with ThreadPoolExecutor(SENDERS) as pool:
        senders = [pool.submit(load) for _ in range(SENDERS)]
        try:
            until(lambda: len(shown) == 1)
            for number, minutes in enumerate((5, 60), 2):
                before = len(daemon.lines)
                authority.issue(ends=timedelta(minutes=minutes))
                daemon.wait_for_line(LOADED, after=before, listener="intake")
                until(lambda: len(shown) == number)  # noqa: B023 - called in this round only
            before = len(daemon.lines)
            authority.issue(ends=timedelta(seconds=-1))
            refused = daemon.wait_for_line(REFUSED, after=before, listener="intake")
            assert "localhost.pem: CN=localhost expired at" in refused["error"]
            before = len(daemon.lines)
            authority.issue()
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_for_line(LOADED, after=before)
        finally:
            over.set()
        for sender in senders:
            sender.result(PATIENCE_SECONDS)

    last = {_ask(daemon.port, context, "POST", "/hooks/open", b"{}")[1] for _ in range(6)}
    file = (authority.folder / "localhost.pem").read_text()
    assert last == {ssl.PEM_cert_to_DER_cert(file[: file.index("-----END CERTIFICATE-----") + 26])}
    assert daemon.stop() == 0


def test_both_listeners_use_tls_and_require_client_certificates(start: Start, authority: Authority) -> None:
    files = authority.issue()
    closed = TlsFiles(files.cert, files.key, authority.path)
    token = {"Authorization": "Bearer t0ken-of-the-tests"}
    daemon = start(
        RULES,
        flags=(*_flags(closed), *_flags(closed, "--admin-tls")),
        env={"WEBHOOK_ROUTER_ADMIN_TOKEN": "t0ken-of-the-tests"},
    )
    known, unknown = authority.client(authority.issue("client")), authority.client()

    answer, _ = _ask(daemon.port, known, "POST", "/hooks/open", b"{}")
    assert answer.status == 202
    events, _ = _ask(daemon.admin_port, known, "GET", "/api/events", headers=token)
    assert [event["id"] for event in events.json["items"]] == [answer.json["id"]]
    head, _ = _ask(daemon.admin_port, known, "HEAD", "/-/ready")
    ready, _ = _ask(daemon.admin_port, known, "GET", "/-/ready")
    assert (head.status, head.body, ready.status) == (200, b"", 200)
    assert head.headers["Content-Length"] == str(len(ready.body))
    metrics = _ask(daemon.admin_port, known, "GET", "/metrics")[0].body.decode()
    assert "webhook_router_events_total" in metrics
    for listener in ("admin", "intake"):
        assert f'webhook_router_certificate_expiration_timestamp_seconds{{listener="{listener}"}}' in metrics
    too_large = b"x" * (1024**2 + 1)
    assert _ask(daemon.admin_port, known, "POST", "/api/events/replay", too_large, token)[0].status == 413
    check, _ = _ask(
        daemon.admin_port,
        known,
        "POST",
        "/api/rules/check",
        RULES.encode(),
        {**token, "Content-Type": "application/yaml"},
    )
    assert check.status == 200
    for port in (daemon.port, daemon.admin_port):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _ask(port, unknown, "GET", "/-/ready")
    daemon.wait_for_line("request refused", listener="admin", reason="TLS: peer did not return a certificate")
    assert daemon.wait_for_line("source", source="open")["url"].startswith("https://")
    assert daemon.wait_for_line("serving")["tls"] == ["admin", "intake"]
    assert daemon.stop() == 0


def test_the_health_check_trusts_the_daemons_own_certificate(
    start: Start, authority: Authority, run: Callable[..., Any], tmp_path: Path
) -> None:
    files = authority.issue()
    daemon = start(RULES, flags=_flags(files, "--admin-tls"))
    address = ("--admin", f"127.0.0.1:{daemon.admin_port}")
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other").issue()

    assert run("healthy", *address, "--ready", "--admin-tls-cert", files.cert).stdout == "ready\n"
    wrong = run("healthy", *address, "--admin-tls-cert", other.cert)
    plain = run("healthy", *address)

    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "certificate verify failed" in wrong.stderr
    assert (plain.returncode, plain.stdout) == (1, "")


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (lambda a: _flags(a.issue(ends=timedelta(seconds=-1))), 3, "could not start: {tls}/localhost.pem: CN=localhost expired"),
        (lambda a: _flags(TlsFiles(a.folder / "no.pem", a.folder / "no.key")), 3, "{tls}/no.pem: can't be read: No such file"),
        (lambda a: ("--tls-key", "x"), 2, "--tls-key needs --tls-cert"),
        (lambda a: ("--admin-tls-client-ca", "x"), 2, "--admin-tls-client-ca needs --admin-tls-cert"),
        (lambda a: (*_flags(a.issue()), "--server", "waitress"), 2, "--tls-cert needs --server own"),
    ],
)  # fmt: skip
def test_a_start_without_a_usable_certificate_says_why(
    authority: Authority,
    tmp_path: Path,
    run: Callable[..., Any],
    flags: Callable[[Authority], tuple[str, ...]],
    code: int,
    message: str,
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    ports = ("--listen", f"127.0.0.1:{free_port()}", "--admin", f"127.0.0.1:{free_port()}")

    done = run("serve", *ports, *flags(authority), cwd=tmp_path)

    assert done.returncode == code
    assert message.format(tls=authority.folder) in done.stderr


def test_an_append_can_not_write_the_key_of_a_certificate(
    authority: Authority, tmp_path: Path, run: Callable[..., Any]
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES.replace("all.jsonl", "tls/localhost.key"))

    done = run("serve", "--store", "sqlite:events.db", *_flags(authority.issue()), cwd=tmp_path)

    assert done.returncode == 3
    assert "this path leads to a TLS certificate or key" in done.stderr
