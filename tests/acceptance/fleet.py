"""Several nodes that share one PostgreSQL, senders that record all answers, and checks of the result."""

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psycopg
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import PATIENCE_SECONDS, Daemon
from tests.postgres import Server

RULES = """
sources: {open: {verify: none, dedupe: {key: headers.X-Key, window: 1h}}}
defaults: {retry: {initial: 100ms, max: 500ms}}
rules:
  - name: sent
    actions: [{forward: "URL/sent", order_by: $.lane}]
"""

LEASE = 4.0  #: seconds; short, but long enough for a renewal on a busy machine


class Fleet:
    """Nodes that share a database. Always call `close`."""

    def __init__(self, folder: Path, server: Server, rules: str, *, port: int | None = None, lease: float = LEASE):
        """`port`: the port of a proxy between the nodes and the server."""
        self.folder = folder
        self.server = server
        self.database = server.new_database()
        self.rules = folder / "rules.yaml"
        self.rules.write_text(rules)
        self._lease = lease
        self._port = port or server.port
        self._numbers = itertools.count(1)
        self.nodes: list[Daemon] = []
        self._asking: psycopg.Connection[tuple[object, ...]] | None = None

    @property
    def url(self) -> str:
        """The URL of the store."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/{self.database}"

    def start(
        self,
        *flags: str,
        rules: Path | None = None,
        url: str = "",
        env: Mapping[str, str] | None = None,
        program: tuple[str, ...] = (),
    ) -> Daemon:
        """Start a node."""
        number = next(self._numbers)
        folder = self.folder / f"node-{number}"
        folder.mkdir()
        given = ("--store", url or self.url, "--node", f"node-{number}", "--lease", str(self._lease), *flags)
        node = Daemon(folder, rules or self.rules, flags=given, env=env, program=program)
        self.nodes.append(node)
        return node

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """Run one statement. The connection is kept, since a new one costs more than most statements."""
        kept = self._asking
        if kept is not None and not kept.closed and kept.info.port == self.server.port:
            with suppress(psycopg.OperationalError):  # the server was killed since the last statement
                return _rows(kept.execute(sql.encode()))
        if kept is not None:
            kept.close()
        self._asking = psycopg.connect(self.server.url(self.database), autocommit=True)
        return _rows(self._asking.execute(sql.encode()))

    def count(self, sql: str) -> int:
        """The number that a statement returns."""
        [(found,)] = self.ask(sql)
        assert isinstance(found, int)
        return found

    def unsettled(self) -> int:
        """The number of waiting and running deliveries."""
        return self.count("SELECT count(*) FROM webhook_router.delivery WHERE state IN ('pending', 'running')")

    def close(self) -> None:
        """Kill all nodes and remove the database."""
        for node in self.nodes:
            node.kill()
        if self._asking is not None:
            self._asking.close()
        with suppress(Exception):
            self.server.drop_database(self.database)


def _rows(cursor: psycopg.Cursor[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return cursor.fetchall() if cursor.description else []


class Senders:
    """Threads that send events to the nodes in turn. They send each event until it is answered."""

    def __init__(
        self,
        nodes: Callable[[], Sequence[Daemon]],
        threads: int = 3,
        path: str = "/hooks/open",
        pause: float = 0.0,
        lanes: str = "lane",
    ) -> None:
        """`pause`: seconds between two events of a thread. `lanes`: the beginning of its events' keys."""
        self._nodes = nodes
        self._pause = pause
        self._path = path
        self.ids: dict[str, str] = {}  #: ids of the answered events, by key
        self.answers: Counter[int] = Counter()  #: number of answers by status; status 0: no answer
        self.problems: list[str] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send, args=(f"{lanes}-{n}",)) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def wait(self, more: int) -> None:
        """Wait until `more` further events are answered."""
        goal, deadline = len(self.ids) + more, time.monotonic() + 2 * PATIENCE_SECONDS
        while len(self.ids) < goal:
            assert time.monotonic() < deadline, f"events are not answered: {self.answers}"
            time.sleep(0.01)

    def stop(self) -> None:
        """Wait for the answer to each started event, and end the threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE_SECONDS)
            assert not thread.is_alive(), "a sender got no answer"

    def _send(self, lane: str) -> None:
        place, turn = 0, itertools.count()
        while not self._stop.is_set():
            key = f"{lane}/{place}"
            body = json.dumps({"lane": lane, "place": place}).encode()
            deadline = time.monotonic() + 2 * PATIENCE_SECONDS
            while not self._post(key, body, next(turn)):
                if time.monotonic() > deadline:
                    self.problems.append(f"{key} is not answered")
                    return
                time.sleep(0.05)
            place += 1
            self._stop.wait(self._pause)

    def _post(self, key: str, body: bytes, turn: int) -> bool:
        nodes = list(self._nodes())
        status, content = 0, {}
        if nodes:
            node = nodes[turn % len(nodes)]
            connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)
            try:
                connection.request("POST", self._path, body, {"Content-Type": "application/json", "X-Key": key})
                answer = connection.getresponse()
                content, status = json.loads(answer.read()), answer.status
            except (OSError, http.client.HTTPException, ValueError):
                pass
            finally:
                connection.close()
        with self._lock:
            self.answers[status] += 1
            if status in (200, 202):
                self.ids[key] = content.get("id", "")
            elif status not in (0, 503):
                self.problems.append(f"{key} was answered {status} {content}")
        return status in (200, 202)


def ledger_problems(fleet: Fleet, senders: Senders, received: Sequence[str]) -> list[str]:
    """The errors: answered events that are not stored, not delivered, or delivered more often than attempted."""
    problems = list(senders.problems)
    stored = {str(id_) for (id_,) in fleet.ask("SELECT id FROM webhook_router.event")}
    for key, id_ in senders.ids.items():
        if id_ not in stored:
            problems.append(f"{key} was answered {id_}, and is not stored")
    keys = fleet.ask("SELECT dedupe_key, count(*) FROM webhook_router.event GROUP BY 1 HAVING count(*) > 1")
    problems += [f"{row[0]} is stored {row[1]} times" for row in keys]
    arrived = Counter(received)
    rows = fleet.ask(
        "SELECT e.id, d.state, d.tries FROM webhook_router.delivery d JOIN webhook_router.event e ON e.seq = d.event "
        "WHERE d.type = 'forward'"
    )
    for event, state, tries in rows:
        assert isinstance(tries, int)
        if state != "succeeded":
            problems.append(f"the delivery of {event} is {state}")
        if not 1 <= arrived[str(event)] <= tries:
            problems.append(f"{event} arrived {arrived[str(event)]} times in {tries} attempts")
    return problems


def samples(node: Daemon) -> dict[str, float]:
    """The metrics of a node, by name with ordered labels."""
    found = {}
    for family in text_string_to_metric_families(node.admin("/metrics").body.decode()):
        for one in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(one.labels.items()))
            found[f"{one.name}{{{labels}}}" if labels else one.name] = one.value
    return found
