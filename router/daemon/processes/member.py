"""One intake process, as the main process sees it."""

import contextlib
import multiprocessing.process
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from functools import partial

import structlog

from router.daemon.processes.answer_frames import decode_expected, encode_answer
from router.daemon.processes.counts import decode_counts
from router.daemon.processes.event_frames import decode_event, encode_failure, encode_result
from router.daemon.processes.frames import Frame, Kind, pack
from router.daemon.processes.link import Link
from router.daemon.processes.start import RulesToLoad, decode_problems
from router.daemon.wall_clock import CLOCK
from router.domain.action_answer import ActionAnswer
from router.domain.errors import Problem, StoreUnavailable
from router.domain.events import Appended
from router.intake.first_answer import Answers
from router.observe.logging.setup import LineLogger
from router.observe.metric_families import DUPLICATES, EVENTS, MATCHES, MetricFamily
from router.observe.metrics import Labels, MetricCounts, Metrics
from router.runtime.wakeups import wake_up
from router.store.contract import EventSink

SILENT_PINGS = 5  #: how many pings, one a second, may stay unanswered before a process that hangs is replaced

log = structlog.get_logger()

Answer = tuple[Problem, ...] | None
"""The answer to a question about rules: its problems, empty for none; None when the process is gone."""


class Member:
    """One process. `received` and `lost` belong to the hub's loop; any thread may call the other methods."""

    def __init__(
        self,
        number: int,
        store: EventSink,
        metrics: Metrics,
        lines: LineLogger,
        answers: Answers,
        changed: Callable[["Member"], None],
    ) -> None:
        """`changed` is called in the loop when the process becomes ready, serves, or is gone."""
        self.number = number
        self.generation = 0  #: the generation of the rules that it has loaded
        self.forked_from = 0  #: the forkserver's pid; 0 before it is known
        self.told_to_serve = self.serves = self.is_gone = False
        self.ended_well = False  #: it announced its end
        self.problems: tuple[Problem, ...] = ()  #: why it can't load the rules at its start
        self.state: dict[str, int] = {}  #: its last report: connections and their limit, lines_lost
        self.since = time.monotonic()
        self.last_event = 0.0  #: monotonic
        self.process: multiprocessing.process.BaseProcess | None = None
        self.link = Link(self.received, self.lost)
        self._store = store
        self._metrics = metrics
        self._lines = lines
        self._answers = answers
        self._expected: dict[int, str] = {}  #: deliveries whose answers it waits for, by the number of the frame
        self._changed = changed
        self._appends: dict[int, Future[Appended]] = {}
        self._uncounted: Counter[tuple[MetricFamily, Labels]] = Counter()
        self._questions: dict[tuple[Kind, int], Future[Answer]] = {}
        self._lock = threading.Lock()  # guards _questions and is_gone
        self._pings = self._pongs = 0

    @property
    def pid(self) -> int:
        """Its process id; 0 before it is known."""
        return (self.process.pid or 0) if self.process is not None else 0

    # Questions to the process.

    def ask(self, kind: Kind, number: int, body: bytes, answered: Kind) -> "Future[Answer]":
        """Send a frame. Its answer is of the given kind and has the same number."""
        future: Future[Answer] = Future()
        with self._lock:
            if self.is_gone:
                future.set_result(None)
                return future
            self._questions[answered, number] = future
        self.link.send(pack(kind, number, body))
        return future

    def prepare(self, rules: RulesToLoad) -> "Future[Answer]":
        """Have it load rules."""
        return self.ask(Kind.PREPARE, rules.generation, rules.encode(), Kind.PREPARED)

    def _answer(self, kind: Kind, number: int, answer: Answer) -> None:
        with self._lock:
            question = self._questions.pop((kind, number), None)
        if question is not None:
            question.set_result(answer)

    def check(self) -> bool:
        """Ping the process. False when it has not answered for too long."""
        if self._pings - self._pongs >= SILENT_PINGS:
            return False
        self._pings += 1
        if self.serves:
            self.link.send(pack(Kind.PING, self._pings, CLOCK.encode()))
        else:
            self._pongs = self._pings  # loading rules may take any time
        return True

    def kill(self) -> None:
        """Kill the process at once."""
        if self.pid and not self.is_gone:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def attach(self, sock: socket.socket) -> None:
        """Serve its socket in the running loop."""
        await self.link.attach(sock)

    # In the hub's loop.

    def received(self, frames: list[Frame]) -> None:
        """Handle frames that the process sent."""
        for frame in frames:
            match frame.kind:
                case Kind.APPEND:
                    self._append(frame)
                case Kind.EXPECT:
                    self._expect(frame)
                case Kind.FORGET:
                    if (delivery_id := self._expected.pop(frame.number, None)) is not None:
                        self._answers.forget(delivery_id)
                case Kind.LINE:
                    (self._lines.warning if frame.number else self._lines.info)(frame.body)
                case Kind.COUNTS:
                    self._count(frame)
                case Kind.PONG:
                    self._pongs = max(self._pongs, frame.number)
                case Kind.CANCEL:
                    append = self._appends.get(frame.number)
                    if append is not None:
                        append.cancel()
                case Kind.PREPARED | Kind.SWAPPED | Kind.RENEWED:
                    if frame.kind == Kind.SWAPPED:
                        self.generation = frame.number
                    self._answer(Kind(frame.kind), frame.number, ())
                case Kind.REFUSED:
                    self.problems = decode_problems(frame.body)
                    self._answer(Kind.PREPARED, frame.number, self.problems)
                case Kind.READY:
                    self.generation, self.forked_from = frame.number, int(frame.body)
                    self._changed(self)
                case Kind.SERVING:
                    self.serves, self.since = True, time.monotonic()
                    self._changed(self)
                case Kind.BYE:
                    self.ended_well = True

    def _expect(self, frame: Frame) -> None:
        expected = decode_expected(frame.body)
        self._expected[frame.number] = expected.delivery_id
        self._answers.expect(*expected).add_done_callback(partial(self._answered, frame.number))

    def _answered(self, number: int, future: "Future[ActionAnswer | None]") -> None:
        """Send an answer that the process waits for. Called by the delivery loop's thread or this loop's."""
        if self._expected.pop(number, None) is not None:
            self.link.put(pack(Kind.ANSWERED, number, *encode_answer(future.result())))
            wake_up(self.link.wake)

    def _append(self, frame: Frame) -> None:
        event, plan, routing, window = decode_event(frame.body)
        self.last_event = time.monotonic()
        future = self._store.append(
            event, plan, routing.ruleset, matched=routing.matched, errors=routing.errors, dedupe_window=window
        )
        self._appends[frame.number] = future
        rules = {one.rule for one in plan}
        future.add_done_callback(partial(self._ended, frame.number, event.source, rules))

    def _ended(self, number: int, source: str, rules: set[str], future: "Future[Appended]") -> None:
        """Send the result of an event. Called by the store's thread, or by the loop's for a cancelled event."""
        self._appends.pop(number, None)
        try:
            stored = future.result()
        except CancelledError:
            body = encode_failure(StoreUnavailable("its sender was answered already"))
        except Exception as error:  # noqa: BLE001 - its sender gets it
            body = encode_failure(error)
        else:
            body = encode_result(stored)
            self._expect_counts(source, rules, stored)
        self.link.put(pack(Kind.RESULT, number, body))
        wake_up(self.link.wake)  # once for all of a commit

    def _expect_counts(self, source: str, rules: set[str], stored: Appended) -> None:
        """Remember that the process will count this event when it answers. If it is gone, count the event here."""
        expected = [(DUPLICATES, (source,))] if stored.duplicate else [(EVENTS, (source,))]
        if not stored.duplicate:
            expected += [(MATCHES, (rule,)) for rule in rules]
        with self._lock:
            for one in expected:
                self._uncounted[one] += 1
            is_gone = self.is_gone
        if is_gone:
            self._count_the_rest()

    def _count(self, frame: Frame) -> None:
        counted, self.state = decode_counts(frame.body)
        self._metrics.add(counted)
        with self._lock:
            for family in (EVENTS, DUPLICATES, MATCHES):
                for labels, number in counted.counts.get(family, {}).items():
                    self._uncounted[family, labels] -= number
        if frame.number:
            self._answer(Kind.COUNTS, frame.number, ())

    def lost(self) -> None:
        """Its socket ended: the process is gone or about to end."""
        self.kill()
        with self._lock:
            self.is_gone, self.serves = True, False
            questions, self._questions = list(self._questions.values()), {}
        for delivery_id in list(self._expected.values()):
            self._answers.forget(delivery_id)
        for append in list(self._appends.values()):
            append.cancel()  # its sender has lost the connection and will repeat the event
        self._count_the_rest()
        for question in questions:
            with contextlib.suppress(InvalidStateError):
                question.set_result(None)
        self._changed(self)

    def _count_the_rest(self) -> None:
        """Count the events that the process did not live to count. Rules without an action are left out."""
        with self._lock:
            rest, self._uncounted = self._uncounted, Counter()
        counts: dict[MetricFamily, dict[Labels, int]] = {}
        for (family, labels), number in rest.items():
            if number > 0:
                counts.setdefault(family, {})[labels] = number
        self._metrics.add(MetricCounts(counts, {}))
