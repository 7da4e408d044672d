"""The outcome of an exchange: from the target's answer, or from the error that came instead."""

import errno
import os
import ssl
from dataclasses import replace

import aiohttp

from router.actions.excerpt import excerpt
from router.actions.forward.client import RefusedAddressError
from router.actions.forward.exchange import Answer, EndlessInterimError
from router.actions.forward.retry_after import retry_after
from router.domain.action_answer import ANSWER_BYTES, ActionAnswer
from router.domain.outcomes import Cause, Outcome

_WRONG_CREDENTIALS = "the proxy {} wants other credentials (HTTP 407); see username and password of proxy"
_REFUSED = "a link-local or metadata address; write that address as the host if it is meant"


def outcome_of_answer(
    answer: Answer, *, now: float, answers: bool = False, place: str = "", proxy: str | None = None
) -> Outcome:
    """The outcome of an answer that came at `now`, a Unix time in seconds. With `answers` it has the answer; `place`
    and `proxy` are how messages call the target and the proxy."""
    status, text = answer.status, excerpt(answer.body)
    if 200 <= status < 300:
        done = Outcome.succeeded(status, text)
        return replace(done, answer=_action_answer(answer)) if answers else done
    reason = f"HTTP {status}"
    if status == 410:
        reason = "HTTP 410: the target is gone for good"
    elif status == 407 and proxy is not None and place.startswith("http://"):  # a tunnel's comes as an error
        reason = _WRONG_CREDENTIALS.format(proxy)
    elif 300 <= status < 400:
        reason = f"HTTP {status}: redirects are not followed; give the final URL"
    return Outcome.retry(reason, status, text, retry_after(answer.headers, now), cause=Cause.STATUS)


def _action_answer(answer: Answer) -> ActionAnswer | None:
    """The answer for a sender; None when it is too long or cut off, or in a coding that the sender may not know."""
    encoded = answer.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity")
    if encoded or not answer.whole or len(answer.body) > ANSWER_BYTES:
        return None
    return ActionAnswer(answer.body, answer.headers.get("Content-Type"), answer.status)


def outcome_of_error(error: Exception, place: str, within: aiohttp.ClientTimeout, proxy: str | None = None) -> Outcome:
    """The outcome of an error before the answer; `place` and `proxy` are how messages call the target and the proxy."""
    if proxy is not None and (reason := _proxy_reason(error, place, proxy)) is not None:
        return Outcome.retry(reason, cause=Cause.NETWORK)
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
        return f"the answer of {place} is no valid HTTP, or has too large headers"
    by_tls = place.startswith("https://")  # a server refuses a certificate after the handshake, and may just close
    if isinstance(error, ssl.SSLError | aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionError):
        closed = f"{place} closed the connection before it answered"
        return f"{closed}; does it ask for a client certificate (tls: cert and key)?" if by_tls else closed
    return f"the exchange with {place} failed ({type(error).__name__})"


def _proxy_reason(error: Exception, place: str, proxy: str) -> str | None:
    """What went wrong between here and the proxy; None when it was something else."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        if error.status == 407:
            return _WRONG_CREDENTIALS.format(proxy)
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
