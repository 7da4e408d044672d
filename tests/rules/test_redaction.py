"""`redact`: the stored event lacks the chosen values, and everything else is stored as it was sent."""

import codecs
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.daemon.registries import REGISTRIES
from router.domain.errors import PayloadError
from router.domain.events import Event, ParsedEvent
from router.payload.redact.chosen import MARK
from router.rules.compile.loader import Loader
from router.rules.compile.redact import redaction_of
from router.rules.match.fields import field
from router.rules.match.jsonpath.selected import compile_places
from router.rules.parsing import parse_arriving, parse_event
from router.rules.source import Source
from tests.cases import each

CARD = "4111111111111111"


def source_of(redact: list[str], **options: Any) -> Source:
    """Load a source that redacts these fields."""
    verify = {"scheme": "hmac", "secret": {"env": "T"}, "header": "X-Sig"} if options.pop("signed", False) else "none"
    rules = {
        "sources": {"shop": {"verify": verify, "redact": redact, **options}},
        "unmatched": [{"append": "out.jsonl"}],
    }
    loaded = Loader(REGISTRIES, {"T": "a secret of the tests"}).load(json.dumps(rules), "rules.yaml", Path())
    return loaded.require().sources["shop"]


PLAIN = source_of(["$.a"])


def stored(source: Source, body: bytes, content_type: str | None = "application/json", **given: Any) -> ParsedEvent:
    """The stored event of a request to the source."""
    headers = (*given.pop("headers", ()), *([("Content-Type", content_type)] if content_type else []))
    event = Event("id", "shop", "POST", given.pop("path", source.path), given.pop("query", ""), headers, body, "::1", 0)
    found = parse_arriving(event, source)
    assert parse_event(found.event, source).payload == found.payload  # rules see the stored event
    return found


@each(
    ("paths", "body", "expected"),
    [
        (["$.card"], b'{"card": 1}', b'{"card": "[redacted]"}'),
        (["$.a.b"], b'{ "z":1.0 ,\t"a" : {"b":[1,{"c":"]}"}], "d":1E+300}}', b'{ "z":1.0 ,\t"a" : {"b":"[redacted]", "d":1E+300}}'),
        (["$.a"], b'{"n": 12345678901234567890123, "a": -0.0, "m": 1E5}', b'{"n": 12345678901234567890123, "a": "[redacted]", "m": 1E5}'),
        (["$.none", "$.a.b.c", "$.l[7]"], b'{"a": {"b": 1}, "l": []}', b'{"a": {"b": 1}, "l": []}'),
        (["$.l[*].n"], b'{"l": [{"n": 1, "k": 2}, 3, {"n": "x\\"}"}]}', b'{"l": [{"n": "[redacted]", "k": 2}, 3, {"n": "[redacted]"}]}'),
        (["$.l[-1]", "$.l[0]"], b'{"l": [ 1, 2 ,3 ]}', b'{"l": [ "[redacted]", 2 ,"[redacted]" ]}'),
        (["$.l[0:2]"], b'{"l": [1,2,3]}', b'{"l": ["[redacted]","[redacted]",3]}'),
        (["$..number"], b'{"number": 1, "a": [{"b": {"number": null}}]}', b'{"number": "[redacted]", "a": [{"b": {"number": "[redacted]"}}]}'),
        (["$.a.*"], b'{"a": {"x": {}, "y": []}}', b'{"a": {"x": "[redacted]", "y": "[redacted]"}}'),
        (["$.l[?(@.kind == 'card')].number"], b'{"l": [{"kind": "card", "number": 1}, {"kind": "iban", "number": 2}]}', b'{"l": [{"kind": "card", "number": "[redacted]"}, {"kind": "iban", "number": 2}]}'),
        (["$.a", "$.a.b", "$.a.b.c"], b'{"a": {"b": {"c": 1}}}', b'{"a": "[redacted]"}'),
        (["$.a.b.c", "$.a.b", "$.a.d"], b'{"a": {"b": {"c": 1}, "d": 2}}', b'{"a": {"b": "[redacted]", "d": "[redacted]"}}'),
        (["$"], b' {"a": 1} ', b' "[redacted]" '),
        (["$['a b']", "$.\u00f6"], '{"a b": 1, "\u00f6": 2}'.encode(), '{"a b": "[redacted]", "\u00f6": "[redacted]"}'.encode()),
        (["$.name"], b'{"n\\u0061me": 1, "other": "\\ud83d"}', b'{"n\\u0061me": "[redacted]", "other": "\\ud83d"}'),
        (["$.a"], b'{"b": "\xff", "a": "\xfe"}', b'{"b": "\xff", "a": "[redacted]"}'),
        (["$.a"], b'\xef\xbb\xbf{"a": 1}', b'\xef\xbb\xbf{"a": "[redacted]"}'),
        (["$.a"], codecs.BOM_UTF16_BE + '{"a": 1, "b": "\u00f6"}'.encode("utf-16-be"), codecs.BOM_UTF16_BE + '{"a": "[redacted]", "b": "\u00f6"}'.encode("utf-16-be")),
        # A repeated key: rules see the last value, another reader may see the first.
        (["$.card.number"], b'{"card": {"number": 1}, "card": {"number": 2, "y": 3}}', b'{"card": "[redacted]", "card": {"number": "[redacted]", "y": 3}}'),
        (["$.card.number"], b'{"card": {"number": 1}, "card": {}}', b'{"card": "[redacted]", "card": {}}'),
        (["$.card.number"], b'{"card": {"number": 1, "\\u006eumber": 2, "x": 1, "x": 2}}', b'{"card": {"number": "[redacted]", "\\u006eumber": "[redacted]", "x": 1, "x": 2}}'),
        (["$..number"], b'{"a": {"number": 1}, "a": 2}', b'{"a": "[redacted]", "a": 2}'),
        (["$.l[*].n"], b'{"l": [{"n": 1, "n": 2}], "k": 1, "k": 2}', b'{"l": [{"n": "[redacted]", "n": "[redacted]"}], "k": 1, "k": 2}'),
    ],
)  # fmt: skip
def test_only_the_bytes_of_the_chosen_json_values_are_replaced(paths: list[str], body: bytes, expected: bytes) -> None:
    assert stored(source_of(paths), body).event.body == expected
    assert stored(source_of(paths, signed=True), body).event.body == expected


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab"\\]} ö', max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
paths = st.lists(
    st.lists(st.sampled_from([".a", ".b", ".*", "[*]", "[0]", "[-1]", "..a", "..b"]), min_size=1, max_size=3).map(
        lambda parts: "$" + "".join(parts)
    ),
    min_size=1,
    max_size=2,
)


