"""`import adnanh`: the rules that it writes for each kind of hook, its messages, and that the rules pass `check`."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import run_in_process

Run = Callable[..., Any]
REF = {"source": "payload", "name": "ref"}
HUB = {"source": "header", "name": "X-Hub-Signature-256"}
HMAC = {"match": {"type": "payload-hmac-sha256", "secret": "twenty letters long", "parameter": HUB}}


def value(value: Any, parameter: Any = REF) -> dict[str, Any]:
    return {"match": {"type": "value", "value": value, "parameter": parameter}}


class Imported:
    """The rules that an import wrote and the messages that it printed."""

    def __init__(self, folder: Path, code: int, said: str) -> None:
        self.folder, self.code, self.said = folder, code, said
        path = folder / "rules.yaml"
        self.text = path.read_text() if path.exists() else ""
        self.rules = yaml.safe_load(self.text) if self.text else {}

    @property
    def source(self) -> Any:
        return next(iter(self.rules["sources"].values()))

    @property
    def rule(self) -> Any:
        return self.rules["rules"][0]

    @property
    def command(self) -> Any:
        return self.rule["actions"][0]["command"]

    def check(self, *flags: str) -> str:
        done = run_in_process("check", *flags, "rules.yaml", folder=self.folder)
        assert done.returncode == 0, done.stderr
        return done.stderr


@pytest.fixture
def imported(tmp_path: Path) -> Run:
    script = tmp_path / "deploy.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)

    def run(*flags: str, text: str | None = None, **hook: Any) -> Imported:
        keys = {key.replace("_", "-"): given for key, given in hook.items()}
        made = json.dumps([{"id": "deploy", "execute-command": "./deploy.sh", **keys}])
        (tmp_path / "hooks.json").write_text(made if text is None else text)
        command = ("import", "adnanh", "hooks.json", "--output", "rules.yaml", "--force", *flags)
        done = run_in_process(*command, folder=tmp_path)
        assert "Traceback" not in done.stderr
        return Imported(tmp_path, done.returncode, done.stderr)

    return run


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        (value("main"), {"$.ref": "main"}),
        (value(5), {"$.ref": ["5", 5]}),
        (value(True), {"$.ref": ["true", True]}),
        (value("<nil>"), {"$.ref": ["<nil>", None]}),
        (value('{"a":1}'), {"$.ref": ['{"a":1}', {"equals": {"a": 1}}]}),
        (value("x", {"source": "payload", "name": "a.0.b-c"}), {"$.a[0]['b-c']": "x"}),
        (value("x", {"source": "payload", "name": "root.1.b"}), {"$[1].b": "x"}),
        (value("x", {"source": "url", "name": "q"}), {"query.q": "x"}),
        (value("1", {"source": "header", "name": "X-A"}), {"headers.X-A": "1"}),
        (value("GET", {"source": "request", "name": "method"}), {"method": "GET"}),
        (value("x", {"source": "raw-request-body"}), {"$": "x"}),
        ({"match": {"type": "regex", "regex": "^v", "parameter": REF}}, {"$.ref": {"regex": "^v"}}),
        ({"match": {"type": "regex", "regex": ".*", "parameter": REF}}, {"$.ref": {"exists": True}}),
        ({"match": {"type": "regex", "regex": "^t", "parameter": REF}}, {"$.ref": [{"regex": "^t"}, True]}),
        ({"not": value("x")}, {"$.ref": {"not": "x"}}),
        ({"and": [{"not": value("x")}]}, {"$.ref": {"exists": True, "not": "x"}}),
        ({"or": [{"not": value("x")}]}, {"$.ref": {"not": "x"}}),
        ({"or": [value("x"), value("y")]}, {"$.ref": ["x", "y"]}),
        (
            {"and": [value("x"), {"or": [value("y", {"source": "query", "name": "q"}), {"and": [value("z")]}]}]},
            {"$.ref": "x", "any": [{"query.q": "y"}, {"$.ref": "z"}]},
        ),
        ({"not": {"or": [value("x"), value("y", HUB)]}}, {"none": [{"$.ref": "x"}, {"headers.X-Hub-Signature-256": "y"}]}),
        ({"or": [{"match": {"type": "ip-whitelist", "ip-range": "10.0.0.1/8 ::1"}}, value("x")]},
         {"any": [{"ip": {"cidr": ["10.0.0.0/8", "::1"]}}, {"$.ref": "x"}]}),
    ],
    ids=json.dumps,
)  # fmt: skip
def test_a_trigger_rule_becomes_a_condition(rule: Any, match: Any, imported: Run) -> None:
    found = imported(trigger_rule=rule)

    assert found.rule["match"] == match
    assert found.code == 0
    found.check()


@pytest.mark.parametrize(
    ("rule", "verify"),
    [
        (HMAC, {"scheme": "hmac", "header": "X-Hub-Signature-256", "parts": {"separator": ",", "signature": "sha256"}}),
        (
            {"match": {"type": "payload-hash-sha1", "secret": "twenty letters long", "parameter": {"source": "header", "name": "X-Sig"}}},
            {"scheme": "hmac", "header": "X-Sig", "algorithm": "sha1"},
        ),
        (
            {"match": {"type": "scalr-signature", "secret": "twenty letters long"}},
            {"scheme": "hmac", "header": "X-Signature", "algorithm": "sha1", "signed": "{body}{header:Date}"},
        ),
        (value("0123456789", {"source": "header", "name": "X-Gitlab-Token"}), {"scheme": "token", "header": "X-Gitlab-Token"}),
        (value("0123456789", {"source": "url", "name": "token"}), {"scheme": "token", "query": "token"}),
        (value("Bearer 0123456789", {"source": "header", "name": "Authorization"}), {"scheme": "bearer"}),
        (value("Basic YW5uOjAxMjM0NTY3", {"source": "header", "name": "authorization"}), {"scheme": "basic", "username": "ann"}),
    ],
    ids=lambda given: given.get("scheme", ""),
)  # fmt: skip
@pytest.mark.parametrize("nested", [False, True])
def test_a_signature_or_token_becomes_verify(rule: Any, verify: Any, nested: bool, imported: Run) -> None:
    found = imported(
        "--secrets", "secrets.env", trigger_rule={"and": [{"and": [rule]}, value("x")]} if nested else rule
    )

    assert found.source["verify"] == {**verify, "secret": {"env": "HOOK_DEPLOY_SECRET"}}
    assert found.rule.get("match") == ({"$.ref": "x"} if nested else None)
    assert "allow_unverified" not in found.rule
    assert "0123456789" not in found.text + found.said
    assert "twenty" not in found.text + found.said
    secrets = found.folder / "secrets.env"
    assert secrets.read_text().startswith("HOOK_DEPLOY_SECRET='")
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    found.check("--strict")


def test_several_secrets_of_one_header_are_a_list_if_failures_are_soft(imported: Run) -> None:
    other = {"match": {**HMAC["match"], "secret": "another of that length"}}

    soft = imported(trigger_rule={"or": [HMAC, other]}, trigger_signature_soft_failures=True)
    hard = imported(trigger_rule={"or": [HMAC, other]})

    assert soft.source["verify"]["secret"] == [{"env": "HOOK_DEPLOY_SECRET_1"}, {"env": "HOOK_DEPLOY_SECRET_2"}]
    assert hard.source["verify"]["secret"] == {"env": "HOOK_DEPLOY_SECRET"}
    assert "never tries the next secret" in hard.said


def test_the_strongest_of_several_signature_hashes_is_verified(imported: Run) -> None:
    sha1 = {"match": {"type": "payload-hmac-sha1", "secret": "twenty letters long", "parameter": {"source": "header", "name": "X-Hub-Signature"}}}  # fmt: skip

    found = imported(trigger_rule={"or": [sha1, HMAC]}, trigger_signature_soft_failures=True)

    assert found.source["verify"]["header"] == "X-Hub-Signature-256"
    assert "every request needs the one of X-Hub-Signature-256" in found.said
    found.check()


def test_an_address_range_becomes_allow_ips_of_the_source(imported: Run) -> None:
    found = imported(
        trigger_rule={"and": [{"match": {"type": "ip-whitelist", "ip-range": "192.168.0.1/24"}}, value("x")]}
    )

    assert found.source["allow_ips"] == ["192.168.0.0/24"]
    assert found.rule["match"] == {"$.ref": "x"}
    assert found.rule["allow_unverified"] is True
    found.check("--strict")


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        ({"trigger_rule": {"or": [HMAC, value("x")]}}, "payload-hmac-sha256 stands below or/not"),
        ({"trigger_rule": {"not": HMAC}}, "payload-hmac-sha256 stands below or/not"),
        ({"trigger_rule": value("x", {"source": "entire-payload"})}, 'can\'t read the source "entire-payload"'),
        ({"trigger_rule": value("x", {"source": "header", "name": "X_A"})}, "names with _ are dropped on arrival"),
        (
            {"trigger_rule": {"or": [value("x", {"source": "header", "name": "Cookie"})]}},
            "Cookie is only for verification",
        ),
        ({"trigger_rule": {"match": {"type": "regex", "regex": "(", "parameter": REF}}}, 'the regex "(" is not valid'),
        ({"trigger_rule": {"match": {"type": "ip-whitelist", "ip-range": "10.0.0"}}}, '"10.0.0" is neither an address'),
        ({"trigger_rule": {"or": []}}, "the trigger rule is never true"),
        ({"trigger_rule": value("x", {"source": "request", "name": "remote-addr"})}, "holds the sender's port too"),
        ({"pass_arguments_to_command": [{"source": "template", "name": "x"}]}, 'stands for the source "template"'),
        ({"pre_hook_command": "x"}, "a command that runs before the trigger rule"),
        ({"keep_file_environment": True}, "the files of a multipart body"),
        ({"parse_parameters_as_json": [{"source": "header", "name": "X-A"}]}, "only one field of a form can be parsed"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_hook_with_a_part_that_can_not_be_imported_is_written_switched_off(
    hook: Any, reason: str, imported: Run
) -> None:
    found = imported(**hook)

    assert found.code == 1
    assert found.source["enabled"] is found.rule["enabled"] is False
    assert "can't be carried over:" in found.said
    assert reason in found.said
    assert reason in " ".join(line.strip(" #") for line in found.text.splitlines())
    assert "twenty" not in found.text + found.said
    found.check()


def test_values_of_every_source_become_templates(imported: Run) -> None:
    found = imported(
        pass_arguments_to_command=[
            {"source": "payload", "name": "a.0.b c"},
            {"source": "header", "name": "X-A"},
            {"source": "query", "name": "q"},
            {"source": "string", "name": "{{ x }}"},
            {"source": "entire-payload"},
            {"source": "entire-headers"},
            {"source": "entire-query"},
            {"source": "request", "name": "remote-addr"},
        ],
        pass_environment_to_command=[REF, {"source": "header", "name": "X-B", "envname": "HOOK_B"}],
    )

    assert found.command["argv"][1:] == [
        "{{ payload.a[0]['b c'] | default('') }}",
        "{{ headers['X-A'] | default('') }}",
        "{{ query.q | default('') }}",
        "{{ '{{ x }}' }}",
        "{{ payload | tojson }}",
        "{{ headers | tojson }}",
        "{{ query | tojson }}",
        "{{ event.ip }}",
    ]
    assert found.command["env"] == {
        "HOOK_ref": "{{ payload.ref | default('') }}",
        "HOOK_B": "{{ headers['X-B'] | default('') }}",
    }
    assert found.command["stdin"] == "none"
    found.check("--strict")


def test_the_output_of_a_command_answers_the_sender(imported: Run) -> None:
    found = imported(
        include_command_output_in_response=True,
        response_message="webhook never sends this",
        response_headers=[{"name": "X-A", "value": "b"}, {"name": "Content-Type", "value": "application/json"}],
        success_http_response_code=201,
    )

    assert found.rule["respond"] == {
        "from": "command",
        "within": "8s",
        "otherwise": {"status": 202, "body": "The command has failed, or still runs.", "headers": {"X-A": "b"}},
        "content_type": "application/json",
        "headers": {"X-A": "b"},
    }
    above = " ".join(line.strip(" #") for line in found.text.split("    respond:")[0].splitlines())
    for part in ("ends with 0 within 8 s", "2>&1", "answers 500", "success-http-response-code is 201"):
        assert part in found.said
        assert above.count(part) == 1, "said once, at its place"
    assert "on-error" not in found.said
    assert found.code == 0
    found.check("--strict")


def test_a_comment_says_that_the_output_of_a_failed_command_stays_here(imported: Run) -> None:
    on_error = "include-command-output-in-response-on-error"
    found = imported(**{"include_command_output_in_response": True, on_error: True})

    assert f"{on_error}: the sender never gets the output of a failed command" in found.said
    assert on_error in found.text
    alone = imported(response_message="hi", **{on_error: True})
    assert alone.rule["respond"] == {"status": 200, "body": "hi"}, "webhook reads the one key only with the other"
    assert on_error not in alone.said


def test_differences_in_the_answer_are_comments_in_the_file(imported: Run) -> None:
    found = imported(
        response_headers=[{"name": "Content-Length", "value": "3"}],
        success_http_response_code=302,
        trigger_rule_mismatch_http_response_code=400,
        trigger_rule=value("x"),
    )

    for part in ("header Content-Length", "success-http-response-code is 302", "mismatch-http-response-code is 400"):
        assert part in found.said
        assert part in found.text


def test_answers_methods_and_content_type_are_imported(imported: Run) -> None:
    found = imported(
        response_message="got {{ it }}",
        response_headers=[{"name": "X-A", "value": "b"}, {"name": "Content-Type", "value": "text/html"}],
        success_http_response_code=201,
        trigger_rule_mismatch_http_response_code=400,
        http_methods=["post", " GET "],
        incoming_payload_content_type="application/json",
        trigger_rule=value("x"),
    )

    assert found.rule["respond"] == {
        "status": 201,
        "body": "{{ 'got {{ it }}' }}",
        "content_type": "text/html",
        "headers": {"X-A": "b"},
    }
    assert found.source["respond"] == {"status": 200, "body": "Hook rules were not satisfied."}
    assert found.source["methods"] == ["POST", "GET"]
    assert found.source["parse"] == "json"
    assert "trigger-rule-mismatch-http-response-code is 400" in found.said
    found.check("--strict")


def test_the_json_of_a_form_field_is_the_payload(imported: Run) -> None:
    parameter = {"source": "payload", "name": "payload"}

    found = imported(
        parse_parameters_as_json=[parameter], trigger_rule=value("x", {"source": "payload", "name": "payload.a"})
    )

    assert found.source["json_field"] == "payload"
    assert found.rule["match"] == {"$.a": "x"}
    found.check("--strict")


def test_a_program_that_may_run_text_as_code_gets_allow_code(imported: Run) -> None:
    found = imported(execute_command="/usr/bin/git", pass_arguments_to_command=[REF], trigger_rule=HMAC)

    assert found.rule["allow_code"] is True
    assert "webhook gives the sender's text to any program" in found.text
    found.check()


def test_a_relative_program_is_found_in_the_working_directory(imported: Run, tmp_path: Path) -> None:
    found = imported(execute_command="deploy.sh", command_working_directory=str(tmp_path))

    assert found.command["argv"] == [f"{tmp_path}/deploy.sh"]
    assert found.command["cwd"] == str(tmp_path)
    found.check("--strict")


def test_go_templates_name_secrets_from_outside(imported: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDER", ".")
    secret = {"match": {**HMAC["match"], "secret": "SECRET"}}
    text = json.dumps([{"id": "a", "execute-command": "FOLDER/deploy.sh", "trigger-rule": secret}])
    text = text.replace('"SECRET"', '"{{ getenv "GITHUB_SECRET" | js }}"').replace("FOLDER", '{{getenv "FOLDER"}}')

    found = imported("--template", text=text)

    assert found.source["verify"]["secret"] == {"env": "GITHUB_SECRET"}
    assert found.command["argv"] == ["./deploy.sh"]
    from_file = imported("--template", text=text.replace('getenv "GITHUB_SECRET"', 'secret "github"'))
    assert from_file.source["verify"]["secret"] == {"file": "/run/secrets/github"}


@pytest.mark.parametrize(
    ("text", "flags", "said"),
    [
        ("[{", (), "hooks.json:2:1: did not find"),
        ("{}", (), "hooks.json:1:1: expected a list of hooks"),
        ("[]", (), "hooks.json:1:1: no hooks are in this file"),
        ('[{"id": "a"}]', (), "hooks.json:1:2: a hook needs an execute-command"),
        ('[{"id": "a", "execute-command": "x"}, {"ID": "a", "execute-command": "x"}]', (), 'the id "a" already stands in line 1'),
        ('[{"id": "a", "execute-command": "x", "http-methods": 5}]', (), "hooks.json:1:54: expected a list of methods"),
        ('[{"id": "a", "execute-command": "{{ range x }}"}]', ("--template",), "this Go template can't be carried over"),
        ('[{"id": "a", "execute-command": "{{ getenv "NOT_SET_HERE" }}"}]', ("--template",), "NOT_SET_HERE is not set"),
        ('[{"id": "a", "execute-command": "{{ getenv "X" }}"}]', (), "say --template"),
    ],
)  # fmt: skip
def test_the_error_for_an_unreadable_file_names_the_place(text: str, flags: Any, said: str, imported: Run) -> None:
    found = imported(*flags, text=text)

    assert found.code == 1
    assert said in found.said
    assert found.text == ""


def test_hooks_in_yaml_are_read_as_webhook_reads_them(imported: Run) -> None:
    found = imported(
        text="- id: 007\n  Execute-Command: ./deploy.sh\n  trigger-rule:\n    match: {type: value, value: yes, "
        "parameter: {source: payload, name: 1.50}}\n"
    )

    assert list(found.rules["sources"]) == ["7"]
    assert found.rule["match"] == {"$['1'][5]": ["true", True]}


def test_an_existing_file_is_kept(imported: Run, tmp_path: Path) -> None:
    imported()
    before = (tmp_path / "rules.yaml").read_text()

    done = run_in_process("import", "adnanh", "hooks.json", "--output", "rules.yaml", folder=tmp_path)

    assert done.returncode == 1
    assert "--force to overwrite it" in done.stderr
    assert (tmp_path / "rules.yaml").read_text() == before


def test_the_rules_are_printed_when_no_output_file_is_named(imported: Run, tmp_path: Path) -> None:
    text = imported().text

    done = run_in_process("import", "adnanh", "hooks.json", folder=tmp_path)

    assert done.stdout == text
    assert "imported 1 hook" in done.stderr


def test_signed_headers_and_newer_keys_are_imported(imported: Run) -> None:
    given = {**HUB, "headers-to-add-to-signature-payload": ["X-Time", "not-canonical"]}

    found = imported(
        trigger_rule={"match": {**HMAC["match"], "parameter": given}}, command_timeout="90s", max_concurrency=3
    )

    assert found.source["verify"]["signed"] == "{body}{header:X-Time}"
    assert (found.command["timeout"], found.command["concurrency"]) == ("90s", 3)
    found.check("--strict")


def test_a_constant_script_writes_files_and_the_raw_body(imported: Run) -> None:
    found = imported(
        pass_arguments_to_command=[{"source": "raw-request-body"}, REF],
        pass_file_to_command=[
            {"source": "raw-request-body", "envname": "HOOK_BODY"},
            {"source": "payload", "name": "data", "base64decode": True},
        ],
    )

    shell, flag, script, program, *arguments = found.command["argv"]
    assert (shell, flag, program) == ("sh", "-c", "./deploy.sh")
    assert '"$0" "$body" "${2}"' in script
    assert 'printf %s "$HOOK_DATA_2" | base64 -d > "$HOOK_DATA"' in script
    assert 'rm -f "$HOOK_BODY" "$HOOK_DATA"' in script
    assert arguments == ["", "{{ payload.ref | default('') }}"]
    assert found.command["stdin"] == "body"
    found.check("--strict")


def test_ids_become_paths_and_names(imported: Run, tmp_path: Path) -> None:
    hooks = [{"id": name, "execute-command": "./deploy.sh"} for name in ("team/a", "team-a", "router")]
    (tmp_path / "more.yaml").write_text("- {id: last, execute-command: ./deploy.sh}\n")

    found = imported("more.yaml", "--url-prefix", "/x/y/", text=json.dumps(hooks))

    assert {name: one["path"] for name, one in found.rules["sources"].items()} == {
        "team-a": "/x/y/team/a",
        "team-a-2": "/x/y/team-a",
        "router-2": "/x/y/router",
        "last": "/x/y/last",
    }
    assert imported("--url-prefix", "").source["path"] == "/deploy"
    found.check("--strict")


def test_a_hook_that_would_not_load_is_written_as_a_comment(imported: Run) -> None:
    hooks = [{"id": "a b", "execute-command": "./deploy.sh"}, {"id": "good", "execute-command": "./deploy.sh"}]

    found = imported(text=json.dumps(hooks))

    assert found.code == 1
    assert list(found.rules["sources"]) == ["good"]
    assert [rule["name"] for rule in found.rules["rules"]] == ["good"]
    assert "OFF: this source a-b does not load: expected an absolute path" in found.text
    assert "1 of them switched off: a b" in found.said
    found.check("--strict")


def test_nothing_is_written_when_no_hook_can_be_imported(imported: Run) -> None:
    found = imported(text=json.dumps([{"id": "a b", "execute-command": "./deploy.sh"}]))

    assert found.code == 1
    assert "none of the hooks could be carried over" in found.said
    assert found.text == ""
