"""Forward: send the event to an HTTP service."""

import base64
import binascii
import errno
import hashlib
import hmac
import ipaddress
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlencode, urlsplit

import aiohttp
import orjson
from pydantic import Field

from router import __version__
from router.actions.excerpt import excerpt
from router.actions.forward.client import RefusedAddressError
from router.actions.forward.exchange import Answer, EndlessInterimError, Request, Trace
from router.actions.forward.headers import Passed, passed
from router.actions.forward.retry_after import retry_after
from router.actions.forward.url import Url, compile_url
from router.domain.errors import RenderError, TemplateError
from router.domain.identity_headers import tells_who_calls
from router.domain.nearest_word import known_words
from router.domain.outcomes import Cause, Outcome
from router.domain.secrets import OneSecret, Secret
from router.domain.units import Duration, Rate, Size
from router.observe.trace_context import TraceContext, trace_of
from router.plugins.action import Action, AttemptInput, Tools
from router.plugins.build import Build
from router.plugins.options import Options as Base
from router.plugins.target import BreakerField, BreakerSpec, TargetSpec
from router.templates import (
    Context,
    Template,
    Tree,
    as_json,
    as_text,
    compile_template,
    compile_tree,
    context,
    render_tree,
    rendered,
)

SHORT: Mapping[type, str] = {str: "url"}
RETRY: Mapping[str, Any] = {}
CAUSES = (Cause.STATUS, Cause.NETWORK, Cause.TIMEOUT)
_TIMEOUT_SECONDS = 30.0
_METHODS = ("POST", "PUT", "PATCH", "DELETE", "GET", "HEAD")
_KEY_BYTES = 16  #: shorter keys can be guessed; the specification says 24
_BODY_KINDS = ("json", "form", "text")
_TYPES = {
    "payload": "application/json",
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "text": "text/plain; charset=utf-8",
}


class SignOptions(Base):
    """Signing by Standard Webhooks."""

    secret: OneSecret = Field(description="The key, as whsec_… or base64.")


class Options(Base):
    """Send the event to an HTTP service."""

    url: str | None = Field(default=None, description="Where to; a template. Either url or target.")
    target: str | None = Field(default=None, description="The name of a target, whose url and limits are used.")
    path: str | None = Field(default=None, description="Appended to the target's url; a template that begins with /.")
    method: Literal["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD"] = Field(default="POST", description="HTTP method.")
    headers: dict[str, str] = Field(default_factory=dict, description="Headers to set; values are templates.")
    pass_headers: list[str] | None = Field(
        default=None, description="Globs of the event's headers to pass, instead of the harmless ones."
    )
    body: Any = Field(default="original", description="original, payload, {json: …}, {form: …} or {text: …}.")
    timeout: Duration | None = Field(default=None, description="For the whole attempt; 30s.")
    connect_timeout: Duration = Field(default=10.0, description="For the connection alone.")
    read_timeout: Duration | None = Field(default=None, description="Between two reads of the response; timeout.")
    concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="Attempts under way at once; 16."
    )
    rate: Rate | None = Field(default=None, description="Attempts started in a time, such as 50/s.")
    breaker: BreakerField | None = Field(
        default=None, description="When the host counts as down, and how it is tried then; none: never."
    )
    allow_hosts: list[str] = Field(default_factory=list, description="Hosts that a templated authority may name.")
    sign: SignOptions | None = Field(default=None, description="Sign by Standard Webhooks.")
    response_limit: Size = Field(default=64 * 1024, description="How much of a response is read.")


