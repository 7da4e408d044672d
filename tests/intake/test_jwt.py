"""Scheme jwt: tokens with the keys of OpenID Connect or shared secrets, and fetching of public keys."""

import base64
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from pytest_httpserver import HTTPServer
from werkzeug import Request as Asked
from werkzeug import Response

from router.domain.reply import Reply
from router.domain.request import Inbound
from router.domain.secrets import Secret
from router.http.contract import Request
from router.intake.verify.fetched import (
    AGAIN_SECONDS,
    FAILED_SECONDS,
    FRESH_SECONDS,
    MAX_BYTES,
    USABLE_SECONDS,
    Fetched,
)
from router.intake.verify.jwks import read_jwks
from router.intake.verify.jwt import Options
from router.intake.verify.jwt import compile as compile_jwt
from router.plugins.build import Build
from router.plugins.scheme import KeysAwaited, KeysUnavailable, Unverified, Verified, Verifier
from router.store.sqlite.store import SqliteStore
from tests.cases import each
from tests.intake.conftest import WaitingReceiver
from tests.intake.preset_senders import BODY, SECONDS, ec_key, es256, jwks, rs256
from tests.intake.signed_requests import KEYS_FOLDER, NOW

KEY = b"new key"
GIVEN: dict[str, Any] = {"issuer": "https://issuer.example", "audience": "hooks", "jwks": {"file": "jwks.json"}}
CLAIMS: dict[str, Any] = {"iss": "https://issuer.example", "aud": "hooks", "exp": SECONDS + 60}


def _compile(**options: Any) -> tuple[Verifier, list[str]]:
    build = Build("s", KEYS_FOLDER, find_secret=lambda ref, _: Secret(ref.name, "a shared secret of 32 letters, or"))
    return compile_jwt(Options.model_validate(options), build), [fault.message for fault in build.faults]


