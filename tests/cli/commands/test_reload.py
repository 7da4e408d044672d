"""`reload` makes a running daemon reload. It prints what changed, or why the old rules stay."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import StoreCommands
from tests.conftest import Daemon, run_in_process, until

RULES = """\
sources: {{open: {{verify: none}}}}
rules:
  - {{name: {name}, actions: [append: out.jsonl]}}
"""


def test_reload_says_which_rules_run_or_why_the_old_rules_stay(start: Callable[..., Daemon], tmp_path: Path) -> None:
    daemon = start(RULES.format(name="before"))
    # `reload` finds the admin listener by the daemon's note, which is committed soon after the daemon serves.
    until(lambda: json.loads(run_in_process("status", "--json", folder=tmp_path).stdout)["process"].get("admin"))

    unchanged = run_in_process("reload", folder=tmp_path)
    assert unchanged.returncode == 0
    assert unchanged.stdout.startswith("reloaded: nothing changed since ")
    assert ", 1 rule, hash " in unchanged.stdout

    daemon.rules.write_text("rules: [")
    refused = run_in_process("reload", folder=tmp_path)
    assert refused.returncode == 1
    assert (
        "webhook-router: not reloaded: the rules file has problems, listed here; the running rules stay\n"
        in refused.stderr
    )
    assert "rules.yaml:2:1: not YAML" in refused.stderr

    daemon.rules.write_text(RULES.format(name="after"))
    # The daemon may have noticed the change before it is asked; it runs the new rules either way.
    answer = json.loads(run_in_process("reload", "--json", folder=tmp_path).stdout)
    assert answer["rules"] == 1
    assert answer["added"] == ["after"] or answer["unchanged"]
    named = run_in_process(
        "reload", "--admin", f"127.0.0.1:{daemon.admin_port}", "--store", f"sqlite:{daemon.store}", folder=Path("/")
    )
    assert named.returncode == 0

    wrong = tmp_path / "wrong.token"
    wrong.write_text("0123456789abcdef0123")
    stranger = run_in_process("reload", "--admin-token-file", str(wrong), folder=tmp_path)
    assert stranger.returncode == 1
    assert "the admin listener refused the token" in stranger.stderr


def test_reload_sends_a_signal_to_a_daemon_without_an_admin_listener(store_commands: StoreCommands) -> None:
    heard = []
    before = signal.signal(signal.SIGHUP, lambda number, _: heard.append(number))
    try:
        with store_commands.opened() as store:  # this process stands for a daemon started with `serve --admin off`
            store.put_note("process", json.dumps({"pid": os.getpid()})).result(60)
            done = store_commands.run("reload")
    finally:
        signal.signal(signal.SIGHUP, before)

    assert done.stdout.startswith(f"sent SIGHUP to process {os.getpid()}; ")
    assert heard == [signal.SIGHUP]


def test_reload_says_when_no_daemon_runs(tmp_path: Path) -> None:
    done = run_in_process("reload", "--admin", "127.0.0.1:9", folder=tmp_path)

    assert done.returncode == 1
    assert "the daemon at 127.0.0.1:9 can't be reached: Connection refused; does it run?" in done.stderr
