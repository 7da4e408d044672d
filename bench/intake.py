"""Durable answers a second, and their latency, at 1 to 1,000 connections, beside the same server without a store.

A push payload of 7 kB with a GitHub signature is posted by wrk (a Debian package) to
  - the daemon with ten rules, none of which matches: verify, parse, match, fsynced commit, 202;
  - Falcon on waitress as pip installs them, which reads the body and answers 202: no verification, no store;
  - a handler that does as little, on the daemon's own HTTP server;
  - adnanh/webhook (the Debian package `webhook`, where installed), which verifies the signature, finds that its rule
    does not match, and stores nothing.
Each count of connections is measured for all of them in turn, so that a slow minute of the machine is everybody's.
"""

import argparse
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from machine import describe
from wrk import Log, Measured, measure, serving

SECRET = "a shared secret of the benchmark"
RULES = """
sources: {github: {verify: {scheme: github, secret: {env: BENCH_SECRET}}, dedupe: none}}
rules:
"""
RULE = """
  - name: rule-%d
    match: {headers.X-GitHub-Event: push, $.ref: refs/heads/release-%d, $.repository.full_name: acme/service-%d}
    actions: [append: never.jsonl]
"""
ANSWER = """
import sys, time
sys.path.insert(0, %r)
import falcon
class Answer:
    def on_post(self, request, response):
        request.bounded_stream.read()
        response.status, response.data, response.content_type = "202 Accepted", b'{"id":"x"}', "application/json"
app = falcon.App()
app.add_route("/hooks/github", Answer())
port = %d
"""
OWN = """
import sys, time
sys.path.insert(0, %r)
from router.http.server import Server
from router.domain.reply import Reply
Server(lambda _: Reply(202, b'{"id":"x"}'), "127.0.0.1", %d).start()
time.sleep(3600)
"""
AS_IT_COMES = (
    ANSWER
    + """
import logging, waitress
logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # or it measures how fast it complains
waitress.serve(app, host="127.0.0.1", port=port, connection_limit=2000, asyncore_use_poll=True, backlog=1024)
"""
)
HOOKS = [
    {
        "id": "github",
        "execute-command": "/bin/true",
        "trigger-rule": {
            "and": [
                {
                    "match": {
                        "type": "payload-hmac-sha256",
                        "secret": SECRET,
                        "parameter": {"source": "header", "name": "X-Hub-Signature-256"},
                    }
                },
                {"match": {"type": "value", "value": "x", "parameter": {"source": "payload", "name": "ref"}}},
            ]
        },
    }
]


def push() -> bytes:
    """A push event of some 7 kB."""
    user = {
        "login": "ann",
        "id": 7,
        "node_id": "MDQ6VXNlcjc=",
        "url": "https://api.example.com/users/ann",
        "type": "User",
    }
    commits = [
        {
            "id": hashlib.sha1(str(i).encode(), usedforsecurity=False).hexdigest(),
            "message": f"Change number {i} of the service, with a line about why it was made",
            "timestamp": "2026-11-24T12:00:00+01:00",
            "author": {"name": "Ann Author", "email": "ann@acme.example", "username": "ann"},
            "added": [], "removed": [], "modified": [f"src/module_{i}/part_{k}.py" for k in range(5)],
        }
        for i in range(14)
    ]  # fmt: skip
    repository = {
        "id": 1, "full_name": "acme/api", "owner": user, "private": True,
        **{f"{name}_url": f"https://api.example.com/repos/acme/api/{name}{{/sha}}" for name in
           ("keys", "hooks", "issues", "pulls", "branches", "tags", "blobs", "trees", "statuses", "languages")},
    }  # fmt: skip
    return json.dumps({"ref": "refs/heads/main", "repository": repository, "sender": user, "commits": commits}).encode()


def script(folder: Path, body: bytes) -> Path:
    """What wrk posts."""
    signature = hmac.digest(SECRET.encode(), body, "sha256").hex()
    (folder / "body").write_bytes(body)
    path = folder / "post.lua"
    path.write_text(
        'wrk.method = "POST"\n'
        f'wrk.body = io.open("{folder / "body"}", "rb"):read("*a")\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
        'wrk.headers["X-GitHub-Event"] = "push"\n'
        f'wrk.headers["X-Hub-Signature-256"] = "sha256={signature}"\n'
    )
    return path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def reached(port: int) -> None:
    """Wait until something listens."""
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


