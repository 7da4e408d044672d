"""Sends a payload to a daemon as the provider would: signed by the source's own secret, with an id of its own.

It speaks HTTP/1.1 by the standard library: no redirects, no proxies of the environment, no retries.
"""

import contextlib
import http.client
import re
import socket
import ssl
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from router import __version__
from router.domain.errors import StartError
from router.domain.headers import HEADER_NAME
from router.domain.listen_address import ListenAddress, parse_listen_address
from router.domain.request import Inbound
from router.plugins.scheme import SenderProfile, Signed, Unsignable
from router.rules.source import Source

CONNECT_SECONDS = 10.0  #: to be connected, and for each piece of the answer
ANSWER_SECONDS = 30.0  #: for the whole exchange; the daemon itself answers within 10
ANSWER_BYTES = 64 * 1024  #: of the answer that are read
FORM_TYPE = "application/x-www-form-urlencoded"
_MASK = "<secret>"
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect"})
_VALUE = re.compile(r"[\t -~\xa0-\xff]*")


@dataclass(frozen=True, slots=True)
class Destination:
    """A daemon, and perhaps what its reverse proxy puts before its paths."""

    tls: bool
    host: str
    port: int
    prefix: str = ""  #: of paths, with no slash at its end

    def __str__(self) -> str:
        return f"http{'s' if self.tls else ''}://{ListenAddress(self.host, self.port)}{self.prefix}"


def destination(text: str) -> Destination:
    """Parse `http://HOST:PORT`, or `HOST:PORT` as `serve --listen` takes it. Raises StartError."""
    if "://" not in text:
        listen = parse_listen_address(text).from_here
        return Destination(False, listen.host, listen.port)  # noqa: FBT003 - no TLS
    fault = StartError(f"{text!r} is no address to send to; write http://127.0.0.1:8080 or https://hooks.example.com")
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise fault from None
    if parts.scheme not in ("http", "https") or not host or not re.fullmatch(r"[!-~]*", text):
        raise fault
    if parts.username is not None or parts.query or parts.fragment:
        raise fault
    tls = parts.scheme == "https"
    return Destination(tls, host, port if port is not None else 443 if tls else 80, parts.path.rstrip("/"))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request that is ready to be sent."""

    inbound: Inbound  #: as it would arrive, without what signs it
    signed: Signed

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """All of them but those of the connection."""
        return self.inbound.headers + self.signed.headers

    @property
    def path(self) -> str:
        """With the query."""
        return self._path(self.signed.query)

    @property
    def shown_path(self) -> str:
        """`path`, a credential in it masked."""
        name, equals, _ = self.signed.query.partition("=")
        return self._path(name + equals + _MASK if equals and self.signed.is_credential else self.signed.query)

    @property
    def shown_headers(self) -> list[tuple[str, str]]:
        """`headers`, a credential among them masked; signatures give no secret away."""
        hidden = [(name, _MASK if self.signed.is_credential else value) for name, value in self.signed.headers]
        return [*self.inbound.headers, *hidden]

    def _path(self, added: str) -> str:
        query = "&".join(part for part in (self.inbound.query, added) if part)
        return f"{self.inbound.path}?{query}" if query else self.inbound.path


def outgoing(
    source: Source,
    habit: SenderProfile,
    body: bytes,
    given: Sequence[tuple[str, str]],
    query: str,
    now: int,
    *,
    content_type: str | None = None,
    event: str | None = None,
    method: str | None = None,
) -> Outgoing | Unsignable:
    """The request that the source's sender would make, now in ms; of a name in `given` nothing is added."""
    names = {name.lower() for name, _ in given}
    headers = [item for item in given if item[0].lower() != "content-type" or content_type is None]
    if content_type is not None or "content-type" not in names:
        headers.insert(0, ("Content-Type", content_type or _usual_type(habit, body)))
    added = [("User-Agent", f"webhook-router-send/{__version__}")]
    added += [(habit.event, event)] if habit.event and event is not None else []
    added += [(name, str(uuid.uuid4())) for name in habit.ids]
    headers += [item for item in added if item[0].lower() not in names]
    method = method or source.methods[0]
    inbound = Inbound(source.name, method, source.path, query, tuple(headers), body, "", now)
    signed = source.verifier.sign(inbound, now)
    if isinstance(signed, Unsignable):
        return signed
    kept = tuple(item for item in signed.headers if item[0].lower() not in names)
    return Outgoing(inbound, Signed(kept, signed.query, signed.is_credential))


