"""What was answered 202 survives kill -9."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests.conftest import Daemon, Receiver

Wait = Callable[[Callable[[], Any]], Any]
KILLS = 4
SENDERS = 6

RULES = """
sources: {{open: {{verify: none}}}}
rules:
  - name: both
    actions:
      - forward: {{url: "{url}/in", concurrency: 8}}
        retry: {{initial: 100ms, max: 1s}}
      - append: all.jsonl
"""


def _reached(acknowledged: list[str], goal: int) -> bool:
    return len(acknowledged) >= goal


def test_kill_9_under_load_loses_nothing_that_was_answered_202(
    start: Callable[..., Daemon], receiver: Receiver, eventually: Wait, tmp_path: Path
) -> None:
    acknowledged: list[str] = []
    rules = RULES.format(url=receiver.url)
    daemon = start(rules)
    for _ in range(KILLS):
        goal = len(acknowledged) + 150
        stop = threading.Event()
        senders = [threading.Thread(target=_send, args=(daemon, acknowledged, stop)) for _ in range(SENDERS)]
        for sender in senders:
            sender.start()
        eventually(partial(_reached, acknowledged, goal))
        daemon.kill()
        stop.set()
        for sender in senders:
            sender.join()
        daemon = start(rules)

    wanted = set(acknowledged)
    eventually(lambda: wanted <= set(receiver.ids()))
    eventually(lambda: wanted <= set(_appended(tmp_path / "all.jsonl")))
    assert len(wanted) == len(acknowledged)
    _check_repeats(receiver)


def _send(daemon: Daemon, acknowledged: list[str], stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            answer = daemon.post("/hooks/open", b'{"n": 1}')
        except (OSError, HTTPException):
            return  # killed under us: this one was never acknowledged
        if answer.status == 202:
            acknowledged.append(answer.json["id"])


def _appended(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()] if path.exists() else []


def _check_repeats(receiver: Receiver) -> None:
    """At-least-once explains repeats only for attempts that a kill cut off: at most `concurrency` for each kill."""
    counts = Counter(request.headers["idempotency-key"] for request in receiver.requests)
    repeats = sum(count - 1 for count in counts.values())
    assert repeats <= 8 * KILLS, repeats
