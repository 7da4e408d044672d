"""Probes are answered and never become events. No answer reveals a usable signature."""

import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from router.daemon.registries import REGISTRIES
from router.domain.reply import Reply
from router.http.contract import Request
from router.intake.verify.preset import presets
from router.rules.compile.loader import Loader
from router.store.sqlite.store import SqliteStore
from tests.intake.conftest import WaitingReceiver
from tests.intake.preset_senders import SENDERS, Pairs
from tests.intake.signed_requests import VALUES, preset_case

Make = Callable[..., WaitingReceiver]
MakeRequest = Callable[..., Request]
VERIFYING = [name for name, preset in presets().items() if preset.scheme and preset.source.get("probes")]


def _rules(source: dict[str, Any]) -> str:
    rule = {"name": "all", "actions": [{"append": "never.jsonl"}], "respond": {"body": "a rule ran"}}
    return json.dumps({"sources": {"s": source}, "rules": [rule], "unmatched": [{"append": "never.jsonl"}]})


def _preset(name: str) -> dict[str, Any]:
    if presets()[name].scheme is None:
        return {"preset": name, "verify": {"scheme": "token", "query": "key", "secret": {"env": "NEW"}}}
    return {"verify": {"scheme": name, **preset_case(name, SENDERS[name]).options}}


#: By preset: method, query, headers, body and whether it is signed; then status, type, headers and body of the answer.
PROBES: dict[str, list[tuple[str, str, Pairs, bytes, bool, bytes, str | None, Pairs]]] = {
    "zoom": [
        (
            "POST", "", (), b'{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}', False,
            json.dumps({"plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": hmac.digest(b"new key", b"qgg8vlvZRS6UYooatFL8Aw", "sha256").hex()}, separators=(",", ":")).encode(),
            "application/json", (),
        )
    ],
    "asana": [
        ("POST", "", (("X-Hook-Secret", "b537207f20cbfa02357cf448134da559"),), b"", False, b"", None, (("X-Hook-Secret", "b537207f20cbfa02357cf448134da559"),)),
        ("POST", "", (), b'{"events": []}', True, b"", None, ()),
    ],
    "trello": [("HEAD", "", (), b"", False, b"", None, ())],
    "bitbucket-server": [("POST", "", (("X-Event-Key", "diagnostics:ping"),), b'{"test": true}', False, b"", None, ())],
    "dropbox": [("GET", "challenge=abc%20d", (), b"", False, b"abc d", "text/plain; charset=utf-8", ())],
    "nylas": [("GET", "challenge=abc", (), b"", False, b"abc", "text/plain; charset=utf-8", ())],
    "okta": [("GET", "", (("X-Okta-Verification-Challenge", "xyz"),), b"", False, b'{"verification":"xyz"}', "application/json", ())],
    "xero": [("POST", "", (), b'{"events":[],"lastEventSequence":0}', True, b"", None, ())],
    "line": [("POST", "", (), b'{"destination":"U1","events":[]}', True, b"", None, ())],
    "twitch": [
        (
            "POST", "", (("Twitch-Eventsub-Message-Type", "webhook_callback_verification"),), b'{"challenge": "pogchamp-kappa-360noscope-vohiyo"}', True,
            b"pogchamp-kappa-360noscope-vohiyo", "text/plain; charset=utf-8", (),
        )
    ],
    "strava": [("GET", "hub.mode=subscribe&hub.challenge=15f7d1a91c1f40f8a748fd134752feb3", (), b"", False, b'{"hub.challenge":"15f7d1a91c1f40f8a748fd134752feb3"}', "application/json", ())],
    "microsoft-graph": [("POST", "validationToken=Validation%3a+Testing+client", (), b"", False, b"Validation: Testing client", "text/plain; charset=utf-8", ())],
    "azure-event-grid": [
        (
            "POST", "key=new%20key", (), b'[{"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"512d38b6"}}]', False,
            b'{"validationResponse":"512d38b6"}', "application/json", (),
        )
    ],
    "cloudevents": [("OPTIONS", "", (("WebHook-Request-Origin", "eventemitter.example.com"),), b"", False, b"", None, (("WebHook-Allowed-Origin", "eventemitter.example.com"),))],
}  # fmt: skip


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_is_answered_as_its_provider_requires_and_no_rule_runs(
    receiver: Make, make_request: MakeRequest, store: SqliteStore, name: str
) -> None:
    made = receiver(_rules(_preset(name)), **VALUES)
    for method, query, headers, body, signed, answer, content_type, answered in PROBES[name]:
        sent = (*headers, *(SENDERS[name](b"new key", body) if signed else ()))
        reply = made.receive(make_request(body, method=method, path="/hooks/s", query=query, headers=sent))

        assert (reply.status, reply.body, reply.content_type) == (200, answer, content_type)
        assert set(reply.headers) == {*answered, ("X-Content-Type-Options", "nosniff")}
        if signed:
            unsigned = made.receive(make_request(body, method=method, path="/hooks/s", query=query, headers=headers))
            assert unsigned.status == 401
    assert not store.events()
    assert not store.deliveries()