@given(payload=values, chosen=paths, indent=st.sampled_from([None, 1]))
def test_only_values_that_the_paths_select_are_replaced(payload: Any, chosen: list[str], indent: int | None) -> None:
    source = replace(PLAIN, redact=redaction_of(map(field, chosen)))
    body = json.dumps(payload, indent=indent).encode()
    expected: Any = orjson.loads(body)
    for keys in sorted((tuple(place) for path in chosen for place in compile_places(path)[0](payload)), key=len):
        at: Any = expected
        for key in keys[:-1]:
            at = at[key] if at != MARK else at
        if at != MARK:
            at[keys[-1]] = MARK

    if isinstance(payload, str) and payload:
        with pytest.raises(PayloadError, match="the body is text"):
            stored(source, body)
    else:
        assert stored(source, body).payload == expected


FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=xyz"


def part(head: str, content: str) -> str:
    """One part of a multipart body."""
    return f"--xyz\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n"


@pytest.mark.parametrize(
    ("paths", "content_type", "body", "expected"),
    [
        (["$.card"], FORM, "a=1%2f+x&card=4111&b", "a=1%2f+x&card=%5Bredacted%5D&b"),
        (["$['c d']"], FORM, "c+d=4111&c%20d=4222", "c+d=%5Bredacted%5D&c%20d=%5Bredacted%5D"),
        (["$.card[1]"], FORM, "card=1&card=2&card", "card=1&card=%5Bredacted%5D&card"),
        (["$.card"], FORM + "; charset=utf-16", "card=4111&x=1", "card=%5Bredacted%5D&x=1"),
        (["$.card"], FORM, "x=1&&cards=2", "x=1&&cards=2"),
        (["$"], FORM, "a=1&b=2", "a=%5Bredacted%5D&b=%5Bredacted%5D"),
        (["$.a.b", "$.a['@x']", "$.a['#text']"], "text/xml", "<a y='1' x='41>11'>t<b z=\"1\"><c>4111</c></b><b/> 42<!-- c --></a>", "<a y='1' x=\"[redacted]\">[redacted]<b>[redacted]</b><b>[redacted]</b><!-- c --></a>"),
        (["$.a.b[1].c"], "text/xml", "<?xml version='1.0'?>\n<a><b><c>1</c></b><b ><c>2</c >\n</b></a>", "<?xml version='1.0'?>\n<a><b><c>1</c></b><b ><c>[redacted]</c >\n</b></a>"),
        (["$..['p:n']"], "text/xml", "<a><p:n xmlns:p='u' id='4'><![CDATA[<4>]]></p:n></a>", "<a><p:n xmlns:p='u'>[redacted]</p:n></a>"),
        (["$"], "text/xml", "<a b='1'><c/></a>", "<a>[redacted]</a>"),
        (["$.card"], MULTIPART, part('name="x"', "1") + part('name="card"', "4111\r\n--xy") + "--xyz--\r\n", part('name="x"', "1") + part('name="card"', MARK) + "--xyz--\r\n"),
        (["$.scan.filename"], MULTIPART, part('name="scan"; filename="4111.png"\r\nContent-Type: image/png', "4111") + part('name="x"', "1") + "--xyz--\r\n", part('name="scan"', MARK) + part('name="x"', "1") + "--xyz--\r\n"),
        (["$"], "text/plain", "all of it", MARK),
        (["$.x"], "text/plain", "", ""),
    ],
)  # fmt: skip
def test_chosen_values_of_other_formats_are_replaced(
    paths: list[str], content_type: str, body: str, expected: str
) -> None:
    codec = "utf-16-le" if "utf-16" in content_type else "utf-8"
    found = stored(source_of(paths), body.encode(codec), content_type.replace("utf-16", "utf-16-le"))

    assert found.event.body.decode(codec) == expected
    if "utf-16" not in content_type and expected:
        assert stored(source_of(paths, signed=True), body.encode(), content_type).event.body.decode() == expected


