"""Checks the Host and the origin of requests to the admin listener.

A web page in an operator's browser can send requests to loopback: across sites, or under a host name of the attacker
that resolves to loopback (DNS rebinding).
"""

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

_SAME_SITE = ("same-origin", "none")  #: values of Sec-Fetch-Site for our own pages and for a typed address


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
    return True  # DNS rebinding needs a name, so any literal address is safe


def is_of_another_site(headers: Mapping[str, str], names: Collection[str], external: str = "") -> bool:
    """Whether a browser marks the request as coming from another site's page. Header names in lower case.

    `external` is the origin of our own page behind a proxy.
    """
    if headers.get("sec-fetch-site", "none").lower() not in _SAME_SITE:
        return True
    origin = headers.get("origin")
    if origin is None or (external and origin == external):
        return False
    try:
        # A browser sends `null` for a page without an origin, such as a sandboxed frame.
        return not is_ours(urlsplit(origin).netloc, names) or origin.partition("://")[2] != headers.get("host", "")
    except ValueError:
        return True
