"""The daemon starts or refuses to start, isolates targets, and stops."""

import fcntl
import os
import signal
import socket
import stat
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router.store.sqlite.store import SqliteStore
from tests.conftest import PATIENCE_SECONDS, PROGRAM, Daemon, Receiver, forked_program
from tests.free_port import free_port

Run = Callable[..., subprocess.CompletedProcess[str]]
Wait = Callable[[Callable[[], Any]], Any]

RULES = "sources: {open: {verify: none}}\nrules: [{name: all, actions: [append: all.jsonl]}]\n"


def _one_clear_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    lines = [line for line in done.stderr.splitlines() if line.startswith("webhook-router:")]
    assert done.returncode == 3, done.stderr
    assert len(lines) == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr


def test_the_error_for_a_missing_rules_file_is_one_clear_line(run: Run, tmp_path: Path) -> None:
    _one_clear_line(run("serve", tmp_path / "none.yaml", cwd=tmp_path), "none.yaml", "there is no file")


def test_a_broken_rules_file_lists_its_problems(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("sources: {a: {verify: nonne}}\nrules: [{nam: x}]\n")

    _one_clear_line(run("serve", cwd=tmp_path), "rules.yaml:1:23:", 'did you mean "none"?', "rules.yaml:2:9:")


def test_the_error_for_an_unwritable_store_is_one_clear_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)

    for store in ("nowhere/x.db", "/dev/null/x.db", "."):
        _one_clear_line(run("serve", "--store", f"sqlite:{store}", cwd=tmp_path), store)


def test_the_error_for_a_file_that_is_not_a_store_is_one_clear_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "x.db").write_text("this is no database, but long enough to look like something" * 100)

    _one_clear_line(run("serve", "--store", "sqlite:x.db", cwd=tmp_path), "x.db")
    assert (tmp_path / "x.db").read_text().startswith("this is no database")


def test_the_error_for_a_damaged_store_is_one_clear_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    SqliteStore(tmp_path / "x.db").close()
    with (tmp_path / "x.db").open("r+b") as file:
        file.seek(4096)  # the first page stays, so that the file is still recognized as a store
        file.write(b"\xff" * 16_384)

    done = run("serve", "--listen", "127.0.0.1:0", "--admin", "off", "--store", "sqlite:x.db", cwd=tmp_path)

    _one_clear_line(done, "malformed", "store check")
    assert done.stderr.count("store check") == 1
    with (tmp_path / "x.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * ((tmp_path / "x.db").stat().st_size - 4096))
    for command in (("deliveries", "list"), ("events", "list"), ("status",)):
        done = run(*command, "--store", "sqlite:x.db", cwd=tmp_path)
        assert done.returncode == 1
        assert "malformed; `webhook-router store check` tells what is wrong" in done.stderr


def test_the_error_for_a_store_in_use_is_one_clear_line(start: Callable[..., Daemon], run: Run, tmp_path: Path) -> None:
    daemon = start(RULES)

    done = run("serve", daemon.rules, "--listen", "127.0.0.1:0", "--store", f"sqlite:{daemon.store}", cwd=tmp_path)

    _one_clear_line(done, str(daemon.store))
    assert daemon.admin("/-/ready").status == 200


@pytest.mark.parametrize("flag", ["--listen", "--admin"])
def test_the_error_for_a_port_in_use_is_one_clear_line(run: Run, tmp_path: Path, flag: str) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        other = "--admin" if flag == "--listen" else "--listen"

        done = run("serve", flag, address, other, "127.0.0.1:0", cwd=tmp_path)

    _one_clear_line(done, address)


def test_unset_and_empty_secrets_prevent_the_start(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES.replace("none", "{scheme: github, secret: {env: HOOK_KEY}}"))

    for value, word in (({}, "is not set"), ({"HOOK_KEY": ""}, "is empty")):
        env = {**os.environ, **value}
        _one_clear_line(run("serve", cwd=tmp_path, env=env), "HOOK_KEY", word)


@pytest.mark.parametrize("flags", [("--listen", "nonsense"), ("--store", "mysql:x"), ("--no-such-flag",)])
def test_a_wrong_flag_is_a_usage_error(run: Run, tmp_path: Path, flags: tuple[str, ...]) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)

    assert run("serve", *flags, cwd=tmp_path).returncode == 2


def test_the_admin_listener_says_healthy_and_ready(start: Callable[..., Daemon]) -> None:
    daemon = start(RULES)

    assert daemon.admin("/-/healthy").status == 200
    assert daemon.admin("/-/ready").json == {"store": True, "rules": True, "dispatcher": True, "intake": True}