@dataclass(frozen=True, slots=True)
class ForwardAction:
    """A compiled forward."""

    target: TargetSpec
    url: Url
    method: str
    headers: tuple[tuple[str, Template], ...]
    pass_headers: tuple[str, ...] | None
    body_kind: str  #: original, payload, json, form or text
    body: Tree
    timeout: aiohttp.ClientTimeout
    named: bool  #: the host is an address that is written out, so it may be a metadata or link-local one
    sign: Secret | None
    response_limit: int
    type: str = "forward"

    def preview(self, job: AttemptInput) -> dict[str, Any]:
        """See Action.preview."""
        values = context(job, mask_secrets=True)
        url, body, headers = self.url.render(values), self._body(job, values), self._headers(job, values)
        return {
            "method": self.method,
            "url": url,
            "headers": dict(headers),
            "body": body.decode(errors="replace"),
        }

    async def attempt(self, job: AttemptInput, tools: Tools) -> Outcome:
        """See Action.attempt."""
        try:
            request = await rendered(self._request, job, int(time.time()))
        except RenderError as error:
            return Outcome.failed(str(error))
        if self.pass_headers is None and (stopped := self._passed(job).stopped):
            tools.client.stopped_headers.note(job.event.source, stopped)
        outcome = await self._send(request, tools, fresh=False)
        # A server may close an idle connection just as we take it: that is no answer, and costs no attempt.
        return outcome if outcome is not None else await self._send(request, tools, fresh=True) or _no_answer(self.url)

    async def _send(self, request: Request, tools: Tools, *, fresh: bool) -> Outcome | None:
        """Send it once; none when an idle connection turned out to be closed before any answer."""
        trace = Trace(fresh)
        try:
            answer = await tools.client.exchange(
                request,
                named=self.named or self._listed(request.url),
                within=self.timeout,
                limit=self.response_limit,
                trace=trace,
            )
            return _judge(answer, now=time.time())
        except (aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError, aiohttp.ClientOSError) as error:
            if trace.reused and not fresh and not isinstance(error, aiohttp.ClientConnectorError):
                return None
            return self._unanswered(error)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            return self._unanswered(error)

    def _listed(self, url: str) -> bool:
        """Whether a templated host is an address that allow_hosts has written out; a glob names nothing."""
        host = (urlsplit(url).hostname or "").lower() if self.url.allow_hosts else ""
        return _is_address(host) and host in self.url.allow_hosts

    def _request(self, job: AttemptInput, now: int) -> Request:
        values = context(job, mask_secrets=False)
        url, body = self.url.render(values), self._body(job, values)
        headers = self._headers(job, values)
        own = [
            ("webhook-id", job.claim.event.id),
            ("webhook-timestamp", str(now)),
            ("webhook-attempt", str(job.claim.attempt)),
            ("Idempotency-Key", job.claim.delivery.id),
        ]
        if self.sign is not None:
            own.append(("webhook-signature", _signature(self.sign, job.claim.event.id, now, body)))
        if (trace := trace_of(job.event.headers)) is not None:
            own += _trace_headers(trace)
        if self.headers:  # of the event's own headers none of these names passes
            names = {name.lower() for name, _ in self.headers}
            if "traceparent" in names:
                names.add("tracestate")  # it tells of the trace that the action has left
            own = [header for header in own if header[0].lower() not in names]
        return Request(self.method, url, headers + own, body)

    def _headers(self, job: AttemptInput, values: Context) -> list[tuple[str, str]]:
        """The event's headers that pass, overridden by those that the action sets."""
        found = self._passed(job)
        headers = [(name, sendable) for name, value in found.items if (sendable := _sendable(value)) is not None]
        if not any(name.lower() == "user-agent" for name, _ in headers):
            headers.append(("User-Agent", f"webhook-router/{__version__}"))
        if self.body_kind in _TYPES:
            headers.append(("Content-Type", _TYPES[self.body_kind]))
        for name, template in self.headers:
            value = template.render(values)
            if any(c in value for c in "\r\n\0") or not all(c.isprintable() or c in "\t " for c in value):
                raise RenderError(f"header {name} would contain a control character")
            headers = [item for item in headers if item[0].lower() != name.lower()]
            headers.append((name, value))
        return headers

    def _passed(self, job: AttemptInput) -> Passed:
        original = self.body_kind == "original" and self.method not in ("GET", "HEAD")
        return passed(job.event.headers, only=self.pass_headers, original=original, named=job.passing)

    def _body(self, job: AttemptInput, values: Context) -> bytes:
        if self.method in ("GET", "HEAD"):
            return b""
        if self.body_kind == "original":
            return job.event.body
        if self.body_kind == "payload":
            return orjson.dumps(job.parsed.payload)
        rendered = render_tree(self.body, values)
        if self.body_kind == "json":
            return as_json(rendered)
        if self.body_kind == "text":
            return as_text(rendered).encode()
        pairs = [(k, as_text(v)) for k, vs in rendered.items() for v in (vs if isinstance(vs, list) else [vs])]
        return urlencode(pairs).encode()

    def _unanswered(self, error: Exception) -> Outcome:
        cause = Cause.TIMEOUT if isinstance(error, TimeoutError) else Cause.NETWORK
        return Outcome.retry(self._reason(error), cause=cause)

    def _reason(self, error: Exception) -> str:
        """Why there was no answer: place and cause, without userinfo, path, query or any text of the other side."""
        place = self.url.place
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return f"the host of {place} can't be resolved"
        if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
            return f"TLS with {place} failed: its certificate or protocol was not accepted"
        if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, RefusedAddressError):
            return f"{place} leads to a link-local or metadata address; write that address as the host if it is meant"
        if isinstance(error, aiohttp.ClientConnectorError):
            return f"no connection to {place}: {os.strerror(error.os_error.errno or errno.EIO)}"
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return f"no connection to {place} within {self.timeout.sock_connect:g} s"
        if isinstance(error, TimeoutError):
            return f"no answer from {place} within {self.timeout.total:g} s"
        if isinstance(error, EndlessInterimError):
            return f"{place} sends interim answers (1xx) without end"
        if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
            return f"the answer of {place} is no valid HTTP, or has too large headers"
        if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionError):
            return f"{place} closed the connection before it answered"
        return f"the exchange with {place} failed ({type(error).__name__})"


