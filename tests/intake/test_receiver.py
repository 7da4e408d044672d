"""The receiver answers each request correctly, and stores the accepted events."""

import gc
import gzip
import hmac
import json
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import apsw
import pytest
from structlog.testing import capture_logs

from router.daemon.settings import networks
from router.domain.events import ParsedEvent
from router.domain.filters import Filter
from router.domain.reply import Reply
from router.domain.request import Inbound
from router.http.contract import Pending, Request
from router.http.limits import LARGE_BYTES
from router.intake.rejection import MAX_QUERY
from router.observe.metric_families import REQUESTS
from router.store.sqlite.store import SqliteStore
from tests.intake.conftest import NOW, WaitingReceiver
from tests.intake.signed_requests import private_key, public_key

Make = Callable[..., WaitingReceiver]
MakeRequest = Callable[..., Request]

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


def test_a_disabled_source_is_answered_404_as_an_unknown_path(
    receiver: Make, make_request: MakeRequest, store: SqliteStore
) -> None:
    made = receiver(OPEN.replace("verify: none", "verify: none, enabled: false, max_body: 9B"))

    disabled = made.receive(make_request(b'{"kind": "push"}'))
    unknown = made.receive(replace(make_request(b'{"kind": "push"}'), path="/hooks/none"))

    assert (disabled.status, disabled.body) == (404, unknown.body)
    assert store.events() == []
    assert made.body_limit("/hooks/open") == made.body_limit("/hooks/none")  # a large body gets the same answer
    made.answered("/hooks/open", 413)
    assert "open" not in str(made.metrics.counted().counts)


def test_an_accepted_event_is_stored_with_its_plan(
    receiver: Make, make_request: MakeRequest, store: SqliteStore
) -> None:
    headers = (("Content-Type", "application/json"), ("X-Token", "t"), ("X-A", "1"), ("x-a", "2"))

    reply = receiver(TOKEN, T="t").receive(make_request(b'{"kind": "push"}', headers=headers, query="a=1"))

    answer = json.loads(reply.body)
    assert reply.status == 202
    assert answer["matched"] == ["pushes", "last"]
    assert answer["deliveries"] == 3
    event = store.event(answer["id"])
    assert event is not None
    assert (event.body, event.query, event.source) == (b'{"kind": "push"}', "a=1", "open")
    assert event.headers == (("Content-Type", "application/json"), ("X-A", "1"), ("x-a", "2"))
    planned = [(d.rule, d.action, d.type, d.target) for d in store.deliveries(Filter(event_id=event.id))]
    assert planned == [
        ("pushes", "append", "append", "pushes/append"),
        ("pushes", "second", "append", "pushes/second"),
        ("last", "append", "append", "last/append"),
    ]


EACH = """
sources: {open: {verify: {scheme: token, header: X-Token, secret: {env: T}}}}
rules:
  - name: alerts
    for_each: {path: "$.alerts[*]", most: 3}
    match: {item.severity: page}
    actions: [append: a.jsonl]
"""


def test_each_item_of_an_event_is_planned_in_its_commit(
    receiver: Make, make_request: MakeRequest, store: SqliteStore
) -> None:
    body = b'{"alerts": [{"severity": "page"}, {"severity": "info"}, {"severity": "page"}]}'

    answer = json.loads(receiver(EACH, T="t").receive(make_request(body, headers=(("X-Token", "t"),))).body)

    assert (answer["matched"], answer["deliveries"]) == (["alerts"], 2)
    assert {d.item for d in store.deliveries(Filter(event_id=answer["id"]))} == {"$.alerts[0]", "$.alerts[2]"}


def test_an_event_with_too_many_items_is_stored_and_the_rule_is_logged_and_counted(
    receiver: Make, make_request: MakeRequest, store: SqliteStore
) -> None:
    made = receiver(EACH, T="t")
    body = b'{"alerts": [{"severity": "page"}, {}, {}, {}]}'

    with capture_logs() as logs:
        answer = json.loads(made.receive(make_request(body, headers=(("X-Token", "t"),))).body)

    assert (answer["matched"], answer["deliveries"]) == ([], 0)
    assert store.event(answer["id"]) is not None
    [line] = [one for one in logs if one["event"].startswith("rule could not be judged")]
    assert (line["rule"], line["reason"]) == ("alerts", "the payload has more than 3 items at $.alerts[*]")