@pytest.mark.parametrize("signed", [False, True])
def test_redacting_json_in_a_form_field_keeps_the_encoding_of_the_rest(signed: bool) -> None:
    source = source_of(["$.card", "$.user.name"], json_field="payload", signed=signed)
    payload = "%7B%22card%22:+%224111%22,%22user%22%3a%7b%22name%22%3A%7B%22x%22%3A1%7D,%22big%22:1.0%7D%7D"

    found = stored(source, f"token=1%20&payload={payload}&x=%7e".encode(), FORM)

    kept = "%22user%22%3a%7b%22name%22%3A%22%5Bredacted%5D%22,%22big%22:1.0%7D%7D"
    assert found.event.body.decode() == f"token=1%20&payload=%7B%22card%22:+%22%5Bredacted%5D%22,{kept}&x=%7e"
    assert found.payload == {"card": MARK, "user": {"name": MARK, "big": 1.0}}


def test_json_in_a_part_of_multipart_is_redacted() -> None:
    source = source_of(["$.card"], json_field="payload")
    body = part('name="payload"', '{"card": "4111"}') + part('name="x"', "1") + "--xyz--\r\n"

    found = stored(source, body.encode(), MULTIPART)

    assert found.event.body.decode() == body.replace('"4111"', f'"{MARK}"')
    assert found.payload == {"card": MARK}


@pytest.mark.parametrize(
    ("content_type", "body", "options"),
    [
        ("text/plain", '{"card": "4111"}', {}),
        ("text/plain", "card: 4111", {}),
        ("application/json", '"{\\"card\\": 4111}"', {}),
        (FORM, '{"card": "4111"}', {}),
        (FORM, '{"card": "4111", "half', {}),
        (FORM, ' [{"card": "4111"}]', {}),
        (FORM, "<card>4111</card>", {}),
        (FORM, 'payload={"card":1}&payload={"card":2}', {"json_field": "payload"}),
        (MULTIPART, part('name="payload"; filename="x.json"', '{"card": 4111}') + "--xyz--\r\n", {"json_field": "payload"}),
    ],
)  # fmt: skip
def test_a_body_whose_values_can_not_be_located_is_refused(
    content_type: str, body: str, options: dict[str, Any]
) -> None:
    with pytest.raises(PayloadError, match="can't be found in it") as refused:
        stored(source_of(["$.card"], **options), body.encode(), content_type)

    assert "4111" not in str(refused.value)


def test_a_path_that_needs_too_many_steps_is_refused() -> None:
    source = source_of(["$[?($[*].c == @.b[0])].n"])

    with pytest.raises(PayloadError, match="can't be found in this body"):
        stored(source, json.dumps([{"b": [n], "c": -1, "n": 4111} for n in range(3_000)]).encode())


def test_headers_query_and_parts_of_the_path_are_redacted() -> None:
    source = source_of(["headers.x-token", "query.key", "params.team"], path="/hooks/{team}/deploy")
    headers = (("X-Token", CARD), ("x-TOKEN", CARD), ("X-Other", "1"), ("Content-Length", "2"))

    found = stored(source, b"{}", headers=headers, query="a=1&key=4&k%65y=5&b=%2f&key", path="/hooks/4111/deploy")

    assert found.event.query == "a=1&key=%5Bredacted%5D&k%65y=%5Bredacted%5D&b=%2f&key=%5Bredacted%5D"
    assert (found.event.path, found.params) == (f"/hooks/{MARK}/deploy", {"team": MARK})
    assert found.event.headers[:4] == (("X-Token", MARK), ("x-TOKEN", MARK), ("X-Other", "1"), ("Content-Length", "2"))


def test_headers_about_the_old_body_are_removed() -> None:
    headers = (("Content-Digest", "sha-256=:x:"), ("Content-MD5", "x"), ("Content-Length", "11"), ("X-Sig", "s"))

    found = stored(source_of(["$.card"]), b'{"card": 1}', headers=headers).event
    unchanged = stored(source_of(["$.card"]), b'{"cart": 1}', headers=headers).event

    assert found.headers == (("Content-Length", "22"), ("X-Sig", "s"), ("Content-Type", "application/json"))
    assert len(found.body) == 22
    assert unchanged.headers[:4] == headers
