"""What went wrong in an exchange, as a sentence for operators."""

import errno
import os
import ssl

import aiohttp

from router.client.client import RefusedAddressError
from router.client.exchange import EndlessInterimError

WRONG_CREDENTIALS = "the proxy {} refuses the credentials (HTTP 407); see username and password of proxy"
_REFUSED = "a link-local or metadata address; write that address as the host if it is meant"


def failure(error: Exception, place: str, within: aiohttp.ClientTimeout, proxy: str | None = None) -> str:
    """Place and cause, without userinfo, path, query or text of the other side.

    `error` came instead of an answer. `place` and `proxy` are the names of the server and the proxy in messages, and
    `within` has the time limits of the exchange.
    """
    if proxy is not None and (reason := _proxy_failure(error, place, proxy)) is not None:
        return reason
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the host of {place} can't be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return f"TLS with {place} failed: its certificate or protocol was not accepted"
    if isinstance(error, RefusedAddressError):
        return f"{place} leads to {_REFUSED}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return _no_connection(error, place)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"no connection to {place} within {within.sock_connect:g} s"
    if isinstance(error, TimeoutError):
        return f"no answer from {place} within {within.total:g} s"
    if isinstance(error, EndlessInterimError):
        return f"{place} sends interim answers (1xx) without end"
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        return f"the answer of {place} is not valid HTTP, or its headers are too large"
    by_tls = place.startswith("https://")  # a server refuses a certificate after the handshake, and may just close
    if isinstance(error, ssl.SSLError | aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionError):
        closed = f"{place} closed the connection before it answered"
        return f"{closed}; does it ask for a client certificate (tls: cert and key)?" if by_tls else closed
    return f"the exchange with {place} failed ({type(error).__name__})"


def _proxy_failure(error: Exception, place: str, proxy: str) -> str | None:
    """What went wrong between here and the proxy; None when the error has another cause."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        if error.status == 407:
            return WRONG_CREDENTIALS.format(proxy)
        return f"the proxy {proxy} made no connection to {place}: HTTP {error.status}"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return _no_connection(error, f"the proxy {proxy}")
    if isinstance(error, aiohttp.ClientConnectorDNSError):  # the proxy looks up the target's name
        return f"the host of the proxy {proxy} can't be resolved"
    return None


def _no_connection(error: aiohttp.ClientConnectorError, place: str) -> str:
    if isinstance(error.os_error, RefusedAddressError):
        return f"{place} leads to {_REFUSED}"
    return f"no connection to {place}: {os.strerror(error.os_error.errno or errno.EIO)}"