def test_an_unverified_sender_learns_only_the_event_id(receiver: Make, make_request: MakeRequest) -> None:
    assert set(json.loads(receiver(OPEN).receive(make_request()).body)) == {"id"}


def test_an_unmatched_event_is_stored(receiver: Make, make_request: MakeRequest, store: SqliteStore) -> None:
    reply = receiver(OPEN).receive(make_request(b"[]"))

    assert reply.status == 202
    assert store.event(json.loads(reply.body)["id"]) is not None
    assert store.deliveries() == []


def test_unmatched_actions_run_only_for_unmatched_events(
    receiver: Make, make_request: MakeRequest, store: SqliteStore
) -> None:
    made = receiver(OPEN + "unmatched: [append: u.jsonl]\n")

    made.receive(make_request(b"[]"))
    made.receive(make_request(b'{"kind": 1}'))

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
        ({"headers": (("Content-Encoding", "br"),)}, 415),
        ({"headers": (("X-Token", "wrong"),)}, 401),
        ({"headers": (("X-Token", "t"), ("Content-Type", "application/json")), "body": b"{"}, 400),
    ],
)
def test_a_refused_request_stores_nothing_and_gets_problem_json(
    receiver: Make, make_request: MakeRequest, store: SqliteStore, change: dict[str, Any], status: int
) -> None:
    rules = TOKEN.replace("{verify:", "{max_body: 100, allow_ips: [192.0.2.0/24], verify:")

    reply = receiver(rules, T="t").receive(make_request(**change))

    assert reply.status == status
    assert reply.content_type == "application/problem+json"
    problem = json.loads(reply.body)
    assert (problem["status"], problem["type"]) == (status, "about:blank")
    assert problem["detail"]
    assert "token" not in problem["detail"].lower()
    assert store.events() == []


def test_a_405_lists_the_allowed_methods(receiver: Make, make_request: MakeRequest) -> None:
    reply = receiver(OPEN.replace("none", "none, methods: [PUT, POST]")).receive(make_request(method="DELETE"))

    assert ("Allow", "PUT, POST") in reply.headers


def test_concurrent_duplicates_are_one_event(receiver: Make, make_request: MakeRequest, store: SqliteStore) -> None:
    made = receiver(OPEN.replace("none", "none, dedupe: headers.X-Id"))
    headers = (("X-Id", "d1"), ("Content-Type", "application/json"))

    with ThreadPoolExecutor(20) as pool:
        request = make_request(b'{"kind": "push"}', headers=headers)
        replies = list(pool.map(lambda _: made.receive(request), range(100)))

    answers = [json.loads(reply.body) for reply in replies]
    assert sorted({reply.status for reply in replies}) == [200, 202]
    assert len({answer["id"] for answer in answers}) == 1
    assert sum("duplicate" not in answer for answer in answers) == 1
    assert len(store.events()) == 1


@pytest.mark.parametrize("value", ['""', "null", "[]", "true"])
def test_an_empty_or_invalid_dedupe_key_is_ignored(
    receiver: Make, make_request: MakeRequest, store: SqliteStore, value: str
) -> None:
    made = receiver(OPEN.replace("none", "none, dedupe: {key: $.id, window: 1h}"))

    for _ in range(2):
        assert made.receive(make_request(b'{"kind": "push", "id": %s}' % value.encode())).status == 202
    assert len(store.events()) == 2


def test_a_store_that_cannot_commit_gives_503_with_retry_after(
    receiver: Make, make_request: MakeRequest, store: SqliteStore
) -> None:
    made = receiver(OPEN)
    store.close()

    reply = made.receive(make_request())

    assert reply.status == 503
    assert ("Retry-After", "5") in reply.headers


def test_a_slow_commit_gives_503(receiver: Make, make_request: MakeRequest, store: SqliteStore) -> None:
    made = receiver(OPEN)

    assert made.receive(make_request(), seconds=0).status == 503