def test_every_probe_of_a_preset_has_a_test() -> None:
    assert {name for name, preset in presets().items() if preset.source.get("probes")} == set(PROBES)


# One of two mistakes that must stay impossible. The other one is in test_presets.py.

ANSWERS: list[dict[str, Any]] = [
    {"constant": {"status": 200}},
    {"constant": {"json": {"ok": True}}},
    {"echo": "$.challenge"},
    {"echo": "$.challenge", "json": {"challenge": "value"}},
    {"echo": "query.challenge", "header": "X-Echo"},
    {"hmac": "$.challenge"},
]


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("unsigned", [True, False])
def test_a_probe_never_runs_a_rule(
    receiver: Make, make_request: MakeRequest, store: SqliteStore, answer: dict[str, Any], unsigned: bool
) -> None:
    probe = {"when": {"json": {"$.type": "probe"}}, "answer": answer, "unsigned": unsigned}
    verify = {"scheme": "hmac", "header": "X-Sig", "secret": {"env": "S"}, "signed": "v0:{body}"}
    made = receiver(_rules({"verify": verify, "probes": [probe]}), S="sixteen letters!")

    for challenge in ("abc", "", "a:b", "a\nb", "ü", "x" * 2000, 7, None, ["a"]):
        body = json.dumps({"type": "probe", "challenge": challenge}).encode()
        signature = ("X-Sig", hmac.digest(b"sixteen letters!", b"v0:" + body, "sha256").hex())
        for headers in ((), (signature,), (("X-Sig", "wrong"),)):
            reply = made.receive(
                make_request(body, path="/hooks/s", headers=headers, query=f"challenge={quote(str(challenge))}")
            )
            assert reply.body != b"a rule ran"
            assert reply.status in (200, 401)
    assert not store.events()
    assert not store.deliveries()


def _errors(source: dict[str, Any], tmp_path: Path) -> list[str]:
    loaded = Loader(REGISTRIES, {"S": "sixteen letters!"}).load(_rules(source), "r.yaml", tmp_path)
    return [problem.message for problem in loaded.errors]


@pytest.mark.parametrize(
    ("signed", "safe"),
    [("v0:{body}", True), ("{url}.{body}", True), ("{body}", False), ("v0={body}", False), ("{method}{body}", False)],
)
def test_an_unsigned_hmac_answer_can_never_sign_what_the_source_would_accept(
    signed: str, safe: bool, tmp_path: Path
) -> None:
    verify: dict[str, Any] = {"scheme": "hmac", "header": "X-Sig", "secret": {"env": "S"}, "signed": signed}
    if "{url}" in signed:
        verify["url"] = "https://hooks.example.com/hooks/s"
    probe = {"when": {"json": {"$.a": 1}}, "answer": {"hmac": "$.b"}, "unsigned": True}

    found = _errors({"verify": verify, "probes": [probe]}, tmp_path)

    assert bool(found) is not safe
    assert safe or "with this answer anybody could get a request signed" in found[0]
    assert not _errors({"verify": verify, "probes": [{**probe, "unsigned": False}]}, tmp_path)


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ({"answer": {}}, "expected one of constant, echo and hmac"),
        ({"answer": {"echo": "$.a", "hmac": "$.a"}}, "expected one of constant, echo and hmac"),
        ({"answer": {"echo": "body"}}, "expected a field"),
        ({"answer": {"echo": "$..a"}}, "expected a field"),
        ({"answer": {"constant": {}}}, "this is every request"),
        ({"when": {"method": "POST"}, "answer": {"constant": {}}}, "this is every request"),
        ({"when": {"method": "GET"}, "answer": {"echo": "query.a"}}, "a signed probe comes by one of the source's methods"),
        ({"when": {"json": {"a": 1}}, "answer": {"constant": {}}}, "expected a path such as $.type"),
        ({"answer": {"echo": "$.a", "json": {"b": "hmac"}}}, "expected value below b"),
        ({"answer": {"echo": "$.a", "json": {"b": "value"}, "header": "X-B"}}, "not both"),
        ({"answer": {"echo": "$.a", "header": "Set-Cookie"}}, "not a header that an answer may set"),
        ({"answer": {"echo": "$.a", "header": "a b"}}, "not a header that an answer may set"),
        ({"when": {"json": {"$.a": 1}}, "answer": {"constant": {"headers": {"X-A": "a\r\nb"}}}}, "not a header that an answer may set"),
        ({"answer": {"hmac": "$.a"}}, "an hmac answer needs a source whose sender signs by hmac"),
    ],
)  # fmt: skip
def test_the_error_for_a_wrong_probe_names_the_cause(probe: dict[str, Any], message: str, tmp_path: Path) -> None:
    source = {"verify": {"scheme": "token", "header": "X-T", "secret": {"env": "S"}}, "probes": [probe]}

    assert any(message in error for error in _errors(source, tmp_path)), _errors(source, tmp_path)


