"""The daemon's side of its view process: starts it when views are read while events arrive, and ends it when nobody
reads."""

import atexit
import multiprocessing.process
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from router import __version__
from router.admin.page.view import Problem
from router.admin.reading import Reading
from router.daemon.launch import Launch
from router.daemon.processes.forkserver import end_forkserver, forkserver, start_process
from router.daemon.processes.start import RulesToLoad
from router.daemon.view_process.child import serve_views
from router.daemon.view_process.messages import CHANNELS, Answer, Channel, Question, Ready, ViewStart
from router.daemon.view_process.pings import PING_SECONDS, Pings
from router.daemon.wall_clock import CLOCK
from router.domain.errors import StoreError
from router.domain.reply import Reply
from router.rules.ruleset import CurrentRuleset, Ruleset

READINGS = 5  #: readings within WITHIN_SECONDS, while events arrive, that start it; an open page asks more often
WITHIN_SECONDS = 60.0
IDLE_SECONDS = 600.0  #: without a reading, after which it ends; somebody who reads again soon still finds it
READY_SECONDS = 120.0  #: limit of its start; 100,000 rules take some 15 s
ANSWER_SECONDS = 60.0  #: limit of an answer; a plan of rules takes 10 s at most
SILENT_SECONDS = 10.0  #: without an answer to a ping; a busy machine gives it a tenth of a core, and that is enough
AGAIN_SECONDS = 5.0  #: from the end of one that failed to the start of the next
_ENDED_SECONDS = 2.0  #: limit of its end

log = structlog.get_logger()


@dataclass(slots=True)
class _Process:
    """One process that answers."""

    process: multiprocessing.process.BaseProcess
    channels: tuple[Channel, ...]
    line: Channel  #: for pings
    ruleset: Ruleset
    free: list[Channel]  #: channels without a question
    under_way: int = 0  #: questions that are being answered
    over: threading.Event = field(default_factory=threading.Event)  #: set when it should end


