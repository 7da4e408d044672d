"""`check --upgrade` lists the parts of a file whose meaning has changed since an earlier version."""

from pathlib import Path

from router.actions.registry import ACTIONS
from router.rules.compile.upgrade import changed_meanings
from tests.conftest import run_in_process

CHANGED = """\
sources:
  a: {verify: none, path: "/in/{x}", dedupe: {key: "$..a..b"}}
rules:
  - name: r
    source: a
    match:
      $.labels: {contains: [a, b]}
      $: {prefix: x}
      any: [{$.b: {not: {contains: [1]}}}]
      $.c: {equals: {contains: [1]}}
    actions:
      - forward: http://h/
      - forward: {url: "http://h/", pass_headers: [X-A]}
        name: second
        order_by: $.a.b.`parent`.c
"""
SAME = """\
sources: {a: {verify: none}}
rules: [{name: r, match: {$.labels: {contains: a}}, actions: [append: x]}]
"""


def test_each_changed_meaning_has_its_place_and_cure() -> None:
    found = changed_meanings(CHANGED, "rules.yaml", ACTIONS)

    assert [(problem.line, problem.path) for problem in found] == [
        (2, "sources.a.path"),
        (2, "sources.a.dedupe"),
        (7, "rules[0].match[$.labels].contains"),
        (8, "rules[0].match[$]"),
        (9, "rules[0].match.any[0][$.b].not.contains"),
        (12, "rules[0].actions[0].forward"),
        (15, "rules[0].actions[1].order_by"),
    ]
    assert all("To keep the earlier meaning: " in problem.message for problem in found)


def test_an_unaffected_file_and_invalid_yaml_get_no_note() -> None:
    assert changed_meanings(SAME, "rules.yaml", ACTIONS) == changed_meanings("a: [", "rules.yaml", ACTIONS) == []


def test_check_lists_changed_meanings_only_with_upgrade(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(CHANGED.replace('path: "/in/{x}", ', ""))

    plain = run_in_process("check", folder=tmp_path)
    asked = run_in_process("check", "--upgrade", folder=tmp_path)

    assert (plain.returncode, asked.returncode) == (0, 0)
    assert "changed since 0.1.0" not in plain.stderr
    assert asked.stderr.count("changed since 0.1.0") == 6