def test_an_event_refused_while_queued_is_not_stored_later(
    receiver: Make,
    make_request: MakeRequest,
    store: SqliteStore,
    tmp_path: Path,
    eventually: Callable[..., Any],
) -> None:
    made = receiver(OPEN)
    other = apsw.Connection(str(tmp_path / "store.db"))
    other.execute("BEGIN IMMEDIATE")
    first = made.handle(make_request(b'{"kind": "first"}'))
    assert isinstance(first, Pending)
    eventually(first.future.running)

    refused = made.receive(make_request(b'{"kind": "second"}'), seconds=0)
    other.execute("ROLLBACK")
    other.close()

    assert refused.status == 503
    assert first.reply(10).status == 202
    assert made.receive(make_request(b'{"kind": "third"}')).status == 202
    assert [event.body for event in store.events()] == [b'{"kind": "third"}', b'{"kind": "first"}']


def test_a_source_can_set_its_response(receiver: Make, make_request: MakeRequest) -> None:
    rules = OPEN.replace(
        "none", "none, respond: {status: 200, body: '<Response/>', content_type: text/xml, headers: {X-A: b}}"
    )

    reply = receiver(rules).receive(make_request())

    assert (reply.status, reply.body, reply.content_type) == (200, b"<Response/>", "text/xml")
    assert reply.headers == (("X-A", "b"),)


RESPONDING = OPEN.replace(
    "match: {$.kind: push}",
    "match: {$.kind: push}\n    respond: {status: 201, json: {n: '{{ payload.n }}', from: '{{ source }}'}, headers: {X-A: b}}",
).replace(
    "match: {$.kind: {exists: true}}", "match: {$.kind: {exists: true}}\n    respond: {body: 'seen {{ payload.kind }}'}"
)


def test_the_first_matching_rule_with_respond_sets_the_response(receiver: Make, make_request: MakeRequest) -> None:
    made = receiver(RESPONDING)

    first = made.receive(make_request(b'{"kind": "push", "n": 7}'))
    later = made.receive(make_request(b'{"kind": "other"}'))

    assert (first.status, first.body, first.headers) == (201, b'{"n":7,"from":"open"}', (("X-A", "b"),))
    assert (later.status, later.body, later.content_type) == (200, b"seen other", "text/plain; charset=utf-8")


def test_a_failing_respond_template_still_gives_202(
    receiver: Make, make_request: MakeRequest, store: SqliteStore
) -> None:
    reply = receiver(RESPONDING).receive(make_request(b'{"kind": "push"}'))

    assert reply.status == 202
    assert len(store.deliveries()) == 3


def test_no_payload_is_kept_while_an_answer_waits(receiver: Make, make_request: MakeRequest) -> None:
    made = receiver(
        RESPONDING.replace("{$.kind: {exists: true}}\n    respond: {body: 'seen {{ payload.kind }}'}", "{}")
    )

    def payloads() -> int:
        gc.collect()
        return sum(isinstance(thing, ParsedEvent) for thing in gc.get_objects())

    before = payloads()
    pending = [made.handle(make_request(body)) for body in (b'{"kind": "push", "n": 7}', b'{"kind": "other"}')]

    assert all(isinstance(reply, Pending) for reply in pending)
    assert payloads() == before


def test_each_event_is_planned_by_one_ruleset(receiver: Make, make_request: MakeRequest, store: SqliteStore) -> None:
    made = receiver(OPEN)
    other = receiver(OPEN.replace("pushes", "renamed"))

    made.receive(make_request(b'{"kind": "push"}'))
    made.current.ruleset = other.current.ruleset
    made.receive(make_request(b'{"kind": "push"}'))

    assert [d.rule for d in store.deliveries()] == ["pushes", "pushes", "last", "renamed", "renamed", "last"]


SHAKEN = """
sources:
  slack: {verify: {scheme: slack, secret: {env: S}}}
  discord: {verify: {scheme: token, header: X-Token, secret: {env: S}}, handshake: discord}
  meta:
    verify: {scheme: token, header: X-Token, secret: {env: S}}
    handshake: {scheme: meta, verify_token: {env: T}}
rules: [{name: all, source: "*", actions: [append: a.jsonl]}]
"""


def _slack(body: bytes, key: bytes = b"s") -> tuple[tuple[str, str], ...]:
    signature = hmac.digest(key, b"v0:1700000000:" + body, "sha256").hex()
    return (
        ("Content-Type", "application/json"),
        ("X-Slack-Request-Timestamp", "1700000000"),
        ("X-Slack-Signature", f"v0={signature}"),
    )


