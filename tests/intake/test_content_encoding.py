"""gzip bodies are decoded up to the source's size limit. The signature covers the bytes that the rules file names."""

import gzip
import hmac
import json
import time
import zlib
from collections.abc import Callable

import pytest

from router.domain.request import Inbound
from router.http.contract import Request
from router.http.server import Server
from router.intake.content_encoding import decoded
from router.intake.receiver import Receiver
from router.intake.verify.none import Unchecked
from router.rules.source import Source
from router.store.sqlite.store import SqliteStore
from tests.http.talking import talk
from tests.intake.conftest import WaitingReceiver

Make = Callable[..., WaitingReceiver]
MakeRequest = Callable[..., Request]
BODY = b'{"kind": "push", "text": "' + b"x" * 500 + b'"}'
ZIPPED = gzip.compress(BODY)
RULES = """
sources:
  sent: {verify: {scheme: hmac, header: X-Sig, secret: {env: S}}, max_body: 1000}
  inner: {verify: {scheme: hmac, header: X-Sig, secret: {env: S}, over: decoded}, max_body: 1000}
  open: {verify: none, max_body: 1000}
rules:
  - {name: push, source: "*", match: {$.kind: push}, actions: [append: a.jsonl]}
"""


def _request(make_request: MakeRequest, source: str, body: bytes, signed: bytes, coding: str = "gzip") -> Request:
    signature = hmac.digest(b"a secret", signed, "sha256").hex()
    headers = (("Content-Type", "application/json"), ("Content-Encoding", coding), ("X-Sig", signature))
    return make_request(body, path=f"/hooks/{source}", headers=headers)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "identity, gzip"])
def test_rules_see_the_decoded_body(receiver: Make, make_request: MakeRequest, store: SqliteStore, coding: str) -> None:
    made = receiver(RULES, S="a secret")

    for source, signed in (("sent", ZIPPED), ("inner", BODY), ("open", b"")):
        reply = made.receive(_request(make_request, source, ZIPPED, signed, coding))
        assert reply.status == 202, source
        event = store.event(json.loads(reply.body)["id"])
        assert event is not None
        assert event.body == BODY
        assert "content-encoding" not in {name.lower() for name, _ in event.headers}
    assert len(store.deliveries()) == 3


def test_the_signature_covers_the_bytes_that_the_file_names(receiver: Make, make_request: MakeRequest) -> None:
    made = receiver(RULES, S="a secret")

    assert made.receive(_request(make_request, "sent", ZIPPED, BODY)).status == 401
    assert made.receive(_request(make_request, "inner", ZIPPED, ZIPPED)).status == 401
    assert made.receive(_request(make_request, "inner", BODY, BODY, "identity")).status == 202


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"no gzip", 400),
        (ZIPPED[:-1], 400),
        (ZIPPED[:20], 400),
        (ZIPPED + b"garbage", 400),
        (ZIPPED[:-8] + b"\0" * 8, 400),
        (zlib.compress(BODY), 400),
        (ZIPPED + b"\0\0", 202),
        (gzip.compress(BODY[:100]) + gzip.compress(BODY[100:]), 202),
        (gzip.compress(b"x" * 1001), 413),
        (gzip.compress(b"x" * 600) * 2, 413),
        (gzip.compress(b"x") * 45, 400),
    ],
    ids=range(12),
)
def test_broken_and_too_large_gzip_bodies_are_refused(
    receiver: Make, make_request: MakeRequest, body: bytes, status: int
) -> None:
    made = receiver(RULES, S="a secret")

    assert made.receive(_request(make_request, "open", body, b"")).status == status
    assert made.receive(_request(make_request, "sent", body, body)).status == status


def test_decoding_a_gzip_bomb_stops_at_the_limit() -> None:
    source = Source("s", "/", Unchecked(), max_body=1024 * 1024)
    bombs = [
        gzip.compress(b"\0" * 100_000_000, 1),
        gzip.compress(b"") * 200_000,
        gzip.compress(b"\0" * 200_000) * 1_000,
    ]
    began = time.process_time()
    for bomb in bombs:
        found = decoded(Inbound("s", "POST", "/", "", (), bomb, "", 0), source)
        assert getattr(found, "reply", None) is not None
    assert time.process_time() - began < 5


def test_a_body_that_may_become_large_is_decoded_outside_the_loop(
    receiver: Callable[..., Receiver], serve: Callable[..., Server], store: SqliteStore
) -> None:
    """Uses the real server, whose loop handles small bodies itself."""
    made = receiver(RULES.replace("1000", "20MiB"), S="a secret")
    body = gzip.compress(b'{"kind": "push", "text": "' + b"x" * 15_000_000 + b'"}')
    head = f"POST /hooks/open HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n"
    head += "Content-Type: application/json\r\nConnection: close\r\n\r\n"

    assert len(body) < 64 * 1024
    assert b" 202 " in talk(serve(made), head.encode() + body)
    assert len(store.deliveries()) == 1
