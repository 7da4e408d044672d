"""The action command, with real processes."""

import asyncio
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router.domain.outcomes import Outcome, OutcomeKind
from router.plugins.action import Action, AttemptInput
from tests.actions.conftest import open_tools
from tests.conftest import PATIENCE_SECONDS

Make = Callable[..., Any]
Attempt = Callable[..., Outcome]


def _script(path: Path, text: str) -> str:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return f"./{path.name}"


def test_arguments_reach_the_program_unchanged(act: Make, job: Make, attempt: Attempt, tmp_path: Path) -> None:
    hostile = "'; touch pwned; $(touch pwned) `touch pwned` \"\n| * ~ é"
    script = _script(tmp_path / "show.sh", 'printf "%s\\n" "$#" "$1" "$2" >out; cat >body')

    outcome = attempt(act("command", {"argv": [script, "{{ payload.x }}", "b c"]}), job({"x": hostile}, body=b"\0raw"))

    assert outcome.kind is OutcomeKind.SUCCEEDED
    assert (tmp_path / "out").read_text() == f"2\n{hostile}\nb c\n"
    assert (tmp_path / "body").read_bytes() == b"\0raw"
    assert not (tmp_path / "pwned").exists()


def test_a_shell_script_gets_payload_text_in_variables(act: Make, job: Make, attempt: Attempt, tmp_path: Path) -> None:
    options = {"shell": 'echo "$REF" | tr a-z A-Z >out', "env": {"REF": "{{ payload.ref }}"}}

    assert attempt(act("command", options), job({"ref": "main; touch pwned"})).status == 0

    assert (tmp_path / "out").read_text() == "MAIN; TOUCH PWNED\n"
    assert not (tmp_path / "pwned").exists()


