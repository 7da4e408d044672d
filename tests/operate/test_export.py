"""An exported case passes unchanged, an exported curl command sends the same request, and neither has credentials."""

import base64
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from router.daemon.registries import REGISTRIES
from router.domain.events import Event
from router.domain.ids import uuid7
from router.operate.export_event import as_case, as_curl, without_secrets
from router.rules.compile.loader import Loader
from router.rules.dry_run.cases import run_cases
from router.rules.parsing import parse_event
from router.rules.ruleset import Ruleset

NOW = 1_700_000_000_000
RULES = """
sources:
  hub: {verify: none, path: "/hooks/{team}"}
  signed: {verify: {scheme: github, secret: {env: HUB}}}
rules:
  - {name: text, source: hub, match: {$.a.b: {exists: true}}, actions: [append: {path: o.txt, line: "{{ payload.a.b }}"}]}
  - {name: odd, source: "*", match: {$.odd: {exists: true}}, actions: [append: {path: o.txt, line: "{{ payload.none }}"}]}
  - {name: header, source: hub, match: {headers.X-Kind: b, query.q: "ü&"}, actions: [append: h.jsonl]}
  - {name: token, source: hub, match: {headers.X-Their-Token: {exists: true}}, actions: [append: h.jsonl]}
  - {name: team, source: hub, match: {params.team: "red hot"}, actions: [append: h.jsonl]}
  - {name: raw, source: hub, match: {$: {regex: "."}}, actions: [append: h.jsonl]}
  - {name: age, source: hub, match: {$.at: {age: {lt: 1h}}}, actions: [append: h.jsonl]}
"""
MULTIPART = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'


@pytest.fixture(scope="module")
def ruleset() -> Ruleset:
    """Load the rules."""
    return Loader(REGISTRIES, {}, require_secrets=False).load(RULES, "rules.yaml", Path("/nowhere")).require()


def event(body: bytes = b'{"a": {"b": 1}}', content_type: str | None = "application/json", **given: Any) -> Event:
    """An event that was received at NOW."""
    headers = (("Content-Type", content_type),) if content_type is not None else ()
    facts: dict[str, Any] = {
        "id": uuid7(NOW), "source": "hub", "method": "POST", "path": "/hooks/red hot", "query": "", "body": body,
        "headers": headers, "ip": "192.0.2.9", "received_at": NOW,
    }  # fmt: skip
    return Event(**facts | given)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"a": {"b": 1}}', "application/json"),
        (b'{"a": {"b": 1}}', None),
        (
            '{"a": {"b": "ü\U0001f600\u2028\u0085\ufeff\x7f\ufffe \\u0000 \\ud83d x: # {{ y }} \'\\""}}'.encode(),
            "application/json",
        ),
        (b'{"a": {"b": 12345678901234567890123456789}, "n": 1.10, "e": 1e5, "z": -0.0}', "application/json"),
        (b'{"a": {"b": 1, "b": 2}}', "application/json"),
        (b'{"yes": true, "no": null, "1": 2, "~": [], "": {}, "a": {"b": "2024-05-01"}}', "application/json"),
        (b'"just text"', "application/json"),
        (b'{"file": "/etc/passwd"}', "application/json"),
        (b"[1, [2, [3]]]", "application/json"),
        (b'{"odd": 1}', "application/json"),
        (b'{"at": 1699999000}', "application/json"),
        (b"a[b]=1&c=%C3%BC+d", "application/x-www-form-urlencoded"),
        (b"plain\r\n text\t\x00\x1b[31m", "text/plain"),
        (b"\xff\x00\xfe", "application/octet-stream"),
        (b"<a><b>1</b></a>", "application/xml"),
        (MULTIPART, "multipart/form-data; boundary=x"),
        (b"", "application/json"),
        (b'{"a": {"b": "' + b"x" * 300_000 + b'"}}', "application/json"),
        (b"[" * 90 + b"]" * 90, "application/json"),
    ],
)
def test_an_exported_case_passes_unchanged(
    ruleset: Ruleset, tmp_path: Path, body: bytes, content_type: str | None
) -> None:
    sent = event(
        body,
        content_type,
        headers=(*event(body, content_type).headers, ("X-Kind", "a"), ("X-Kind", "b")),
        query="q=%C3%BC%26&q=2",
    )
    file = tmp_path / "cases.yaml"

    file.write_text(as_case(sent, ruleset).text * 2)

    run = run_cases(ruleset, [file], NOW + 10_000_000)
    assert run.problems == []
    assert [result.differences for result in run.results] == [(), ()]
    expected = [rule.name for rule in ruleset.match(parse_event(sent, ruleset.sources["hub"])).rules]
    assert {"header", "team"} <= set(expected)
    for name in expected:
        assert f'"{name}"' in file.read_text().split("expect:")[1]