def test_the_daemon_is_not_ready_as_soon_as_a_stop_begins(start: Callable[..., Daemon]) -> None:
    daemon = start(RULES)
    with socket.create_connection(("127.0.0.1", daemon.port)) as sender:
        # An incomplete request. A stop waits some seconds for it before it stops the deliveries.
        head = b"POST /hooks/open HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        sender.sendall(head)
        assert sender.recv(65536).startswith(b"HTTP/1.1 100 ")
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_for_line("stopping")

        answer = daemon.admin("/-/ready")

        assert (answer.status, answer.json["intake"], answer.json["dispatcher"]) == (503, False, True)
        assert daemon.admin("/-/healthy").status == 200
        assert b"webhook_router_ready 0.0" in daemon.admin("/metrics").body
        sender.sendall(b"{}")
        assert sender.recv(65536).startswith(b"HTTP/1.1 202 ")


def test_the_store_files_are_private_to_the_owner(start: Callable[..., Daemon]) -> None:
    daemon = start(RULES)
    daemon.post("/hooks/open", b"{}")

    for path in daemon.store.parent.glob("webhook-router.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_running_attempts_and_exits_with_0(
    start: Callable[..., Daemon], eventually: Wait, number: int, tmp_path: Path
) -> None:
    daemon = start(RULES)
    ids = [daemon.post("/hooks/open", b"{}").json["id"] for _ in range(20)]

    assert daemon.stop(number) == 0

    assert daemon.lines[-1]["message"] == "stopped"
    again = start(RULES)
    lines = tmp_path / "all.jsonl"
    eventually(lambda: lines.exists() and all(id_ in lines.read_text() for id_ in ids))
    assert again.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_any_thread_stops_the_daemon(start: Callable[..., Daemon], number: int) -> None:
    daemon = start(RULES)
    threads = {int(thread.name) for thread in Path(f"/proc/{daemon.process.pid}/task").iterdir()}
    others = sorted(threads - {daemon.process.pid})
    assert others

    # The kernel may choose any thread for a signal. The id of a thread directs it there. The oldest one lives longest.
    os.kill(others[0], number)

    assert daemon.process.wait(PATIENCE_SECONDS) == 0


def test_repeated_signals_are_all_handled(start: Callable[..., Daemon]) -> None:
    daemon = start(RULES)

    for _ in range(50):
        daemon.process.send_signal(signal.SIGHUP)

    assert daemon.stop() == 0
    daemon.wait_for_line("stopping", signal="SIGTERM")


def test_a_stop_takes_a_limited_time_with_a_slow_target(
    start: Callable[..., Daemon], receiver: Receiver, eventually: Wait
) -> None:
    rules = f'sources: {{open: {{verify: none}}}}\nrules: [{{name: slow, actions: [forward: "{receiver.url}/hang"]}}]\n'
    daemon = start(rules, flags=("--grace", "0.2"))
    event = daemon.post("/hooks/open", b"{}").json["id"]
    eventually(lambda: receiver.requests)

    assert daemon.stop() == 0

    daemon.wait_for_line("attempt settled", outcome="interrupted", state="pending")
    receiver.release.set()
    start(rules)
    eventually(lambda: receiver.ids() == [event, event])
    assert {request.headers["webhook-attempt"] for request in receiver.requests} == {"1", "2"}


def test_a_command_that_outlives_the_grace_period_is_killed_with_its_children(
    start: Callable[..., Daemon], eventually: Wait, tmp_path: Path
) -> None:
    (tmp_path / "slow.sh").write_text("sleep 600 &\necho $! >child.pid\nwait\n")
    daemon = start(
        "sources: {open: {verify: none}}\n"
        "rules: [{name: slow, allow_unverified: true, actions: [command: [sh, slow.sh]]}]\n",
        flags=("--grace", "0.1"),
    )
    daemon.post("/hooks/open", b"{}")
    child = int(eventually(lambda: (tmp_path / "child.pid").exists() and (tmp_path / "child.pid").read_text()))

    assert daemon.stop() == 0

    eventually(lambda: not _alive(child))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:  # it ended before or during the check
        return False


def test_a_hanging_target_does_not_hold_up_another(
    start: Callable[..., Daemon], receiver: Receiver, eventually: Wait
) -> None:
    daemon = start(f"""
sources: {{open: {{verify: none}}}}
targets:
  stuck: {{url: "{receiver.url}/hang", concurrency: 2}}
  fine: {{url: "{receiver.url}/fine"}}
rules:
  - name: both
    actions:
      - {{name: a, forward: {{target: stuck}}}}
      - {{name: b, forward: {{target: fine}}}}
""")

    for _ in range(30):
        daemon.post("/hooks/open", b"{}")

    eventually(lambda: len(receiver.ids("/fine")) == 30)
    eventually(lambda: len(receiver.ids("/hang")) >= 2)
    assert len(receiver.ids("/hang")) == 2