@contextmanager
def daemon(folder: Path) -> Iterator[tuple[str, int]]:
    """Our daemon; its URL and process id."""
    rules = folder / "rules.yaml"
    rules.write_text(RULES + "".join(RULE % (i, i, i) for i in range(10)))
    program = str(Path(sys.executable).with_name("webhook-router"))
    flags = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "off",
        "--log-format",
        "json",
        "--store",
        f"sqlite:{folder / 'store.db'}",
    ]
    process = subprocess.Popen(
        [program, "serve", str(rules), *flags], stderr=subprocess.PIPE, text=True, cwd=folder,
        env={**os.environ, "BENCH_SECRET": SECRET},
    )  # fmt: skip
    try:
        yield f"http://{serving(process, Log())}/hooks/github", process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@contextmanager
def plain(folder: Path, text: str) -> Iterator[str]:
    """A server with no store; its URL."""
    port = free_port()
    program = text % (str(Path(__file__).parents[1]), port)
    process = subprocess.Popen([sys.executable, "-c", program], cwd=folder)
    try:
        reached(port)
        yield f"http://127.0.0.1:{port}/hooks/github"
    finally:
        process.kill()
        process.wait(30)


@contextmanager
def adnanh(folder: Path) -> Iterator[str | None]:
    """The Debian package webhook; its URL, none where it isn't installed."""
    if shutil.which("webhook") is None:
        yield None
        return
    port = free_port()
    hooks = folder / "hooks.json"
    hooks.write_text(json.dumps(HOOKS))
    process = subprocess.Popen(
        ["webhook", "-hooks", str(hooks), "-ip", "127.0.0.1", "-port", str(port)],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        reached(port)
        yield f"http://127.0.0.1:{port}/hooks/github"
    finally:
        process.kill()
        process.wait(30)


def cpu_seconds(process: int) -> float:
    """That a process has used, by itself and in the kernel; far less noisy than a rate."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def line(measured: Measured | None) -> str:
    if measured is None:
        return f"{'not installed':>25}"
    return f"{measured.rate:>8,.0f}/s {measured.p50:>7.1f} {measured.p99:>7.1f}"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, default=8)
    arguments.add_argument("--connections", type=int, nargs="*", default=[1, 16, 64, 256, 1000])
    given = arguments.parse_args()
    body = push()
    print(describe("httptools", "uvloop", "waitress", "falcon", "apsw", "orjson"))
    print(f"{len(body):,} bytes, {given.seconds} s each; p50 and p99 in ms, and µs of the daemon's CPU an event")
    titles = ("durable", "µs", "Falcon + waitress", "ratio", "own server", "ratio", "adnanh/webhook")
    print(f"{'':>6} " + " ".join(f"{title:>{5 if title in ('ratio', 'µs') else 25}}" for title in titles))
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name, ExitStack() as running:
        folder = Path(name)
        post = script(folder, body)
        ours_url, process = running.enter_context(daemon(folder))
        urls = [
            ours_url,
            running.enter_context(plain(folder, AS_IT_COMES)),
            running.enter_context(plain(folder, OWN)),
            running.enter_context(adnanh(folder)),
        ]
        for url in urls[:3]:
            measure(str(url), post, 2, 16)
        for connections in given.connections:
            before = cpu_seconds(process)
            ours = measure(ours_url, post, given.seconds, connections)
            cpu = (cpu_seconds(process) - before) / (ours.rate * given.seconds)
            bare, own, theirs = (measure(url, post, given.seconds, connections) if url else None for url in urls[1:])
            print(
                f"{connections:>6} {line(ours)} {cpu * 1e6:>5.0f} {line(bare)} {ratio(ours, bare)} {line(own)} "
                f"{ratio(ours, own)} {line(theirs)}",
                flush=True,
            )
            if ours.errors:
                print(f"{'':>6} durable: {ours.errors}")


def ratio(ours: Measured, other: Measured | None) -> str:
    return f"{ours.rate / other.rate:>5.2f}" if other else f"{'':>5}"


if __name__ == "__main__":
    main()
