"""From a request to a stored event and its answer. It knows no particular server."""

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import structlog

from router.domain.errors import PayloadError
from router.domain.events import Event, ParsedEvent
from router.domain.ids import uuid7
from router.domain.networks import Network
from router.domain.reply import Reply
from router.domain.request import Inbound
from router.http.contract import Pending, Request
from router.http.limits import INLINE_BYTES, LARGE_BYTES
from router.http.methods import shown_method
from router.http.refusals import Refusals
from router.intake.acknowledgement import Acknowledgement
from router.intake.admission import check_admission
from router.intake.awaited_keys import after_keys
from router.intake.client_ip import client_address
from router.intake.content_encoding import codings, decoded
from router.intake.dedupe_key import dedupe_key_of
from router.intake.first_answer import Answers, NoAnswers, first_answer, forget_unstored
from router.intake.handshake_log import HandshakeLog
from router.intake.rejection import (
    LONG_QUERY,
    MAX_QUERY,
    UNKNOWN_PATH,
    Rejection,
    keys_unavailable,
    not_judged,
    unreadable_body,
    unverified,
    wrong_method,
)
from router.intake.unmatched_log import UnmatchedLog
from router.observe.metrics import Metrics
from router.plugins.scheme import KeysAwaited, KeysUnavailable, Unverified, Verified
from router.rules.compile.respond import RespondFrom
from router.rules.dry_run.nearest import tried
from router.rules.parsing import as_stored, read_arriving
from router.rules.ruleset import CurrentRuleset, Plan, Ruleset
from router.rules.source import Source
from router.store.contract import EventSink

