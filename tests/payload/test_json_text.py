"""JSON of senders: broken Unicode is replaced, and memory and time have limits."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.errors import PayloadError
from router.payload import json_text
from router.payload.json_text import MAX_HALVES, MAX_VALUES, NotJson, read_json

UNKNOWN = "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'{"a": "\ud83d"}', {"a": UNKNOWN}),
        (rb'{"\ud83d": 1}', {UNKNOWN: 1}),
        (rb'"\uDE00\uD83D"', UNKNOWN * 2),
        (rb'"\ud83d\ude00\ude00"', f"\N{GRINNING FACE}{UNKNOWN}"),
        (rb'"\uD83D\uD83D\uDE00"', f"{UNKNOWN}\N{GRINNING FACE}"),
        (rb'"\ud83dx\ude00"', f"{UNKNOWN}x{UNKNOWN}"),
        (rb'"\n\ud83d\t"', f"\n{UNKNOWN}\t"),
        (rb'["\\ud83d", "\ud83d"]', ["\\ud83d", UNKNOWN]),
        (rb'"\\\ud83d"', f"\\{UNKNOWN}"),
        (rb'["\\ud83d\ude00", "\\\\ud83d"]', [f"\\ud83d{UNKNOWN}", "\\\\ud83d"]),
        (b'"J\xf6rg"', f"J{UNKNOWN}rg"),
        (b'{"\xff": "\\ud83d"}', {UNKNOWN: UNKNOWN}),
        (b'"\xed\xa0\xbd"', UNKNOWN * 3),  # a lone surrogate, encoded as if it were UTF-8
    ],
)
def test_broken_unicode_becomes_u_fffd(text: bytes, value: object) -> None:
    assert read_json(text, "the body") == value


@pytest.mark.parametrize("text", [b"", b" \r\n\t", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_an_empty_text_is_null(text: bytes) -> None:
    assert read_json(text, "the body") is None


@pytest.mark.parametrize("charset", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_skipped_and_sets_the_charset(charset: str) -> None:
    assert read_json('{"a": "ö"}'.encode(charset), "the body") == {"a": "ö"}


@pytest.mark.parametrize(
    "text", [b"{", b"NaN", b"{'a': 1}", rb'"\ud8zz"', rb'"\u"', b'\xef\xbb\xbf\xef\xbb\xbf{}', rb"\ud83d", b'"\n"']
)  # fmt: skip
def test_a_text_that_cannot_be_repaired_is_refused(text: bytes) -> None:
    with pytest.raises(NotJson, match="the body is not valid JSON: line "):
        read_json(text, "the body")


@given(st.text(alphabet=st.sampled_from(["\ud83d", "\ude00", "\\", '"', "u", "d", "8", "3", "\n", "ö"]), max_size=30))
def test_only_lone_surrogates_are_replaced(text: str) -> None:
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    found = read_json(json.dumps({text: [text]}).encode(), "the body")

    # Decoders differ in how many characters replace broken bytes, so only the other characters are compared.
    ((key, values),) = found.items()
    assert values == [key]
    assert key.replace(UNKNOWN, "") == whole.replace(UNKNOWN, "")


@pytest.mark.parametrize(
    ("item", "values"),
    [(b"[]", 1), (b"{}", 1), (b"1", 1), (b'""', 1), (b'{"a":[]}', 2), (rb'"[,{\"\\"', 1), (b'[{"a":{}}]', 3)],
)
def test_values_of_each_kind_are_accepted_up_to_the_limit(
    monkeypatch: pytest.MonkeyPatch, item: bytes, values: int
) -> None:
    monkeypatch.setattr(json_text, "MAX_VALUES", 10_000)
    items = (10_000 - 1) // values

    def text(count: int) -> bytes:
        return b"[" + b",".join([item] * count) + b"]"

    assert len(read_json(text(items), "the body")) == items
    with pytest.raises(PayloadError, match="the body holds more than 10,000 values") as caught:
        read_json(text(items + 1), "the body")
    assert not isinstance(caught.value, NotJson)
    assert len(read_json(text(items + 1), "the body", bounded=False)) == items + 1


def test_a_million_values_are_accepted_and_more_are_refused() -> None:
    assert len(read_json(b"[" + b"[]," * (MAX_VALUES - 2) + b"[]]", "the body")) == MAX_VALUES - 1
    with pytest.raises(PayloadError, match="the body holds more than 1,000,000 values"):
        read_json(b"[" + b"[]," * (MAX_VALUES - 1) + b"[]]", "the body")


def test_values_inside_a_text_are_not_counted() -> None:
    text = ',[{\\"' * MAX_VALUES

    assert len(read_json(f'["{text}"]'.encode(), "the body")[0]) == 4 * MAX_VALUES


def test_too_many_lone_surrogates_are_refused() -> None:
    read_json(b'"' + rb"\ud83d" * MAX_HALVES + b'"', "the body")
    with pytest.raises(PayloadError, match="more than 100,000 halves"):
        read_json(b'"' + rb"\ud83d" * (MAX_HALVES + 1) + b'"', "the body")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"1" * 5_000_000, "is not valid JSON"),
        (b"1e" + b"9" * 5_000_000, "is not valid JSON"),
        (b"[" * 5_000_000, "more than 1,000,000 values"),
        (b'{"a":' * 1000 + b"1" + b"}" * 1000, "nested deeper than 200"),
        (b"[" * 3000 + b"]" * 3000, "nested deeper than 200"),
        (b'"' * 5_000_000, "is not valid JSON"),
        (b"\\ud83d" * 50_000, "is not valid JSON"),
        (b"\\" * 5_000_001 + b"ud83d", "is not valid JSON"),
    ],
)
def test_hostile_texts_give_an_error(text: bytes, reason: str) -> None:
    with pytest.raises(PayloadError, match=reason):
        read_json(text, "the body")


def test_a_long_key_and_a_long_fraction_are_accepted() -> None:
    assert read_json(b'{"' + b"k" * 5_000_000 + b'": 0.' + b"1" * 5_000_000 + b"}", "b") == {"k" * 5_000_000: 1 / 9}
