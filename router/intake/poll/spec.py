"""A compiled `poll`: the request, and how its answers are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from router import __version__
from router.client.connection import PLAIN, ConnectionSpec
from router.client.exchange import Request
from router.client.url import Url
from router.domain.secrets import Secret
from router.intake.poll.items import ItemReader
from router.intake.poll.values import ValueReader
from router.plugins.poll import PolledItem
from router.templates import Context, Template, Tree, as_json, as_text, render_tree

LINK = "link"  #: the word of `next` for the Link header


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the cursor comes from and where it goes."""

    value: ValueReader
    query: str | None
    header: str | None
    pick: str


@dataclass(frozen=True, slots=True)
class PollSpec:
    """Implements Poll."""

    url: Url
    every: float  #: seconds
    method: str
    headers: tuple[tuple[str, Template], ...]
    body: Tree
    timeout: float  #: seconds
    max_body: int  #: bytes of an answer, once it is decoded
    reader: ItemReader
    cursor: Cursor | None
    next: ValueReader | None  #: None for `link`, or when there are no further pages
    by_link: bool  #: the next page is in the Link header
    max_pages: int
    start: str
    is_encrypted: bool
    is_literal_address: bool
    fingerprint: str
    settings: Mapping[str, Any]  #: the settings for display; a poll with changed settings runs at once
    secrets: Mapping[str, Secret] = field(default_factory=dict, repr=False)
    connection: ConnectionSpec = PLAIN

    @property
    def place(self) -> str:
        """See Poll.place."""
        return self.url.place

    @property
    def has_items(self) -> bool:
        """See Poll.has_items."""
        return self.reader.items is not None

    @property
    def has_pages(self) -> bool:
        """Whether an answer may name a next page."""
        return self.by_link or self.next is not None

    @property
    def by_cursor(self) -> bool:
        """Whether the further requests of a poll depend on the cursor alone."""
        return self.has_items and self.cursor is not None and not self.has_pages and self.max_pages > 1

    @property
    def cursor_of(self) -> str:
        """Where the cursor comes from, as in the rules; empty without a cursor."""
        return self.cursor.value.text if self.cursor is not None else ""

    @property
    def is_confidential(self) -> bool:
        """Whether its requests hold something that no other host may get."""
        return bool(self.headers or self.connection.auth or self.connection.tls or self.body is not None) or (
            self.url.secret is not None or bool(self.url.rest.secrets)
        )

    def read(self, body: bytes, content_type: str | None) -> Sequence[PolledItem]:
        """See Poll.read."""
        return self.reader.read(body, content_type)

    def first_url(self) -> str:
        """The URL of the first request. Raises RenderError."""
        return self.url.render(self._values())

    def request(self, url: str, cursor: str | None, conditions: Sequence[tuple[str, str]]) -> Request:
        """A request for a page. Raises RenderError."""
        values = self._values()
        own = [("User-Agent", f"webhook-router/{__version__}"), ("Accept", "*/*"), ("Accept-Encoding", "gzip")]
        written = [(name, template.render(values)) for name, template in self.headers]
        body = self._body(values)
        if body and not isinstance(self.body, Template):
            own.append(("Content-Type", "application/json"))
        if self.connection.auth is not None:
            written.append((self.connection.auth.header, self.connection.auth.value.reveal()))
        if cursor is not None and self.cursor is not None and self.cursor.header is not None:
            written.append((self.cursor.header, cursor))
        names = {name.lower() for name, _ in written}
        return Request(
            self.method, url, [*(h for h in (*own, *conditions) if h[0].lower() not in names), *written], body
        )

    def with_cursor(self, url: str, cursor: str | None) -> str:
        """The URL with the cursor in its query."""
        if cursor is None or self.cursor is None or self.cursor.query is None:
            return url
        parts = urlsplit(url)
        name = quote(self.cursor.query, safe="")
        kept = [
            part for part in parts.query.split("&") if part and part.partition("=")[0] not in (name, self.cursor.query)
        ]
        return urlunsplit(parts._replace(query="&".join([*kept, f"{name}={quote(cursor, safe='')}"])))

    def reveals(self, text: str) -> bool:
        """Whether a text from the service holds a secret of this poll."""
        given = [secret.reveal() for secret in self.secrets.values() if secret.is_set]
        return any(value in text or quote(value, safe="") in text for value in given)

    def _body(self, values: Context) -> bytes:
        if self.body is None:
            return b""
        rendered = render_tree(self.body, values)
        return as_text(rendered).encode() if isinstance(self.body, Template) else as_json(rendered)

    def _values(self) -> Context:
        return Context({"secrets": {name: one.reveal() for name, one in self.secrets.items() if one.is_set}})
