"""Forwards pass on the sender's headers that the source's scheme, its dedupe or its rules name."""

from pathlib import Path

import pytest

from router.daemon.registries import REGISTRIES
from router.rules.compile.loader import Loaded, Loader

SOURCES = """
sources:
  open: {verify: none, dedupe: headers.X-Copy}
  github: {verify: {scheme: github, secret: {env: KEY}}}
  signed: {verify: {scheme: hmac, secret: {env: KEY}, header: X-Mine, timestamp_header: X-Time}}
  svix: {verify: {scheme: standard-webhooks, secret: {env: WHSEC}, headers: svix}}
rules:
"""
ENVIRON = {"KEY": "a-secret-long-enough-1234", "WHSEC": "whsec_c2VjcmV0c2VjcmV0c2VjcmV0"}


def load(rules: str, folder: Path) -> Loaded:
    return Loader(REGISTRIES, ENVIRON).load(SOURCES + rules, "rules.yaml", folder)


def passing(rules: str, source: str, folder: Path) -> set[str]:
    return set(load(rules, folder).require().passing[source])


NOTHING = "  - {name: r, source: '*', actions: [append: a.txt]}"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("open", {"x-copy"}),
        ("github", {"x-github-*", "x-hub-signature", "x-hub-signature-256", "x-github-delivery"}),
        ("signed", {"x-mine", "x-time"}),
        ("svix", {"svix-id", "svix-timestamp", "svix-signature"}),
    ],
)
def test_headers_named_by_verify_and_dedupe_pass(source: str, names: set[str], tmp_path: Path) -> None:
    assert passing(NOTHING, source, tmp_path) == names


def test_headers_named_by_conditions_at_any_depth_pass(tmp_path: Path) -> None:
    rules = """
  - name: r
    source: [open, signed]
    match:
      all: [{headers.X-A: a}, {any: [{not: {headers: {X-B: {exists: true}}}}, {none: [{headers.x-c: c}]}]}]
    actions: [append: a.txt]
"""
    assert passing(rules, "open", tmp_path) == {"x-copy", "x-a", "x-b", "x-c"}
    assert passing(rules, "signed", tmp_path) == {"x-mine", "x-time", "x-a", "x-b", "x-c"}
    assert "x-a" not in passing(rules, "github", tmp_path)


def test_a_header_that_identifies_the_caller_does_not_pass_by_a_condition(tmp_path: Path) -> None:
    rules = """
  - name: r
    source: open
    match: {headers.X-WEBAUTH-USER: ann, headers.X-Kind: a}
    actions: [forward: "http://h/", append: a.txt]
"""
    loaded = load(rules, tmp_path)

    assert loaded.require().passing["open"] == {"x-copy", "x-kind"}
    [warning] = [problem for problem in loaded.warnings if "listens" not in problem.message]
    assert (warning.line, warning.path) == (12, 'rules[0] "r".actions[0].forward')
    assert "x-webauth-user is not passed on, though the rule matches on it" in warning.message
    assert "pass_headers" in warning.message


def test_pass_headers_ends_the_warning_about_headers_that_identify_the_caller(tmp_path: Path) -> None:
    rules = """
  - name: r
    source: open
    match: {headers.X-WEBAUTH-USER: ann}
    actions: [forward: {url: "http://h/", pass_headers: [X-WEBAUTH-USER]}]
"""
    assert [problem for problem in load(rules, tmp_path).warnings if "listens" not in problem.message] == []