def test_deliveries_to_a_failing_target_are_retried_and_then_dead(
    start: Callable[..., Daemon], receiver: Receiver, eventually: Wait
) -> None:
    receiver.status = 500
    daemon = start(f"""
sources: {{open: {{verify: none}}}}
rules:
  - name: out
    actions: [{{forward: "{receiver.url}", retry: {{initial: 50ms, max: 100ms, attempts: 3}}}}]
""")

    daemon.post("/hooks/open", b"{}")

    daemon.wait_for_line("attempt settled", attempt=3, state="dead", status=500)
    assert len(receiver.requests) == 3
    assert len({request.headers["idempotency-key"] for request in receiver.requests}) == 1


def test_a_flag_of_serve_can_forbid_commands(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(
        "sources: {open: {verify: none}}\nrules: [{name: c, allow_unverified: true, actions: [command: [/bin/true]]}]\n"
    )

    _one_clear_line(run("serve", "--commands", "off", cwd=tmp_path), "rules.yaml:2:", "--commands")


def test_version_and_help_work(run: Run) -> None:
    assert run("--version").stdout.startswith("webhook-router, version ")
    for command in ("serve", "check", "test"):
        done = run(command, "--help")
        assert done.returncode == 0
        assert "Examples:" in done.stdout


def test_a_stop_during_requests_answers_them(start: Callable[..., Daemon]) -> None:
    daemon = start(RULES)
    with socket.create_connection(("127.0.0.1", daemon.port), PATIENCE_SECONDS) as connection:
        connection.sendall(b"POST /hooks/open HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        daemon.process.send_signal(signal.SIGTERM)
        answer = connection.recv(1000)

    assert b" 202 " in answer.splitlines()[0]
    assert daemon.stop() == 0


@pytest.mark.parametrize("processes", ["1", "2"])
def test_the_daemon_runs_with_closed_standard_streams(
    tmp_path: Path, receiver: Receiver, eventually: Wait, processes: str
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        f'sources: {{in: {{verify: none}}}}\nrules: [{{name: a, actions: [forward: "{receiver.url}/x"]}}]\n'
    )
    port = free_port()
    store = tmp_path / "s.db"
    serve = [
        PROGRAM,
        "serve",
        str(rules),
        "--listen",
        f"127.0.0.1:{port}",
        "--admin",
        "off",
        "--store",
        f"sqlite:{store}",
        "--processes",
        processes,
    ]
    closing = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]

    process = subprocess.Popen([*closing, *serve])
    try:
        eventually(lambda: _listens(port))
        streams = [str(Path(f"/proc/{process.pid}/fd/{number}").readlink()) for number in range(3)]
        urllib.request.urlopen(f"http://127.0.0.1:{port}/hooks/in", b"x", PATIENCE_SECONDS).close()
        eventually(receiver.ids)
    finally:
        process.terminate()

    assert process.wait(PATIENCE_SECONDS) == 0
    assert streams == [os.devnull] * 3
    if processes == "1":
        assert subprocess.run([*closing, PROGRAM, "status", "--store", f"sqlite:{store}"], check=False).returncode == 0


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("style", ["json", "text"])
def test_the_daemon_runs_when_nobody_reads_its_log(eventually: Wait, tmp_path: Path, style: str) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    port = free_port()
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    process = subprocess.Popen(
        [
            *(forked_program(), "serve", str(rules), "--listen", f"127.0.0.1:{port}", "--admin", "off"),
            *("--store", f"sqlite:{tmp_path / 's.db'}", "--log-format", style),
        ],
        stderr=writing,
    )
    os.close(writing)
    try:
        eventually(lambda: _listens(port))
        for _ in range(100):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/hooks/open", b"x", PATIENCE_SECONDS).close()
    finally:
        process.terminate()
        try:
            code = process.wait(PATIENCE_SECONDS / 2)
        finally:
            process.kill()
            process.wait()
            os.close(reading)

    assert code == 0


@pytest.mark.parametrize("arguments", [["schema"], ["check", "rules.yaml"], ["--help"]])
def test_the_error_for_output_that_can_not_be_written_is_one_clear_line(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [forked_program(), *arguments], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "webhook-router: the output can't be written: No space left on device"
    assert "Traceback" not in done.stderr
