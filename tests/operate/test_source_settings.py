"""The settings keep, redact and show_payloads of sources are noted for `status`."""

from pathlib import Path

from router.daemon.registries import REGISTRIES
from router.operate.source_settings import settings_words, source_settings
from router.rules.compile.loader import Loader

RULES = """
sources:
  plain: {verify: none}
  short: {verify: none, keep: 2d, redact: [$.token, headers.X-Secret]}
  long: {verify: none, keep: forever, show_payloads: false}
rules:
  - {name: r, source: plain, actions: [{append: {path: a.txt}}]}
"""


def test_only_settings_that_differ_from_the_defaults_are_noted(tmp_path: Path) -> None:
    ruleset = Loader(REGISTRIES, {}).load(RULES, "rules.yaml", tmp_path).require()

    found = source_settings(ruleset)

    assert found == {
        "short": {"keep": 172_800, "redact": ["$.token", "headers.x-secret"]},
        "long": {"keep": "forever", "show_payloads": False},
    }
    assert settings_words(found["short"]) == ["keeps events 2d", "redacts $.token, headers.x-secret"]
    assert settings_words(found["long"]) == ["keeps events forever", "hides payloads from who may only read"]
