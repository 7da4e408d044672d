"""Throws generated and malformed requests at a real daemon, and says whether it was hurt.

Three kinds, mixed: requests that are right or wrong in what they say (paths, methods, headers of every scheme, types
of content, bodies), right requests with bytes flipped, cut, doubled or moved, and shapes that HTTP forbids. Some are
sent in one piece, some in many, some by senders that leave. It fails when an answer is a 5xx other than 503, when one
does not come, when the daemon logs a fault, or when its memory or descriptors grow. Repeat a run by its --seed.
"""

import argparse
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE_SECONDS = 20.0  #: for one answer
GROWTH_BYTES = 48 * 1024 * 1024  #: of memory after the first quarter; caches of the store and the allocator take some
GROWTH_DESCRIPTORS = 8
SENDERS = 4
SCHEMES = {
    "open": "none",
    "form": "none",
    "github": "{scheme: github, secret: {env: FUZZ}}",
    "gitlab": "{scheme: gitlab, secret: {env: FUZZ}}",
    "stripe": "{scheme: stripe, secret: {env: FUZZ}}",
    "slack": "{scheme: slack, secret: {env: FUZZ}}",
    "shopify": "{scheme: shopify, secret: {env: FUZZ}}",
    "twilio": "{scheme: twilio, secret: {env: FUZZ}, url: 'https://a.example/hooks/twilio'}",
    "discord": f"{{scheme: discord, public_key: '{'ab' * 32}'}}",
    "standard": "{scheme: standard-webhooks, secret: {env: FUZZ_WHSEC}}",
    "hmac": "{scheme: hmac, header: X-Sig, timestamp_header: X-Time, secret: {env: FUZZ}}",
    "basic": "{scheme: basic, username: ann, secret: {env: FUZZ}}",
    "bearer": "{scheme: bearer, secret: {env: FUZZ}}",
    "token": "{scheme: token, query: key, secret: {env: FUZZ}}",
}
MORE = {
    "open": "max_body: 100KiB, dedupe: $.id, respond: {status: 200, body: ok}",
    "form": "json_field: payload, dedupe: headers.X-Id, methods: [POST, PUT, GET]",
    "discord": "handshake: discord",
    "token": "handshake: {scheme: meta, verify_token: {env: FUZZ}}",
}
RULES = """
  - {name: regex, source: "*", match: {$.text: {regex: "(a+)+$"}}, actions: [append: out.jsonl]}
  - {name: everywhere, source: "*", match: {$..a: x}, actions: [append: out.jsonl]}
  - {name: number, source: "*", match: {"$.list[*]": {gte: 0, lt: 10}}, actions: [append: out.jsonl]}
  - {name: said, source: form, match: {query.a: "1"}, respond: {body: "{{ payload.a }}"}, actions: [append: o.jsonl]}
"""
HEADERS = [
    "X-Hub-Signature-256", "X-Gitlab-Token", "Stripe-Signature", "X-Slack-Signature", "X-Slack-Request-Timestamp",
    "X-Shopify-Hmac-SHA256", "X-Twilio-Signature", "X-Signature-Ed25519", "X-Signature-Timestamp", "webhook-id",
    "webhook-timestamp", "webhook-signature", "X-Sig", "X-Time", "X-Id", "Authorization", "Cookie", "Content-Encoding",
    "X-Forwarded-For",
]  # fmt: skip
TYPES = [
    "application/json", "application/json; charset=utf-16", "application/x-www-form-urlencoded", "text/plain",
    "text/plain; charset=utf-7", "multipart/form-data; boundary=x", "application/vnd.x+json", "", ";;", "\xff",
]  # fmt: skip
VALUES = ["", "x", "0" * 64, "sha256=" + "0" * 64, "t=1,v1=00", "v1,AAAA", "Bearer fuzz", "1700000000", "fuzz"]
SHAPES = [
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: 5\r\nContent-Length: 6\r\n",
    b"Transfer-Encoding: chunked, identity\r\n", b"Transfer-Encoding : chunked\r\n", b"Content-Length: 0x10\r\n",
    b"X: 1\r\n folded: 2\r\n", b"X: a\rb\r\n", b"X: a\nb\r\n", b": empty\r\n", b"no colon\r\n", b"X: \x00\r\n",
    b"X: 1\r\n" * 150, b"X: " + b"a" * 70_000 + b"\r\n", b"Content-Length: " + b"9" * 5000 + b"\r\n",
    b"Expect: 100-continue\r\n",
    b"Content-Length: 99999999999\r\n", b"Content-Length: -1\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n", b"Transfer-Encoding: Chunked\r\n",
]  # fmt: skip
CHUNKS = [
    b"5\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\nT: 1\r\n\r\n", b"z\r\n", b"5\r\nhelloX",
    b"-5\r\nhello\r\n0\r\n\r\n", b"5\n\r\nhello\r\n0\r\n\r\n", b"0\r\nContent-Length: 5\r\n\r\n",
    b"F" * 9000, b"0\r\n" + b"T: 1\r\n" * 9000, b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"1\r\nx\r\n" * 2000 + b"0\r\n\r\n",
]  # fmt: skip
LINES = [
    b"POST /hooks/open HTTP/1.1", b"POST /hooks/open HTTP/1.0", b"POST /hooks/open HTTP/2.0", b"POST /hooks/open",
    b"POST",
    b"post /hooks/open HTTP/1.1", b"GET http://[x/ HTTP/1.1", b"POST //hooks/open HTTP/1.1", b"OPTIONS * HTTP/1.1",
    b"CONNECT a:1 HTTP/1.1", b"GET /\x00 HTTP/1.1", b"GET /?\xff HTTP/1.1", b"\x16\x03\x01", b"PRI * HTTP/2.0",
    b"HEAD / HTTP/1.1", b"POST /hooks/../hooks/open HTTP/1.1", b"GET / HTTP/0.9", b"POST /hooks/open#x HTTP/1.1",
    b"POST http://u@x/hooks/open HTTP/1.1", b"GET /hooks%2fopen HTTP/1.1",
    b"POST /hooks/%6Fpen?a=%00&%ff HTTP/1.1", b"GET /hooks/token?hub.mode=subscribe&hub.challenge=%0d HTTP/1.1",
]  # fmt: skip


