"""The command line: its output, streams and exit codes."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from router.cli.main import cli
from tests.cases import each
from tests.conftest import run_in_process

Run = Callable[..., CompletedProcess[str]]

RULES = """\
version: 1
secrets:
  chat: {env: CLI_TEST_CHAT}
sources:
  a: {verify: none}
  b: {verify: none, json_field: data}
targets:
  t: {url: http://127.0.0.1:9}
rules:
  - name: one
    source: a
    match: {$.x: 1}
    actions:
      - forward: {target: t, path: "/p/{{ payload.y }}", headers: {X-Chat: "{{ secrets.chat }}"}}
      - append: {path: out.txt, line: "{{ payload.missing }}"}
  - name: two
    source: [a, b]
    match: {headers.X-Kind: [k], query.q: v}
    actions: [append: two.jsonl]
"""


@pytest.fixture
def run(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command to its end: `serve` in a new process, any other in this one."""

    def command(*arguments: str | Path, cwd: Path = tmp_path, env: Mapping[str, str] | None = None, **more: Any) -> Any:
        if arguments[0] == "serve":
            return run(*arguments, cwd=cwd, env=env, **more)
        with monkeypatch.context() as patch:
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            return run_in_process(*arguments, folder=cwd, **more)

    return command


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    path = tmp_path / "payload.json"
    path.write_text('{"x": 1.0, "y": "a/b"}')
    return path


def test_check_passes_a_valid_file(run: Run, rules: Path) -> None:
    done = run("check", rules)

    assert done.returncode == 0
    assert done.stdout == f"{rules}: fine, 2 rules, 2 sources\n"
    assert "note" in done.stderr  # the secret's variable is unset
    assert "CLI_TEST_CHAT is not set" in done.stderr


def test_check_with_secrets_requires_that_secrets_are_set(run: Run, rules: Path) -> None:
    assert run("check", "--require-secrets", rules).returncode == 1
    assert run("check", "--require-secrets", rules, env={"CLI_TEST_CHAT": "x"}).returncode == 0


def test_check_prints_every_problem_as_json(run: Run, rules: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(RULES.replace("$.x: 1", "$.x: {equal: 1}").replace("target: t,", "target: u,"))

    done = run("check", "--json", rules, bad)

    assert done.returncode == 1
    assert done.stderr == ""
    problems = [problem for problem in json.loads(done.stdout) if problem["level"] == "error"]
    assert [(p["file"], p["line"], p["column"]) for p in problems] == [(str(bad), 12, 19), (str(bad), 14, 27)]
    assert 'did you mean "equals"?' in problems[0]["message"]
    assert set(problems[0]) == {"file", "line", "column", "path", "message", "level"}


def test_check_prints_the_effective_settings_as_yaml(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(
        "sources: {s: {verify: {scheme: slack, secret: {env: KEY}}}}\nrules: [{name: r, actions: [append: a.jsonl]}]\n"
    )

    shown = run("check", "--defaults", file).stdout.partition("\n")[2]

    found = yaml.safe_load(shown)["sources"]["s"]
    assert found["max_body"] == "25MiB"
    known = {"scheme": "slack", "secret": [{"env": "KEY"}], "tolerance": "5m", "header": "X-Slack-Signature"}
    assert known.items() <= found["verify"].items()  # the preset has more options
    assert "allow_ips" not in found
    file.write_text(shown + "rules: [{name: r, actions: [append: a.jsonl]}]\n")
    assert run("check", "--strict", file).returncode == 0


def test_check_prints_annotations_for_github(run: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("sources: {a: {verify: none}}\nrules: {}\n")

    done = run("check", "--format", "github", bad)

    assert done.returncode == 1
    assert done.stdout.startswith(f"::error file={bad},line=2,col=8::rules: ")


def test_warnings_fail_only_a_strict_check(run: Run, rules: Path) -> None:
    rules.write_text(RULES.replace("  b:", "  c: {verify: none}\n  b:"))

    lenient = run("check", rules)
    assert lenient.returncode == 0
    assert "rules.yaml: loads, with 1 warning, 2 rules, 3 sources" in lenient.stdout
    done = run("check", "--strict", rules)

    assert done.returncode == 1
    assert 'warning: sources: no rule listens to source "c"' in done.stderr


def test_check_reads_rules_yaml_by_default(run: Run, rules: Path, tmp_path: Path) -> None:
    assert "rules.yaml: fine" in run("check", cwd=tmp_path).stdout

    rules.write_text("rules: [")

    assert "rules.yaml:2:1: " in run("check", cwd=tmp_path).stderr


def test_check_fails_when_the_file_is_missing(run: Run, tmp_path: Path) -> None:
    done = run("check", tmp_path / "none.yaml")

    assert done.returncode == 1
    assert "none.yaml:1:1: the rules file can't be read: No such file or directory; is the path right?" in done.stderr
    assert "`webhook-router init` writes one to start from" in done.stderr


def test_the_command_test_prints_what_each_action_would_do_as_json(run: Run, rules: Path, payload: Path) -> None:
    done = run("test", rules, "--source", "a", "--payload", payload, "--json", env={"CLI_TEST_CHAT": "hush"})

    assert done.returncode == 0
    assert "hush" not in done.stdout
    result = json.loads(done.stdout)
    assert result["matched"] == ["one"]
    forward, append = result["deliveries"]
    assert forward["forward"]["url"] == "http://127.0.0.1:9/p/a%2Fb"
    assert forward["forward"]["headers"]["X-Chat"] == "<secret:chat>"
    assert (forward["target"], forward["order_key"], forward["error"]) == ("t", None, None)
    assert append["error"] == "payload.missing is missing"
    assert "append" not in append


def test_the_command_test_prints_what_each_action_would_do_as_text(run: Run, rules: Path, payload: Path) -> None:
    done = run("test", rules, "--source", "a", "--payload", payload)

    assert "matched: one" in done.stdout
    assert "one / forward: forward to t" in done.stdout
    assert "would be dead at once: payload.missing is missing" in done.stdout


def test_the_command_test_explains_each_rule(run: Run, rules: Path, payload: Path) -> None:
    call = ("test", rules, "--source", "a", "--payload", payload, "--explain")

    done, as_json = run(*call), run(*call, "--json")

    assert "+ one: matched" in done.stdout
    assert "+ $.x is 1.0; asked: equals 1" in done.stdout
    assert '- two: unmatched, since headers.X-Kind is missing; asked: in ["k"]' in done.stdout
    explained = json.loads(as_json.stdout)["explain"]
    assert [(rule["rule"], rule["verdict"]) for rule in explained] == [("one", "matched"), ("two", "unmatched")]
    assert explained[0]["conditions"][0]["operator"] == "equals"


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--expect", "one"], 0),
        (["--expect", "one", "--expect", "two"], 1),
        (["--expect", "two"], 1),
        (["--expect-none"], 1),
        (["--expect", "one", "--expect", "two", "--header", "X-Kind: k", "--query", "q=v"], 0),
    ],
)
def test_the_command_test_fails_when_unexpected_rules_match(
    run: Run, rules: Path, payload: Path, flags: list[str], code: int
) -> None:
    rules.write_text(
        rules.read_text().replace("payload.missing", "payload.x")
    )  # so that no delivery is dead, which would fail every --expect

    done = run("test", rules, "--source", "a", "--payload", payload, *flags)

    assert done.returncode == code
    assert ("expected" in done.stderr) == bool(code)


def test_the_command_test_reads_standard_input_and_other_content_types(run: Run, rules: Path) -> None:
    form = "application/x-www-form-urlencoded"
    header = ["--header", "X-Kind: k", "--query", "q=v"]

    done = run("test", rules, "--source", "b", "--payload", "-", "--content-type", form, *header, input="data=%7B%7D")

    assert done.returncode == 0
    assert "matched: two" in done.stdout


def test_the_command_test_can_expect_that_no_rule_matches(run: Run, rules: Path) -> None:
    assert run("test", rules, "--source", "a", "--payload", "-", "--expect-none", input="{}").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["test", "RULES", "--payload", "-"], 2, "give --source: one of a, b"),
        (["test", "RULES", "--source", "z", "--payload", "-"], 2, "unknown source 'z'; the rules file has a, b"),
        (["test", "RULES", "--source", "a"], 2, "give one of --payload, --event and --cases"),
        (["test", "RULES", "--source", "a", "--payload", "none.json"], 1, "none.json can't be read: No such file"),
        (["test", "RULES", "--source", "a", "--payload", "-", "--header", "x"], 2, "expected NAME: VALUE"),
        (["test", "RULES", "--source", "a", "--payload", "-", "--query", "x"], 2, "expected NAME=VALUE"),
        (["test", "RULES", "--source", "a", "--payload", "-"], 1, "such a request is answered 400"),
        (["test", "none.yaml", "--payload", "-"], 1, "can't be read"),
        (["test", "RULES", "--event", "e", "--store", "sqlite:none.db"], 1, "there is no store"),
        (["test", "RULES", "--event", "e", "--store", "redis:x"], 2, "write a path, such as"),
        (["serve", "none.yaml"], 3, "could not start"),
        (["serve", "RULES", "--listen", "nonsense"], 2, "write HOST:PORT"),
        (["serve", "RULES", "--store", "no:store"], 2, "write a path, such as"),
        (["serve", "RULES", "--grace", "-1"], 2, "-1"),
        (["chekc"], 2, "chekc"),
    ],
)
def test_a_wrong_command_line_gets_a_clear_error(
    run: Run,
    rules: Path,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    done = run(*[str(rules) if a == "RULES" else a for a in arguments], cwd=tmp_path, input="{")

    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def _helped(group: click.Group, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [prefix]
    for name, command in group.commands.items():
        place = (*prefix, name)
        found += _helped(command, place) if isinstance(command, click.Group) else [place]
    return found


@each("command", _helped(cli), ids=" ".join)
def test_help_has_examples(command: tuple[str, ...]) -> None:
    done = CliRunner().invoke(cli, [*command, "--help"])

    text = " ".join(done.stdout.split())
    assert done.exit_code == 0
    assert "webhook-router " in text
    leads_on = command in (
        (),
        ("events",),
        ("deliveries",),
        ("targets",),
        ("store",),
        ("sources",),
        ("import",),
    )  # groups, whose commands have their own examples
    assert ("Examples:" in text) != leads_on
    assert ("Exit codes: 0" in text) != (leads_on or command in (("schema",), ("openapi",)))


def test_version_prints_the_version(run: Run, tmp_path: Path) -> None:
    from router import __version__

    assert run("--version").stdout.strip() == f"webhook-router, version {__version__}"


EVENT_ID = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"


def test_the_command_test_reads_an_event_from_the_store(run: Run, rules: Path, tmp_path: Path) -> None:
    from router.domain.deliveries import RulesetText
    from router.domain.events import Event
    from router.store.sqlite.store import SqliteStore

    rules.write_text(
        rules.read_text().replace("payload.missing", "payload.x")
    )  # so that no delivery is dead, which would fail every --expect
    store = SqliteStore(tmp_path / "s.db")
    store.put_ruleset(RulesetText("h", "", ""), 0).result(60)
    event: Any = Event(EVENT_ID, "a", "POST", "/hooks/a", "", (), b'{"x":1,"y":2}', "", 1_700_000_000_000)
    store.append(event, [], "h").result(60)
    store.close()

    done = run("test", rules, "--event", EVENT_ID, "--store", f"sqlite:{tmp_path / 's.db'}", "--expect", "one")

    assert done.returncode == 0, done.stderr


RETRIED = """\
sources: {a: {verify: none}}
targets: {ci: {url: http://127.0.0.1:9, retry: {on: [5xx, network]}}}
rules:
  - name: deploy
    allow_unverified: true
    actions:
      - {name: plain, forward: "http://127.0.0.1:9"}
      - {name: build, forward: {target: ci}, retry: {initial: 250ms, max: 5m, jitter: 0, attempts: 20}}
      - {name: few, forward: {target: ci}, retry: {attempts: 4, interrupted: dead}}
      - {name: even, append: x, retry: {factor: 1, initial: 5s, give_up_after: 1m}}
      - {name: half, append: x, retry: {give_up_after: 30m, jitter: 0.5}}
      - {name: hasty, append: x, retry: {give_up_after: 500ms}}
      - {name: slow, append: x, retry: {initial: 1ms, factor: 1.000000001}}
      - command: [/bin/true]
unmatched: [append: y]
"""


def test_check_prints_the_retry_schedule_of_each_action(run: Run, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RETRIED)

    done = run("check", "--explain-retry", "r.yaml", cwd=tmp_path)

    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "r.yaml: fine, 1 rule, 1 source",
        "deploy/plain: tries at 0 s, 2 s, 6 s, 14 s, 30 s, 1 m 2 s, ... then every 1 h, for 24 h "
        "(about 34 tries, each wait ±20 %); retries on: everything but 410; Retry-After up to 1 h; interrupted: retry",
        "deploy/build: tries at 0 s, 250 ms, 750 ms, 1.75 s, 3.75 s, 7.75 s, ... then every 5 m (20 tries); "
        "retries on: 5xx, network; Retry-After up to 1 h; interrupted: retry",
        "deploy/few: tries at 0 s, 2 s, 6 s, 14 s (4 tries, each wait ±20 %); "
        "retries on: 5xx, network; Retry-After up to 1 h; interrupted: dead",
        "deploy/even: tries at 0 s, then every 5 s, for 1 m (about 13 tries, each wait ±20 %); "
        "retries on: everything; interrupted: retry",
        "deploy/half: tries at 0 s, 2 s, 6 s, 14 s, 30 s, 1 m 2 s, ... 17 m 2 s, for 30 m "
        "(about 10 tries, each wait ±50 %); retries on: everything; interrupted: retry",
        "deploy/hasty: one try, no retries: give_up_after is shorter than the first wait; interrupted: retry",
        "deploy/slow: tries at 0 s, 1 ms, 2 ms, 3 ms, 4 ms, 5 ms, ... 3 m 19.498 s, for 24 h "
        "(more than 100,000 tries, each wait ±20 %); retries on: everything; interrupted: retry",
        "deploy/command: one try, no retries; interrupted: retry",
        "unmatched/append: tries at 0 s, 2 s, 6 s, 14 s, 30 s, 1 m 2 s, ... then every 1 h, for 24 h "
        "(about 34 tries, each wait ±20 %); retries on: everything; interrupted: retry",
    ]


def test_check_prints_retry_schedules_as_json(run: Run, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RETRIED)
    (tmp_path / "bad.yaml").write_text("sources: {a: {verify: none}}\nrules: {}\n")

    done = run("check", "--explain-retry", "--json", "r.yaml", "bad.yaml", cwd=tmp_path)

    assert done.returncode == 1
    shown = json.loads(done.stdout)
    assert [problem["file"] for problem in shown["problems"]] == ["bad.yaml"]
    assert [one["action"] for one in shown["retry"]] == [
        *("plain", "build", "few", "even", "half", "hasty", "slow", "command", "append"),
    ]
    few = shown["retry"][2]
    assert few == {
        "file": "r.yaml",
        "rule": "deploy",
        "action": "few",
        "type": "forward",
        "target": "ci",
        "tries_at": [0, 2, 6, 14],
        "then_every": None,
        "tries": 4,
        "ended_by": "attempts",
        "policy": {
            "initial": 2,
            "factor": 2,
            "max": 3600,
            "jitter": 0.2,
            "attempts": 4,
            "give_up_after": 86400,
            "retry_after_max": 3600,
            "interrupted": "dead",
            "on": ["5xx", "network"],
        },
    }
    assert (shown["retry"][3]["then_every"], shown["retry"][3]["tries"]) == (5, 13)
    assert shown["retry"][0]["policy"]["on"] is None


def test_check_prints_no_schedules_for_a_file_with_errors(run: Run, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RETRIED.replace("5xx", "42x"))

    done = run("check", "--explain-retry", "r.yaml", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert 'r.yaml:2:54: targets.ci.retry.on[0]: unknown failure "42x"; write "420-429"' in done.stderr


def test_python_m_router_is_the_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "router", "check", "none.yaml"]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert done.returncode == 1
    assert done.stderr.startswith("none.yaml:")
