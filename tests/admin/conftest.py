"""The admin listener's application on a real store with real rules. Every answer must fit the OpenAPI document."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import falcon.testing
import jsonschema
import orjson
import pytest

from router.admin.api.openapi import document
from router.admin.api.routes import ENDPOINTS
from router.admin.app import admin_app
from router.admin.auth.access import AccessCheck
from router.admin.daemon_handle import DaemonHandle
from router.daemon.registries import REGISTRIES
from router.domain.events import Event
from router.domain.ids import uuid7
from router.domain.reply import Reply
from router.rules.compile.loader import Loader
from router.rules.reload.drift import Reloaded, ReloadRefused
from router.rules.reload.ruleset_diff import RulesetDiff
from router.rules.ruleset import Ruleset
from router.store.sqlite.store import SqliteStore
from tests.sqlite_template import open_store

TOKEN = "a-token-for-the-tests-0123456789"
NOW = 1_790_000_000_000
DOCUMENT = document(ENDPOINTS)
RULES = """
secrets: {key: {env: PLANTED}}
sources:
  github: {verify: none}
  forms: {verify: none}
targets:
  ci: {url: "http://127.0.0.1:9", concurrency: 2, rate: 50/s}
rules:
  - name: deploy main
    source: github
    match: {$.ref: main}
    actions:
      - {name: build, forward: {target: ci, path: /build, headers: {X-Key: "{{ secrets.key }}"}}, order_by: $.repo}
      - append: deploys.jsonl
  - name: check
    source: "*"
    match: {$.a: 1}
    stop: true
    actions: [forward: "http://127.0.0.1:9/z"]
