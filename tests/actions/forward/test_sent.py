"""The part of a forward's request that is stored."""

import hashlib

import pytest

from router.actions.forward.sent import LONGEST_VALUE, MOST_HEADERS, START_BYTES, sent_of
from router.client.exchange import Request


def test_method_url_headers_and_the_start_of_the_body_are_stored() -> None:
    body = b"{" + b"x" * 1000
    sent = sent_of(Request("PUT", "https://ci.example/build", [("X-A", "1"), ("X-A", "2")], body))

    assert (sent.method, sent.url, sent.headers) == ("PUT", "https://ci.example/build", (("X-A", "1"), ("X-A", "2")))
    assert (sent.size, sent.sha256) == (1001, hashlib.sha256(body).hexdigest())
    assert sent.start == body[:START_BYTES].decode()


def test_no_credential_is_stored() -> None:
    headers = [
        ("Authorization", "Basic c2VjcmV0"),
        ("Cookie", "s=secret"),
        ("X_Api_Key", "secret"),
        ("X-Gitlab-Token", "secret"),
        ("webhook-signature", "v1,secret"),
        ("X-Shopify-Hmac-Sha256", "secret"),
    ]
    sent = sent_of(Request("POST", "https://ann:secret@ci.example:8443/build?key=secret#secret", headers, b""))

    assert sent.url == "https://ci.example:8443/build"
    assert "secret" not in "".join(value.strip("<>").removeprefix("secret") for _, value in sent.headers)
    assert [name for name, _ in sent.headers] == [name for name, _ in headers]


@pytest.mark.parametrize("body", [b"\xff" * 100_000, b""])
def test_the_stored_part_of_a_request_is_bounded(body: bytes) -> None:
    sent = sent_of(Request("POST", "https://ci.example/" + "a" * 9000, [("X" * 900, "v" * 9000)] * 900, body))

    assert len(sent.headers) == MOST_HEADERS
    assert all(len(name) <= LONGEST_VALUE and len(value) <= LONGEST_VALUE for name, value in sent.headers)
    assert len(sent.url) == 500
    assert len(sent.start) <= START_BYTES
