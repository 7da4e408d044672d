"""The bytes of a body become a payload."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.errors import PayloadError
from router.payload.form import MAX_FIELDS
from router.payload.json_text import MAX_DEPTH
from tests.payload.declared import parse_payload

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "content_type", "payload"),
    [
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b'{"a": 1}', "application/json; charset=utf-8", {"a": 1}),
        (b'{"a": 1}', "Application/Vnd.GitHub+JSON", {"a": 1}),
        (b'{"a": 1}', None, {"a": 1}),
        (b"", "application/json", None),
        (b'\xef\xbb\xbf"\\ud83d"', "application/json", "\N{REPLACEMENT CHARACTER}"),
        (b'"J\xf6rg"', "application/json; charset=iso-8859-1", "J\xf6rg"),
        ('"J\xf6rg"'.encode("utf-16-le"), "application/json; charset=utf-16le", "J\xf6rg"),
        (b"5", "application/json", 5),
        (b"not json", None, "not json"),
        (b"", None, ""),
        (b'{"a": 1}', "text/plain", '{"a": 1}'),
        (b"J\xf6rg", "text/plain; charset=latin-1", "J\xf6rg"),
        (b"J\xf6rg", "text/plain", "J\N{REPLACEMENT CHARACTER}rg"),
        (b"x", "text/plain; charset=nonsense", "x"),
        (b"x", "text/plain; charset=base64", "x"),
        (b"a=1&b=x+y&a=2&c=&a=3", FORM, {"a": ["1", "2", "3"], "b": "x y", "c": ""}),
        (b"18446744073709551616", "application/json", float(2**64)),
        (b'{"a": 1, "a": 2}', "application/json", {"a": 2}),
    ],
)
def test_a_body_is_parsed_by_its_content_type(body: bytes, content_type: str | None, payload: Any) -> None:
    found, form = parse_payload(body, content_type)

    assert found == payload
    assert form == (content_type == FORM)


def test_a_source_can_use_a_form_field_as_its_payload() -> None:
    body = b"payload=%7B%22a%22%3A1%7D&other=x"

    assert parse_payload(body, FORM, json_field="payload") == ({"a": 1}, False)
    assert parse_payload(b"other=x", FORM, json_field="payload") == ({"other": "x"}, True)
    assert parse_payload(b'{"payload": "x"}', "application/json", json_field="payload") == ({"payload": "x"}, False)
    with pytest.raises(PayloadError, match="the JSON in the form is not valid"):
        parse_payload(b"payload=%7B", FORM, json_field="payload")


def test_a_source_can_force_json() -> None:
    assert parse_payload(b'{"a": 1}', "text/plain", parse="json") == ({"a": 1}, False)
    assert parse_payload(b"a=1", "text/plain", parse="form") == ({"a": "1"}, True)
    assert parse_payload(b'{"a": 1}', "application/json", parse="text") == ('{"a": 1}', False)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "is not valid JSON: line 1, column 2"),
        (b"{'a': 1}", "is not valid JSON"),
        (b'{"hush": nope}', "is not valid JSON: line 1, column 10"),
        (b"NaN", "is not valid JSON"),
        (b"[" * 2000 + b"]" * 2000, "is not valid JSON"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested deeper than 200"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "nested deeper than 200"),
    ],
)
def test_the_error_for_broken_json_names_the_place_without_its_text(body: bytes, reason: str) -> None:
    with pytest.raises(PayloadError) as caught:
        parse_payload(body, "application/json")

    assert reason in str(caught.value)
    assert "hush" not in str(caught.value)


def test_nesting_up_to_the_limit_is_accepted() -> None:
    parse_payload(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "application/json")
    parse_payload(b"[" + b"[]," * 10_000 + b"[]]", "application/json")


def test_a_form_with_too_many_fields_is_refused() -> None:
    with pytest.raises(PayloadError, match="more than"):
        parse_payload(b"&".join([b"a=1"] * (MAX_FIELDS + 1)), FORM)


@given(
    body=st.binary(max_size=200),
    content_type=st.sampled_from([None, "application/json", FORM, "text/plain", "x; charset=utf-16"]),
)
def test_any_bytes_parse_or_raise_the_payload_error(body: bytes, content_type: str | None) -> None:
    try:
        parse_payload(body, content_type, json_field="a")
    except PayloadError:
        return


@pytest.mark.parametrize(
    "charset", ["utf-7", "punycode", "unicode_escape", "raw_unicode_escape", "rot13", "hex", "x\0"]
)
def test_an_unknown_charset_is_read_as_utf_8(charset: str) -> None:
    payload, _ = parse_payload("+2AA- \\ud800 ü".encode(), f"text/plain; charset={charset}")

    assert payload == "+2AA- \\ud800 ü"
