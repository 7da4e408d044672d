"""Compiles the `poll` of a source."""

import hashlib
import re
from typing import Any

import orjson

from router.client.connection import check_encrypted, compile_connection
from router.client.url import Url, compile_url, is_address
from router.domain.errors import TemplateError
from router.domain.headers import HEADER_NAME
from router.intake.poll.items import ItemReader
from router.intake.poll.list_path import ListPath, list_path
from router.intake.poll.options import CursorOptions, PollOptions
from router.intake.poll.spec import LINK, Cursor, PollSpec
from router.intake.poll.values import ValueReader
from router.payload.body import Parse
from router.plugins.build import Build
from router.rules.match.fields import ItemField, field
from router.rules.match.jsonpath import PathError
from router.templates import Template, Tree, compile_template, compile_tree, names_of

SHORTEST_SECONDS = 1.0  #: shortest `every`; a service that is asked more often sees an attack and answers 429
_NO_URL = Url(Template("", constant=""))
_OURS = frozenset(
    {
        *("host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect"),
        *("accept-encoding", "if-none-match", "if-modified-since", "proxy-authorization", "range"),
    }
)
_ONLY_SECRETS = "a poll has no event, so only secrets.NAME can be used here"
_QUERY_NAME = re.compile(r"[!-~]+")