def test_the_environment_holds_only_listed_variables(
    act: Make, job: Make, attempt: Attempt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_WEBHOOK_SECRET", "hush")

    attempt(
        act("command", {"argv": ["sh", "-c", "env >out"], "env": {"HOOK_MINE": "{{ payload.x }}"}}), job({"x": "y"})
    )

    env = dict(line.split("=", 1) for line in (tmp_path / "out").read_text().splitlines())
    assert "GITHUB_WEBHOOK_SECRET" not in env
    assert env["HOOK_MINE"] == "y"
    assert env["WEBHOOK_ROUTER_EVENT_ID"] == "018bcfe5-6800-7000-8000-000000000001"
    assert (env["WEBHOOK_ROUTER_RULE"], env["WEBHOOK_ROUTER_ATTEMPT"]) == ("deploy", "1")


def test_a_command_gets_the_item_on_standard_input_and_its_number_in_a_variable(
    act: Make, job: Make, attempt: Attempt, tmp_path: Path
) -> None:
    options = {"argv": ["sh", "-c", "cat >in; env >out"], "stdin": "item"}

    attempt(act("command", options, has_item=True, allow_code=True), job({"a": [1, {"b": 2}]}, item=("$.a[1]", 1)))

    assert (tmp_path / "in").read_text() == '{"b":2}'
    assert "WEBHOOK_ROUTER_ITEM_INDEX=1\n" in (tmp_path / "out").read_text()


def test_a_command_continues_the_trace_with_its_own_span(
    act: Make, job: Make, attempt: Attempt, tmp_path: Path
) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = (("traceparent", f"00-{trace}-00f067aa0ba902b7-01"), ("tracestate", "a=$(id)"))
    script = 'echo "$TRACEPARENT/$TRACESTATE" >>out'

    attempt(act("command", {"shell": script}), job({}, headers=headers))
    attempt(act("command", {"shell": script, "env": {"TRACEPARENT": "mine"}}), job({}, headers=headers))
    attempt(act("command", {"shell": script}), job({}, headers=(("traceparent", "00-0-0-01"), headers[1])))

    first, second, third = (tmp_path / "out").read_text().splitlines()
    assert re.fullmatch(rf"00-{trace}-[0-9a-f]{{16}}-01/a=\$\(id\)", first)
    assert "00f067aa0ba902b7" not in first
    assert (second, third) == ("mine/", "/")


@pytest.mark.parametrize(
    ("shell", "kind", "status", "error"),
    [
        ("echo fine", OutcomeKind.SUCCEEDED, 0, ""),
        ("echo no >&2; exit 3", OutcomeKind.RETRY, 3, "exit code 3"),
        ("kill -SEGV $$", OutcomeKind.RETRY, -11, "ended by signal 11"),
        ("exec <&-; exit 0", OutcomeKind.SUCCEEDED, 0, ""),
    ],
)
def test_the_exit_code_decides_the_outcome(
    act: Make, job: Make, attempt: Attempt, shell: str, kind: OutcomeKind, status: int, error: str
) -> None:
    outcome = attempt(act("command", {"shell": shell}), job({}, body=b"x" * 2_000_000))

    assert (outcome.kind, outcome.status, outcome.error) == (kind, status, error)


def test_the_end_of_the_output_is_stored_and_escaped(act: Make, job: Make, attempt: Attempt) -> None:
    shell = "head -c 20000000 /dev/zero; printf '\\033[31mthe end'"

    outcome = attempt(act("command", {"shell": shell, "output_limit": "4KiB"}), job({}))

    assert outcome.excerpt.endswith("[31mthe end")
    assert len(outcome.excerpt) == 4096
    assert "\x1b" not in outcome.excerpt


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _gone(pid: int) -> bool:
    for _ in range(1000):
        if not _alive(pid):
            return True
        os.sched_yield()
    return not _alive(pid)


def test_a_timeout_kills_the_whole_process_group(act: Make, job: Make, attempt: Attempt, tmp_path: Path) -> None:
    shell = "trap '' TERM; sleep 600 & echo $! >child; sleep 600 & wait"

    outcome = attempt(act("command", {"shell": shell, "timeout": "300ms", "kill_after": "200ms"}), job({}))

    assert outcome.kind is OutcomeKind.RETRY
    assert "not done within 0.3 s" in outcome.error
    assert _gone(int((tmp_path / "child").read_text()))


def test_a_program_that_ends_on_sigterm_gets_no_sigkill(act: Make, job: Make, attempt: Attempt, tmp_path: Path) -> None:
    shell = "trap 'echo bye >out; exit 0' TERM; sleep 600 & wait"

    attempt(act("command", {"shell": shell, "timeout": "300ms", "kill_after": "20s"}), job({}))

    assert (tmp_path / "out").read_text() == "bye\n"


def test_a_background_child_that_keeps_the_pipes_open_does_not_delay_the_attempt(
    act: Make, job: Make, attempt: Attempt, tmp_path: Path
) -> None:
    outcome = attempt(act("command", {"shell": "sleep 600 & echo $! >child; echo done"}), job({}))

    assert outcome == Outcome.succeeded(0, "done\n")
    assert _gone(int((tmp_path / "child").read_text()))


def test_a_cancelled_attempt_leaves_nothing_running(act: Make, job: Make, tmp_path: Path) -> None:
    action: Action = act("command", {"shell": "echo $$ >leader; sleep 600 & echo $! >child; wait"})

    async def cancel(one: AttemptInput) -> None:
        async with open_tools(action) as tools:
            task = asyncio.create_task(action.attempt(one, tools))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
                    await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    asyncio.run(cancel(job({})))
    assert _gone(int((tmp_path / "leader").read_text()))
    assert _gone(int((tmp_path / "child").read_text()))


@pytest.mark.parametrize(
    ("argv", "payload", "error"),
    [
        (["echo", "{{ payload.x }}"], {"x": "a\0b"}, "argv[1] would contain NUL; pass long or binary data by stdin"),
        (["echo", "{{ payload.x }}"], {"x": "y" * 200_000}, "argv[1] would be longer than 128 KiB"),
        (["echo", "{{ payload.x }}"], {"x": "-rf"}, 'argv[1] would begin with a dash; put "--" before it'),
        (["echo", "{{ payload.x }}"], {}, "payload.x is missing"),
        (["echo", "{{ payload.x }}"], {"x": "\ud800"}, "can't be encoded"),
    ],
)
def test_an_argument_with_a_null_byte_fails_for_good(
    act: Make, job: Make, attempt: Attempt, argv: list[str], payload: Any, error: str
) -> None:
    outcome = attempt(act("command", {"argv": argv}), job(payload, body=b""))

    assert outcome.kind is OutcomeKind.FAILED
    assert error in outcome.error


def test_a_leading_dash_is_allowed_after_a_double_dash_or_in_constant_text(
    act: Make, job: Make, attempt: Attempt
) -> None:
    argv = ["printf", "--", "%s|%s", "{{ payload.x }}", "-n{{ payload.x }}"]

    assert attempt(act("command", {"argv": argv}), job({"x": "-a"})).excerpt == "-a|-n-a"


@pytest.mark.parametrize(
    ("argv", "prepare", "error"),
    [
        (["./none.sh"], lambda folder: None, "none.sh does not exist"),
        (["none-such-program"], lambda folder: None, "none-such-program does not exist"),
        (["./plain"], lambda folder: (folder / "plain").write_text("x"), "plain is not executable"),
        (
            ["./odd"],
            lambda folder: ((folder / "odd").write_text("x"), (folder / "odd").chmod(0o755)),
            "needs a first line",
        ),
        (
            ["./lost"],
            lambda folder: _script(folder / "lost", "").__len__() and (folder / "lost").write_text("#!/none\n"),
            "first line",
        ),
    ],
)
def test_the_error_for_a_program_that_cannot_start_says_why(
    act: Make, job: Make, attempt: Attempt, tmp_path: Path, argv: list[str], prepare: Callable[[Path], Any], error: str
) -> None:
    prepare(tmp_path)

    outcome = attempt(act("command", {"argv": argv, "stdin": "none"}), job({}))

    assert outcome.kind is OutcomeKind.RETRY
    assert error in outcome.error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exactly one of argv and shell"),
        ({"argv": ["a"], "shell": "b"}, "exactly one"),
        ({"argv": []}, "needs a program"),
        ({"argv": ["{{ payload.x }}"]}, "argv.0: the program is constant"),
        ({"argv": ["sh", "-c", "echo {{ payload.x }}"]}, "argv.2: what follows -c is code"),
        ({"argv": ["/usr/bin/python3", "-c", "{{ payload.x }}"]}, "argv.2: what follows -c is code"),
        ({"argv": ["env", "bash", "-lc", "{{ payload.x }}"]}, "argv.3: what follows -lc is code"),
        ({"argv": ["node", "--eval", "{{ payload.x }}"]}, "argv.2: what follows --eval is code"),
        ({"argv": ["echo", "{{ nope }}"]}, "argv.1: unknown name"),
        ({"argv": ["echo", "a\0"]}, "can't contain NUL"),
        ({"shell": "echo {{ payload.x }}"}, "shell: a shell script is constant"),
        ({"shell": " "}, "expected a script"),
        ({"argv": ["echo"], "env": {"a-b": "x"}}, "env.a-b: expected a variable name of letters, digits and _"),
        ({"argv": ["echo"], "cwd": "{{ payload.x }}"}, "cwd is constant"),
        ({"argv": ["echo"], "cwd": "nowhere"}, "this folder does not exist"),
        ({"argv": ["./none.sh"]}, "this program does not exist"),
    ],
)
def test_wrong_options_are_reported_with_their_place(faults: Make, options: dict[str, Any], message: str) -> None:
    found = faults("command", options)

    assert any(message in fault for fault in found), found


