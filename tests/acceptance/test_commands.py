"""Misbehaving commands of a real daemon leave no processes, descriptors or memory behind."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PATIENCE_SECONDS, PROGRAM, Daemon, forked_program

Start = Callable[..., Daemon]
Wait = Callable[[Callable[[], Any]], Any]

# Name, command in YAML, and the expected end of the attempt: outcome, exit code and a part of the error.
ODD = [
    ("pipes", "{shell: 'sleep 600 & sleep 600 & echo done'}", "succeeded", 0, ""),
    ("stubborn", "{shell: \"trap '' TERM; sleep 600 & wait; sleep 600\", timeout: 300ms, kill_after: 200ms}", "retry", -9,
     "not done within 0.3 s"),
    ("flood", "{shell: 'head -c 300000000 /dev/zero; echo the end'}", "succeeded", 0, ""),
    ("endless", "{argv: [yes], timeout: 500ms}", "retry", -15, "not done within 0.5 s"),
    ("deaf", "{shell: 'exec <&-; sleep 0.1; exit 0'}", "succeeded", 0, ""),
    ("never-reads", "{argv: [sleep, '0.2']}", "succeeded", 0, ""),
    ("mute", "{shell: 'exec >&- 2>&-; sleep 0.1; exit 4'}", "retry", 4, "exit code 4"),
    ("segfault", "{shell: 'kill -SEGV $$'}", "retry", -11, "ended by signal 11"),
    ("missing", "[./none.sh]", "retry", None, "none.sh does not exist"),
    ("not-executable", "[./plain.sh]", "retry", None, "plain.sh is not executable"),
    ("no-first-line", "[./bare.sh]", "retry", None, "bare.sh is not a program"),
    ("lost-interpreter", "[./lost.sh]", "retry", None, "lost.sh does not exist, or the interpreter"),
    ("folder", "[./folder]", "retry", None, "folder is not executable"),
    ("own-group", "{shell: 'set -m; sleep 600 & exit 3'}", "retry", 3, "exit code 3"),
]  # fmt: skip


def _rules(commands: dict[str, str], more: str = "") -> str:
    """A rule for each name, which matches the payload {"run": name}."""
    return "sources: {open: {verify: none, max_body: 30MiB}}\nrules:\n" + "".join(
        f"  - {{name: {name}, allow_unverified: true, match: {{headers.X-Run: {name}}}, "
        f"actions: [{{command: {command}{more}}}]}}\n"
        for name, command in commands.items()
    )


def _run(daemon: Daemon, name: str, body: bytes = b"{}", **fields: Any) -> Any:
    after = len(daemon.lines)
    assert daemon.post("/hooks/open", body, {"X-Run": name}).status == 202
    return daemon.wait_for_line("attempt settled", after, rule=name, **fields)


def _descendants(folder: Path, daemon: int) -> list[str]:
    """The programs that run in this folder, except the daemon with this process id."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and process.name != str(daemon) and (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def _children(pid: int) -> set[str]:
    """The ids of the children, including zombies."""
    found = set()
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit():
                parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
                found |= {process.name} if int(parent) == pid else set()
        except OSError:
            continue
    return found


def _descriptors(pid: int) -> int:
    """The number of open descriptors, except those of the store, which opens connections as needed."""
    count = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += "webhook-router.db" not in str(descriptor.readlink())
        except OSError:  # it was closed meanwhile
            continue
    return count


def _memory(pid: int) -> int:
    """The peak memory of a process in KiB."""
    return int(
        next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in line).split()[1]
    )


