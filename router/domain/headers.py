"""Header names, and the headers of a request."""

import re
from collections.abc import Iterator, Mapping

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  #: a token: RFC 9110, section 5.1
REQUEST_HEADER = re.compile(HEADER_NAME.pattern.replace("_", ""))  #: of a received request: see dropped_header


class Headers(Mapping[str, str]):
    """Request headers: names without case, several values for a repeated name, their order kept.

    As a mapping it gives the first value of a name, and iterates over the names in their received spelling.
    """

    __slots__ = ("by_name", "items_as_received")

    by_name: dict[str, list[str]]  #: lower-case names, with all values

    def __init__(self, items: tuple[tuple[str, str], ...]) -> None:
        self.items_as_received = items

    def __getattr__(self, name: str) -> dict[str, list[str]]:
        # Made at the first read: most stored or claimed events are only passed on.
        if name != "by_name":
            raise AttributeError(name)
        return self.read().by_name

    def read(self) -> "Headers":
        """Make the table now, for a request whose headers will be looked at."""
        found: dict[str, list[str]] = {}
        for key, value in self.items_as_received:
            found.setdefault(key.lower(), []).append(value)
        self.by_name = found
        return self

    def __getitem__(self, name: str) -> str:
        return self.by_name[name.lower()][0]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self.by_name

    def __iter__(self) -> Iterator[str]:
        seen: set[str] = set()
        for name, _ in self.items_as_received:
            if name.lower() not in seen:
                seen.add(name.lower())
                yield name

    def __len__(self) -> int:
        return len(self.by_name)

    def all(self, name: str) -> list[str]:
        """Every value of the header, in the order received."""
        return list(self.by_name.get(name.lower(), ()))


_NONE = Headers(())


def no_headers() -> Headers:
    """Of a request whose headers were not looked at yet."""
    return _NONE


def dropped_header(name: str) -> str:
    """Why no received request has a header of this name, with a _ in it, and the cure."""
    dashed = name.replace("_", "-")
    return (
        f"no request has a header {name[:60]}: names with a _ are dropped, since proxies take it for a dash; "
        f"write {dashed[:60]}, and let the sender do so"
    )