def test_serve_can_restrict_commands_to_a_folder(faults: Make, tmp_path: Path) -> None:
    (tmp_path / "ok").mkdir()
    script = _script(tmp_path / "ok" / "go.sh", "exit 0")
    (tmp_path / "ok" / "link").symlink_to("/bin/true")
    allowed = str(tmp_path / "ok")

    assert faults("command", {"argv": ["ok/go.sh"]}, commands=allowed) == []
    assert faults("command", {"argv": [script]}, commands="off")
    for program in ("true", "/bin/true", "ok/../../bin/true", "ok/link"):
        assert any("--commands allows only" in f for f in faults("command", {"argv": [program]}, commands=allowed))
    assert any("a shell script could run any" in f for f in faults("command", {"shell": "true"}, commands=allowed))


def test_the_preview_masks_secrets_and_runs_nothing(act: Make, job: Make, tmp_path: Path) -> None:
    action = act(
        "command",
        {"argv": ["echo", "{{ payload.x }}"], "env": {"KEY": "{{ secrets.key }}"}},
        secrets={"key": "hush"},
    )

    shown = action.preview(job({"x": "made"}, secrets={"key": "hush"}))

    assert shown == {"argv": ["echo", "made"], "env": {"KEY": "<secret:key>"}, "cwd": str(tmp_path)}
    assert not (tmp_path / "made").exists()
    assert "hush" not in json.dumps(shown)
