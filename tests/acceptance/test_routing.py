"""The main task of the program, in a real process: events are received, matched, delivered and recorded."""

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.acceptance.github_payloads import bodies
from tests.conftest import Daemon, Receiver

SECRET = "test-only key"
Wait = Callable[[Callable[[], Any]], Any]

RULES = """
version: 1
sources:
  github:
    verify: {{scheme: github, secret: {{env: HOOK_KEY}}}}
targets:
  ci: {{url: "{url}", concurrency: 8}}
rules:
  - name: push-to-main
    match:
      headers.X-GitHub-Event: push
      $.ref: refs/heads/main
      none: [{{$.deleted: true}}]
    actions:
      - forward: {{target: ci, path: "/push/{{{{ payload.repository.name }}}}"}}
        order_by: $.repository.id
      - command: [sh, record.sh, "{{{{ event.id }}}}", "{{{{ payload.after }}}}"]
      - append: push.jsonl
  - name: acme-commits
    match:
      $.commits[*].author.email: {{suffix: "@example.com", ignore_case: true}}
    actions: [forward: {{target: ci, path: /acme, body: payload}}]
  - name: pull-requests
    match:
      headers: {{X-GitHub-Event: pull_request}}
      $.pull_request.draft: false
      $.pull_request.labels[*].name: {{not: wip}}
    actions:
      - append: {{path: pulls.txt, line: "{{{{ event.id }}}} {{{{ payload.pull_request.title }}}}"}}
  - name: created-or-opened
    match: {{$.action: [created, opened]}}
    actions: [append: created.jsonl]
  - name: busy
    match: {{$.repository.open_issues_count: {{gte: 100, lt: 150}}}}
    actions: [forward: {{target: ci, path: /busy, body: {{json: {{open: "{{{{ payload.repository.open_issues_count }}}}"}}}}}}]
  - name: private
    match: {{$.repository.private: true}}
    actions: [append: private.jsonl]
  - name: has-topics
    match: {{$.repository.topics: {{contains: router}}}}
    actions: [append: topics.jsonl]
  - name: bots
    match:
      any: [{{$.sender.login: {{contains: "[bot]"}}}}, {{$.sender.type: Bot}}]
    actions: [append: bots.jsonl]
  - name: no-repository
    match: {{$.repository: {{exists: false}}}}
    stop: true
    actions: [append: no-repository.jsonl]
  - name: everything-with-a-repository
    actions: [append: all.jsonl]
unmatched:
  - append: unmatched.jsonl
"""


def _labels(payload: Any) -> list[str]:
    return [label["name"] for label in payload["pull_request"]["labels"]]


def _issues(payload: Any) -> Any:
    return payload.get("repository", {}).get("open_issues_count")


def _bot(payload: Any) -> bool:
    sender = payload.get("sender") or {}
    return "[bot]" in sender.get("login", "") or sender.get("type") == "Bot"


EXPECTED: dict[str, Callable[[str, Any], bool]] = {
    "push-to-main": lambda e, p: e == "push" and p.get("ref") == "refs/heads/main" and p.get("deleted") is not True,
    "acme-commits": lambda e, p: any(
        c["author"]["email"].casefold().endswith("@example.com") for c in p.get("commits", []) if isinstance(c, dict)
    ),
    "pull-requests": lambda e, p: (
        e == "pull_request" and p["pull_request"]["draft"] is False and "wip" not in _labels(p)
    ),
    "created-or-opened": lambda e, p: p.get("action") in ("created", "opened"),
    "busy": lambda e, p: _issues(p) is not None and 100 <= _issues(p) < 150,
    "private": lambda e, p: p.get("repository", {}).get("private") is True,
    "has-topics": lambda e, p: "router" in p.get("repository", {}).get("topics", []),
    "bots": lambda e, p: _bot(p),
    "no-repository": lambda e, p: "repository" not in p,
    "everything-with-a-repository": lambda e, p: "repository" in p,
}
DELIVERIES = {"push-to-main": 3}  # the others plan one delivery each


def _send(daemon: Daemon, event: str, body: bytes, number: int) -> Any:
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return daemon.post(
        "/hooks/github",
        body,
        {"X-GitHub-Event": event, "X-GitHub-Delivery": f"d{number}", "X-Hub-Signature-256": f"sha256={signature}"},
    )


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _appended(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in _lines(path)]


def _deliveries(store: Path) -> Counter[str]:
    connection = apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        rows = connection.execute("SELECT state, count(*) FROM delivery GROUP BY state").fetchall()
        return Counter({str(state): int(str(count)) for state, count in rows})
    finally:
        connection.close()


