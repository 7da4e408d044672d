"""The intake of a real daemon stores or refuses each request, also with a full disk, during reloads and after kills."""

import hmac
import http.client
import json
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import PATIENCE_SECONDS, Answer, Daemon, Receiver, number_of_examples
from tests.http.talking import talk

Start = Callable[..., Daemon]
Wait = Callable[[Callable[[], Any]], Any]

RULES = """
sources: {open: {verify: none}}
rules: [{name: all, match: {$.n: {exists: true}}, actions: [append: all.jsonl]}]
"""


def _stored(daemon: Daemon) -> set[str]:
    """The ids of all events in the store of a stopped daemon."""
    with sqlite3.connect(daemon.store) as connection:
        found = {str(id_) for (id_,) in connection.execute("SELECT id FROM event")}
    connection.close()
    return found


@dataclass
class Sender:
    """Posts on one connection after the other until it is stopped or a connection is refused."""

    port: int
    headers: Callable[[bytes], dict[str, str]] = lambda _: {}
    path: str = "/hooks/open"
    over: threading.Event = field(default_factory=threading.Event)
    answers: list[Answer] = field(default_factory=list)
    unanswered: int = 0  #: requests on open connections that got no answer

    def run(self) -> None:
        """Post until the end."""
        while not self.over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
            try:
                connection.connect()
            except OSError:
                return
            try:
                self._post(connection)
            finally:
                connection.close()

    def _post(self, connection: http.client.HTTPConnection) -> None:
        while not self.over.is_set():
            body = b'{"n": %d}' % len(self.answers)
            try:
                connection.request("POST", self.path, body, {"Content-Type": "application/json", **self.headers(body)})
                response = connection.getresponse()
                self.answers.append(Answer(response.status, dict(response.getheaders()), response.read()))
            except (OSError, http.client.HTTPException):
                self.unanswered += 1
                return
            if self.answers[-1].headers.get("Connection") == "close":
                return


@contextmanager
def _sending(*senders: Sender) -> Iterator[None]:
    threads = [threading.Thread(target=sender.run) for sender in senders]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for sender in senders:
            sender.over.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)


def test_a_stop_under_load_answers_every_sender_and_stores_every_accepted_event(start: Start, eventually: Wait) -> None:
    daemon = start(RULES, flags=("--grace", "120"))
    senders = [Sender(daemon.port) for _ in range(16)]

    with _sending(*senders):
        eventually(lambda: sum(len(sender.answers) for sender in senders) > 300)
        began = time.monotonic()
        assert daemon.stop() == 0
        took = time.monotonic() - began

    answers = [answer for sender in senders for answer in sender.answers]
    assert {answer.status for answer in answers} == {202}
    assert {answer.json["id"] for answer in answers} == _stored(daemon)  # so every stored event was answered
    # The daemon may close an idle connection while a request is being written. Its sender would repeat it.
    # Most senders wait for an answer at any time. A stop without answers would leave most of them unanswered.
    assert sum(sender.unanswered for sender in senders) <= len(senders) // 2
    assert took < 30  # far less than the grace period


def test_a_kill_under_load_keeps_every_accepted_event(start: Start, eventually: Wait) -> None:
    daemon = start(RULES)
    senders = [Sender(daemon.port) for _ in range(8)]

    with _sending(*senders):
        eventually(lambda: sum(len(sender.answers) for sender in senders) > 200)
        daemon.kill()

    accepted = {answer.json["id"] for sender in senders for answer in sender.answers if answer.status == 202}
    assert len(accepted) > 200
    assert accepted <= _stored(daemon)


def test_intake_refuses_on_a_full_disk_and_recovers_by_itself(start: Start, eventually: Wait) -> None:
    daemon = start(RULES)
    assert daemon.post("/hooks/open", b'{"n": 0}').status == 202
    wal = daemon.store.with_name(daemon.store.name + "-wal")
    pid, unlimited = daemon.process.pid, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (wal.stat().st_size, resource.RLIM_INFINITY))

    full = b'{"n": "full", "pad": "%s"}' % (b"x" * 50_000)
    refused = [daemon.post("/hooks/open", full) for _ in range(5)]
    # A small commit may still fit. Then the store is ready until the next one fails.
    eventually(lambda: daemon.post("/hooks/open", full).status == 503 and daemon.admin("/-/ready").status == 503)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
    healed = eventually(lambda: (answer := daemon.post("/hooks/open", b'{"n": 1}')).status == 202 and answer)

    assert {answer.status for answer in refused} == {503}
    assert {answer.headers["Content-Type"] for answer in refused} == {"application/problem+json"}
    assert {answer.headers["Retry-After"] for answer in refused} == {"5"}
    daemon.wait_for_line("store commits again")
    assert daemon.stop() == 0
    assert healed.json["id"] in _stored(daemon)
    assert len(_stored(daemon)) == 2


