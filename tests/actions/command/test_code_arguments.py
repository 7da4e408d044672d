"""A template with payload text is refused where a program would run it as code."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.cases import each

Faults = Callable[..., list[str]]


@each(
    ("argv", "message"),
    [
        (["bash", "-c", "{{ payload.x }}"], "argv.2: what follows -c is code"),
        (["bash", "-cx", "{{ payload.x }}"], "argv.2: what follows -cx is code"),
        (["bash", "-c", "-x", "{{ payload.x }}"], "argv.3: what follows -c is code"),
        (["bash", "-x", "-c", "{{ payload.x }}"], "argv.3: what follows -c is code"),
        (["bash", "-o", "pipefail", "-c", "{{ payload.x }}"], "argv.4: what follows -c is code"),
        (["python3", "-c{{ payload.x }}"], "argv.1: what follows -c is code"),
        (["perl", "-e{{ payload.x }}"], "argv.1: what follows -e is code"),
        (["perl", "-w", "-pe", "{{ payload.x }}"], "argv.3: what follows -pe is code"),
        (["node", "--eval={{ payload.x }}"], "argv.1: what follows --eval= is code"),
        (["php", "-d", "a=1", "-r", "{{ payload.x }}"], "argv.4: what follows -r is code"),
        (["sh", "{{ payload.x }}"], "argv.1: sh would run what the payload names"),
        (["python3", "-u", "{{ payload.x }}.py"], "argv.2: python3 would run what the payload names"),
        (["awk", "{{ payload.x }}"], "argv.1: awk would run what the payload names"),
        (["env", "{{ payload.x }}"], "argv.1: env would run what the payload names"),
        (["env", "-i", "A=b", "{{ payload.x }}"], "argv.3: env would run what the payload names"),
        (["sudo", "-u", "deploy", "{{ payload.x }}"], "argv.3: sudo would run what the payload names"),
        (["timeout", "10", "{{ payload.x }}"], "argv.2: timeout would run what the payload names"),
        (["sudo", "bash", "-c", "{{ payload.x }}"], "argv.3: what follows -c is code"),
        (["/usr/bin/env", "bash", "{{ payload.x }}"], "argv.2: bash would run what the payload names"),
        (["ssh", "host", "deploy {{ payload.x }}"], "argv.2: ssh hands this to a shell on the other side"),
        (["su", "deploy", "-c", "{{ payload.x }}"], "argv.3: what follows -c is code"),
        (["bash"], "argv.0: bash without a script would run the event's body"),
        (["bash", "-s", "{{ payload.x }}"], "argv.1: bash would run the event's body"),
        (["env", "python3", "-"], "argv.2: python3 would run the event's body"),
    ],
)
def test_a_template_in_interpreted_code_is_refused(faults: Faults, argv: list[str], message: str) -> None:
    found = faults("command", {"argv": argv})

    assert len(found) == 1
    assert found[0].startswith(message)


@pytest.mark.parametrize(
    "argv",
    [
        ["echo", "{{ payload.x }}", "-c", "{{ payload.x }}"],
        ["sh", "deploy.sh", "{{ payload.x }}"],
        ["bash", "-ex", "deploy.sh", "{{ payload.x }}"],
        ["bash", "-c", 'echo "$1"', "bash", "{{ payload.x }}"],
        ["python3", "-u", "deploy.py", "--ref={{ payload.x }}"],
        ["env", "A=b", "./deploy", "{{ payload.x }}"],
        ["sudo", "-n", "./deploy", "{{ payload.x }}", "-e", "{{ payload.x }}"],
        ["sudo", "-u", "deploy", "./go.sh", "{{ payload.x }}"],
        ["timeout", "10", "./go.sh", "{{ payload.x }}"],
        ["awk", "{print}", "{{ payload.x }}"],
    ],
)
def test_a_template_in_an_argument_is_allowed(faults: Faults, argv: list[str]) -> None:
    assert [fault for fault in faults("command", {"argv": argv}) if "not there" not in fault] == []


def test_an_interpreter_without_standard_input_needs_no_script(faults: Faults) -> None:
    assert faults("command", {"argv": ["bash"], "stdin": "none"}) == []


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "BASH_ENV", "PYTHONPATH", "NODE_OPTIONS", "GIT_SSH_COMMAND"])
def test_a_template_in_a_variable_that_selects_code_is_refused(faults: Faults, name: str) -> None:
    def options(value: str) -> dict[str, Any]:
        return {"argv": ["echo"], "env": {name: value}}

    assert f"env.{name}: {name} may decide what code runs" in faults("command", options("{{ payload.x }}"))[0]
    assert faults("command", options("/opt")) == []