def _inbound(token: str, body: bytes = BODY) -> Inbound:
    return Inbound("s", "POST", "/hooks/s", "", (("Authorization", f"Bearer {token}"),), body, "192.0.2.1", NOW)


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _public() -> bytes:
    return (
        ec_key(KEY)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def _forged_by_the_public_key() -> str:
    """A token signed by HMAC with the public key as the secret."""
    import hashlib
    import hmac

    text = f"{_part({'alg': 'HS256', 'kid': 'new key'})}.{_part(CLAIMS)}"
    signature = hmac.digest(_public(), text.encode(), hashlib.sha256)
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


GOOD = es256(KEY, CLAIMS)
HEAD, PAYLOAD, SIGNATURE = GOOD.split(".")
WRONG = {
    "no algorithm": f"{_part({'alg': 'none', 'kid': 'new key'})}.{PAYLOAD}.",
    "no algorithm, another case": f"{_part({'alg': 'nOnE', 'kid': 'new key'})}.{PAYLOAD}.{SIGNATURE}",
    "an algorithm that is a list": f"{_part({'alg': ['ES256'], 'kid': 'new key'})}.{PAYLOAD}.{SIGNATURE}",
    "HMAC by the public key": _forged_by_the_public_key(),
    "RS256 by another key": rs256(KEY),
    "the key in its own header": f"{_part({'alg': 'ES256', 'kid': 'x', 'jwk': json.loads(jwks(KEY))['keys'][0]})}.{PAYLOAD}.{SIGNATURE}",
    "an address in its header": f"{_part({'alg': 'ES256', 'kid': 'x', 'jku': 'http://127.0.0.1:1/'})}.{PAYLOAD}.{SIGNATURE}",
    "a kid that is no text": f"{_part({'alg': 'ES256', 'kid': 7})}.{PAYLOAD}.{SIGNATURE}",
    "critical extensions": jwt.encode(CLAIMS, ec_key(KEY), "ES256", headers={"kid": "new key", "crit": ["x"], "x": 1}),
    "another key": jwt.encode(CLAIMS, ec_key(b"wrong"), "ES256", headers={"kid": "new key"}),
    "other claims": f"{HEAD}.{_part({**CLAIMS, 'sub': 'me'})}.{SIGNATURE}",
    "expired": es256(KEY, {**CLAIMS, "exp": SECONDS - 61}),
    "no expiry": es256(KEY, {"iss": CLAIMS["iss"], "aud": "hooks"}),
    "an expiry that is a text": es256(KEY, {**CLAIMS, "exp": str(SECONDS + 60)}),
    "an expiry that is true": es256(KEY, {**CLAIMS, "exp": True}),
    "an expiry beyond numbers": es256(KEY, {**CLAIMS, "exp": None}),
    "not yet": es256(KEY, {**CLAIMS, "nbf": SECONDS + 61}),
    "made tomorrow": es256(KEY, {**CLAIMS, "iat": SECONDS + 86_400}),
    "another issuer": es256(KEY, {**CLAIMS, "iss": "https://issuer.example.org"}),
    "no issuer": es256(KEY, {"aud": "hooks", "exp": CLAIMS["exp"]}),
    "issuers": f"{HEAD}.{_part({**CLAIMS, 'iss': ['https://issuer.example']})}.{SIGNATURE}",
    "another audience": es256(KEY, {**CLAIMS, "aud": "hook"}),
    "audiences without ours": es256(KEY, {**CLAIMS, "aud": ["a", "b"]}),
    "no audience": es256(KEY, {"iss": CLAIMS["iss"], "exp": CLAIMS["exp"]}),
    "padding": GOOD + "=",
    "another spelling": GOOD[:-1] + chr(ord(GOOD[-1]) ^ 1),
    "two parts": f"{HEAD}.{PAYLOAD}",
    "four parts": GOOD + ".x",
    "empty parts": "..",
    "no JSON": f"{HEAD}.e30x.{SIGNATURE}",
    "claims that are a list": jwt.PyJWS().encode(b"[]", ec_key(KEY), "ES256", headers={"kid": "new key"}),
    "claims that are no JSON": jwt.PyJWS().encode(b"{", ec_key(KEY), "ES256", headers={"kid": "new key"}),
    "deep claims": jwt.PyJWS().encode(b"[" * 3000, ec_key(KEY), "ES256", headers={"kid": "new key"}),
    "huge": "a" * 9000,
    "garbage": "\x7f.\x01.",
}  # fmt: skip


@each("name", WRONG)
def test_every_wrong_token_is_refused(name: str) -> None:
    verifier, faults = _compile(**GIVEN)

    assert not faults
    assert isinstance(verifier.verify(_inbound(GOOD), NOW), Verified)
    assert isinstance(verifier.verify(_inbound(WRONG[name]), NOW), Unverified)


def test_a_token_is_removed_after_verification() -> None:
    verifier, _ = _compile(**GIVEN)
    found = verifier.verify(_inbound(GOOD), NOW)

    assert isinstance(found, Verified)
    assert not found.inbound.headers
    assert verifier.signed_parts is None


def test_claims_are_compared_with_their_types() -> None:
    verifier, _ = _compile(**GIVEN, claims={"email": "a@example.com", "email_verified": True})

    for claims, good in (
        ({"email": "a@example.com", "email_verified": True}, True),
        ({"email": "a@example.com", "email_verified": 1}, False),
        ({"email": "a@example.com", "email_verified": "true"}, False),
        ({"email": "b@example.com", "email_verified": True}, False),
        ({"email": ["a@example.com"], "email_verified": True}, False),
        ({}, False),
    ):
        found = verifier.verify(_inbound(es256(KEY, {**CLAIMS, **claims})), NOW)
        assert isinstance(found, Verified if good else Unverified), claims


def test_a_token_with_a_hash_of_the_body_counts_as_a_signature() -> None:
    options = {"header": "Authorization", "jwks": {"file": "jwks.json"}, "body_hash": {"claim": "sum"}, "max_age": "5m"}
    verifier, faults = _compile(**options)
    import hashlib

    def token(sent: Any, iat: int = SECONDS) -> str:
        return es256(KEY, {"iat": iat, "sum": sent})

    good = hashlib.sha256(BODY).hexdigest()
    assert not faults
    assert verifier.signed_parts is not None
    assert isinstance(verifier.verify(_inbound(token(good)), NOW), Verified)
    assert isinstance(verifier.verify(_inbound(token(good), BODY + b" "), NOW), Unverified)
    for wrong in (good.upper(), "", None, 7, [good], "\ud83d"):
        assert isinstance(verifier.verify(_inbound(token(wrong)), NOW), Unverified), wrong
    assert isinstance(verifier.verify(_inbound(token(good, SECONDS - 361)), NOW), Unverified)
    assert isinstance(verifier.verify(_inbound(es256(KEY, {"sum": good})), NOW), Unverified)


def test_a_shared_secret_signs_and_verifies() -> None:
    verifier, faults = _compile(secret={"env": "S"}, issuer="me")
    proof = verifier.sign(_inbound(""), NOW)

    assert not faults
    assert getattr(proof, "is_credential", False)
    [(_, value)] = proof.headers  # type: ignore[union-attr]
    assert isinstance(verifier.verify(_inbound(value.removeprefix("Bearer ")), NOW), Verified)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exactly one of jwks and secret"),
        ({**GIVEN, "secret": {"env": "S"}}, "exactly one of jwks and secret"),
        ({"jwks": {"file": "jwks.json"}}, "needs issuer and audience"),
        ({**GIVEN, "audience": None}, "needs issuer and audience"),
        ({**GIVEN, "algorithms": ["HS256"]}, "HS… goes with a secret"),
        ({"secret": {"env": "S"}, "algorithms": ["RS256"]}, "HS… goes with a secret"),
        ({**GIVEN, "jwks": {}}, "exactly one of file and url"),
        ({**GIVEN, "jwks": {"file": "missing.json"}}, "missing.json can't be read"),
        ({**GIVEN, "jwks": {"file": "../conftest.py"}}, "is not a JWKS"),
        ({**GIVEN, "jwks": {"url": "http://keys.example.com/"}}, "expected an https address"),
        ({**GIVEN, "jwks": {"url": "https://u:p@keys.example.com/"}}, "expected an https address"),
        ({**GIVEN, "jwks": {"url": "https://[keys"}}, "expected an https address"),
        ({**GIVEN, "header": "a b"}, "letters, digits"),
    ],
)
def test_wrong_options_are_reported(options: dict[str, Any], message: str) -> None:
    assert any(message in fault for fault in _compile(**options)[1]), _compile(**options)[1]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b'{"keys": []}',
        b'{"keys": [{"kty": "oct", "k": "AAAA"}]}',
        b'{"keys": [7]}',
        b'{"keys": {}}',
        b"\xff",
    ],
)
def test_a_key_set_needs_a_public_key(text: bytes) -> None:
    with pytest.raises(ValueError, match="it holds no"):
        read_jwks(text)


