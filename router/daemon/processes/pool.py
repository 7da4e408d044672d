"""The intake as several processes: starts them, replaces those that end or hang, and acts as one server for all."""

import atexit
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import structlog

from router.daemon.launch import Launch
from router.daemon.processes.frames import Kind, pack
from router.daemon.processes.member import Answer, Member
from router.daemon.processes.places import Place, Places
from router.daemon.processes.start import RulesToLoad
from router.daemon.processes.starter import KILLED_SECONDS, ProcessStarter
from router.domain.errors import Problem, RulesError, StartError
from router.http.binding import listen
from router.http.limits import BUSY_SECONDS
from router.http.loops import new_event_loop
from router.intake.first_answer import Answers
from router.observe.metrics import Metrics
from router.rules.ruleset import Ruleset
from router.store.contract import EventSink

CHECK_SECONDS = 1.0  #: between two pings of each process
AGAIN_SECONDS = 2.0  #: from a failed start to the next try; a process that has served is replaced at once
MISSING_SECONDS = 5.0  #: how long a process may be missing before the daemon counts as not ready
SWAP_SECONDS = 5.0  #: how long a process may take to swap in prepared rules; then it is replaced
PREPARE_SECONDS = 120.0  #: how long it may take to load rules; 100,000 rules take some 15 s
COLLECT_SECONDS = 0.5  #: how long a scrape waits for counts
FIRST_SECONDS = 120.0  #: how long the daemon's start waits for all processes

log = structlog.get_logger()


