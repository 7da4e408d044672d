"""A command that depends only on unsigned values gets a warning."""

from pathlib import Path

import pytest

from router.daemon.registries import REGISTRIES
from router.domain.deliveries import RulesetText
from router.domain.errors import Level
from router.rules.compile.loader import Loaded, Loader

SOURCES = """
sources:
  hub: {verify: {scheme: github, secret: {env: S}}}
  chat: {verify: {scheme: slack, secret: {env: S}}}
  std: {verify: {scheme: svix, secret: {env: W}}}
  tel: {verify: {scheme: twilio, secret: {env: S}, url: "https://h.example/x"}, methods: [GET, POST]}
  tok: {verify: {scheme: bearer, secret: {env: S}}}
  lab: {verify: {scheme: gitlab, secret: {env: S}}}
  any: {verify: none}
unmatched: [append: a]
"""
ENVIRON = {"S": "long-enough", "W": "whsec_aHVzaGh1c2hodXNoaHVzaA=="}


def _load(text: str) -> Loaded:
    return Loader(REGISTRIES, ENVIRON).load(text, "rules.yaml", Path("/srv"))


def _warnings(source: str, match: str, action: str = "command: [/bin/echo]", more: str = "") -> list[str]:
    loaded = _load(f"{SOURCES}rules: [{{name: r, source: {source}, match: {match}, actions: [{action}]{more}}}]")
    loaded.require()
    return [problem.message for problem in loaded.warnings if "does not sign" in problem.message]


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("hub", "{headers.X-GitHub-Event: push}"),
        ("hub", "{headers: {X-GitHub-Event: [push, ping]}}"),
        ("hub", "{query.team: ops, method: POST, source: hub, path: /hooks/hub}"),
        ("hub", "{headers.X-GitHub-Event: {not: ping}}"),
        ("hub", "{not: {headers.X-GitHub-Event: ping}}"),
        ("hub", "{none: [{$.a: 1}, {query.b: x}]}"),
        ("hub", "{headers.X-GitHub-Event: push, not: {$.deleted: true}}"),
        ("hub", "{headers.X-GitHub-Event: push, $.deleted: {not: true}}"),
        ("hub", "{headers.X-GitHub-Event: push, $.deleted: {exists: false}}"),
        ("hub", "{any: [{headers.X-GitHub-Event: push}, {$.ref: x}]}"),
        ("hub", "{all: [{headers.X-GitHub-Event: push}, {any: [{query.a: b}]}]}"),
        ("std", "{headers.webhook-id: {prefix: msg_}}"),
        ("tel", "{method: POST}"),
        ('["tok", "chat"]', "{headers.X-Kind: deploy}"),
    ],
)
def test_a_command_by_unsigned_fields_alone_gets_a_warning(source: str, match: str) -> None:
    (warning,) = _warnings(source, match)

    assert "the rule tests only" in warning and ", which scheme" in warning
    assert "($.…)" in warning


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("hub", "{headers.X-GitHub-Event: push, $.ref: refs/heads/main}"),
        ("hub", "{headers.X-GitHub-Event: push, $.commits: {exists: true}}"),
        ("hub", '{"$.commits[*].author": {every: {equals: x}}}'),
        ("hub", "{any: [{$.a: 1}, {headers.X-GitHub-Event: push, $.ref: x}]}"),
        ("hub", "{headers.X-GitHub-Event: push, ip: {cidr: 192.0.2.0/24}}"),
        ("hub", "{source: hub}"),
        ("hub", "{not: {$.a: 1}}"),
        ("chat", "{headers.X-Slack-Request-Timestamp: {exists: true}}"),
        ("std", "{headers.Svix-Id: {prefix: msg_}}"),
        ("tel", "{query.kind: call}"),
        ("tok", "{headers.X-Kind: deploy}"),
        ("lab", "{headers.X-Gitlab-Event: Push Hook}"),
    ],
)
def test_a_command_by_signed_fields_or_a_credential_gets_no_warning(source: str, match: str) -> None:
    assert _warnings(source, match) == []


def test_only_commands_of_verified_sources_get_a_warning() -> None:
    assert _warnings("hub", "{headers.X-GitHub-Event: push}", "append: a") == []
    assert _warnings("any", "{headers.X-GitHub-Event: push}", more=", allow_unverified: true") == []


def test_a_rule_without_a_condition_gets_no_warning() -> None:
    loaded = _load(f"{SOURCES}rules: [{{name: r, source: hub, actions: [command: [/bin/echo]]}}]")

    assert not [problem for problem in loaded.warnings if "does not sign" in problem.message]


UNDERSCORE = """
sources:
  a:
    verify: {scheme: hmac, header: X-Sig, secret: {env: S}}
    dedupe: headers.X_Id
rules:
  - name: r
    match: {headers.X_Kind: b}
    actions: [{append: {path: a.jsonl, line: "{{ headers['X_Kind'] | default('') }}"}, order_by: headers.X_Id}]
"""


def test_a_recorded_text_with_old_header_names_still_loads() -> None:
    loader = Loader(REGISTRIES, ENVIRON)

    now = loader.load(UNDERSCORE, "rules.yaml", Path("/srv"))
    then = loader.load_recorded(RulesetText("0" * 64, UNDERSCORE, "/srv"))

    assert now.ruleset is None
    assert then.ruleset is not None
    assert [(p.line, p.column, p.message) for p in then.warnings] == [(p.line, p.column, p.message) for p in now.errors]
    assert len(now.errors) == 4
    assert {problem.level for problem in then.problems} == {Level.WARNING}


def test_headers_that_templates_read_are_checked_in_every_place() -> None:
    text = """
secrets: {u: {env: S}}
sources: {a: {verify: none}}
targets: {t: {url: "http://h.example/{{ headers.X_T }}"}}
unmatched: [append: {path: a, line: "{{ headers.X_U }}"}]
rules:
  - name: r
    respond: {json: {a: [1, "{{ headers.X_R }}"]}}
    actions:
      - forward: {target: t, body: {text: "{{ payload.X_P }} headers.X_Text {% if headers['X_I'] %}{% endif %}"}}
      - forward: {url: "http://h.example/{{ headers.X_F }}", headers: {X_Out: "{{ headers.X-Ok_ }}"}}
"""
    found = {p.message.split(" header ")[1].split(":")[0] for p in _load(text).errors if " header " in p.message}

    assert found >= {"X_T", "X_U", "X_R", "X_I", "X_F"}
    assert not found & {"X_P", "X_Text", "X_Out"}
