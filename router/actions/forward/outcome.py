"""The outcome of an exchange: from the target's answer, or from the error that came instead."""

from dataclasses import replace

import aiohttp

from router.actions.excerpt import excerpt
from router.client.exchange import Answer
from router.client.failure import WRONG_CREDENTIALS, failure
from router.client.retry_after import retry_after
from router.domain.action_answer import ANSWER_BYTES, ActionAnswer
from router.domain.outcomes import Cause, Outcome


def outcome_of_answer(
    answer: Answer, *, now: float, answers: bool = False, place: str = "", proxy: str | None = None
) -> Outcome:
    """The outcome of an answer that came at `now`, Unix time in seconds.

    With `answers` the outcome has the answer for the sender. `place` and `proxy` are the names of the target and the
    proxy in messages.
    """
    status, text = answer.status, excerpt(answer.body)
    if 200 <= status < 300:
        done = Outcome.succeeded(status, text)
        return replace(done, answer=_action_answer(answer)) if answers else done
    reason = f"HTTP {status}"
    if status == 410:
        reason = "HTTP 410: the target is gone for good"
    # the answer of a tunnel's proxy comes as an error instead
    elif status == 407 and proxy is not None and place.startswith("http://"):
        reason = WRONG_CREDENTIALS.format(proxy)
    elif 300 <= status < 400:
        reason = f"HTTP {status}: redirects are not followed; give the final URL"
    return Outcome.retry(reason, status, text, retry_after(answer.headers, now), cause=Cause.STATUS)


def _action_answer(answer: Answer) -> ActionAnswer | None:
    """The answer for a sender; None when it is too long, cut off, or in a coding that the sender may not know."""
    encoded = answer.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity")
    if encoded or not answer.whole or len(answer.body) > ANSWER_BYTES:
        return None
    return ActionAnswer(answer.body, answer.headers.get("Content-Type"), answer.status)


def outcome_of_error(error: Exception, place: str, within: aiohttp.ClientTimeout, proxy: str | None = None) -> Outcome:
    """The outcome of an error before the answer. `place` and `proxy` are the names of the target and the proxy in
    messages."""
    cause = Cause.TIMEOUT if isinstance(error, TimeoutError) else Cause.NETWORK
    return Outcome.retry(failure(error, place, within, proxy), cause=cause)


def disconnected(place: str) -> Outcome:
    """The outcome when the target closed the connection before it answered."""
    return outcome_of_error(aiohttp.ServerDisconnectedError(), place, aiohttp.ClientTimeout())
