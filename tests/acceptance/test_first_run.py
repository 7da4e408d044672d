"""The first start of the daemon by a new user."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from router.daemon.registries import REGISTRIES
from router.daemon.source_log import SourceLog
from router.domain.listen_address import ListenAddress
from router.rules.compile.loader import Loader
from router.rules.ruleset import Ruleset
from tests.cli.conftest import StoreCommands
from tests.conftest import Daemon

Run = Callable[..., CompletedProcess[str]]
RULES = """
sources:
  hub: {verify: {scheme: github, secret: {env: FIRST_RUN_KEY}}}
  open: {verify: none, path: /in}
  near: {verify: none, allow_ips: [10.0.0.0/8]}
rules: [{name: all, source: "*", actions: [append: all.jsonl]}]
"""
EVERY_PROGRAM = "source is not verified: every program on this machine may send"
ALLOWED = "source is not verified: anyone at an allowed address may send"
ANYONE = "source is not verified: anyone who reaches the listen address may send; set verify or allow_ips"


@pytest.fixture
def store_commands(tmp_path: Path) -> StoreCommands:
    """An empty folder."""
    return StoreCommands(tmp_path)


def test_serve_without_a_rules_file_suggests_init(run: Run, tmp_path: Path) -> None:
    for file, command in (("rules.yaml", "init"), ("my rules.yaml", "init 'my rules.yaml'")):
        done = run("serve", *(() if file == "rules.yaml" else (file,)), cwd=tmp_path, stdin=-3)

        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == (
            f"webhook-router: could not start: there is no file {file}; `webhook-router {command}` writes one to start from\n"
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("answer", ["n\n", "\n", "what\n", "\x04"])
def test_no_file_is_written_without_the_answer_yes(store_commands: StoreCommands, answer: str) -> None:
    code, shown = store_commands.on_a_terminal("serve", answer=answer)

    assert code == (130 if answer == "\x04" else 3), shown
    assert "There is no file rules.yaml." in shown
    assert not list(store_commands.folder.iterdir())


def test_the_answer_yes_writes_rules_and_lists_the_next_steps(store_commands: StoreCommands) -> None:
    code, shown = store_commands.on_a_terminal("serve", answer="y\ngithub\n")

    assert code == 3
    assert "  1  github " in shown
    assert 'export GITHUB_WEBHOOK_SECRET="$(openssl rand -hex 32)"' in shown
    last = shown.splitlines()[-1]
    assert last.endswith("rules.yaml is written; now set the secrets as shown above, then `webhook-router serve`")
    assert (store_commands.folder / "rules.yaml").exists()


def test_a_missing_folder_is_reported_before_any_question(store_commands: StoreCommands) -> None:
    code, shown = store_commands.on_a_terminal("serve", "missing/rules.yaml")

    assert code == 3
    assert "could not start: there is no file missing/rules.yaml, and no folder missing either" in shown


def test_the_start_lists_addresses_and_unverified_sources(start: Callable[..., Daemon]) -> None:
    daemon = start(RULES, env={"FIRST_RUN_KEY": "first-run-key"})
    here = f"http://127.0.0.1:{daemon.port}"

    told = {line["source"]: line for line in daemon.lines if line["message"] == "source"}
    assert {name: (line["url"], line["scheme"], line["verified"]) for name, line in told.items()} == {
        "hub": (f"{here}/hooks/hub", "github", True),
        "open": (f"{here}/in", "none", False),
        "near": (f"{here}/hooks/near", "none", False),
    }
    [serving] = [line for line in daemon.lines if line["message"] == "serving"]
    assert Path(serving["file"]).name == "rules.yaml"
    warned = [(line["message"], line["source"]) for line in daemon.lines if line["level"] != "info"]
    assert warned == [(EVERY_PROGRAM, "open"), (ALLOWED, "near")]


def test_a_reload_lists_only_new_changed_and_removed_sources(start: Callable[..., Daemon]) -> None:
    daemon = start(RULES, env={"FIRST_RUN_KEY": "first-run-key"})
    before = len(daemon.lines)

    daemon.rules.write_text(
        RULES.replace("  near: {verify: none, allow_ips: [10.0.0.0/8]}\n", "  late: {verify: none}\n").replace(
            "verify: none, path: /in", "verify: {scheme: bearer, secret: {env: FIRST_RUN_KEY}}, path: /in"
        )
    )
    daemon.wait_for_line("source is gone; its path is answered 404", source="near", path="/hooks/near")

    told = [(line["source"], line["verified"]) for line in daemon.lines[before:] if line["message"] == "source"]
    assert told == [("open", True), ("late", False)]
    assert [line["source"] for line in daemon.lines[before:] if line["message"] == EVERY_PROGRAM] == ["late"]

    between = len(daemon.lines)
    daemon.rules.write_text(daemon.rules.read_text() + "# nothing else\n")
    daemon.wait_for_line("rules reloaded", after=between, unchanged=True)
    daemon.stop()
    assert not [line for line in daemon.lines[between:] if line["message"].startswith("source")]


def _ruleset(folder: Path) -> Ruleset:
    return Loader(REGISTRIES, {"FIRST_RUN_KEY": "first-run-key"}).load(RULES, "rules.yaml", folder).require()


@pytest.mark.parametrize(
    ("host", "url", "loud"),
    [
        ("0.0.0.0", "http://127.0.0.1:80/in", True),
        ("::", "http://[::1]:80/in", True),
        ("192.0.2.7", "http://192.0.2.7:80/in", True),
        ("hooks.example.com", "http://hooks.example.com:80/in", True),
        ("127.0.0.9", "http://127.0.0.9:80/in", False),
        ("::1", "http://[::1]:80/in", False),
        ("localhost", "http://localhost:80/in", False),
    ],
)
def test_an_unverified_source_on_a_network_gets_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str, url: str, loud: bool
) -> None:
    import structlog

    with structlog.testing.capture_logs() as lines:
        SourceLog(ListenAddress(host, 80)).log_changes(_ruleset(tmp_path))

    assert url in [line.get("url") for line in lines]
    found: list[tuple[Any, ...]] = [(line["event"], line["log_level"]) for line in lines if line["log_level"] != "info"]
    assert found == [(ANYONE, "error") if loud else (EVERY_PROGRAM, "warning"), (ALLOWED, "warning")]
    assert json.dumps(lines, default=str).count("FIRST_RUN_KEY") == 0
