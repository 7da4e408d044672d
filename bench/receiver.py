"""A target for benchmarks: answers 200 as cheaply as Python can, and keeps how long each request was on its way.

A request may carry X-Sent, the sender's CLOCK_MONOTONIC in ns, which all processes of a machine share. A GET answers
with what came since the last GET, as JSON, and forgets it. Other ports misbehave, for `isolation.py`.

    receiver.py [--bad MODE …] [--seconds N]     prints a port a line: that of the good target, then one for each mode

Modes: hang (reads, never answers), slow (answers after N seconds), drip (a byte of its answer every N / 60 seconds).
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable
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


class Requests(asyncio.Protocol):
    """Splits a connection into requests, and has each answered."""

    def __init__(self, answer: Callable[[asyncio.Transport, bytes], None]) -> None:
        self._answer = answer
        self._head = b""
        self._buffer = b""
        self._body = 0  #: bytes of it that are still to come

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._buffer:
            if not self._head:
                end = self._buffer.find(b"\r\n\r\n")
                if end < 0:
                    return
                self._head = self._buffer[: end + 2].lower()
                self._buffer = self._buffer[end + 4 :]
                self._body = int(value(self._head, b"\r\ncontent-length:") or 0)
            if len(self._buffer) < self._body:
                return
            self._buffer = self._buffer[self._body :]
            head, self._head = self._head, b""
            self._answer(self._transport, head)


def good(tally: Tally) -> Callable[[asyncio.Transport, bytes], None]:
    def answer(transport: asyncio.Transport, head: bytes) -> None:
        if head.startswith(b"get "):
            body = tally.take()
            transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            return
        tally.note(head, time.monotonic_ns())
        transport.write(OK)

    return answer


def bad(mode: str, seconds: float) -> Callable[[asyncio.Transport, bytes], None]:
    loop = asyncio.get_running_loop()

    def answer(transport: asyncio.Transport, _: bytes) -> None:
        if mode == "slow":
            loop.call_later(seconds, transport.write, OK)
        elif mode == "drip":
            for i in range(len(OK)):
                loop.call_later((i + 1) * seconds / 60, transport.write, OK[i : i + 1])

    return answer


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--bad", nargs="*", default=[], choices=["hang", "slow", "drip"])
    arguments.add_argument("--seconds", type=float, default=30.0)
    given = arguments.parse_args()
    loop = asyncio.get_running_loop()
    tally = Tally()
    answers = [good(tally), *(bad(mode, given.seconds) for mode in given.bad)]
    servers = [await loop.create_server(lambda a=a: Requests(a), "127.0.0.1", 0, backlog=1024) for a in answers]  # type: ignore[misc]
    for server in servers:
        print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