@dataclass
class Tally:
    """What happened; shared by the senders."""

    allowed: tuple[bytes, ...]  #: the 5xx that are no faults
    statuses: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    faults: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def value(rng: random.Random, depth: int = 0) -> object:
    """Any JSON."""
    kind = rng.randrange(9 if depth < 5 else 6)
    if kind < 6:
        return [None, True, rng.randrange(-(2**70), 2**70), rng.random() * 1e300, text(rng), "x"][kind]
    if kind == 6:
        return [value(rng, depth + 1) for _ in range(rng.randrange(6))]
    return {
        rng.choice(["a", "id", "text", "list", "type", "event", text(rng)]): value(rng, depth + 1)
        for _ in range(rng.randrange(6))
    }


def text(rng: random.Random) -> str:
    """Any text that UTF-8 can write."""
    return "".join(rng.choice('aA0 .,"\\=&%{}[]\x00\n\x7fé\u2028\U0001f600') for _ in range(rng.randrange(12)))


def body(rng: random.Random) -> bytes:
    """Any body."""
    kind = rng.randrange(8)
    if kind < 4:
        return json.dumps(value(rng)).encode()
    if kind == 4:
        return b"&".join(
            b"%b=%b" % (rng.choice([b"a", b"payload", b"%"]), rng.randbytes(4).hex().encode()) for _ in range(9)
        )
    if kind == 5:
        return b"payload=" + json.dumps(value(rng)).encode()
    if kind == 6:
        if rng.random() < 0.01:  # large enough for the process that judges large requests
            return rng.choice([rng.randbytes(300_000), b"[" + b"1," * 200_000 + b"1]", b'{"a": "' + b"x" * 400_000])
        return rng.randbytes(rng.choice([0, 1, 50, 5000, 120_000 if rng.random() < 0.05 else 100]))
    return rng.choice(
        [
            b"[" * 3000,
            b'{"a":' * 300 + b"1" + b"}" * 300,
            b"{",
            b"\xef\xbb\xbf{}",
            b"NaN",
            b'{"text": "' + b"a" * 9000 + b'!"}',
        ]
    )


