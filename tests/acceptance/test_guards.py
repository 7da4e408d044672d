"""Senders can neither write protected files nor run code."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PATIENCE_SECONDS, Daemon, forked_program, run_in_process

Start = Callable[..., Daemon]
Wait = Callable[[Callable[[], Any]], Any]

# Arguments and text of the sender. Without a check each pair runs `touch pwned` or writes it into a file.
ATTACKS = {
    "sed": (["sed", "{{ payload.x }}", "rules.yaml"], "1e touch pwned"),
    "sed-wrapped": (["env", "sed", "{{ payload.x }}", "rules.yaml"], "1e touch pwned"),
    "xargs": (["xargs", "sh", "-c"], '"touch pwned"'),
    "make": (["make", "-f", "/dev/null", "{{ payload.x }}"], "x=$(shell touch pwned)"),
    "fd": (["bash", "/dev/fd/0"], "touch pwned"),
    "rcfile": (["bash", "--rcfile", "/dev/stdin", "-ic", ":"], "touch pwned"),
    "find": (["find", ".", "-exec", "{{ payload.x }}", ";"], "./rules.yaml"),
    "tar": (
        ["tar", "cf", "/dev/null", "--checkpoint=1", "--checkpoint-action={{ payload.x }}", "."],
        "exec=touch pwned",
    ),
    "awk": (["awk", "{{ payload.x }}"], 'BEGIN{system("touch pwned")}'),
    "perl": (["perl", "-ne", "1", "{{ payload.x }}"], "touch pwned |"),
    "sort": (["sort", "--compress-program={{ payload.x }}"], "./x"),
    "dd": (["dd", "of={{ payload.x }}"], "pwned"),
    "cp": (["cp", "rules.yaml", "{{ payload.x }}"], "pwned"),
    "git": (["git", "-c", "alias.x={{ payload.x }}", "x"], "!touch pwned"),
    "patch": (["patch", "-p0"], "--- /dev/null\n+++ pwned\n@@ -0,0 +1 @@\n+x\n"),
    "ed": (["ed"], "!touch pwned\nq\n"),
    "busybox": (["busybox", "sh"], "touch pwned"),
    "own-make": (["./own-make", "{{ payload.x }}"], "x=$(shell touch pwned)"),
    "own-shell": (["./own-shell"], "touch pwned"),
    "link": (["./link", "{{ payload.x }}", "rules.yaml"], "1e touch pwned"),
}
VARIABLES = (
    "TAR_OPTIONS",
    "PYTHONSTARTUP",
    "GIT_SSH_COMMAND",
    "BASH_ENV",
    "LD_PRELOAD",
    "MAKEFLAGS",
    "LESSOPEN",
    "PERL5OPT",
)


def _rules(*actions: dict[str, Any], **more: Any) -> str:
    rules = [
        {"name": f"r{i}", "allow_unverified": True, "actions": [action], **more} for i, action in enumerate(actions)
    ]
    return json.dumps({"sources": {"open": {"verify": "none"}}, "rules": rules})


def _check(folder: Path, rules: str) -> dict[int, str]:
    """By rule: the errors of `check`."""
    (folder / "rules.yaml").write_text(rules)
    done = run_in_process("check", "--json", "rules.yaml", folder=folder)
    problems = [problem for problem in json.loads(done.stdout) if problem["level"] == "error"]
    return {int(problem["path"].split("]")[0].removeprefix("rules[")): problem["message"] for problem in problems}


def test_senders_text_is_never_run_as_code(tmp_path: Path) -> None:
    for name, line in (("own-make", "/usr/bin/make -f"), ("own-shell", "/bin/sh -s")):
        (tmp_path / name).write_text(f"#!{line}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "link").symlink_to("/bin/sed")
    commands = [{"command": argv} for argv, _ in ATTACKS.values()]
    variables = [{"command": {"shell": "true", "env": {name: "{{ payload.x }}"}}} for name in VARIABLES]

    found = _check(tmp_path, _rules(*commands, *variables))

    assert [name for i, name in enumerate([*ATTACKS, *VARIABLES]) if i not in found] == []


def test_a_rule_with_allow_code_may_run_senders_text(start: Start, eventually: Wait, tmp_path: Path) -> None:
    daemon = start(_rules({"command": ["sed", "-n", "{{ payload.x }}", "rules.yaml"]}, allow_code=True))

    daemon.post("/hooks/open", json.dumps({"x": "1w pwned"}).encode())

    eventually((tmp_path / "pwned").exists)


def test_a_file_linked_into_an_appends_folder_later_stays_unchanged(
    start: Start, eventually: Wait, tmp_path: Path
) -> None:
    rules = _rules({"append": {"path": "out/{{ payload.f }}", "line": "rules: pwned"}})
    daemon = start(rules)
    targets = {"rules": tmp_path / "rules.yaml"}
    targets |= {path.name: path for path in tmp_path.iterdir() if path.is_file() and "db" in path.name}
    assert any(name.endswith(".token") for name in targets) or len(targets) > 2
    (tmp_path / "out").mkdir(exist_ok=True)
    for name, path in targets.items():
        os.link(path, tmp_path / "out" / name)
    size = {name: path.stat().st_size for name, path in targets.items() if "db" not in name or name.endswith(".token")}

    for name in targets:
        daemon.post("/hooks/open", json.dumps({"f": name}).encode())
    daemon.post("/hooks/open", b'{"f": "fine"}')
    eventually((tmp_path / "out" / "fine").exists)
    lines = eventually(lambda: _ended(daemon) if len(_ended(daemon)) > len(targets) else None)

    dead = [line for line in lines if line["state"] == "dead"]
    assert len(dead) == len(targets)
    assert all("where no event may write" in line["error"] for line in dead)
    assert (tmp_path / "rules.yaml").read_text() == rules
    assert size == {name: targets[name].stat().st_size for name in size}


def _ended(daemon: Daemon) -> list[dict[str, Any]]:
    return [line for line in daemon.lines if line.get("message") == "attempt settled"]


@pytest.mark.parametrize("path", ["./{{ payload.f }}", "{{ payload.f }}.jsonl", "store/{{ payload.f }}", "rules.yaml"])
def test_the_daemon_does_not_start_when_an_append_could_write_protected_files(tmp_path: Path, path: str) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "rules.yaml").write_text(_rules({"append": path}))

    done = subprocess.run(
        [forked_program(), "serve", "rules.yaml", "--listen", "127.0.0.1:0", "--store", "sqlite:store/events.db"],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip

    assert done.returncode == 3
    assert "out/" in done.stderr
