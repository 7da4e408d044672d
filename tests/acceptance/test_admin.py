"""The admin listener of a real daemon: its token, a reload, names with slashes, and attacks."""

import contextlib
import http.client
import json
import os
import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.conftest import PATIENCE_SECONDS, Answer, Daemon, Receiver, request
from tests.http.talking import talk

Start = Callable[..., Daemon]

RULES = """
sources: {internal: {verify: none}}
rules:
  - name: all
    actions: [{forward: "http://127.0.0.1:9/", retry: {attempts: 1}}]
"""


class Api:
    """The admin listener of a daemon, and its token."""

    def __init__(self, daemon: Daemon, token: str | None = None) -> None:
        self.port = daemon.admin_port
        self.token = token or Path(f"{daemon.store}.token").read_text().strip()

    def ask(self, method: str, path: str, content: Any = None, **headers: str) -> Answer:
        """Send a request with the token."""
        body = b"" if content is None else json.dumps(content).encode()
        return request(self.port, method, path, body, {"Authorization": f"Bearer {self.token}", **headers})

    def raw(self, *lines: str, body: bytes = b"") -> bytes:
        """Send these header lines. Return the whole answer."""
        return talk(self, "\r\n".join([*lines, "", ""]).encode("latin-1") + body, close=False)


def test_the_token_is_created_once_and_never_shown(start: Start) -> None:
    first = start(RULES)
    path = Path(f"{first.store}.token")
    token = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first.wait_for_line("admin token made")["file"] == str(path)
    assert Api(first).ask("GET", "/api/status").json["running"] is True
    assert Api(first, "wrong-token-wrong-token").ask("GET", "/api/status").status == 401
    assert first.stop() == 0

    second = start(RULES)

    assert path.read_text().strip() == token
    assert Api(second).ask("GET", "/api/status").status == 200
    assert not [line for line in second.lines if line["message"] == "admin token made"]
    assert token not in str(first.lines + second.lines)


