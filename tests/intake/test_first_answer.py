"""The part of an action's answer that the sender gets."""

from concurrent.futures import Future

import pytest

from router.domain.action_answer import ActionAnswer
from router.intake.first_answer import harmless_type, reply_of
from router.rules.compile.respond import RespondFrom

RESPOND = RespondFrom("r", "a", 2.0, None)


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        (None, "text/plain; charset=utf-8"),
        ("application/json", "application/json"),
        ('text/xml; charset="utf-8"', 'text/xml; charset="utf-8"'),
        ("text/html", "text/plain; charset=utf-8"),
        ("TEXT/HTML;charset=utf-7", "text/plain; charset=utf-8"),
        ("application/xhtml+xml", "text/plain; charset=utf-8"),
        ("image/svg+xml", "text/plain; charset=utf-8"),
        ("text/javascript", "text/plain; charset=utf-8"),
        ("multipart/x-mixed-replace; boundary=a", "application/octet-stream"),
        ("text/plain\r\nSet-Cookie: a=b", "application/octet-stream"),
        ("text/plain, text/html", "application/octet-stream"),
        ("nonsense", "application/octet-stream"),
        ("é/é", "application/octet-stream"),
    ],
)
def test_an_answer_that_a_browser_would_run_is_sent_as_text(said: str | None, sent: str) -> None:
    reply = reply_of(RESPOND, ActionAnswer(b"<script>", said))

    assert harmless_type(said) == reply.content_type == sent
    assert ("X-Content-Type-Options", "nosniff") in reply.headers
    assert ("Content-Security-Policy", "default-src 'none'; sandbox") in reply.headers


@pytest.mark.parametrize(
    ("status", "sent", "body"), [(201, 201, b"x"), (204, 204, b""), (206, 200, b"x"), (299, 200, b"x")]
)
def test_only_statuses_with_a_meaning_for_the_sender_are_passed_on(status: int, sent: int, body: bytes) -> None:
    reply = reply_of(RESPOND, ActionAnswer(b"x", "text/plain", status))

    assert (reply.status, reply.body) == (sent, body)


def test_content_type_and_headers_of_the_rule_take_precedence() -> None:
    respond = RespondFrom("r", "a", 2.0, None, "text/html", (("cache-control", "max-age=5"), ("X-A", "b")))

    reply = reply_of(respond, ActionAnswer(b"x", "text/plain"))

    assert reply.content_type == "text/html"
    assert dict(reply.headers)["X-A"] == "b"
    assert [value for name, value in reply.headers if name.lower() == "cache-control"] == ["max-age=5"]


def test_no_answer_is_expected_without_a_delivery_loop() -> None:
    from router.intake.first_answer import NoAnswers

    answers = NoAnswers()
    asked: Future[ActionAnswer | None] = answers.expect("d", "r", "a", "t", 2.0)
    answers.forget("d")

    assert asked.result(0) is None
