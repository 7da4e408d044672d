"""While events arrive, a view process answers the views of a real daemon. It never outlives the daemon."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Daemon, request, until

RULES = """
sources: {open: {verify: none}}
rules: [{name: all, actions: [append: all.jsonl]}]
"""


def lives(pid: int) -> bool:
    """Whether a process runs. A zombie does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_views_beside_events_come_from_a_process_that_ends_with_the_daemon(start: Callable[..., Daemon]) -> None:
    daemon = start(RULES)
    token = Path(f"{daemon.store}.token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    enough = threading.Event()

    def send() -> None:
        while not enough.is_set():
            daemon.post("/hooks/open", b"{}")

    def served() -> int:
        assert request(daemon.admin_port, "GET", "/api/events?limit=1", headers=headers).status == 200
        return next((line["pid"] for line in list(daemon.lines) if line["message"] == "view process serves"), 0)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        pid = until(served)
    finally:
        enough.set()
        sender.join()
    assert lives(pid)
    event = daemon.post("/hooks/open", b"{}").json["id"]
    newest = request(daemon.admin_port, "GET", "/api/events?limit=1", headers=headers)
    assert newest.json["items"][0]["id"] == event  # committed events are shown at once

    daemon.kill()

    until(lambda: not lives(pid))