def test_a_signed_slack_challenge_is_answered(receiver: Make, make_request: MakeRequest, store: SqliteStore) -> None:
    body = b'{"type": "url_verification", "challenge": "3eZbrw1a"}'
    made = receiver(SHAKEN, S="s", T="t")

    reply = made.receive(make_request(body, path="/hooks/slack", headers=_slack(body)))
    refused = made.receive(make_request(body, path="/hooks/slack", headers=_slack(body, b"x")))

    assert (reply.status, json.loads(reply.body)) == (200, {"challenge": "3eZbrw1a"})
    assert refused.status == 401
    assert not store.events()


FORM = ("Content-Type", "application/x-www-form-urlencoded")


def test_unsigned_handshakes_are_logged_at_a_limited_rate_with_a_count(
    receiver: Make, make_request: MakeRequest
) -> None:
    now = [NOW]
    made = replace(receiver(SHAKEN, S="s", T="t"), now_ms=lambda: now[0])

    with capture_logs() as lines:
        for late in (0, 1, 2, 1000):
            now[0] = NOW + late
            request = make_request(b"", path="/hooks/slack", method="GET", query="ssl_check=1")
            assert made.receive(request).status == 200

    told = [line for line in lines if line["event"] == "handshake answered"]
    assert [line.get("left_out") for line in told] == [None, 2]


@pytest.mark.parametrize(
    ("method", "query", "body", "status"),
    [
        ("POST", "", b"ssl_check=1&token=xyzz0WbapA4vBCDEFasx0q6G", 200),
        ("POST", "", b"token=xyzz0WbapA4vBCDEFasx0q6G&ssl_check=1", 200),
        ("POST", "", b"ssl_check=1", 200),
        ("GET", "ssl_check=1&token=xyzz0WbapA4vBCDEFasx0q6G", b"", 200),
        ("POST", "", b"ssl_check=0", 401),
        ("POST", "", b"ssl_check=1&command=%2Fdeploy", 401),
        ("POST", "", b"ssl_check=1&token=x&token=y", 401),
        ("POST", "", b"ssl_check=1&token=" + b"x" * 300, 401),
        ("POST", "", b"ssl_check=1&token=%3Cscript%3E", 401),
        ("POST", "ssl_check=1", b"command=%2Fdeploy", 401),
        ("GET", "ssl_check=1&a=b", b"", 405),
        ("GET", "", b"", 405),
        ("PUT", "", b"ssl_check=1", 405),
    ],
)
def test_slacks_certificate_test_is_answered_and_not_stored(
    receiver: Make, make_request: MakeRequest, store: SqliteStore, method: str, query: str, body: bytes, status: int
) -> None:
    made = receiver(SHAKEN, S="s", T="t")

    reply = made.receive(make_request(body, path="/hooks/slack", method=method, query=query, headers=(FORM,)))

    assert reply.status == status
    assert status != 200 or (reply.body, reply.headers) == (b"", ())
    assert not store.events()


def test_an_unsigned_ssl_check_is_accepted_only_as_a_form(
    receiver: Make, make_request: MakeRequest, store: SqliteStore
) -> None:
    made = receiver(SHAKEN, S="s", T="t")
    for headers in ((("Content-Type", "application/json"),), (), (FORM, FORM)):
        assert made.receive(make_request(b"ssl_check=1", path="/hooks/slack", headers=headers)).status == 401
    assert not store.events()


def test_a_signed_slack_request_is_verified_before_it_counts_as_ssl_check(
    receiver: Make, make_request: MakeRequest, store: SqliteStore
) -> None:
    made = receiver(SHAKEN, S="s", T="t")

    def post(body: bytes, key: bytes) -> Reply:
        return made.receive(make_request(body, path="/hooks/slack", headers=(FORM, *_slack(body, key)[1:])))

    assert post(b"ssl_check=1&token=x", b"wrong").status == 401
    assert post(b"ssl_check=1&token=x", b"s").status == 200
    assert not store.events()
    assert post(b"ssl_check=1&command=%2Fdeploy", b"s").status == 200
    assert len(store.events()) == 1


def test_a_slack_event_gets_an_empty_200(receiver: Make, make_request: MakeRequest, store: SqliteStore) -> None:
    body = b'{"type": "event_callback", "event_id": "Ev1"}'
    made = receiver(SHAKEN, S="s", T="t")

    replies = [made.receive(make_request(body, path="/hooks/slack", headers=_slack(body))) for _ in range(2)]

    assert [(reply.status, reply.body) for reply in replies] == [(200, b"")] * 2
    assert len(store.events()) == 1


