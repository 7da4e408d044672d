"""Shell completion of commands, flags, names and ids. A completion never fails."""

import os
import subprocess
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from router.cli.main import cli
from tests.cli.conftest import StoreCommands
from tests.conftest import PROGRAM, run_in_process

RULES = """
sources:
  github: {verify: none}
  stripe: {verify: none}
targets: {ci: {url: "http://127.0.0.1:9"}}
rules:
  - name: deploy
    source: github
    actions: [{forward: {target: ci}}, {name: log, append: out/a.jsonl}]
"""


@pytest.fixture
def at(store_commands: StoreCommands, monkeypatch: pytest.MonkeyPatch) -> StoreCommands:
    """Work in a folder with rules and an empty store."""
    monkeypatch.chdir(store_commands.folder)
    for name in ("WEBHOOK_ROUTER_STORE", "WEBHOOK_ROUTER_RULES"):
        monkeypatch.delenv(name, raising=False)
    Path("rules.yaml").write_text(RULES)
    return store_commands


def completed(line: str) -> list[str]:
    """The completions of the last word of the line."""
    *words, last = line.split(" ")
    found = BashComplete(cli, {}, "webhook-router", "_WEBHOOK_ROUTER_COMPLETE").get_completions(words, last)
    return [item.value for item in found]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("relo", ["reload"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("check --exp", ["--explain-retry"]),
        ("send push.json --source ", ["github", "stripe"]),
        ("test --source g", ["github"]),
        ("test --expect ", ["deploy"]),
        ("events list --source s", ["stripe"]),
        ("tail --rule ", ["deploy"]),
        ("tail --target ", ["ci", "deploy/log"]),
        ("targets pause ", ["ci", "deploy/log"]),
        ("targets pause ci ", ["deploy/log"]),
        ("deliveries list --action ", ["forward", "log"]),
        ("deliveries list --state d", ["dead"]),
        ("events show ", ["last"]),
        ("deliveries replay --rule x", []),
        ("sources show strip", ["stripe"]),
        ("init --source gith", ["github"]),
    ],
)
def test_names_of_the_rules_are_completed(line: str, offered: list[str], at: StoreCommands) -> None:
    assert completed(line) == offered


def test_names_and_ids_of_the_store_are_completed(at: StoreCommands, plan: object) -> None:
    event = at.put(source="old-source")
    Path("rules.yaml").unlink()

    assert completed("events show ") == ["last", event]
    assert completed(f"events show {event[:20]}") == [event]
    assert completed("deliveries show ") == ["last"]
    assert completed("test --event ") == ["last", event]


@pytest.mark.parametrize("broken", ["", "rules: [", "sources: {a: {verify: nonsense}}\nrules: []\n"])
def test_a_broken_file_or_store_completes_nothing_and_says_nothing(
    broken: str, at: StoreCommands, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("rules.yaml").write_text(broken)
    at.path.write_text("no store")

    assert completed("tail --rule ") == []
    assert completed("events show ") == ["last"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_asks_the_program(shell: str, tmp_path: Path) -> None:
    done = run_in_process("completion", shell, folder=tmp_path)

    assert done.returncode == 0
    assert f"_WEBHOOK_ROUTER_COMPLETE={shell}_complete" in done.stdout
    assert done.stderr == ""


def test_the_program_answers_the_completion_script(at: StoreCommands) -> None:
    asked = {
        "_WEBHOOK_ROUTER_COMPLETE": "bash_complete",
        "COMP_WORDS": "webhook-router tail --source ",
        "COMP_CWORD": "3",
    }

    done = subprocess.run([PROGRAM], env={**os.environ, **asked}, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == ["plain,github", "plain,router", "plain,stripe"]


def test_the_id_of_an_older_event_is_completed_from_its_beginning(at: StoreCommands) -> None:
    ids = at.put_many([((), age * 86_400_000, {}) for age in range(30, 0, -1)])

    assert len(completed("events show ")) == 21, "last, and the newest"
    assert completed(f"events show {ids[0][:30]}") == [ids[0]]
    assert completed("events show 0") == completed("events show ")[1:]
