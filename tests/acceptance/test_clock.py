"""No delivery is lost or delayed when the wall clock is set back or forward by an hour."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Daemon, Receiver

Wait = Callable[[Callable[[], Any]], Any]
HOUR = 3600

# Replaces the clock functions in the daemon, since the tests must not set the machine's clock.
PROGRAM = """
import os, sys, time
real, real_ns = time.time, time.time_ns
def ahead():
    with open(os.environ["AHEAD"]) as file:
        return int(file.read())
time.time = lambda: real() + ahead()
time.time_ns = lambda: real_ns() + ahead() * 10**9
from router.cli.main import main
sys.exit(main())
"""
RULES = """
sources: {{open: {{verify: none, dedupe: {{key: $.key, window: 10m}}}}}}
targets: {{slow: {{url: "{url}/hang", concurrency: 1}}}}
rules:
  - name: tried
    match: {{$.to: tried}}
    actions: [{{forward: "{url}/tried", retry: {{initial: 1s, max: 1s}}}}]
  - name: late
    match: {{$.to: late}}
    actions: [{{forward: "{url}/late", retry: {{initial: 30m, max: 30m}}}}]
  - name: queued
    match: {{$.to: queued}}
    actions: [{{forward: {{target: slow}}}}]
"""


class Clock:
    """The wall clock that the daemon sees."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ahead"
        self.set(0)

    @property
    def env(self) -> dict[str, str]:
        """The environment that makes a daemon use this clock."""
        return {"AHEAD": str(self._path)}

    def set(self, ahead: int) -> None:
        """Set the clock `ahead` seconds ahead of the true time."""
        new = self._path.with_suffix(".new")
        new.write_text(str(ahead))
        new.replace(self._path)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    """A clock with the true time until it is set."""
    return Clock(tmp_path)


@pytest.fixture
def begin(start: Callable[..., Daemon], clock: Clock, receiver: Receiver) -> Callable[[], Daemon]:
    """Start the daemon with that clock."""
    return lambda: start(RULES.format(url=receiver.url), env=clock.env, program=(sys.executable, "-c", PROGRAM))


def _post(daemon: Daemon, to: str, key: str = "") -> str:
    answer = daemon.post("/hooks/open", f'{{"to": "{to}", "key": "{key}"}}'.encode())
    assert answer.status == 202
    return str(answer.json["id"])


def test_a_clock_set_back_an_hour_delays_no_delivery(
    begin: Callable[[], Daemon], clock: Clock, receiver: Receiver
) -> None:
    receiver.status = 500
    daemon = begin()
    tried = _post(daemon, "tried", "k")
    daemon.wait_for_line("attempt settled", event_id=tried, state="pending")
    queued = [_post(daemon, "queued") for _ in range(3)]  # one attempt is running, two deliveries were never attempted

    clock.set(-HOUR)
    daemon.wait_for_line("clock was set back; what waited by the old time is due")
    receiver.status = 200
    receiver.release.set()
    after = _post(daemon, "tried")

    for event in (tried, *queued, after):
        daemon.wait_for_line("attempt settled", event_id=event, state="succeeded")
    assert [tried, *queued, after] == sorted([tried, *queued, after])
    assert daemon.post("/hooks/open", b'{"to": "tried", "key": "k"}').json == {"id": tried, "duplicate": True}
    assert all(line["ms"] >= 0 for line in daemon.lines if line["message"] == "attempt settled")


def test_a_clock_set_forward_and_back_loses_no_delivery(
    begin: Callable[[], Daemon], clock: Clock, receiver: Receiver
) -> None:
    receiver.status = 500
    daemon = begin()
    late = _post(daemon, "late")
    daemon.wait_for_line("attempt settled", event_id=late, state="pending")

    clock.set(HOUR)
    daemon.wait_for_line("attempt settled", event_id=late, attempt=2)  # by the clock half an hour has passed
    tried = _post(daemon, "tried")
    daemon.wait_for_line("attempt settled", event_id=tried, state="pending")
    clock.set(0)
    daemon.wait_for_line("clock was set back; what waited by the old time is due")
    receiver.status = 200

    daemon.wait_for_line("attempt settled", event_id=tried, state="succeeded")
    again = _post(daemon, "tried")
    daemon.wait_for_line("attempt settled", event_id=again, state="succeeded")


def test_a_clock_set_back_while_the_daemon_is_down_delays_no_delivery(
    begin: Callable[[], Daemon], clock: Clock, receiver: Receiver, eventually: Wait
) -> None:
    daemon = begin()
    queued = [_post(daemon, "queued") for _ in range(3)]
    eventually(lambda: receiver.requests)
    daemon.kill()
    receiver.release.set()

    clock.set(-HOUR)
    begin()

    eventually(lambda: set(queued) <= set(receiver.ids("/hang")[1:]))
