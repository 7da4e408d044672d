"""The documentation is correct: its examples load and run, and it has every key and flag."""

import re
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest

from router.cli.main import cli
from router.cli.retry_times import schedule_line
from router.daemon.registries import REGISTRIES
from router.domain.errors import Level
from router.domain.outcomes import Cause
from router.rules.compile.loader import Loader
from router.rules.yaml import schema
from tests.cases import each
from tests.conftest import Daemon
from tests.free_port import free_port

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SOURCES = (ROOT / "docs" / "sources.md").read_text()
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
LOGS = (ROOT / "docs" / "logs.md").read_text()


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def _marked(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```sh\n(.*?)```\n<!-- /{name} -->", README, re.DOTALL)
    assert found, f"README.md has no {name}"
    return found[1]


@pytest.mark.parametrize("text", _blocks(README, "yaml"))
def test_the_rules_of_the_readme_load(text: str, tmp_path: Path) -> None:
    loaded = Loader(REGISTRIES, {}, require_secrets=False).load(text, "README.md", tmp_path)

    assert [str(problem) for problem in loaded.problems if problem.level is Level.ERROR] == []


@pytest.mark.parametrize("text", _blocks(SOURCES, "yaml"))
def test_the_sources_of_each_provider_load(text: str, tmp_path: Path) -> None:
    rules = 'rules: [{name: all, source: "*", actions: [append: all.jsonl]}]\n'

    loaded = Loader(REGISTRIES, {}, require_secrets=False).load(text + rules, "sources.md", tmp_path)

    assert [str(problem) for problem in loaded.problems if problem.level is not Level.NOTE] == []


def test_the_readme_links_every_page_and_every_link_resolves() -> None:
    pages = [one for one in (ROOT / "docs").iterdir() if one.is_file()]
    for page in pages:
        assert f"(docs/{page.name})" in README
    for page in (ROOT / "README.md", ROOT / "bench" / "README.md", *pages):
        for link, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text()):
            target = page.parent / link if link else page
            assert target.exists(), f"{page}: {link}"
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE) if anchor else [anchor]
            assert anchor in [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings], (
                f"{page}: #{anchor}"
            )


def test_every_picture_is_shown_in_the_documentation_of_the_page() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(images/([^)]+)\)", (ROOT / "docs" / "page.md").read_text())

    assert sorted(shown) == sorted(one.name for one in (ROOT / "docs" / "images").iterdir())


def test_every_scheme_and_handshake_is_on_the_sources_page() -> None:
    for name in (*REGISTRIES.schemes, *REGISTRIES.handshakes):
        assert re.search(rf"(scheme|handshake|verify): {name}\b", SOURCES), name


def test_the_first_commands_of_the_readme_work(
    start: Callable[..., Daemon],
    eventually: Callable[[Callable[[], Any]], Any],
    tmp_path: Path,
) -> None:
    assert "serve rules.example.yaml" in _marked("run-command")
    for name in ("rules.example.yaml", "example-deploy.sh"):
        shutil.copy(ROOT / name, tmp_path)
    rules = tmp_path / "rules.example.yaml"
    # The example forwards to the daemon itself, on port 8080. This test uses a free port.
    port = free_port()
    rules.write_text(rules.read_text().replace(":8080", f":{port}"))
    daemon = start(rules, flags=("--listen", f"127.0.0.1:{port}"))
    curl = _marked("curl-command").replace(":8080", f":{daemon.port}").partition("\nsleep")[0]

    answer = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, check=True, timeout=60).stdout

    assert "HTTP/1.1 202 Accepted" in answer
    for name in ("received.jsonl", "deploys.log", "pushes.jsonl"):
        assert name in README
        assert "4b825dc6" in eventually(partial(_text, tmp_path / "out" / name))


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_the_example_file_loads_without_problems() -> None:
    loaded = Loader(REGISTRIES, {}).load_file(ROOT / "rules.example.yaml")

    assert [str(problem) for problem in loaded.problems] == []


def test_every_key_is_in_the_reference() -> None:
    models = [value for value in vars(schema).values() if isinstance(value, type) and hasattr(value, "model_fields")]
    models += [kind.options for kind in REGISTRIES.actions.values()] + [s.Options for s in REGISTRIES.schemes.values()]
    models += [kind.Options for kind in REGISTRIES.handshakes.values()]
    keys = {field.alias or name for model in models for name, field in model.model_fields.items()}

    missing = [key for key in sorted(keys) if not re.search(rf"`[^`]*\b{key}\b[^`]*`", REFERENCE)]

    assert missing == []


def test_every_scheme_and_action_is_in_the_reference() -> None:
    for name in (*REGISTRIES.schemes, *REGISTRIES.actions):
        assert f"`{name}`" in REFERENCE or f"**{name}**" in REFERENCE


def test_every_failure_cause_is_documented() -> None:
    assert [cause for cause in Cause if f"`{cause}`" not in REFERENCE + LOGS] == []


def test_the_schedules_in_the_reference_equal_the_output_of_check(tmp_path: Path) -> None:
    text = """
sources: {github: {verify: {scheme: github, secret: {env: KEY}}}}
rules:
  - name: deploy-main
    actions:
      - {name: build, forward: "http://127.0.0.1:9"}
      - command: [./deploy.sh]
"""
    ruleset = Loader(REGISTRIES, {}, require_secrets=False).load(text, "rules.yaml", tmp_path).require()

    lines = "".join(schedule_line(action) + "\n" for action in ruleset.actions.values())

    assert f"```\n{lines}```" in REFERENCE


def _commands(group: click.Group, prefix: str = "") -> dict[str, click.Command]:
    """Every command by its full name, such as `deliveries list`."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        found |= (
            _commands(command, f"{prefix}{name} ") if isinstance(command, click.Group) else {prefix + name: command}
        )
    return found


COMMANDS = _commands(cli)


@each("command", sorted(COMMANDS))
def test_every_flag_is_in_the_reference_with_its_environment_name(command: str) -> None:
    [row] = [line for line in REFERENCE.splitlines() if re.match(rf"\| `{command}[ `]", line)]
    for parameter in COMMANDS[command].params:
        if isinstance(parameter, click.Option):
            assert f"`{parameter.opts[0]}" in row, parameter.opts[0]
            if parameter.envvar:
                assert str(parameter.envvar).removeprefix("WEBHOOK_ROUTER") in REFERENCE


def test_every_log_line_is_documented() -> None:
    log_section = " ".join(LOGS.partition("## All log lines")[2].split())
    messages: set[str] = set()
    for path in (ROOT / "router").rglob("*.py"):
        text = path.read_text()
        messages |= set(
            re.findall(r'(?:(?:log|bound)\.(?:debug|info|warning|error|exception|log)|\btell)\(\s*"([^"]+)"', text)
        )

    assert len(messages) > 15
    assert [message for message in sorted(messages) if message not in log_section] == []
