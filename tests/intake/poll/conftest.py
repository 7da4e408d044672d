"""A service that answers as a test wants, and polls of it."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from router.daemon.registries import REGISTRIES
from router.domain.polls import PollState
from router.intake.poll.spec import PollSpec
from router.operate.poll_source import PollReport, poll_once
from router.rules.compile.loader import Loader
from router.rules.ruleset import Ruleset
from router.store.sqlite.store import SqliteStore

NOW = 1_700_000_000_000


@dataclass
class Asked:
    """One request to the service."""

    method: str
    path: str
    headers: Mapping[str, str]  #: names in lower case
    body: bytes


@dataclass
class Reply:
    """The answer to one request."""

    body: Any = b""  #: bytes, or JSON
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: Callable[[Any], None] | None = None  #: writes to the connection itself


class Service:
    """Answers with what `answer` gives; by default with `body`."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.body: Any = []
        self.answer: Callable[[Asked], Reply] = lambda _: Reply(self.body)
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                names = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, names, sent)
                service.asked.append(asked)
                reply = service.answer(asked)
                with suppress(OSError):
                    self._send(reply)

            do_POST = do_GET  # noqa: N815 - the library's names

            def _send(self, reply: Reply) -> None:
                if reply.raw is not None:
                    self.close_connection = True
                    reply.raw(self)
                    return
                body = reply.body if isinstance(reply.body, bytes) else orjson.dumps(reply.body)
                self.send_response(reply.status)
                headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **reply.headers}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """Ignore connections that were cut."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    """A running service."""
    service = Service()
    yield service
    service.stop()


@pytest.fixture
def other_service() -> Iterator[Service]:
    """Another one, at another port."""
    service = Service()
    yield service
    service.stop()


class Source:
    """A polled source with a store of its own; each `poll` is one poll by its rules."""

    def __init__(self, folder: Path, store: SqliteStore, rules: str, environ: Mapping[str, str]) -> None:
        self.folder, self.store, self.environ = folder, store, environ
        self.now = NOW
        self.load(rules)

    def load(self, rules: str) -> None:
        """Take other rules."""
        self.ruleset: Ruleset = Loader(REGISTRIES, self.environ).load(rules, "rules.yaml", self.folder).require()

    def poll(self, *, dry: bool = False) -> PollReport:
        """Poll once. Raises PollError."""
        source = self.ruleset.sources["s"]
        assert isinstance(source.poll, PollSpec)
        return poll_once(self.store, self.ruleset, source, source.poll, self.now, dry=dry)

    def payloads(self, *, dry: bool = False) -> list[Any]:
        """The payloads of the events of one poll."""
        return [orjson.loads(one.event.body) for one in self.poll(dry=dry).events]

    @property
    def state(self) -> PollState:
        """What the store knows of it."""
        [state] = self.store.polls()
        return state


RULES = """
secrets: {{token: {{env: TOKEN}}}}
sources:
  s: {{{more}poll: {{{poll}}}}}
rules:
  - name: all
    actions: [append: all.jsonl]
"""


@pytest.fixture
def source(tmp_path: Path, service: Service) -> Iterator[Callable[..., Source]]:
    """Make a source that asks the service, with the keys of its poll as YAML in flow style."""
    with closing(SqliteStore(tmp_path / "store.db")) as store:

        def make(poll: str = "", *, more: str = "", url: str = "", **environ: str) -> Source:
            text = ", ".join(part for part in (f'url: "{url or service.url + "/jobs"}"', poll) if part)
            rules = RULES.format(more=more, poll=text)
            return Source(tmp_path, store, rules, {"TOKEN": "a-long-secret", **environ})

        yield make
