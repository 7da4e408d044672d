"""Arrays as parameters, in PostgreSQL's binary form. One array for each column, so that one statement takes many rows.

The types never depend on the values, so each statement is prepared once. (psycopg's own dumper of lists examines each
value and chooses the type by the largest number.)
"""

import hashlib
import re
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar
from uuid import UUID

from psycopg import Connection
from psycopg.adapt import Dumper
from psycopg.pq import Format

_LENGTH = struct.Struct("!i")
_NUMBER = struct.Struct("!iq")
_NULL = _LENGTH.pack(-1)
_HEAD = struct.Struct("!iiIii")
_EMPTY = struct.Struct("!iiI")


class Column(ABC):
    """The values of one column."""

    element: ClassVar[int]  #: the type's number in PostgreSQL
    array: ClassVar[int]

    def __init__(self, values: Iterable[Any]) -> None:
        self.values = list(values)

    @abstractmethod
    def parts(self) -> list[bytes]:
        """Each value with its length before it."""


class Texts(Column):
    """text[]"""

    element, array = 25, 1009

    def parts(self) -> list[bytes]:
        """See Column.parts. Raises UnicodeEncodeError for a lone surrogate."""
        found = []
        for value in self.values:
            if value is None:
                found.append(_NULL)
            else:
                data = stored(value).encode()
                found.append(_LENGTH.pack(len(data)) + data)
        return found


class Blobs(Column):
    """bytea[]"""

    element, array = 17, 1001

    def parts(self) -> list[bytes]:
        """See Column.parts."""
        return [part for value in self.values for part in (_LENGTH.pack(len(value)), value)]


class Numbers(Column):
    """bigint[]"""

    element, array = 20, 1016

    def parts(self) -> list[bytes]:
        """See Column.parts."""
        return [_NULL if value is None else _NUMBER.pack(8, value) for value in self.values]


class Uuids(Column):
    """uuid[]"""

    element, array = 2950, 2951

    def parts(self) -> list[bytes]:
        """See Column.parts."""
        return [_NULL if value is None else _LENGTH.pack(16) + value.bytes for value in self.values]


class _Dumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Column) -> bytes:
        values = obj.values
        if not values:
            return _EMPTY.pack(0, 0, obj.element)
        head = _HEAD.pack(1, int(None in values), obj.element, len(values), 1)
        return b"".join([head, *obj.parts()])


class _Texts(_Dumper):
    oid = Texts.array


class _Blobs(_Dumper):
    oid = Blobs.array


class _Numbers(_Dumper):
    oid = Numbers.array


class _Uuids(_Dumper):
    oid = Uuids.array


def register(connection: Connection[Any]) -> None:
    """Let a connection take columns as parameters."""
    for kind, dumper in ((Texts, _Texts), (Blobs, _Blobs), (Numbers, _Numbers), (Uuids, _Uuids)):
        connection.adapters.register_dumper(kind, dumper)


_ESCAPE = "\ufdd0"  # a code point that Unicode reserves for internal use
_ESCAPED = re.compile(_ESCAPE + "(.)", re.DOTALL)


def stored(text: str) -> str:
    """A text in a form that PostgreSQL can store: it accepts no NUL."""
    if "\0" not in text and _ESCAPE not in text:
        return text
    return text.replace(_ESCAPE, _ESCAPE * 2).replace("\0", f"{_ESCAPE}0")


def restored(text: str) -> str:
    """The inverse of `stored`."""
    if _ESCAPE not in text:
        return text
    return _ESCAPED.sub(lambda found: "\0" if found[1] == "0" else _ESCAPE, text)


def columns(rows: Sequence[Sequence[Any]], *kinds: type[Column]) -> list[Column]:
    """The columns of rows."""
    if not rows:
        return [kind(()) for kind in kinds]
    return [kind(values) for kind, values in zip(kinds, zip(*rows, strict=True), strict=True)]


def digest(*parts: str) -> UUID:
    """A hash that identifies these texts. Nobody can find two groups of texts with the same hash."""
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode()
        found.update(_LENGTH.pack(len(data)) + data)
    return UUID(bytes=found.digest())