@pytest.mark.parametrize(
    ("body", "status", "answer", "events"),
    [
        (b'{"type": 1, "id": "1", "token": "x"}', 200, b'{"type":1}', 0),
        (b'{"type": 0, "version": 1}', 204, b"", 0),
        (b'{"type": 1, "event": {"type": "ENTITLEMENT_CREATE"}}', 202, None, 1),
        (b'{"type": 2, "data": {}}', 202, None, 1),
        (b'{"type": true}', 202, None, 1),
    ],
)
def test_discord_pings_are_not_stored(
    receiver: Make,
    make_request: MakeRequest,
    store: SqliteStore,
    body: bytes,
    status: int,
    answer: bytes | None,
    events: int,
) -> None:
    headers = (("Content-Type", "application/json"), ("X-Token", "s"))
    reply = receiver(SHAKEN, S="s", T="t").receive(make_request(body, path="/hooks/discord", headers=headers))

    assert reply.status == status
    assert answer is None or reply.body == answer
    assert len(store.events()) == events


def test_a_signed_discord_ping_is_answered(receiver: Make, make_request: MakeRequest, store: SqliteStore) -> None:
    made = receiver(f"""
sources: {{app: {{verify: {{scheme: discord, public_key: "{public_key("new key").hex()}"}}}}}}
rules: [{{name: all, actions: [append: a.jsonl]}}]
""")
    body = b'{"type": 1}'

    def ping(key: str) -> Reply:
        signature = private_key(key).sign(b"1700000000" + body).hex()
        headers = (("X-Signature-Timestamp", "1700000000"), ("X-Signature-Ed25519", signature))
        return made.receive(make_request(body, path="/hooks/app", headers=headers))

    assert (ping("new key").status, ping("new key").body) == (200, b'{"type":1}')
    assert ping("old key").status == 401
    assert not store.events()


@pytest.mark.parametrize(
    ("query", "status", "answer"),
    [
        ("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=t", 200, b"1158201444"),
        ("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=x", 401, None),
        ("hub.mode=subscribe&hub.challenge=1158201444", 401, None),
        ("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=%FF", 401, None),
        ("hub.mode=subscribe&hub.challenge=%3Cscript%3E&hub.verify_token=t", 401, None),
        ("hub.mode=subscribe&hub.challenge=1&hub.challenge=2&hub.verify_token=t", 401, None),
        ("hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=t", 401, None),
        ("&".join(["a=1"] * 30), 401, None),
        ("a=1", 405, None),
    ],
)
def test_a_meta_challenge_needs_the_verify_token(
    receiver: Make, make_request: MakeRequest, store: SqliteStore, query: str, status: int, answer: bytes | None
) -> None:
    made = receiver(SHAKEN, S="s", T="t")

    reply = made.receive(make_request(b"", path="/hooks/meta", method="GET", query=query, headers=()))

    assert reply.status == status
    assert answer is None or (reply.body == answer and str(reply.content_type).startswith("text/plain"))
    assert made.receive(make_request(b"{}", path="/hooks/meta", method="PUT")).status == 405
    assert not store.events()


def test_a_query_beyond_the_limit_is_refused(receiver: Make, make_request: MakeRequest) -> None:
    made = receiver(OPEN)

    assert made.receive(make_request(query="a" * MAX_QUERY)).status == 202
    assert made.receive(make_request(query="a" * (MAX_QUERY + 1))).status == 414


LISTED = OPEN.replace(
    "verify: none", 'verify: none, allow_ips: [192.0.2.7, "2001:db8::/32", "::ffff:198.51.100.0/120"]'
)