@pytest.mark.parametrize("probes", [None, "x", {}, 7, [None], ["x"], [{}]])
def test_the_key_probes_must_be_a_list(probes: Any, tmp_path: Path) -> None:
    assert _errors({"verify": {"scheme": "token", "header": "X-T", "secret": {"env": "S"}}, "probes": probes}, tmp_path)


def test_the_probes_of_a_preset_can_be_replaced_or_removed(receiver: Make, make_request: MakeRequest) -> None:
    source = _preset("dropbox")
    ask = make_request(b"", method="GET", path="/hooks/s", query="challenge=abc", headers=())

    assert receiver(_rules(source), **VALUES).receive(ask).status == 200
    assert receiver(_rules({**source, "probes": "none"}), **VALUES).receive(ask).status == 405
    own = [{"when": {"query": {"challenge": "abc"}}, "answer": {"constant": {"body": "own"}}, "unsigned": True}]
    again = make_request(b"", path="/hooks/s", query="challenge=abc", headers=())
    assert receiver(_rules({**source, "probes": own}), **VALUES).receive(again).body == b"own"


@pytest.mark.parametrize("value", ["a" * 1025, "a\r\nSet-Cookie: x", "\x00", "\x7f", "ü", ""])
def test_an_echo_is_printable_ascii_and_short(receiver: Make, make_request: MakeRequest, value: str) -> None:
    made = receiver(_rules(_preset("dropbox")), **VALUES)

    def ask(query: str) -> Reply:
        return made.receive(make_request(b"", method="GET", path="/hooks/s", query=query, headers=()))

    assert ask("challenge=" + quote(value)).status == 401
    assert ask("challenge=a&challenge=b").status == 405  # not a probe of Dropbox
    assert ask("challenge=" + "a" * 1024).status == 200


def test_a_large_body_is_not_read_before_verification(receiver: Make, make_request: MakeRequest) -> None:
    made = receiver(_rules(_preset("zoom")), **VALUES)
    body = json.dumps({"event": "endpoint.url_validation", "payload": {"plainToken": "a"}, "x": "x" * 20_000}).encode()

    assert made.receive(make_request(body, path="/hooks/s", headers=())).status == 401


def test_handshakes_still_work_beside_probes(receiver: Make, make_request: MakeRequest) -> None:
    probe = {"when": {"json": {"$.type": "hello"}}, "answer": {"constant": {"body": "hi"}}}
    source = {"verify": {"scheme": "slack", "secret": {"env": "NEW"}}, "probes": [probe]}
    made = receiver(_rules(source), **VALUES)

    def ask(body: bytes) -> bytes:
        return made.receive(make_request(body, path="/hooks/s", headers=SENDERS["slack"](b"new key", body))).body

    assert ask(b'{"type": "url_verification", "challenge": "c"}') == b'{"challenge":"c"}'
    assert ask(b'{"type": "hello"}') == b"hi"
