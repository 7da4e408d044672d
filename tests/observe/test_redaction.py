"""Secrets in the answers of targets are masked before they are stored."""

import base64
from urllib.parse import quote

import pytest

from router.domain.outcomes import Outcome, Sent
from router.domain.secrets import Secret
from router.observe.redaction import Redactor

URL = "https://ann:p%C3%A4ss@chat.example/services/T0/B0?key=abcdef"


def _masks(**secrets: str | None) -> Redactor:
    return Redactor(Secret(name, value) for name, value in secrets.items())


@pytest.mark.parametrize(
    "shown",
    [
        's3cr&t "key"/é',
        quote('s3cr&t "key"/é', safe=""),
        quote('s3cr&t "key"/é'),
        's3cr&t \\"key\\"/é',
        's3cr&t \\"key\\"/\\u00e9',
        "s3cr&amp;t &quot;key&quot;/é",
        base64.b64encode('s3cr&t "key"/é'.encode()).decode(),
    ],
)
def test_a_secret_is_masked_in_every_usual_encoding(shown: str) -> None:
    masks = _masks(key='s3cr&t "key"/é')

    assert masks.hide(f"got: {shown}, twice: {shown}.") == "got: <secret:key>, twice: <secret:key>."


@pytest.mark.parametrize("part", [URL, "/services/T0/B0?key=abcdef", "/services/T0/B0", "p%C3%A4ss", "key=abcdef"])
def test_path_query_and_password_of_a_secret_url_are_masked(part: str) -> None:
    hidden = _masks(chat=URL).hide(f"cannot POST {part}")

    assert hidden.startswith("cannot POST ")
    assert part not in hidden
    assert "<secret:chat>" in hidden


def test_a_truncated_secret_is_masked() -> None:
    masks = _masks(key="0123456789abcdef")

    assert masks.hide("x" * 300 + "0123456") == "x" * 300 + "<secret:key>"
    assert masks.hide("9abcdef" + "x" * 300) == "<secret:key>" + "x" * 300
    assert masks.hide("456789") == "456789"


def test_the_longer_of_two_overlapping_secrets_is_masked() -> None:
    assert _masks(a="abcd", b="abcdefgh").hide("abcdefgh abcd") == "<secret:b> <secret:a>"


def test_short_or_unset_secrets_are_not_masked() -> None:
    masks = _masks(short="abc", unset=None, broken="http://[")

    assert masks.hide("abc None http:") == "abc None http:"


def test_outcomes_mask_secrets_in_excerpt_and_error() -> None:
    outcome = Outcome.retry("HTTP 500 hush", 500, "you sent hush", 3.0)
    masked = _masks(key="hush").over(outcome)

    assert (masked.error, masked.excerpt) == ("HTTP 500 <secret:key>", "you sent <secret:key>")
    assert (masked.kind, masked.status, masked.retry_after) == (outcome.kind, 500, 3.0)
    assert _masks().over(outcome) is outcome


def test_a_secret_of_several_lines_does_not_mask_parts_of_separate_headers() -> None:
    sent = Sent("POST", "https://ci.example/", (("X-A", "first"), ("X-B", "second")), 0, "44136f", "")

    found = _masks(key="first\nsecond").over(Outcome(Outcome.succeeded().kind, sent=sent)).sent

    assert found == sent


def test_a_stored_request_has_no_secret_even_where_it_is_truncated() -> None:
    sent = Sent(
        "POST", "https://ci.example/0123456789abcdef/x", (("X-Key", "0123456789abcdef"), ("X-B", "a 01234…")), 900,
        "44136f", "begin 0123456789abcdef … 0123456",
    )  # fmt: skip

    found = _masks(key="0123456789abcdef").over(Outcome(Outcome.succeeded().kind, sent=sent)).sent

    assert found is not None
    assert found.url == "https://ci.example/<secret:key>/x"
    assert found.headers == (("X-Key", "<secret:key>"), ("X-B", "a <secret:key>…"))
    assert found.start == "begin <secret:key> … <secret:key>"
