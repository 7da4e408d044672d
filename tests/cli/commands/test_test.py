"""`test` shows what the rules do with a payload, and fails when a delivery would be dead."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import StoreCommands
from tests.conftest import run_in_process

RULES = """
sources:
  github: {verify: {scheme: github, secret: {env: S}}}
  slack: {verify: {scheme: slack, secret: {env: S}}}
  plain: {verify: none, respond: {status: 200, body: fine}}
rules:
  - name: push
    source: github
    match: {headers.X-GitHub-Event: push}
    respond: {status: 201, json: {ref: "{{ payload.ref }}"}, headers: {X-A: b}}
    actions: [append: {path: out/a.txt, line: "{{ payload.ref }}"}]
  - {name: form, source: slack, match: {$.command: /go}, actions: [append: out/b.jsonl]}
  - {name: part, source: plain, match: {$.a: "1"}, actions: [append: out/b.jsonl]}
  - {name: dead, source: plain, match: {$.dead: true}, actions: [append: {path: out/c.txt, line: "{{ payload.gone }}"}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with rules and some payloads."""
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "push.json").write_text('{"ref": "main"}')
    (tmp_path / "form").write_text("command=%2Fgo&text=x")
    (tmp_path / "dead.json").write_text('{"dead": true}')
    (tmp_path / "parts").write_bytes(b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n')
    return tmp_path


def run(folder: Path, *arguments: str, code: int = 0) -> tuple[str, str]:
    """Run `test`. Return its output and errors."""
    done = run_in_process("test", *arguments, folder=folder)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout, done.stderr


def shown(folder: Path, *arguments: str) -> Any:
    """Run `test --json`. Return the printed value."""
    return json.loads(run(folder, *arguments, "--json")[0])


def test_the_event_flag_sets_the_kind_of_event_as_in_send(folder: Path) -> None:
    push = ("--source", "github", "--payload", "push.json")

    assert shown(folder, *push, "--event", "push")["matched"] == ["push"]
    assert shown(folder, *push)["matched"] == []
    assert shown(folder, *push, "--event", "push", "--header", "X-GitHub-Event: ping")["matched"] == []
    wrong = run(folder, "--source", "plain", "--payload", "push.json", "--event", "push", code=2)[1]
    assert "scheme none of source plain has no header for it" in wrong


def test_forms_and_multipart_are_recognized_by_their_bytes(folder: Path) -> None:
    assert shown(folder, "--source", "slack", "--payload", "form")["matched"] == ["form"]
    assert shown(folder, "--source", "plain", "--payload", "parts")["matched"] == ["part"]


def test_the_answer_to_the_sender_is_shown(folder: Path) -> None:
    push = ("--source", "github", "--payload", "push.json", "--event", "push")

    text = run(folder, *push)[0]

    assert 'responds by rule push: 201, application/json\n  X-A: b\n  | {"ref":"main"}\n' in text
    assert shown(folder, *push)["respond"] == {
        "rule": "push", "status": 201, "content_type": "application/json", "headers": {"X-A": "b"},
        "body": '{"ref":"main"}', "error": None,
    }  # fmt: skip
    assert "responds by the source: 200" in run(folder, "--source", "plain", "--payload", "push.json")[0]
    assert "respond" not in shown(folder, "--source", "github", "--payload", "push.json")


@pytest.mark.parametrize(
    ("otherwise", "lines"),
    [
        (", otherwise: {body: later}", "else this\nresponds by rule push: 200, text/plain; charset=utf-8\n  | later\n"),
        ("", "else 202\n"),
    ],
)
def test_the_action_that_answers_the_sender_is_shown(folder: Path, otherwise: str, lines: str) -> None:
    respond = "respond: {from: forward, within: 3s" + otherwise + "}"
    text = RULES.replace('respond: {status: 201, json: {ref: "{{ payload.ref }}"}, headers: {X-A: b}}', respond)
    text = text.replace('append: {path: out/a.txt, line: "{{ payload.ref }}"}', "forward: http://x.test/")
    (folder / "rules.yaml").write_text(text)
    push = ("--source", "github", "--payload", "push.json", "--event", "push")

    shown_text = run(folder, *push)[0]

    assert f"matched: push\nthe sender gets the answer of push/forward if it comes within 3s, {lines}" in shown_text
    answer = {"from": "push/forward", "within_ms": 3000, "otherwise": bool(otherwise)}
    assert shown(folder, *push)["answer"] == answer


def test_a_respond_that_cannot_be_rendered_is_reported(folder: Path) -> None:
    (folder / "push.json").write_text('{"other": 1}')

    text = run(folder, "--source", "github", "--payload", "push.json", "--event", "push")[0]

    assert "respond of rule push can't be rendered, so the sender is answered as usual: " in text
    assert "payload.ref" in text


def test_expect_fails_for_a_delivery_that_would_be_dead_at_once(folder: Path) -> None:
    dead = ("--source", "plain", "--payload", "dead.json")

    run(folder, *dead)
    errors = run(folder, *dead, "--expect", "dead", code=1)[1]

    assert "the delivery dead/append would be dead at once: " in errors
    assert "payload.gone" in errors


@pytest.mark.parametrize(
    ("expect", "code"),
    [
        ("{rules: [dead]}", 1),
        ("{rules: [dead], deliveries: [{rule: dead}]}", 1),
        ("{rules: [dead], deliveries: [{rule: dead, error: wrong}]}", 1),
        ('{rules: [dead], deliveries: [{rule: dead, error: "payload.gone is missing"}]}', 0),
    ],
)
def test_a_case_fails_where_a_delivery_would_be_dead_unless_it_expects_that(
    folder: Path, expect: str, code: int
) -> None:
    case = f"- {{name: a, source: plain, payload: {{dead: true}}, expect: {expect}}}\n"
    (folder / "cases.yaml").write_text(case)

    text = run(folder, "--cases", "cases.yaml", code=code)[0]

    assert ("would be dead at once" in text) == bool(code)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("body: x, payload: 1", "give one of payload, body and body_base64"),
        ("body_base64: '*'", "expected base64, found other characters"),
    ],
)
def test_a_wrong_body_of_a_case_is_reported(folder: Path, given: str, said: str) -> None:
    (folder / "cases.yaml").write_text(f"- {{name: a, source: plain, {given}, expect: {{rules: []}}}}\n")

    assert said in "".join(run(folder, "--cases", "cases.yaml", code=1))


def test_the_rules_file_is_an_argument_or_a_flag(folder: Path) -> None:
    (folder / "rules.yaml").rename(folder / "other.yaml")
    payload = ("--source", "plain", "--payload", "dead.json")

    for arguments in (("other.yaml",), ("--rules", "other.yaml"), ("other.yaml", "--rules", "other.yaml")):
        assert shown(folder, *arguments, *payload)["matched"] == ["dead"]
    wrong = run(folder, "one.yaml", "--rules", "other.yaml", *payload, code=2)[1]
    assert "name the rules file once: one.yaml or --rules other.yaml" in wrong
    assert run_in_process("check", "--rules", "other.yaml", folder=folder).returncode == 0


def test_an_exported_case_passes_without_changes(folder: Path, store_commands: StoreCommands) -> None:
    headers = (("Content-Type", "application/json"), ("X-GitHub-Event", "push"), ("X-Hub-Signature-256", "sha256=ab"))
    event = store_commands.put(headers=headers, body=b'{"ref": "main"}')

    done = store_commands.run("events", "export", event, "--as", "case", "--rules", "rules.yaml")
    (folder / "cases.yaml").write_text(done.stdout)

    assert done.stderr == "left out: header X-Hub-Signature-256\n"
    run(folder, "--cases", "cases.yaml")
    curl = store_commands.run("events", "export", event[:34], "--as", "curl", "--to", "https://hooks.example").stdout
    assert curl.startswith("curl -X POST https://hooks.example/hooks/github -H 'Content-Type: application/json'")


def test_an_export_that_can_not_be_made_says_why(folder: Path, store_commands: StoreCommands) -> None:
    store_commands.put(source="gone")

    for flags, code, said in (
        (("--as", "case"), 1, "name the rules file: --rules FILE"),
        (("--as", "case", "--rules", "rules.yaml"), 1, "these rules have no source gone"),
        (("--as", "curl", "--rules", "rules.yaml"), 2, "--rules needs --as case"),
        (("--as", "case", "--to", "x"), 2, "--to needs --as curl"),
        ((), 2, "--as"),
    ):
        assert said in store_commands.run("events", "export", "last", *flags, code=code).stderr


@pytest.mark.parametrize("name", ["webhook-router.db", "./webhook-router.db", "sqlite:webhook-router.db"])
def test_a_store_is_named_by_its_path(store_commands: StoreCommands, name: str) -> None:
    store_commands.put()

    assert len(json.loads(store_commands.run("events", "list", "--store", name, "--json").stdout)) == 1


@pytest.mark.parametrize("name", ["", "postgresql", "sqlite", "sqlite:", "mysql://h/d", "file:x"])
def test_the_error_for_a_text_that_names_no_store_says_what_to_write(store_commands: StoreCommands, name: str) -> None:
    assert "is not a store; write a path" in store_commands.run("events", "list", "--store", name, code=2).stderr
