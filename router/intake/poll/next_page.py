"""Finds the next page of an answer."""

from collections.abc import Callable, Mapping

from router.intake.poll.fetch import Page, PollFailure, resolved, same_host
from router.intake.poll.link_header import next_link
from router.intake.poll.spec import PollSpec
from router.intake.poll.values import as_cursor
from router.payload.body import Format

Payload = tuple[object, Format]


def next_url(spec: PollSpec, page: Page, payload: Callable[[], Payload], url: str, visited: set[str]) -> str | None:
    """The next page's URL, by the Link header or a value of the answer; None: it is the last page. Raises PollFailure,
    PayloadError.

    `url` is the page's own, `visited` are those of this poll.
    """
    if not spec.has_pages:
        return None
    reference = _reference(spec, page, payload)
    if reference is None:
        return None
    link = resolved(page.url, reference)
    if link is None:
        raise PollFailure("the next page's link is not an http(s) URL")
    if not same_host(link, url):
        raise PollFailure("the next page's link leads to another host; it is not followed")
    if link in visited:
        raise PollFailure("the next page's link leads back to a page of this poll")
    return link


def _reference(spec: PollSpec, page: Page, payload: Callable[[], Payload]) -> str | None:
    if spec.by_link:
        return next_link(", ".join(_all(page.headers, "Link")))
    assert spec.next is not None
    found, format_ = payload() if spec.next.path is not None else (None, Format.TEXT)
    values = spec.next.values(found, page.headers, format_)
    return as_cursor(values[0]) if values else None


def _all(headers: Mapping[str, str], name: str) -> list[str]:
    getall = getattr(headers, "getall", None)
    return list(getall(name, ())) if getall is not None else [headers[name]] if name in headers else []
