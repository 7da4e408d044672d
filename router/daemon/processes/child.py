"""An intake process: takes requests from the shared socket and hands their events to the main process."""

import asyncio
import contextlib
import gc
import logging
import os
import queue
import signal
import socket
import threading
import time

import structlog

from router.daemon.fd_limit import grant
from router.daemon.intake_server import own_server
from router.daemon.processes.counts import encode_counts
from router.daemon.processes.frames import Frame, FrameReader, Kind, pack
from router.daemon.processes.handed_answers import HandedAnswers
from router.daemon.processes.handed_events import HandedEvents
from router.daemon.processes.large_requests import LargeRequests
from router.daemon.processes.large_server import LargeServer
from router.daemon.processes.link import Link
from router.daemon.processes.sent_lines import SentLines
from router.daemon.processes.start import ProcessStart, RulesToLoad, decode_rules, encode_problems
from router.daemon.rules_loader import rules_loader
from router.daemon.systemd import remove_variables
from router.daemon.wall_clock import CLOCK, now_ms
from router.domain.certificates import CertificateError
from router.domain.errors import Problem
from router.http.certificate import Certificate
from router.http.server import Server
from router.intake.receiver import Receiver
from router.observe.logging import libraries as log_libraries
from router.observe.logging import setup as logs
from router.observe.metrics import Metrics
from router.rules.compile.loader import Loaded
from router.rules.ruleset import CurrentRuleset, Ruleset
from router.runtime.pacing import GC_PAUSED, GC_THRESHOLD, freeze_garbage, let_go, resting_while_busy

COUNTS_SECONDS = 0.02  #: from an answer to its count in the main process; a process that is killed loses these counts
QUIET_SECONDS = 0.25  #: the same for requests that become no event
LAST_SECONDS = 1.0  #: for the last answers when the main process is gone
_SENT_SECONDS = 2.0  #: for sending the last frames
_READ_BYTES = 65536
_NICE = 5  #: added to the niceness of the process for large requests: with few cores, the others go first

log = structlog.get_logger()