class IntakeProcesses:
    """The intake, with the interface of a server. Any thread may call it; `start` and `stop` belong to one thread."""

    def __init__(self, launch: Launch, store: EventSink, metrics: Metrics, ruleset: Ruleset, answers: Answers) -> None:
        """Bind the listen address. Raises StartError."""
        self._settings = settings = launch.settings
        self.changed: Callable[[], None] = lambda: None  #: called when a process begins to serve, or has ended
        self._listening = listen(settings.listen.host, settings.listen.port)
        self.port = int(self._listening.getsockname()[1])
        self._places = Places(settings.processes)
        self._loop = new_event_loop()
        self._starter = ProcessStarter(
            launch,
            self._listening,
            self._loop,
            lambda number: Member(number, store, metrics, launch.lines, answers, self._member_changed),
        )
        self._hub = threading.Thread(target=self._loop.run_forever, name="processes", daemon=True)
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._wake = threading.Event()
        # notified when a process changes; guards _rules and the list of those that serve
        self._state = threading.Condition()
        self._generation = 1
        self._rules = self._to_load(ruleset, 1)
        self._prepared: set[Member] = set()  #: processes that have loaded the rules of the last generation
        self._numbers = itertools.count(1)  #: of questions
        self._untold = False  # `changed` must be called
        self._stopping = False
        self.replaced = 0  #: processes that ended unexpectedly

    def _to_load(self, ruleset: Ruleset, generation: int) -> RulesToLoad:
        return RulesToLoad(generation, ruleset.text, str(self._settings.rules))

    # The interface of a server.

    def start(self) -> None:
        """Serve. Returns when all processes do. Raises StartError when they can't."""
        # multiprocessing's own exit handler waits for each process; this one runs before it
        atexit.register(self._kill_all)
        self._hub.start()
        self._supervisor.start()
        until = time.monotonic() + FIRST_SECONDS
        with self._state:
            self._state.wait_for(
                lambda: all(one.serves for one in self._places.all) or self._first_problem(), FIRST_SECONDS
            )
        problem = self._first_problem()
        if problem is not None or time.monotonic() > until:
            self.stop(0)
            reason = problem or "they did not become ready in time; start fewer processes"
            raise StartError(f"the intake processes can't serve: {reason}")

    def _first_problem(self) -> Problem | None:
        return next((member.problems[0] for member in self._places.members() if member.problems), None)

    def is_busy(self) -> bool:
        """Whether events are arriving."""
        since = time.monotonic() - BUSY_SECONDS
        return any(member.last_event > since for member in self._places.members())

    def connections(self) -> tuple[int, int]:
        """The connections in all processes, as last reported, and their limit."""
        states = [place.member.state for place in self._places.accepting if place.member is not None]
        open_ = sum(state.get("connections", 0) for state in states)
        wanted = self._settings.max_connections
        limits = [state.get("limit", wanted) for state in states]
        return open_, sum(limits) + wanted * (len(self._places.accepting) - len(limits))

    def lines_lost(self) -> int:
        """Log lines that could not be handed to the main process."""
        return sum(member.state.get("lines_lost", 0) for member in self._places.members())

    @property
    def alive(self) -> bool:
        """Whether the intake works: at least one process serves, and none is missing for long."""
        if self._stopping or not self._hub.is_alive():
            return False
        since = time.monotonic() - MISSING_SECONDS
        missing = [place.missing_since for place in self._places.all if place.missing_since]
        return self._places.serving() > 0 and all(one > since for one in missing)

    def ping(self, answer: Callable[[], None]) -> None:
        """Have the loop call a function in its next turn; any thread may ask."""
        self._loop.call_soon_threadsafe(answer)

    def serving(self) -> tuple[int, int]:
        """How many processes serve, and how many should."""
        return self._places.serving(), len(self._places.accepting)

    def counts(self) -> tuple[int, int, int]:
        """How many processes serve, how many should, and how many were replaced."""
        return *self.serving(), self.replaced

    def processes(self) -> list[dict[str, int | bool]]:
        """Each process by number, for `status`."""
        return [
            {"number": place.number, "pid": place.member.pid if place.member else 0, "serves": place.serves}
            for place in self._places.all
        ]

    # Rules.

    def prepare(self, ruleset: Ruleset) -> None:
        """Have all processes load rules without using them. Raises RulesError when one can't."""
        self._generation += 1
        rules = self._to_load(ruleset, self._generation)
        asked = [(member, member.prepare(rules)) for member in self._places.members() if member.told_to_serve]
        self._prepared = {member for member, _ in asked}
        until = time.monotonic() + PREPARE_SECONDS
        for member, future in asked:
            answer = _within(future, until)
            if answer:
                raise RulesError(answer)
            if not future.done():
                member.kill()

    def swap(self, ruleset: Ruleset) -> None:
        """Have all processes use the rules that they prepared last. Those that fail are replaced."""
        rules = self._to_load(ruleset, self._generation)
        with self._state:
            self._rules = rules  # who becomes ready from here on gets these
            serving = [member for member in self._places.members() if member.told_to_serve and not member.is_gone]
        swap = (Kind.SWAP, rules.generation, b"", Kind.SWAPPED)
        asked = [(member, member.ask(*swap)) for member in serving if member in self._prepared]
        until = time.monotonic() + SWAP_SECONDS
        silent = [member for member, future in asked if _within(future, until) is None and not member.is_gone]
        silent += [member for member in serving if member not in self._prepared]  # these began to serve in the meantime
        for member in silent:
            log.error("intake process does not take new rules; it is replaced", process=member.number, pid=member.pid)
            member.kill()
        with self._state:
            self._state.wait_for(lambda: all(member.is_gone for member in silent), KILLED_SECONDS)

    def renew(self) -> None:
        """Have all processes read the TLS certificate again."""
        self._ask_all(Kind.RENEW, Kind.RENEWED, SWAP_SECONDS)

    def collect(self) -> None:
        """Have all processes send their counts."""
        self._ask_all(Kind.COLLECT, Kind.COUNTS, COLLECT_SECONDS)

    def _ask_all(self, question: Kind, answer: Kind, seconds: float) -> None:
        number, until = next(self._numbers), time.monotonic() + seconds
        for future in [member.ask(question, number, b"", answer) for member in self._places.members() if member.serves]:
            _within(future, until)

    # Starts and ends of processes.

    def _supervise(self) -> None:
        next_check = time.monotonic() + CHECK_SECONDS
        while not self._stopping:
            for place in self._places.all:
                try:
                    self._fill(place)
                except Exception:  # this thread must continue whatever happens
                    log.exception("an intake process can't be started; trying again", process=place.number)
                    place.start_at = time.monotonic() + AGAIN_SECONDS
            if self._untold:
                self._untold = False
                self.changed()
            if time.monotonic() >= next_check:
                next_check = time.monotonic() + CHECK_SECONDS
                self._check()
            self._wake.wait(0.1 if any(place.member is None for place in self._places.all) else CHECK_SECONDS / 2)
            self._wake.clear()

    def _check(self) -> None:
        for member in self._places.members():
            if not member.is_gone and not member.check():
                log.error("intake process does not answer; it is replaced", process=member.number, pid=member.pid)
                member.kill()

    def _fill(self, place: Place) -> None:
        """Start a process in an empty place."""
        member = place.member
        if member is not None and member.is_gone:
            self._bury(place, member)
        if place.member is None and time.monotonic() >= place.start_at and not self._stopping:
            self._starter.start(place, self._rules)

    def _bury(self, place: Place, member: Member) -> None:
        code = self._starter.reap(member)
        failed = not member.told_to_serve
        place.start_at = time.monotonic() + AGAIN_SECONDS if failed else 0.0
        if not self._stopping:
            self.replaced += 1
            problem = {"problem": str(member.problems[0])} if member.problems else {}
            log.error(
                "intake process ended; it is replaced", process=place.number, pid=member.pid, code=code, **problem
            )
        place.member = None

    def _member_changed(self, member: Member) -> None:
        """A process changed. Called in the loop."""
        self._starter.forked_from = member.forked_from or self._starter.forked_from
        place = self._places.of(member)
        with self._state:
            if member.is_gone:
                place.missing_since = place.missing_since or time.monotonic()
            elif member.serves:
                place.missing_since = 0.0
            elif member.generation == self._rules.generation:
                member.told_to_serve = True
                member.link.send(pack(Kind.SERVE))
            else:  # the rules were reloaded in between
                member.link.send(pack(Kind.PREPARE, self._rules.generation, self._rules.encode()))
            self._state.notify_all()
        if member.serves:
            log.info("intake process serves", process=member.number, pid=member.pid)
        self._untold = True
        self._wake.set()

    # Stopping.

    def stop(self, timeout: float) -> None:
        """Accept nothing new, let requests under way be answered within `timeout` seconds, end all processes."""
        if self._stopping:
            return
        self._stopping = True
        self._wake.set()
        self._listening.close()  # the processes accept what the kernel has queued, and close their own copies
        if self._supervisor.is_alive():
            self._supervisor.join(KILLED_SECONDS)
        self._end([place.member for place in self._places.accepting if place.member is not None], timeout)
        large = self._places.large.member  # last, since the others waited for its answers
        self._end([] if large is None else [large], 0)
        self._starter.close()
        if self._hub.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._hub.join(KILLED_SECONDS)
        if not self._hub.is_alive():
            self._loop.close()

    def _end(self, members: list[Member], timeout: float) -> None:
        for member in members:
            member.link.send(pack(Kind.STOP, round(timeout * 1000)))
        with self._state:
            self._state.wait_for(lambda: all(member.is_gone for member in members), timeout + KILLED_SECONDS)
        for member in members:
            if not member.is_gone:
                log.error("intake process does not stop; it is killed", process=member.number, pid=member.pid)
            member.kill()
        for member in members:
            self._starter.reap(member)

    def _kill_all(self) -> None:
        self._stopping = True
        for member in self._places.members():
            member.kill()


def _within(future: "Future[Answer]", until: float) -> Answer:
    """The answer; None when the process is gone or too slow."""
    try:
        return future.result(max(0.0, until - time.monotonic()))
    except TimeoutError:
        return None
