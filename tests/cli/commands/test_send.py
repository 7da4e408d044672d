"""A real daemon accepts what `send` signs, by every scheme, and `send` explains the daemon's answer."""

import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from router.cli.sender import client
from router.cli.sender.destination import Destination, destination
from router.intake.verify.registry import SCHEMES
from tests.conftest import Daemon, Receiver, run_in_process
from tests.free_port import free_port
from tests.intake.signed_requests import CASES, FORM, ONLY_THE_PROVIDER_SIGNS, VALUES

Start = Callable[..., Daemon]
Send = Callable[..., CompletedProcess[str]]

SIGNABLE = {re.sub(r"[^a-z0-9]+", "-", name): case for name, case in CASES.items() if "v1a" not in name}
SOURCES = {name: {"verify": {"scheme": case.scheme, **case.options}} for name, case in SIGNABLE.items()}
RULES = json.dumps(
    {
        "sources": {
            **SOURCES,
            "query": {"verify": {"scheme": "token", "query": "key", "secret": {"env": "NEW"}}},
            "open": {"verify": "none"},
            "unset": {"verify": {"scheme": "github", "secret": {"env": "SEND_TEST_UNSET", "optional": True}}},
        },
        "rules": [
            {"name": "pushes", "source": "github", "match": {"headers.X-GitHub-Event": "push"},
             "actions": [{"append": "pushes.jsonl"}]},
            {"name": "all", "source": "*", "match": {"$.none": {"exists": False}}, "actions": [{"append": "all.jsonl"}]},
        ],
    }
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with rules, payloads, and the secrets in the environment."""
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "payload.json").write_text('{"id": 1, "text": "wörld"}')
    (tmp_path / "form").write_bytes(FORM)
    for name, value in VALUES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WEBHOOK_ROUTER_LISTEN", raising=False)
    return tmp_path


@pytest.fixture
def send(folder: Path) -> Send:
    """Return a function that runs `send` against a port of this machine."""

    def run(*arguments: str, port: int = 1) -> CompletedProcess[str]:
        return run_in_process("send", *arguments, "--to", f"http://127.0.0.1:{port}", folder=folder)

    return run


def test_a_daemon_accepts_what_send_signs_by_every_scheme(start: Start, send: Send, folder: Path) -> None:
    daemon = start(folder / "rules.yaml", env={"SEND_TEST_UNSET": "x"})
    accepted = set()
    rule = {"name": "all", "actions": [{"append": "all.jsonl"}]}
    for name, case in SIGNABLE.items():
        # A file with this source alone loads a dozen times faster than the daemon's file.
        (folder / "sender.yaml").write_text(json.dumps({"sources": {name: SOURCES[name]}, "rules": [rule]}))
        for file in ("payload.json", "form") if SCHEMES[case.scheme].PROFILE.form else ("payload.json",):
            sent = (file, "--source", name, "--query", "a=1 2", "--rules", "sender.yaml", "--json")
            done = send(*sent, port=daemon.port)
            if case.scheme in ONLY_THE_PROVIDER_SIGNS:
                assert done.returncode == 1
                assert "has the key that signs" in done.stderr
                continue
            assert done.returncode == 0, (name, done.stdout, done.stderr)
            assert json.loads(done.stdout)["status"] in (200, 202)
            accepted.add(case.scheme)
    for name in ("query", "open"):
        assert send("payload.json", "--source", name, port=daemon.port).returncode == 0
    assert accepted == set(SCHEMES) - ONLY_THE_PROVIDER_SIGNS - {"none"}


def test_the_same_payload_can_be_sent_repeatedly(start: Start, send: Send, folder: Path) -> None:
    daemon = start(folder / "rules.yaml", env={"SEND_TEST_UNSET": "x"})
    for _ in range(2):
        done = send("payload.json", "--source", "github", "--event", "push", port=daemon.port)

        assert done.returncode == 0
        assert re.search(r"^answer +202 accepted$", done.stdout, re.MULTILINE), done.stdout
        assert re.search(r"^matched +pushes, all$", done.stdout, re.MULTILINE), done.stdout
        [event] = re.findall(r"deliveries list --event (\S+)$", done.stdout)
        stored = json.loads(
            run_in_process("events", "show", event, "--json", "--store", f"sqlite:{daemon.store}", folder=folder).stdout
        )
        assert stored["source"] == "github"
    same = ("--header", "X-GitHub-Delivery: same")
    send("payload.json", "--source", "github", *same, port=daemon.port)
    done = send("payload.json", "--source", "github", *same, port=daemon.port)
    assert "200 a duplicate" in done.stdout
    assert "headers.X-GitHub-Delivery" in done.stdout


def test_a_wrong_secret_shows_the_daemons_refusal(
    start: Start, send: Send, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = start(folder / "rules.yaml", env={"SEND_TEST_UNSET": "x"})
    monkeypatch.setenv("NEW", "a planted secret")

    for name in ("github", "bearer", "query"):
        done = send("payload.json", "--source", name, port=daemon.port)
        assert (done.returncode, done.stdout) == (1, "")
        assert "not accepted: 401: the request could not be verified" in done.stderr
        assert "planted" not in done.stderr


def test_an_unmatched_event_points_to_the_explanation(start: Start, send: Send, folder: Path) -> None:
    daemon = start(folder / "rules.yaml", env={"SEND_TEST_UNSET": "x"})
    (folder / "payload.json").write_text('{"none": 1}')

    done = send("payload.json", "--source", "stripe", port=daemon.port)

    assert re.search(r"^matched +no rule$", done.stdout, re.MULTILINE)
    assert re.search(r"webhook-router test rules.yaml --event \S+ --explain", done.stdout)


def test_the_error_for_an_unset_secret_names_the_variable(send: Send) -> None:
    done = send("payload.json", "--source", "unset")

    assert done.returncode == 1
    assert "rules.yaml:1:" in done.stderr
    assert "set it in this shell as for the daemon" in done.stderr


@pytest.mark.parametrize("name", ["basic", "bearer", "token-in-a-header", "gitlab-secret-token", "query"])
@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_dry_run_shows_the_request_without_credentials(
    send: Send, name: str, flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEW", "planted")

    done = send("payload.json", "--source", name, "--dry-run", *flags)

    assert done.returncode == 0
    assert "<secret>" in done.stdout
    for spelling in ("planted", "YW5uOnBsYW50ZWQ"):
        assert spelling not in done.stdout + done.stderr


def test_a_dry_run_shows_a_signature(send: Send) -> None:
    done = send(
        "payload.json", "--source", "github", "--event", "push", "--header", "X-A: b", "--query", "q=1", "--dry-run"
    )

    assert done.stdout.startswith("POST http://127.0.0.1:1/hooks/github?q=1\n")
    for line in ("X-GitHub-Event: push", "X-A: b", "Content-Type: application/json"):
        assert f"\n{line}\n" in done.stdout
    assert re.search(r"\nX-Hub-Signature-256: sha256=[0-9a-f]{64}\n", done.stdout)
    assert re.search(r"\nX-GitHub-Delivery: [0-9a-f-]{36}\n", done.stdout)


def test_a_refused_connection_says_how_to_start_the_daemon(send: Send) -> None:
    port = free_port()

    done = send("payload.json", "--source", "open", port=port)

    assert (done.returncode, done.stdout) == (1, "")
    assert f"nothing listens at http://127.0.0.1:{port}; start the daemon with webhook-router serve" in done.stderr


def test_a_redirect_is_not_followed(send: Send, receiver: Receiver) -> None:
    receiver.status = 307

    done = send("payload.json", "--source", "bearer", port=int(receiver.url.rpartition(":")[2]))

    assert done.returncode == 1
    assert "redirects aren't followed" in done.stderr
    assert len(receiver.requests) == 1


@pytest.fixture
def raw_server() -> Iterator[Callable[[bytes], int]]:
    """Start a server that sends the given bytes to its client and closes the connection."""
    servers: list[socket.socket] = []

    def start(words: bytes) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def talk() -> None:
            with server.accept()[0] as connection:
                heard = b""
                while not heard.endswith(b"}"):  # unread bytes would reset the connection
                    heard += connection.recv(65536)
                connection.sendall(words)

        threading.Thread(target=talk).start()
        return int(server.getsockname()[1])

    yield start
    for server in servers:
        server.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (b"", "did not answer in HTTP"),
        (b"SSH-2.0-x\r\n", "did not answer in HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "did not answer in HTTP"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 6\r\n\r\n\x1b[31mx", "answers 500; is that the daemon?\n  | \\x1b[31mx"),
        (b'HTTP/1.1 400 No\r\n\r\n{"detail": "\\u001b[2J"}', "400: \\x1b[2J"),
        (b'HTTP/1.1 400 No\r\n\r\n["detail"]', "answers 400"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>\x1b[31m", "answers 200, but without an event id; is that the daemon?"),
        (b'HTTP/1.1 202 OK\r\n\r\n{"id": "; rm x", "matched": ["a"]}', "answers 202, but without an event id"),
    ],
)
def test_an_unexpected_response_is_shown_escaped(
    send: Send, raw_server: Callable[[bytes], int], words: bytes, said: str
) -> None:
    done = send("payload.json", "--source", "open", port=raw_server(words))

    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_https_to_a_plain_server_suggests_http(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        to = f"https://127.0.0.1:{silent.getsockname()[1]}"
        done = run_in_process("send", "payload.json", "--source", "open", "--to", to, folder=folder)

    assert done.returncode == 1
    assert "did not answer in time; if it does not speak TLS, write http://" in done.stderr


def test_a_slow_response_times_out(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RESPONSE_SECONDS", 0.3)
    ended = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        with server.accept()[0] as connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not ended.wait(0.01):
                connection.sendall(b"X")

    dripping = threading.Thread(target=drip)
    dripping.start()

    done = send("payload.json", "--source", "open", port=server.getsockname()[1])

    ended.set()
    dripping.join()
    server.close()
    assert done.returncode == 1
    assert "did not answer within 0.3 s" in done.stderr


def test_a_refusal_shows_the_daemons_message(start: Start, send: Send, folder: Path) -> None:
    (folder / "rules.yaml").write_text(
        "sources:\n"
        "  far: {verify: none, allow_ips: [192.0.2.0/24]}\n"
        "  small: {verify: none, max_body: 1KiB}\n"
        "rules: [{name: all, source: '*', actions: [append: all.jsonl]}]\n"
    )
    (folder / "large.json").write_text('"' + "x" * 10_000_000 + '"')
    (folder / "broken.json").write_text("{")
    daemon = start(folder / "rules.yaml")

    for file, source, words in (
        ("payload.json", "far", "403: this address may not send here; allow_ips of the source"),
        ("large.json", "small", "413: the body is larger than"),
        ("broken.json", "small", "400: the body is not valid JSON"),
    ):
        done = send(file, "--source", source, port=daemon.port)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"webhook-router: not accepted: {words}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--source", "nobody"), "unknown source 'nobody'"),
        ((), "give --source: one of"),
        (("--source", "open", "--event", "push"), "scheme none of source open has no header for it"),
        (("--source", "github", "--event", "a\nb"), "characters that no header can carry"),
        (("--source", "open", "--header", "X-A: b\r\nX-B: c"), "characters that no header can carry"),
        (("--source", "open", "--header", "X A: b"), "letters, digits and -"),
        (("--source", "open", "--header", "Content-Length: 1"), "the command sets it by itself"),
        (("--source", "open", "--header", "nothing"), "expected NAME: VALUE"),
        (("--source", "open", "--query", "nothing"), "expected NAME=VALUE"),
        (("--source", "open", "--method", "get it"), "in capitals"),
        (("--source", "open", "--content-type", "\x00"), "characters that no header can carry"),
    ],
)
def test_invalid_flags_are_usage_errors(send: Send, arguments: tuple[str, ...], said: str) -> None:
    done = send("payload.json", *arguments)

    assert done.returncode == 2
    assert said in done.stderr


def test_a_missing_payload_file_is_an_error(send: Send, folder: Path) -> None:
    done = send("missing.json", "--source", "open")
    assert (done.returncode, done.stderr) == (
        1,
        "webhook-router: the payload missing.json can't be read: No such file or directory\n",
    )

    done = run_in_process("send", "payload.json", "--rules", "missing.yaml", folder=folder)
    assert done.returncode == 1
    assert "missing.yaml" in done.stderr


HERE = Destination(False, "127.0.0.1", 8080)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:8080", HERE),
        ("127.0.0.1:8080", HERE),
        ("0.0.0.0:8080", HERE),
        (":8080", HERE),
        ("[::]:8080", replace(HERE, host="::1")),
        ("http://[::1]:8080/", replace(HERE, host="::1")),
        ("https://hooks.example.com", Destination(True, "hooks.example.com", 443)),
        ("http://hooks.example.com/in/", Destination(False, "hooks.example.com", 80, "/in")),
    ],
)
def test_the_destination_is_a_url_or_a_listen_address(text: str, expected: Destination) -> None:
    assert destination(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8080",
        "ftp://x",
        "http://",
        "http://a:b@c",
        "http://c/?q",
        "http://c:99999",
        "http://c/\r\nX: y",
        "http://[::1",
    ],
)
def test_any_other_destination_is_refused(folder: Path, text: str) -> None:
    done = run_in_process("send", "payload.json", "--source", "open", "--to", text, folder=folder)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_the_default_destination_is_the_listen_address_of_the_environment(
    start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = start(folder / "rules.yaml", env={"SEND_TEST_UNSET": "x"})
    monkeypatch.setenv("WEBHOOK_ROUTER_LISTEN", f"0.0.0.0:{daemon.port}")

    done: Any = run_in_process("send", "payload.json", "--source", "open", folder=folder)

    assert done.returncode == 0, done.stderr


def test_parameters_are_encoded_into_the_path(send: Send, folder: Path) -> None:
    rules = 'sources: {s: {verify: none, path: "/hooks/{team}"}}\nrules: [{name: r, actions: [append: x]}]\n'
    (folder / "rules.yaml").write_text(rules)

    done = send("payload.json", "--param", "team=größe", "--dry-run", "--json")
    missing = send("payload.json", "--dry-run")

    assert json.loads(done.stdout)["request"]["url"].endswith("/hooks/gr%C3%B6%C3%9Fe")
    assert (missing.returncode, "so give team a value" in missing.stderr) == (2, True)
