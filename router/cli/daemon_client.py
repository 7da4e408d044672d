"""Sends requests to a daemon's admin listener, with the token and the certificate that the flags name."""

import http.client
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from router.cli.options import setting
from router.domain.errors import RouterError, StartError
from router.domain.files.bounded import Unreadable, read_file

_MAX_CERTIFICATE_BYTES = 1024 * 1024
_MAX_BYTES = 1024 * 1024  #: the most that is read of a response or a token file

Command = TypeVar("Command", bound=Callable[..., Any])


def admin_options(command: Command) -> Command:
    """Add the flags `--admin`, `--admin-token-file` and `--admin-tls-cert`."""
    command = setting(
        "--admin-tls-cert",
        type=click.Path(path_type=Path),
        help="Certificate of the admin listener, as given to `serve`. The connection uses TLS and trusts only it.",
    )(command)
    command = setting(
        "--admin-token-file",
        type=click.Path(path_type=Path),
        help="File with the admin token, as given to `serve`.",
    )(command)
    return setting(
        "--admin", metavar="HOST:PORT", default="127.0.0.1:8081", help="Address of the daemon's admin listener."
    )(command)


@dataclass(frozen=True, slots=True)
class DaemonClient:
    """A daemon's admin listener."""

    host: str
    port: int
    token: str
    tls: ssl.SSLContext | None

    @classmethod
    def of(cls, admin: str, token: str, certificate: Path | None) -> "DaemonClient":
        """The listener at this address. Raises RouterError, UsageError."""
        from router.domain.listen_address import parse_listen_address  # noqa: PLC0415 - `--help` need not wait

        try:
            listener = parse_listen_address(admin).from_here
        except StartError as error:
            raise click.UsageError(str(error)) from None
        return cls(listener.host, listener.port, token, None if certificate is None else _trust(certificate))

    def ask(self, method: str, path: str, seconds: float) -> tuple[int, bytes]:
        """Send a request, and return the status and the body of the response. Raises RouterError.

        `seconds` limits the connection and each read.
        """
        connection = http.client.HTTPConnection(self.host, self.port, timeout=seconds)
        if self.tls is not None:
            connection = http.client.HTTPSConnection(self.host, self.port, timeout=seconds, context=self.tls)
        try:
            headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read(_MAX_BYTES)
        except ssl.SSLError as error:
            reason = (error.reason or "no TLS").lower().replace("_", " ")
            raise RouterError(f"no TLS connection to the daemon at {self.host}:{self.port}: {reason}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = (
                os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it does not speak HTTP"
            )
            raise RouterError(
                f"the daemon at {self.host}:{self.port} can't be reached: {reason}; does it run?"
            ) from None
        finally:
            connection.close()


def given_token(file: Path | None) -> str:
    """The token from the file, or else from the environment; empty if there is neither. Raises RouterError."""
    if file is None:
        return os.environ.get("WEBHOOK_ROUTER_ADMIN_TOKEN", "")
    try:
        return read_file(file, _MAX_BYTES).decode("utf-8", "replace").strip()
    except Unreadable as error:
        raise RouterError(f"the token file {file} can't be read: {error}") from None


def _trust(certificate: Path) -> ssl.SSLContext:
    """Trust the certificates in this file. Their names don't matter: the connection goes to an IP address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=read_file(certificate, _MAX_CERTIFICATE_BYTES).decode("ascii", "replace"))
    except Unreadable as error:
        raise RouterError(f"the certificate {certificate} can't be read: {error}") from None
    except (ssl.SSLError, ValueError):
        raise RouterError(f"there is no PEM certificate in {certificate}") from None
    return context