def test_a_key_set_that_others_can_write_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(jwks(KEY))
    given = {**GIVEN, "jwks": {"file": str(file)}}
    assert not _compile(**given)[1]

    file.chmod(0o666)

    assert [fault for fault in _compile(**given)[1] if f"key set {file}" in fault]


# Fetching of keys.


class Provider:
    """Stands for a provider that serves a key set or fails, with a clock."""

    def __init__(self) -> None:
        self.answers: list[Any] = [jwks(KEY).encode()]
        self.asked = 0
        self.now = 0.0
        self.go = threading.Event()
        self.go.set()

    def fetch(self, _: str) -> bytes:
        self.go.wait(60)
        self.asked += 1
        answer = self.answers[-1]
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, bytes)
        return answer

    def document(self) -> Fetched[Any]:
        return Fetched("https://keys.example.com/", read_jwks, self.fetch, lambda: self.now)


def _get(document: Fetched[Any]) -> Any:
    found = document.get()
    if isinstance(found, KeysAwaited):
        found.fetched.result(60)
        found = document.get()
    return found


def _settled(document: Fetched[Any]) -> None:
    with document._lock:
        fetching = document._fetching
    if fetching is not None:
        fetching.result(60)


def test_a_key_set_is_fetched_once_and_again_after_an_hour() -> None:
    provider = Provider()
    document = provider.document()

    assert "new key" in _get(document)
    provider.now = FRESH_SECONDS - 1
    assert "new key" in document.get()  # type: ignore[operator]
    assert provider.asked == 1
    provider.answers.append(jwks(b"old key").encode())
    provider.now = FRESH_SECONDS + 1
    assert "new key" in document.get()  # type: ignore[operator]  # the old key set is used meanwhile
    _settled(document)
    assert list(document.get()) == ["old key"]  # type: ignore[arg-type]


