"""One connection: bytes in, requests to the handler one after the other, replies out.

All of it belongs to the loop's thread. Nothing more is read while a request is being answered, so what a connection
holds in memory is bounded: one request under way, one read behind it, and the replies that its sender does not take.
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
    """What a connection needs of its server."""

    buffer: memoryview  #: for every connection's reads: what was read is parsed or copied before the next
    body_limit: BodyLimit
    dispatch: "Dispatch"
    stopping: bool  #: replies say that the connection ends with them
    request_seconds: float

    def closed(self, connection: "Connection") -> None:
        """A connection is gone."""

    def free(self, connection: "Connection") -> None:
        """A connection has nothing under way."""


def read_buffer() -> memoryview:
    """For `Owner.buffer`."""
    return memoryview(bytearray(READ_BYTES))


class Connection(asyncio.BufferedProtocol):
    """One sender's."""

    def __init__(self, owner: Owner, ip: str, loop: asyncio.AbstractEventLoop) -> None:
        self.ip = ip
        self.opened_at = self.active_at = time.monotonic()  #: the latter: of the last byte or reply
        self.accepted_at = 0.0  #: monotonic, of the last 2xx reply; 0: there was none
        self.opening: asyncio.Task[None] | None = None  #: while there is no transport yet
        self._owner = owner
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._reader = Reader(owner.body_limit)
        self._current: Message | None = None  # that is being answered
        self._kept = b""  # what came meanwhile, unread
        self._began_at = 0.0  # of the message that is arriving; 0: none is
        self._blocked_at = 0.0  # since when the sender takes no replies; 0: it does
        self._lingers_at = 0.0  # since when what still comes is thrown away; 0: it is read
        self._closing_at = 0.0
        self._ended = False  # the sender says nothing more

    # What others ask.

    @property
    def under_way(self) -> bool:
        """Whether a request is being answered."""
        return self._current is not None

    @property
    def is_gone(self) -> bool:
        """Whether there is nobody to reply to; any thread may ask."""
        return self._transport is None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way, not even in part."""
        return not (self._current or self._kept or self._reader.begun or self._reader.ready or self._blocked_at)

    def cut(self) -> None:
        """Close at once, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()
        elif self.opening is not None:
            self.opening.cancel()

    def close(self) -> None:
        """Close once the replies are out."""
        if self._transport is not None and not self._closing_at:
            self._closing_at = time.monotonic()
            self._transport.close()

    def check(self, now: float) -> None:
        """Cut off or refuse who takes too long; now is monotonic."""
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

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

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

    # Requests in.

    def _guarded(self, function: Callable[[memoryview], None], data: memoryview) -> None:
        """A fault ends this connection, not the loop."""
        try:
            function(data)
        except Exception as error:  # noqa: BLE001 - the boundary between one sender and all the others
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        log.error("connection failed by a fault of ours", exc_info=error)
        self.cut()

    def _keep(self, data: bytes) -> None:
        # Said only now that it happens: most senders wait for their reply before they say more.
        if self._transport is not None:
            self._transport.pause_reading()
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
        """Have the next request answered."""
        self._began_at = 0.0
        self._current = message = self._reader.ready.popleft()
        self._owner.dispatch.judge(self, message)
        if self._owner.dispatch.has_ready():
            self._owner.dispatch.answer_ready()  # the others need not wait until this turn's requests are judged

    def _advance(self) -> None:
        """Go on with what was kept: one request, before the other connections get their turn."""
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
        elif self._reader.begun:
            self._reader.refuse(400, "the sender ended before the request did")
            self._serve()
        else:
            self.close()

    # Replies out.

    def answer(self, reply: Reply) -> None:
        """Reply to the request that is being answered; its sender may be gone."""
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
        """That was the last reply."""
        transport = self._transport
        if transport is None:
            return
        # Closing while the sender still sends makes its kernel throw away the reply that it has not read yet.
        if lingers and not self._ended and transport.can_write_eof():
            self._lingers_at = time.monotonic()
            transport.write_eof()
            transport.resume_reading()
        else:
            self.close()