@pytest.mark.parametrize(
    ("ip", "forwarded", "status"),
    [
        ("192.0.2.7", "", 202),
        ("192.0.2.8", "", 403),
        ("::ffff:192.0.2.7", "", 202),
        ("198.51.100.9", "", 202),
        ("2001:db8::1", "", 202),
        ("fe80::1%eth0", "", 403),
        ("nonsense", "", 403),
        ("192.0.2.8", "192.0.2.7", 403),  # not a trusted proxy
        ("10.0.0.1", "192.0.2.7", 202),
        ("::ffff:10.0.0.1", "192.0.2.7", 202),
        ("10.0.0.1", "192.0.2.7, 192.0.2.8", 403),  # the entries on the left were invented by the sender
        ("10.0.0.1", "192.0.2.8, 192.0.2.7, 10.1.1.1", 202),
        ("10.0.0.1", "192.0.2.7:4711", 202),
        ("10.0.0.1", "[2001:db8::5]:4711", 202),
        ("10.0.0.1", "192.0.2.7, unknown", 403),
        ("10.0.0.1", "192.0.2.7,", 403),
        ("10.0.0.1", "", 403),
        ("10.0.0.1", "1.1.1.1," * 100_000 + "192.0.2.7", 202),
    ],
)
def test_only_allowed_addresses_may_send(
    receiver: Make, make_request: MakeRequest, ip: str, forwarded: str, status: int
) -> None:
    made = replace(receiver(LISTED), trusted_proxies=networks("10.0.0.0/8, ::1"))
    headers = (("Content-Type", "application/json"), *((("X-Forwarded-For", forwarded),) if forwarded else ()))

    assert made.receive(make_request(ip=ip, headers=headers)).status == status


