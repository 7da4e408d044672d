"""Every mutated request of every scheme is refused by the real server."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from router.http.server import Server
from router.intake.receiver import Receiver
from router.store.sqlite.store import SqliteStore
from tests.conftest import SHARE
from tests.http.talking import talk
from tests.intake.signed_requests import (
    CASES,
    NOW,
    TOLERANCE_SECONDS,
    VALUES,
    WITH_TIMESTAMP,
    WITHOUT_SIGNATURE,
    Case,
    Pairs,
    mutations,
)

Serve = Callable[..., Server]
MakeReceiver = Callable[..., Receiver]


def _rules(case: Case) -> str:
    source = {"verify": {"scheme": case.scheme, **case.options}, "dedupe": "none", "respond": "none"}
    rule = {"name": "all", "source": "*", "actions": [{"append": "never.jsonl"}]}
    return json.dumps({"sources": {"s": source}, "rules": [rule]})


def _raw(case: Case, headers: Pairs, body: bytes) -> bytes:
    lines = [f"POST /hooks/s{'?' if case.query else ''}{case.query} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"Content-Type: {case.content_type}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def _variants(case: Case, name: str) -> Iterator[tuple[str, Pairs, bytes]]:
    headers = case.headers("new key")
    # In HTTP, blanks around a value are not part of it.
    kept = tuple((name.lower(), value) for name, value in headers)
    for what, mutated in mutations(headers):
        if tuple((name.lower(), value.strip(" \t")) for name, value in mutated) != kept:
            yield what, mutated, case.body
    for key in ("", "wrong", "NEW KEY"):
        yield f"key {key!r}", case.headers(key), case.body
    if name in WITHOUT_SIGNATURE:
        return
    for i in range(0, len(case.body), 1 if SHARE == 1 else 3):
        flipped = case.body[:i] + bytes([case.body[i] ^ 1]) + case.body[i + 1 :]
        yield f"flipped bit in byte {i}", headers, flipped
    for other in (b"", case.body[:-1], case.body + b"\n", case.body * 2):
        yield "other body", headers, other


@pytest.mark.parametrize("name", CASES)
def test_every_mutated_request_is_refused_without_a_500(
    receiver: MakeReceiver, serve: Serve, store: SqliteStore, name: str
) -> None:
    case = CASES[name]
    server = serve(receiver(_rules(case), **VALUES))
    answers: dict[bytes, set[str]] = {}

    with capture_logs() as logs:
        for what, headers, body in _variants(case, name):
            answer = talk(server, _raw(case, headers, body), close=False)
            status = answer.split()[1]
            assert status in (b"400", b"401", b"431"), (what, answer)
            answers.setdefault(status, set()).add(answer.partition(b"\r\n\r\n")[2].decode())

    assert not store.events()
    assert len(answers[b"401"]) == 1  # the answer is the same for every mutation
    reasons = {line["reason"] for line in logs if line["event"] == "request refused" and line["status"] == 401}
    assert len(reasons) >= 3
    assert b" 202 " in talk(server, _raw(case, case.headers("new key"), case.body))
    assert b" 202 " in talk(server, _raw(case, case.headers("old key"), case.body))
    assert len(store.events()) == 2


TIMES = {"a minute old": -60, "old": -301, "of tomorrow": 86_400, "soon": 301}


@pytest.mark.parametrize("name", WITH_TIMESTAMP)
def test_a_timestamp_outside_the_tolerance_is_refused(receiver: MakeReceiver, serve: Serve, name: str) -> None:
    case = CASES[name]
    clock = [NOW]
    made = replace(receiver(_rules(case), **VALUES), now_ms=lambda: clock[0])
    server = serve(made)

    for what, seconds in TIMES.items():
        limit = TOLERANCE_SECONDS[name]
        away = seconds if abs(seconds) < 300 else seconds * limit // 300
        clock[0] = NOW - away * 1000
        status = talk(server, _raw(case, case.headers("new key"), case.body)).split()[1]
        assert status == (b"202" if abs(away) < limit else b"401"), what