def test_a_large_body_that_fills_the_disk_is_refused_and_the_connection_closed(start: Start) -> None:
    daemon = start(RULES)
    head = b"POST /hooks/open HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    body = b'{"n": 1, "pad": "%s"}' % (b"x" * 2_000_000)
    pid, unlimited = daemon.process.pid, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (716_800, resource.RLIM_INFINITY))  # of the temporary file

    answer = talk(daemon, head % len(body) + body, close=False)  # returns after the daemon has closed the connection
    resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 5\r\n" in answer
    assert daemon.post("/hooks/open", body).status == 202
    assert daemon.stop() == 0
    assert not [line for line in daemon.lines if line["level"] == "error"]


def test_intake_refuses_while_the_store_is_locked_and_recovers_by_itself(start: Start, eventually: Wait) -> None:
    daemon = start(RULES)
    other = sqlite3.connect(daemon.store, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with ThreadPoolExecutor(20) as pool:
        began = time.monotonic()
        refused = list(pool.map(lambda n: daemon.post("/hooks/open", b'{"n": %d}' % n), range(20)))
        took = time.monotonic() - began
        healthy = daemon.admin("/-/healthy").status
    other.execute("ROLLBACK")
    other.close()

    assert {answer.status for answer in refused} == {503}
    assert {answer.headers["Retry-After"] for answer in refused} == {"5"}
    assert took < 50  # some seconds on an idle machine; without a limit they would wait for ever
    assert healthy == 200
    eventually(lambda: daemon.post("/hooks/open", b'{"n": 1}').status == 202)
    assert daemon.stop() == 0
    with sqlite3.connect(daemon.store) as store:
        # An event that was answered 503 during its commit may be stored, but only completely.
        halves = store.execute("SELECT count(*) FROM event WHERE seq NOT IN (SELECT event FROM delivery)").fetchone()
    store.close()
    assert halves == (0,)


def test_a_hundred_concurrent_duplicates_are_one_event(start: Start) -> None:
    daemon = start(RULES.replace("none", "none, dedupe: headers.X-Id"))

    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: daemon.post("/hooks/open", b'{"n": 1}', {"X-Id": "one"}), range(100)))

    assert len({answer.json["id"] for answer in answers}) == 1
    assert sorted(answer.status for answer in answers) == [200] * 99 + [202]
    assert daemon.stop() == 0
    assert len(_stored(daemon)) == 1


ROTATED = """
sources: {signed: {verify: {scheme: hmac, header: X-Sig, secret: {file: key}}}}
rules: [{name: all, actions: [append: all.jsonl]}]
"""


def _signed_with(key: bytes) -> Callable[[bytes], dict[str, str]]:
    return lambda body: {"X-Sig": hmac.digest(key, body, "sha256").hex()}


def test_a_changed_secret_file_takes_effect_on_reload_under_load(
    start: Start, eventually: Wait, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("old\n")
    daemon = start(ROTATED)
    old, new = (Sender(daemon.port, _signed_with(key), "/hooks/signed") for key in (b"old", b"new"))

    with _sending(old, new):
        eventually(lambda: len(old.answers) > 50 and len(new.answers) > 50)
        assert {answer.status for answer in old.answers} == {202}
        assert {answer.status for answer in new.answers} == {401}
        (tmp_path / "key").write_text("new\n")
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: new.answers[-1].status == 202)
        after = len(old.answers) + 1
        eventually(lambda: len(old.answers) > after + 20)

    assert {answer.status for answer in old.answers[after:]} == {401}
    assert [answer.status for answer in new.answers] == sorted((a.status for a in new.answers), reverse=True)
    assert old.unanswered == new.unanswered == 0
    assert daemon.stop() == 0


PLANTED = "pl4nted"
CREDENTIALS = """
sources:
  basic: {{verify: {{scheme: basic, username: ann, secret: {{env: KEY}}}}}}
  bearer: {{verify: {{scheme: bearer, secret: {{env: KEY}}}}}}
  header: {{verify: {{scheme: token, header: X-Token, secret: {{env: KEY}}}}}}
  query: {{verify: {{scheme: token, query: key, secret: {{env: KEY}}}}}}
  gitlab: {{verify: {{scheme: gitlab, secret: {{env: KEY}}}}}}
  none: {{verify: none}}
  meta: {{verify: none, handshake: {{scheme: meta, verify_token: {{env: KEY}}}}}}
rules:
  - name: all
    source: "*"
    allow_unverified: true
    actions:
      - append: all.jsonl
      - forward: {url}
      - command: [sh, -c, "env; cat"]
  - name: leak
    source: "*"
    match:
      any:
        - headers.X-Token: {{exists: true}}
        - headers.X-Gitlab-Token: {{exists: true}}
        - query.key: {{exists: true}}
    actions: [append: leaked.jsonl]
"""


