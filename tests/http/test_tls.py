"""TLS on our own server: handshakes, client certificates, renewal, and hostile senders."""

import asyncio
import os
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from router.domain.certificates import CertificateError
from router.http import tls_transport
from router.http.certificate import Certificate, TlsFiles
from router.http.limits import GRACE_SECONDS
from router.http.server import Server
from tests.conftest import until
from tests.http.authority import Authority
from tests.http.conftest import LOOPS
from tests.http.talking import echo, get, rest, status
from tests.http.tls_client import TlsClient

Start = Callable[..., Server]
LIMIT = 64
SOON = 8.0  #: s until a legitimate sender must have its reply; without a free connection it waits for HANDSHAKE_SECONDS


@pytest.fixture(params=LOOPS)
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Return a function that runs an echo server with TLS on a free port."""
    servers: list[Server] = []

    def run(certificate: Certificate, **given: Any) -> Server:
        servers.append(Server(echo, "127.0.0.1", 0, tls=certificate, new_loop=LOOPS[request.param], **given))
        servers[-1].start()
        return servers[-1]

    yield run
    for server in servers:
        server.stop(5)


def _plain(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), 60)


def _ask(server: Server, context: ssl.SSLContext) -> bytes:
    with TlsClient(_plain(server), context) as client:
        client.sendall(get("/x"))
        return rest(client)


def _serial(client: TlsClient) -> bytes:
    client.shake_hands()
    found = client.tls.getpeercert(binary_form=True)
    assert found is not None
    return found


# Protocols.


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_accepted(start: Start, authority: Authority, version: ssl.TLSVersion) -> None:
    context = authority.client()
    context.minimum_version = context.maximum_version = version

    assert status(_ask(start(Certificate(authority.issue())), context)) == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_tls_1_1_is_refused(start: Start, authority: Authority) -> None:
    context = authority.client()
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")

    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        _ask(start(Certificate(authority.issue())), context)


def test_a_client_that_offers_http_2_gets_http_1(start: Start, authority: Authority) -> None:
    context = authority.client()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with TlsClient(_plain(start(Certificate(authority.issue()))), context) as client:
        client.shake_hands()
        assert client.tls.selected_alpn_protocol() == "http/1.1"


def test_the_answer_to_plain_http_on_a_tls_port_says_to_use_https(start: Start, authority: Authority) -> None:
    counted: list[tuple[str, int]] = []
    server = start(Certificate(authority.issue()), answered=lambda path, status: counted.append((path, status)))
    with _plain(server) as connection:
        connection.sendall(get("/x"))
        answer = rest(connection)

    assert status(answer) == 400
    assert b"https://" in answer
    assert counted == [("", 400)]


def test_requests_and_replies_may_have_many_tls_records(start: Start, authority: Authority) -> None:
    body = os.urandom(300_000)
    head = b"POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    with TlsClient(_plain(start(Certificate(authority.issue()))), authority.client()) as client:
        for at in range(0, len(head + body), 777):
            client.sendall((head + body)[at : at + 777])
        assert b'"length": 300000' in rest(client)


# Client certificates.


def _refused(lines: list[Any]) -> list[Any]:
    return [line for line in lines if line["event"] == "request refused"]


def _closed(authority: Authority) -> Certificate:
    files = authority.issue()
    return Certificate(TlsFiles(files.cert, files.key, authority.path))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_only_clients_with_a_certificate_of_the_authority_are_accepted(
    start: Start, authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    server = start(_closed(authority))
    strangers = Authority(tmp_path)
    identities = {
        "": authority.issue("client"),
        "peer did not return a certificate": None,
        "the client's certificate was refused: self-signed certificate in certificate chain": strangers.issue(
            "stranger"
        ),
        "the client's certificate was refused: certificate has expired": authority.issue(
            "late", ends=timedelta(minutes=-1)
        ),
    }
    for fault, identity in identities.items():
        context = authority.client(identity)
        context.minimum_version = context.maximum_version = version
        with capture_logs() as lines:
            if not fault:
                assert status(_ask(server, context)) == 200
                continue
            with suppress(ssl.SSLError, ConnectionResetError):
                assert _ask(server, context) == b""
            until(partial(_refused, lines))
        [line] = _refused(lines)
        assert (line["reason"], line["status"], line["ip"]) == (f"TLS: {fault}", None, "127.0.0.1")


def test_the_handler_gets_the_certificate_of_each_connection(start: Start, authority: Authority) -> None:
    context = authority.client(authority.issue("client"))
    server = start(_closed(authority))
    with TlsClient(_plain(server), context) as client:
        client.sendall(get("/x"))
        assert status(rest(client)) == 200
        session = client.tls.session

    assert session is None or not session.has_ticket


# Renewal.


def test_new_connections_get_the_renewed_certificate_and_old_ones_stay_open(start: Start, authority: Authority) -> None:
    certificate = Certificate(authority.issue())
    server = start(certificate)
    with TlsClient(_plain(server), authority.client()) as old:
        before = _serial(old)
        authority.issue()
        certificate.reload()
        with TlsClient(_plain(server), authority.client()) as new:
            assert _serial(new) != before
        old.sendall(get("/x"))
        assert status(rest(old)) == 200


def test_a_renewal_that_fails_keeps_the_old_certificate(start: Start, authority: Authority) -> None:
    files = authority.issue()
    certificate = Certificate(files)
    server = start(certificate)
    authority.issue(ends=timedelta(minutes=-1))
    with pytest.raises(CertificateError, match="expired at"):
        certificate.reload()

    assert status(_ask(server, authority.client())) == 200


# Files.


def _swap(files: TlsFiles) -> TlsFiles:
    return TlsFiles(files.key, files.cert)


def _with(content: bytes, files: TlsFiles) -> TlsFiles:
    files.key.write_bytes(content)
    return files


def _turned_round(files: TlsFiles) -> TlsFiles:
    parts = files.cert.read_bytes().split(b"-----END CERTIFICATE-----\n")
    files.cert.write_bytes(b"-----END CERTIFICATE-----\n".join([parts[1], parts[0], parts[2]]))
    return files


def _writable(files: TlsFiles) -> TlsFiles:
    files.key.chmod(0o666)
    return files


def _pipe(files: TlsFiles) -> TlsFiles:
    files.cert.unlink()
    os.mkfifo(files.cert)
    return files


def _other_key(files: TlsFiles) -> TlsFiles:
    folder = files.cert.parent / "other"
    folder.mkdir()
    return TlsFiles(files.cert, Authority(folder).issue().key)


UNUSABLE: dict[str, tuple[Callable[[Authority], TlsFiles], str]] = {
    "missing": (lambda a: TlsFiles(a.folder / "none.pem", a.folder / "none.key"), r"none\.pem: can't be read: No such"),
    "a folder": (lambda a: TlsFiles(a.folder, a.issue().key), "can't be read: Is a directory"),
    "a pipe": (lambda a: _pipe(a.issue()), "it is a named pipe, and only a regular file is read"),
    "swapped": (lambda a: _swap(a.issue()), r"localhost\.key: there is no PEM certificate in it"),
    "no key": (lambda a: _with(b"hush", a.issue()), r"localhost\.key: there is no PEM private key in it"),
    "too large": (lambda a: _with(b"x" * (1024**2 + 1), a.issue()), "it is larger than 1 MiB"),
    "passphrase": (lambda a: a.issue(password=b"hush"), "the key has a passphrase"),
    "expired": (lambda a: a.issue(ends=timedelta(seconds=-1)), r"CN=localhost expired at 20\d\d-\d\d-\d\d .* renew it"),
    "early": (lambda a: a.issue(begins=timedelta(hours=1), ends=timedelta(hours=2)), "CN=localhost is not valid before"),
    "another's key": (lambda a: _other_key(a.issue()), "the key is not that of the certificate in"),
    "order": (lambda a: _turned_round(a.issue()), "the certificate of the key has to be the first in the file"),
    "writable": (lambda a: _writable(a.issue()), "every user of this machine can write this file, and so answer in this"),
    "client CA": (lambda a: replace(a.issue(), client_ca=a.issue().cert), "is not the certificate of an authority"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_file_is_named_with_the_cure(tmp_path: Path, name: str) -> None:
    files, message = UNUSABLE[name]

    with pytest.raises(CertificateError, match=message) as caught:
        Certificate(files(Authority(tmp_path)))

    assert str(tmp_path) in str(caught.value)
    assert "hush" not in str(caught.value)


# Hostile senders.


def _client_hello(context: ssl.SSLContext) -> bytes:
    out = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    return out.read()


@pytest.mark.parametrize("kind", ["silent", "half a hello", "waiting after the hello", "silent after the handshake"])
def test_other_senders_are_served_during_many_half_open_handshakes(
    start: Start, authority: Authority, kind: str
) -> None:
    server = start(Certificate(authority.issue()), connections=LIMIT)
    context = authority.client()
    hello = _client_hello(context)
    with ExitStack() as stack:
        for _ in range(2 * LIMIT):
            one = stack.enter_context(_plain(server))
            with suppress(OSError):  # the server may have closed it already
                if kind == "silent after the handshake":
                    TlsClient(one, context).shake_hands()
                elif kind != "silent":
                    one.sendall(hello[:100] if kind == "half a hello" else hello)
        until(lambda: server.connections()[0] >= LIMIT - 2)
        threading.Event().wait(2 * GRACE_SECONDS)  # the server does not close new ones
        took = []
        for _ in range(10):
            began = time.monotonic()
            assert status(_ask(server, context)) == 200
            took.append(time.monotonic() - began)

        assert max(took) < SOON
        assert server.connections()[0] <= LIMIT


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01\x00"])
def test_a_handshake_has_a_deadline(
    start: Start, authority: Authority, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(tls_transport, "HANDSHAKE_SECONDS", 0.2)
    server = start(Certificate(authority.issue()))
    with _plain(server) as connection, capture_logs() as lines:
        connection.sendall(sent)
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        until(lambda: server.connections()[0] == 0)

    assert [line["reason"] for line in lines] == ["TLS: the handshake took too long"]


def test_damaged_records_close_only_their_connection(start: Start, authority: Authority) -> None:
    chance = random.Random(7)
    server = start(Certificate(authority.issue()))
    context = authority.client()
    hello = _client_hello(context)
    with capture_logs() as lines:
        for _ in range(100):
            damaged = bytearray(hello)
            for _ in range(chance.randrange(1, 9)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            with _plain(server) as connection, suppress(OSError):
                connection.sendall(damaged[: chance.randrange(len(damaged))])
                connection.shutdown(socket.SHUT_WR)
                rest(connection)
            client = TlsClient(_plain(server), context)
            with client, suppress(OSError):
                client.shake_hands()
                client.plain.sendall(b"\x17\x03\x03\x00\x30" + chance.randbytes(chance.randrange(100)))
                client.plain.shutdown(socket.SHUT_WR)
                rest(client)
        assert status(_ask(server, context)) == 200

    assert {line["log_level"] for line in lines} <= {"warning"}
    until(lambda: server.connections()[0] == 0)


def test_a_request_truncated_by_the_end_of_tls_is_refused(start: Start, authority: Authority) -> None:
    with TlsClient(_plain(start(Certificate(authority.issue()))), authority.client()) as client:
        client.sendall(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        client.plain.shutdown(socket.SHUT_WR)  # without the closing alert of TLS

        assert status(rest(client)) == 400


def test_a_tls_connection_takes_little_memory(authority: Authority) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    server = Server(echo, "127.0.0.1", 0, tls=Certificate(authority.issue()), new_loop=asyncio.new_event_loop)
    server.start()
    context = authority.client()
    with ExitStack() as stack:
        before = resident()
        for _ in range(200):
            stack.enter_context(TlsClient(_plain(server), context)).shake_hands()
        until(lambda: server.connections()[0] == 200)
        held = resident() - before
    server.stop(1)

    assert held / 200 < 200_000  # of both ends, since both are in this process
