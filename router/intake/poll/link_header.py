"""Reads from the Link header (RFC 8288, section 3) the URL with the relation `next`."""

import re
from collections.abc import Iterator

LONGEST = 16_384  #: characters that are read; a header has less
_LINK = re.compile(r"<([^<>]*)>")
_PARAM = re.compile(r'\s*;\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?')


def next_link(value: str) -> str | None:
    """The reference of the first link with the relation `next`; None if there is none. Broken parts are skipped."""
    for reference, params in _links(value[:LONGEST]):
        relations = next((text for name, text in params if name == "rel"), "")
        has_anchor = any(name == "anchor" for name, _ in params)  # such a link is about another resource
        if "next" in relations.lower().split() and not has_anchor:
            return reference
    return None


def _links(value: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    at = 0
    while (found := _LINK.search(value, at)) is not None:
        at = found.end()
        params: list[tuple[str, str]] = []
        while (param := _PARAM.match(value, at)) is not None:
            at = param.end()
            name, quoted, token = param.groups()
            params.append((name.lower(), re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else token or ""))
        yield found[1].strip(), params
