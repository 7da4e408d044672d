"""docs/actions.md is correct: every example is run, every key is documented, and its script is idempotent."""

import json
import os
import re
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from router.actions.registry import ACTIONS
from router.daemon.registries import REGISTRIES
from router.domain.errors import Level, RenderError
from router.plugins.action import Action, AttemptInput
from router.rules.compile.loader import Loader

TEXT = (Path(__file__).parents[2] / "docs" / "actions.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```\n```\n(.*?)```", TEXT, re.DOTALL)


def _load(action: str, folder: Path) -> Action | list[str]:
    """The action, or the errors in its options."""
    rules = (
        "sources: {open: {verify: none}}\nrules:\n  - name: r\n    allow_unverified: true\n    actions:\n      -\n"
        + textwrap.indent(action, " " * 8)
    )
    loaded = Loader(REGISTRIES, {}, require_secrets=False).load(rules, "actions.md", folder)
    if loaded.ruleset is None:
        return [problem.message for problem in loaded.problems if problem.level is Level.ERROR]
    [made] = loaded.ruleset.actions.values()
    return made.action


def _claims(lines: list[str]) -> Iterator[tuple[Any, dict[str, str]]]:
    """Each payload with the documented result. Empty if the documented file does not load."""
    payload: Any = None
    said: dict[str, str] = {}
    for line in lines:
        if line.startswith("{"):
            if said:
                yield payload, said
            payload, said = json.loads(line), {}
        else:
            key, _, value = line.partition(": ")
            said[key] = value
    yield payload, said


@pytest.mark.parametrize(("action", "lines"), EXAMPLES, ids=[action.strip()[:50] for action, _ in EXAMPLES])
def test_every_documented_example_behaves_as_shown(
    action: str, lines: str, job: Callable[..., AttemptInput], tmp_path: Path
) -> None:
    made = _load(action, tmp_path)

    for payload, said in _claims(lines.strip().splitlines()):
        assert said
        if "fault" in said:
            assert isinstance(made, list)
            assert any(said["fault"] in message for message in made), made
            continue
        assert not isinstance(made, list), made
        try:
            shown = made.preview(job(payload))
        except RenderError as error:
            assert said == {"error": str(error)}
            continue
        for key, value in said.items():
            found = str(Path(shown[key]).relative_to(tmp_path)) if key == "path" else shown[key]
            assert (found if isinstance(found, str) else json.dumps(found)) == value


def test_every_documented_example_is_tested() -> None:
    assert len(EXAMPLES) == TEXT.count("```yaml") >= 10


@pytest.mark.parametrize("name", ACTIONS)
def test_every_key_is_documented_with_its_default(name: str) -> None:
    section = TEXT.partition(f"\n## {name}\n")[2].partition("\n## ")[0]

    for key in ACTIONS[name].options.model_fields:
        assert f"\n| `{key}` |" in section, key


def test_the_idempotent_script_runs_its_work_once(tmp_path: Path) -> None:
    found = re.search(r"<!-- idempotent-script -->\n```sh\n(.*?)```", TEXT, re.DOTALL)
    assert found
    (tmp_path / "deploy.sh").write_text(found[1])
    # The work fails if it runs twice at once, and in its first run.
    (tmp_path / "release").write_text(
        '#!/bin/sh\nset -eu\nmkdir working\necho "$1" >>log\nsleep 0.1\nrmdir working\n[ "$(wc -l <log)" -gt 1 ]\n'
    )
    for name in ("deploy.sh", "release"):
        (tmp_path / name).chmod(0o755)

    def run(delivery: str) -> "subprocess.Popen[bytes]":
        env = {"PATH": os.environ["PATH"], "WEBHOOK_ROUTER_DELIVERY_ID": delivery}
        return subprocess.Popen(["./deploy.sh", "4b82"], cwd=tmp_path, env=env, stdout=subprocess.DEVNULL)

    assert run("d1").wait(60) == 1  # the run failed, so it leaves no marker
    runs = [run("d1"), run("d1"), run("d2"), run("d1")]

    assert [one.wait(60) for one in runs] == [0, 0, 0, 0]
    assert (tmp_path / "log").read_text().splitlines() == ["4b82"] * 3
