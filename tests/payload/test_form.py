"""Forms are decoded in any charset."""

import codecs
from collections.abc import Callable
from encodings import aliases
from urllib.parse import quote_plus, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.errors import PayloadError
from router.payload import form
from router.payload.charset import charset_of, decoded, says_utf_8
from router.payload.form import MAX_FIELDS, MEDIA_TYPE, as_mapping, is_form, read_fields
from tests.payload.declared import parse_payload


@pytest.mark.parametrize(
    ("charset", "body"),
    [
        ("iso-8859-1", b"name=J%F6rg&town=K%F6ln"),
        ("windows-1252", b"name=J\xf6rg&town=K\xf6ln"),
        ("Shift_JIS", b"name=%83%5C&town=%8A%BF+%8E%9A"),
        ("gb18030", "name=你&town=好".encode("gb18030")),
        ("utf-8", b"name=J%C3%B6rg&town=K\xc3\xb6ln"),
        ("utf-16", "name=J%C3%B6rg&town=Köln".encode("utf-16")),
    ],
)
def test_percent_encoded_bytes_are_in_the_forms_charset(charset: str, body: bytes) -> None:
    wanted = {"Shift_JIS": {"name": "ソ", "town": "漢 字"}, "gb18030": {"name": "你", "town": "好"}}

    payload, form = parse_payload(body, f"{MEDIA_TYPE}; charset={charset}")

    assert payload == wanted.get(charset, {"name": "Jörg", "town": "Köln"})
    assert form


def test_json_in_a_form_uses_the_charset_of_the_form() -> None:
    body = b"payload=" + quote_plus('{"a": "ö"}', encoding="latin-1").encode()

    assert parse_payload(body, f"{MEDIA_TYPE}; charset=latin-1", json_field="payload") == ({"a": "ö"}, False)
    assert parse_payload(b"payload=", MEDIA_TYPE, json_field="payload") == (None, False)
    assert parse_payload(b"payload=%22%5Cud83d%22", MEDIA_TYPE, json_field="payload") == ("\ufffd", False)
    assert parse_payload(b"payload=%EF%BB%BF1", MEDIA_TYPE, json_field="payload") == (1, False)


def test_a_byte_order_mark_is_not_part_of_the_first_name() -> None:
    assert as_mapping(read_fields(b"\xef\xbb\xbfa=1")) == {"a": "1"}


@given(
    st.binary(max_size=60).map(lambda data: data.replace(b"&", b"%").replace(b"\xef\xbb\xbf", b"")), st.integers(0, 3)
)
def test_values_are_decoded_as_the_standard_library_does(data: bytes, dense: int) -> None:
    data = data.replace(b"a", b"%4") if dense else data

    fields = read_fields(b"x=" + data)

    assert fields == [("x", unquote_to_bytes(data.replace(b"+", b" ")))]


def test_a_form_with_too_many_fields_is_refused() -> None:
    read_fields(b"&".join([b"a=1"] * MAX_FIELDS))
    with pytest.raises(PayloadError, match="more than 10000 fields"):
        read_fields(b"&" * MAX_FIELDS)


@pytest.mark.parametrize(
    "body", [b"a=1", b"token=x&text=two+words%21", b"a[b]=c", b"a&b=1", b"=", b"a=\xc3\xb6", b"a=1\r\n"]
)
def test_bytes_that_look_like_a_form_are_recognized(body: bytes) -> None:
    assert is_form(body) == (body != b"=")


@pytest.mark.parametrize(
    "body",
    [b"", b"hello", b"two words=1", b"a=two words", b"<a>&payload=1</a>", b'{"a": "=', b"a=1\n&b=2", b"--x\r\na=1"],
)
def test_other_bytes_are_not_recognized_as_a_form(body: bytes) -> None:
    assert not is_form(body)


def test_unknown_charsets_do_not_grow_a_cache() -> None:
    import encodings

    before = len(encodings._cache)
    for number in range(1000):
        assert parse_payload(b"x", f"text/plain; charset=none-such-{number}") == ("x", False)

    assert len(encodings._cache) == before


def test_every_known_charset_can_be_decoded() -> None:
    for name in {*aliases.aliases, "latin-1", "ISO-8859-15", "KOI8-R", "big5"}:
        charset = charset_of(f"text/plain; charset={name}")
        decoded(b"a\xff%", charset)
        assert charset == "utf_8" or codecs.lookup(charset).name == codecs.lookup(name).name


@pytest.mark.parametrize(
    ("content_type", "truth"),
    [
        ("application/json", True),
        ("application/json; charset=UTF-8", True),
        ('application/json; charset="us-ascii"', True),
        ("application/json; charset=utf-16", False),
        ("application/json; charset=utf-7", False),
        ("application/json; charset*=utf-8''utf-16", False),
        ("application/json; charset='utf-16'", False),
    ],
)
def test_the_content_type_says_whether_a_form_is_read_as_utf_8(content_type: str, truth: bool) -> None:
    assert says_utf_8(content_type) is truth


@pytest.mark.parametrize("decode", [form.by_pieces, form.by_quoted_printable])
def test_both_decoders_give_the_same_bytes(decode: Callable[[bytes], bytes]) -> None:
    assert decode(b"a=%3d%C3%a4 \n%20=\n\x00") == b"a==\xc3\xa4 \n =\n\x00"


def test_the_quick_decoder_is_used_only_while_it_decodes_correctly() -> None:
    def raises(_: bytes) -> bytes:
        raise ValueError

    assert form.chosen(form.by_quoted_printable) is form.by_quoted_printable
    assert form.chosen(bytes.lower) is form.by_pieces
    assert form.chosen(raises) is form.by_pieces
