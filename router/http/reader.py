"""Parses requests as their bytes arrive. httptools splits them; this module refuses doubtful requests that it accepts.

It is strict: if a proxy and this server disagreed about where a request ends, a sender could hide one request in
another (RFC 9112, section 11.2). A request that can be read in two ways is refused.
"""

from collections import deque
from dataclasses import dataclass, field

import httptools

from router.http.body import Body
from router.http.contract import BodyLimit
from router.http.limits import CHUNK_LINE_BYTES, FRAMING_BYTES, HEADER_BYTES, HEADER_COUNT, SLICE_BYTES, TRAILER_BYTES
from router.http.target import is_authority, read_target

_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect", b"content-encoding"})
_UNDERSCORE = ord("_")  #: a number, since looking for bytes in bytes raises an error within
_LONGEST_LENGTH = 20  #: digits of a Content-Length; 2^63 has 19


@dataclass(slots=True)
class Message:
    """One request, whole or in part."""

    method: str = ""  #: empty until the headers are whole
    path: str = ""
    query: str = ""
    version: str = "1.1"
    headers: list[tuple[str, str]] = field(default_factory=list)
    is_encoded: bool = False  #: it has a Content-Encoding, so its body may be much larger once decoded
    keep_alive: bool = False
    body: Body = field(default_factory=Body)
    refused: int = 0  #: the status to answer it with, when it is refused
    reason: str = ""  #: the reason for the log


class _Refused(Exception):
    """Raised in a callback to end httptools' parsing."""


