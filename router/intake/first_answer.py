"""`respond: {from: ACTION}`: the sender gets the answer of an action's first attempt."""

import re
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Protocol

from router.domain.action_answer import ActionAnswer
from router.domain.deliveries import PlannedDelivery
from router.domain.errors import RenderError
from router.domain.events import Appended, ParsedEvent
from router.domain.reply import Reply
from router.rules.compile.respond import RespondFrom

_NO_BODY = (204, 205)
_STATUSES = (200, 201, 202, 203, *_NO_BODY)
_TYPE = re.compile(
    r"[A-Za-z0-9!#$&^_.+-]{1,64}/[A-Za-z0-9!#$&^_.+-]{1,64}"
    r"(?:[ \t]*;[ \t]*[A-Za-z0-9_-]{1,32}=(?:\"[ !#-\[\]-~]{0,64}\"|[A-Za-z0-9!#$&^_.+-]{1,64})){0,4}"
)
_TEXT = "text/plain; charset=utf-8"
# A browser would run these as pages of this host. As text they are only shown.
_RUN_BY_BROWSERS = re.compile(r"(?i)(text|application)/(html|xhtml\+xml|(x-)?javascript|ecmascript|css)|image/svg\+xml")
_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; sandbox"),
    ("Cache-Control", "no-store"),
)


class Answers(Protocol):
    """Gives the answers of first attempts."""

    def expect(
        self, delivery_id: str, rule: str, action: str, target: str, within: float
    ) -> "Future[ActionAnswer | None]":
        """See FirstAnswers.expect."""
        ...

    def forget(self, delivery_id: str) -> None:
        """See FirstAnswers.forget."""
        ...


class NoAnswers:
    """For processes without delivery: no answer comes."""

    def expect(
        self,
        delivery_id: str,  # noqa: ARG002
        rule: str,  # noqa: ARG002
        action: str,  # noqa: ARG002
        target: str,  # noqa: ARG002
        within: float,  # noqa: ARG002
    ) -> "Future[ActionAnswer | None]":
        """Return None at once."""
        future: Future[ActionAnswer | None] = Future()
        future.set_result(None)
        return future

    def forget(self, delivery_id: str) -> None:
        """Do nothing."""


def first_answer(
    respond: RespondFrom, parsed: ParsedEvent, plan: Sequence[PlannedDelivery], answers: Answers
) -> "tuple[Future[Reply], str]":
    """The reply for an event that is about to be stored, and the id of the delivery that it waits for.

    The future raises a RenderError when the sender should get the usual answer.
    """
    reply: Future[Reply] = Future()
    found = next((one for one in plan if (one.rule, one.action) == (respond.rule, respond.action)), None)
    if found is None:  # the action is disabled
        _end(reply, respond, parsed, None)
        return reply, ""
    asked = answers.expect(found.id, found.rule, found.action, found.target, respond.within)
    asked.add_done_callback(lambda done: _end(reply, respond, parsed, done.result()))
    return reply, found.id


def forget_unstored(committed: "Future[Appended]", delivery_id: str, answers: Answers) -> None:
    """When the append has ended: stop expecting an answer for a duplicate or an event that was not stored."""

    def ended(done: "Future[Appended]") -> None:
        if done.cancelled() or done.exception() is not None or done.result().duplicate:
            answers.forget(delivery_id)

    committed.add_done_callback(ended)


def _end(reply: "Future[Reply]", respond: RespondFrom, parsed: ParsedEvent, answer: ActionAnswer | None) -> None:
    with suppress(Exception):  # nobody waits for it
        if answer is not None:
            reply.set_result(reply_of(respond, answer))
        elif respond.otherwise is None:
            reply.set_exception(RenderError("the first attempt gave no answer in time"))
        else:
            respond.otherwise.begin(parsed).add_done_callback(lambda made: _pass_on(reply, made))


def _pass_on(reply: "Future[Reply]", made: "Future[Reply]") -> None:
    with suppress(Exception):
        error = made.exception()
        if error is not None:
            reply.set_exception(error)
        else:
            reply.set_result(made.result())


def reply_of(respond: RespondFrom, answer: ActionAnswer) -> Reply:
    """The reply with the action's answer. Of the target's headers only a harmless content type passes."""
    status = answer.status if answer.status in _STATUSES else 200
    body = b"" if status in _NO_BODY else answer.body
    own = {name.lower() for name, _ in respond.headers}
    headers = (*respond.headers, *(header for header in _HEADERS if header[0].lower() not in own))
    content_type = (respond.content_type or harmless_type(answer.content_type)) if body else None
    return Reply(status, body, content_type, headers)


def harmless_type(content_type: str | None) -> str:
    """The content type if browsers only show it, otherwise plain text."""
    if content_type is None:
        return _TEXT
    if _TYPE.fullmatch(content_type) is None or content_type.lower().startswith("multipart/"):
        return "application/octet-stream"
    media_type = content_type.partition(";")[0].strip()
    return _TEXT if _RUN_BY_BROWSERS.fullmatch(media_type) else content_type