def compile(options: Options, build: Build) -> Action:  # noqa: A001 - the name that every action module has
    """Options in, Action out; faults go to the build."""
    url = _url(options, build)
    if options.pass_headers is None:
        for name in sorted(filter(tells_who_calls, build.matched)):
            build.warn(f"{name} is not passed on, though the rule matches on it: {_WHO_CALLS}")
    kind, body = _compile_body(options, build)
    headers = tuple(
        (name, template)
        for name, text in options.headers.items()
        if (template := _header(name, text, build)) is not None
    )
    total = options.timeout or build.timeout or _TIMEOUT_SECONDS
    timeout = aiohttp.ClientTimeout(
        total=total, sock_connect=min(options.connect_timeout, total), sock_read=options.read_timeout
    )
    return ForwardAction(
        target=_target(options, build, url),
        url=url,
        method=options.method,
        headers=headers,
        pass_headers=tuple(options.pass_headers) if options.pass_headers is not None else None,
        body_kind=kind,
        body=body,
        timeout=timeout,
        named=_is_named(url),
        sign=_sign(options, build),
        response_limit=options.response_limit,
    )


_WHO_CALLS = "by such a header a proxy tells who calls; name it in pass_headers if the target needs it from a sender"
_NOWHERE = Url(Template("", constant=""))


def _url(options: Options, build: Build) -> Url:
    hosts = tuple(options.allow_hosts)
    if (options.url is None) == (options.target is None):
        build.fault("expected exactly one of url and target")
        return _NOWHERE
    place, text = "url", options.url or ""
    if options.target is not None:
        spec = build.targets.get(options.target)
        if spec is None:
            known = known_words(build.targets) if build.targets else "known: none is defined"
            build.fault(f'undefined target "{options.target[:60]}"; {known}', "target")
            return _NOWHERE
        place, text = "path", (spec.url or "http://unknown").rstrip("/") + (options.path or "")
        if options.path is not None and not options.path.startswith("/"):
            build.fault("expected a path that begins with /", "path")
            return _NOWHERE
    elif options.path is not None:
        build.fault("path goes with target; with url, write the whole URL there", "path")
    try:
        return compile_url(text, secrets=build.secrets, allow_hosts=hosts)
    except TemplateError as error:
        # A named target's own url was checked where it stands.
        if options.target is None or options.path is not None:
            build.fault(str(error), place)
        return _NOWHERE


def _target(options: Options, build: Build, url: Url) -> TargetSpec:
    if options.target is not None:
        for key in ("concurrency", "rate", "breaker"):
            if getattr(options, key) is not None:
                build.fault(f"{key} belongs to the target: write it under targets: {options.target}", key)
        return build.targets.get(options.target) or TargetSpec(options.target, 1)
    return TargetSpec(
        url.origin or build.name, options.concurrency or 16, options.rate, breaker=options.breaker or BreakerSpec()
    )


