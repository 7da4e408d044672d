"""Runs wrk, and reads what it says."""

import json
import re
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """One run."""

    rate: float  #: requests a second
    p50: float  #: ms
    p99: float  #: ms
    errors: str  #: socket errors and answers that were not 2xx, as wrk says it


def measure(url: str, script: Path, seconds: int, connections: int) -> Measured:
    """Load a URL."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed (Debian: apt-get install wrk)")
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        "30s",
        "--latency",
        "-s",
        str(script),
        url,
    ]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", shown)
    assert rate is not None
    errors = "; ".join(line.strip() for line in shown.splitlines() if "Socket errors" in line or "Non-2xx" in line)
    return Measured(float(rate[1]), _latency(shown, "50%"), _latency(shown, "99%"), errors)


def _latency(shown: str, share: str) -> float:
    found = re.search(rf"{share}\s+([\d.]+)(us|ms|s)", shown)
    assert found is not None
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


class Log:
    """How often a daemon logged each message."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def read(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._counts[str(json.loads(line).get("message"))] += 1

    def count(self, message: str) -> int:
        return self._counts[message]


def serving(process: "subprocess.Popen[str]", log: Log) -> str:
    """Wait for a daemon; where it listens. Its further lines are counted."""
    assert process.stderr is not None
    for line in process.stderr:
        found = json.loads(line)
        if found.get("message") == "serving":
            threading.Thread(target=log.read, args=(process.stderr,), daemon=True).start()
            return str(found["listen"])
    raise SystemExit("the daemon did not start")
