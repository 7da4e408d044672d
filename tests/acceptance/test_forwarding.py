"""Forwards of a real daemon: headers, paths, rate limits across restarts, and endless answers."""

import json
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Daemon, Receiver

Run = Callable[..., subprocess.CompletedProcess[str]]
Wait = Callable[[Callable[[], Any]], Any]
Start = Callable[..., Daemon]

JSON = {"Content-Type": "application/json"}
SLOW = """
sources: {{open: {{verify: none}}}}
targets:
  slow: {{url: "{url}", rate: {rate}}}
rules:
  - {{name: r, actions: [forward: {{target: slow, path: /in}}]}}
"""


def deliveries(run: Run, folder: Path, *more: str) -> list[dict[str, Any]]:
    done = run("deliveries", "list", "--store", "sqlite:webhook-router.db", "--json", *more, cwd=folder)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def show(run: Run, folder: Path, identity: str, *more: str) -> str:
    done = run("deliveries", "show", identity, "--store", "sqlite:webhook-router.db", *more, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_rate_limit_holds_across_stops_and_kills(
    start: Start, receiver: Receiver, run: Run, eventually: Wait, tmp_path: Path
) -> None:
    rules = SLOW.format(url=receiver.url, rate="1/h")
    daemon = start(rules)
    daemon.post("/hooks/open", b'{"n": 1}', JSON)
    eventually(lambda: len(receiver.requests) == 1)
    for end in ("kill", "stop", "kill"):
        for _ in range(2):
            assert daemon.post("/hooks/open", b'{"n": 2}', JSON).status == 202
        getattr(daemon, end)()
        daemon = start(tmp_path / "rules.yaml")
        # The note about waits is written after the due deliveries were examined. By then a wrong attempt would have begun.
        eventually(lambda: any(one["waits_for"] == "rate" for one in deliveries(run, tmp_path)))

    assert len(receiver.requests) == 1


def test_a_reload_that_raises_the_rate_releases_waiting_deliveries(
    start: Start, receiver: Receiver, eventually: Wait
) -> None:
    daemon = start(SLOW.format(url=receiver.url, rate="1/h"))
    for _ in range(3):
        daemon.post("/hooks/open", b"{}", JSON)
    eventually(lambda: len(receiver.requests) == 1)
    daemon.kill()

    start(SLOW.format(url=receiver.url, rate="1000/s"))

    # The kill may interrupt the first attempt, which is then repeated.
    eventually(lambda: len(set(receiver.ids())) == 3)


def test_lists_status_and_api_show_deliveries_waiting_for_the_rate_limit(
    start: Start, receiver: Receiver, run: Run, eventually: Wait, tmp_path: Path
) -> None:
    daemon = start(SLOW.format(url=receiver.url, rate="1/h"))
    for _ in range(2):
        daemon.post("/hooks/open", b"{}", JSON)

    eventually(lambda: deliveries(run, tmp_path, "--state", "succeeded"))
    [waiting] = eventually(lambda: [one for one in deliveries(run, tmp_path) if one["waits_for"] == "rate"])

    assert 3_500_000 < waiting["waits_until_ms"] - waiting["created_at_ms"] < 3_700_000
    shown = show(run, tmp_path, waiting["id"])
    assert re.search(r"pending, due, waits for the target's rate, continues in 5\dm \(", shown)
    listed = run("deliveries", "list", "--store", "sqlite:webhook-router.db", cwd=tmp_path).stdout
    assert re.search(r"rate, in 5\dm", listed)
    status = run("status", "--store", "sqlite:webhook-router.db", cwd=tmp_path).stdout
    assert "waits for" in status
    assert re.search(r"rate, in 5\dm", status)
    daemon.kill()  # the waits are gone without a daemon
    [pending] = [one for one in deliveries(run, tmp_path) if one["state"] == "pending"]
    assert (pending["waits_for"], pending["waits_until"]) == (None, None)


def test_lists_show_deliveries_waiting_for_a_full_target_or_their_order(
    start: Start, receiver: Receiver, run: Run, eventually: Wait, tmp_path: Path
) -> None:
    start_rules = f"""
sources: {{open: {{verify: none}}}}
rules:
  - {{name: full, match: {{$.to: full}}, actions: [forward: {{url: "{receiver.url}/hang", concurrency: 1}}]}}
  - {{name: turn, match: {{$.to: turn}}, actions: [{{forward: {{url: "{receiver.url}/hang/x", concurrency: 1}}, order_by: $.to}}]}}
"""
    start_rules = start_rules.replace(
        f'"{receiver.url}/hang/x"', f'"{receiver.url.replace("127.0.0.1", "localhost")}/hang/x"'
    )
    daemon = start(start_rules)
    for to in ("full", "full", "turn", "turn"):
        daemon.post("/hooks/open", json.dumps({"to": to}).encode(), JSON)

    def reasons() -> list[tuple[str, str]]:
        return sorted((one["rule"], one["waits_for"]) for one in deliveries(run, tmp_path) if one["waits_for"])

    eventually(lambda: reasons() == [("full", "concurrency"), ("turn", "order")])


def test_an_open_breaker_holds_deliveries_and_stays_open_after_a_kill(
    start: Start, receiver: Receiver, run: Run, eventually: Wait, tmp_path: Path
) -> None:
    receiver.status = 503
    rules = f"""
sources: {{open: {{verify: none}}}}
defaults: {{retry: {{initial: 10ms, max: 10ms}}}}
targets: {{down: {{url: "{receiver.url}", breaker: {{failures: 2, pause: 5m, max_pause: 5m}}}}}}
rules: [{{name: r, actions: [forward: {{target: down}}]}}]
"""
    daemon = start(rules)
    daemon.post("/hooks/open", b"{}", JSON)
    [before] = eventually(lambda: [one for one in deliveries(run, tmp_path) if one["waits_for"] == "breaker"])
    attempted = len(receiver.requests)
    daemon.kill()

    start(tmp_path / "rules.yaml")

    [after] = eventually(lambda: [one for one in deliveries(run, tmp_path) if one["waits_for"] == "breaker"])
    assert abs(after["waits_until_ms"] - before["waits_until_ms"]) < 5_000
    assert len(receiver.requests) == attempted == 2


def test_an_attempt_of_a_killed_daemon_has_no_duration(
    start: Start, receiver: Receiver, run: Run, eventually: Wait, tmp_path: Path
) -> None:
    rules = f'sources: {{open: {{verify: none}}}}\nrules: [{{name: r, actions: [forward: "{receiver.url}/hang"]}}]\n'
    daemon = start(rules)
    daemon.post("/hooks/open", b"{}", JSON)
    eventually(lambda: receiver.requests)
    daemon.kill()
    receiver.release.set()
    start(tmp_path / "rules.yaml")
    [one] = eventually(lambda: deliveries(run, tmp_path, "--state", "succeeded"))

    shown = show(run, tmp_path, one["id"])
    first, second = json.loads(show(run, tmp_path, one["id"], "--json"))["attempts_made"]

    assert ", took -: interrupted" in shown
    assert first["duration_ms"] is None
    assert second["duration_ms"] >= 0


def test_a_delivery_names_the_rules_of_its_last_attempt(
    start: Start, receiver: Receiver, run: Run, eventually: Wait, tmp_path: Path
) -> None:
    receiver.status = 400
    rules = f"""
sources: {{open: {{verify: none}}}}
rules: [{{name: r, actions: [{{forward: "{receiver.url}/old", retry: {{attempts: 1}}}}]}}]
"""
    daemon = start(rules)
    daemon.post("/hooks/open", b"{}", JSON)
    [dead] = eventually(lambda: deliveries(run, tmp_path, "--state", "dead"))
    assert f"{dead['ruleset'][:12]} (last attempted by them)" in show(run, tmp_path, dead["id"])
    (tmp_path / "rules.yaml").write_text(rules.replace("/old", "/new"))
    daemon.process.send_signal(signal.SIGHUP)
    new = daemon.wait_for_line("rules reloaded")["hash"]
    receiver.status = 200

    run("deliveries", "replay", dead["id"], "--store", "sqlite:webhook-router.db", cwd=tmp_path)

    [done] = eventually(lambda: deliveries(run, tmp_path, "--state", "succeeded"))
    assert receiver.requests[-1].path == "/new"
    assert done["ruleset"] != dead["ruleset"]
    assert done["ruleset"].startswith(new)


def test_a_waiting_delivery_shows_the_rules_of_its_next_attempt(
    start: Start, receiver: Receiver, run: Run, eventually: Wait, tmp_path: Path
) -> None:
    rules = SLOW.format(url=receiver.url, rate="1/h")
    daemon = start(rules)
    for _ in range(2):
        daemon.post("/hooks/open", b"{}", JSON)
    eventually(lambda: deliveries(run, tmp_path, "--state", "succeeded"))
    [waiting] = deliveries(run, tmp_path, "--state", "pending")
    (tmp_path / "rules.yaml").write_text(rules.replace("/in", "/other"))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for_line("rules reloaded")

    shown = json.loads(show(run, tmp_path, waiting["id"], "--json"))

    assert shown["ruleset"] == waiting["ruleset"]
    assert shown["next_ruleset"] not in (None, shown["ruleset"])
    words = f"(planned by them); the next attempt goes by {shown['next_ruleset'][:12]}, which the daemon runs"
    assert words in show(run, tmp_path, waiting["id"])


def test_headers_that_only_a_proxy_should_set_are_not_forwarded(
    start: Start, receiver: Receiver, eventually: Wait
) -> None:
    daemon = start(
        f"""
sources: {{open: {{verify: none}}}}
rules:
  - name: r
    match: {{headers.X-Kind: a}}
    actions: [{{forward: {{url: "{receiver.url}/in"}}}}, {{name: all, forward: {{url: "{receiver.url}/all", pass_headers: ["*"]}}}}]
"""
    )
    sent = {"X-WEBAUTH-USER": "root", "True-Client-IP": "10.0.0.1", "X-HTTP-Method-Override": "DELETE", "X-Kind": "a"}
    for _ in range(2):
        daemon.post("/hooks/open", b"{}", {**JSON, **sent, "X-Forwarded-For": "10.0.0.1", "X-Request-Id": "7"})
    eventually(lambda: len(receiver.requests) == 4)
    assert daemon.stop() == 0  # then its log is complete

    by_path = {request.path: request.headers for request in receiver.requests}
    assert {"x-webauth-user", "true-client-ip", "x-http-method-override"}.isdisjoint(by_path["/in"])
    assert (by_path["/in"]["x-kind"], by_path["/in"]["x-request-id"]) == ("a", "7")
    assert by_path["/all"]["x-webauth-user"] == "root"
    assert "x-forwarded-for" not in by_path["/all"]
    lines = [line for line in daemon.lines if line.get("message", "").startswith("forwards don't pass these headers")]
    assert [(line["source"], sorted(line["headers"])) for line in lines] == [
        ("open", ["True-Client-IP", "X-HTTP-Method-Override", "X-WEBAUTH-USER"])
    ]


def test_a_delivery_whose_value_leaves_its_path_is_dead_and_hides_the_value(
    start: Start, receiver: Receiver, run: Run, eventually: Wait, tmp_path: Path
) -> None:
    daemon = start(
        f"""
sources: {{open: {{verify: none}}}}
targets: {{ci: {{url: "{receiver.url}/base"}}}}
rules: [{{name: r, actions: [forward: {{target: ci, path: "/build/{{{{ payload.branch }}}}?b={{{{ payload.branch }}}}"}}]}}]
"""
    )
    for branch in ("..%2fhush-hush", "feature/x"):
        daemon.post("/hooks/open", json.dumps({"branch": branch}).encode(), JSON)

    [dead] = eventually(lambda: deliveries(run, tmp_path, "--state", "dead"))

    assert dead["error"] == "payload.branch could leave its place in the URL's path: it holds a . or .. segment"
    eventually(lambda: receiver.requests)
    assert [request.path for request in receiver.requests] == ["/base/build/feature%2Fx?b=feature%2Fx"]
    assert "hush" not in json.dumps(daemon.lines)


@pytest.fixture
def flooding() -> Iterator[int]:
    """A target that sends interim answers without end, as fast as the client reads them."""
    ended = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)

    def serve() -> None:
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(0.1)
                try:
                    connection.recv(65536)
                    while not ended.is_set():
                        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000)
                except OSError:
                    pass

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    ended.set()
    thread.join()
    listener.close()


def test_endless_interim_answers_end_the_attempt_at_once(
    start: Start, run: Run, eventually: Wait, tmp_path: Path, flooding: int
) -> None:
    daemon = start(
        f"""
sources: {{open: {{verify: none}}}}
rules: [{{name: r, actions: [{{forward: {{url: "http://127.0.0.1:{flooding}/", timeout: 5m}}, retry: {{attempts: 1}}}}]}}]
"""
    )
    daemon.post("/hooks/open", b"{}", JSON)

    [dead] = eventually(lambda: deliveries(run, tmp_path, "--state", "dead"))

    assert dead["error"] == f"http://127.0.0.1:{flooding} sends interim answers (1xx) without end"
