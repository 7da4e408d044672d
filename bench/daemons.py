"""Starts what is measured: our daemon in any form, of this tree or another, and adnanh/webhook."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from push import SECRET
from wrk import Log, serving

NO_ADNANH = "adnanh/webhook is not installed, so it is left out (Debian: apt-get install webhook)"
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


@dataclass(frozen=True)
class Form:
    """A way to run the daemon."""

    name: str
    flags: tuple[str, ...] = ()
    uvloop: bool = True  #: False: hidden, so that asyncio's own loop runs
    tree: Path | None = None  #: a clone with a virtual environment `.venv`; None: this one

    @property
    def program(self) -> Path:
        return self.tree / ".venv/bin/webhook-router" if self.tree else Path(sys.executable).with_name("webhook-router")


@dataclass(frozen=True)
class Running:
    """A server that listens."""

    port: int
    pid: int
    log: Log = field(default_factory=Log)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/github"

    def cpu_seconds(self) -> float:
        """That it and its children have used, in user mode and in the kernel; far less noisy than a rate."""
        return sum(_cpu_seconds(pid) for pid in family(self.pid))


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def daemon(folder: Path, rules: str, form: Form = Form("daemon")) -> Iterator[Running]:
    """Our daemon, with its store in the folder."""
    folder.mkdir(exist_ok=True)
    (folder / "rules.yaml").write_text(rules)
    environment = {**os.environ, "BENCH_SECRET": SECRET}
    if not form.uvloop:
        (folder / "hidden").mkdir()
        (folder / "hidden/uvloop.py").write_text("raise ImportError")
        environment["PYTHONPATH"] = str(folder / "hidden")
    command = [
        *(str(form.program), "serve", str(folder / "rules.yaml"), "--store", f"sqlite:{folder / 'store.db'}"),
        *("--listen", "127.0.0.1:0", "--admin", "off", "--log-format", "json", *form.flags),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder, env=environment)
    log = Log()
    try:
        yield Running(int(serving(process, log).rpartition(":")[2]), process.pid, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@contextmanager
def adnanh(folder: Path) -> Iterator[Running | None]:
    """The Debian package webhook; None where it isn't installed."""
    if shutil.which("webhook") is None:
        yield None
        return
    port, hooks = free_port(), folder / "hooks.json"
    hooks.write_text(json.dumps(HOOKS))
    command = ["webhook", "-hooks", str(hooks), "-ip", "127.0.0.1", "-port", str(port)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        reached(port)
        yield Running(port, process.pid)
    finally:
        process.kill()
        process.wait(30)


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


def counts(text: str) -> list[int]:
    """The value of `--processes`: 1,2,4."""
    return [int(part) for part in text.split(",")]


@cache
def has_processes() -> bool:
    """Whether this tree's `serve` has --processes."""
    shown = subprocess.run([str(Form("").program), "serve", "--help"], capture_output=True, text=True, check=True)
    return "--processes" in shown.stdout


def with_processes(numbers: Sequence[int]) -> list[tuple[int, tuple[str, ...]]]:
    """Numbers of processes with the flags for them; only 1 where `serve` has no such flag."""
    if has_processes():
        return [(number, ("--processes", str(number))) for number in numbers]
    if any(number > 1 for number in numbers):
        print("serve has no --processes here, so one process is measured")
    return [(1, ())]
