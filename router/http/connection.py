"""One connection: bytes in, requests to the handler one after the other, replies out.

It belongs to the loop's thread. While a request is being answered nothing more is read. So its memory is bounded: one
request, the bytes of one read after it, and the replies that its sender has not read yet.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

import structlog

from router.domain.reply import Reply
from router.http.contract import BodyLimit
from router.http.limits import HEADER_SECONDS, IDLE_SECONDS, LINGER_SECONDS, READ_BYTES, SLICE_BYTES
from router.http.problem import refusal
from router.http.reader import Message, Reader
from router.http.response import serialize

if TYPE_CHECKING:
    from router.http.dispatch import Dispatch

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

log = structlog.get_logger()


class Owner(Protocol):
    """What a connection uses of its server."""

    buffer: memoryview  #: shared by all connections: what is read is parsed or copied before the next read
    body_limit: BodyLimit
    dispatch: "Dispatch"
    stopping: bool  #: each reply is then the last one of its connection
    request_seconds: float

    def closed(self, connection: "Connection") -> None:
        """A connection is gone."""

    def free(self, connection: "Connection") -> None:
        """A connection has no request under way."""


def read_buffer() -> memoryview:
    """A buffer for `Owner.buffer`."""
    return memoryview(bytearray(READ_BYTES))


class Connection(asyncio.BufferedProtocol):
    """One sender's connection."""

    def __init__(self, owner: Owner, ip: str, loop: asyncio.AbstractEventLoop) -> None:
        self.ip = ip
        self.opened_at = self.active_at = time.monotonic()  #: `active_at`: the time of the last byte or reply
        self.accepted_at = 0.0  #: monotonic, of the last 2xx reply; 0 before the first
        self.opening: asyncio.Task[None] | None = None  #: while there is no transport yet
        self._owner = owner
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._reader = Reader(owner.body_limit)
        self._current: Message | None = None  # the request that is being answered
        self._kept = b""  # bytes that came meanwhile, still unparsed
        self._paused = False  # reading is paused while bytes wait to be parsed
        self._began_at = 0.0  # monotonic, the time when the arriving request began; 0 while none arrives
        self._blocked_at = 0.0  # monotonic, the time since when the sender reads no replies; 0 while it reads them
        self._lingers_at = 0.0  # monotonic, the time since when incoming bytes are discarded; 0 while they are read
        self._closing_at = 0.0
        self._ended = False  # the sender has closed its direction

    # Used by the listener and the dispatch.

    @property
    def under_way(self) -> bool:
        """Whether a request is being answered."""
        return self._current is not None

    @property
    def is_gone(self) -> bool:
        """Whether the connection has ended; any thread may ask."""
        return self._transport is None

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way or has begun to arrive, and all replies are out."""
        return not (self._current or self._kept or self._reader.begun or self._reader.ready or self._blocked_at)

    def cut(self) -> None:
        """Close at once, even with a request under way."""
        if self._transport is not None:
            self._transport.abort()
        elif self.opening is not None:
            self.opening.cancel()

    def close(self) -> None:
        """Close when the replies are sent."""
        if self._transport is not None and not self._closing_at:
            self._closing_at = time.monotonic()
            self._transport.close()

    def check(self, now: float) -> None:
        """Close or refuse when a deadline has passed; now is monotonic."""
        if self._lingers_at:
            if now > self._lingers_at + LINGER_SECONDS:
                self.cut()
        elif self._closing_at:
            if now > self._closing_at + IDLE_SECONDS:
                self.cut()
        elif self._blocked_at:
            if now > self._blocked_at + IDLE_SECONDS:
                self.cut()
        elif self._current is not None:
            return
        elif self._began_at:
            seconds = self._owner.request_seconds
            if self._reader.in_headers:
                seconds = min(HEADER_SECONDS, seconds)
            if now > self._began_at + seconds:
                self._reader.refuse(408, "time")
                self._advance()
        elif now > self.active_at + IDLE_SECONDS:
            self.close()

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transport does not inherit from asyncio's

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return self._owner.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.active_at = time.monotonic()
        if self._lingers_at:
            return
        data = self._owner.buffer[:nbytes]
        if self._current is not None or self._kept or self._blocked_at:
            self._keep(bytes(data))
            return
        self._guarded(self._take, data)

    def eof_received(self) -> bool:
        self._ended = True
        if self._lingers_at:
            return False
        if self._current is None and not self._kept:
            if self._reader.begun:
                self._reader.refuse(400, "the sender ended before the request did")
                self._advance()
            elif not self._reader.ready:
                return False
        return True  # the transport stays open for the replies

    def pause_writing(self) -> None:
        self._blocked_at = time.monotonic()

    def resume_writing(self) -> None:
        self._blocked_at = 0.0
        self._loop.call_soon(self._advance)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._transport = None
        self._kept = b""
        self._reader.close()
        self._owner.closed(self)

    # Incoming requests.

    def _guarded(self, function: Callable[[memoryview], None], data: memoryview) -> None:
        """Call a function. Its fault ends this connection and not the loop."""
        try:
            function(data)
        except Exception as error:  # noqa: BLE001 - the boundary between one sender and all the others
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        log.error("connection failed by a fault of ours", exc_info=error)
        self.cut()

    def _keep(self, data: bytes) -> None:
        # Reading pauses only here: pausing costs time, and most senders wait for their reply before they send more.
        if self._transport is not None:
            self._transport.pause_reading()
            self._paused = True
        self._kept += data

    def _take(self, data: memoryview | bytes) -> None:
        reader = self._reader
        at = 0
        while at < len(data) and not reader.ready:
            reader.feed(data[at : at + SLICE_BYTES])
            at += SLICE_BYTES
        if at < len(data) and not reader.over:
            self._keep(bytes(data[at:]))
        if reader.ready:
            self._serve()
        else:
            self._await_more()

    def _await_more(self) -> None:
        self._began_at = self._began_at or time.monotonic()
        if self._reader.awaits_continue:
            self._reader.awaits_continue = False
            self._write(_CONTINUE)

    def _serve(self) -> None:
        """Hand the next request to the handler."""
        self._began_at = 0.0
        self._current = message = self._reader.ready.popleft()
        self._owner.dispatch.handle(self, message)
        if self._owner.dispatch.has_ready():
            # other connections should not wait until all requests of this turn are handled
            self._owner.dispatch.answer_ready()

    def _advance(self) -> None:
        """Continue with the next request. Only one, so that other connections get their turn."""
        if self._transport is None or self._current or self._blocked_at or self._lingers_at or self._closing_at:
            return
        try:
            if self._reader.ready:
                self._serve()
            elif self._kept:
                data, self._kept = self._kept, b""
                self._take(data)
            elif self._reader.begun:
                self._await_more()
            if self._current is None and not self._reader.ready and not self._kept:
                self._read_on()
        except Exception as error:  # noqa: BLE001 - the boundary between one sender and all the others
            self._failed(error)

    def _read_on(self) -> None:
        transport = self._transport
        if transport is None or self._lingers_at or self._closing_at:
            return
        if not self._ended:
            transport.resume_reading()
            self._paused = False
        elif self._reader.begun:
            self._reader.refuse(400, "the sender ended before the request did")
            self._serve()
        else:
            self.close()

    # Outgoing replies.

    def answer(self, reply: Reply) -> None:
        """Send the reply to the request under way; the sender may have left."""
        message, self._current = self._current, None
        if message is None or self._transport is None:
            return
        self.active_at = time.monotonic()
        if reply.status < 300:
            self.accepted_at = self.active_at
        more = bool(self._reader.ready or self._kept or self._reader.begun)
        keep_alive = message.keep_alive and (more or not (self._owner.stopping or self._ended))
        self._write(self._serialized(reply, message, keep_alive=keep_alive))
        if not keep_alive:
            self._finish(lingers=bool(message.refused or self._kept))
        elif more:
            self._loop.call_soon(self._advance)
        else:
            if self._paused:
                self._read_on()
            self._owner.free(self)

    def _serialized(self, reply: Reply, message: Message, *, keep_alive: bool) -> bytes:
        head_only, now = message.method == "HEAD", time.time()
        try:
            return serialize(reply, message.version, keep_alive=keep_alive, head_only=head_only, now=now)
        except Exception as error:
            log.error("request failed by a fault of ours", exc_info=error)
            return serialize(refusal(500), message.version, keep_alive=keep_alive, head_only=head_only, now=now)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _finish(self, *, lingers: bool) -> None:
        """Close after the last reply."""
        transport = self._transport
        if transport is None:
            return
        # If the connection closed while the sender is still sending, the sender's kernel would discard the unread
        # reply.
        if lingers and not self._ended and transport.can_write_eof():
            self._lingers_at = time.monotonic()
            transport.write_eof()
            transport.resume_reading()
        else:
            self.close()