def test_credentials_are_neither_stored_nor_logged(
    start: Start, receiver: Receiver, eventually: Wait, tmp_path: Path
) -> None:
    daemon = start(CREDENTIALS.format(url=receiver.url), env={"KEY": PLANTED}, flags=("--log-level", "debug"))
    basic = "Basic YW5uOnBsNG50ZWQ="  # ann:pl4nted
    extra = {"Cookie": f"s={PLANTED}", "Proxy-Authorization": PLANTED}
    requests: list[tuple[str, dict[str, str]]] = [
        ("/hooks/basic", {"Authorization": basic}),
        ("/hooks/bearer", {"authorization": f"Bearer {PLANTED}"}),
        ("/hooks/header?a=1", {"x-TOKEN": PLANTED, "Authorization": PLANTED}),
        (f"/hooks/query?b=2&key={PLANTED}&c", {}),
        ("/hooks/gitlab", {"X-Gitlab-Token": PLANTED}),
        ("/hooks/none", {"Authorization": f"Bearer {PLANTED}"}),
    ]
    accepted = [daemon.post(path, b'{"n": 1}', {**headers, **extra}) for path, headers in requests]
    wrong = [
        daemon.post(path.replace(PLANTED, PLANTED + "x"), b"{}", {name: value + "x" for name, value in headers.items()})
        for path, headers in requests[:-1]
    ]
    wrong += [daemon.post(f"/hooks/{PLANTED}?{PLANTED}", b"{}"), daemon.post("/hooks/none", b'{"%s' % PLANTED.encode())]
    shaken = [
        daemon.post(f"/hooks/meta?hub.mode=subscribe&hub.challenge=1&hub.verify_token={token}", b"", method="GET")
        for token in (PLANTED, PLANTED + "x")
    ]
    broken = f"GET / HTTP/1.1\r\nAuthorization {PLANTED}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", daemon.port), PATIENCE_SECONDS) as connection:
        connection.sendall(broken)
        answer = connection.recv(10_000)
    eventually(lambda: sum(line["message"] == "attempt settled" for line in list(daemon.lines)) == 18)
    assert len(receiver.requests) == len((tmp_path / "all.jsonl").read_text().splitlines()) == 6
    assert daemon.stop() == 0

    assert [answer.status for answer in accepted] == [202] * 6
    assert {answer.status for answer in wrong[:-2]} == {401}
    assert [answer.status for answer in shaken] == [200, 401]
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file() and path != daemon.rules)
    forwarded = str([(one.path, one.headers, one.body) for one in receiver.requests])
    said = str([(one.headers, one.body) for one in accepted + wrong + shaken]) + str(answer) + str(daemon.lines)
    for planted in (PLANTED, basic.partition(" ")[2], PLANTED.encode().hex()):
        # A command gets only listed variables of the daemon's environment.
        assert planted.encode() not in written
        assert planted not in forwarded + said
    assert not (tmp_path / "leaked.jsonl").exists()
    assert b"b=2&c" in written


def test_many_idle_connections_do_not_slow_other_senders(start: Start) -> None:
    daemon = start(RULES)
    idle = [socket.create_connection(("127.0.0.1", daemon.port), PATIENCE_SECONDS) for _ in range(900)]
    try:
        for sock in idle[::2]:
            sock.sendall(b"POST /hooks/open HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
        began = time.monotonic()
        answers = [daemon.post("/hooks/open", b'{"n": 1}') for _ in range(20)]
        took = time.monotonic() - began
    finally:
        for sock in idle:
            sock.close()

    assert {answer.status for answer in answers} == {202}
    assert took < 50  # a busy machine takes some seconds


def test_a_thousand_requests_at_once_are_all_answered(start: Start) -> None:
    daemon = start(RULES)
    request = b'POST /hooks/open HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 8\r\n\r\n{"n": 1}'
    senders = [socket.create_connection(("127.0.0.1", daemon.port), PATIENCE_SECONDS) for _ in range(1000)]

    for sock in senders:
        sock.sendall(request)
    answers = [sock.makefile("rb").read() for sock in senders]
    for sock in senders:
        sock.close()

    assert {answer.split()[1] for answer in answers} == {b"202"}
    ids = {json.loads(answer.partition(b"\r\n\r\n")[2])["id"] for answer in answers}
    assert daemon.stop() == 0
    assert ids == _stored(daemon)


def test_random_bytes_do_not_harm_the_daemon() -> None:
    fuzz = Path(__file__).parents[2] / "bench" / "fuzz.py"

    done = subprocess.run(
        [sys.executable, str(fuzz), "--requests", str(number_of_examples(2000)), "--seed", "1"],
        capture_output=True, text=True, timeout=5 * PATIENCE_SECONDS, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d x 202", done.stdout)
