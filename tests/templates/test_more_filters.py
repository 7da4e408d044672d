"""Filters for encodings, patterns, times and money: their results and limits."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest

from router.domain.errors import RenderError, TemplateError
from router.templates import Context, Mask, compile_template
from router.templates.running import new_budget
from tests.cases import each
from tests.conftest import number_of_examples

SECRETS = {"key": "a-key-of-ours", "spare": "x"}
PAYLOAD: dict[str, Any] = {
    "text": "héllo wörld",
    "cents": 1234567,
    "at": "2024-05-01T09:30:00+02:00",
    "gitlab": "2024-05-01 07:30:00 UTC",
    "unix": 1714548600,
    "unix_ms": 1714548600123,
    "json": '{"a": [1, {"b": null}], "big": 12345678901234567890}',
    "list": "a, b,,c",
    "empty": "",
    "no": False,
    "zone": "Europe/Berlin",
}


def render(text: str, payload: Any = None, *, masked: bool = False) -> str:
    """The rendered template, within its budget."""
    secrets = {name: Mask(f"<secret:{name}>") if masked else value for name, value in SECRETS.items()}
    values = {"payload": PAYLOAD if payload is None else payload, "secrets": secrets}
    body = json.dumps(values["payload"]).encode()
    return compile_template(text, secrets=SECRETS).render(Context(values, new_budget(len(body))))


def _hmac(algorithm: str) -> bytes:
    return hmac.digest(SECRETS["key"].encode(), PAYLOAD["text"].encode(), algorithm)


@each(
    ("text", "result"),
    [
        ("payload.text | b64encode", base64.b64encode(PAYLOAD["text"].encode()).decode()),
        ("'a>?' | b64encode(urlsafe=true)", "YT4_"),
        ("'YT4_' | b64decode", "a>?"),
        ("'YT4/' | b64decode", "a>?"),
        ("'YQ' | b64decode", "a"),
        ("'Y Q\\n==' | b64decode", "a"),
        ("payload.text | b64encode | b64decode", PAYLOAD["text"]),
        *((f"payload.text | {name}", hashlib.new(name, PAYLOAD["text"].encode()).hexdigest()) for name in ("md5", "sha1", "sha256", "sha384", "sha512")),
        ("payload.text | hmac(secrets.key)", _hmac("sha256").hex()),
        ("payload.text | hmac(secrets['key'], 'sha1')", _hmac("sha1").hex()),
        ("payload.text | hmac(key=secrets.key, encoding='base64')", base64.b64encode(_hmac("sha256")).decode()),
        ("(payload.json | fromjson).a[0]", "1"),
        ("(payload.json | fromjson).big", "12345678901234567890"),
        ("(payload.json | fromjson).a | tojson", '[1,{"b":null}]'),
        ("payload.list | split(',') | tojson", '["a"," b","","c"]'),
        ("payload.list | split(',', 1) | tojson", '["a"," b,,c"]'),
        ("payload.text | split | tojson", '["héllo","wörld"]'),
        ("payload.empty | split | length", "0"),
        ("payload.text | regex_replace('[aeiouéö]', '*')", "h*ll* w*rld"),
        ("payload.text | regex_replace('(\\\\S+) (\\\\S+)', '\\\\2 \\\\1, \\\\0')", "wörld héllo, héllo wörld"),
        ("payload.text | regex_replace('l', 'L', 1)", "héLlo wörld"),
        ("payload.text | regex_replace('(?i)H', '')", "éllo wörld"),
        ("payload.text | regex_replace('', '-')", "-h-é-l-l-o- -w-ö-r-l-d-"),
        ("payload.text | regex_replace('l', '\\\\\\\\1')", "hé\\1\\1o wör\\1d"),
        ("payload.at | to_time", "2024-05-01T07:30:00.000Z"),
        ("payload.gitlab | to_time", "2024-05-01T07:30:00.000Z"),
        ("payload.unix | to_time", "2024-05-01T07:30:00.000Z"),
        ("payload.unix_ms | to_time", "2024-05-01T07:30:00.123Z"),
        ("'1.5.2024 9:30' | to_time('%d.%m.%Y %H:%M', payload.zone)", "2024-05-01T07:30:00.000Z"),
        ("'2024-05-01 +0200' | to_time('%Y-%m-%d %z')", "2024-04-30T22:00:00.000Z"),
        ("payload.at | in_zone('America/New_York')", "2024-05-01T03:30:00.000-04:00"),
        ("payload.at | format_time('%A %d %B %Y, %H:%M %z')", "Wednesday 01 May 2024, 09:30 +0200"),
        ("payload.at | format_time('%H:%M %Z', 'Europe/London')", "08:30 BST"),
        ("payload.at | format_time('100%%')", "100%"),
        ("payload.at | to_unix", "1714548600"),
        ("payload.unix_ms | to_unix('ms')", "1714548600123"),
        ("payload.cents | money('eur')", "12345.67 EUR"),
        ("payload.cents | money('usd', ',')", "12,345.67 USD"),
        ("payload.cents | money('eur', '.', ',')", "12.345,67 EUR"),
        ("payload.cents | money('JPY')", "1234567 JPY"),
        ("payload.cents | money('kwd')", "1234.567 KWD"),
        ("-5 | money('eur')", "-0.05 EUR"),
        ("'99' | money('eur')", "0.99 EUR"),
        ("12345678901234567890123 | money('eur')", "123456789012345678901.23 EUR"),
    ],
)  # fmt: skip
def test_each_filter_gives_the_documented_result(text: str, result: str) -> None:
    assert render(f"{{{{ {text} }}}}") == result


@each(
    ("text", "message"),
    [
        ("payload.text | b64decode", "b64decode takes base64 of a UTF-8 text"),
        ("'/w==' | b64decode", "b64decode takes base64 of a UTF-8 text"),
        ("payload.text | hmac(secrets.key, 'crc32')", "hmac takes one of md5"),
        ("payload.text | hmac(secrets.key, 'sha256', 'raw')", "then hex or base64"),
        ("payload.text | fromjson", "fromjson: the text is not valid JSON"),
        ("payload.text | split('')", "split takes a text that is not empty"),
        ("payload.text | split(payload.cents)", "split takes a text that is not empty"),
        ("payload.text | regex_replace('l', payload.cents)", "regex_replace takes a pattern and a replacement"),
        ("payload.text | regex_replace('(l)', '\\\\2')", "the pattern has 1 groups"),
        ("payload.text | to_time", "to_time takes a time: ISO 8601 with a zone"),
        ("'2024-05-01T09:30:00' | to_time", "ISO 8601 with a zone"),
        ("payload.no | to_time", "takes a time"),
        ("payload.missing | format_time('%Y')", "payload.missing is missing"),
        ("99999999999999999 | to_time", "takes a time"),
        ("payload.text | to_time('%Y')", "to_time: the text is not written as %Y"),
        ("payload.at | in_zone(payload.text)", "a zone is a name such as Europe/Berlin"),
        ("payload.at | in_zone('../../etc/pass' ~ 'wd')", "a zone is a name such as Europe/Berlin"),
        ("payload.at | in_zone('Euro' ~ 'pe')", "a zone is a name such as Europe/Berlin"),
        ("payload.at | format_time('%Q' ~ payload.empty)", "a format of times knows"),
        ("payload.at | to_unix('h')", "to_unix takes s or ms"),
        ("'0001-01-01T00:00:00+14:00' | in_zone('UTC')", "years 1 to 9999"),
        ("payload.cents | money('euro')", "money takes a currency of three letters"),
        ("12.5 | money('eur')", "money takes a whole number of the smallest unit"),
        ("payload.text | money('eur')", "number takes a number"),
        ("payload.missing | money('eur')", "payload.missing is missing"),
    ],
)
def test_the_error_for_a_wrong_value_names_the_filter(text: str, message: str) -> None:
    with pytest.raises((RenderError, TemplateError)) as caught:  # a constant is evaluated when the rules load
        render(f"{{{{ {text} }}}}")

    assert message in str(caught.value)
    assert "wörld" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("payload.text | hmac('literal')", "hmac takes a declared secret: hmac(secrets.name)"),
        ("payload.text | hmac(payload.text)", "hmac takes a declared secret"),
        ("payload.text | hmac(key=payload.text)", "hmac takes a declared secret"),
        ("payload.text | hmac(secrets.other)", 'undefined secret "other"'),
        ("payload.text | hmac", "can't be given these arguments"),
        ("payload.text | regex_replace('(')", "regex_replace: not a regular expression of RE2: missing )"),
        ("payload.text | regex_replace('(?=a)')", "not a regular expression of RE2"),
        ("payload.text | regex_replace(payload.text)", "a sender's text is never a pattern"),
        ("payload.text | regex_replace(pattern=payload.text)", "a sender's text is never a pattern"),
        ("payload.text | regex_replace('a' * 501)", "a sender's text is never a pattern"),
        (f"payload.text | regex_replace('{'a' * 501}')", "a pattern has at most 500 characters"),
        (
            "payload.at | in_zone('Europe/Berln')",
            "in_zone: a zone is a name such as Europe/Berlin or UTC; this one is unknown",
        ),
        ("payload.at | format_time('%Q')", "format_time: a format of times knows %Y"),
        ("payload.at | to_time('%Z')", "to_time: a format of times knows %Y"),
        ("payload.at | strftime('%Y')", 'unknown filter "strftime"'),
    ],
)
def test_arguments_that_always_fail_are_refused_when_the_rules_load(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_template(f"{{{{ {text} }}}}", secrets=SECRETS)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("payload.text | hmac(secrets.key)", "<hmac-sha256 by secret:key>"),
        ("secrets.key | b64encode", "<secret:key>"),
    ],
)
def test_a_preview_shows_the_secret_s_name(text: str, shown: str) -> None:
    assert render(f"{{{{ {text} }}}}", masked=True) == shown


_LONG = "ab" * 100_000
_HOSTILE = {
    "text": _LONG,
    "commas": "," * 1_000_000,
    "blanks": " a" * 500_000,
    "brackets": "[" * 1_000_000,
    "flat": "[" + "0," * 400_000 + "0]",
    "digits": "9" * 1_000_000,
    "long": "x" * 100_000,
}


@pytest.mark.parametrize(
    "text",
    [
        "payload.text | b64encode | b64encode | b64encode | b64encode | b64encode | b64encode",
        "payload.text | b64decode",
        "payload.text | sha512",
        "payload.text | hmac(secrets.key)",
        "{% for i in range(100000) %}{{ payload.text | sha512 }}{% endfor %}",
        "payload.commas | split(',') | length",
        "payload.blanks | split | length",
        "payload.brackets | fromjson",
        "payload.flat | fromjson | length",
        "payload.digits | fromjson",
        "payload.text | regex_replace('a', payload.long)",
        "payload.text | regex_replace('', payload.long)",
        "payload.text | regex_replace('(a|b|ab)*', '\\\\0\\\\0\\\\0\\\\0')",
        "payload.text | regex_replace('((a*)*)*b', '')",
        "payload.text | regex_replace('(.{1,100}){1,9}', '\\\\1')",
        "payload.text | to_time",
        "payload.text | to_time('%Y')",
        "payload.digits | to_time",
        "'2024-05-01T00:00:00Z' | in_zone(payload.text)",
        "'2024-05-01T00:00:00Z' | format_time(payload.text)",
        "payload.digits | money('eur')",
        "1 | money('eur', payload.text)",
        "1 | money(payload.text)",
        "payload.text | map('regex_replace', payload.text, payload.text) | list",
        "{% for i in range(100000) %}{{ '2024-05-01T00:00:00Z' | in_zone('Europe/Berlin') }}{% endfor %}",
    ],
)
def test_work_on_hostile_values_is_bounded(text: str) -> None:
    template = compile_template(text if "{%" in text else f"{{{{ {text} }}}}", secrets=SECRETS)
    body = json.dumps(_HOSTILE).encode()
    budget = new_budget(len(body))
    budget.left = number_of_examples(budget.left)
    before, began = budget.left, time.process_time()
    try:
        made = template.render(Context({"payload": _HOSTILE, "secrets": SECRETS}, budget))
    except RenderError:
        made = ""
    seconds = time.process_time() - began

    assert len(made) <= budget.longest_text
    # A step takes some 0.2 µs, on a slow machine ten times as long. Half a second is for work that is not counted.
    assert seconds < (before - budget.left) * 2e-6 + 0.5


@pytest.mark.parametrize(
    "text",
    [
        "{{ payload.cents | money('EURO') }}",
        "{{ payload.cents | money(currency=5) }}",
        "{{ payload.at | to_unix('h') }}",
        "{{ payload.list | split('') }}",
        "{{ payload.list | split(0) }}",
        "{{ payload.text | regex_replace('(a)', '\\\\2') }}",
        "{{ payload.text | regex_replace('a', replacement='\\\\1') }}",
        "{{ payload.text | hmac(secrets.key, 'sha3') }}",
        "{{ payload.text | hmac(secrets.key, encoding='base32') }}",
    ],
)
def test_templates_that_fail_for_every_event_are_refused_when_the_rules_load(text: str) -> None:
    with pytest.raises(TemplateError) as refused:
        compile_template(text, secrets=SECRETS)

    name = text.split("|")[1].partition("(")[0].strip()
    assert str(refused.value).count(name) == 1
