"""Fetches one answer, within limits: follows redirects within the host, decodes the body and checks the status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from router.client.ask import NoAnswer, ask
from router.client.client import Client
from router.client.exchange import Answer, Request
from router.client.retry_after import retry_after
from router.client.url import literal_fault
from router.domain.errors import RenderError
from router.domain.units import as_size
from router.intake.content_encoding import GZIP, unzipped
from router.intake.poll.spec import PollSpec

MOST_REDIRECTS = 5  #: browsers follow 20, and services use one
LONGEST_URL = 8192  #: characters; servers refuse longer request lines
_REDIRECTS = {"GET": (301, 302, 303, 307, 308), "POST": (307, 308)}  #: redirects after which the method stays the same


class PollFailure(Exception):
    """Why an answer could not be fetched or read. The text holds no part of the answer, and no secret."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after  #: seconds that the service asks to wait


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    url: str  #: the page's own URL, after redirects
    status: int
    headers: Mapping[str, str]
    body: bytes  #: decoded

    @property
    def is_empty(self) -> bool:
        """Whether the status says that there is no content."""
        return self.status in (204, 205)

    @property
    def content_type(self) -> str | None:
        """Its Content-Type, with `?` for every character that is not plain ASCII."""
        value = self.headers.get("Content-Type")
        return value if value is None else "".join(one if " " <= one <= "~" else "?" for one in value)

    def validator(self, name: str) -> str | None:
        """ETag or Last-Modified; None if there is none that can be sent back."""
        value = self.headers.get(name, "")
        return value if value and value.isascii() and value.isprintable() else None

    @property
    def unchanged(self) -> bool:
        """Whether the status says that nothing has changed or that there is no content."""
        return self.status in (304, 204, 205)


async def fetch(
    client: Client, spec: PollSpec, url: str, cursor: str | None, conditions: Sequence[tuple[str, str]], now: float
) -> Page:
    """Fetch a page. `now` is the Unix time in seconds. Raises PollFailure."""
    if spec.connection.unusable:
        raise PollFailure(spec.connection.unusable)
    first, is_literal = url, spec.is_literal_address
    for _ in range(MOST_REDIRECTS + 1):
        try:
            request = spec.request(url, cursor, conditions)
        except RenderError as error:
            raise PollFailure(str(error)) from None
        answer = await _exchange(client, spec, request, named=is_literal)
        if answer.status not in _REDIRECTS[spec.method]:
            return _judged(spec, url, answer, now)
        url = _redirected(spec, url, answer)
        is_literal = is_literal and same_host(first, url)
    raise PollFailure(f"{spec.place} redirects more than {MOST_REDIRECTS} times; give the final URL")


async def _exchange(client: Client, spec: PollSpec, request: Request, *, named: bool) -> Answer:
    limit = spec.max_body + 1
    try:
        return await ask(client, request, spec.connection, spec.place, seconds=spec.timeout, limit=limit, named=named)
    except NoAnswer as error:
        raise PollFailure(str(error)) from None


def _judged(spec: PollSpec, url: str, answer: Answer, now: float) -> Page:
    status = answer.status
    if status == 304 or status in (204, 205):
        return Page(url, status, answer.headers, b"")
    if not 200 <= status < 300:
        raise PollFailure(f"HTTP {status}{_CURES.get(status, '')}", retry_after(answer.headers, now))
    if len(answer.body) > spec.max_body:
        raise PollFailure(_too_large(spec))
    if not answer.whole:
        raise PollFailure(f"the answer of {spec.place} was cut off, or took longer than {spec.timeout:g} s")
    return Page(url, status, answer.headers, _decoded(spec, answer))


_CURES = {
    300: ": it names several addresses; give one of them",
    301: ": redirected to another method; give the final URL",
    302: ": redirected to another method; give the final URL",
    303: ": redirected to another method; give the final URL",
    401: ": the service refuses the credentials, or needs some; see auth",
    403: ": the service does not allow this; do the credentials have the right permissions?",
    404: ": nothing is at this address; is the URL right?",
    407: ": the proxy refuses the credentials; see username and password of proxy",
}


def _too_large(spec: PollSpec) -> str:
    return f"the answer of {spec.place} is larger than {as_size(spec.max_body)}; ask for pages, or raise max_body"


def _decoded(spec: PollSpec, answer: Answer) -> bytes:
    values = answer.headers.get("Content-Encoding", "")
    codings = [one for name in values.split(",") if (one := name.strip().lower()) not in ("", "identity")]
    if not codings:
        return answer.body
    if len(codings) > 1 or codings[0] not in GZIP:
        raise PollFailure(f"the answer of {spec.place} has a coding other than gzip, which alone was asked for")
    body = unzipped(answer.body, spec.max_body)
    if body is None:
        raise PollFailure(f"the answer of {spec.place} is not valid gzip, though its headers say gzip")
    if len(body) > spec.max_body:
        raise PollFailure(_too_large(spec))
    return body


def _redirected(spec: PollSpec, url: str, answer: Answer) -> str:
    """Where a redirect leads. A request with secrets never goes to another host."""
    target = resolved(url, answer.headers.get("Location", ""))
    if target is None:
        raise PollFailure(f"HTTP {answer.status}: {spec.place} redirects to something that is not an http(s) URL")
    if same_host(url, target):
        return target
    if spec.is_confidential:
        raise PollFailure(
            f"HTTP {answer.status}: {spec.place} redirects to another host, which must not get the headers and secrets "
            "of this poll; give the final URL"
        )
    if url.lower().startswith("https:") and not target.lower().startswith("https:"):
        raise PollFailure(f"HTTP {answer.status}: {spec.place} redirects from https to http; give the final URL")
    return target


def resolved(base: str, reference: str) -> str | None:
    """The absolute URL of a reference; None when it can't be requested."""
    if not reference or len(reference) > LONGEST_URL or not reference.isascii() or not reference.isprintable():
        return None
    try:
        target = urljoin(base, reference.strip().replace(" ", "%20")).partition("#")[0]
    except ValueError:
        return None
    return None if literal_fault(target) or "\\" in target else target


def same_host(one: str, other: str) -> bool:
    """Whether two URLs have the same scheme, host and port."""
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme.lower(), (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)