def test_the_token_can_be_set_by_a_file_or_the_environment(start: Start, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token-of-the-file\n")
    both = {"WEBHOOK_ROUTER_ADMIN_TOKEN": "token-of-the-environment"}

    daemon = start(RULES, flags=("--admin-token-file", str(tmp_path / "token")), env=both)
    assert Api(daemon, "token-of-the-file").ask("GET", "/api/status").status == 200
    assert Api(daemon, "token-of-the-environment").ask("GET", "/api/status").status == 401
    daemon.stop()

    daemon = start(RULES, env=both)
    assert Api(daemon, "token-of-the-environment").ask("GET", "/api/status").status == 200
    assert not Path(f"{daemon.store}.token").exists()


def test_an_invalid_token_prevents_the_start(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    listen = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    for env, why in (
        ({"WEBHOOK_ROUTER_ADMIN_TOKEN": ""}, "is empty"),
        ({"WEBHOOK_ROUTER_ADMIN_TOKEN": "short"}, "shorter than 16"),
        ({"WEBHOOK_ROUTER_ADMIN_TOKEN_FILE": "nowhere"}, "can't be read"),
    ):
        done = run("serve", *listen, cwd=tmp_path, env={**os.environ, **env})

        assert done.returncode == 3
        assert why in done.stderr
        assert "Traceback" not in done.stderr


def test_a_reload_returns_the_changes_or_the_problems(start: Start) -> None:
    daemon = start(RULES)
    api = Api(daemon)
    assert api.ask("POST", "/-/reload").json["unchanged"] is True

    daemon.rules.write_text(RULES + "  - {name: more, actions: [append: more.jsonl]}\n")
    changed = api.ask("POST", "/-/reload").json
    daemon.rules.write_text("rules: [{nam: x}]\n")
    refused = api.ask("POST", "/-/reload")

    assert (changed["added"], changed["rules"]) == (["more"], 2)
    assert refused.status == 422
    assert refused.json["hash"] == changed["hash"] == api.ask("GET", "/api/status").json["rules"]["hash"]
    assert any('"nam"' in problem["message"] for problem in refused.json["problems"])


def test_a_target_with_slashes_in_its_name_is_found(start: Start, eventually: Callable[..., Any]) -> None:
    daemon = start(RULES)
    api = Api(daemon)
    daemon.post("/hooks/internal", b"{}")
    eventually(lambda: api.ask("GET", "/api/deliveries?state=dead").json["items"])

    for name in (quote("http://127.0.0.1:9", safe=""), "http://127.0.0.1:9"):
        assert api.ask("GET", f"/api/targets/{name}").json["dead"] == 1


def test_head_gives_the_same_status_without_a_body(start: Start) -> None:
    api = Api(start(RULES))
    for path, status in (("/api/status", 200), ("/-/ready", 200), ("/api/events/x", 404), ("/-/reload", 405)):
        answer = api.ask("HEAD", path)
        assert (answer.status, answer.body) == (status, b"")


def test_smuggled_and_duplicate_headers_are_refused(start: Start) -> None:
    api = Api(start(RULES))
    good = f"Authorization: Bearer {api.token}"
    host = "Host: 127.0.0.1"
    close = "Connection: close"
    for status, lines in (
        (b"200", ("GET /api/status HTTP/1.1", host, good, close)),
        (b"401", ("GET /api/status HTTP/1.1", host, good, good, close)),
        (b"401", ("GET /api/status HTTP/1.1", host, "Authorization_: x", good.replace("Auth", "X-Auth"), close)),
        (b"401", ("GET /api/status HTTP/1.1", host, "Authorization: Bearer \xff\xfe\xfd", close)),
        (b"421", ("GET /api/status HTTP/1.1", host, "Host: evil.example", good, close)),
        (b"421", ("GET /api/status HTTP/1.1", "Host: evil.example", good, close)),
        (b"421", ("GET http://evil.example/api/status HTTP/1.1", "Host: evil.example", good, close)),
        (b"421", ("GET /api/status HTTP/1.0", good)),
        (b"403", ("GET /metrics HTTP/1.1", host, "Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site", close)),
        (b"403", ("GET /metrics HTTP/1.1", host, "Origin: http://127.0.0.1", "Origin: http://evil.example", close)),
        (b"401", ("GET /api/status HTTP/1.1", host, f"X: y\r\n {good}", close)),
        (b"400", ("GET /api/status HTTP/1.1", host, f"X: y\n{good}", close)),
        (b"400", ("POST /-/reload HTTP/1.1", host, good, "Content-Length: 0", "Content-Length: 0", close)),
        (b"501", ("POST /-/reload HTTP/1.1", host, good, "Transfer-Encoding: gzip, chunked", close)),
        (b"401", ("GET /%61pi/status HTTP/1.1", host, close)),
        (b"404", ("GET //api/status HTTP/1.1", host, close)),
        (b"404", ("GET /-/../api/status HTTP/1.1", host, close)),
    ):
        answer = api.raw(*lines)
        # The server reads `//api` as `/api`, which needs the token.
        wanted = b"401" if lines[0].startswith("GET //") else status
        assert answer.split(b" ", 2)[1] == wanted, (lines, answer)


def test_large_bodies_are_refused(start: Start) -> None:
    daemon = start(RULES)
    api = Api(daemon)
    head = f"HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {api.token}\r\nContent-Type: application/json\r\n"
    # waitress has one limit for all paths, and its own message for larger bodies.
    rules = api.raw(f"POST /api/rules/check {head}Content-Length: {16 * 1024**2 + 1}")
    assert rules.startswith(b"HTTP/1.1 413 ")
    answer = api.ask("POST", "/api/deliveries/replay", {"ids": ["x" * (1024**2 + 1)]})
    assert answer.status == 413
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert daemon.wait_for_line("request refused", status=413, reason="size")["listener"] == "admin"
    # 100,000 ids don't fit into a body, and 10,001 are above the limit of ids.
    assert api.ask("POST", "/api/deliveries/replay", {"ids": ["x" * 36] * 25_000}).status == 400


def test_only_host_names_of_the_flag_are_allowed(start: Start) -> None:
    api = Api(start(RULES, flags=("--admin-hosts", "router,Hooks.Example")))

    for host, status in (("router:8081", 200), ("hooks.example", 200), ("elsewhere", 421), ("xrouter", 421)):
        assert api.ask("GET", "/api/status", Host=host).status == status


def test_unknown_methods_get_a_405(start: Start) -> None:
    api = Api(start(RULES))
    for method in ("FOO", "PROPFIND", "CONNECT", "TRACE", "OPTIONS"):
        for path, token in (("/-/ready", ""), ("/api/status", f"Authorization: Bearer {api.token}")):
            answer = api.raw(
                f"{method} {path} HTTP/1.1", "Host: localhost", token or "X-No: token", "Connection: close"
            )
            assert answer.split(b" ", 2)[1] == b"405", (method, answer)
            assert b"Allow: GET, HEAD" in answer


def test_token_guesses_are_rate_limited(start: Start) -> None:
    daemon = start(RULES)
    wrong = Api(daemon, "wrong-token-wrong-token")

    statuses = [wrong.ask("GET", "/api/status").status for _ in range(40)]

    assert statuses[:10] == [401] * 10
    assert 429 in statuses
    assert daemon.admin("/-/healthy").status == 200
    assert "wrong-token" not in str(daemon.lines)


def test_events_are_accepted_during_a_long_replay(start: Start, receiver: Receiver) -> None:
    rules = (
        f"sources: {{internal: {{verify: none}}}}\nrules:\n  - name: all\n    actions: [forward: {receiver.url}/x]\n"
    )
    receiver.answering.clear()  # no answers come, so every delivery stays pending
    daemon = start(rules)
    api = Api(daemon)
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE_SECONDS)
    for _ in range(600):
        connection.request("POST", "/hooks/internal", b"{}", {"Content-Type": "application/json"})
        assert connection.getresponse().read()
    answers: list[Answer] = []
    body = {"filter": {"rule": "all"}, "states": ["pending"]}
    replays = [
        threading.Thread(target=lambda: answers.append(api.ask("POST", "/api/deliveries/replay", body)))
        for _ in range(4)
    ]

    for replay in replays:
        replay.start()
    accepted = [daemon.post("/hooks/internal", b"{}").status for _ in range(20)]
    for replay in replays:
        replay.join()
    connection.close()

    assert set(accepted) == {202}
    # Running deliveries are skipped. A second replay at the same time is answered 503.
    assert {answer.status for answer in answers} <= {200, 503}
    [done, *_] = [answer.json for answer in answers if answer.status == 200]
    assert done["replayed"] + len(done["skipped"]) >= 584
    receiver.answering.set()


def test_a_stop_during_a_request_is_quick_and_logs_no_error(start: Start) -> None:
    daemon = start(RULES)
    api = Api(daemon)
    for _ in range(200):
        daemon.post("/hooks/internal", b"{}")

    over = threading.Event()

    def hammer() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            while not over.is_set():  # later another process may listen on that port
                api.ask("POST", "/api/deliveries/replay", {"all": True, "states": ["dead", "pending"]})

    threads = [threading.Thread(target=hammer) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert daemon.stop(signal.SIGTERM) == 0
    over.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)

    assert not [line for line in daemon.lines if "fault" in line["message"] or "Traceback" in str(line)]


def test_the_served_openapi_document_is_the_documented_one(start: Start) -> None:
    served = Api(start(RULES)).ask("GET", "/api/openapi.json").json

    assert served == json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