def serve(sock: socket.socket, listening: socket.socket | None, large: socket.socket, start: ProcessStart) -> None:
    """Serve until the main process says stop or is gone.

    `large` is an end of the queue of large requests. The process that handles them has no listening socket.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the main process says when to stop
        signal.signal(number, signal.SIG_IGN)
    remove_variables(os.environ)
    CLOCK.decode(start.clock)
    process, code = IntakeProcess(sock, listening, large, start), 0
    try:
        process.run()
    except Exception:
        log.exception("intake process failed by a fault of ours")
        code = 1
    process.send_rest()
    os._exit(code)  # daemon threads may be anywhere


class IntakeProcess:
    """One intake process. `run` belongs to its main thread."""

    def __init__(
        self, sock: socket.socket, listening: socket.socket | None, large: socket.socket, start: ProcessStart
    ) -> None:
        self._sock = sock
        self._large = large
        self._listening = listening
        self._start = start
        self._settings = start.settings
        self._reader = FrameReader()
        self._link = Link(self._received, self._lost, self._reader)
        self._lines = SentLines(self._link)
        self._events = HandedEvents(self._link.send)
        self._answers = HandedAnswers(self._link.send)
        self._metrics = Metrics()
        self._loader = rules_loader(start.settings, start.environ)
        self._prepared: tuple[int, Ruleset] | None = None
        # for the main thread; None: the main process is gone
        self._work: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._shipping = False
        self._told: dict[str, int] = {}  # the numbers that were sent last
        self._attaching: asyncio.Task[None] | None = None
        self._certificate: Certificate | None = None

    def run(self) -> None:
        """Load the rules, serve, stop."""
        logs.log_to(self._lines, self._start.logging.level, self._start.logging.style, {"process": self._start.number})
        log_libraries.listen()
        if not self._load_certificate():
            return
        early = self._wait_for_serve()
        if early is None:
            return
        self._server = self._make_server()
        self._server.start()
        self._server.ping(self._attach)
        freeze_garbage()
        gc.set_threshold(*GC_THRESHOLD)
        self._received(early)
        self._stop(self._obey())

    def send_rest(self) -> None:
        """Send the frames that still wait when the process ends before it served."""
        with contextlib.suppress(OSError):
            if self._attaching is None:
                self._sock.sendall(self._link.take_waiting())

    # Nothing else runs before it serves, so it may block.

    def _load_certificate(self) -> bool:
        files = self._settings.tls if self._listening is not None else None
        try:
            self._certificate = None if files is None else Certificate(files)
        except CertificateError as error:
            problem = Problem(str(files.cert) if files is not None else "", 1, 1, "", str(error))
            self._sock.sendall(pack(Kind.REFUSED, 0, encode_problems((problem,))))
            return False
        return True

    def _wait_for_serve(self) -> list[Frame] | None:
        """Load rules until the main process says that they are current. Returns the frames that came after."""
        if not self._load_first(self._start.rules):
            return None
        while data := self._sock.recv(_READ_BYTES):
            frames = self._reader.feed(data)
            for at, frame in enumerate(frames):
                if frame.kind == Kind.SERVE:
                    return frames[at + 1 :]
                if frame.kind == Kind.STOP:
                    return None
                if frame.kind == Kind.PREPARE and not self._load_first(decode_rules(frame.number, frame.body)):
                    return None
        return None

    def _load_first(self, rules: RulesToLoad) -> bool:
        loaded = self._load(rules)
        if loaded.ruleset is None:
            self._sock.sendall(pack(Kind.REFUSED, rules.generation, encode_problems(loaded.errors)))
            return False
        self._current = CurrentRuleset(loaded.ruleset)
        self._sock.sendall(pack(Kind.READY, rules.generation, b"%d" % os.getppid()))
        return True

    def _load(self, rules: RulesToLoad) -> Loaded:
        with GC_PAUSED:
            return self._loader.load_again(rules.text, rules.file)

    def _make_server(self) -> Server | LargeServer:
        settings, judges_large = self._settings, self._listening is None
        receiver = Receiver(
            self._current,
            self._events,
            now_ms,
            # the process that accepted the request has worked out the sender's address
            () if judges_large else settings.trusted_proxies,
            metrics=self._metrics,
            answers=self._answers,
            large=None if judges_large else LargeRequests(self._large).judge,
            verbose=log.is_enabled_for(logging.DEBUG),
        )
        if self._listening is None:
            with contextlib.suppress(OSError):
                os.nice(_NICE)
            return LargeServer(receiver.handle, self._large)
        # The whole limit, since the kernel does not divide new connections evenly among the processes.
        connections = grant(settings.max_connections)
        return own_server(settings, receiver, self._certificate, connections, self._listening)

    # In the loop of the server.

    def _attach(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._link.send(pack(Kind.SERVING))
        self._sock.settimeout(0)
        self._attaching = self._loop.create_task(self._link.attach(self._sock))
        self._count_quiet()

    def _received(self, frames: list[Frame]) -> None:
        results = [frame for frame in frames if frame.kind == Kind.RESULT]
        if results:
            self._events.results(results)
            self._count_soon()
        for frame in frames:
            if frame.kind == Kind.ANSWERED:
                self._answers.answered(frame)
            elif frame.kind == Kind.PING:
                CLOCK.decode(bytes(frame.body))
                self._link.send(pack(Kind.PONG, frame.number))
            elif frame.kind == Kind.COLLECT:
                self._send_counts(frame.number)
            elif frame.kind == Kind.PREPARE:
                threading.Thread(target=self._prepare, args=(frame,), name="reload", daemon=True).start()
            elif frame.kind == Kind.SWAP:
                self._swap(frame.number)
            elif frame.kind in (Kind.STOP, Kind.RENEW):
                self._work.put(frame)

    def _swap(self, generation: int) -> None:
        if self._prepared is None or self._prepared[0] != generation:
            return
        before, self._current.ruleset = self._current.ruleset, self._prepared[1]
        self._prepared = None
        self._link.send(pack(Kind.SWAPPED, generation))
        threading.Thread(target=_free, args=(before,), name="reload", daemon=True).start()

    def _lost(self) -> None:
        """The main process is gone."""
        self._lines.alone = True
        self._events.fail_all()
        self._answers.end_all()
        self._work.put(None)

    def _count_soon(self) -> None:
        if not self._shipping:
            self._shipping = True
            self._loop.call_later(COUNTS_SECONDS, self._send_counts)

    def _count_quiet(self) -> None:
        self._loop.call_later(QUIET_SECONDS, self._count_quiet)
        self._send_counts()

    def _send_counts(self, number: int = 0) -> None:
        self._shipping = False
        counted = self._metrics.take()
        open_, limit = self._server.connections()
        state = {"connections": open_, "limit": limit, "lines_lost": self._lines.lost}
        if number or counted.counts or counted.histograms or state != self._told:
            self._told = state
            self._link.send(pack(Kind.COUNTS, number, encode_counts(counted, state)))

    # In a thread of its own.

    def _prepare(self, frame: Frame) -> None:
        rules = decode_rules(frame.number, frame.body)
        try:
            with resting_while_busy(self._server.is_busy):
                loaded = self._load(rules)
                freeze_garbage()
        except Exception as error:
            log.exception("rules can't be prepared by a fault of ours")
            problem = Problem(rules.file, 1, 1, "", f"internal error ({type(error).__name__})")
            self._link.send(pack(Kind.REFUSED, rules.generation, encode_problems((problem,))))
            return
        if loaded.ruleset is None:
            self._link.send(pack(Kind.REFUSED, rules.generation, encode_problems(loaded.errors)))
            return
        self._prepared = rules.generation, loaded.ruleset
        self._link.send(pack(Kind.PREPARED, rules.generation))

    # In the main thread.

    def _obey(self) -> float:
        """Do the slow work, until the end. Returns the seconds that a stop may take."""
        while (frame := self._work.get()) is not None:
            if frame.kind == Kind.STOP:
                return frame.number / 1000
            self._renew(frame.number)
        log.warning("the main process is gone; its senders are answered 503, and this process ends")
        return LAST_SECONDS

    def _renew(self, number: int) -> None:
        try:
            if self._certificate is not None:
                self._certificate.reload()
        except CertificateError as error:
            log.error("renewed certificate refused; the old one stays", listener="intake", error=str(error))
        self._link.send(pack(Kind.RENEWED, number))

    def _stop(self, seconds: float) -> None:
        self._server.drain(seconds)
        if self._lines.alone:
            return
        self._server.ping(self._send_counts)
        self._server.ping(lambda: self._link.send(pack(Kind.BYE)))
        until = time.monotonic() + _SENT_SECONDS
        said = threading.Event()
        self._server.ping(said.set)
        said.wait(_SENT_SECONDS)
        while not self._link.is_sent() and time.monotonic() < until:
            time.sleep(0.005)


def _free(ruleset: Ruleset) -> None:
    parts = ruleset.parts()
    del ruleset
    let_go(parts)
