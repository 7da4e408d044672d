"""The format of a signed body is recognized by its bytes. Unsigned headers do not change it."""

import hmac
import json
import threading
from collections.abc import Callable

import pytest

from router.domain.errors import PayloadError
from router.domain.events import Event
from router.domain.reply import Reply
from router.http.contract import Request
from router.intake.receiver import SMALL_BODY
from router.payload.body import read_signed
from router.payload.form import MEDIA_TYPE as FORM_TYPE
from router.payload.json_text import MAX_VALUES
from router.rules.parsing import parse_event
from router.store.sqlite.store import SqliteStore
from tests.intake.conftest import WaitingReceiver
from tests.intake.signed_requests import BODY, CASES, KEYS, NOW, Case

Make = Callable[..., WaitingReceiver]
MakeRequest = Callable[..., Request]

# A stranger wrote the title of the issue. GitHub signs the whole body as JSON.
EVIL = b'{"action":"opened","title":"x&payload=%7B%22ref%22%3A%22refs%2Fheads%2Fmain%22%7D&y=","ref":null}'
TYPES = [
    FORM_TYPE,
    f"{FORM_TYPE}; charset=utf-16",
    "application/json",
    "application/json; charset=utf-16",
    "application/json; charset=shift_jis",
    "text/plain",
    "text/plain; charset=utf-32",
    "application/vnd.github+json",
    "multipart/form-data; boundary=title",
    "application/xml",
    "",
    None,
]
RULES = """
sources:
  hub: {verify: {scheme: github, secret: {env: S}}, dedupe: none}
rules:
  - name: deploy
    match: {$.ref: refs/heads/main}
    actions: [append: a.jsonl]
"""


def _hub(body: bytes, *types: str) -> tuple[tuple[str, str], ...]:
    signature = ("X-Hub-Signature-256", "sha256=" + hmac.digest(b"s", body, "sha256").hex())
    return (*(("Content-Type", value) for value in types), signature)


@pytest.mark.parametrize("body", [EVIL, b'"&payload=%7B%7D"', b"12", b"null", b'[{"a":"&payload=1"}]', b" \n{}"])
@pytest.mark.parametrize("content_type", TYPES)
def test_a_signed_body_that_parses_as_json_is_json(body: bytes, content_type: str | None) -> None:
    found = read_signed(body, content_type, json_field="payload")

    assert (found.payload, found.texts) == (json.loads(body), False)


@pytest.mark.parametrize("content_type", TYPES)
def test_a_signed_body_that_looks_like_a_form_is_a_form(content_type: str | None) -> None:
    found = read_signed(b"payload=%7B%22a%22%3A%22%C3%B6%22%7D&x=1", content_type, json_field="payload")
    plain = read_signed(b"\xef\xbb\xbftoken=a&text=b%3Dc", content_type, json_field="payload")

    assert (found.payload, found.texts) == ({"a": "ö"}, False)
    assert (plain.payload, plain.texts) == ({"token": "a", "text": "b=c"}, True)


@pytest.mark.parametrize("body", [b"<a><b>&payload=%7B%7D&</a>", b"a line of text &payload=%7B%7D", b"plain"])
def test_any_other_signed_body_is_text(body: bytes) -> None:
    for content_type in TYPES:
        if content_type == "application/xml":
            with pytest.raises(PayloadError, match="not valid XML"):
                read_signed(body, content_type)
        elif content_type is None or "json" not in content_type:
            assert read_signed(body, content_type, json_field="payload").payload == body.decode()
        else:
            with pytest.raises(PayloadError, match="not valid JSON"):
                read_signed(body, content_type, json_field="payload")


def test_json_beyond_a_limit_is_refused_and_never_read_in_another_format() -> None:
    for body in (b"[" * 300 + b'"&payload=1"' + b"]" * 300, b"[" + b"1," * MAX_VALUES + b"1]&payload=1"):
        for content_type in TYPES:
            with pytest.raises(PayloadError):
                read_signed(body, content_type, json_field="payload")


def test_an_empty_body_of_any_type_is_null() -> None:
    assert {read_signed(b"", content_type).payload for content_type in TYPES} == {None}


def test_a_source_can_set_the_format_of_its_bodies() -> None:
    assert read_signed(b"a=1", None, parse="text").payload == "a=1"
    assert read_signed(b'{"a": 1}', None, parse="text").payload == '{"a": 1}'
    assert read_signed(b"text=two words", "text/plain", parse="form").payload == {"text": "two words"}
    with pytest.raises(PayloadError, match="parse: form"):
        read_signed(EVIL, FORM_TYPE, parse="form", json_field="payload")
    with pytest.raises(PayloadError, match="not valid JSON"):
        read_signed(b"a=1", FORM_TYPE, parse="json")


@pytest.mark.parametrize("content_type", TYPES)
def test_a_signed_title_that_looks_like_a_form_starts_no_command(
    receiver: Make, make_request: MakeRequest, store: SqliteStore, content_type: str | None
) -> None:
    types = () if content_type is None else (content_type,)

    reply = receiver(RULES, S="s").receive(make_request(EVIL, path="/hooks/hub", headers=_hub(EVIL, *types)))

    answer = json.loads(reply.body)
    assert (reply.status, answer["matched"]) == (202, [])
    event = store.event(answer["id"])
    assert event is not None
    assert event.body == EVIL


