"""One end of the socket between the main process and an intake process."""

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import cast

from router.daemon.processes.frames import Frame, FrameReader

GATHERED_SECONDS = 0.01  #: how long log lines wait for others; a kill -9 loses them

Receive = Callable[[list[Frame]], None]


class Link(asyncio.Protocol):
    """Sends the frames of one turn of its loop with one write. Any thread may send; everything else belongs to the
    loop.

    `received` is called with the frames of one read. `lost` is called once: when the other process is gone or has
    closed.
    """

    def __init__(self, received: Receive, lost: Callable[[], None], reader: FrameReader | None = None) -> None:
        self._received = received
        self._lost = lost
        self._reader = reader or FrameReader()
        self._waiting: deque[bytes] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._transport: asyncio.Transport | None = None
        self._flushing = self._gathering = self._ended = False

    async def attach(self, sock: socket.socket) -> None:
        """Serve the socket in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        await self._loop.create_unix_connection(lambda: self, sock=sock)

    def send(self, data: bytes) -> None:
        """Send a frame soon. Does nothing when the other process is gone."""
        self.put(data)
        self.wake()

    def send_later(self, data: bytes) -> None:
        """Send a frame together with later ones, within GATHERED_SECONDS. Each write costs both processes a system
        call."""
        self.put(data)
        if self._loop is None or self._flushing or self._gathering or self._ended:
            return
        self._gathering = True
        if threading.get_ident() == self._thread:
            self._gather()
        else:
            self._call(self._gather)

    def put(self, data: bytes) -> None:
        """Queue a frame. The next `wake` sends it."""
        if not self._ended:
            self._waiting.append(data)

    def wake(self) -> None:
        """Send all frames soon."""
        loop = self._loop
        if loop is None or self._flushing or self._ended:
            return
        self._flushing = True
        if threading.get_ident() == self._thread:
            loop.call_soon(self._flush)
        else:
            self._call(self._flush)

    def _call(self, function: Callable[[], None]) -> None:
        """Have the loop call a function. Any thread may ask."""
        try:
            cast("asyncio.AbstractEventLoop", self._loop).call_soon_threadsafe(function)
        except RuntimeError:  # the loop has ended, and the process is about to end
            self._ended = True

    def _gather(self) -> None:
        if self._loop is not None:
            self._loop.call_later(GATHERED_SECONDS, self._end_gathering)

    def _end_gathering(self) -> None:
        self._gathering = False
        self._flush()

    def take_waiting(self) -> bytes:
        """Remove and return the waiting frames, for a process that ends before its loop begins."""
        return b"".join([self._waiting.popleft() for _ in range(len(self._waiting))])

    @property
    def waiting(self) -> int:
        """How many frames wait to be sent; any thread may ask."""
        return len(self._waiting)

    def is_sent(self) -> bool:
        """Whether the kernel has all frames. Any thread may ask."""
        transport = self._transport
        return self._ended or not (self._waiting or transport is None or transport.get_write_buffer_size())

    def close(self) -> None:
        """Close this end and drop the waiting frames."""
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        self._flushing = False
        transport, waiting = self._transport, self._waiting
        if transport is None or not waiting:
            return
        transport.write(b"".join([waiting.popleft() for _ in range(len(waiting))]))

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._flush()

    def data_received(self, data: bytes) -> None:
        frames = self._reader.feed(data)
        if frames:
            self._received(frames)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._ended, self._transport = True, None
        self._waiting.clear()
        self._lost()
