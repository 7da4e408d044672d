"""A sender that keeps to its timetable, whether or not answers come: what a slow router delays is not left unsent."""

import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Sent:
    """One run."""

    requests: int
    answered: int  #: 202
    refused: int  #: any other answer
    answer_ms: list[float]  #: from the moment in the timetable to the answer, sorted


def send(port: int, request: Callable[[int], bytes], rate: float, seconds: float, patience: float = 10.0) -> Sent:
    """Send `rate` requests a second on as many connections as it takes; `request` is given the timetable's moment (ns
    of CLOCK_MONOTONIC) for its X-Sent, and makes the whole request."""
    idle: list[socket.socket] = []
    waiting: dict[socket.socket, int] = {}
    answer_ms: list[float] = []
    answered = refused = sent = 0
    total = round(rate * seconds)
    start = time.monotonic_ns() + 10_000_000

    def collect(timeout: float) -> None:
        nonlocal answered, refused
        ready, _, _ = select.select(list(waiting), [], [], timeout)
        for sock in ready:
            moment = waiting.pop(sock)
            data = sock.recv(65536)  # answers are small, and come in one piece
            if not data:
                refused += 1
                sock.close()
                continue
            answered += data.startswith(b"HTTP/1.1 202")
            refused += not data.startswith(b"HTTP/1.1 202")
            answer_ms.append((time.monotonic_ns() - moment) / 1e6)
            idle.append(sock)

    try:
        for moment in timetable(start, rate, total):
            while (left := moment - time.monotonic_ns()) > 0:
                collect(left / 1e9)
            if not idle:
                idle.append(socket.create_connection(("127.0.0.1", port)))
                idle[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock = idle.pop()
            sock.sendall(request(moment))
            waiting[sock] = moment
            sent += 1
        deadline = time.monotonic() + patience
        while waiting and time.monotonic() < deadline:
            collect(0.1)
    finally:
        for sock in (*idle, *waiting):
            sock.close()
    return Sent(sent, answered, refused, sorted(answer_ms))


def timetable(start: int, rate: float, total: int) -> Iterator[int]:
    """When each request leaves, ns."""
    for i in range(total):
        yield start + round(i * 1e9 / rate)


def share(ordered: list[float], part: float) -> float:
    """A percentile of sorted values; 0.5 is the median."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")