def test_unusual_commands_end_as_documented_and_leave_no_process(
    start: Start, eventually: Wait, tmp_path: Path
) -> None:
    (tmp_path / "plain.sh").write_text("#!/bin/sh\n")
    for name, text in (("bare.sh", "echo hi\n"), ("lost.sh", "#!/no/such/interpreter\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "folder").mkdir()
    daemon = start(_rules({name: command for name, command, *_ in ODD}))
    _run(daemon, "deaf")  # the first attempt opens descriptors that stay open, and starts the guard
    before, guard = _descriptors(daemon.process.pid), _children(daemon.process.pid)
    assert len(guard) <= 1

    for name, _, outcome, status, error in ODD:
        # never-reads and deaf get more input than a pipe holds.
        body = b'"%s"' % (b"x" * (25 * 1024 * 1024)) if name in ("never-reads", "deaf") else b"{}"
        line = _run(daemon, name, body)
        assert (line["outcome"], line.get("status")) == (outcome, status), line
        assert error in (line.get("error") or ""), line

    eventually(lambda: _descendants(tmp_path, daemon.process.pid) == [])
    eventually(lambda: _children(daemon.process.pid) == guard)
    eventually(lambda: _descriptors(daemon.process.pid) <= before)


def test_gigabytes_of_output_are_not_held_in_memory(start: Start) -> None:
    daemon = start(_rules({"flood": "{shell: 'head -c 1000000000 /dev/zero; exit 1'}", "quick": "[/bin/true]"}))
    _run(daemon, "quick")
    before = _memory(daemon.process.pid)

    assert _run(daemon, "flood")["status"] == 1

    assert _memory(daemon.process.pid) - before < 20 * 1024


def test_hundreds_of_runs_leave_no_descriptor_and_no_zombie(start: Start, eventually: Wait) -> None:
    daemon = start(_rules({"quick": "{argv: [/bin/true], concurrency: 16}"}))
    _run(daemon, "quick")
    before, guard = _descriptors(daemon.process.pid), _children(daemon.process.pid)
    assert len(guard) <= 1

    senders = [
        threading.Thread(target=lambda: [daemon.post("/hooks/open", b"{}", {"X-Run": "quick"}) for _ in range(50)])
        for _ in range(8)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()

    eventually(lambda: sum(line.get("outcome") == "succeeded" for line in list(daemon.lines)) == 401)
    eventually(lambda: _children(daemon.process.pid) == guard)
    eventually(lambda: _descriptors(daemon.process.pid) <= before + 1)


_SHOW = """
import json, os, signal, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
fds = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")}
json.dump({"env": dict(os.environ), "fds": fds, "argv": sys.argv[1:], "group": os.getpgid(0) == os.getpid(),
           "session": os.getsid(0) == os.getpid(),
           **{name: int(status[name], 16) for name in ("SigBlk", "SigIgn")}}, open("shown.json", "w"))
"""


def test_a_command_inherits_no_signals_secrets_or_descriptors(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "show.py").write_text(_SHOW)
    monkeypatch.setenv("GITHUB_WEBHOOK_SECRET", "hush")
    monkeypatch.setenv("BASH_FUNC_ls%%", "() { echo pwned; }")
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])
    ignored = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGCHLD, signal.SIGQUIT, signal.SIGHUP)
    }
    leaked = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        rules = _rules({"show": f"[{sys.executable}, -E, show.py, 'a b']", "fails": "{shell: exit 7}"})
        daemon = start(rules, env={"TOKEN": "hush"}, program=(PROGRAM,))
    finally:
        os.close(leaked)
        for number, handler in ignored.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)

    assert _run(daemon, "show")["outcome"] == "succeeded"

    shown = json.loads((tmp_path / "shown.json").read_text())
    assert not {"TOKEN", "GITHUB_WEBHOOK_SECRET", "BASH_FUNC_ls%%"} & set(shown["env"])
    assert "hush" not in json.dumps(shown)
    assert shown["env"]["PATH"] == os.environ["PATH"]
    # 0, 1 and 2, and the descriptor of the listing itself.
    assert all(name.startswith(("pipe:", "/proc/")) for name in shown["fds"].values()), shown["fds"]
    assert shown["argv"] == ["a b"]
    assert shown["SigBlk"] == 0
    # Python itself ignores two signals. The signals from 32 on belong to the C library.
    ignored_by_script = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1
    assert shown["SigIgn"] & 0x7FFFFFFF & ~ignored_by_script == 0
    assert shown["group"]
    assert shown["session"]
    # If SIGCHLD were ignored, the kernel would keep no exit code, and this would look like a success.
    assert _run(daemon, "fails")["status"] == 7


HOSTILE = [
    "'\"; touch pwned; $(touch pwned) `touch pwned` && touch pwned\n| touch pwned\r\n* ? ~ ${IFS} \\",
    "\u202e\x1b[31m\x7f é 😀",
    "x" * 120_000,
]


def test_payload_text_is_never_run_as_code(start: Start, tmp_path: Path) -> None:
    script = 'printf "%s" "$1" >arg; printf "%s" "$REF" >env; cat >body'
    (tmp_path / "take.sh").write_text(script)
    command = '{argv: [sh, take.sh, "{{ payload.x }}"], env: {REF: "{{ payload.x }}"}}'
    daemon = start(_rules({"take": command}))

    for text in HOSTILE:
        body = json.dumps({"x": text}).encode()
        assert _run(daemon, "take", body)["outcome"] == "succeeded"
        for name in ("arg", "env"):
            assert (tmp_path / name).read_bytes() == text.encode()
        assert (tmp_path / "body").read_bytes() == body

    for text, error in (
        ("a\0b", "would contain NUL"),
        ("-rf", "would begin with a dash"),
        ("--", "would begin with a dash"),
        ("x" * 200 * 1024, "longer than 128 KiB"),
    ):
        line = _run(daemon, "take", json.dumps({"x": text}).encode())
        assert (line["outcome"], line["state"]) == ("failed", "dead")
        assert error in line["error"]
    assert not (tmp_path / "pwned").exists()


