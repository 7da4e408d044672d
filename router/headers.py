"""What rules, intake and actions have to agree on about headers."""

import re

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  #: a token: RFC 9110, section 5.1
REQUEST_HEADER = re.compile(HEADER_NAME.pattern.replace("_", ""))  #: one that a request can have: see dropped_header
CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie"})
"""Names, in lower case, that are removed after verification whatever the scheme, so that nothing later can see them."""


def dropped_header(name: str) -> str:
    """Why no request has a header of that name, with a _ in it, and the cure."""
    dashed = name.replace("_", "-")
    return (
        f"no request has a header {name[:60]}: names with a _ are dropped, since proxies take it for a dash; "
        f"write {dashed[:60]}, and let the sender do so"
    )
