"""Receive: each request gets the answer it is due, and what was accepted is stored."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from router.intake import receiver as module
from router.intake.receiver import Receiver
from router.model import Inbound
from router.store.sqlite import SqliteStore

Make = Callable[..., Receiver]
Request = Callable[..., Inbound]

OPEN = """
sources:
  open: {verify: none}
rules:
  - name: pushes
    match: {$.kind: push}
    actions: [append: a.jsonl, {name: second, append: b.jsonl}]
  - name: broken
    match: {"$.kind.`parent`.`parent`.`parent`": x}
    stop: true
    actions: [append: c.jsonl]
  - name: last
    match: {$.kind: {exists: true}}
    actions: [append: d.jsonl]
"""
TOKEN = OPEN.replace("verify: none", "verify: {scheme: token, header: X-Token, secret: {env: T}}")


def test_an_accepted_event_is_stored_with_its_plan(receiver: Make, inbound: Request, store: SqliteStore) -> None:
    headers = (("Content-Type", "application/json"), ("X-Token", "t"), ("X-A", "1"), ("x-a", "2"))

    reply = receiver(TOKEN, T="t").receive(inbound(b'{"kind": "push"}', headers=headers, query="a=1"))

    answer = json.loads(reply.body)
    assert reply.status == 202
    assert answer["matched"] == ["pushes", "last"]
    assert answer["deliveries"] == 3
    event = store.event(answer["id"])
    assert event is not None
    assert (event.body, event.query, event.source) == (b'{"kind": "push"}', "a=1", "open")
    assert event.headers == (("Content-Type", "application/json"), ("X-A", "1"), ("x-a", "2"))
    planned = [(d.rule, d.action, d.type, d.target) for d in store.deliveries(event_id=event.id)]
    assert planned == [
        ("pushes", "append", "append", "pushes/append"),
        ("pushes", "second", "append", "pushes/second"),
        ("last", "append", "append", "last/append"),
    ]


def test_a_sender_that_is_not_verified_learns_the_id_only(receiver: Make, inbound: Request) -> None:
    assert set(json.loads(receiver(OPEN).receive(inbound()).body)) == {"id"}


def test_an_event_that_nothing_matches_is_stored_too(receiver: Make, inbound: Request, store: SqliteStore) -> None:
    reply = receiver(OPEN).receive(inbound(b"[]"))

    assert reply.status == 202
    assert store.event(json.loads(reply.body)["id"]) is not None
    assert store.deliveries() == []


def test_unmatched_actions_are_for_events_that_nothing_matched(
    receiver: Make, inbound: Request, store: SqliteStore
) -> None:
    made = receiver(OPEN + "unmatched: [append: u.jsonl]\n")

    made.receive(inbound(b"[]"))
    made.receive(inbound(b'{"kind": 1}'))

    assert [d.rule for d in store.deliveries()] == ["unmatched", "last"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"path": "/hooks/none"}, 404),
        ({"path": "/hooks/open/"}, 404),
        ({"method": "GET"}, 405),
        ({"ip": "10.0.0.9"}, 403),
        ({"ip": "::ffff:10.0.0.9"}, 403),
        ({"ip": ""}, 403),
        ({"body": b"x" * 101}, 413),
        ({"headers": (("Content-Encoding", "gzip"),)}, 415),
        ({"headers": (("X-Token", "wrong"),)}, 401),
        ({"headers": (("X-Token", "t"), ("Content-Type", "application/json")), "body": b"{"}, 400),
    ],
)
def test_a_refusal_stores_nothing_and_is_a_problem(
    receiver: Make, inbound: Request, store: SqliteStore, change: dict[str, Any], status: int
) -> None:
    rules = TOKEN.replace("{verify:", "{max_body: 100, allow_ips: [192.0.2.0/24], verify:")

    reply = receiver(rules, T="t").receive(inbound(**change))

    assert reply.status == status
    assert reply.content_type == "application/problem+json"
    problem = json.loads(reply.body)
    assert (problem["status"], problem["type"]) == (status, "about:blank")
    assert problem["detail"]
    assert "token" not in problem["detail"].lower()
    assert store.events() == []


def test_405_names_the_methods(receiver: Make, inbound: Request) -> None:
    reply = receiver(OPEN.replace("none", "none, methods: [PUT, POST]")).receive(inbound(method="DELETE"))

    assert ("Allow", "PUT, POST") in reply.headers


def test_copies_are_one_event_however_many_come_at_once(receiver: Make, inbound: Request, store: SqliteStore) -> None:
    made = receiver(OPEN.replace("none", "none, dedupe: headers.X-Id"))
    headers = (("X-Id", "d1"), ("Content-Type", "application/json"))

    with ThreadPoolExecutor(20) as pool:
        request = inbound(b'{"kind": "push"}', headers=headers)
        replies = list(pool.map(lambda _: made.receive(request), range(100)))

    answers = [json.loads(reply.body) for reply in replies]
    assert sorted({reply.status for reply in replies}) == [200, 202]
    assert len({answer["id"] for answer in answers}) == 1
    assert sum("duplicate" not in answer for answer in answers) == 1
    assert len(store.events()) == 1


@pytest.mark.parametrize("value", ['""', "null", "[]", "true"])
def test_an_empty_or_odd_dedupe_key_never_counts(
    receiver: Make, inbound: Request, store: SqliteStore, value: str
) -> None:
    made = receiver(OPEN.replace("none", "none, dedupe: {key: $.id, window: 1h}"))

    for _ in range(2):
        assert made.receive(inbound(b'{"kind": "push", "id": %s}' % value.encode())).status == 202
    assert len(store.events()) == 2


def test_a_store_that_can_not_commit_is_a_503_with_retry_after(
    receiver: Make, inbound: Request, store: SqliteStore
) -> None:
    made = receiver(OPEN)
    store.close()

    reply = made.receive(inbound())

    assert reply.status == 503
    assert ("Retry-After", "5") in reply.headers


def test_a_commit_that_takes_too_long_is_a_503(
    receiver: Make, inbound: Request, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = receiver(OPEN)
    monkeypatch.setattr(module, "COMMIT_SECONDS", 0.0)

    assert made.receive(inbound()).status == 503


def test_a_source_may_answer_in_its_own_words(receiver: Make, inbound: Request) -> None:
    rules = OPEN.replace(
        "none", "none, respond: {status: 200, body: '<Response/>', content_type: text/xml, headers: {X-A: b}}"
    )

    reply = receiver(rules).receive(inbound())

    assert (reply.status, reply.body, reply.content_type) == (200, b"<Response/>", "text/xml")
    assert reply.headers == (("X-A", "b"),)


RESPONDING = OPEN.replace(
    "match: {$.kind: push}",
    "match: {$.kind: push}\n    respond: {status: 201, json: {n: '{{ payload.n }}', from: '{{ source }}'}, headers: {X-A: b}}",
).replace(
    "match: {$.kind: {exists: true}}", "match: {$.kind: {exists: true}}\n    respond: {body: 'seen {{ payload.kind }}'}"
)


def test_the_first_matching_rule_with_a_respond_answers(receiver: Make, inbound: Request) -> None:
    made = receiver(RESPONDING)

    first = made.receive(inbound(b'{"kind": "push", "n": 7}'))
    later = made.receive(inbound(b'{"kind": "other"}'))

    assert (first.status, first.body, first.headers) == (201, b'{"n":7,"from":"open"}', (("X-A", "b"),))
    assert (later.status, later.body, later.content_type) == (200, b"seen other", "text/plain; charset=utf-8")


def test_a_respond_that_can_not_be_rendered_does_not_hide_that_the_event_is_stored(
    receiver: Make, inbound: Request, store: SqliteStore
) -> None:
    reply = receiver(RESPONDING).receive(inbound(b'{"kind": "push"}'))

    assert reply.status == 202
    assert len(store.deliveries()) == 3


def test_the_rules_are_read_once_for_an_event(receiver: Make, inbound: Request, store: SqliteStore) -> None:
    made = receiver(OPEN)
    other = receiver(OPEN.replace("pushes", "renamed"))

    made.receive(inbound(b'{"kind": "push"}'))
    made.current.ruleset = other.current.ruleset
    made.receive(inbound(b'{"kind": "push"}'))

    assert [d.rule for d in store.deliveries()] == ["pushes", "pushes", "last", "renamed", "renamed", "last"]
