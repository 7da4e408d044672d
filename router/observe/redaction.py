"""Removes secrets from a target's answer or a command's output: it may repeat them, and it is kept with the attempt."""

import base64
import html
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from urllib.parse import quote, quote_plus, unquote, urlsplit

from router.domain.outcomes import Outcome
from router.domain.secrets import Secret

SHORTEST = 4  #: characters of a text that is masked: a shorter one would be part of ordinary words
_CUT = 256  #: characters; a shorter excerpt was not cut, so it holds no part of a secret


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
        # The longest first, since masking a part would hide the whole.
        self._shown = sorted(found.items(), key=lambda item: -len(item[0]))

    def over(self, outcome: Outcome) -> Outcome:
        """The outcome without secrets, to be stored and logged."""
        if not self._shown or not (outcome.excerpt or outcome.error):
            return outcome
        return replace(outcome, excerpt=self.hide(outcome.excerpt), error=self.hide(outcome.error))

    def hide(self, text: str) -> str:
        """The text with each secret's name in its place."""
        for spelling, name in self._shown:
            if spelling in text:
                text = text.replace(spelling, name)
        if len(text) >= _CUT:
            for spelling, name in self._shown:
                text = _without_ends(text, spelling, name)
        return text


def _without_ends(text: str, spelling: str, name: str) -> str:
    """The text without the beginning of a secret at its end, or the end of one at its beginning."""
    for length in range(len(spelling) - 1, SHORTEST - 1, -1):
        if text.endswith(spelling[:length]):
            text = text[:-length] + name
            break
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
    """The secret; of a URL also its parts, since an error page may show the path alone."""
    yield value
    if value.startswith(("http://", "https://")):
        try:
            url = urlsplit(value)
            parts = (url.password, url.query, f"{url.path}?{url.query}", url.path)
        except ValueError:
            return
        yield from (part for part in parts if part)
        if url.password:  # as HTTP basic authentication sends it
            yield base64.b64encode(f"{unquote(url.username or '')}:{unquote(url.password)}".encode()).decode()
            yield unquote(url.password)