def test_concurrent_requests_fetch_the_key_set_once() -> None:
    provider = Provider()
    provider.go.clear()
    document = provider.document()
    with ThreadPoolExecutor(8) as pool:
        waiting = list(pool.map(lambda _: document.get(), range(50)))
        assert all(isinstance(found, KeysAwaited) for found in waiting)
        provider.go.set()
    _settled(document)

    assert provider.asked == 1


def test_an_old_key_set_is_used_for_a_day_while_fetching_fails() -> None:
    provider = Provider()
    document = provider.document()
    assert "new key" in _get(document)

    provider.answers.append(OSError(111, "Connection refused"))
    provider.now = USABLE_SECONDS - 1
    assert "new key" in document.get()  # type: ignore[operator]
    _settled(document)
    provider.now = USABLE_SECONDS + FAILED_SECONDS + 1
    assert isinstance(_get(document), KeysUnavailable)
    asked = provider.asked
    assert isinstance(_get(document), KeysUnavailable)
    assert provider.asked == asked  # a failed fetch is not repeated at once
    provider.answers.append(jwks(KEY).encode())
    provider.now += FAILED_SECONDS + 1
    assert "new key" in _get(document)


def test_an_unknown_key_causes_one_fetch_a_minute() -> None:
    provider = Provider()
    document = provider.document()
    assert "new key" in _get(document)

    assert document.newer() is None
    provider.now = AGAIN_SECONDS + 1
    newer = document.newer()
    assert newer is not None
    newer.fetched.result(60)
    assert document.newer() is None
    assert provider.asked == 2


def _rules(url: str) -> str:
    verify = {"scheme": "jwt", "issuer": "https://issuer.example", "audience": "hooks", "jwks": {"url": url}}
    return json.dumps(
        {"sources": {"s": {"verify": verify}}, "rules": [{"name": "r", "actions": [{"append": "a.jsonl"}]}]}
    )


def _ask(made: WaitingReceiver, make_request: Callable[..., Request], token: str, **given: Any) -> Reply:
    headers = (("Content-Type", "application/json"), ("Authorization", f"Bearer {token}"))
    return made.receive(make_request(BODY, path="/hooks/s", headers=headers), **given)


def test_requests_wait_for_the_keys_without_holding_a_thread(
    receiver: Callable[..., WaitingReceiver],
    make_request: Callable[..., Request],
    httpserver: HTTPServer,
    store: SqliteStore,
) -> None:
    go = threading.Event()

    def answer(_: Asked) -> Response:
        go.wait(60)
        return Response(jwks(KEY))

    httpserver.expect_request("/keys").respond_with_handler(answer)
    made = receiver(_rules(httpserver.url_for("/keys")))
    headers = (("Content-Type", "application/json"), ("Authorization", f"Bearer {GOOD}"))
    pending = [made.handle(make_request(BODY, path="/hooks/s", headers=headers)) for _ in range(20)]

    assert not any(isinstance(found, Reply) for found in pending)
    go.set()
    assert {found.reply(10).status for found in pending if not isinstance(found, Reply)} == {202}
    assert _ask(made, make_request, GOOD).status == 202
    assert _ask(made, make_request, es256(b"old key", CLAIMS)).status == 401  # a key that the key set lacks
    assert len(store.events()) == 21
    assert len(httpserver.log) == 1


@pytest.mark.parametrize(
    "response",
    [
        Response("no", status=500),
        Response("", status=302, headers={"Location": "/keys"}),
        Response("{}"),
        Response("x" * (MAX_BYTES + 1)),
    ],
    ids=range(4),
)
def test_keys_that_cannot_be_fetched_give_503(
    receiver: Callable[..., WaitingReceiver], make_request: Callable[..., Request], httpserver: HTTPServer,
    store: SqliteStore, response: Response,
) -> None:  # fmt: skip
    httpserver.expect_request("/keys").respond_with_response(response)
    made = receiver(_rules(httpserver.url_for("/keys")))

    found = _ask(made, make_request, GOOD)

    assert found.status == 503
    assert ("Retry-After", "10") in found.headers or any(name == "Retry-After" for name, _ in found.headers)
    assert not store.events()


def test_check_fetches_no_keys(tmp_path: Path, httpserver: HTTPServer) -> None:
    verifier, faults = _compile(**{**GIVEN, "jwks": {"url": httpserver.url_for("/keys")}})

    assert not faults
    assert verifier.verifies
    assert not httpserver.log