def compile_poll(options: PollOptions, parse: Parse | None, max_body: int, build: Build) -> PollSpec:
    """Compile the options to a poll. Faults go to the build."""
    url = _url(options.url, build)
    check_encrypted(options, options.url, build)
    if options.every < SHORTEST_SECONDS:
        build.fault("expected at least 1s: a service that is asked more often takes it for an attack", "every")
    if options.body is not None and options.method == "GET":
        build.fault("a GET has no body; write method: POST", "body")
    items = _items(options.items, build)
    by_link = options.next == LINK
    next_page = None if options.next is None or by_link else _value(options.next, build, "next")
    if options.next is not None and options.items is None:
        build.fault("next needs items: without items the whole answer is one event", "next")
    literal = url.rest.text.partition("{{")[0] if url.secret is None else ""
    connection = compile_connection(options, build)
    written = {"url": options.url, "items": options.items, "id": options.id}
    return PollSpec(
        url=url,
        every=options.every,
        method=options.method,
        headers=_headers(options, build),
        body=_body(options.body, build),
        timeout=options.timeout,
        max_body=max_body,
        reader=ItemReader(parse, items, _ids(options, build)),
        cursor=_cursor(options.cursor, build) if options.cursor is not None else None,
        next=next_page,
        by_link=by_link,
        max_pages=options.max_pages,
        start=options.start,
        is_encrypted=_is_encrypted(url, build),
        is_literal_address=is_address(_host(literal)),
        fingerprint=hashlib.sha256(orjson.dumps(written, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32],
        settings=options.model_dump(exclude_none=True, by_alias=True),
        secrets=build.secrets,
        connection=connection,
    )


def _url(text: str, build: Build) -> Url:
    try:
        url = compile_url(text, secrets=build.secrets)
    except TemplateError as error:
        build.fault(str(error), "url")
        return _NO_URL
    if url.rest.names - {"secrets"}:
        build.fault(_ONLY_SECRETS, "url")
    return url


def _is_encrypted(url: Url, build: Build) -> bool:
    """Whether the URL begins with https. If the URL is a secret, this is known only where the secret is set."""
    if url.secret is None:
        return url.rest.text.startswith("https://")
    secret = build.secrets.get(url.secret)
    return secret is not None and (not secret.is_set or secret.reveal().strip().startswith("https://"))


def _host(text: str) -> str:
    found = re.match(r"https?://(?:\[([^\]]*)\]|([^/:?]*))", text)
    return (found[1] or found[2] or "") if found else ""


def _headers(options: PollOptions, build: Build) -> tuple[tuple[str, Template], ...]:
    found: list[tuple[str, Template]] = []
    seen: set[str] = set()
    taken = options.auth.header.lower() if options.auth and options.auth.header else "authorization"
    for name, text in options.headers.items():
        lower = name.lower()
        if not HEADER_NAME.fullmatch(name):
            build.fault("expected a header name of letters, digits and -", "headers", name)
        elif lower in _OURS:
            build.fault(f"{name} is set by the poll itself; remove it", "headers", name)
        elif options.auth is not None and lower == taken:
            build.fault(f"{name} is set by auth too; remove one of them", "headers", name)
        elif lower in seen:
            build.fault(f"{name} is given twice, in upper and lower case; keep one", "headers", name)
        elif any(c in text for c in "\r\n\0"):
            build.fault("a header value must be one line", "headers", name)
        else:
            seen.add(lower)
            template = _template(text, build, "headers", name)
            if template is not None:
                found.append((name, template))
    return tuple(found)


def _template(text: str, build: Build, *place: str) -> Template | None:
    try:
        template = compile_template(text, secrets=build.secrets)
    except TemplateError as error:
        build.fault(str(error), *place)
        return None
    if template.names - {"secrets"}:
        build.fault(_ONLY_SECRETS, *place)
    return template


def _body(written: Any, build: Build) -> Tree:
    try:
        tree = compile_tree(written, secrets=build.secrets)
    except TemplateError as error:
        build.fault(str(error), "body")
        return None
    if names_of(tree) - {"secrets"}:
        build.fault(_ONLY_SECRETS, "body")
    return tree


def _items(text: str | None, build: Build) -> ListPath | None:
    if text is None:
        return None
    if not text.startswith("$"):
        build.fault(f'expected a path into the answer, such as "$.{text.removesuffix("[*]")[:60]}[*]"', "items")
        return None
    try:
        path = list_path(text)
        if path.whole.single:
            build.fault(f'this selects one value; write "{text}[*]" for each element of a list', "items")
    except PathError as error:
        build.fault(str(error), "items")
        return None
    return path


def _ids(options: PollOptions, build: Build) -> list[ItemField]:
    written = options.id
    if written is None:
        return []
    if options.items is None:
        build.fault("id needs items: without items the whole answer is one event when it differs", "id")
        return []
    texts = written if isinstance(written, list) and written else [written]
    found: list[ItemField] = []
    for number, text in enumerate(texts):
        place = ("id", number) if isinstance(written, list) else ("id",)
        if not isinstance(text, str):
            build.fault("expected a field of the item such as item.id, or a list of them", *place)
            continue
        try:
            one = field(text)
        except PathError as error:
            build.fault(str(error), *place)
            continue
        if isinstance(one, ItemField):
            found.append(one)
        else:
            build.fault(f"expected a field of the item, such as item.{text.lstrip('$.')[:40]}", *place)
    return found


def _cursor(options: CursorOptions, build: Build) -> Cursor | None:
    if (options.query is None) == (options.header is None):
        build.fault("expected exactly one of query and header: the place in the next request", "cursor")
    if options.query is not None and not _QUERY_NAME.fullmatch(options.query):
        build.fault("expected the name of a parameter, in plain ASCII", "cursor", "query")
    if options.header is not None and (not HEADER_NAME.fullmatch(options.header) or options.header.lower() in _OURS):
        build.fault("expected a header's name, of letters, digits and -, that the poll does not set itself",
                    "cursor", "header")  # fmt: skip
    value = _value(options.from_, build, "cursor", "from")
    return Cursor(value, options.query, options.header, options.pick) if value is not None else None


def _value(text: str, build: Build, *place: str) -> ValueReader | None:
    if text.startswith("headers."):
        name = text.removeprefix("headers.")
        if HEADER_NAME.fullmatch(name):
            return ValueReader(text, header=name)
    elif text.startswith("$"):
        try:
            return ValueReader(text, path=list_path(text))
        except PathError as error:
            build.fault(str(error), *place)
            return None
    more = f", {LINK} for the Link header," if place == ("next",) else ""
    build.fault(f"expected a path into the answer such as $.next{more} or headers.NAME", *place)
    return None
