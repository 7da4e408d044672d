"""Receive: from a raw request to an answer that is ready once the event is on disk. Knows nothing of any server."""

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import orjson
import structlog

from router.domain.errors import EvaluationError, PayloadError, RenderError, StoreError, StoreUnavailable
from router.domain.events import Appended, Event, ParsedEvent
from router.domain.http import Inbound, Reply
from router.domain.ids import uuid7
from router.domain.networks import Network, is_within, parse_address
from router.http.contract import Pending, Request
from router.http.methods import shown_method
from router.http.problem import problem
from router.http.refusals import Refusals
from router.intake.client_ip import client_address
from router.intake.handshake_log import HandshakeLog
from router.intake.reply import accepted
from router.intake.unmatched_log import UnmatchedLog
from router.observe.metrics import Metrics
from router.observe.trace_context import trace_id_of
from router.plugins.scheme import Unverified
from router.rules.dry_run.nearest import tried
from router.rules.parsing import parse_arriving
from router.rules.ruleset import Current, Plan, Ruleset
from router.rules.source import Source
from router.store.contract import Store

MAX_QUERY = 8 * 1024  #: characters of a query; browsers and proxies stop there too
UNKNOWN_BODY = 64 * 1024  #: bytes that are read from who asks for a path that is no source's
# Servers judge bodies up to this in their loop's thread, which never waits, and larger ones in other threads. Those are
# parsed and matched one at a time: a payload takes many times the memory of its body.
SMALL_BODY = 64 * 1024  #: bytes
ANSWER_SECONDS = 10.0  #: how long an answer may wait for its commit; most senders give up after 10 to 30 s themselves
RETRY_AFTER_SECONDS = 5  #: what a 503 asks for: a full disk or a long queue rarely heals sooner
_UNVERIFIED = "the request could not be verified; check the secret or signature that the source expects"
_LONGEST_KEY = 256  #: characters of a dedupe key that are kept as they are; longer ones by their hash

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Receiver:
    """Receives events. Any thread may call it; one that must never wait, only with a body of up to SMALL_BODY bytes."""

    current: Current
    store: Store
    now_ms: Callable[[], int]
    trusted_proxies: tuple[Network, ...] = ()  #: whose X-Forwarded-For is believed
    unmatched: UnmatchedLog = field(default_factory=UnmatchedLog)
    metrics: Metrics = field(default_factory=Metrics)
    refusals: Refusals = field(default_factory=Refusals)
    handshakes: HandshakeLog = field(default_factory=HandshakeLog)
    verbose: bool = False  #: tell of each event, at debug level, what its source's rules made of it
    _large_body: threading.Lock = field(init=False, default_factory=threading.Lock, repr=False, compare=False)

    def receive(self, inbound: Inbound) -> Reply:
        """Judge, match, store, and answer; blocks until the commit, at most ANSWER_SECONDS."""
        reply = self.begin(inbound)
        return reply.reply(ANSWER_SECONDS) if isinstance(reply, Pending) else reply

    def body_limit(self, path: str) -> int:
        """The largest body that is received on a path at all, in bytes."""
        source = self.current.ruleset.by_path.get(path)
        return UNKNOWN_BODY if source is None else source.max_body

    def answered(self, path: str, status: int) -> None:
        """Count an answer that a server gave by itself."""
        source = self.current.ruleset.by_path.get(path)
        self.metrics.answered(source.name if source else "", status)

    def handle(self, request: Request) -> Reply | Pending:
        """`begin`, as a server's handler."""
        headers, body = request.headers, request.body
        now = self.now_ms()
        return self.begin(Inbound("", request.method, request.path, request.query, headers, body, request.ip, now))

    def begin(self, inbound: Inbound) -> Reply | Pending:
        """Judge, match, and hand to the store; what is stored is answered once it is committed.

        Never blocks, but for a large body: it waits until the others before it are parsed.
        """
        ip = client_address(inbound.ip, inbound.headers, self.trusted_proxies)
        if ip != inbound.ip:
            inbound = replace(inbound, ip=ip)
        if len(inbound.query) > MAX_QUERY:
            detail = f"the query is longer than {MAX_QUERY} characters; send what is long as the body"
            return self._refuse(inbound, None, problem(414, detail), "query")
        ruleset = self.current.ruleset  # read once: a reload meanwhile concerns the next event
        source = ruleset.by_path.get(inbound.path)
        if source is None:
            return self._refuse(inbound, None, problem(404, "no source has this path; check the webhook's URL"), "path")
        refusal = self._check_request(inbound, source)
        if refusal is not None:
            return refusal
        if source.handshake is not None:
            shaken = source.handshake.before(inbound)
            if isinstance(shaken, Unverified):
                return self._unverified(inbound, source, shaken)
            if shaken is not None:
                return self._shaken(inbound, source, shaken)
        if inbound.method not in source.methods:
            return self._wrong_method(inbound, source)
        verified = source.verifier.verify(inbound, inbound.received_at)
        if isinstance(verified, Unverified):
            return self._unverified(inbound, source, verified)
        event = _event(verified.inbound, source)
        if len(event.body) <= SMALL_BODY:
            return self._take(event, inbound, source, ruleset)
        with self._large_body:
            return self._take(event, inbound, source, ruleset)

    def _take(self, event: Event, inbound: Inbound, source: Source, ruleset: Ruleset) -> Reply | Pending:
        """Parse, match, and hand to the store."""
        try:
            parsed = parse_arriving(event, source)
        except PayloadError as error:
            return self._refuse(inbound, source, problem(400, f"{error}; nothing was stored"), str(error))
        if source.handshake is not None:
            shaken = source.handshake.after(parsed.payload)
            if shaken is not None:
                return self._shaken(inbound, source, shaken)
        event = parsed.event
        key = _dedupe_key(parsed, source)
        if key is not None:
            event = replace(event, dedupe_key=key)
        plan = ruleset.plan(parsed)
        for rule, reason in plan.errors:
            self.metrics.not_judged(rule)
            log.warning("rule could not be judged, so it is unmatched", rule=rule, event_id=event.id, reason=reason)
        if self.verbose:
            self._tell_rules(ruleset, parsed)
        window = round(source.dedupe.window * 1000) if source.dedupe else 0
        future = self.store.append(event, plan.deliveries, ruleset.hash, dedupe_window=window)
        answer = None if plan.respond is None else plan.respond.begin(parsed)
        # A payload that nothing asks for any more makes room for the next one: its memory is still in the cache.
        asked = not plan.matched and self.unmatched.is_due(event)
        reply = partial(self._answer, future, event, parsed if asked else None, plan, source, answer)
        return Pending(future if answer is None or answer.done() else _both(future, answer), reply)

    @staticmethod
    def _tell_rules(ruleset: Ruleset, parsed: ParsedEvent) -> None:
        for one in tried(ruleset, parsed):
            fails = one.condition or None
            log.debug("rule tried", event_id=parsed.event.id, rule=one.rule, matched=fails is None, fails=fails)

    def _check_request(self, inbound: Inbound, source: Source) -> Reply | None:
        """What can be refused without looking at the body."""
        if inbound.method not in source.methods and not (
            source.handshake and inbound.method in source.handshake.methods
        ):
            return self._wrong_method(inbound, source)
        if source.allow_ips and not is_within(parse_address(inbound.ip), source.allow_ips):
            reply = problem(403, "this address may not send here; allow_ips of the source lists those that may")
            return self._refuse(inbound, source, reply, "address")
        if len(inbound.body) > source.max_body:
            reply = problem(413, f"the body is larger than the {source.max_body} bytes that this source takes")
            return self._refuse(inbound, source, reply, "size")
        if any(name.lower() == "content-encoding" and _is_coded(value) for name, value in inbound.headers):
            reply = problem(415, "send the body without Content-Encoding", ("Accept-Encoding", "identity"))
            return self._refuse(inbound, source, reply, "content encoding")
        return None

    def _wrong_method(self, inbound: Inbound, source: Source) -> Reply:
        allowed = ", ".join(source.methods)
        reply = problem(405, f"this source takes {allowed}", ("Allow", allowed))
        return self._refuse(inbound, source, reply, "method")

    def _answer(
        self,
        future: "Future[Appended]",
        event: Event,
        parsed: ParsedEvent | None,
        plan: Plan,
        source: Source,
        answer: "Future[Reply] | None",
        timeout: float,
    ) -> Reply:
        until = time.monotonic() + timeout
        try:
            stored = future.result(timeout)
        except (StoreUnavailable, NotInTime) as error:
            # What still queues is taken back, since the sender will repeat it. If it is being committed at this very
            # moment it may yet be stored, and dedupe tells the repeat apart.
            future.cancel()
            reason = str(error) or "the commit took too long"
            log.error("event not acknowledged", event_id=event.id, source=source.name, reason=reason)
            return self._unavailable(source)
        except StoreError as error:
            log.error("event could not be stored", event_id=event.id, source=source.name, reason=str(error))
            return self._unavailable(source)
        waited = max(0, self.now_ms() - event.received_at) / 1000
        if stored.duplicate:
            trace = trace_id_of(event.headers)
            log.info("duplicate received", event_id=stored.event_id, source=source.name, **trace)
            self.metrics.repeated(source.name, waited)
            return self._accepted(
                accepted(200, {"id": stored.event_id, "duplicate": True}), event, answer, source, until
            )
        matched, deliveries = list(plan.matched), len(plan.deliveries)
        # One line an event, so that lines can be counted: that nothing matched is said in it.
        why = {} if matched else self.unmatched.note(self.current.ruleset, event, parsed)
        log.info(
            "event received",
            event_id=event.id,
            source=source.name,
            matched=matched,
            deliveries=deliveries,
            **why,
            **trace_id_of(event.headers),
        )
        self.metrics.received(source.name, matched, waited)
        content: dict[str, object] = {"id": event.id}
        if source.verifier.verifies:  # the names of rules are not for everybody
            content |= {"matched": matched, "deliveries": deliveries}
        return self._accepted(accepted(202, content), event, answer, source, until)

    def _unavailable(self, source: Source) -> Reply:
        self.metrics.answered(source.name, 503)
        detail = "the event could not be stored just now and was not accepted; send it again"
        return problem(503, detail, ("Retry-After", str(RETRY_AFTER_SECONDS)))

    def _accepted(
        self, usual: Reply, event: Event, answer: "Future[Reply] | None", source: Source, until: float
    ) -> Reply:
        """What the first matching rule with a `respond` answers, else the source's, else the usual."""
        respond = source.respond
        if answer is not None:
            try:
                respond = answer.result(max(0.0, until - time.monotonic()))
            except (RenderError, NotInTime) as error:
                # The event is stored, and the sender has to hear so, if in the usual words.
                reason = str(error) or "it was not rendered in time"
                log.warning("respond of a rule failed; answered as usual", event_id=event.id, error=reason)
        if respond is None:
            respond = usual
        self.metrics.answered(source.name, respond.status)
        return respond

    def _unverified(self, inbound: Inbound, source: Source, refused: Unverified) -> Reply:
        challenge = [("WWW-Authenticate", refused.challenge)] if refused.challenge else []
        self.metrics.unverified(source.name, refused.failure)
        return self._refuse(inbound, source, problem(401, _UNVERIFIED, *challenge), refused.reason)

    def _refuse(self, inbound: Inbound, source: Source | None, reply: Reply, reason: str) -> Reply:
        self.metrics.answered(source.name if source else "", reply.status)
        name = source.name if source else None
        self.refusals.tell(name, reply.status, reason, inbound.ip, shown_method(inbound.method))
        return reply

    def _shaken(self, inbound: Inbound, source: Source, reply: Reply) -> Reply:
        self.metrics.answered(source.name, reply.status)
        self.handshakes.tell(source.name, reply.status, inbound.received_at)
        return reply