def test_the_exported_case_of_a_usual_payload_is_readable(ruleset: Ruleset) -> None:
    text = as_case(event(b'{"a":{"b":"\xc3\xbc"}}'), ruleset).text

    assert '  payload: {\n      "a": {\n        "b": "ü"\n      }\n    }\n' in text
    assert '  received_at: "2023-11-14T22:13:20.000Z"\n' in text


def test_exports_omit_credentials_and_signatures(ruleset: Ruleset) -> None:
    secret = [
        ("Authorization", "Bearer p1"), ("X-Their-Token", "p2"), ("X-Hub-Signature-256", "sha256=p3"), ("Cookie", "p4"),
        ("X_API_KEY", "p5"), ("stripe-signature", "p6"), ("X-Shopify-Hmac-Sha256", "p7"), ("Content-Length", "9"),
    ]  # fmt: skip
    sent = event(headers=(("X-Kind", "b"), *secret), query="access_token=p8&q=1&sig=p9")

    for exported in (as_case(sent, ruleset), as_curl(sent, "http://127.0.0.1:8080")):
        assert not any(f"p{number}" in exported.text for number in range(1, 10)), exported.text
        assert "X-Kind" in exported.text
        assert "q=1" in exported.text or '"q": "1"' in exported.text
        assert "left out: header Authorization, header X-Their-Token, header X-Hub-Signature-256" in exported.notes[0]
    assert any("they may match differently without it" in note for note in as_case(sent, ruleset).notes)
    assert any("webhook-router send" in note for note in as_curl(sent, "http://127.0.0.1:8080").notes)
    assert without_secrets(event())[1] == ()


HOSTILE = "';touch ran;'\n$(touch ran)`touch ran`\\'\"\x03touch ran\r\x1b[201~touch ran\n!!"


PLAIN, KEYS = "it's; $x", "a\tb \x1b[201~\x03;touch ran"


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": "it\'s $HOME `x` \\\\ @y"}', PLAIN), (b"@file", "\\"), (b"\xff\x00\n", KEYS), ("ü\n".encode(), PLAIN),
        (b"", "'\\' ;touch ran;'"), (b"\\", KEYS), (b"\xc2\x9b31m", PLAIN), (b"a\tb", KEYS), (HOSTILE.encode(), PLAIN),
        ("\u202e\u2028 ".encode(), PLAIN),
    ],
)  # fmt: skip
def test_a_curl_command_sends_the_same_request(body: bytes, value: str, tmp_path: Path) -> None:
    headers = (("X-Kind", value), ("X-Empty", ""))
    sent = event(body, headers=headers, path="/hooks/red hot", query="q=1&r='")
    fake = tmp_path / "curl"
    fake.write_text('#!/bin/sh\nfor one; do printf "%s" "$one" | base64 -w0; echo; done > "$OUT"\ncat > "$OUT.stdin"\n')
    fake.chmod(0o755)
    out = tmp_path / "out"

    command = as_curl(sent, "http://127.0.0.1:8080/").text
    # A terminal treats pasted control characters as keys. One of them would run the rest as another command.
    assert all(character.isprintable() or character == "\n" for character in command)
    subprocess.run(
        ["/bin/sh", "-c", command], env={"PATH": f"{tmp_path}:/usr/bin:/bin", "OUT": str(out)}, check=True,
        stdin=subprocess.DEVNULL, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    assert not (tmp_path / "ran").exists()

    words = [base64.b64decode(line).decode() for line in out.read_text().splitlines()]
    assert words[:3] == ["-X", "POST", "http://127.0.0.1:8080/hooks/red%20hot?q=1&r='"]
    assert words[3:7] == ["-H", f"X-Kind: {value}", "-H", "X-Empty;"]
    posted = (
        words[words.index("--data-raw") + 1].encode() if "--data-raw" in words else Path(f"{out}.stdin").read_bytes()
    )
    assert posted == body


def test_brackets_in_the_url_of_a_curl_command_are_literal() -> None:
    assert as_curl(event(query="a[]=1&b={x}"), "http://[::1]:8080").text.startswith("curl --globoff ")
    assert "--globoff" not in as_curl(event(), "http://127.0.0.1:8080").text


def test_an_unusual_method_is_one_word_of_the_curl_command() -> None:
    assert "-X 'A`B|C'" in as_curl(event(method="A`B|C"), "http://127.0.0.1:8080").text


def test_the_exported_case_of_failing_rules_expects_the_error(ruleset: Ruleset, tmp_path: Path) -> None:
    exported = as_case(replace(event(b'{"odd": 1}'), source="signed", path="/hooks/signed"), ruleset)

    assert '"error": "' in exported.text
    assert any("would be dead at once" in note for note in exported.notes)
