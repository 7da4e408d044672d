"""Removes secrets from a target's answer or a command's output, which may repeat them and are stored with the
attempt."""

import base64
import html
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from urllib.parse import quote, quote_plus, unquote, urlsplit

from router.domain.action_answer import ActionAnswer
from router.domain.outcomes import Outcome, Sent
from router.domain.secrets import Secret

SHORTEST = 4  #: characters of a text that is masked; a shorter text could be part of ordinary words
_CUT = 256  #: characters; a shorter excerpt is complete, so it holds no cut secret


class Redactor:
    """The secrets that attempts can read, in all usual encodings. Immutable."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        found = {
            spelling: str(secret)
            for secret in secrets
            if secret.is_set
            for spelling in _spellings(secret.reveal())
            if len(spelling) >= SHORTEST
        }
        # The longest first: masking a part first would leave the rest of the whole visible.
        self._shown = sorted(found.items(), key=lambda item: -len(item[0]))

    def over(self, outcome: Outcome) -> Outcome:
        """The outcome without secrets, to be stored and logged."""
        if not self._shown or not (outcome.excerpt or outcome.error or outcome.sent or outcome.answer):
            return outcome
        sent = None if outcome.sent is None else self._over_sent(outcome.sent)
        answer = None if outcome.answer is None else self._over_answer(outcome.answer)
        excerpt, error = self.hide(outcome.excerpt), self.hide(outcome.error)
        return replace(outcome, excerpt=excerpt, error=error, sent=sent, answer=answer)

    def _over_answer(self, answer: ActionAnswer) -> ActionAnswer:
        text = answer.body.decode(errors="surrogateescape")  # the whole answer, so no secret is cut at its ends
        return replace(answer, body=self._hide_whole(text).encode(errors="surrogateescape"))

    def _over_sent(self, sent: Sent) -> Sent:
        # Neither a URL nor a header has a line end, so one search covers all of them.
        given = [sent.url, *[value for _, value in sent.headers]]
        texts = self._hide_whole("\n".join(given)).split("\n")
        if len(texts) != len(given):  # a secret of several lines
            texts = [self._hide_whole(text) for text in given]
        url, *values = [self._hide_end(text) if text.endswith("…") else text for text in texts]
        headers = tuple([(name, value) for (name, _), value in zip(sent.headers, values, strict=True)])
        start = self._hide_whole(sent.start)
        is_cut = sent.size > len(sent.start.encode(errors="replace"))
        return replace(sent, url=url, headers=headers, start=self._hide_end(start) if is_cut else start)

    def hide(self, text: str) -> str:
        """The text with each secret's name in its place."""
        text = self._hide_whole(text)
        if len(text) < _CUT:
            return text
        text = self._hide_end(text)
        for spelling, name in self._shown:
            text = _without_begin(text, spelling, name)
        return text

    def _hide_whole(self, text: str) -> str:
        for spelling, name in self._shown:
            if spelling in text:
                text = text.replace(spelling, name)
        return text

    def _hide_end(self, text: str) -> str:
        """The text, which was cut, without the beginning of a secret at its end."""
        mark = "…" if text.endswith("…") else ""
        text = text.removesuffix(mark)
        for spelling, name in self._shown:
            text = _without_end(text, spelling, name)
        return text + mark


def _without_end(text: str, spelling: str, name: str) -> str:
    at = text.find(spelling[:SHORTEST], max(0, len(text) - len(spelling) + 1))
    while at >= 0:
        if spelling.startswith(text[at:]):
            return text[:at] + name
        at = text.find(spelling[:SHORTEST], at + 1)
    return text


def _without_begin(text: str, spelling: str, name: str) -> str:
    for length in range(len(spelling) - 1, SHORTEST - 1, -1):
        if text.startswith(spelling[-length:]):
            return name + text[length:]
    return text


def _spellings(value: str) -> Iterator[str]:
    for part in _parts(value):
        yield part
        yield quote(part, safe="", errors="replace")
        yield quote(part, errors="replace")
        yield quote_plus(part, errors="replace")
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        yield json.dumps(part)[1:-1]
        yield html.escape(part)
    yield base64.b64encode(value.encode(errors="surrogateescape")).decode()


def _parts(value: str) -> Iterator[str]:
    """The secret. Of a URL also its parts, since an error page may show only the path."""
    yield value
    if value.startswith(("http://", "https://")):
        try:
            url = urlsplit(value)
            parts = (url.password, url.query, f"{url.path}?{url.query}", url.path)
        except ValueError:
            return
        yield from (part for part in parts if part)
        if url.password:  # the form in which HTTP basic authentication sends it
            yield base64.b64encode(f"{unquote(url.username or '')}:{unquote(url.password)}".encode()).decode()
            yield unquote(url.password)