def _both(first: "Future[Any]", second: "Future[Any]") -> "Future[None]":
    """Done when both are, whatever came of them."""
    both: Future[None] = Future()

    def one_is_done(_: "Future[Any]") -> None:
        if first.done() and second.done():
            with contextlib.suppress(InvalidStateError):  # two threads may see it
                both.set_result(None)

    first.add_done_callback(one_is_done)
    second.add_done_callback(one_is_done)
    return both


def _event(inbound: Inbound, source: Source) -> Event:
    return Event(
        id=uuid7(inbound.received_at),
        source=source.name,
        method=inbound.method,
        path=inbound.path,
        query=inbound.query,
        headers=inbound.headers,
        body=inbound.body,
        ip=inbound.ip,
        received_at=inbound.received_at,
    )


def _is_coded(content_encoding: str) -> bool:
    """Whether the body is something else than it will be once decoded; the header is a list."""
    return any(coding.strip().lower() not in ("", "identity") for coding in content_encoding.split(","))


def _dedupe_key(parsed: ParsedEvent, source: Source) -> str | None:
    """What a copy of the event would share; an empty or missing value, or one that is no text or number, is none."""
    if source.dedupe is None:
        return None
    try:
        values = source.dedupe.field.values(parsed)
    except EvaluationError:
        return None
    value = values[0] if values else None
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        return None
    key = orjson.dumps(value).decode()
    return key if len(key) <= _LONGEST_KEY else "sha256:" + hashlib.sha256(key.encode()).hexdigest()