def test_every_payload_is_routed_and_every_delivery_ends(
    start: Callable[..., Daemon], receiver: Receiver, eventually: Wait, tmp_path: Path
) -> None:
    (tmp_path / "record.sh").write_text('cat >/dev/null\necho "$1 $2" >>commands.txt\n')
    daemon = start(RULES.format(url=receiver.url), env={"HOOK_KEY": SECRET})
    wanted: dict[str, list[str]] = {name: [] for name in EXPECTED}
    planned = 0

    for number, (event, body) in enumerate(bodies()):
        answer = _send(daemon, event, body, number)
        payload = json.loads(body)
        matched = [name for name, holds in EXPECTED.items() if holds(event, payload)]
        assert answer.status == 202, answer.body
        assert answer.json["matched"] == matched, event
        assert answer.json["deliveries"] == sum(DELIVERIES.get(name, 1) for name in matched)
        planned += answer.json["deliveries"]
        for name in matched:
            wanted[name].append(answer.json["id"])

    eventually(lambda: _deliveries(daemon.store) == {"succeeded": planned})
    assert all(wanted.values()), "every rule has to be exercised"
    assert sorted(receiver.ids("/push")) == sorted(wanted["push-to-main"])
    assert sorted(receiver.ids("/acme")) == sorted(wanted["acme-commits"])
    assert sorted(receiver.ids("/busy")) == sorted(wanted["busy"])
    assert sorted(line.split()[0] for line in _lines(tmp_path / "commands.txt")) == sorted(wanted["push-to-main"])
    assert sorted(line.split()[0] for line in _lines(tmp_path / "pulls.txt")) == sorted(wanted["pull-requests"])
    for name, file in [
        ("push-to-main", "push"),
        ("created-or-opened", "created"),
        ("private", "private"),
        ("has-topics", "topics"),
        ("bots", "bots"),
        ("no-repository", "no-repository"),
        ("everything-with-a-repository", "all"),
    ]:
        assert sorted(_appended(tmp_path / f"{file}.jsonl")) == sorted(wanted[name]), file
    assert not _lines(tmp_path / "unmatched.jsonl")


def test_a_forward_carries_the_original_bytes_and_the_events_id(
    start: Callable[..., Daemon], receiver: Receiver, eventually: Wait, tmp_path: Path
) -> None:
    daemon = start(RULES.format(url=receiver.url), env={"HOOK_KEY": SECRET})
    body = b'{ "ref" :"refs/heads/main", "after":"x","repository": {"name": "feature/b","id":1} }'

    answer = _send(daemon, "push", body, 1)

    eventually(lambda: receiver.requests)
    received = receiver.requests[0]
    assert received.body == body
    assert received.path == "/push/feature%2Fb"
    assert received.headers["x-github-event"] == "push"
    assert received.headers["webhook-id"] == answer.json["id"]


def test_a_wrong_signature_gets_401_and_stores_nothing(start: Callable[..., Daemon], receiver: Receiver) -> None:
    daemon = start(RULES.format(url=receiver.url), env={"HOOK_KEY": SECRET})
    body = b'{"ref": "refs/heads/main", "repository": {}}'

    for headers in [
        {},
        {"X-Hub-Signature-256": "sha256=" + "0" * 64},
        {"X-Hub-Signature-256": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()},
        {"X-Hub-Signature": "sha1=" + hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()},
        {"X-Hub-Signature-256": "sha256=" + hmac.new(b"", body, hashlib.sha256).hexdigest()},
        {"X-Hub-Signature-256": "sha256=é".encode().decode("latin-1")},
    ]:
        answer = daemon.post("/hooks/github", body, headers)
        assert answer.status == 401
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert daemon.stop() == 0

    connection = apsw.Connection(str(daemon.store), flags=apsw.SQLITE_OPEN_READONLY)
    assert connection.execute("SELECT count(*) FROM event").fetchall() == [(0,)]
    connection.close()


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("POST", "/hooks/nowhere", b"{}", {}, 404),
        ("POST", "/", b"{}", {}, 404),
        ("GET", "/hooks/open", b"", {}, 405),
        ("POST", "/hooks/open", b"{broken", {}, 400),
        ("POST", "/hooks/open", b"[" * 300 + b"]" * 300, {}, 400),
        ("POST", "/hooks/open", b"x" * 2000, {"Content-Type": "text/plain"}, 413),
        ("POST", "/hooks/open", b"{}", {"Content-Encoding": "br"}, 415),
        ("POST", "/hooks/open", b"{}", {"Content-Encoding": "gzip"}, 400),
        ("POST", "/hooks/open", b"{}", {}, 202),
        ("POST", "/hooks/open", b"a=1&b=2", {"Content-Type": "application/x-www-form-urlencoded"}, 202),
    ],
)
def test_each_refusal_has_its_status_and_names_the_cure(
    start: Callable[..., Daemon], method: str, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    daemon = start(
        "sources: {open: {verify: none, max_body: 1KiB}}\nrules: [{name: all, actions: [append: all.jsonl]}]\n"
    )

    answer = daemon.post(path, body, headers, method)

    assert answer.status == status, answer.body
    if status >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json["status"] == status
        assert answer.json["detail"]
