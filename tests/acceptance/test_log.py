"""The log of a real daemon has one line for each event and each attempt, linked by ids."""

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import Daemon, Line, Receiver, run_in_process

Start = Callable[..., Daemon]
Wait = Callable[[Callable[[], Any]], Any]

RULES = """
sources: {open: {verify: none}}
rules:
  - name: send
    source: open
    match: {$.do: send}
    actions:
      - {forward: "URL/in", retry: {initial: 100ms, attempts: 2}}
      - append: out.jsonl
  - name: hang
    source: open
    match: {$.do: hang}
    actions: [{forward: "URL/hang"}]
"""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACED = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "tracestate": "a=1"}


def _post(daemon: Daemon, what: str, headers: dict[str, str] | None = None) -> str:
    answer = daemon.post("/hooks/open", json.dumps({"do": what}).encode(), headers)
    assert answer.status == 202
    return str(answer.json["id"])


def _of(daemon: Daemon, event: str) -> list[Line]:
    return [line for line in daemon.lines if line.get("event_id") == event]


def test_the_log_of_an_event_can_be_followed_by_its_id(
    start: Start, receiver: Receiver, eventually: Wait, tmp_path: Path
) -> None:
    receiver.status = 500
    daemon = start(RULES.replace("URL", receiver.url))
    event = _post(daemon, "send", TRACED)
    daemon.wait_for_line("attempt settled", event_id=event, action="forward", state="dead")
    receiver.status = 200
    replayed = run_in_process(
        "deliveries", "replay", "--event", event, "--store", f"sqlite:{daemon.store}", folder=tmp_path
    )
    assert replayed.returncode == 0, replayed.stderr
    daemon.wait_for_line("attempt settled", event_id=event, action="forward", state="succeeded")
    daemon.wait_for_line("attempt settled", event_id=event, action="append")
    assert daemon.stop() == 0

    lines = sorted(_of(daemon, event), key=lambda line: line["message"] != "event received")  # two threads log them
    assert [line["message"] for line in lines] == ["event received"] + ["attempt settled"] * 4
    forwards = [line for line in lines if line.get("action") == "forward"]
    assert [(line["attempt"], line["state"], line["status"]) for line in forwards] == [
        (1, "pending", 500), (2, "dead", 500), (3, "succeeded", 200)
    ]  # fmt: skip
    assert 0 < forwards[0]["again_in"] <= 0.2
    assert forwards[1]["again_in"] is None
    assert len({line["delivery_id"] for line in forwards}) == 1
    assert {line["target"] for line in lines[1:]} == {receiver.url, "send/append"}
    assert {line["trace_id"] for line in lines} == {TRACE}
    spans = [re.fullmatch(rf"00-{TRACE}-([0-9a-f]{{16}})-01", one.headers["traceparent"]) for one in receiver.requests]
    assert len({span[1] for span in spans if span}) == 3
    assert {one.headers["tracestate"] for one in receiver.requests} == {"a=1"}


def test_an_unmatched_event_is_logged_in_one_line(start: Start) -> None:
    daemon = start(RULES.replace("URL", "http://127.0.0.1:9"))
    events = [_post(daemon, "nothing") for _ in range(3)]
    assert daemon.stop() == 0

    [first], [second], [third] = (_of(daemon, event) for event in events)
    assert (first["matched"], first["deliveries"]) == ([], 0)
    assert (first["closest"], first["fails"], first["held"]) == ("send", "$.do: equals", "0 of 1")
    assert "closest" not in second | third
    assert "trace_id" not in first | second | third


def test_the_next_daemon_logs_an_attempt_of_a_killed_one(start: Start, receiver: Receiver, eventually: Wait) -> None:
    daemon = start(RULES.replace("URL", receiver.url))
    event = _post(daemon, "hang")
    eventually(lambda: receiver.ids("/hang"))
    daemon.kill()
    receiver.release.set()
    again = start(daemon.rules)
    again.wait_for_line("attempt settled", event_id=event, outcome="succeeded")

    first, second = _of(again, event)
    assert (first["attempt"], first["outcome"], first["state"]) == (1, "interrupted", "pending")
    assert (first["rule"], first["action"], first["target"]) == ("hang", "forward", receiver.url)
    assert (second["attempt"], second["state"]) == (2, "succeeded")
    assert again.stop() == 0


def test_an_unreadable_request_is_logged_without_a_method(start: Start) -> None:
    daemon = start(RULES.replace("URL", "http://127.0.0.1:9"))

    for head in (
        b"PO\x1bST /hooks/open HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /hooks/open HTTP/1.1\r\nHost: \x1b\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", daemon.port)) as connection:
            connection.sendall(head)
            assert b" 400 " in connection.recv(1000)

    daemon.wait_for_line("request refused", reason="Invalid method encountered", method=None)
    daemon.wait_for_line("request refused", reason="Invalid header value char", method=None)
