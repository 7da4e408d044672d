"""Takes the store's place in an intake process: the main process commits the events and reports back."""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from router.daemon.processes.event_frames import decode_result, encode_event
from router.daemon.processes.frames import Frame, Kind, pack
from router.domain.deliveries import PlannedDelivery
from router.domain.errors import StoreError, StoreUnavailable
from router.domain.events import Appended, Event, Routing
from router.runtime.wakeups import gathered

CREDIT_BYTES = 8 * 1024 * 1024  #: of events without a result yet, or one larger event; some 1,000 pushes
WAITING_BYTES = 64 * 1024 * 1024  #: of events that wait for credit; beyond it senders get a 503
WAITING_EVENTS = 4096  #: the number of such events; the same as in the store's own queue

_GONE = "the daemon's main process has ended"


class _Committed(Future[Appended]):
    """The future of an event. Cancelling it takes the event back."""

    def __init__(self, events: "HandedEvents", number: int, event_id: str) -> None:
        super().__init__()
        self.number = number
        self.event_id = event_id
        self.size = 0  #: bytes of the frame
        self._events = events

    def cancel(self) -> bool:
        cancelled = super().cancel()
        if cancelled:
            self._events.take_back(self)
        return cancelled


class HandedEvents:
    """The events of one intake process that have no result yet. Any thread may call it."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._sent: dict[int, _Committed] = {}
        self._waiting: deque[tuple[_Committed, bytes]] = deque()  # for credit
        self._sent_bytes = self._waiting_bytes = 0
        self._gone = False

    def append(
        self,
        event: Event,
        plan: Sequence[PlannedDelivery],
        ruleset: str,
        *,
        matched: Sequence[str] = (),
        errors: Sequence[tuple[str, str]] = (),
        dedupe_window: int = 0,
    ) -> "Future[Appended]":
        """Like the store's `append`."""
        committed = _Committed(self, next(self._numbers), event.id)
        try:
            routing = Routing(ruleset, tuple(matched), tuple(errors))
            frame = pack(Kind.APPEND, committed.number, *encode_event(event, plan, routing, dedupe_window))
        except StoreError as error:
            committed.set_exception(error)
            return committed
        committed.size = len(frame)
        with self._lock:
            refusal = self._take(committed, frame)
        if refusal:
            committed.set_exception(StoreUnavailable(refusal))
        return committed

    def _take(self, committed: _Committed, frame: bytes) -> str:
        """Send the event, or keep it until there is credit. Returns the reason when neither is possible."""
        if self._gone:
            return _GONE
        if not self._waiting and self._has_credit(committed.size):
            self._send_now(committed, frame)
            return ""
        if self._waiting_bytes + committed.size > WAITING_BYTES or len(self._waiting) >= WAITING_EVENTS:
            return "the main process is too far behind to take more"
        self._waiting.append((committed, frame))
        self._waiting_bytes += committed.size
        return ""

    def _has_credit(self, size: int) -> bool:
        return not self._sent_bytes or self._sent_bytes + size <= CREDIT_BYTES

    def _send_now(self, committed: _Committed, frame: bytes) -> None:
        self._sent[committed.number] = committed
        self._sent_bytes += committed.size
        self._send(frame)

    def _send_waiting(self) -> None:
        while self._waiting and self._has_credit(self._waiting[0][0].size):
            committed, frame = self._waiting.popleft()
            self._waiting_bytes -= committed.size
            if not committed.cancelled():
                self._send_now(committed, frame)

    def take_back(self, committed: _Committed) -> None:
        """The sender was told that the event is not stored. Its credit returns with its result."""
        if committed.number in self._sent:
            self._send(pack(Kind.CANCEL, committed.number))

    def results(self, frames: Iterable[Frame]) -> None:
        """The results of some events have come."""
        with gathered():
            for frame in frames:
                with self._lock:
                    committed = self._sent.pop(frame.number, None)
                    if committed is None:
                        continue
                    self._sent_bytes -= committed.size
                _end(committed, decode_result(frame.body, committed.event_id))
            with self._lock:
                self._send_waiting()

    def fail_all(self) -> None:
        """The main process is gone. Nobody here knows whether it stored an event that has no result."""
        with self._lock:
            self._gone = True
            left = [*self._sent.values(), *(committed for committed, _ in self._waiting)]
            self._sent.clear()
            self._waiting.clear()
        with gathered():
            for committed in left:
                _end(committed, StoreUnavailable(_GONE))


def _end(committed: _Committed, result: Appended | StoreError) -> None:
    with suppress(InvalidStateError):  # its sender has an answer already
        if isinstance(result, StoreError):
            committed.set_exception(result)
        else:
            committed.set_result(result)