def header_fault(name: str, value: str) -> str | None:
    """Why such a header can't be sent; none: it can."""
    if not HEADER_NAME.fullmatch(name):
        return "a header's name is letters, digits and -"
    if name.lower() in _OURS:
        return f"{name} belongs to the connection, and is set by itself"
    if not _VALUE.fullmatch(value):
        return f"the value of {name} has characters that no header can carry"
    return None


def _usual_type(habit: SenderProfile, body: bytes) -> str:
    return FORM_TYPE if habit.form and body and not body.lstrip().startswith((b"{", b"[", b'"')) else "application/json"


@dataclass(frozen=True, slots=True)
class SentResponse:
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes  #: ANSWER_BYTES of it at the most

    @property
    def content(self) -> dict[str, Any]:
        """The body's JSON object; empty when it is something else."""
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Nothing came back that could be read."""

    reason: str  #: with the cure
    refused: bool = False  #: nobody listens there


def send(request: Outgoing, to: Destination) -> SentResponse | Unanswered:
    """Make the request, within ANSWER_SECONDS."""
    if to.tls:
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(to.host, to.port, timeout=CONNECT_SECONDS)
    else:
        connection = http.client.HTTPConnection(to.host, to.port, timeout=CONNECT_SECONDS)
    late = threading.Event()
    try:
        connection.connect()
        ending = threading.Timer(ANSWER_SECONDS, _end, (connection.sock, late))
        ending.daemon = True
        ending.start()
        try:
            answer = _exchange(request, to, connection)
        finally:
            ending.cancel()
        # What was cut off while it came looks like a short answer.
        return _too_late(to) if late.is_set() else answer
    except ConnectionRefusedError:
        return Unanswered(f"nothing listens at {to}", refused=True)
    except socket.gaierror:
        return Unanswered(f"there is no host {to.host}")
    except ssl.SSLError as error:
        return Unanswered(f"no TLS connection to {to}: {error.reason or 'the certificate or protocol is not accepted'}")
    except TimeoutError:
        cure = "; if no TLS is spoken there, write http://" if to.tls else ""
        return Unanswered(f"{to} did not answer in time{cure}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        if late.is_set():
            return _too_late(to)
        return Unanswered(f"no answer that is HTTP came from {to} ({type(error).__name__}); is that the daemon?")
    finally:
        connection.close()


def _too_late(to: Destination) -> Unanswered:
    return Unanswered(f"{to} did not answer within {ANSWER_SECONDS:g} s")


def _end(taken: socket.socket, late: threading.Event) -> None:
    late.set()
    with contextlib.suppress(OSError):  # it may have ended by itself
        taken.shutdown(socket.SHUT_RDWR)


def _exchange(request: Outgoing, to: Destination, connection: http.client.HTTPConnection) -> SentResponse:
    connection.putrequest(request.inbound.method, to.prefix + request.path, skip_accept_encoding=True)
    for name, value in request.headers:
        connection.putheader(name, value.encode("latin-1"))
    connection.putheader("Content-Length", str(len(request.inbound.body)))
    connection.putheader("Connection", "close")
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before its end: the answer says why
        connection.endheaders(request.inbound.body)
    response = connection.getresponse()
    return SentResponse(response.status, tuple(response.getheaders()), response.read(ANSWER_BYTES))
