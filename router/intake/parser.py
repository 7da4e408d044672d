"""One request as its bytes arrive, by waitress, corrected: strict framing, bounds, and headers as they came.

Strict, because two readers of one connection that disagree about where a request ends let a sender hide one request in
another (RFC 9112, section 11.2): what could be read in two ways is refused rather than guessed.
"""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import waitress.buffers
import waitress.parser
import waitress.receiver

MAX_HEADERS = 100  #: of one request; real senders need 30
HEADER_BYTES = 64 * 1024  #: of one request; real senders need a tenth
CHUNK_LINE_BYTES = 4 * 1024  #: of the line before a chunk, which holds its length
TRAILER_BYTES = 16 * 1024  #: of what may follow the last chunk, and is not looked at
_FRAMING_BYTES = 1024 * 1024  #: that chunks may cost beside twice the body's own limit

# Possessive, so that what does not match fails at once. waitress's own take the square of a line's length for that: for
# one header of 64 KiB 12 s, in which nobody else gets a turn.
_FIRST = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++) ([^ ]++)(?: HTTP/([0-9]\.[0-9]))?")
# Name and value of a field, or all the rest from where there is none: one pass, however it ends.
_FIELD = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]++):([\t -~\x80-\xff]*+)\r\n|(?s:(.++))")

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
    command = ""  #: these three are for requests whose first line is not read
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

    @property
    def body(self) -> bytes:
        """All of it, once it has arrived."""
        return b"" if self.body_rcv is None else bytes(self.body_rcv.getbuf().get())

    def refuse(self, code: int, reason: str) -> None:
        """Answer with this status, whatever still comes."""
        self.error = Refusal(code, reason)
        self.completed = True
        self.expect_continue = False

    def close(self) -> None:
        """Let go of the body. What a full disk did not take is tried again here, and is not wanted any more."""
        with contextlib.suppress(OSError):
            super().close()

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
        except ValueError:  # numbers and addresses in which Python sees sense only up to a point
            raise waitress.parser.ParsingError("invalid header") from None

    def _read_header(self, header_plus: bytes) -> None:
        """Fill in what waitress's own reading would, which a test holds this to: reading all twice costs too much."""
        if header_plus.count(b"\n") > MAX_HEADERS + 2:
            raise _RefusedError(431, "number of headers")
        if b"\r\n " in header_plus or b"\r\n\t" in header_plus:
            raise _RefusedError(400, "header continued on the next line")
        line, _, rest = header_plus.partition(b"\r\n")
        first = _FIRST.fullmatch(line.rstrip())
        if first is None:
            raise _RefusedError(400, "first line")
        self._read_fields(rest.removesuffix(b"\r\n").decode("latin-1"))
        self._read_first(*first.groups(b""))
        self._read_framing()

    def _read_fields(self, text: str) -> None:
        found = _FIELD.findall(text)
        if found and found[-1][2]:
            raise _RefusedError(400, "header")
        # Without underscores, as waitress does: proxies and applications confuse them with dashes.
        items = tuple((name, value.strip(" \t")) for name, value, _ in found if "_" not in name)
        headers = self.headers
        for name, value in items:
            key = name.upper().replace("-", "_")
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        self.items_as_received = items

    def _read_first(self, command: bytes, uri: bytes, version: bytes) -> None:
        if b"\r" in uri or b"\n" in uri or command != command.upper():
            raise waitress.parser.ParsingError("first line")
        self.command = command.decode()
        self.version = version.decode()
        self.request_uri = uri.decode("latin-1")
        self.url_scheme = self.adj.url_scheme
        self.proxy_scheme, self.proxy_netloc, self.path, self.query, self.fragment = waitress.parser.split_uri(uri)
        if self.version not in ("1.0", "1.1"):
            raise _RefusedError(400, "HTTP version")

    def _read_framing(self) -> None:
        headers = self.headers
        coding = headers.pop("TRANSFER_ENCODING", None)
        length = headers.get("CONTENT_LENGTH")
        if coding is not None:
            if self.version == "1.0" or coding.lower() != "chunked":
                raise _RefusedError(400, "transfer encoding")
            if length is not None:
                raise _RefusedError(400, "length and transfer encoding")
            self.chunked = True
        elif length is not None:
            if not (length.isascii() and length.isdigit()):
                raise waitress.parser.ParsingError("length")
            self.content_length = int(length)
        if self.version == "1.1":
            self.expect_continue = headers.get("EXPECT", "").lower() == "100-continue"
        if self.chunked or self.content_length:
            self._largest = self._body_limit(self.path_info)
            if self.content_length > self._largest:
                raise _RefusedError(413, "size")
            body = waitress.buffers.OverflowableBuffer(self.adj.inbuf_overflow)
            self.body_rcv = (
                waitress.receiver.ChunkedReceiver(body)
                if self.chunked
                else waitress.receiver.FixedStreamReceiver(self.content_length, body)
            )