def test_an_event_records_its_senders_address(receiver: Make, make_request: MakeRequest, store: SqliteStore) -> None:
    made = replace(receiver(OPEN), trusted_proxies=networks("10.0.0.0/8"))
    headers = (("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "203.0.113.9, 10.2.2.2"))

    made.receive(make_request(ip="::ffff:10.0.0.1", headers=headers))

    assert [event.ip for event in store.events()] == ["203.0.113.9"]


HEAVY = (
    "sources: {s: {verify: none}}\nrules:\n  - name: a\n    match: {$.n: {exists: true}}\n"
    "    respond: {body: '{% for a in payload.n %}{% for b in payload.n %}{{ a }}{% endfor %}{% endfor %}'}\n"
)


def test_a_long_respond_is_rendered_in_a_thread(receiver: Make, make_request: MakeRequest) -> None:
    made = receiver(HEAVY + "    allow_unverified: true\n    actions: [append: a.txt]\n")

    pending = made.handle(make_request(json.dumps({"n": ["x"] * 100}).encode(), path="/hooks/s"))

    assert isinstance(pending, Pending)
    pending.future.result(60)
    assert pending.reply(0).body == b"x" * 10_000


def test_a_respond_with_too_much_work_gets_the_usual_answer(receiver: Make, make_request: MakeRequest) -> None:
    made = receiver(HEAVY + "    allow_unverified: true\n    actions: [append: a.txt]\n")

    reply = made.receive(make_request(json.dumps({"n": ["x"] * 5_000}).encode(), path="/hooks/s"))

    assert reply.status == 202
    assert b"id" in reply.body


SIGNED = """
sources: {github: {verify: {scheme: github, secret: {env: S}}, dedupe: none}}
rules:
"""
ONE_OF_TEN = """
  - name: rule-%d
    match: {headers.X-GitHub-Event: push, $.ref: refs/heads/release-%d}
    actions: [append: a.jsonl]
"""


def test_a_signed_push_takes_few_function_calls(receiver: Make, make_request: MakeRequest) -> None:
    body = b'{"ref": "refs/heads/main"}'
    headers = (
        *(("Host", "x"), ("Content-Type", "application/json"), ("X-GitHub-Event", "push")),
        *((f"X-{number}", "1") for number in range(20)),
        ("X-Hub-Signature-256", f"sha256={hmac.digest(b's', body, 'sha256').hex()}"),
    )
    judging = receiver(SIGNED + "".join(ONE_OF_TEN % (i, i) for i in range(10)), S="s")
    request = make_request(body, path="/hooks/github", headers=headers)
    assert judging.receive(request).status == 202

    called = _called(lambda: judging.handle(request))

    assert len(called) < 240, Counter(called).most_common(20)  # each loop over all headers would add 24 or more


def _called(work: Callable[[], object]) -> list[str]:
    """The functions that `work` calls in this thread, including those written in C."""
    called: list[str] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            called.append(frame.f_code.co_name if event == "call" else argument.__name__)

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return called


@pytest.mark.parametrize("compressed", [False, True])
def test_a_large_request_is_handed_over_or_gets_503(
    receiver: Make, make_request: MakeRequest, store: SqliteStore, *, compressed: bool
) -> None:
    given: list[Inbound] = []
    made = replace(receiver(OPEN), large=given.append, trusted_proxies=networks("192.0.2.1"))
    sent, headers = b" " * (LARGE_BYTES + 1), [("X-Forwarded-For", "203.0.113.9")]
    if compressed:
        sent, headers = gzip.compress(sent), [*headers, ("Content-Encoding", "gzip")]

    reply = made.receive(replace(make_request(sent, headers=tuple(headers)), ip="192.0.2.1"))

    assert reply.status == 503
    assert dict(reply.headers)["Retry-After"] == "5"
    assert [(one.ip, one.body) for one in given] == [("203.0.113.9", sent)]
    assert made.metrics.counted().counts[REQUESTS] == {("open", "503"): 1}
    assert made.receive(make_request(b" " * LARGE_BYTES)).status == 202
    assert made.receive(replace(make_request(sent), path="/hooks/none")).status == 404
    assert len(given) == 1


REDACTING = """
sources:
  open:
    verify: {scheme: hmac, secret: {env: T}, header: X-Sig}
    dedupe: $.card.number
    redact: [$.card.number, $.card.holder, headers.X-Token, query.key]
rules:
  - name: by card
    match: {$.card.number: {prefix: "41"}}
    actions: [append: a.jsonl]
  - name: every
    actions:
      - append: {path: b.jsonl, line: "{{ payload.card.number }} {{ headers['X-Token'] }}"}
        order_by: $.card.number
      - {name: once, append: c.jsonl, once_by: $.card.holder, within: 1h}
    respond: {status: 200, body: "got {{ payload.card.number }}"}
"""


def _signed(body: bytes, secret: str = "a secret of the tests") -> tuple[tuple[str, str], ...]:
    return (("X-Sig", hmac.new(secret.encode(), body, "sha256").hexdigest()), ("X-Token", "tok-4111"))


def test_redacted_values_are_used_only_by_signature_and_dedupe(
    receiver: Make, make_request: MakeRequest, store: SqliteStore, tmp_path: Path
) -> None:
    made = receiver(REDACTING, T="a secret of the tests")
    body = b'{"card": {"number": "4111222233334444", "holder": "Ada"}, "amount": 1.0}'

    with capture_logs() as logs:
        first = made.receive(make_request(body, headers=_signed(body), query="key=k4111&a=1"))
        again = made.receive(make_request(body, headers=_signed(body)))
        forged = made.receive(make_request(body, headers=_signed(body, "another")))
        other = body.replace(b"4444", b"5555")
        second = made.receive(make_request(other, headers=_signed(other)))

    assert (first.status, first.body, forged.status, second.status) == (200, b"got [redacted]", 401, 200)
    assert again.body == b"got [redacted]"
    events = store.events()
    assert len(events) == 2  # the duplicate is recognized by the value that was sent
    event = events[-1]
    assert event.body == b'{"card": {"number": "[redacted]", "holder": "[redacted]"}, "amount": 1.0}'
    assert (event.query, event.named["X-Token"]) == ("key=%5Bredacted%5D&a=1", "[redacted]")
    assert event.dedupe_key is not None
    assert event.dedupe_key.startswith("sha256:")
    planned = store.deliveries()
    assert {d.rule for d in planned} == {"every"}  # conditions read the stored text
    assert {(d.order_key, d.once_key, d.state.value) for d in planned} == {(None, None, "pending")}
    written = b"".join(path.read_bytes() for path in tmp_path.glob("store.db*"))
    for value in (b"4111222233334444", b"Ada", b"tok-4111", b"k4111"):
        assert value not in written
        assert value.decode() not in str(logs)


def test_a_body_that_can_not_be_redacted_is_refused_and_not_stored(
    receiver: Make, make_request: MakeRequest, store: SqliteStore
) -> None:
    made = receiver(REDACTING, T="a secret of the tests")
    body = b"card 4111222233334444"

    reply = made.receive(make_request(body, headers=_signed(body)))

    assert reply.status == 400
    assert json.loads(reply.body)["detail"].startswith(
        "the body is text, so the values that the source redacts can't be found in"
    )
    assert store.events() == []
