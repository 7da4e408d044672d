"""An HTTP/1.1 client for one request: no redirects, no proxies from the environment, no retries."""

import contextlib
import http.client
import socket
import ssl
import threading
from dataclasses import dataclass
from typing import Any

import orjson

from router.cli.sender.destination import Destination
from router.cli.sender.request import SignedRequest

CONNECT_SECONDS = 10.0  #: for the connection, and for each read of the response
RESPONSE_SECONDS = 30.0  #: for the whole exchange; the daemon itself responds within 10
RESPONSE_BYTES = 64 * 1024  #: the most that is read of the response


@dataclass(frozen=True, slots=True)
class DaemonResponse:
    """The response to the request."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes  #: at most RESPONSE_BYTES of it

    @property
    def content(self) -> dict[str, Any]:
        """The body's JSON object; empty if the body is anything else."""
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class NoResponse:
    """No readable response came."""

    reason: str  #: with the cure
    refused: bool = False  #: nothing listens at that address


def send(request: SignedRequest, to: Destination) -> DaemonResponse | NoResponse:
    """Send the request and read its response, within RESPONSE_SECONDS."""
    if to.tls:
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(to.host, to.port, timeout=CONNECT_SECONDS)
    else:
        connection = http.client.HTTPConnection(to.host, to.port, timeout=CONNECT_SECONDS)
    timed_out = threading.Event()
    try:
        connection.connect()
        timer = threading.Timer(RESPONSE_SECONDS, _cut_off, (connection.sock, timed_out))
        timer.daemon = True
        timer.start()
        try:
            response = _exchange(request, to, connection)
        finally:
            timer.cancel()
        # A response that the timer cut off looks like a short one.
        return _too_late(to) if timed_out.is_set() else response
    except ConnectionRefusedError:
        return NoResponse(f"nothing listens at {to}", refused=True)
    except socket.gaierror:
        return NoResponse(f"there is no host {to.host}")
    except ssl.SSLError as error:
        return NoResponse(f"no TLS connection to {to}: {error.reason or 'the certificate or protocol is not accepted'}")
    except TimeoutError:
        cure = "; if it does not speak TLS, write http://" if to.tls else ""
        return NoResponse(f"{to} did not answer in time{cure}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        if timed_out.is_set():
            return _too_late(to)
        return NoResponse(f"{to} did not answer in HTTP ({type(error).__name__}); is that the daemon?")
    finally:
        connection.close()


def _too_late(to: Destination) -> NoResponse:
    return NoResponse(f"{to} did not answer within {RESPONSE_SECONDS:g} s")


def _cut_off(connected: socket.socket, timed_out: threading.Event) -> None:
    timed_out.set()
    with contextlib.suppress(OSError):  # already closed
        connected.shutdown(socket.SHUT_RDWR)


def _exchange(request: SignedRequest, to: Destination, connection: http.client.HTTPConnection) -> DaemonResponse:
    connection.putrequest(request.inbound.method, to.prefix + request.path, skip_accept_encoding=True)
    for name, value in request.headers:
        connection.putheader(name, value.encode("latin-1"))
    connection.putheader("Content-Length", str(len(request.inbound.body)))
    connection.putheader("Connection", "close")
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused early: the response says why
        connection.endheaders(request.inbound.body)
    response = connection.getresponse()
    return DaemonResponse(response.status, tuple(response.getheaders()), response.read(RESPONSE_BYTES))
