"""Polled sources in a rules file: bounds, wrong values, shown settings, and no requests."""

from pathlib import Path

import pytest

from router.cli.printing.settings import print_settings
from router.daemon.registries import REGISTRIES
from router.rules.compile.loader import Loaded, Loader

MAIN = """
include: [{{files: team.yaml, only: {{sources: [jobs], targets: [{target}], secrets: [team_*]}}}}]
sources: {{open: {{verify: none}}}}
rules: [{{name: a, source: open, actions: [append: a.jsonl]}}]
"""
TEAM = """
sources:
  jobs:
    poll: {{url: "https://api.example.com/jobs", headers: {{X-Key: "{{{{ secrets.{secret} }}}}"}}}}
secrets:
  {secret}: {{env: TEAM_KEY}}
rules: [{{name: b, source: jobs, actions: [append: b.jsonl]}}]
"""


def load(folder: Path, target: str = '"https://api.example.com:443"', secret: str = "team_key") -> Loaded:
    """Load a main file that includes another one with bounds."""
    (folder / "rules.yaml").write_text(MAIN.format(target=target))
    (folder / "team.yaml").write_text(TEAM.format(secret=secret))
    return Loader(REGISTRIES, {"TEAM_KEY": "a-long-secret"}).load_file(folder / "rules.yaml")


def test_a_file_with_bounds_can_poll_only_hosts_that_its_bounds_allow(tmp_path: Path) -> None:
    assert load(tmp_path).ruleset is not None

    refused = load(tmp_path, target="ci")

    assert refused.ruleset is None
    assert 'target "https://api.example.com:443" may not be used in this file' in str(refused.errors[0])


def test_a_file_with_bounds_polls_with_its_own_secrets_only(tmp_path: Path) -> None:
    assert load(tmp_path, secret="other").ruleset is None


def rules(source: str) -> Loaded:
    """Load a polled source."""
    text = f"sources:\n  s: {source}\nrules: [{{name: a, actions: [append: a.jsonl]}}]"
    return Loader(REGISTRIES, {}).load(text, "rules.yaml", Path("/"))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('{poll: "ftp://a/"}', "expected http:// or https://"),
        ('{poll: "https://user:pass@a/"}', "a user or password in a URL would be a secret in the file"),
        ('{poll: "https://a/?k={{ secrets.none }}"}', "none"),
        ('{poll: "https://a/", keep: 1x}', "duration"),
        ('{poll: ""}', "at least one"),
        ("{poll: }", "poll"),
        ('{poll: {url: "https://a/", every: 30}}', "duration"),
        ('{poll: {url: "https://a/", max_pages: 0}}', "at least 1"),
        ('{poll: {url: "https://a/", auth: {bearer: abc}}}', "a secret is never written in the rules file"),
        ('{poll: {url: "https://a/", auth: {header: Host, value: {env: X}}}}', "Host is set by the forward itself"),
        ('{poll: {url: "https://a/", proxy: "https://p/"}}', "expected http://"),
        ('{poll: {url: "https://a/", cursor: {from: $.a, query: "a b"}, items: "$[*]"}}', "name of a parameter"),
        ('{poll: {url: "https://a/", items: "$[", id: item.}}', "items"),
    ],
)
def test_the_error_for_a_wrong_value_names_place_and_cure(source: str, words: str) -> None:
    loaded = rules(source)

    assert loaded.ruleset is None
    assert words in str(loaded.errors[0])
    assert str(loaded.errors[0]).startswith("rules.yaml:2:")


def test_check_prints_the_effective_settings_of_a_polled_source(capsys: pytest.CaptureFixture[str]) -> None:
    loaded = rules('{poll: "https://a/", keep: 2d}')
    assert loaded.ruleset is not None

    print_settings(loaded.ruleset)

    shown = capsys.readouterr().out
    assert "every: 1m" in shown
    assert "timeout: 30s" in shown
    assert "start: now" in shown
    assert rules(shown.partition("  s:\n")[2] and '{poll: "https://a/"}').ruleset is not None


def test_a_polled_source_has_no_path_and_accepts_no_request() -> None:
    text = """
sources:
  a: {poll: "https://a/"}
  b: {poll: "https://a/"}
  "c.d": {verify: none}
rules: [{name: a, source: "*", actions: [append: a.jsonl]}]
"""
    loaded = Loader(REGISTRIES, {}).load(text, "rules.yaml", Path("/"))

    assert loaded.ruleset is not None
    assert loaded.ruleset.source_at("/-/poll/a") is None
    assert loaded.ruleset.source_at("/hooks/a") is None
