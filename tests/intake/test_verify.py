"""Each scheme accepts correctly signed requests and refuses any change of them."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from router.domain.errors import Level
from router.domain.request import Inbound
from router.domain.secrets import Secret, SecretRef
from router.intake.verify.registry import SCHEMES
from router.plugins.build import Build
from router.plugins.scheme import SenderProof, Unsignable, Unverified, Verified, Verifier, VerifyFailure
from tests.cases import each
from tests.intake.signed_requests import (
    BODY,
    CASES,
    FORM,
    KEYS,
    NOW,
    ONLY_THE_PROVIDER_SIGNS,
    SECRET,
    TOLERANCE_SECONDS,
    URL,
    VALUES,
    WITH_TIMESTAMP,
    WITHOUT_SIGNATURE,
    Case,
    Pairs,
    b64,
    mutations,
    public_key,
    sign,
    standard,
    twilio,
    whsec,
)


def _verifier(scheme: str, options: dict[str, Any]) -> Verifier:
    def find(ref: SecretRef, place: Any) -> Secret:
        return Secret(ref.name, VALUES.get(ref.env or ""))

    build = Build("source", Path("/"), find_secret=find)
    verifier = SCHEMES[scheme].compile(SCHEMES[scheme].Options.model_validate(options), build)
    assert not build.faults, build.faults
    return verifier


def _request(headers: Pairs, body: bytes = BODY, query: str = "", content_type: str = "application/json") -> Inbound:
    plain = (("Content-Type", content_type), ("Cookie", "planted"), ("Proxy-Authorization", "planted"))
    return Inbound("s", "POST", "/hooks/s", query, plain + headers, body, "192.0.2.1", NOW)


def _sent(case: Case, headers: Pairs, body: bytes | None = None) -> Inbound:
    return _request(headers, case.body if body is None else body, case.query, case.content_type)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("key", KEYS)
def test_a_request_signed_with_either_secret_is_accepted(name: str, key: str) -> None:
    case = CASES[name]

    result = _verifier(case.scheme, case.options).verify(_sent(case, case.headers(key)), NOW)

    assert isinstance(result, Verified)
    left = {header.lower() for header, _ in result.inbound.headers}
    assert left.isdisjoint({"cookie", "authorization", "proxy-authorization", "x-token", "x-gitlab-token"})


@each("name", CASES)
def test_every_mutated_signature_is_refused(name: str) -> None:
    case = CASES[name]
    verifier = _verifier(case.scheme, case.options)
    headers = case.headers("new key")

    for what, mutated in mutations(headers):
        refused = isinstance(verifier.verify(_sent(case, mutated), NOW), Unverified)
        assert refused or mutated == headers, what
    if name not in WITHOUT_SIGNATURE:
        for i in range(len(case.body) * 8):
            body = bytearray(case.body)
            body[i // 8] ^= 1 << i % 8
            if not (case.body == FORM and body.upper() == FORM.upper()):  # %2B and %2b are the same field value
                assert isinstance(verifier.verify(_sent(case, headers, bytes(body)), NOW), Unverified), bytes(body)
        for other in (b"", case.body + b"\n", case.body + b"&a=b", case.body * 2):
            assert isinstance(verifier.verify(_sent(case, headers, other), NOW), Unverified)
    for key in ("", "wrong", "new key ", "NEW KEY"):
        assert isinstance(verifier.verify(_sent(case, case.headers(key)), NOW), Unverified), key


@pytest.mark.parametrize("name", WITH_TIMESTAMP)
@pytest.mark.parametrize("seconds", [-301, 301, 10**6, -(10**9)])
def test_a_too_old_or_too_new_timestamp_is_refused(name: str, seconds: int) -> None:
    case = CASES[name]
    verifier = _verifier(case.scheme, case.options)
    request = _sent(case, case.headers("new key"))

    seconds += (TOLERANCE_SECONDS[name] - 300) * (1 if seconds > 0 else -1)
    assert isinstance(verifier.verify(request, NOW + seconds * 1000), Unverified)
    assert isinstance(verifier.verify(request, NOW + 299_000), Verified)
    assert isinstance(verifier.verify(request, NOW - 299_000), Verified)


def test_every_scheme_has_a_test_case() -> None:
    assert {case.scheme for case in CASES.values()} == set(SCHEMES) - {
        "none",
        "sns",
        "aws-sns",
        "paypal",
        "paypal-certificate",
    }  # test_sns.py and test_paypal.py test these


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
            {"scheme": "twilio", "url": "https://mycompany.com/myapp.php"},
            "12345",
            _request(
                (("X-Twilio-Signature", "0/KCTR6DLpKmkAf8muzZqo1nDgQ="),),
                b"To=%2B18005551212&CallSid=CA1234567890ABCDE&Caller=%2B12349013030&Digits=1234&From=%2B12349013030",
                "foo=1&bar=2",
                "application/x-www-form-urlencoded",
            ),
            1531420618,
            id="Twilio's library",
        ),
        pytest.param(
            {"scheme": "twilio", "url": "https://mycompany.com/myapp.php"},
            "12345",
            _request(
                (("X-Twilio-Signature", "a9nBmqA0ju/hNViExpshrM61xv4="),),
                b'{"property": "value", "boolean": true}',
                "foo=1&bar=2&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620",
            ),
            1531420618,
            id="Twilio's library, JSON",
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
def test_published_examples_of_providers_are_accepted(
    monkeypatch: pytest.MonkeyPatch, scheme: dict[str, Any], secret: str, request_: Inbound, now: int
) -> None:
    monkeypatch.setitem(VALUES, "NEW", secret)
    options = {key: value for key, value in scheme.items() if key != "scheme"}

    result = _verifier(scheme["scheme"], {"secret": {"env": "NEW"}, **options}).verify(request_, now * 1000)

    assert isinstance(result, Verified)


def test_twilio_signatures_match_with_and_without_the_port() -> None:
    for configured, signed in ((URL, URL.replace(".com", ".com:443")), (URL.replace(".com", ".com:443"), URL)):
        verifier = _verifier("twilio", {"secret": SECRET, "url": configured})
        request = _request(twilio("new key", signed), b"")
        assert isinstance(verifier.verify(request, NOW), Verified)


@pytest.mark.parametrize(
    "told",
    [
        "https://hooks.example.com:8443/hooks/twilio",
        "https://ann:pass@hooks.example.com:8443/hooks/twilio",
        "https://ann:pass@hooks.example.com/hooks/twilio",
        "http://ann:pass@hooks.example.com:8080/hooks/twilio",
        "https://ann:pass@[2001:db8::1]:8443/hooks/twilio",
    ],
)
def test_twilio_signs_without_user_and_with_or_without_port(told: str) -> None:
    verifier = _verifier("twilio", {"secret": SECRET, "url": told})
    bare = told.replace("ann:pass@", "")
    without_port = re.sub(r":[0-9]{4}/", "/", bare)

    for signed in (bare, without_port):
        assert isinstance(verifier.verify(_request(twilio("new key", signed), b""), NOW), Verified), signed
    for other in (
        bare.replace("//", "//evil."),
        f"{bare}/x",
        without_port.replace("/hooks/", ":9999/hooks/"),
    ):
        assert isinstance(verifier.verify(_request(twilio("new key", other), b""), NOW), Unverified), other
    signed_by_us = verifier.sign(_request((), b""), NOW)
    assert signed_by_us == SenderProof(twilio("new key", bare))


def test_a_password_in_twilios_url_is_not_shown() -> None:
    options = SCHEMES["twilio"].Options.model_validate({"secret": {"env": "NEW"}, "url": "https://a:hush@h.example/"})

    assert options.model_dump()["url"] == "https://h.example/"


def test_a_form_signed_by_twilio_is_never_read_as_json() -> None:
    verifier = _verifier("twilio", {"secret": SECRET, "url": URL})
    for body, fields in ((b'{"a":"="}', '{"a":""}'), (b'"=1"', '"1"'), (b"[=]", "[]")):
        headers = twilio("new key", URL, fields)
        request = _request(headers, body, "", "application/x-www-form-urlencoded")
        refused = isinstance(verifier.verify(request, NOW), Unverified)
        assert refused or b"[" in body  # [=] is not valid JSON


@pytest.mark.parametrize("name", ["basic", "bearer"])
def test_the_name_of_an_authentication_scheme_ignores_case(name: str) -> None:
    verifier = _verifier(name, CASES[name].options)
    ((header, value),) = CASES[name].headers("new key")
    word, _, credential = value.partition(" ")

    for written in (word.lower(), word.upper(), word.swapcase()):
        assert isinstance(verifier.verify(_request(((header, f"{written} {credential}"),)), NOW), Verified)
    for wrong in (f"{word}{credential}", f"{word}\t{credential}", f"{word}er {credential}", credential):
        assert isinstance(verifier.verify(_request(((header, wrong),)), NOW), Unverified)
    assert isinstance(verifier.verify(_request(((header, f"{word} {credential.swapcase()}"),)), NOW), Unverified)


def test_only_the_scheme_in_an_authorization_prefix_ignores_case() -> None:
    secret = {"secret": SECRET}
    in_authorization = _verifier("token", {**secret, "header": "authorization", "prefix": "Token key="})
    elsewhere = _verifier("token", {**secret, "header": "X-Token", "prefix": "Token "})

    assert isinstance(in_authorization.verify(_request((("Authorization", "token key=new key"),)), NOW), Verified)
    assert isinstance(in_authorization.verify(_request((("Authorization", "token KEY=new key"),)), NOW), Unverified)
    assert isinstance(elsewhere.verify(_request((("X-Token", "token new key"),)), NOW), Unverified)


LONG_KEY = "a key of twenty-four bytes"


@pytest.mark.parametrize("scheme", ["standard-webhooks", "svix", "clerk", "resend"])
@pytest.mark.parametrize("written", [whsec(LONG_KEY), f"v1,{whsec(LONG_KEY)}", b64(LONG_KEY.encode())])
def test_a_secret_may_have_the_written_form_of_each_provider(
    monkeypatch: pytest.MonkeyPatch, scheme: str, written: str
) -> None:
    monkeypatch.setitem(VALUES, "NEW", written)
    headers = standard("webhook" if scheme == "standard-webhooks" else "svix", lambda m: "v1," + b64(sign(LONG_KEY, m)))

    assert isinstance(_verifier(scheme, {"secret": {"env": "NEW"}}).verify(_request(headers), NOW), Verified)


def test_a_public_key_may_begin_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VALUES, "NEW", "v1a,whpk_" + b64(public_key("new key")))
    case = CASES["standard-webhooks v1a"]

    result = _verifier("standard-webhooks", {"secret": {"env": "NEW"}}).verify(
        _sent(case, case.headers("new key")), NOW
    )

    assert isinstance(result, Verified)


@pytest.mark.parametrize(
    ("signed", "message"),
    [
        ("{timestmp}.{body}", "{timestmp} is not a word of signed; did you mean {timestamp}?"),
        ("{body}{Body}", "{Body} is not a word of signed; did you mean {body}?"),
        ("{ body }{body}", "{ body } is not a word of signed; did you mean {body}?"),
        (
            "{nonce}{body}",
            "{nonce} is not a word of signed; there are {timestamp}, {body}, {url}, {method} and {header:NAME}",
        ),
        ("{url}{body}", "{url} in signed needs url: the webhook's public URL"),
        ("{headers.X-Id}.{body}", "{headers.X-Id} is not a word of signed"),
    ],
)
def test_an_unknown_word_in_signed_is_an_error_except_in_recorded_rules(signed: str, message: str) -> None:
    for recorded, level in ((False, Level.ERROR), (True, Level.WARNING)):
        build = Build("source", Path("/"), recorded=recorded)
        options = {"secret": {"env": "NEW"}, "header": "X-Sig", "signed": signed}
        SCHEMES["hmac"].compile(SCHEMES["hmac"].Options.model_validate(options), build)
        assert [(fault.level, message in fault.message) for fault in build.faults] == [(level, True)]


def test_json_around_the_words_of_signed_is_kept() -> None:
    options = {"secret": SECRET, "header": "X-Sig", "signed": '{"v":{},"body":{body}}'}
    signature = sign("new key", b'{"v":{},"body":' + BODY + b"}").hex()

    assert isinstance(_verifier("hmac", options).verify(_request((("X-Sig", signature),)), NOW), Verified)


def test_each_signature_covers_the_documented_parts() -> None:
    covered = {}
    for name, case in CASES.items():
        signed = _verifier(case.scheme, case.options).signed_parts
        covered[name] = None if signed is None else (sorted(signed.headers), signed.query)

    assert {name for name, parts in covered.items() if parts is None} == WITHOUT_SIGNATURE | {"token with a prefix"}
    assert covered["github"] == covered["shopify"] == covered["stripe"] == covered["hmac hex"] == ([], False)
    assert covered["slack"] == (["x-slack-request-timestamp"], False)
    assert covered["discord"] == (["x-signature-timestamp"], False)
    assert covered["svix"] == covered["clerk"] == (["svix-id", "svix-timestamp"], False)
    assert covered["gitlab, signing token"] == (["webhook-id", "webhook-timestamp"], False)
    assert covered["twilio, form"] == ([], True)


def test_a_twilio_body_without_a_signed_hash_is_refused() -> None:
    verifier = _verifier("twilio", {"secret": SECRET, "url": URL})
    headers = twilio("new key", URL)

    assert isinstance(verifier.verify(_request(headers, b""), NOW), Verified)
    for content_type in ("application/json", "", "text/plain", "application/x-www-form-urlencoded"):
        assert isinstance(verifier.verify(_request(headers, b"{}", "", content_type), NOW), Unverified)


def test_a_gitlab_source_accepts_token_and_signature() -> None:
    verifier = _verifier("gitlab", {"secret": [{"env": "NEW"}, {"env": "OLD_WHSEC"}]})
    signed = standard("webhook", lambda message: "v1," + b64(sign("old key", message)))

    assert isinstance(verifier.verify(_request((("X-Gitlab-Token", "new key"),)), NOW), Verified)
    result = verifier.verify(_request((*signed, ("X-Gitlab-Token", "planted"))), NOW)
    assert isinstance(result, Verified)
    assert "planted" not in str(result.inbound.headers)
    assert isinstance(verifier.verify(_request((("X-Gitlab-Token", "old key"),)), NOW), Unverified)


def test_a_refused_basic_or_bearer_request_gets_www_authenticate() -> None:
    for name in ("basic", "bearer"):
        refused = _verifier(name, CASES[name].options).verify(_request(()), NOW)
        assert isinstance(refused, Unverified)
        assert refused.challenge.lower().startswith(name)


def test_a_query_token_is_removed_and_other_parameters_are_kept() -> None:
    verifier = _verifier("token", {"secret": SECRET, "query": "to ken"})

    result = verifier.verify(_request((), query="a=%20b&to+ken=new%20key&c"), NOW)

    assert isinstance(result, Verified)
    assert result.inbound.query == "a=%20b&c"
    for query in ("", "to+ken=", "to+ken=wrong", "to+ken=new+key&to+ken=new+key", "token=new+key", "to+ken=%FF"):
        assert isinstance(verifier.verify(_request((), query=query), NOW), Unverified), query


def test_an_unset_secret_refuses_every_request() -> None:
    build = Build("source", Path("/"))
    options = SCHEMES["token"].Options.model_validate({"secret": {"env": "NONE"}, "header": "X-Token"})
    verifier = SCHEMES["token"].compile(options, build)

    assert isinstance(verifier.verify(_request((("X-Token", ""),)), NOW), Unverified)
    assert isinstance(verifier.verify(_request((("X-Token", "None"),)), NOW), Unverified)


def test_scheme_none_accepts_requests_but_drops_credentials() -> None:
    result = _verifier("none", {}).verify(_request((("Authorization", "planted"),)), NOW)

    assert isinstance(result, Verified)
    assert "planted" not in str(result.inbound.headers)


@pytest.mark.parametrize(
    ("scheme", "options", "message"),
    [
        ("token", {"secret": {"env": "NEW"}}, "exactly one of header and query"),
        ("token", {"secret": {"env": "NEW"}, "header": "X", "query": "y"}, "exactly one of header and query"),
        ("token", {"secret": {"env": "NEW"}, "query": "y", "prefix": "p"}, "prefix needs header"),
        ("hmac", {"secret": {"env": "NEW"}, "header": "a b"}, "letters, digits"),
        ("hmac", {"secret": {"env": "NEW"}, "header": "X", "signed": "{timestamp}"}, "{body} must be signed"),
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
def test_wrong_options_are_reported(scheme: str, options: dict[str, Any], message: str) -> None:
    build = Build("source", Path("/"))
    SCHEMES[scheme].compile(SCHEMES[scheme].Options.model_validate(options), build)

    assert any(message in fault.message for fault in build.faults), build.faults


@each("name", CASES)
def test_each_refusal_has_a_reason_that_the_metrics_list(name: str) -> None:
    case = CASES[name]
    verifier = _verifier(case.scheme, case.options)
    right = case.headers("new key")

    def failure(headers: tuple[tuple[str, str], ...], now: int = NOW) -> VerifyFailure:
        refused = verifier.verify(_sent(case, headers), now)
        assert isinstance(refused, Unverified)
        return refused.failure

    assert failure(()) is VerifyFailure.MISSING
    assert failure((*right, *right)) is VerifyFailure.MALFORMED
    assert failure(case.headers("wrong")) in (VerifyFailure.MISMATCH, VerifyFailure.MALFORMED)
    if name in WITH_TIMESTAMP:
        assert failure(right, NOW + 10_000_000) is VerifyFailure.TIME


def test_the_reason_never_contains_request_data() -> None:
    for case in CASES.values():
        request = _request(tuple((name, value + "hush") for name, value in case.headers("new key")))
        result = _verifier(case.scheme, case.options).verify(replace(request, body=b"hush"), NOW)
        assert isinstance(result, Unverified)
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
def test_the_error_for_a_malformed_secret_hides_it(scheme: str, value: str, message: str) -> None:
    build = Build("source", Path("/"), find_secret=lambda ref, _: Secret(ref.name, value))
    SCHEMES[scheme].compile(SCHEMES[scheme].Options.model_validate({"secret": {"env": "NEW"}}), build)

    assert message in build.faults[0].message
    assert value.removeprefix("whsec_").removeprefix("whpk_") in ("", *"?") or value not in build.faults[0].message


UNSIGNABLE = {name for name, case in CASES.items() if "v1a" in name or case.scheme in ONLY_THE_PROVIDER_SIGNS}


def _signed(name: str, verifier: Verifier) -> Inbound:
    """The request of a case, with the headers and query parameters that `sign` adds."""
    case = CASES[name]
    request = _request((), case.body, "" if "bodySHA256" in case.query else case.query, case.content_type)
    signed = verifier.sign(request, NOW)
    assert isinstance(signed, SenderProof)
    query = "&".join(part for part in (request.query, signed.query) if part)
    return replace(request, headers=request.headers + signed.headers, query=query)


@each("name", sorted(set(CASES) - UNSIGNABLE))
def test_a_scheme_accepts_its_own_signatures_and_refuses_changes(name: str) -> None:
    verifier = _verifier(CASES[name].scheme, CASES[name].options)
    request = _signed(name, verifier)

    assert isinstance(verifier.verify(request, NOW), Verified)
    if name not in WITHOUT_SIGNATURE:
        for i in range(len(request.body)):
            changed = bytearray(request.body)
            changed[i] ^= 1
            assert isinstance(verifier.verify(replace(request, body=bytes(changed)), NOW), Unverified), bytes(changed)
    if any("1700000000" in value for _, value in request.headers):
        assert isinstance(verifier.verify(request, NOW + 301_000), Unverified)


@pytest.mark.parametrize("name", sorted(WITHOUT_SIGNATURE - UNSIGNABLE))
def test_a_scheme_that_sends_the_secret_itself_says_so(name: str) -> None:
    signed = _verifier(CASES[name].scheme, CASES[name].options).sign(_request(()), NOW)

    assert isinstance(signed, SenderProof)
    assert signed.is_credential


def test_signing_adds_the_query_token_to_the_query() -> None:
    verifier = _verifier("token", {"secret": SECRET, "query": "the key"})
    signed = verifier.sign(_request(()), NOW)

    assert signed == SenderProof(query="the%20key=new%20key", is_credential=True)
    assert isinstance(verifier.verify(_request((), query="a=1&" + signed.query), NOW), Verified)


@pytest.mark.parametrize("name", sorted(UNSIGNABLE))
def test_a_public_key_cannot_sign(name: str) -> None:
    refused = _verifier(CASES[name].scheme, CASES[name].options).sign(_request(()), NOW)

    assert isinstance(refused, Unsignable)
    assert "public" in refused.reason


@pytest.mark.parametrize("value", ["k\u00f6y", " key", "key\t", "k\ny"])
def test_a_secret_that_no_header_can_carry_is_not_sent(value: str) -> None:
    options = {"secret": {"env": "ODD"}}
    for scheme, more in (("gitlab", {}), ("token", {"header": "X-T"})):
        build = Build("source", Path("/"), find_secret=lambda ref, place: Secret(ref.name, value))
        verifier = SCHEMES[scheme].compile(SCHEMES[scheme].Options.model_validate({**options, **more}), build)

        assert isinstance(verifier.sign(_request(()), NOW), Unsignable)


@each("name", CASES)
def test_an_unset_secret_cannot_sign(name: str) -> None:
    case = CASES[name]
    build = Build("source", Path("/"), find_secret=lambda ref, place: Secret(ref.name, None), require_secrets=False)
    verifier = SCHEMES[case.scheme].compile(SCHEMES[case.scheme].Options.model_validate(case.options), build)

    assert isinstance(verifier.sign(_request(()), NOW), Unsignable)
