"""Hostile payloads never crash or block the daemon, and are never answered 500."""

import json
from collections.abc import Callable

from tests.conftest import Daemon

RULES = """
sources: {open: {verify: none}, form: {verify: none, json_field: payload}}
rules:
  - {name: regex, source: open, match: {$.text: {regex: "(a+)+$"}}, actions: [append: out.jsonl]}
  - {name: everywhere, source: open, match: {$..a: x}, actions: [append: out.jsonl]}
  - {name: wild, source: open, match: {"$.*.*.*": {gt: 5}}, actions: [append: out.jsonl]}
  - {name: sorted, source: open, match: {"$.list.`sorted`": 1}, actions: [append: out.jsonl]}
  - {name: parent, source: open, match: {"$.`parent`.x": 1}, actions: [append: out.jsonl]}
  - {name: folded, source: open, match: {$.text: {contains: "İ", ignore_case: true}}, actions: [append: out.jsonl]}
  - {name: quoted, source: open, match: {'$["a.b"]["it''s"]': 1}, actions: [append: out.jsonl]}
  - {name: range, source: open, match: {$.number: {gte: 0, lt: 10}}, actions: [append: out.jsonl]}
  - {name: long, source: open, match: {headers.X-Long: {glob: "*a*a*a*a*a*b"}}, actions: [append: out.jsonl]}
  - {name: descents, source: open, match: {$..d..b: x}, actions: [append: out.jsonl]}
  - {name: elements, source: open, match: {"$.list[*]": {elem: {$.b: x}}}, actions: [append: out.jsonl]}
  - {name: every, source: open, match: {"$.list[*]": {every: {gt: 0}}}, actions: [append: out.jsonl]}
  - {name: filter, source: open, match: {"$.list[?(@.b == @.c)].d": x}, actions: [append: out.jsonl]}
  - {name: parents, source: open, match: {"$.list[*].`parent`": x}, actions: [append: out.jsonl]}
  - {name: form, source: form, match: {$.a: {length: {gt: 0}}}, actions: [append: out.jsonl]}
"""


def _nested(opening: str, closing: str, depth: int) -> bytes:
    return (opening * depth + "1" + closing * depth).encode()


def _bodies() -> dict[str, bytes]:
    return {
        "brackets left open": b"[" * 50_000,
        "braces left open": b'{"a":' * 50_000,
        "lists 50,000 deep": _nested("[", "]", 50_000),
        "mappings 199 deep": _nested('{"a":', "}", 199),
        "mappings 201 deep": _nested('{"a":', "}", 201),
        "a pattern's nightmare": json.dumps({"text": "a" * 200_000 + "!"}).encode(),
        "two million characters": json.dumps({"text": "İ" * 2_000_000}).encode(),
        "a long list": json.dumps({"list": list(range(300_000)), "a": ["x"] * 100_000}).encode(),
        "a wide mapping": json.dumps({str(i): {"b": {"c": i}} for i in range(50_000)}).encode(),
        "a list of many kinds": json.dumps({"list": [1, "a", None, {}, []]}).encode(),
        "a huge integer": b'{"number": ' + b"9" * 4000 + b"}",
        "a huge exponent": b'{"number": 1e999999}',
        "not a number": b'{"number": NaN}',
        "infinity": b'{"number": -Infinity}',
        "half a surrogate pair": b'{"text": "\\ud800"}',
        "zero bytes": b'{"text": "\\u0000\\u0000"}',
        "keys with quotes and dots": json.dumps({"a.b": {"it's": 1}, "": {"": ""}, "$": 1, "[*]": 2}).encode(),
        "duplicate keys": b'{"a": 1, "a": {"a": "x"}}',
        "no UTF-8": b'{"a": "\xff\xfe"}',
        "a byte order mark": b"\xef\xbb\xbf{}",
        "a million numbers": b'{"list": [' + b"1," * 1_000_000 + b"1]}",
        "a million mappings": b'{"list": [' + b'{"b":1},' * 1_000_000 + b"1]}",
        "deep and wide": b'{"d": ' * 150 + b"[" + b'{"b":1},' * 500_000 + b"1]" + b"}" * 150,
        "25 MiB of text": b'{"text": "' + b"x" * (25 * 1024 * 1024 - 12) + b'"}',
        "nothing": b"",
        "a scalar": b'"text"',
    }


def test_the_daemon_answers_hostile_payloads_and_keeps_running(start: Callable[..., Daemon]) -> None:
    daemon = start(RULES)

    statuses = {title: daemon.post("/hooks/open", body).status for title, body in _bodies().items()}

    assert set(statuses.values()) <= {202, 400}, statuses
    refused = {"brackets left open", "lists 50,000 deep", "mappings 201 deep", "not a number", "a million mappings"}
    assert {title for title in refused if statuses[title] == 400} == refused
    taken = {"mappings 199 deep", "keys with quotes and dots", "half a surrogate pair", "no UTF-8", "a byte order mark"}
    assert {title for title in {*taken, "nothing"} if statuses[title] == 202} == {*taken, "nothing"}
    assert daemon.stop() == 0
    assert not any("at" in line or "library" in line for line in daemon.lines)


FORMS = {
    "many fields": ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % i for i in range(20_000))),
    "brackets left open": ("application/x-www-form-urlencoded", b"payload=" + b"%5B" * 50_000),
    "broken escapes": ("application/x-www-form-urlencoded", b"%" * 100_000 + b"=%zz&a=%00&a=%ff"),
    "UTF-7": ("text/plain; charset=utf-7", b"+2AA-" * 10_000),
    "Punycode": ("text/plain; charset=punycode", b"a-" * 100_000),
    "a charset that is not ASCII": ("application/json; charset=\u00ff", b"{}"),
    "many parts": ("multipart/form-data; boundary=x", b"--x\r\n" * 10_000),
    "a long type": ("a" * 60_000, b"{}"),
}


def test_hostile_forms_and_types_are_answered(start: Callable[..., Daemon]) -> None:
    daemon = start(RULES)

    for title, (content_type, body) in FORMS.items():
        status = daemon.post("/hooks/form", body, {"Content-Type": content_type}).status

        assert status in (202, 400), title
        answer = daemon.post("/hooks/open", b'{"number": 1}', {"X-Long": "a" * 60_000})
        assert answer.status == 202, title
