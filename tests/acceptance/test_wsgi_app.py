"""`router.wsgi:app` in other WSGI servers."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import PATIENCE_SECONDS, preloaded, request, until
from tests.free_port import free_port

RULES = """
sources: {open: {verify: none, max_body: 100KiB}}
rules: [{name: all, actions: [append: all.jsonl]}]
"""
WAITRESS = (sys.executable, "-c", "from waitress.runner import run; run()", "--threads=8")  # like waitress-serve
WSGIREF = (sys.executable, "-c", "import sys; from wsgiref.simple_server import make_server; from router.wsgi import app;"
           "make_server('127.0.0.1', int(sys.argv[1]), app).serve_forever()")  # fmt: skip
PREFORK = (sys.executable, "-c", "import os, sys; os.setsid(); from wsgiref.simple_server import make_server; from router.wsgi import app;"
           "s = make_server('127.0.0.1', int(sys.argv[1]), app); s.handle_request(); s.handle_request();"
           "os.fork() or s.serve_forever(); os.wait()")  # fmt: skip


class Hosted:
    """A WSGI server that runs the application."""

    def __init__(self, folder: Path, command: tuple[str, ...], port: int):
        self.port = port
        self.log = folder / f"log-{port}"
        with self.log.open("wb") as log:
            environment = {
                **os.environ,
                "WEBHOOK_ROUTER_RULES": "rules.yaml",
                "WEBHOOK_ROUTER_STORE": "sqlite:events.db",
                "WEBHOOK_ROUTER_ADMIN": "off",
                "WEBHOOK_ROUTER_LOG_FORMAT": "json",
            }
            self.process = preloaded().start([], folder, environment, log.fileno(), command)
        until(self._listens)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def wait_until_idle(self) -> None:
        """Wait until an answer is complete, since wsgiref ignores a Ctrl-C before it closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as connection:
            connection.sendall(b"GET /x HTTP/1.0\r\n\r\n")
            while connection.recv(65_536):
                pass

    def error(self) -> str:
        """The message of its first line of level error."""
        return str(until(lambda: next((line["error"] for line in self.lines() if line["level"] == "error"), None)))

    def lines(self) -> list[dict[str, object]]:
        text = self.log.read_text()
        whole = text[: text.rfind("\n") + 1]  # the last line may be incomplete
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]


Start = Callable[..., Hosted]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a WSGI server."""
    (tmp_path / "rules.yaml").write_text(RULES)
    hosted: list[Hosted] = []

    def begin(command: tuple[str, ...]) -> Hosted:
        port = free_port()
        listen = (f"--listen=127.0.0.1:{port}", "router.wsgi:app") if command is WAITRESS else (str(port),)
        hosted.append(Hosted(tmp_path, (*command, *listen), port))
        return hosted[-1]

    yield begin
    for one in hosted:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)  # also its forked processes
        one.process.kill()
        one.process.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize("command", [WAITRESS, WSGIREF], ids=["waitress", "wsgiref"])
def test_the_daemon_starts_with_the_first_request_and_stops_with_its_server(
    host: Start, command: tuple[str, ...], tmp_path: Path
) -> None:
    hosted = host(command)
    assert not (tmp_path / "events.db").exists()

    answers = [request(hosted.port, "POST", "/hooks/open", b'{"n": %d}' % number) for number in range(5)]
    wrong = [
        request(hosted.port, "POST", path, body).status
        for path, body in (("/x", b"{}"), ("/hooks/open", b"{"), ("/hooks/open", b"x" * 150_000))
    ]
    until((tmp_path / "all.jsonl").exists)
    until(lambda: len((tmp_path / "all.jsonl").read_text().splitlines()) == 5)
    hosted.wait_until_idle()
    hosted.process.send_signal(signal.SIGINT)
    hosted.process.wait(PATIENCE_SECONDS)

    assert [answer.status for answer in answers] == [202] * 5
    assert wrong == [404, 400, 413]
    assert hosted.lines()[-1]["message"] == "stopped"
    with closing(sqlite3.connect(tmp_path / "events.db")) as store:
        assert {id_ for (id_,) in store.execute("SELECT id FROM event")} == {answer.json["id"] for answer in answers}


def test_a_second_process_on_the_store_answers_503_with_the_cure(host: Start) -> None:
    first, second = host(WAITRESS), host(WAITRESS)
    assert request(first.port, "POST", "/hooks/open", b"{}").status == 202

    answer = request(second.port, "POST", "/hooks/open", b"{}")

    assert (answer.status, answer.headers["Content-Type"]) == (503, "application/problem+json")
    assert "in use by another daemon" in second.error()
    assert "in one process with threads" in second.error()

    first.process.kill()
    first.process.wait(PATIENCE_SECONDS)
    until(lambda: request(second.port, "POST", "/hooks/open", b"{}").status == 202)  # the second process takes over


def test_a_process_forked_after_the_start_answers_503_and_says_why(host: Start) -> None:
    hosted = host(PREFORK)  # its first connection comes from `until` and sends nothing
    assert request(hosted.port, "POST", "/hooks/open", b"{}").status == 202

    assert request(hosted.port, "POST", "/hooks/open", b"{}").status == 503
    assert "was forked from one in which it runs" in hosted.error()


_FORK = """
import io, os, signal
from router.observe.logging.line_writer import Lines
from router.wsgi.hosted import HostedDaemon

daemon, lines = HostedDaemon(), Lines(io.BytesIO())
with daemon._lock, lines._urgent._cond:  # other threads start the daemon, and write lines
    forked = os.fork()
    if forked == 0:
        signal.alarm(30)
        daemon.close()
        lines.end()
        os._exit(0)
os._exit(os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]))
"""


def test_a_forked_process_waits_for_no_thread_that_it_does_not_have() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", _FORK], timeout=PATIENCE_SECONDS, check=False)

    assert done.returncode == 0


@pytest.mark.parametrize("rules", ["sources: {a: 1}\n", None], ids=["bad", "missing"])
def test_invalid_rules_are_logged_and_loaded_again_later(host: Start, tmp_path: Path, rules: str | None) -> None:
    (tmp_path / "rules.yaml").unlink()
    if rules is not None:
        (tmp_path / "rules.yaml").write_text(rules)
    hosted = host(WAITRESS)

    assert request(hosted.port, "POST", "/hooks/open", b"{}").status == 503
    assert "rules.yaml" in hosted.error()

    (tmp_path / "rules.yaml").write_text(RULES)
    until(lambda: request(hosted.port, "POST", "/hooks/open", b"{}").status == 202)