def test_a_deploy_script_that_stops_the_daemon_and_waits_does_not_loop(
    start: Start, eventually: Wait, tmp_path: Path
) -> None:
    # The script waits for the daemon, and the daemon for the script, until the grace period ends.
    rules = _rules({"deploy": "{shell: 'echo run >>runs; kill $PPID; while kill -0 $PPID; do sleep 0.05; done'}"})
    daemon = start(rules, flags=("--grace", "0.3"))
    daemon.post("/hooks/open", b"{}", {"X-Run": "deploy"})

    for state in ("pending", "pending", "dead"):
        daemon.process.wait(PATIENCE_SECONDS)
        daemon.wait_for_line("attempt settled", outcome="interrupted", state=state)
        assert daemon.process.returncode == 0
        daemon = start(rules, flags=("--grace", "0.3"))

    assert daemon.post("/hooks/open", b"{}").status == 202
    assert daemon.process.poll() is None
    assert (tmp_path / "runs").read_text().count("run") == 3


@pytest.mark.parametrize(
    "shell",
    [
        "kill $PPID",  # requests a stop and ends, like `systemctl --no-block restart`
        # A process in a session of its own may wait for the daemon. It must start before the script ends.
        'setsid sh -c ": >apart; kill $PPID; while kill -0 $PPID; do sleep 0.05; done; echo back >>runs"'
        " >/dev/null 2>&1 & while [ ! -e apart ]; do sleep 0.05; done",
    ],
)
def test_a_deploy_script_that_does_not_wait_for_the_daemon_succeeds_once(
    start: Start, eventually: Wait, tmp_path: Path, shell: str
) -> None:
    daemon = start(_rules({"deploy": json.dumps({"shell": f"echo run >>runs\n{shell}"})}))
    daemon.post("/hooks/open", b"{}", {"X-Run": "deploy"})

    assert daemon.process.wait(PATIENCE_SECONDS) == 0

    daemon.wait_for_line("attempt settled", outcome="succeeded", state="succeeded")
    if "back" in shell:
        eventually(lambda: "back" in (tmp_path / "runs").read_text())
    again = start(_rules({"deploy": "{shell: 'echo again >>runs'}", "other": "[/bin/true]"}))
    _run(again, "other")
    assert "again" not in (tmp_path / "runs").read_text()


def test_an_interrupted_command_can_be_made_dead_at_once(start: Start, eventually: Wait, tmp_path: Path) -> None:
    rules = _rules({"deploy": "{shell: 'echo run >>runs; sleep 600'}"}, ", retry: {interrupted: dead}")
    daemon = start(rules, flags=("--grace", "0.1"))
    after = len(daemon.lines)
    daemon.post("/hooks/open", b"{}", {"X-Run": "deploy"})
    eventually((tmp_path / "runs").exists)

    assert daemon.stop() == 0

    daemon.wait_for_line("attempt settled", after, outcome="interrupted", state="dead")


@pytest.mark.parametrize("first", ["command", "daemon"])
def test_a_command_that_a_service_manager_ends_with_the_daemon_is_run_again(
    start: Start, eventually: Wait, tmp_path: Path, first: str
) -> None:
    rules = _rules({"deploy": "{shell: 'echo $$ >pid; exec sleep 600'}"})
    daemon = start(rules)
    daemon.post("/hooks/open", b"{}", {"X-Run": "deploy"})
    command = int(eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))

    for pid in (command, daemon.process.pid) if first == "command" else (daemon.process.pid, command):
        os.kill(pid, signal.SIGTERM)
    assert daemon.process.wait(PATIENCE_SECONDS) == 0

    daemon.wait_for_line("attempt settled", outcome="interrupted", state="pending")


def test_a_command_killed_by_another_process_has_failed(start: Start) -> None:
    line = _run(start(_rules({"killed": "{shell: 'kill -TERM $$'}"})), "killed")

    assert (line["outcome"], line["state"], line["error"]) == ("retry", "dead", "ended by signal 15")


def test_rules_may_only_run_programs_in_the_commands_folder(tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "ok.sh").write_text("#!/bin/sh\n")
    (allowed / "ok.sh").chmod(0o755)
    (allowed / "out").symlink_to("/bin/true")
    (tmp_path / "in").symlink_to(allowed)
    good = _rules({"a": "[allowed/ok.sh]", "b": "[in/ok.sh]"})
    bad = {
        "out": "[allowed/out]",
        "up": "[allowed/../../bin/true]",
        "path": "['true']",
        "shell": "{shell: 'true'}",
        "preload": "{argv: [allowed/ok.sh], env: {LD_PRELOAD: ./x.so}}",
        "find": "{argv: [allowed/ok.sh], env: {PATH: /tmp}}",
    }

    for rules, wrong in ((good, []), (_rules(bad), list(bad))):
        (tmp_path / "rules.yaml").write_text(rules)
        process = subprocess.Popen(
            [forked_program(), "serve", "rules.yaml", "--commands", str(allowed), "--listen", "127.0.0.1:0", "--admin", "off"],
            cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        if not wrong:
            assert any("serving" in line for line in iter(process.stderr.readline, ""))
            process.terminate()
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == (3 if wrong else 0)
        for name in wrong:
            assert f'"{name}"' in said and "--commands" in said, said
