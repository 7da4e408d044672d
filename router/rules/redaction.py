"""`redact`: removes values from an event before it is stored. Rules and templates see only the stored event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from router.domain.errors import EvaluationError, PayloadError
from router.domain.events import Event
from router.payload.body import Body
from router.payload.redact.body import Sent, check_structure, redact_body
from router.payload.redact.chosen import MARK, Chosen, chosen_of
from router.payload.redact.form import redact_query
from router.payload.redact.patterns import Reach
from router.rules.match.jsonpath.selected import FindPlaces
from router.rules.path_pattern import PathPattern

if TYPE_CHECKING:
    from router.rules.source import Source

DIGESTS = frozenset({"content-md5", "digest", "content-digest", "repr-digest"})
"""Headers with a hash of the body, in lower case. A short value could be guessed from such a hash."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """What a source redacts, compiled."""

    headers: frozenset[str] = frozenset()  #: in lower case
    query: frozenset[str] = frozenset()
    params: frozenset[str] = frozenset()
    paths: Mapping[str, FindPlaces] = field(default_factory=dict, repr=False)  #: by text
    reach: Reach = field(default=(), repr=False)  #: what the paths could select in any payload

    @property
    def fields(self) -> frozenset[str]:
        """The fields as conditions name them; headers in lower case."""
        named = {"headers": self.headers, "query": self.query, "params": self.params}
        return frozenset([*self.paths, *(f"{area}.{name}" for area, names in named.items() for name in names)])

    def event(self, event: Event, read: Body, source: "Source") -> tuple[Event, Chosen]:
        """The event without the values, and the places of the values in its payload. Raises PayloadError if they can't
        be found."""
        headers, body, chosen = self._headers(event.headers), event.body, chosen_of(())
        if self.paths:
            declared = event.named.by_name.get("content-type", (None,))[0]
            sent = Sent(body, declared, read, source.json_field, source.is_signed)
            if any(text != "$" for text in self.paths):
                check_structure(sent)
            chosen = self._chosen(read.payload)
            if chosen is None and read.texts:
                chosen = dict.fromkeys(read.payload)  # of a form, every field
            body = redact_body(sent, chosen, self.reach)
        if body != event.body:
            headers = _of_new_body(headers, len(body))
        query = redact_query(event.query, self.query) if self.query else event.query
        path = self._path(event.path, source.pattern)
        return replace(event, path=path, query=query, headers=headers, body=body), chosen

    def _chosen(self, payload: Any) -> Chosen:
        try:
            return chosen_of([place for find in self.paths.values() for place in find(payload)])
        except EvaluationError as error:
            raise PayloadError(f"the values that the source redacts can't be found in this body: {error}") from None

    def _headers(self, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        if not self.headers:
            return headers
        return tuple((name, MARK if name.lower() in self.headers else value) for name, value in headers)

    def _path(self, path: str, pattern: PathPattern | None) -> str:
        found = pattern.params(path) if pattern is not None and self.params else {}
        if pattern is None or not found:
            return path
        return pattern.fill({name: MARK if name in self.params else text for name, text in found.items()})


def _of_new_body(headers: Sequence[tuple[str, str]], size: int) -> tuple[tuple[str, str], ...]:
    """The headers with the new length, and without hashes of the old body."""
    kept = [(name, value) for name, value in headers if name.lower() not in DIGESTS]
    return tuple((name, str(size) if name.lower() == "content-length" else value) for name, value in kept)
