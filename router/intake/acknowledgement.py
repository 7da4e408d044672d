"""What a sender hears once the store has committed its event, and what is logged and counted then."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from router.domain.errors import RenderError, StoreError, StoreUnavailable
from router.domain.events import Appended, Event
from router.domain.reply import Reply
from router.http.json_reply import json_reply
from router.http.limits import RETRY_AFTER_SECONDS
from router.http.problem import problem
from router.observe.metrics import Metrics
from router.observe.trace_context import trace_id_of
from router.rules.compile.respond import RespondFrom
from router.rules.ruleset import Plan
from router.rules.source import Source

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Acknowledgement:
    """One event that was handed to the store. It keeps the payload only while `why_unmatched` needs it."""

    source: Source
    event: Event
    plan: Plan
    committed: "Future[Appended]"
    rendered: "Future[Reply] | None"  #: the reply by the `respond` of a rule that matched
    why_unmatched: Callable[[], Mapping[str, object]] | None  #: log fields for an event that no rule matched
    metrics: Metrics
    now_ms: Callable[[], int]

    def reply(self, timeout: float) -> Reply:
        """The answer. Waits at most `timeout` seconds; when the commit takes longer, the answer is 503."""
        until = time.monotonic() + timeout
        try:
            stored = self.committed.result(timeout)
        except (StoreUnavailable, TimeoutError) as error:
            # An event that is still queued is taken back, since the sender will repeat it. An event whose commit has
            # begun may be stored all the same; dedupe then recognizes the repeat.
            self.committed.cancel()
            return self._unavailable("event not acknowledged", str(error) or "the commit took too long")
        except StoreError as error:
            return self._unavailable("event could not be stored", str(error))
        waited = max(0, self.now_ms() - self.event.received_at) / 1000
        usual = self._duplicate(stored, waited) if stored.duplicate else self._received(waited)
        # the sender of the first copy got that answer
        is_heard = stored.duplicate and isinstance(self.plan.respond, RespondFrom)
        reply = usual if is_heard else self._responded(max(0.0, until - time.monotonic())) or usual
        self.metrics.answered(self.source.name, reply.status)
        return reply

    def _received(self, waited: float) -> Reply:
        source, event = self.source, self.event
        matched, deliveries = list(self.plan.matched), len(self.plan.deliveries)
        # One line for each event, so that lines can be counted. It also says why no rule matched.
        why = self.why_unmatched() if self.why_unmatched is not None else {}
        trace = trace_id_of(event.named)
        log.info(
            "event received",
            event_id=event.id,
            source=source.name,
            matched=matched,
            deliveries=deliveries,
            **why,
            **trace,
        )
        self.metrics.received(source.name, matched, waited)
        if source.verifier.verifies:  # only a verified sender may learn the names of rules
            return json_reply(202, {"id": event.id, "matched": matched, "deliveries": deliveries})
        return json_reply(202, {"id": event.id})

    def _duplicate(self, stored: Appended, waited: float) -> Reply:
        trace = trace_id_of(self.event.named)
        log.info("duplicate received", event_id=stored.event_id, source=self.source.name, **trace)
        self.metrics.repeated(self.source.name, waited)
        return json_reply(200, {"id": stored.event_id, "duplicate": True})

    def _responded(self, timeout: float) -> Reply | None:
        """The answer by `respond`: of the first matching rule that has one, otherwise the source's."""
        if self.rendered is None:
            return self.source.respond
        try:
            return self.rendered.result(timeout)
        except (RenderError, TimeoutError) as error:
            # The event is stored, so the sender gets the answer of a rule without `respond`.
            reason = str(error) or "it was not rendered in time"
            log.warning("respond of a rule failed; answered as usual", event_id=self.event.id, error=reason)
            return self.source.respond

    def _unavailable(self, message: str, reason: str) -> Reply:
        log.error(message, event_id=self.event.id, source=self.source.name, reason=reason)
        self.metrics.answered(self.source.name, 503)
        detail = "the event was not accepted, since it could not be stored; send it again later"
        return problem(503, detail, ("Retry-After", str(RETRY_AFTER_SECONDS)))