def right(rng: random.Random) -> bytes:
    """A request that is HTTP, whatever it says."""
    path = "/hooks/" + rng.choice([*SCHEMES, *["open", "form"] * 5, "nowhere"])
    query = rng.choice(
        ["", "", "?a=1", "?key=" + rng.choice(["fuzz", "x", "%ff"]), "?" + "a=1&" * rng.choice([5, 3000])]
    )
    lines = [f"{rng.choice(['POST'] * 8 + ['GET', 'PUT', 'HEAD', 'OPTIONS', 'TRACE'])} {path}{query} HTTP/1.1"]
    lines += ["Host: fuzz"] * (rng.random() < 0.97) + ["Content-Type: " + rng.choice(TYPES)]
    lines += [f"{name}: {rng.choice(VALUES)}" for name in rng.sample(HEADERS, rng.randrange(5))]
    if rng.random() < 0.1:
        lines.append("Expect: 100-continue")
    content = body(rng)
    if rng.random() < 0.2:
        lines.append("Transfer-Encoding: chunked")
        size = rng.choice([1, 7, 4000]) if len(content) < 2000 else 4000
        pieces = [content[at : at + size] for at in range(0, len(content), size)]
        content = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    else:
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content


def mangled(rng: random.Random) -> bytes:
    """A right request with something done to its bytes."""
    data = bytearray(right(rng))
    for _ in range(rng.choice([1, 1, 2, 10])):
        at, end = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
        end = min(end, at + rng.choice([1, 4, 200]))
        kind = rng.randrange(4)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at:end]
        elif kind == 2:
            data[at:at] = data[at:end]
        else:
            data[at:at] = rng.choice([b"\r\n", b"\n", b"\x00", b":", b" ", b"\xff", b"\r\n\r\n"])
    return bytes(data)


def forbidden(rng: random.Random) -> bytes:
    """What HTTP forbids, or nearly."""
    line = rng.choice(LINES if rng.random() < 0.5 else LINES[:1]) + b"\r\n"
    line += rng.choice([b"Host: fuzz\r\n"] * 20 + [b"", b"Host: a\r\nHost: b\r\n", b"Host: a b\r\n", b"Host: \xff\r\n"])
    if rng.random() < 0.3:
        return line + b"Transfer-Encoding: chunked\r\n\r\n" + rng.choice(CHUNKS)
    return (
        line + b"".join(rng.sample(SHAPES, rng.randrange(3))) + rng.choice([b"\r\n", b"\n\n", b""]) + rng.randbytes(9)
    )


KINDS: list[Callable[[random.Random], bytes]] = [right, mangled, forbidden]


def exchange(port: int, rng: random.Random, tally: Tally) -> int:
    """One connection with one or some requests; how many."""
    number = rng.choice([1, 1, 1, 2, 5, 20])
    data = b"".join(rng.choice(KINDS)(rng) if rng.random() < 0.6 else right(rng) for _ in range(number))
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
        try:
            step = len(data) if rng.random() < 0.8 else rng.choice([1, 3, 1000]) if len(data) < 3000 else 20_000
            for at in range(0, len(data), step):
                connection.sendall(data[at : at + step])
            if rng.random() < 0.05:
                return number  # leaves without listening
            connection.shutdown(socket.SHUT_WR)
            answer = bytearray()
            while part := connection.recv(65536):
                answer += part
        except TimeoutError:
            with tally.lock:
                tally.faults.append(f"no answer to {data[:300]!r}")
            return number
        except OSError:  # the server ended it while we were still sending, which it may
            return number
    statuses = re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)
    with tally.lock:
        tally.statuses.update(status.decode() for status in statuses)
        bad = [status for status in statuses if status.startswith(b"5") and status not in tally.allowed]
        if bad:
            tally.faults.append(f"{bad} to {data[:300]!r}")
    return number


