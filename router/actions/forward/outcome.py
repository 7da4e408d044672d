"""The outcome of an exchange: from the target's answer, or from the error that came instead."""

import errno
import os

import aiohttp

from router.actions.excerpt import excerpt
from router.actions.forward.client import RefusedAddressError
from router.actions.forward.exchange import Answer, EndlessInterimError
from router.actions.forward.retry_after import retry_after
from router.domain.outcomes import Cause, Outcome


def outcome_of_answer(answer: Answer, *, now: float) -> Outcome:
    """The outcome of an answer that came at `now`, a Unix time in seconds."""
    status, text = answer.status, excerpt(answer.body)
    if 200 <= status < 300:
        return Outcome.succeeded(status, text)
    reason = f"HTTP {status}"
    if status == 410:
        reason = "HTTP 410: the target is gone for good"
    elif 300 <= status < 400:
        reason = f"HTTP {status}: redirects are not followed; give the final URL"
    return Outcome.retry(reason, status, text, retry_after(answer.headers, now), cause=Cause.STATUS)


def outcome_of_error(error: Exception, place: str, within: aiohttp.ClientTimeout) -> Outcome:
    """The outcome of an error before the answer; `place` is how messages call the target."""
    cause = Cause.TIMEOUT if isinstance(error, TimeoutError) else Cause.NETWORK
    return Outcome.retry(_reason(error, place, within), cause=cause)


def disconnected(place: str) -> Outcome:
    """The outcome when the target closed the connection before it answered."""
    return outcome_of_error(aiohttp.ServerDisconnectedError(), place, aiohttp.ClientTimeout())


def _reason(error: Exception, place: str, within: aiohttp.ClientTimeout) -> str:
    """Place and cause, without userinfo, path, query or any text of the other side."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the host of {place} can't be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return f"TLS with {place} failed: its certificate or protocol was not accepted"
    if isinstance(error, aiohttp.ClientConnectorError):
        return _no_connection(error, place)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"no connection to {place} within {within.sock_connect:g} s"
    if isinstance(error, TimeoutError):
        return f"no answer from {place} within {within.total:g} s"
    if isinstance(error, EndlessInterimError):
        return f"{place} sends interim answers (1xx) without end"
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        return f"the answer of {place} is no valid HTTP, or has too large headers"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionError):
        return f"{place} closed the connection before it answered"
    return f"the exchange with {place} failed ({type(error).__name__})"


def _no_connection(error: aiohttp.ClientConnectorError, place: str) -> str:
    if isinstance(error.os_error, RefusedAddressError):
        return f"{place} leads to a link-local or metadata address; write that address as the host if it is meant"
    return f"no connection to {place}: {os.strerror(error.os_error.errno or errno.EIO)}"
