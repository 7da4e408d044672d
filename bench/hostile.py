"""Other senders' latency while one sender posts a hostile body of 25 MB, beside their usual latency.

A sender that keeps to its timetable (open_loop.py) posts signed pushes of 7 kB. In each round it does so twice: alone,
and while another sender posts one body of 25 MB. The body is signed rightly, so it is parsed, matched and stored too,
and it holds as many values as a body may. Measured is the time from the moment in the timetable to the 202.
"""

import argparse
import hmac
import os
import socket
import tempfile
import threading
import time
from pathlib import Path

from daemons import Form, Running, counts, daemon, with_processes
from deliver import request
from machine import describe
from open_loop import Sent, send, share
from push import SECRET, push, rules

LARGEST = 25 * 1024 * 1024 - 1024
VALUES = 990_000


def hostile(port: int) -> bytes:
    """The request: a list of texts."""
    text = b'"' + b"x" * (LARGEST // VALUES - 3) + b'"'
    body = b"[" + b",".join([text] * VALUES) + b"]"
    signature = hmac.digest(SECRET.encode(), body, "sha256").hex()
    return (
        f"POST /hooks/github HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"X-Hub-Signature-256: sha256={signature}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode() + body


def post(port: int, content: bytes, after: float, said: list[str]) -> None:
    """Post it once."""
    time.sleep(after)
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(content)
        answer = sock.recv(65536).split(b"\r\n", 1)[0].decode()
    said.append(f"{answer} after {time.monotonic() - began:.2f} s")


def load(running: Running, given: argparse.Namespace, content: bytes | None) -> tuple[Sent, list[str]]:
    before, after = request("/hooks/github", push(), running.port)
    said: list[str] = []
    threads = [threading.Thread(target=post, args=(running.port, content, 0.5, said))] if content else []
    for thread in threads:
        thread.start()
    sent = send(running.port, lambda moment: before + b"%d" % moment + after, given.rate, given.seconds)
    for thread in threads:
        thread.join()
    return sent, said


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--processes", type=counts, default=[1, 2])
    arguments.add_argument("--rate", type=float, default=200, help="pushes a second")
    arguments.add_argument("--seconds", type=float, default=10, help="of each load")
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    print(describe("httptools", "uvloop", "apsw", "orjson"))
    print(f"{given.rate:g} pushes/s for {given.seconds:g} s a load; ms to the 202")
    print(f"{'':<14} {'p50':>7} {'p99':>7} {'max':>7} {'p50':>9} {'p99':>7} {'max':>7} {'p99 x':>7}")
    for number, flags in with_processes(given.processes):
        with (
            tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name,
            daemon(Path(name), rules(), Form("", flags)) as running,
        ):
            content = hostile(running.port)
            load(running, given, None)
            for _ in range(given.rounds):
                alone, _ = load(running, given, None)
                beside, said = load(running, given, content)
                print(
                    f"{number} process{'es' if number > 1 else '  '}    {line(alone, beside)}   {said[0]}", flush=True
                )


def line(alone: Sent, beside: Sent) -> str:
    shares = [share(sent.answer_ms, part) for sent in (alone, beside) for part in (0.5, 0.99, 1)]
    shown = [f"{value:>7.2f}" for value in shares]
    return f"{' '.join(shown[:3])}   {' '.join(shown[3:])} {shares[4] / shares[1]:>7.2f}"


if __name__ == "__main__":
    main()
