"""A target for benchmarks: answers 200 as cheaply as Python can, and keeps how long each request was on its way.

A request may carry X-Sent, the sender's CLOCK_MONOTONIC in ns, which all processes of a machine share. A GET answers
with what came since the last GET, as JSON, and forgets it. Other ports misbehave, for `isolation.py`.

    receiver.py [--bad MODE …] [--seconds N]     prints a port a line: that of the good target, then one for each mode

Modes: hang (reads, never answers), slow (answers after N seconds), drip (its answer byte by byte for N seconds).
"""

import argparse
import asyncio
import json
import select
import socket
import threading
import time
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Tally:
    """What came."""

    requests: int = 0
    late: list[float] = field(default_factory=list)  #: ms from X-Sent to receipt
    ids: set[bytes] = field(default_factory=set)  #: of events
    first: float = 0.0  #: monotonic seconds of the first and the last request
    last: float = 0.0

    def note(self, head: bytes, now: int) -> None:
        self.requests += 1
        self.last = now / 1e9
        self.first = self.first or self.last
        if sent := value(head, b"\r\nx-sent:"):
            self.late.append((now - int(sent)) / 1e6)
        self.ids.add(value(head, b"\r\nwebhook-id:"))

    def answer(self, head: bytes, now: int) -> bytes:
        """Count a request, or answer what was counted."""
        if head.startswith(b"get "):
            body = self.take()
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        self.note(head, now)
        return OK

    def take(self) -> bytes:
        found = {
            "requests": self.requests,
            "events": len(self.ids),
            "late": sorted(self.late),
            "first": self.first,
            "last": self.last,
        }
        self.__init__()  # type: ignore[misc]
        return json.dumps(found).encode()


def value(head: bytes, name: bytes) -> bytes:
    """A header's value in a lower-cased head."""
    at = head.find(name)
    return head[at + len(name) : head.find(b"\r\n", at + 2)].strip() if at >= 0 else b""


class Request:
    """One that is coming in on a connection."""

    def __init__(self) -> None:
        self._head = b""
        self._buffer = b""
        self._body = 0  #: bytes of it that are still to come

    def feed(self, data: bytes) -> bytes | None:
        """The lower-cased head, once the request has come whole."""
        self._buffer += data
        if not self._head:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return None
            self._head = self._buffer[: end + 2].lower()
            self._buffer = self._buffer[end + 4 :]
            self._body = int(value(self._head, b"\r\ncontent-length:") or 0)
        if len(self._buffer) < self._body:
            return None
        head, self._head, self._buffer = self._head, b"", self._buffer[self._body :]
        return head


def serve(listener: socket.socket) -> None:
    """The good target: nothing but epoll and a few calls for each request."""
    tally, poller = Tally(), select.epoll()
    open_: dict[int, tuple[socket.socket, Request]] = {}
    poller.register(listener, select.EPOLLIN)
    while True:
        for number, _ in poller.poll():
            if number == listener.fileno():
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                open_[sock.fileno()] = sock, Request()
                poller.register(sock, select.EPOLLIN)
                continue
            sock, request = open_[number]
            try:
                data = sock.recv(256 * 1024)
                head = request.feed(data) if data else None
                if head is not None:
                    now = time.monotonic_ns()
                    sock.sendall(tally.answer(head, now))
            except ConnectionError:
                data = b""
            if not data:
                del open_[number]
                sock.close()


class Ill(asyncio.Protocol):
    """A target that hangs, answers late or drips its answers."""

    def __init__(self, mode: str, seconds: float) -> None:
        self._mode, self._seconds, self._request = mode, seconds, Request()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._request.feed(data) is None:
            return
        loop = asyncio.get_running_loop()
        if self._mode == "slow":
            loop.call_later(self._seconds, self._transport.write, OK)
        elif self._mode == "drip":
            for i in range(len(OK)):
                loop.call_later((i + 1) * self._seconds / len(OK), self._transport.write, OK[i : i + 1])


async def suffer(listeners: list[tuple[str, socket.socket]], seconds: float) -> None:
    """Be the ill ones."""
    loop = asyncio.get_running_loop()
    for mode, listener in listeners:
        await loop.create_server(lambda mode=mode: Ill(mode, seconds), sock=listener)  # type: ignore[misc]
    await asyncio.Event().wait()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--bad", nargs="*", default=[], choices=["hang", "slow", "drip"])
    arguments.add_argument("--seconds", type=float, default=30.0)
    given = arguments.parse_args()
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(1 + len(given.bad))]
    for listener in listeners:
        print(listener.getsockname()[1], flush=True)
    if given.bad:
        ill = list(zip(given.bad, listeners[1:], strict=True))
        threading.Thread(target=lambda: asyncio.run(suffer(ill, given.seconds)), daemon=True).start()
    serve(listeners[0])


if __name__ == "__main__":
    main()
