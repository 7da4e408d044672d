"""A request to the page, and its possible replies."""

from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl

from router.domain.reply import Reply

MOST_FIELDS = 2_000  #: of a form; a page of deliveries has some hundred

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    ("Content-Security-Policy", _POLICY),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""Headers of every page: no inline code runs, nothing is loaded from elsewhere, and no other site may frame it."""

Fields = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One request of a browser."""

    method: str
    path: str
    query: Fields
    form: Fields
    cookies: Mapping[str, str]
    headers: Mapping[str, str]  #: by name in lower case
    ip: str
    origin: str  #: the origin of our own page, as this browser reaches it
    now: int  #: ms

    @property
    def is_secure(self) -> bool:
        """Whether the browser uses TLS, with us or with a proxy of ours."""
        return self.origin.startswith("https://")

    def one(self, name: str) -> str:
        """A parameter of the URL; empty when it is missing."""
        return self.query.get(name, [""])[0].strip()

    def sent(self, name: str) -> str:
        """A field of the form; empty when it is missing."""
        return self.form.get(name, [""])[0]


def read_fields(text: str) -> Fields:
    """The fields of a query or form. Raises ValueError when there are too many."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="replace"):
        found.setdefault(name, []).append(value)
    return found


def read_cookies(header: str) -> Mapping[str, str]:
    """The cookies of a request; empty for a malformed header."""
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}


def html(text: str, status: int = 200, *more: tuple[str, str]) -> Reply:
    """A page."""
    return Reply(status, text.encode("utf-8", "replace"), "text/html; charset=utf-8", (*HEADERS, *more))


def download(content: bytes, media_type: str, name: str) -> Reply:
    """A file that the browser saves under our name for it and never shows: it may hold a sender's text."""
    more = (("Content-Disposition", f'attachment; filename="{name}"'), ("Content-Security-Policy", "sandbox"))
    plain = tuple(header for header in HEADERS if header[0] != "Content-Security-Policy")
    return Reply(200, content, media_type, (*plain, *more))


def see_other(address: str, *more: tuple[str, str]) -> Reply:
    """Redirect the browser to another page of ours, by GET."""
    return Reply(303, b"", None, (*HEADERS, ("Location", address), *more))