class Reader:
    """Parses one connection's bytes. After a refusal, or the last request of the connection, it parses nothing."""

    def __init__(self, body_limit: BodyLimit) -> None:
        self.ready: deque[Message] = deque()  #: complete messages; the last one may be a refused one
        self.over = False  #: the last message of this connection is ready
        self.begun = False  #: a message has begun and is not complete
        self.awaits_continue = False  #: the sender waits for "100 Continue" before it sends the body
        self._body_limit = body_limit
        self._resuming = False  # true while the head that `_resume` writes is parsed
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._start()

    @property
    def in_headers(self) -> bool:
        """Whether headers are still arriving."""
        return not self._in_body

    def _start(self) -> None:
        self._message = Message()
        self._target = b""
        self._host: str | None = None
        self._chunked = self._expects = self._in_body = False
        self._is_cut = False  # httptools ends the message before its body
        self._length = 0  # of the body, as announced
        self._largest = 0  # the largest body that the path accepts
        self._fields = 0  # headers so far
        self._head_bytes = 0  # of the target and the headers so far
        self._trailer_bytes = 0
        self._unread = 0  # bytes since the last result of the parser
        self._bytes = 0  # of the message

    def feed(self, data: memoryview | bytes) -> None:
        """Parse at most SLICE_BYTES."""
        rest: memoryview | bytes | None = data
        while rest is not None and not self.over and self._parser is not None:
            rest = self._feed(self._parser, rest)

    def _feed(self, parser: httptools.HttpRequestParser, data: memoryview | bytes) -> memoryview | bytes | None:
        """Parse. Returns the rest that must be fed again, or None."""
        self._unread += len(data)
        self._bytes += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # A server may ignore the header Upgrade (RFC 9110, section 7.8), and this one does.
            if self._is_cut:
                self._resume()
            return data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            # Bytes after the last request of a connection are ignored.
            if not self.over:
                self._refuse(400, str(error))  # a constant text of llhttp, without anything from the sender
            return None
        self._check_progress()
        return None

    def _resume(self) -> None:
        """Continue with the body of a request that has an Upgrade header. httptools ends the message before the body.

        Java's HttpClient asks for HTTP/2 with every request. A new parser gets a head with the same framing.
        """
        self._is_cut, self._resuming = False, True
        framing = "Transfer-Encoding: chunked" if self._chunked else f"Content-Length: {self._length}"
        last = "" if self._message.keep_alive else "\r\nConnection: close"
        message, self._message = self._message, Message()
        host, self._host = self._host, None
        target, self._target = self._target, b""
        chunked, self._chunked = self._chunked, False
        self._in_body = False
        self._fields = self._head_bytes = 0  # the limits of the real head have been checked
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(f"POST / HTTP/1.1\r\nHost: x\r\n{framing}{last}\r\n\r\n".encode())
        self._message, self._host, self._target, self._chunked = message, host, target, chunked
        self._in_body, self._resuming = True, False

    def refuse(self, status: int, reason: str) -> None:
        """Refuse the message that is arriving, and ignore the bytes that still come."""
        if not self.over:
            self._refuse(status, reason)

    def close(self) -> None:
        """Free all messages."""
        self._parser = None  # the parser refers to this object: without this they would be a cycle
        self.over = True
        self._message.body.close()
        while self.ready:
            self.ready.popleft().body.close()

    def _refuse(self, status: int, reason: str) -> None:
        message = self._message
        message.refused, message.reason, message.keep_alive = status, reason, False
        message.body.close()
        self._end()

    def _end(self) -> None:
        message = self._message
        self.ready.append(message)
        self.over = not message.keep_alive
        self.begun = self.awaits_continue = False
        self._start()

    def _check_progress(self) -> None:
        if self.over:
            return
        if not self._in_body:
            if self._unread > HEADER_BYTES + SLICE_BYTES:
                self._refuse(431, "size of headers")
        elif self._chunked:
            if self._unread > CHUNK_LINE_BYTES:
                self._refuse(400, "chunk line")
            elif self._bytes > 2 * self._largest + FRAMING_BYTES:
                self._refuse(413, "size")

    def _stop(self, status: int, reason: str) -> None:
        """Refuse from within a callback."""
        self._refuse(status, reason)
        raise _Refused

    # Called by httptools.

    def on_message_begin(self) -> None:
        if self.over:
            raise _Refused
        self.begun = True

    def on_url(self, part: bytes) -> None:
        self._target += part
        self._head_bytes += len(part)
        if self._head_bytes > HEADER_BYTES:
            self._stop(431, "size of headers")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._unread = 0
        size = len(name) + len(value) + 4
        if self._in_body:
            self._trailer_bytes += size
            if self._trailer_bytes > TRAILER_BYTES:
                self._stop(400, "trailer")
            return
        self._fields += 1
        self._head_bytes += size
        if self._fields > HEADER_COUNT:
            self._stop(431, "number of headers")
        if self._head_bytes > HEADER_BYTES:
            self._stop(431, "size of headers")
        text = value.decode("latin-1").strip(" \t")
        lower = name.lower()
        if lower in _FRAMING:
            self._frame(lower, text)
        if _UNDERSCORE not in name:  # proxies and applications confuse underscores with dashes
            self._message.headers.append((name.decode("ascii"), text))

    def _frame(self, name: bytes, text: str) -> None:
        """Handle a header that says where the request ends or how it is read."""
        if name == b"host":
            if self._host is not None or not is_authority(text):
                self._stop(400, "Host")
            self._host = text
        elif name == b"content-length":
            if len(text) > _LONGEST_LENGTH:
                self._stop(400, "length")
            self._length = int(text)  # httptools has checked that it is a number
        elif name == b"transfer-encoding":
            if text.lower() != "chunked":
                self._stop(400, "transfer encoding")
            self._chunked = True
        elif name == b"expect":
            self._expects = text.lower() == "100-continue"
        else:
            self._message.is_encoded = True

    def on_headers_complete(self) -> None:
        parser, message = self._parser, self._message
        assert parser is not None
        self._unread = 0
        if self._resuming:
            return
        message.version = version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            message.version = "1.1"
            self._stop(400, "HTTP version")
        message.method = parser.get_method().decode("ascii")
        if self._host is None and version == "1.1":
            self._stop(400, "Host")
        if self._chunked and version == "1.0":
            self._stop(400, "transfer encoding")
        target = read_target(message.method, self._target.decode("latin-1"))
        message.path, message.query = target.path, target.query
        if target.problem == 400:
            self._stop(400, "target")
        if target.problem:
            message.path = ""  # so that no source is found for it
            self._stop(target.problem, "form of the path")
        self._largest = self._body_limit(message.path) if self._chunked or self._length else 0
        if self._length > self._largest:
            self._stop(413, "size")
        message.keep_alive = parser.should_keep_alive()
        self._in_body = True
        has_body = self._chunked or self._length > 0
        self._is_cut = has_body and parser.should_upgrade()
        self.awaits_continue = self._expects and version == "1.1" and has_body

    def on_chunk_header(self) -> None:
        self._unread = 0

    def on_body(self, data: bytes) -> None:
        self._unread = 0
        self.awaits_continue = False
        body = self._message.body
        if body.size + len(data) > self._largest:
            self._stop(413, "size")
        try:
            body.add(data)
        except OSError:
            self._stop(503, "no room for the body")

    def on_message_complete(self) -> None:
        if not self._is_cut:
            self._end()
