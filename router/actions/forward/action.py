"""A compiled forward: sends the event to an HTTP service."""

import time
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from router.actions.forward.body import Body
from router.actions.forward.headers import Passed, passed
from router.actions.forward.outcome import disconnected, outcome_of_answer, outcome_of_error
from router.actions.forward.request_headers import Headers, event_headers, own_headers
from router.actions.forward.resources import Resources
from router.actions.forward.sent import sent_of
from router.client.client import Client
from router.client.connection import PLAIN, ConnectionSpec
from router.client.exchange import Request, Trace
from router.client.url import Url, is_address
from router.domain.action_answer import ANSWER_BYTES
from router.domain.errors import RenderError
from router.domain.outcomes import Cause, Outcome, Sent
from router.domain.secrets import Secret
from router.plugins.action import AttemptInput, Tools
from router.plugins.target import TargetSpec
from router.templates import Context, Template, context, render_without_blocking

_WITHOUT_BODY = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class ForwardAction:
    """A compiled forward."""

    target: TargetSpec
    url: Url
    method: str
    headers: tuple[tuple[str, Template], ...]
    pass_headers: tuple[str, ...] | None
    body: Body
    timeout: aiohttp.ClientTimeout
    is_literal_address: bool  #: the URL's host is written as an address, so it may be a refused one
    sign: Secret | None
    response_limit: int
    connection: ConnectionSpec = PLAIN
    type: str = "forward"

    def preview(self, job: AttemptInput) -> dict[str, Any]:
        """`{method, url, headers, body}`; see Action.preview."""
        values = context(job, mask_secrets=True)
        headers = dict(self._event_headers(self._passed(job), values))
        auth, proxy = self.connection.auth, self.connection.proxy
        return {
            "method": self.method,
            "url": self.url.render(values),
            "headers": headers if auth is None else {**headers, auth.header: auth.shown},
            "body": self._body(job, values).decode(errors="replace"),
            **({} if proxy is None else {"proxy": proxy.url}),
        }

    async def attempt(self, job: AttemptInput, tools: Tools[Resources]) -> Outcome:
        """See Action.attempt."""
        if self.connection.unusable:
            return Outcome.retry(self.connection.unusable, cause=Cause.NETWORK)
        passed_on = self._passed(job)
        try:
            request, sent = await render_without_blocking(self._rendered, job, passed_on, int(time.time()))
        except RenderError as error:
            return Outcome.failed(str(error))
        client = tools.resources.client
        if self.pass_headers is None and passed_on.stopped:
            tools.resources.stopped_headers.note(job.event.source, passed_on.stopped)
        # A server may close an idle connection at the moment when it is used. This costs no attempt.
        outcome = (
            await self._send(request, client, fresh=False, answers=job.answers)
            or await self._send(request, client, fresh=True, answers=job.answers)
            or disconnected(self.url.place)
        )
        return replace(outcome, sent=sent)

    async def _send(self, request: Request, client: Client, *, fresh: bool, answers: bool) -> Outcome | None:
        """Send the request once. None when an idle connection was closed before an answer came."""
        trace = Trace(fresh)
        try:
            answer = await client.exchange(
                request,
                named=self.is_literal_address or self._is_listed_address(request.url),
                connection=self.connection,
                within=self.timeout,
                limit=max(self.response_limit, ANSWER_BYTES + 1) if answers else self.response_limit,
                trace=trace,
            )
            return outcome_of_answer(
                answer, now=time.time(), answers=answers, place=self.url.place, proxy=self._proxy_place
            )
        except (aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError, aiohttp.ClientOSError) as error:
            if trace.reused and not fresh and not isinstance(error, aiohttp.ClientConnectorError):
                return None
            return outcome_of_error(error, self.url.place, self.timeout, self._proxy_place)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            return outcome_of_error(error, self.url.place, self.timeout, self._proxy_place)

    @property
    def _proxy_place(self) -> str | None:
        """The proxy's name in messages."""
        return self.connection.proxy.url if self.connection.proxy is not None else None

    def _is_listed_address(self, url: str) -> bool:
        """Whether a templated host is an address that allow_hosts lists literally. A glob lists no address."""
        if not self.url.allow_hosts:
            return False
        host = (urlsplit(url).hostname or "").lower()
        return is_address(host) and host in self.url.allow_hosts

    def _rendered(self, job: AttemptInput, passed_on: Passed, now: int) -> tuple[Request, Sent]:
        request = self._request(job, passed_on, now)
        auth = self.connection.auth
        if auth is None:
            return request, sent_of(request)
        others = [header for header in request.headers if header[0] != auth.header]
        return request, sent_of(replace(request, headers=[*others, (auth.header, auth.shown)]))

    def _request(self, job: AttemptInput, passed_on: Passed, now: int) -> Request:
        values = context(job, mask_secrets=False)
        url, body = self.url.render(values), self._body(job, values)
        headers = self._event_headers(passed_on, values) + own_headers(job, body, now, self.sign, self.headers)
        if (auth := self.connection.auth) is not None:
            headers = [header for header in headers if not auth.replaces(header[0])]
            headers.append((auth.header, auth.value.reveal()))
        return Request(self.method, url, headers, body)

    def _event_headers(self, passed_on: Passed, values: Context) -> Headers:
        return event_headers(passed_on.items, self.body.content_type, self.headers, values)

    def _passed(self, job: AttemptInput) -> Passed:
        original = self.body.is_original and self.method not in _WITHOUT_BODY
        return passed(job.event.headers, only=self.pass_headers, original=original, named=job.passing)

    def _body(self, job: AttemptInput, values: Context) -> bytes:
        return b"" if self.method in _WITHOUT_BODY else self.body.render(job, values)