"""


@dataclass
class Answer:
    """An answer, which was compared with the OpenAPI document."""

    status: int
    headers: Mapping[str, str]
    json: Any


@dataclass
class Admin:
    """The application, and a client on loopback that sends the token."""

    store: SqliteStore
    ruleset: Ruleset
    folder: Path
    checks: dict[str, bool] = field(
        default_factory=lambda: {"store": True, "rules": True, "dispatcher": True, "intake": True}
    )
    reloaded: Reloaded | ReloadRefused = field(default_factory=lambda: Reloaded("h", 2, RulesetDiff()))
    stopping: bool = False
    now: float = 1000.0  #: the clock of the access check, in s
    closed: bool = False
    names: tuple[str, ...] = ("127.0.0.1",)

    def __post_init__(self) -> None:
        loader = Loader(REGISTRIES, {"PLANTED": "planted-secret"}, require_secrets=False)
        self.daemon = DaemonHandle(
            store=self.store,
            rules=self.folder / "rules.yaml",
            ruleset=lambda: self.ruleset,
            loader=loader,
            reload=lambda _: self.reloaded,
            metrics=lambda _: Reply(200, b"some_metric 1\n", "text/plain; version=0.0.4"),
            checks=lambda: self.checks,
            busy=lambda: False,
            stopping=lambda: self.stopping,
            now_ms=lambda: NOW,
            changing=threading.Lock(),
        )
        self.open()

    def open(
        self, *, closed: bool = False, names: tuple[str, ...] = ("127.0.0.1",), read_token: str | None = None
    ) -> None:
        """Use a new application, without failed logins. It is on loopback unless `closed`."""
        read = read_token.encode() if read_token else None
        access = AccessCheck(TOKEN.encode(), names, closed=closed, clock=lambda: self.now, read_token=read)
        self.client = falcon.testing.TestClient(admin_app(self.daemon, access))

    def ask(
        self,
        method: str,
        path: str,
        content: Any = None,
        *,
        token: str | None = TOKEN,
        headers: Mapping[str, str] | None = None,
        query: str = "",
        ip: str = "127.0.0.1",
    ) -> Answer:
        """Send a request with a body of JSON or bytes."""
        sent = {"Host": "127.0.0.1:8081", **({"Authorization": f"Bearer {token}"} if token is not None else {})}
        body = content if isinstance(content, bytes) else None if content is None else orjson.dumps(content)
        if body is not None:
            sent["Content-Type"] = "application/json"
        result = self.client.simulate_request(
            method, path, body=body, headers={**sent, **(headers or {})}, query_string=query, remote_addr=ip
        )
        kind = result.headers["content-type"].partition(";")[0]
        received = json.loads(result.content) if kind.endswith("json") and result.content else result.text
        assert result.headers["cache-control"] == "no-store"
        if method != "HEAD":
            is_documented(method, path, result.status_code, kind, received)
        return Answer(result.status_code, result.headers, received)

    def get(self, path: str, query: str = "", **more: Any) -> Any:
        """Send a GET that must succeed. Return its JSON."""
        answer = self.ask("GET", path, query=query, **more)
        assert answer.status == 200, answer.json
        return answer.json

    def post(self, path: str, content: Any = None, **more: Any) -> Any:
        """Send a POST that must succeed. Return its JSON."""
        answer = self.ask("POST", path, content, **more)
        assert answer.status == 200, answer.json
        return answer.json

    def receive(self, payload: Any, *, source: str = "github", age: int = 0, **given: Any) -> str:
        """Store an event received `age` ms ago, planned by the rules; returns its id."""
        at = NOW - age
        body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        headers = (("Content-Type", "application/json"),)
        defaults = {"query": "", "headers": headers, "ip": "192.0.2.1", "received_at": at}
        event = Event(
            **{
                "id": uuid7(at),
                "source": source,
                "method": "POST",
                "path": f"/hooks/{source}",
                "body": body,
                **defaults,
                **given,
            }
        )
        from router.rules.parsing import parse_event

        plan = self.ruleset.plan(parse_event(event, self.ruleset.sources[source]))
        appended = self.store.append(
            event, plan.deliveries, self.ruleset.hash, matched=plan.matched, errors=plan.errors
        )
        return appended.result(60).event_id


def is_documented(method: str, path: str, status: int, kind: str, content: Any) -> None:
    """Assert that the OpenAPI document has this answer to this request."""
    path = path.replace("%2F", "/")
    found = [one for one in ENDPOINTS if one.method == method and one.pattern.fullmatch(path)]
    if any(one.path == path for one in ENDPOINTS):  # such as /replay, which would also match the pattern of an id
        found = [one for one in found if "id" not in one.path_fields]
    if not found:
        assert status in (401, 403, 404, 405, 421, 429), status
        schema: Any = {"$ref": "#/components/schemas/Problem"}
        assert kind == "application/problem+json"
    else:
        responses = DOCUMENT["paths"][found[0].path][method.lower()]["responses"]
        assert str(status) in responses, f"{method} {path}: {status} is not documented"
        types = responses[str(status)]["content"]
        assert kind in types, f"{method} {path}: {status} with {kind} is not documented"
        schema = types[kind]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(content)


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[Admin]:
    """The application on an empty store."""
    loader = Loader(REGISTRIES, {"PLANTED": "planted-secret"}, require_secrets=True)
    ruleset = loader.load(RULES, "rules.yaml", tmp_path).require()
    store = open_store(tmp_path / "store.db")
    store.put_ruleset(ruleset.text, NOW).result(60)
    yield Admin(store, ruleset, tmp_path)
    store.close()


@pytest.fixture
def settle(admin: Admin) -> Callable[..., None]:
    """Return a function that settles every due delivery of a target with a state."""
    from router.domain.deliveries import Settlement, State
    from router.domain.outcomes import Outcome

    def end(state: State, target: str = "ci") -> None:
        outcome = Outcome.succeeded(200) if state is State.SUCCEEDED else Outcome.failed("gone", 410)
        while claims := admin.store.claim({target: 500}, NOW + 1).result(60):
            done = [
                Settlement(claim.delivery.id, claim.token, outcome, state, NOW + 2, NOW + 3_600_000) for claim in claims
            ]
            assert all(admin.store.settle(done).result(60))

    return end
