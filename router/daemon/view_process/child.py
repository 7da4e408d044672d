"""The view process: answers reading requests of the admin listener, with its own connections to the store."""

import contextlib
import gc
import os
import signal
import threading
from dataclasses import replace
from typing import NoReturn

import structlog

from router import __version__
from router.admin.api.routes import find
from router.admin.daemon_handle import DaemonHandle
from router.admin.page.view import Problem
from router.admin.page.views import find_view
from router.admin.reading import EndpointReading, Reading
from router.daemon.rules_loader import rules_loader
from router.daemon.systemd import remove_variables
from router.daemon.view_process.messages import Answer, Channel, Question, Ready, ViewStart
from router.daemon.view_process.pings import answer_pings
from router.daemon.wall_clock import CLOCK, now_ms
from router.domain.errors import RouterError, StoreError
from router.domain.reply import Reply
from router.observe.logging import libraries as log_libraries
from router.observe.logging import setup as logs
from router.runtime.pacing import GC_PAUSED, GC_THRESHOLD, freeze_garbage
from router.store.open import open_operator_store

NICE = 10  #: added to its niceness: with few cores, events go first, and views still get a tenth of a core
_MOST_LINES = 100  #: lines of the log that wait for the next answer

log = structlog.get_logger()


def serve_views(channels: tuple[Channel, ...], pings: Channel, start: ViewStart) -> None:
    """Answer until the daemon closes the channels or is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the daemon says when to stop
        signal.signal(number, signal.SIG_IGN)
    remove_variables(os.environ)
    with contextlib.suppress(OSError):
        os.nice(NICE)
    lines = _Lines()
    logs.log_to(lines, start.logging.level, start.logging.style, {"process": "views"})
    log_libraries.listen()
    try:
        daemon = _handle(start)
    except Exception as error:  # noqa: BLE001 - the daemon tells it, and answers by itself
        told = str(error) if isinstance(error, RouterError) else f"internal error ({type(error).__name__})"
        channels[0].send(Ready(os.getppid(), __version__, told))
        return
    freeze_garbage()
    gc.set_threshold(*GC_THRESHOLD)
    channels[0].send(Ready(os.getppid(), __version__))
    threading.Thread(target=_count, args=(daemon,), name="count", daemon=True).start()
    threading.Thread(target=answer_pings, args=(pings,), name="pings", daemon=True).start()
    for channel in channels[1:]:
        threading.Thread(target=_serve, args=(channel, daemon, lines), daemon=True).start()
    _serve(channels[0], daemon, lines)


def _count(daemon: DaemonHandle) -> None:
    """Count what waits, so that no viewer waits for the first count."""
    with contextlib.suppress(StoreError):
        daemon.counts.depths(daemon.store)


class _Lines:
    """The log's lines, which go to the daemon with the next answer. Any thread may call it."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._lock = threading.Lock()

    def info(self, line: bytes) -> None:
        with self._lock:
            if len(self._waiting) < _MOST_LINES:
                self._waiting.append(line)

    debug = warning = error = critical = info

    def take(self) -> tuple[bytes, ...]:
        with self._lock:
            lines, self._waiting = self._waiting, []
        return tuple(lines)


def _handle(start: ViewStart) -> DaemonHandle:
    """The parts of the daemon that readings need. Raises RulesError, StoreError."""
    loader = rules_loader(start.settings, start.environ)
    with GC_PAUSED:
        ruleset = loader.load_again(start.rules.text, start.rules.file).require()
    return DaemonHandle(
        store=open_operator_store(start.settings.store),
        rules=start.settings.rules,
        ruleset=lambda: ruleset,
        loader=replace(loader, require_secrets=False),
        reload=_not_here,
        metrics=_not_here,
        checks=dict,
        busy=lambda: False,  # events don't wait for this process
        stopping=lambda: False,  # the daemon ends it
        now_ms=now_ms,
        pid=start.daemon,
    )


def _not_here(_: object) -> NoReturn:
    raise RuntimeError("only the daemon itself reloads and counts")


def _serve(channel: Channel, daemon: DaemonHandle, lines: _Lines) -> None:
    """Answer the questions of one channel. The end of the channel, or a fault, ends the process."""
    try:
        while True:
            question: Question = channel.recv()
            CLOCK.decode(question.clock)
            answer = answer_of(replace(daemon, checks=lambda: question.checks), question.reading)  # noqa: B023 - called at once
            channel.send(replace(answer, lines=lines.take()))
    except Exception:  # noqa: BLE001 - also an answer that can't be sent: the daemon hears of the end at once
        os._exit(0)  # the other threads may be anywhere


def answer_of(daemon: DaemonHandle, reading: Reading) -> Answer:
    """The reply to a reading, or why there is none."""
    try:
        return Answer(_reply(daemon, reading))
    except Problem as problem:
        return Answer(problem=(problem.status, str(problem)))
    except StoreError as error:
        return Answer(store_error=str(error))
    except Exception:  # noqa: BLE001 - the daemon meets it too, and reports it
        return Answer()


def _reply(daemon: DaemonHandle, reading: Reading) -> Reply | None:
    if isinstance(reading, EndpointReading):
        endpoint = find(reading.method, reading.path)
        seen = daemon if reading.may_act else daemon.for_reader
        return None if isinstance(endpoint, Reply) else endpoint[0].run(seen, reading.call)
    view = find_view(reading.request.path)
    seen = daemon if reading.session.may_act else daemon.for_reader
    return None if view is None else view[0].show(seen, reading.request, reading.session, view[1])