def _is_named(url: Url) -> bool:
    """Whether an address was written out as the URL's host: it can lead nowhere else."""
    origin = url.origin
    return origin is not None and _is_address(urlsplit(origin).hostname or "")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _header(name: str, text: str, build: Build) -> Template | None:
    if not name or any(not ("!" <= c <= "~") or c in '()<>@,;:\\"/[]?={}' for c in name):
        build.fault("a header's name is letters, digits and -", "headers", name)
        return None
    if name.lower() in ("host", "content-length", "transfer-encoding", "connection"):
        build.fault(f"{name} is set by the connection itself", "headers", name)
        return None
    return _template(text, build, "headers", name)


def _template(text: str, build: Build, *place: str | int) -> Template | None:
    try:
        return compile_template(text, secrets=build.secrets)
    except TemplateError as error:
        build.fault(str(error), *place)
        return None


def _compile_body(options: Options, build: Build) -> tuple[str, Tree]:
    body = options.body
    if body in ("original", "payload"):
        return str(body), None
    if not isinstance(body, dict) or len(body) != 1 or next(iter(body)) not in _BODY_KINDS:
        build.fault("expected original, payload, {json: …}, {form: …} or {text: …}", "body")
        return "original", None
    kind, written = next(iter(body.items()))
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "json": (lambda _: True, ""),
        "text": (lambda value: isinstance(value, str), "expected text; quote it"),
        "form": (_is_form, "expected a mapping of names to text, numbers or lists of them"),
    }
    fits, message = checks[kind]
    if not fits(written):
        build.fault(message, "body", kind)
        return "original", None
    return kind, _compile_parts(written, build, ("body", kind))


def _is_form(value: Any) -> bool:
    def scalar(item: Any) -> bool:
        return isinstance(item, str | int | float)

    return isinstance(value, dict) and all(
        scalar(item) or (isinstance(item, list) and all(map(scalar, item))) for item in value.values()
    )


def _compile_parts(value: Any, build: Build, place: tuple[str | int, ...]) -> Tree:
    """As compile_tree, but with every fault at its own place."""
    if isinstance(value, dict):
        return {key: _compile_parts(inner, build, (*place, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_compile_parts(inner, build, (*place, i)) for i, inner in enumerate(value)]
    try:
        return compile_tree(value, secrets=build.secrets)
    except TemplateError as error:
        build.fault(str(error), *place)
        return None


def _sign(options: Options, build: Build) -> Secret | None:
    if options.sign is None:
        return None
    for name in options.headers:
        if name.lower() in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            build.fault(f"{name} is part of the signature, which sets it", "headers", name)
    secret = build.secret(options.sign.secret, "sign", "secret")
    if secret.is_set and _key(secret) is None:
        build.fault(
            f"the signing key is not {_KEY_BYTES} bytes or more in base64 (with or without whsec_ before it)",
            *("sign", "secret"),
        )
    return secret


def _key(secret: Secret) -> bytes | None:
    try:
        key = base64.b64decode(secret.reveal().removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) >= _KEY_BYTES else None


def _signature(secret: Secret, event: str, now: int, body: bytes) -> str:
    """`v1,<base64>` of HMAC-SHA256 over id.timestamp.body: standardwebhooks.com, "Signature scheme"."""
    key = _key(secret) if secret.is_set else None
    if key is None:
        raise RenderError("the signing key is not set")
    signed = hmac.new(key, f"{event}.{now}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def _trace_headers(trace: TraceContext) -> list[tuple[str, str]]:
    """The event's trace, with a new span each time: an attempt is a step of its own."""
    parent = ("traceparent", trace.parent())
    return [parent, ("tracestate", trace.state)] if trace.state else [parent]


def _sendable(value: str) -> str | None:
    """A received value as the client has to be given it, so that the same bytes leave; none when that can't be."""
    if value.isascii():
        return value if value.isprintable() or "\t" in value else None
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return None


def _judge(answer: Answer, *, now: float) -> Outcome:
    status, text = answer.status, excerpt(answer.body)
    if 200 <= status < 300:
        return Outcome.succeeded(status, text)
    reason = f"HTTP {status}"
    if status == 410:
        reason = "HTTP 410: the target is gone for good"
    elif 300 <= status < 400:
        reason = f"HTTP {status}: redirects are not followed; give the final URL"
    return Outcome.retry(reason, status, text, retry_after(answer.headers, now), cause=Cause.STATUS)


def _no_answer(url: Url) -> Outcome:
    return Outcome.retry(f"{url.place} closed the connection before it answered", cause=Cause.NETWORK)
