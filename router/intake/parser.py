"""One request as its bytes arrive, by waitress, corrected: strict framing, bounds, and headers as they came.

Strict, because two readers of one connection that disagree about where a request ends let a sender hide one request in
another (RFC 9112, section 11.2): what could be read in two ways is refused rather than guessed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import waitress.parser

MAX_HEADERS = 100  #: of one request; real senders need 30
HEADER_BYTES = 64 * 1024  #: of one request; real senders need a tenth
CHUNK_LINE_BYTES = 4 * 1024  #: of the line before a chunk, which holds its length
TRAILER_BYTES = 16 * 1024  #: of what may follow the last chunk, and is not looked at
_FRAMING_BYTES = 1024 * 1024  #: that chunks may cost beside twice the body's own limit

# Possessive, so that what does not match fails at once. waitress's own take the square of a line's length for that: for
# one header of 64 KiB 12 s, in which nobody else gets a turn. They only see what has passed these.
_FIRST = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++ [^ ]++(?: HTTP/[0-9]\.[0-9])?")
_FIELD = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]++):([\t -~\x80-\xff]*+)")

BodyLimit = Callable[[str], int]
"""By path: the largest body, in bytes."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused before anything reads it."""

    code: int  #: HTTP status
    reason: str  #: for the log


class _RefusedError(waitress.parser.ParsingError):  # type: ignore[misc]  # waitress has no types
    """Ends the reading of a header."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.refusal = Refusal(code, reason)


class Parser(waitress.parser.HTTPRequestParser):  # type: ignore[misc]
    """Takes one request in, piece by piece. A refusal is a value: `error`."""

    error: Any = None  #: a Refusal, or one of waitress's, which has a code too
    items_as_received: tuple[tuple[str, str], ...] = ()  #: waitress joins repeated headers and loses their case
    command = "GET"  #: these three are for requests whose first line can't be read
    path = ""
    query = ""

    def __init__(self, adj: Any, body_limit: BodyLimit) -> None:
        super().__init__(adj)
        self._body_limit = body_limit
        self._largest = 0  #: bytes of the body that this path takes
        self._refusal: Refusal | None = None

    @property
    def path_info(self) -> str:
        """The path, decoded, with one slash before it."""
        return "/" + self.path.lstrip("/") if self.path.startswith("/") else str(self.path)

    def refuse(self, code: int, reason: str) -> None:
        """Answer with this status, whatever still comes."""
        self.error = Refusal(code, reason)
        self.completed = True
        self.expect_continue = False

    def received(self, data: bytes) -> int:
        """Take some bytes; how many of them belonged to this request."""
        try:
            consumed = int(super().received(data))
        except OSError:  # a large body goes to a temporary file
            self.refuse(503, "no room for the body")
            return len(data)
        if self._refusal is not None:
            self.error = self._refusal
        elif not self.completed:
            self._check_progress()
        if self.completed:
            self.expect_continue = False  # or waitress would ask for a body that is not to come, and wait for it
        return consumed

    def _check_progress(self) -> None:
        body: Any = self.body_rcv
        if body is None:
            if b"\n\n" in self.header_plus:  # who ends lines so has said all, and waits
                self.refuse(400, "bare line feeds")
        elif self.chunked:
            if len(body.control_line) > CHUNK_LINE_BYTES or len(body.trailer) > TRAILER_BYTES:
                self.refuse(400, "chunk line or trailer")
            elif len(body) > self._largest or self.body_bytes_received > 2 * self._largest + _FRAMING_BYTES:
                self.refuse(413, "size")

    def parse_header(self, header_plus: bytes) -> None:
        """Read the first line and the headers. Raises ParsingError."""
        try:
            self._read_header(header_plus)
        except _RefusedError as refused:
            self._refusal = refused.refusal
            raise
        except waitress.parser.TransferEncodingNotImplemented:
            self._refusal = Refusal(400, "transfer encoding")
            raise
        except ValueError:  # numbers and addresses in which Python sees sense only up to a point
            raise waitress.parser.ParsingError("invalid header") from None

    def _read_header(self, header_plus: bytes) -> None:
        if header_plus.count(b"\n") > MAX_HEADERS + 2:
            raise _RefusedError(431, "number of headers")
        if b"\r\n " in header_plus or b"\r\n\t" in header_plus:
            raise _RefusedError(400, "header continued on the next line")
        first, _, rest = header_plus.partition(b"\r\n")
        if not _FIRST.fullmatch(first.rstrip()):
            raise _RefusedError(400, "first line")
        items: list[tuple[str, str]] = []
        for line in rest.decode("latin-1").split("\r\n"):
            field = _FIELD.fullmatch(line)
            if field is not None:
                name, value = field.groups()
                # As waitress does: proxies and applications confuse underscores with dashes.
                if "_" not in name:
                    items.append((name, value.strip(" \t")))
            elif line:
                raise _RefusedError(400, "header")
        self.items_as_received = tuple(items)
        super().parse_header(header_plus)
        if self.version not in ("1.0", "1.1"):
            raise _RefusedError(400, "HTTP version")
        self._check_framing()

    def _check_framing(self) -> None:
        # Once waitress has read the length it hides it, so this looks at what was sent.
        codings = [value for name, value in self.items_as_received if name.lower() == "transfer-encoding"]
        if codings and (self.version == "1.0" or [value.lower() for value in codings] != ["chunked"]):
            raise _RefusedError(400, "transfer encoding")
        if codings and "CONTENT_LENGTH" in self.headers:
            raise _RefusedError(400, "length and transfer encoding")
        if codings or self.content_length:
            self._largest = self._body_limit(self.path_info)
            if self.content_length > self._largest:
                raise _RefusedError(413, "size")
