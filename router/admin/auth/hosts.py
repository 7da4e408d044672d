"""Whose requests the admin listener takes: those that call it by its own name, and come from no other site's page.

A page in somebody's browser can reach loopback, under a name of its own that it lets point there (DNS rebinding) or
across sites.
"""

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

_SAME_SITE = ("same-origin", "none")  #: of Sec-Fetch-Site: our own pages, and a person who typed the address


def is_ours(header: str, names: Collection[str]) -> bool:
    """Whether a Host header names this listener: by a literal address, as localhost, or by one of the names."""
    name = header.rpartition(":")[0] if header.rpartition(":")[2].isdigit() else header
    name = name.lower().removesuffix(".")
    if name == "localhost" or name in names:
        return True
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]") if name.startswith("[") else name)
    except ValueError:
        return False
    return True  # a literal address is nobody's name, and that it is this machine's the connection has shown


def is_of_another_site(headers: Mapping[str, str], names: Collection[str]) -> bool:
    """Whether a browser says that another site's page sent this; by header names in lower case."""
    if headers.get("sec-fetch-site", "none").lower() not in _SAME_SITE:
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    try:
        # `null` is what a browser calls a page that it does not name.
        return not is_ours(urlsplit(origin).netloc, names) or origin.partition("://")[2] != headers.get("host", "")
    except ValueError:
        return True
