"""Each scheme lets in what is signed right, and nothing that was changed in any way."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from router.intake.verify.registry import SCHEMES
from router.model import Inbound
from router.plugins import Build, Refused, Verified, Verifier
from router.secrets import Secret, SecretRef

NOW = 1_700_000_000_000
BODY = b'{"hello": "w\xc3\xb6rld"}'
FORM = b"CallSid=CA1234&From=%2B14158675309&Body=two+words&Media="
KEYS = ["new key", "old key"]


def _whsec(key: str) -> str:
    return "whsec_" + base64.b64encode(key.encode()).decode()


def _private(key: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(key.encode()).digest())


def _public(key: str) -> bytes:
    return _private(key).public_key().public_bytes_raw()


VALUES = {
    "NEW": "new key",
    "OLD": "old key",
    "NEW_WHSEC": _whsec("new key"),
    "OLD_WHSEC": _whsec("old key"),
    **{f"{key[:3].upper()}_WHPK": "whpk_" + base64.b64encode(_public(key)).decode() for key in KEYS},
    **{f"{key[:3].upper()}_HEX": _public(key).hex() for key in KEYS},
}


def _verifier(scheme: str, options: dict[str, Any]) -> Verifier:
    def find(ref: SecretRef, place: Any) -> Secret:
        return Secret(ref.name, VALUES.get(ref.env or ""))

    build = Build("source", Path("/"), find_secret=find)
    verifier = SCHEMES[scheme].compile(SCHEMES[scheme].Options.model_validate(options), build)
    assert not build.faults, build.faults
    return verifier


def _sign(key: str, message: bytes, algorithm: Any = hashlib.sha256) -> bytes:
    return hmac.new(key.encode(), message, algorithm).digest()


def _secrets(kind: str = "") -> list[dict[str, Any]]:
    return [{"env": f"NEW{kind}"}, {"env": f"OLD{kind}"}, {"env": "NONE", "optional": True}]


SECRET = _secrets()
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Case:
    """A scheme with options, and how its sender signs."""

    scheme: str
    options: dict[str, Any]
    headers: Callable[[str], Pairs]
    body: bytes = BODY
    content_type: str = "application/json"
    query: str = ""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _standard(prefix: str, signature: Callable[[bytes], str]) -> Pairs:
    return (
        (f"{prefix}-id", "msg_1"),
        (f"{prefix}-timestamp", "1700000000"),
        (f"{prefix}-signature", signature(b"msg_1.1700000000." + BODY)),
    )


def _twilio(key: str, url: str, fields: str = "") -> Pairs:
    return (("X-Twilio-Signature", _base64(_sign(key, (url + fields).encode(), hashlib.sha1))),)


URL = "https://hooks.example.com/hooks/twilio"
FIELDS = "Bodytwo wordsCallSidCA1234From+14158675309Media"
BODY_HASH = f"a=1&bodySHA256={hashlib.sha256(BODY).hexdigest()}"
CASES: dict[str, Case] = {
    "github": Case(
        "github", {"secret": SECRET}, lambda key: (("X-Hub-Signature-256", "sha256=" + _sign(key, BODY).hex()),)
    ),
    "gitlab, secret token": Case("gitlab", {"secret": SECRET}, lambda key: (("X-Gitlab-Token", key),)),
    "gitlab, signing token": Case(
        "gitlab",
        {"secret": _secrets("_WHSEC")},
        lambda key: _standard("webhook", lambda message: "v1," + _base64(_sign(key, message))),
    ),
    "stripe": Case(
        "stripe",
        {"secret": SECRET},
        lambda key: (("Stripe-Signature", "t=1700000000,v0=00,v1=" + _sign(key, b"1700000000." + BODY).hex()),),
    ),
    "slack": Case(
        "slack",
        {"secret": SECRET},
        lambda key: (
            ("X-Slack-Request-Timestamp", "1700000000"),
            ("X-Slack-Signature", "v0=" + _sign(key, b"v0:1700000000:" + BODY).hex()),
        ),
    ),
    "shopify": Case("shopify", {"secret": SECRET}, lambda key: (("X-Shopify-Hmac-SHA256", _base64(_sign(key, BODY))),)),
    "twilio, form": Case(
        "twilio",
        {"secret": SECRET, "url": URL},
        lambda key: _twilio(key, f"{URL}?a=1&b", FIELDS),
        FORM,
        "application/x-www-form-urlencoded; charset=UTF-8",
        "a=1&b",
    ),
    "twilio, JSON": Case(
        "twilio", {"secret": SECRET, "url": URL}, lambda key: _twilio(key, f"{URL}?{BODY_HASH}"), query=BODY_HASH
    ),
    "discord": Case(
        "discord",
        {"secret": _secrets("_HEX")},
        lambda key: (
            ("X-Signature-Timestamp", "1700000000"),
            ("X-Signature-Ed25519", _private(key).sign(b"1700000000" + BODY).hex()),
        ),
    ),
    "standard-webhooks v1": Case(
        "standard-webhooks",
        {"secret": _secrets("_WHSEC")},
        lambda key: _standard("webhook", lambda message: "v1," + _base64(_sign(key, message))),
    ),
    "standard-webhooks v1 of svix": Case(
        "standard-webhooks",
        {"secret": _secrets("_WHSEC"), "headers": "svix"},
        lambda key: _standard("svix", lambda message: "v2,AAAA v1," + _base64(_sign(key, message))),
    ),
    "standard-webhooks v1a": Case(
        "standard-webhooks",
        {"secret": _secrets("_WHPK")},
        lambda key: _standard("webhook", lambda message: "v1a," + _base64(_private(key).sign(message))),
    ),
    "hmac hex": Case("hmac", {"secret": SECRET, "header": "X-Sig"}, lambda key: (("X-Sig", _sign(key, BODY).hex()),)),
    "hmac sha1 base64 with a prefix": Case(
        "hmac",
        {"secret": SECRET, "header": "X-Sig", "algorithm": "sha1", "encoding": "base64", "prefix": "s="},
        lambda key: (("X-Sig", "s=" + _base64(_sign(key, BODY, hashlib.sha1))),),
    ),
    "hmac sha512 with a timestamp": Case(
        "hmac",
        {"secret": SECRET, "header": "X-Sig", "algorithm": "sha512", "timestamp_header": "X-Time"},
        lambda key: (
            ("X-Time", "1700000000"),
            ("X-Sig", _sign(key, b"1700000000." + BODY, hashlib.sha512).hex()),
        ),
    ),
    "basic": Case(
        "basic",
        {"secret": SECRET, "username": "ann"},
        lambda key: (("Authorization", "Basic " + _base64(f"ann:{key}".encode())),),
    ),
    "bearer": Case("bearer", {"secret": SECRET}, lambda key: (("Authorization", f"Bearer {key}"),)),
    "token in a header": Case("token", {"secret": SECRET, "header": "X-Token"}, lambda key: (("X-Token", key),)),
    "token with a prefix": Case(
        "token",
        {"secret": SECRET, "header": "Authorization", "prefix": "Bearer "},
        lambda key: (("Authorization", f"Bearer {key}"),),
    ),
}
PLAIN = {name for name, case in CASES.items() if case.scheme in ("basic", "bearer", "token")} | {"gitlab, secret token"}
TIMED = [name for name, case in CASES.items() if any("1700000000" in value for _, value in case.headers("new key"))]


def _request(headers: Pairs, body: bytes = BODY, query: str = "", content_type: str = "application/json") -> Inbound:
    plain = (("Content-Type", content_type), ("Cookie", "planted"), ("Proxy-Authorization", "planted"))
    return Inbound("s", "POST", "/hooks/s", query, plain + headers, body, "192.0.2.1", NOW)


def _sent(case: Case, headers: Pairs, body: bytes | None = None) -> Inbound:
    return _request(headers, case.body if body is None else body, case.query, case.content_type)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("key", KEYS)
def test_what_is_signed_with_either_key_gets_in(name: str, key: str) -> None:
    case = CASES[name]

    result = _verifier(case.scheme, case.options).verify(_sent(case, case.headers(key)), NOW)

    assert isinstance(result, Verified)
    left = {header.lower() for header, _ in result.inbound.headers}
    assert left.isdisjoint({"cookie", "authorization", "proxy-authorization", "x-token", "x-gitlab-token"})


def _mutations(headers: Pairs) -> Iterator[tuple[str, Pairs]]:
    for i, (name, value) in enumerate(headers):

        def changed(*new: tuple[str, str], i: int = i) -> Pairs:
            return headers[:i] + new + headers[i + 1 :]

        yield "missing", changed()
        yield "empty", changed((name, ""))
        yield "doubled", changed((name, value), (name, value))
        yield "doubled with an empty one", changed((name, ""), (name, value))
        yield "joined", changed((name, f"{value}, {value}"))
        yield "truncated", changed((name, value[:-1]))
        yield "halved", changed((name, value[: len(value) // 2]))
        yield "beheaded", changed((name, value[1:]))
        yield "longer", changed((name, value + "0"))
        yield "padded", changed((name, value + "="))
        yield "blank before", changed((name, " " + value))
        yield "blank after", changed((name, value + " "))
        yield "line after", changed((name, value + "\n"))
        yield "blank within", changed((name, value[:-4] + " " + value[-4:]))
        yield "not ASCII", changed((name, value + "é"))
        yield "not ASCII digits", changed((name, value.replace("1", "\u0661")))
        yield "not Latin", changed((name, "\udcff" + value))
        yield "control", changed((name, value + "\x00"))
        yield "another prefix", changed((name, "sha1=" + value.partition("=")[2]))
        yield "no prefix", changed((name, value.rpartition("=")[2] or "="))
        yield "renamed", changed((name + "x", value))
        yield "garbage", changed((name, "zz" * 40))
        yield "not base64", changed((name, "v1,!" + value[4:]))
        yield "commas", changed((name, "," * 200))
        yield "equals", changed((name, "t=" * 200))
        yield "huge", changed((name, "a" * 100_000))
        yield "huge number", changed((name, "9" * 5000))
        yield "flipped", changed((name, value[:-1] + chr(ord(value[-1]) ^ 1)))
        yield "upper case", changed((name, value.upper()))
        yield "swapped case", changed((name, value.swapcase()))


@pytest.mark.parametrize("name", CASES)
def test_no_mutation_gets_in_and_none_raises(name: str) -> None:
    case = CASES[name]
    verifier = _verifier(case.scheme, case.options)
    headers = case.headers("new key")

    for what, mutated in _mutations(headers):
        refused = isinstance(verifier.verify(_sent(case, mutated), NOW), Refused)
        assert refused or mutated == headers, what
    if name not in PLAIN:
        for i in range(len(case.body) * 8):
            body = bytearray(case.body)
            body[i // 8] ^= 1 << i % 8
            if not (case.body == FORM and body.upper() == FORM.upper()):  # a field is the same with %2B and %2b
                assert isinstance(verifier.verify(_sent(case, headers, bytes(body)), NOW), Refused), bytes(body)
        for other in (b"", case.body + b"\n", case.body + b"&a=b", case.body * 2):
            assert isinstance(verifier.verify(_sent(case, headers, other), NOW), Refused)
    for key in ("", "wrong", "new key ", "NEW KEY"):
        assert isinstance(verifier.verify(_sent(case, case.headers(key)), NOW), Refused), key


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize("seconds", [-301, 301, 10**6, -(10**9)])
def test_a_timestamp_off_either_way_is_refused(name: str, seconds: int) -> None:
    case = CASES[name]
    verifier = _verifier(case.scheme, case.options)
    request = _sent(case, case.headers("new key"))

    assert isinstance(verifier.verify(request, NOW + seconds * 1000), Refused)
    assert isinstance(verifier.verify(request, NOW + 299_000), Verified)
    assert isinstance(verifier.verify(request, NOW - 299_000), Verified)


def test_every_scheme_is_tried() -> None:
    assert {case.scheme for case in CASES.values()} == set(SCHEMES) - {"none"}


@pytest.mark.parametrize(
    ("scheme", "secret", "request_", "now"),
    [
        pytest.param(
            {"scheme": "standard-webhooks"},
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            _request(
                (
                    ("Webhook-Id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                    ("Webhook-Timestamp", "1614265330"),
                    ("Webhook-Signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
                ),
                b'{"test": 2432232314}',
            ),
            1614265330,
            id="Standard Webhooks",
        ),
        pytest.param(
            {"scheme": "github"},
            "It's a Secret to Everybody",
            _request(
                (
                    (
                        "X-Hub-Signature-256",
                        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
                    ),
                ),
                b"Hello, World!",
            ),
            0,
            id="GitHub",
        ),
        pytest.param(
            {"scheme": "slack"},
            "8f742231b10e8888abcd99yyyzzz85a5",
            _request(
                (
                    ("X-Slack-Request-Timestamp", "1531420618"),
                    ("X-Slack-Signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
                ),
                b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
                b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
                b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
                b"%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
            ),
            1531420618,
            id="Slack",
        ),
        pytest.param(
            {"scheme": "twilio", "url": "https://mycompany.com/myapp.php"},
            "12345",
            _request(
                (("X-Twilio-Signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),),
                b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212",
                "foo=1&bar=2",
                "application/x-www-form-urlencoded",
            ),
            1531420618,
            id="Twilio",
        ),
        pytest.param(
            {"scheme": "hmac", "header": "X-Sig"},
            "Jefe",
            _request(
                (("X-Sig", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),),
                b"what do ya want for nothing?",
            ),
            0,
            id="RFC 4231",
        ),
        pytest.param(
            {"scheme": "basic", "username": "Aladdin"},
            "open sesame",
            _request((("Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),)),
            0,
            id="RFC 7617",
        ),
    ],
)
def test_published_examples_get_in(
    monkeypatch: pytest.MonkeyPatch, scheme: dict[str, Any], secret: str, request_: Inbound, now: int
) -> None:
    monkeypatch.setitem(VALUES, "NEW", secret)
    options = {key: value for key, value in scheme.items() if key != "scheme"}

    result = _verifier(scheme["scheme"], {"secret": {"env": "NEW"}, **options}).verify(request_, now * 1000)

    assert isinstance(result, Verified)


def test_twilios_port_may_be_there_or_not() -> None:
    for configured, signed in ((URL, URL.replace(".com", ".com:443")), (URL.replace(".com", ".com:443"), URL)):
        verifier = _verifier("twilio", {"secret": SECRET, "url": configured})
        request = _request(_twilio("new key", signed), b"")
        assert isinstance(verifier.verify(request, NOW), Verified)


def test_a_twilio_body_that_nothing_signs_is_refused() -> None:
    verifier = _verifier("twilio", {"secret": SECRET, "url": URL})
    headers = _twilio("new key", URL)

    assert isinstance(verifier.verify(_request(headers, b""), NOW), Verified)
    for content_type in ("application/json", "", "text/plain", "application/x-www-form-urlencoded"):
        assert isinstance(verifier.verify(_request(headers, b"{}", "", content_type), NOW), Refused)


def test_a_gitlab_source_may_move_from_token_to_signature() -> None:
    verifier = _verifier("gitlab", {"secret": [{"env": "NEW"}, {"env": "OLD_WHSEC"}]})
    signed = _standard("webhook", lambda message: "v1," + _base64(_sign("old key", message)))

    assert isinstance(verifier.verify(_request((("X-Gitlab-Token", "new key"),)), NOW), Verified)
    result = verifier.verify(_request((*signed, ("X-Gitlab-Token", "planted"))), NOW)
    assert isinstance(result, Verified)
    assert "planted" not in str(result.inbound.headers)
    assert isinstance(verifier.verify(_request((("X-Gitlab-Token", "old key"),)), NOW), Refused)


def test_a_refusal_of_basic_and_bearer_says_how_to_try() -> None:
    for name in ("basic", "bearer"):
        refused = _verifier(name, CASES[name].options).verify(_request(()), NOW)
        assert isinstance(refused, Refused)
        assert refused.challenge.lower().startswith(name)


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
        ("basic", {"secret": {"env": "NEW"}, "username": "a:b"}, "can't hold a colon"),
        ("twilio", {"secret": {"env": "NEW"}, "url": "/hooks"}, "public URL"),
        ("twilio", {"secret": {"env": "NEW"}, "url": "https://a.example/?x=1"}, "public URL"),
        ("twilio", {"secret": {"env": "NEW"}, "url": "https://a.example:99999/"}, "public URL"),
        ("discord", {}, "exactly one of secret and public_key"),
        ("discord", {"public_key": "xyz"}, "public_key is not 64 lower-case hex digits"),
        ("github", {"secret": [{"env": "NO", "optional": True}]}, "none of the optional secrets is set"),
    ],
)
def test_wrong_options_are_faults(scheme: str, options: dict[str, Any], message: str) -> None:
    build = Build("source", Path("/"))
    SCHEMES[scheme].compile(SCHEMES[scheme].Options.model_validate(options), build)

    assert any(message in fault.message for fault in build.faults), build.faults


def test_the_reason_never_holds_what_was_sent() -> None:
    for case in CASES.values():
        request = _request(tuple((name, value + "hush") for name, value in case.headers("new key")))
        result = _verifier(case.scheme, case.options).verify(replace(request, body=b"hush"), NOW)
        assert isinstance(result, Refused)
        assert "hush" not in result.reason


@pytest.mark.parametrize(
    ("scheme", "value", "message"),
    [
        ("standard-webhooks", "hunter2", "NEW is not whsec_ and base64"),
        ("standard-webhooks", "whsec_", "NEW is not whsec_ and base64"),
        ("standard-webhooks", "whsec_a b", "NEW is not whsec_ and base64"),
        ("standard-webhooks", "whpk_AAAA", "NEW is not whpk_ and the base64 of 32 bytes"),
        ("gitlab", "whsec_???", "NEW is not whsec_ and base64"),
        ("discord", "0" * 63, "NEW is not 64 lower-case hex digits"),
    ],
)
def test_a_secret_of_another_form_is_a_fault_that_does_not_show_it(scheme: str, value: str, message: str) -> None:
    build = Build("source", Path("/"), find_secret=lambda ref, _: Secret(ref.name, value))
    SCHEMES[scheme].compile(SCHEMES[scheme].Options.model_validate({"secret": {"env": "NEW"}}), build)

    assert message in build.faults[0].message
    assert value.removeprefix("whsec_").removeprefix("whpk_") in ("", *"?") or value not in build.faults[0].message