@pytest.mark.parametrize(
    ("sent", "body", "stored"),
    [
        ([FORM_TYPE], EVIL, ["application/json"]),
        (["application/json", FORM_TYPE], EVIL, ["application/json"]),
        (["application/json; charset=utf-7"], EVIL, ["application/json"]),
        (["multipart/form-data; boundary=title"], EVIL, ["application/json"]),
        (["application/json; charset=utf-8"], EVIL, ["application/json; charset=utf-8"]),
        (["text/plain"], EVIL, ["text/plain"]),
        ([], EVIL, []),
        ([f"{FORM_TYPE}; charset=utf-16"], b"a=1", [FORM_TYPE]),
        ([f"{FORM_TYPE}; charset=utf-8"], b"a=1", [f"{FORM_TYPE}; charset=utf-8"]),
        ([FORM_TYPE], b"<a>&payload=1</a>", ["text/plain; charset=utf-8"]),
        (["multipart/form-data; boundary=x"], b"--x\r\n\r\n1\r\n--x--", ["multipart/form-data; boundary=x"]),
        (["multipart/form-data; boundary=x"], b"a title of --x\r\n", ["text/plain; charset=utf-8"]),
    ],
)
def test_a_misleading_content_type_is_replaced(
    receiver: Make, make_request: MakeRequest, store: SqliteStore, sent: list[str], body: bytes, stored: list[str]
) -> None:
    reply = receiver(RULES, S="s").receive(make_request(body, path="/hooks/hub", headers=_hub(body, *sent)))

    event = store.event(json.loads(reply.body)["id"])
    assert event is not None
    assert [value for name, value in event.headers if name == "Content-Type"] == stored
    assert "X-Hub-Signature-256" in dict(event.headers)


SIGNED = {name: case for name, case in CASES.items() if case.body == BODY and case.query == ""}


@pytest.mark.parametrize("name", SIGNED)
def test_the_content_type_counts_only_for_schemes_that_send_a_credential(
    receiver: Make, make_request: MakeRequest, name: str
) -> None:
    case: Case = SIGNED[name]
    from tests.intake.signed_requests import VALUES

    verify = json.dumps({"scheme": case.scheme, **case.options})
    rules = f"""
sources: {{s: {{verify: {verify}, json_field: payload, dedupe: none, respond: none, handshake: none}}}}
rules: [{{name: json, match: {{$.hello: wörld}}, actions: [append: a]}}]
"""
    made = receiver(rules, **VALUES)
    plain = made.current.ruleset.sources["s"].verifier.signed_parts is None

    for content_type in (FORM_TYPE, "text/plain", "application/json"):
        headers = (("Content-Type", content_type), *case.headers(KEYS[0]))
        answer = json.loads(made.receive(make_request(BODY, path="/hooks/s", headers=headers)).body)
        as_json = not plain or content_type == "application/json"
        assert answer["matched"] == (["json"] if as_json else []), content_type


def test_a_stored_event_is_also_read_by_its_bytes(receiver: Make) -> None:
    source = receiver(RULES, S="s").current.ruleset.sources["hub"]
    event = Event("1", "hub", "POST", "/hooks/hub", "", _hub(EVIL, FORM_TYPE), EVIL, "", NOW)

    assert parse_event(event, source).payload == json.loads(EVIL)


def test_a_stored_event_may_have_any_number_of_values(receiver: Make, make_request: MakeRequest) -> None:
    made = receiver(RULES, S="s")
    body = b'{"ref":"refs/heads/main","all":[' + b"1," * MAX_VALUES + b"1]}"
    event = Event("1", "hub", "POST", "/hooks/hub", "", _hub(body, "application/json"), body, "", NOW)

    reply = made.receive(make_request(body, path="/hooks/hub", headers=event.headers))
    plan = made.current.ruleset.plan(parse_event(event, made.current.ruleset.sources["hub"]))

    assert (reply.status, json.loads(reply.body)["detail"]) == (
        400,
        "the body holds more than 1,000,000 values; send it in parts; nothing was stored",
    )
    assert plan.matched == ("deploy",)


@pytest.mark.parametrize(
    ("codings", "status"),
    [
        (("identity",), 202),
        (("", "identity, identity"), 202),
        (("identity", "gzip"), 400),
        (("identity, gzip",), 400),
        (("identity,", " GZIP"), 400),
        (("gzip", "gzip"), 415),
        (("gzip, br",), 415),
        (("deflate",), 415),
    ],
)
def test_every_content_encoding_header_counts(
    receiver: Make, make_request: MakeRequest, codings: tuple[str, ...], status: int
) -> None:
    headers = (*_hub(EVIL, "application/json"), *(("Content-Encoding", coding) for coding in codings))

    assert receiver(RULES, S="s").receive(make_request(EVIL, path="/hooks/hub", headers=headers)).status == status


def test_large_bodies_are_parsed_one_at_a_time_and_small_ones_never_wait(
    receiver: Make, make_request: MakeRequest
) -> None:
    made = receiver(RULES, S="s")
    large = b'"' + b"a" * SMALL_BODY + b'"'
    replies: list[Reply] = []

    def send(body: bytes) -> None:
        replies.append(made.receive(make_request(body, path="/hooks/hub", headers=_hub(body, "application/json"))))

    waiting = threading.Thread(target=send, args=(large,))
    with made._large_body:
        waiting.start()
        send(b'"' + b"a" * (SMALL_BODY - 2) + b'"')
        assert [reply.status for reply in replies] == [202]
        assert waiting.is_alive()
    waiting.join(60)

    assert [reply.status for reply in replies] == [202, 202]
