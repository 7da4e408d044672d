"""The view process answers what is read on the admin listener, with the daemon's own answers. The daemon answers by
itself when the process can't."""

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from router.admin.api.endpoint import Call
from router.admin.api.parameters import read_query
from router.admin.api.routes import ENDPOINTS, find
from router.admin.page.exchange import PageRequest
from router.admin.page.sessions import Session
from router.admin.page.view import Problem
from router.admin.page.views import VIEWS, find_view
from router.admin.reading import EndpointReading, Reading, ViewReading
from router.daemon.launch import Launch
from router.daemon.processes.start import Logging
from router.daemon.settings import Settings
from router.daemon.view_process import process as module
from router.daemon.view_process.child import answer_of
from router.daemon.view_process.process import READINGS, ViewProcess
from router.domain.filters import Filter
from router.domain.listen_address import ListenAddress
from router.domain.reply import Reply
from router.rules.ruleset import CurrentRuleset
from tests.admin.conftest import NOW, Admin, admin
from tests.admin.page.conftest import Browser, browser
from tests.conftest import until

__all__ = ["admin", "browser"]

OWNER, READER = Session("csrf", True, 0.0), Session("csrf", False, 0.0)

# The id of a delivery that an explanation shows. It is new in each explanation.
_PLANNED_ID = re.compile(rb'\\"delivery\\":\\"[0-9a-f-]{36}')

Begin = Callable[..., ViewProcess]


class Log:
    """Stands for the log and keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def info(self, line: bytes) -> None:
        self.lines.append(line)

    warning = info


def view(path: str, session: Session = OWNER) -> ViewReading:
    """A request for a page."""
    return ViewReading(PageRequest("GET", path, {}, {}, {}, {}, "127.0.0.1", "http://127.0.0.1:8081", NOW), session)


def is_stopped(pid: int) -> bool:
    """Whether every thread of a process has stopped."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return all((one / "stat").read_text().rpartition(")")[2].split()[0] == "T" for one in threads)


@pytest.fixture
def current(admin: Admin) -> CurrentRuleset:
    """The running rules."""
    return CurrentRuleset(admin.ruleset)


@pytest.fixture
def begin(admin: Admin, current: CurrentRuleset, tmp_path: Path) -> Iterator[Begin]:
    """Return a function that starts view processes as a daemon that receives events does."""
    begun: list[ViewProcess] = []

    def make(store: Path = tmp_path / "store.db", *, busy: bool = True) -> ViewProcess:
        settings = Settings(tmp_path / "rules.yaml", ListenAddress("127.0.0.1", 0), None, store)
        launch = Launch(settings, {"PLANTED": "planted-secret"}, Logging(), Log())
        begun.append(ViewProcess(launch, current, lambda: busy, lambda: admin.checks))
        return begun[-1]

    yield make
    for one in begun:
        one.stop()


def answered(views: ViewProcess, reading: Reading | None = None) -> Reply:
    """Ask until the view process answers. Return its answer."""
    found: list[Reply] = []
    reading = reading or view("/nodes")

    def ask() -> bool:
        reply = views.answer(reading)
        if reply is not None:
            found.append(reply)
        return bool(found)

    until(ask)
    return found[0]


def outcome(answer: Callable[[], Reply | None]) -> Reply | tuple[int, str]:
    """The reply, or the reason for its absence."""
    try:
        reply = answer()
    except Problem as problem:
        return problem.status, str(problem)
    assert reply is not None
    return replace(reply, body=_PLANNED_ID.sub(b"", reply.body))


def is_gone(pid: int) -> bool:
    """Whether a process has ended and its forkserver has noticed."""
    return not Path(f"/proc/{pid}").exists()


def test_the_view_process_answers_each_view_and_endpoint_as_the_daemon_does(admin: Admin, begin: Begin) -> None:
    event = admin.receive({"ref": "main", "repo": "a"})
    delivery = admin.store.deliveries(Filter(event_id=event))[0].id
    admin.checks["store"] = False
    views = begin()
    answered(views)
    ids = {"/events": event, "/deliveries": delivery, "/api/events": event, "/api/deliveries": delivery}

    for one in VIEWS:
        if "GET" not in one.methods or "{operation}" in one.path:
            continue
        path = one.path.replace("{id}", ids.get(one.path.partition("/{")[0], "")).replace("{form}", "curl")
        found = find_view(path)
        assert found is not None
        for session, daemon in ((OWNER, admin.daemon), (READER, admin.daemon.for_reader)):
            reading = view(path, session)
            expected = outcome(partial(found[0].show, daemon, reading.request, session, found[1]))
            assert outcome(partial(views.answer, reading)) == expected, path
    for endpoint in ENDPOINTS:
        if endpoint.method != "GET" or endpoint.limit != "store":
            continue
        path = endpoint.path.replace("{id}", ids.get(endpoint.path.partition("/{")[0], "")).replace("{name}", "check")
        found_endpoint = find("GET", path)
        assert not isinstance(found_endpoint, Reply)
        query = read_query("", endpoint.parameters or (), NOW)
        assert not isinstance(query, Reply)
        call = Call(found_endpoint[1], query, None, NOW)
        asked = EndpointReading("GET", path, call, may_act=True)
        assert outcome(partial(views.answer, asked)) == outcome(partial(endpoint.run, admin.daemon, call)), path


