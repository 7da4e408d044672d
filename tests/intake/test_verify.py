"""Each scheme lets in what is signed right, and nothing that was changed in any way."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from router.intake.verify.registry import SCHEMES
from router.model import Inbound
from router.plugins import Build, Refused, Verified, Verifier
from router.secrets import Secret, SecretRef

NOW = 1_700_000_000_000
BODY = b'{"hello": "w\xc3\xb6rld"}'
VALUES = {"NEW": "new key", "OLD": "old key"}


def _verifier(scheme: str, options: dict[str, Any]) -> Verifier:
    def find(ref: SecretRef, place: Any) -> Secret:
        return Secret(ref.name, VALUES.get(ref.env or ""))

    build = Build("source", Path("/"), find_secret=find)
    verifier = SCHEMES[scheme].compile(SCHEMES[scheme].Options.model_validate(options), build)
    assert not build.faults, build.faults
    return verifier


def _sign(key: str, message: bytes, algorithm: Any = hashlib.sha256) -> bytes:
    return hmac.new(key.encode(), message, algorithm).digest()


SECRET = [{"env": "NEW"}, {"env": "OLD"}, {"env": "NONE", "optional": True}]

# A github example that its documentation gives: secret, body and signature.
DOCUMENTED = (
    "It's a Secret to Everybody",
    b"Hello, World!",
    "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
)

Case = tuple[str, dict[str, Any], Callable[[str], tuple[tuple[str, str], ...]]]
CASES: dict[str, Case] = {
    "github": (
        "github",
        {"secret": SECRET},
        lambda key: (("X-Hub-Signature-256", "sha256=" + _sign(key, BODY).hex()),),
    ),
    "hmac hex": (
        "hmac",
        {"secret": SECRET, "header": "X-Sig"},
        lambda key: (("X-Sig", _sign(key, BODY).hex()),),
    ),
    "hmac sha1 base64 with a prefix": (
        "hmac",
        {"secret": SECRET, "header": "X-Sig", "algorithm": "sha1", "encoding": "base64", "prefix": "s="},
        lambda key: (("X-Sig", "s=" + base64.b64encode(_sign(key, BODY, hashlib.sha1)).decode()),),
    ),
    "hmac sha512 with a timestamp": (
        "hmac",
        {"secret": SECRET, "header": "X-Sig", "algorithm": "sha512", "timestamp_header": "X-Time"},
        lambda key: (
            ("X-Time", "1700000000"),
            ("X-Sig", _sign(key, b"1700000000." + BODY, hashlib.sha512).hex()),
        ),
    ),
    "token in a header": ("token", {"secret": SECRET, "header": "X-Token"}, lambda key: (("X-Token", key),)),
    "token with a prefix": (
        "token",
        {"secret": SECRET, "header": "Authorization", "prefix": "Bearer "},
        lambda key: (("Authorization", f"Bearer {key}"),),
    ),
}
KEYS = ["new key", "old key"]


def _request(headers: tuple[tuple[str, str], ...], body: bytes = BODY, **given: Any) -> Inbound:
    plain = (("Content-Type", "application/json"), ("Cookie", "planted"), ("Proxy-Authorization", "planted"))
    return Inbound("s", "POST", "/hooks/s", given.pop("query", ""), plain + headers, body, "192.0.2.1", NOW)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("key", KEYS)
def test_what_is_signed_with_either_key_gets_in(case: str, key: str) -> None:
    scheme, options, headers = CASES[case]

    result = _verifier(scheme, options).verify(_request(headers(key)), NOW)

    assert isinstance(result, Verified)
    names = {name.lower() for name, _ in result.inbound.headers}
    assert names.isdisjoint({"cookie", "authorization", "proxy-authorization", "x-token"})


def _mutations(headers: tuple[tuple[str, str], ...], case: str) -> Any:
    for i, (name, value) in enumerate(headers):

        def changed(*new: tuple[str, str], i: int = i) -> tuple[tuple[str, str], ...]:
            return headers[:i] + new + headers[i + 1 :]

        yield "missing", changed()
        yield "empty", changed((name, ""))
        yield "doubled", changed((name, value), (name, value))
        yield "joined", changed((name, f"{value}, {value}"))
        yield "truncated", changed((name, value[:-1]))
        yield "longer", changed((name, value + "0"))
        yield "not ASCII", changed((name, value + "é"))
        yield "control", changed((name, value + "\x00"))
        yield "another prefix", changed((name, "sha1=" + value.partition("=")[2]))
        yield "renamed", changed((name + "x", value))
        yield "garbage", changed((name, "zz" * 40))
        yield "huge", changed((name, "a" * 100_000))
        first = chr(ord(value[-1]) ^ 1)
        yield "flipped", changed((name, value[:-1] + first))


@pytest.mark.parametrize("case", CASES)
def test_no_mutation_gets_in_and_none_raises(case: str) -> None:
    scheme, options, make = CASES[case]
    verifier = _verifier(scheme, options)
    headers = make("new key")

    for what, mutated in _mutations(headers, case):
        assert isinstance(verifier.verify(_request(mutated), NOW), Refused), what
    if scheme != "token":
        for i in range(len(BODY) * 8):
            body = bytearray(BODY)
            body[i // 8] ^= 1 << i % 8
            assert isinstance(verifier.verify(_request(headers, bytes(body)), NOW), Refused)
        assert isinstance(verifier.verify(_request(headers, b""), NOW), Refused)
    for key in ("", "wrong", "new key ", "NEW KEY"):
        assert isinstance(verifier.verify(_request(make(key)), NOW), Refused), key


@pytest.mark.parametrize("seconds", [-301, 301, 10**6])
def test_a_timestamp_off_either_way_is_refused(seconds: int) -> None:
    scheme, options, make = CASES["hmac sha512 with a timestamp"]
    verifier = _verifier(scheme, options)

    assert isinstance(verifier.verify(_request(make("new key")), NOW + seconds * 1000), Refused)
    assert isinstance(verifier.verify(_request(make("new key")), NOW + 299_000), Verified)


def test_githubs_own_example_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    secret, body, signature = DOCUMENTED
    monkeypatch.setitem(VALUES, "NEW", secret)

    request = _request((("X-Hub-Signature-256", f"sha256={signature}"),), body)

    assert isinstance(_verifier("github", {"secret": [{"env": "NEW"}]}).verify(request, NOW), Verified)


def test_a_token_in_the_query_is_taken_out_and_the_rest_stays() -> None:
    verifier = _verifier("token", {"secret": SECRET, "query": "to ken"})

    result = verifier.verify(_request((), query="a=%20b&to+ken=new%20key&c"), NOW)

    assert isinstance(result, Verified)
    assert result.inbound.query == "a=%20b&c"
    for query in ("", "to+ken=", "to+ken=wrong", "to+ken=new+key&to+ken=new+key", "token=new+key", "to+ken=%FF"):
        assert isinstance(verifier.verify(_request((), query=query), NOW), Refused), query


def test_an_unset_secret_verifies_nothing() -> None:
    build = Build("source", Path("/"))
    options = SCHEMES["token"].Options.model_validate({"secret": {"env": "NONE"}, "header": "X-Token"})
    verifier = SCHEMES["token"].compile(options, build)

    assert isinstance(verifier.verify(_request((("X-Token", ""),)), NOW), Refused)
    assert isinstance(verifier.verify(_request((("X-Token", "None"),)), NOW), Refused)


def test_scheme_none_lets_in_but_not_the_credentials() -> None:
    result = _verifier("none", {}).verify(_request((("Authorization", "planted"),)), NOW)

    assert isinstance(result, Verified)
    assert "planted" not in str(result.inbound.headers)


@pytest.mark.parametrize(
    ("scheme", "options", "message"),
    [
        ("token", {"secret": {"env": "NEW"}}, "exactly one of header and query"),
        ("token", {"secret": {"env": "NEW"}, "header": "X", "query": "y"}, "exactly one of header and query"),
        ("token", {"secret": {"env": "NEW"}, "query": "y", "prefix": "p"}, "prefix goes with header"),
        ("hmac", {"secret": {"env": "NEW"}, "header": "a b"}, "letters, digits"),
        ("hmac", {"secret": {"env": "NEW"}, "header": "X", "signed": "{timestamp}"}, "{body} has to be signed"),
        ("hmac", {"secret": {"env": "NEW"}, "header": "X", "signed": "{timestamp}{body}"}, "go together"),
        ("github", {"secret": [{"env": "NO", "optional": True}]}, "none of the optional secrets is set"),
    ],
)
def test_wrong_options_are_faults(scheme: str, options: dict[str, Any], message: str) -> None:
    build = Build("source", Path("/"))
    SCHEMES[scheme].compile(SCHEMES[scheme].Options.model_validate(options), build)

    assert any(message in fault.message for fault in build.faults), build.faults


def test_the_reason_never_holds_what_was_sent() -> None:
    for scheme, options, make in CASES.values():
        request = _request(tuple((name, value + "hush") for name, value in make("new key")))
        result = _verifier(scheme, options).verify(replace(request, body=b"hush"), NOW)
        assert isinstance(result, Refused)
        assert "hush" not in result.reason
