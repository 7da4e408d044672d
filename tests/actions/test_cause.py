"""Every retried failure has a cause, by which `retry.on` can select it."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from router.actions.registry import ACTIONS
from router.domain.outcomes import Cause, Outcome, OutcomeKind
from tests.free_port import free_port

Make = Callable[..., Any]
Attempt = Callable[..., Outcome]
Serve = Callable[[Callable[[socket.socket], object]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that runs a server for one connection, and returns its URL."""
    opened: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(talk: Callable[[socket.socket], object]) -> str:
        server = socket.create_server(("127.0.0.1", 0))

        def run() -> None:
            with suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    talk(connection)

        opened.append(server)
        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return f"127.0.0.1:{server.getsockname()[1]}"

    yield start
    for server in opened:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
    for thread in threads:
        thread.join(60)


def _failed_by(outcome: Outcome) -> tuple[Cause | None, int | None]:
    assert outcome.kind is OutcomeKind.RETRY
    assert outcome.cause in {cause for kind in ACTIONS.values() for cause in kind.causes}
    return outcome.cause, outcome.status


@pytest.mark.parametrize("status", [301, 404, 410, 429, 500, 503])
def test_a_failed_response_has_its_status_as_cause(
    act: Make, job: Make, attempt: Attempt, httpserver: HTTPServer, status: int
) -> None:
    httpserver.expect_request("/").respond_with_data("", status=status)

    assert _failed_by(attempt(act("forward", {"url": httpserver.url_for("/")}), job({}))) == (Cause.STATUS, status)


@pytest.mark.parametrize("status", [301, 410, 429, 503])
def test_retry_after_is_read_from_every_failed_response(
    act: Make, job: Make, attempt: Attempt, httpserver: HTTPServer, status: int
) -> None:
    httpserver.expect_request("/").respond_with_data("", status=status, headers={"Retry-After": "17"})

    assert attempt(act("forward", {"url": httpserver.url_for("/")}), job({})).retry_after == 17


def test_a_refused_connection_has_cause_network(act: Make, job: Make, attempt: Attempt) -> None:
    url = f"http://127.0.0.1:{free_port()}/"

    assert _failed_by(attempt(act("forward", {"url": url}), job({}))) == (Cause.NETWORK, None)


@pytest.mark.parametrize(
    "talk",
    [
        lambda connection: connection.recv(65536),
        lambda connection: (connection.recv(65536), connection.sendall(b"\x00 not http\r\n\r\n")),
        lambda connection: (connection.recv(65536), connection.sendall(b"HTTP/1.1 200 OK\r\nContent-")),
    ],
)
def test_a_broken_or_malformed_response_has_cause_network(
    act: Make, job: Make, attempt: Attempt, serve: Serve, talk: Callable[[socket.socket], object]
) -> None:
    action = act("forward", {"url": f"http://{serve(talk)}/"})

    assert _failed_by(attempt(action, job({}))) == (Cause.NETWORK, None)


def test_a_tls_failure_has_cause_network(act: Make, job: Make, attempt: Attempt, serve: Serve) -> None:
    action = act("forward", {"url": f"https://{serve(lambda connection: connection.sendall(b'HTTP/1.1 400 no'))}/"})

    assert _failed_by(attempt(action, job({}))) == (Cause.NETWORK, None)


def test_an_unresolvable_name_has_cause_network(
    act: Make, job: Make, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    outcome = attempt(act("forward", {"url": "http://nowhere.example/"}), job({}))

    assert _failed_by(outcome) == (Cause.NETWORK, None)
    assert "can't be resolved" in outcome.error


def test_a_silent_target_has_cause_timeout(act: Make, job: Make, attempt: Attempt, serve: Serve) -> None:
    url = serve(lambda connection: connection.recv(65536) and connection.recv(1))

    outcome = attempt(act("forward", {"url": f"http://{url}/", "timeout": "200ms"}), job({}))

    assert _failed_by(outcome) == (Cause.TIMEOUT, None)


def test_a_slow_connect_has_cause_timeout(act: Make, job: Make, attempt: Attempt) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        held = [socket.socket() for _ in range(4)]
        for one in held:  # these fill the queue of connections that the server does not accept
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/"

        outcome = attempt(act("forward", {"url": url, "connect_timeout": "200ms"}), job({}))
        for one in held:
            one.close()

    assert _failed_by(outcome) == (Cause.TIMEOUT, None)
    assert "within 0.2 s" in outcome.error


@pytest.mark.parametrize(
    ("shell", "failed_by"),
    [
        ("exit 75", (Cause.EXIT, 75)),
        ("kill -TERM $$", (Cause.SIGNAL, -15)),
        ("sh -c 'kill -KILL $$'", (Cause.EXIT, 137)),  # the shell reports the signal of its child as an exit code
        ("sleep 600", (Cause.TIMEOUT, -15)),
    ],
)
def test_a_failed_program_has_cause_exit_signal_or_timeout(
    act: Make, job: Make, attempt: Attempt, shell: str, failed_by: tuple[Cause, int]
) -> None:
    outcome = attempt(act("command", {"shell": shell + "; exit", "timeout": "500ms"}), job({}))

    assert _failed_by(outcome) == failed_by


def test_a_missing_program_has_cause_not_started(act: Make, job: Make, attempt: Attempt) -> None:
    outcome = attempt(act("command", {"argv": ["none-such-program"], "stdin": "none"}), job({}))

    assert _failed_by(outcome) == (Cause.NOT_STARTED, None)


def test_a_path_that_is_not_a_file_has_cause_not_written(
    act: Make, job: Make, attempt: Attempt, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")

    assert _failed_by(attempt(act("append", {"path": "fifo"}), job({}))) == (Cause.NOT_WRITTEN, None)


def test_a_locked_file_has_cause_timeout(act: Make, job: Make, attempt: Attempt, tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / "a.txt").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        releaser = threading.Timer(1, fcntl.flock, (held, fcntl.LOCK_UN))
        releaser.start()
        outcome = attempt(act("append", {"path": "a.txt", "timeout": "100ms"}), job({}))
        releaser.join()

    assert _failed_by(outcome) == (Cause.TIMEOUT, None)


@pytest.mark.parametrize(
    ("type_", "options"),
    [
        ("forward", {"url": "http://127.0.0.1:9/{{ payload.no }}"}),
        ("command", {"argv": ["/bin/true", "{{ payload.no }}"]}),
        ("append", {"path": "x", "line": "{{ payload.no }}"}),
    ],
)
def test_a_failed_template_has_no_cause_and_is_not_retried(
    act: Make, job: Make, attempt: Attempt, type_: str, options: dict[str, Any]
) -> None:
    assert attempt(act(type_, options), job({})) == Outcome.failed("payload.no is missing")