def test_the_application_hands_over_readings_and_executes_actions_itself(
    admin: Admin, begin: Begin, browser: Browser
) -> None:
    views = begin()
    asked: list[Reading] = []

    def answer(reading: Reading) -> Reply | None:
        asked.append(reading)
        return views.answer(reading)

    answered(views)
    admin.daemon = replace(admin.daemon, elsewhere=answer)
    admin.open()
    event = admin.receive({"ref": "main", "repo": "a"})

    page = browser.sign_in()
    assert event in page.go("/events")
    page.go("/targets")
    page.post("/targets/pause", target="ci")
    assert admin.store.holds()
    assert admin.get("/api/events")["items"][0]["id"] == event

    paths = [one.request.path if isinstance(one, ViewReading) else one.path for one in asked]
    assert paths == ["/", "/events", "/targets", "/targets", "/api/events"]
    assert all(not one.request.cookies for one in asked if isinstance(one, ViewReading))


def test_the_view_process_refuses_what_the_daemon_refuses(begin: Begin, admin: Admin) -> None:
    views = begin()
    answered(views)

    with pytest.raises(Problem, match="no event with this id") as raised:
        views.answer(view("/events/00000000-0000-7000-8000-000000000000"))
    assert raised.value.status == 404

    admin.store.close()
    assert "is closed" in answer_of(admin.daemon, view("/events")).store_error


def test_a_killed_view_process_is_replaced(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    views = begin()
    answered(views)
    first = views.pid
    os.kill(first, signal.SIGKILL)

    assert views.answer(view("/nodes")) is None  # so the daemon answers

    answered(views)
    assert views.pid != first


def test_a_hanging_view_process_is_replaced(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    views = begin()
    answered(views)
    first = views.pid
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.1)
    os.kill(first, signal.SIGSTOP)
    until(lambda: is_stopped(first))

    assert views.answer(view("/nodes")) is None

    monkeypatch.setattr(module, "ANSWER_SECONDS", 60.0)
    answered(views)
    assert is_gone(first)


def test_a_reading_does_not_wait_for_a_hanging_view_process(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    large = ViewReading(
        replace(view("/nodes").request, form={"rules": ["x" * 4_000_000]}), OWNER
    )  # overfills the channel
    for reading in (view("/nodes"), large):
        views = begin()
        answered(views, reading)
        hangs, found = views.pid, list[Reply | None]()
        assert hangs
        os.kill(hangs, signal.SIGSTOP)
        until(lambda: is_stopped(hangs))  # noqa: B023 - called at once
        monkeypatch.setattr(module, "SILENT_SECONDS", 0.1)

        asking = threading.Thread(target=lambda: found.append(views.answer(reading)), daemon=True)  # noqa: B023 - ends first
        asking.start()

        asking.join(module.ANSWER_SECONDS / 2)
        assert found == [None]  # so the daemon answers
        monkeypatch.undo()


def test_the_answers_show_new_rules_at_once(
    admin: Admin, begin: Begin, current: CurrentRuleset, tmp_path: Path
) -> None:
    views = begin()
    assert b"deploy main" in answered(views, view("/rules")).body
    text = admin.ruleset.text.text.replace("deploy main", "deploy it")

    current.ruleset = admin.daemon.loader.load(text, "rules.yaml", tmp_path).require()

    assert views.answer(view("/rules")) is None  # so the daemon answers
    assert b"deploy it" in answered(views, view("/rules")).body


def test_the_daemon_answers_by_itself_while_no_events_come(begin: Begin) -> None:
    views = begin(busy=False)

    assert [views.answer(view("/nodes")) for _ in range(2 * READINGS)] == [None] * (2 * READINGS)
    assert not views.lives


def test_the_view_process_ends_when_it_is_idle_or_the_daemon_stops(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = begin()
    answered(views)
    first = views.pid
    views.stop()
    assert is_gone(first)
    assert views.answer(view("/nodes")) is None

    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    idle = begin()
    with capture_logs() as logs:
        for _ in range(READINGS):
            idle.answer(view("/nodes"))
        until(lambda: not idle.lives)
    [served] = [line["pid"] for line in logs if line["event"] == "view process serves"]
    assert is_gone(served)


def test_no_view_process_serves_a_program_that_was_replaced_on_the_disk(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "__version__", "0.0.1")
    views = begin()

    with capture_logs() as logs:
        for _ in range(READINGS):
            assert views.answer(view("/nodes")) is None
        until(lambda: not views.lives)

    [line] = [line for line in logs if line["event"].startswith("view process can't be started")]
    assert "was installed since this daemon started" in line["error"]


def test_the_daemon_answers_when_the_view_process_can_not_start(begin: Begin, tmp_path: Path) -> None:
    views = begin(tmp_path / "no-store.db")

    with capture_logs() as logs:
        for _ in range(READINGS):
            assert views.answer(view("/nodes")) is None
        until(lambda: not views.lives)

    [line] = [line for line in logs if line["event"].startswith("view process can't be started")]
    assert "no-store.db" in line["error"]
    assert views.answer(view("/nodes")) is None
    assert not views.lives  # it is tried again later


def test_the_daemon_answers_when_the_system_has_no_further_threads(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    views = begin()
    monkeypatch.setattr(threading.Thread, "start", refuse)

    with capture_logs() as logs:
        assert [views.answer(view("/nodes")) for _ in range(2 * READINGS)] == [None] * (2 * READINGS)

    assert [line["error"] for line in logs] == ["can't start new thread"]
    assert not views.lives
    views.stop()