UNKNOWN_BODY = 64 * 1024  #: bytes of a body that are read on a path without a source
# Servers call the handler in their loop's thread for bodies up to this size, and in other threads for larger ones.
# Large bodies are parsed and matched one at a time: a payload takes many times the memory of its body.
SMALL_BODY = INLINE_BYTES

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Receiver:
    """Receives events. Any thread may call it. A thread that must not block may do so only with bodies of up to
    SMALL_BODY bytes."""

    current: CurrentRuleset
    store: EventSink
    now_ms: Callable[[], int]
    trusted_proxies: tuple[Network, ...] = ()  #: networks of proxies whose X-Forwarded-For is trusted
    unmatched: UnmatchedLog = field(default_factory=UnmatchedLog)
    metrics: Metrics = field(default_factory=Metrics)
    refusals: Refusals = field(default_factory=Refusals)
    handshakes: HandshakeLog = field(default_factory=HandshakeLog)
    large: Callable[[Inbound], Reply | None] | None = None
    """Handles requests with bodies above LARGE_BYTES in another process. Returns None when it can't. It may block."""
    answers: Answers = field(default_factory=NoAnswers)  #: the answers of first attempts, for `respond: {from: ACTION}`
    verbose: bool = False  #: log at debug level, for each event, which conditions of its source's rules failed
    _large_body: threading.Lock = field(init=False, default_factory=threading.Lock, repr=False, compare=False)

    # Called by servers.

    def body_limit(self, path: str) -> int:
        """The largest body that is read on a path, in bytes."""
        source = self.current.ruleset.source_at(path)
        return source.max_body if source is not None and source.enabled else UNKNOWN_BODY

    def answered(self, path: str, status: int) -> None:
        """Count an answer that a server gave without calling `handle`."""
        source = self.current.ruleset.source_at(path)
        self.metrics.answered(source.name if source and source.enabled else "", status)

    def handle(self, request: Request) -> Reply | Pending:
        """Verify, parse and match a request, and hand the event to the store. The reply follows its commit.

        Never blocks on a small body. A large one waits until the large bodies before it are parsed.
        """
        ip = client_address(request.ip, request.headers, self.trusted_proxies)
        now = self.now_ms()
        inbound = Inbound("", request.method, request.path, request.query, request.headers, request.body, ip, now)
        if len(inbound.query) > MAX_QUERY:
            return self._reject(inbound, None, LONG_QUERY)
        ruleset = self.current.ruleset  # read once: a reload in between affects the next event
        source = ruleset.source_at(inbound.path)
        if source is None or not source.enabled:
            return self._reject(inbound, None, UNKNOWN_PATH)
        if self.large is not None and len(inbound.body) > LARGE_BYTES:
            return self._judge_elsewhere(self.large, inbound, source)
        verified = self._verify(inbound, source)
        if isinstance(verified, KeysAwaited):
            return after_keys(
                verified,
                partial(self._judge_again, inbound, source, ruleset),
                partial(self._reject, inbound, source, keys_unavailable("the public keys were not fetched in time")),
            )
        if self.large is not None and isinstance(verified, Verified) and len(verified.inbound.body) > LARGE_BYTES:
            return self._judge_elsewhere(self.large, inbound, source)  # it came compressed
        return self._go_on(verified, inbound, source, ruleset)

    def _judge_elsewhere(self, large: Callable[[Inbound], Reply | None], inbound: Inbound, source: Source) -> Reply:
        return large(inbound) or self._reject(inbound, source, not_judged())

    # The steps of an event.

    def _judge_again(self, inbound: Inbound, source: Source, ruleset: Ruleset) -> Reply | Pending:
        """Handle a request again after its keys were fetched, or could not be."""
        verified = self._verify(inbound, source)
        if isinstance(verified, KeysAwaited):
            return self._reject(inbound, source, keys_unavailable("the public keys could not be fetched"))
        return self._go_on(verified, inbound, source, ruleset)

    def _go_on(
        self, verified: Verified | Reply | Rejection, inbound: Inbound, source: Source, ruleset: Ruleset
    ) -> Reply | Pending:
        if isinstance(verified, Verified):
            event = _event(verified.inbound, source)
            if len(event.body) <= SMALL_BODY:
                return self._accept(event, verified.inbound, source, ruleset)
            with self._large_body:
                return self._accept(event, verified.inbound, source, ruleset)
        if isinstance(verified, Rejection):
            return self._reject(inbound, source, verified)
        return self._answer_handshake(inbound, source, verified)

    @staticmethod
    def _verify(inbound: Inbound, source: Source) -> Verified | Reply | Rejection | KeysAwaited:
        """The verified request with its body decoded, or the answer to a probe that comes before verification."""
        encodings = codings(inbound)
        rejection = check_admission(inbound, source, encodings)
        if rejection is not None:
            return rejection
        if source.handshake is not None:
            answer = source.handshake.before_verification(inbound)
            if answer is not None:
                return unverified(answer) if isinstance(answer, Unverified) else answer
        if inbound.method not in source.methods:  # only the handshake uses this method
            return wrong_method(source)
        if encodings and source.signs_decoded:
            found = decoded(inbound, source)
            return found if isinstance(found, Rejection) else _verdict(found, source)
        verdict = _verdict(inbound, source)
        if encodings and isinstance(verdict, Verified):
            found = decoded(verdict.inbound, source)
            return found if isinstance(found, Rejection) else Verified(found)
        return verdict

    def _accept(self, event: Event, inbound: Inbound, source: Source, ruleset: Ruleset) -> Reply | Pending:
        """Parse and match a verified event, and hand it to the store."""
        try:
            arriving = read_arriving(event, source)
        except PayloadError as error:
            return self._reject(inbound, source, unreadable_body(str(error)))
        if source.handshake is not None:
            answer = source.handshake.after_verification(inbound, arriving.sent.payload)
            if isinstance(answer, Unverified):
                return self._reject(inbound, source, unverified(answer))
            if answer is not None:
                return self._answer_handshake(inbound, source, answer)
        try:
            parsed = as_stored(arriving, source)
        except PayloadError as error:
            return self._reject(inbound, source, unreadable_body(str(error)))
        key = dedupe_key_of(arriving.sent, parsed, source)
        del arriving  # nothing may keep the redacted values
        return self._append(parsed, key, self._plan(parsed, ruleset), source, ruleset)

    def _plan(self, parsed: ParsedEvent, ruleset: Ruleset) -> Plan:
        plan = ruleset.plan(parsed)
        for rule, reason in plan.errors:
            self.metrics.not_judged(rule)
            event_id = parsed.event.id
            log.warning("rule could not be judged, so it is unmatched", rule=rule, event_id=event_id, reason=reason)
        if self.verbose:
            _log_tried(parsed, ruleset)
        return plan

    def _append(self, parsed: ParsedEvent, key: str | None, plan: Plan, source: Source, ruleset: Ruleset) -> Pending:
        event = parsed.event if key is None else replace(parsed.event, dedupe_key=key)
        window = round(source.dedupe.window * 1000) if source.dedupe else 0
        # Expect the answer before the event is stored: the attempt may end before this thread continues.
        rendered, expected = self._begin_reply(parsed, plan)
        committed = self.store.append(
            event, plan.deliveries, ruleset.hash, matched=plan.matched, errors=plan.errors, dedupe_window=window
        )
        if isinstance(plan.respond, RespondFrom) and expected:
            forget_unstored(committed, expected, self.answers)
        why = None if plan.matched else self._why_unmatched(event, parsed, ruleset)
        answer = Acknowledgement(source, event, plan, committed, rendered, why, self.metrics, self.now_ms)
        ready = committed if rendered is None or rendered.done() else _both(committed, rendered)
        return Pending(ready, answer.reply)

    def _begin_reply(self, parsed: ParsedEvent, plan: Plan) -> "tuple[Future[Reply] | None, str]":
        """The reply of a rule, and the id of the delivery whose answer it is."""
        if isinstance(plan.respond, RespondFrom):
            return first_answer(plan.respond, parsed, plan.deliveries, self.answers)
        return None if plan.respond is None else plan.respond.begin(parsed), ""

    def _why_unmatched(self, event: Event, parsed: ParsedEvent, ruleset: Ruleset) -> Callable[[], dict[str, object]]:
        # Keep the payload only if the log will need it. Otherwise its memory is free for the next event.
        kept = parsed if self.unmatched.is_due(event) else None
        return partial(self.unmatched.note, ruleset, event, kept)

    # Answers to requests that are not events.

    def _reject(self, inbound: Inbound, source: Source | None, rejection: Rejection) -> Reply:
        reply, name = rejection.reply, source.name if source else None
        if name is not None and rejection.failure is not None:
            self.metrics.unverified(name, rejection.failure)
        self.metrics.answered(name or "", reply.status)
        self.refusals.tell(name, reply.status, rejection.reason, inbound.ip, shown_method(inbound.method))
        return reply

    def _answer_handshake(self, inbound: Inbound, source: Source, reply: Reply) -> Reply:
        self.metrics.answered(source.name, reply.status)
        self.handshakes.tell(source.name, reply.status, inbound.received_at)
        return reply


def _verdict(inbound: Inbound, source: Source) -> Verified | Rejection | KeysAwaited:
    found = source.verifier.verify(inbound, inbound.received_at)
    if isinstance(found, Unverified):
        return unverified(found)
    return keys_unavailable(found.reason) if isinstance(found, KeysUnavailable) else found


def _log_tried(parsed: ParsedEvent, ruleset: Ruleset) -> None:
    for one in tried(ruleset, parsed):
        fails = one.condition or None
        log.debug("rule tried", event_id=parsed.event.id, rule=one.rule, matched=fails is None, fails=fails)


def _both(first: "Future[Any]", second: "Future[Any]") -> "Future[None]":
    """A future that is done when both are done, whatever their results."""
    both: Future[None] = Future()

    def one_is_done(_: "Future[Any]") -> None:
        if first.done() and second.done():
            with contextlib.suppress(InvalidStateError):  # both threads may set it
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
        named=inbound.named,
    )