def send(port: int, seed: int, wanted: int, tally: Tally) -> None:
    """One sender, until enough was sent by all."""
    rng = random.Random(seed)
    while tally.sent < wanted:
        try:
            number = exchange(port, rng, tally)
        except OSError as error:
            tally.faults.append(f"not accepted: {error}")
            return
        with tally.lock:
            tally.sent += number


def everybody(port: int, seed: int, wanted: int, tally: Tally) -> None:
    senders = [threading.Thread(target=send, args=(port, seed * 1000 + i, wanted, tally)) for i in range(SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()


def processes(pid: int) -> list[int]:
    """The daemon's process and all below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(below for child in children for below in processes(int(child)))]


def memory(pid: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    """Open ones, once connections that were closed are."""
    count = 0
    for _ in range(50):
        before, count = count, len(list(Path(f"/proc/{pid}/fd").iterdir()))
        if count == before:
            break
        time.sleep(0.2)
    return count


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--requests", type=int, default=100_000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--processes", type=int, default=1, help="intake processes")
    arguments.add_argument("--server", default="own", help="own or waitress")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = "".join(f"  {source}: {{verify: {how}, {MORE.get(source, '')}}}\n" for source, how in SCHEMES.items())
        (folder / "rules.yaml").write_text(f"sources:\n{sources}rules:{RULES}")
        program = str(Path(sys.executable).with_name("webhook-router"))
        flags = ["--listen", "127.0.0.1:0", "--admin", "off", "--log-format", "json"]
        flags += ["--processes", str(given.processes), "--server", given.server]
        process = subprocess.Popen(
            [program, "serve", "rules.yaml", *flags], cwd=folder, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "FUZZ": "fuzz", "FUZZ_WHSEC": "whsec_ZnV6eg=="},
        )  # fmt: skip
        # waitress gives 501 for transfer encodings other than chunked
        tally = Tally((b"503", b"501") if given.server == "waitress" else (b"503",))
        try:
            port = listening(process, tally)
            everybody(port, given.seed, given.requests // 4, tally)
            pids = processes(process.pid)
            before = sum(map(memory, pids)), sum(map(descriptors, pids))
            everybody(port, given.seed + 1, given.requests, tally)
            after = sum(map(memory, pids)), sum(map(descriptors, pids))
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
    print(
        f"{given.server}, {given.processes} processes: {tally.sent:,} requests, seed {given.seed}: "
        + ", ".join(f"{n:,} x {s}" for s, n in sorted(tally.statuses.items()))
    )
    print(
        f"memory {before[0] / 1e6:.0f} -> {after[0] / 1e6:.0f} MB, descriptors {before[1]} -> {after[1]}; exit {code}"
    )
    allowed = GROWTH_BYTES * len(pids), GROWTH_DESCRIPTORS * len(pids)
    if after[0] - before[0] > allowed[0] or after[1] - before[1] > allowed[1] or code != 0:
        tally.faults.append("memory or descriptors grew, or it did not stop well")
    for fault in tally.faults[:20]:
        print("FAULT", fault)
    sys.exit(1 if tally.faults else 0)


def listening(process: "subprocess.Popen[str]", tally: Tally) -> int:
    """Wait until the daemon serves; its port. What it logs from then on is looked at."""
    assert process.stderr is not None
    for line in process.stderr:
        found = json.loads(line)
        if found["message"] == "serving":
            threading.Thread(target=watch, args=(process.stderr, tally), daemon=True).start()
            return int(found["listen"].rpartition(":")[2])
    raise SystemExit("the daemon did not start")


def watch(lines: "list[str]", tally: Tally) -> None:
    """Look for faults in the log."""
    for line in lines:
        if "fault" in line or "Traceback" in line or not line.startswith("{"):
            tally.faults.append(f"log: {line.strip()[:500]}")


if __name__ == "__main__":
    main()