class ViewProcess:
    """The view process. Any thread may call it. While no process answers, the daemon gives the answer itself."""

    def __init__(
        self,
        launch: Launch,
        current: CurrentRuleset,
        busy: Callable[[], bool],
        checks: Callable[[], Mapping[str, bool]],
    ) -> None:
        """`busy`: whether events are arriving."""
        self._launch = launch
        self._current = current
        self._busy = busy
        self._checks = checks
        self._state = threading.Condition()  # guards everything below; notified when a question ends
        self._serving: _Process | None = None
        self._keeper: threading.Thread | None = None  #: from the start of a process to its end
        self._beside_events: deque[float] = deque(maxlen=READINGS)  #: monotonic: of the last readings
        self._asked_at = self._start_at = 0.0  #: monotonic: of the last reading; not before
        self._stopped = False
        self._forked_from = 0  #: the forkserver's pid; 0 before it is known

    @property
    def pid(self) -> int:
        """The process that answers; 0 if there is none."""
        serving = self._serving
        return 0 if serving is None else serving.process.pid or 0

    @property
    def lives(self) -> bool:
        """Whether a process is starting, answering or ending."""
        return self._keeper is not None

    def answer(self, reading: Reading) -> Reply | None:
        """The reply of the process; None: the daemon must answer. Raises Problem, StoreError."""
        with self._state:
            serving = self._found()
            if serving is None or not serving.free:
                return None
            channel = serving.free.pop()
            serving.under_way += 1
        answer = None
        try:
            answer = self._ask(channel, reading)
        finally:
            self._ended(serving, channel, is_lost=answer is None)
        return None if answer is None else self._read(answer)

    def stop(self) -> None:
        """End the process and start no other."""
        with self._state:
            self._stopped = True
            keeper = self._keeper
            if self._serving is not None:
                self._serving.over.set()
            self._state.notify_all()
        if keeper is not None:
            keeper.join(READY_SECONDS)

    # A reading, with or without a process.

    def _found(self) -> _Process | None:
        """The process that has the current rules. A process with other rules ends and is replaced."""
        now, serving, busy = time.monotonic(), self._serving, self._busy()
        self._asked_at = now
        if busy:
            self._beside_events.append(now)
        if serving is None:
            if busy:
                self._begin_soon(now)
        elif serving.ruleset is not self._current.ruleset or serving.over.is_set():
            serving.over.set()
            return None
        return serving

    def _begin_soon(self, now: float) -> None:
        often = len(self._beside_events) == READINGS and self._beside_events[0] > now - WITHIN_SECONDS
        if often and self._keeper is None and now >= self._start_at and not self._stopped:
            keeper = threading.Thread(target=self._keep, name="views", daemon=True)
            try:
                keeper.start()  # it waits for the lock that is held here
            except RuntimeError as error:  # the system gives no further thread
                self._failed(error)
                return
            self._keeper = keeper

    def _ask(self, channel: Channel, reading: Reading) -> Answer | None:
        """The answer; None when the process is gone or does not answer."""
        try:
            channel.send(Question(reading, dict(self._checks()), CLOCK.encode()))
            if not channel.poll(ANSWER_SECONDS):
                return None
            answer: Answer = channel.recv()
        except (EOFError, OSError):
            return None
        return answer

    def _read(self, answer: Answer) -> Reply | None:
        for line in answer.lines:
            self._launch.lines.warning(line)
        if answer.problem is not None:
            raise Problem(*answer.problem)
        if answer.store_error:
            raise StoreError(answer.store_error)
        return answer.reply

    def _ended(self, serving: _Process, channel: Channel, *, is_lost: bool) -> None:
        with self._state:
            serving.under_way -= 1
            self._state.notify_all()
            if not is_lost:
                serving.free.append(channel)
        if is_lost:
            self._give_up(serving)

    def _give_up(self, serving: _Process) -> None:
        """End a process that does not answer."""
        with self._state:
            if serving.over.is_set():
                return
            serving.over.set()
        log.warning("view process does not answer; it is replaced", pid=serving.process.pid)

    # The keeper's thread: one process from its start to its end.

    def _keep(self) -> None:
        with self._state:
            ruleset = self._current.ruleset
        try:
            serving = self._begin(ruleset)
            self._watch(serving)
            self._end(serving)
        except Exception as error:  # noqa: BLE001 - the border of a thread; the daemon answers by itself
            self._failed(error)
        finally:
            with self._state:
                self._keeper = None

    def _failed(self, error: Exception) -> None:
        log.warning("view process can't be started; the daemon answers by itself", error=str(error))
        self._start_at = time.monotonic() + WITHIN_SECONDS

    def _begin(self, ruleset: Ruleset) -> _Process:
        launch = self._launch
        rules = RulesToLoad(1, ruleset.text, str(launch.settings.rules))
        context = forkserver()
        pairs = [context.Pipe() for _ in range(CHANNELS + 1)]  # one for pings
        ours, theirs = tuple(one for one, _ in pairs), tuple(other for _, other in pairs)
        start = ViewStart(launch.settings, launch.environ, launch.logging, rules, os.getpid())
        process = context.Process(target=serve_views, args=(theirs[1:], theirs[0], start), daemon=True)
        try:
            start_process(process, self._forked_from)
        finally:
            for channel in theirs:
                channel.close()
        serving = _Process(process, ours[1:], ours[0], ruleset, list(ours[1:]))
        atexit.register(process.kill)  # before multiprocessing waits for it
        try:
            self._wait_until_ready(ours[1])
        except BaseException:
            self._end(serving)
            raise
        return serving

    def _wait_until_ready(self, channel: Channel) -> None:
        until = time.monotonic() + READY_SECONDS
        while not channel.poll(0.2):
            if self._stopped or time.monotonic() > until:
                raise TimeoutError("it did not become ready in time")
        try:
            ready: Ready = channel.recv()
        except EOFError:
            raise ChildProcessError("it ended while it started") from None
        self._forked_from = ready.forked_from
        if ready.version != __version__:
            raise ChildProcessError(f"version {ready.version} was installed since this daemon started; restart it")
        if ready.problem:
            raise ChildProcessError(ready.problem)

    def _watch(self, serving: _Process) -> None:
        with self._state:
            self._serving = serving
            self._asked_at = time.monotonic()
            if self._stopped:
                serving.over.set()
        log.info("view process serves", pid=serving.process.pid)
        pings = Pings(serving.line)
        while not serving.over.wait(min(PING_SECONDS, self._idle_seconds())) and self._idle_seconds():
            if serving.under_way and pings.silent_seconds() > SILENT_SECONDS:
                self._give_up(serving)
        with self._state:
            self._serving = None
            is_stale = serving.ruleset is not self._current.ruleset
            self._start_at = 0.0 if is_stale else time.monotonic() + AGAIN_SECONDS
            if is_stale:
                self._finish(serving, pings)

    def _idle_seconds(self) -> float:
        """How long it stays without a further reading."""
        return max(0.0, self._asked_at + IDLE_SECONDS - time.monotonic())

    def _finish(self, serving: _Process, pings: Pings) -> None:
        """Let it answer what it was asked. Holds the lock, but not while it waits."""
        until = time.monotonic() + ANSWER_SECONDS
        while serving.under_way and not self._stopped and time.monotonic() < until:
            if pings.silent_seconds() > SILENT_SECONDS:
                return
            self._state.wait(PING_SECONDS)

    def _end(self, serving: _Process) -> None:
        process = serving.process
        process.kill()  # it has nothing to write
        process.join(_ENDED_SECONDS)
        if process.exitcode is None:  # its forkserver should report its end, and does not
            end_forkserver(self._forked_from)
            process.join(_ENDED_SECONDS)
        with self._state:  # who still asks hears that it is gone, and then lets go of the channel
            self._state.wait_for(lambda: serving.under_way == 0, _ENDED_SECONDS)
        for channel in (*serving.channels, serving.line):
            channel.close()
        atexit.unregister(process.kill)
