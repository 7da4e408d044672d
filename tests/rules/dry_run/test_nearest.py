"""The rule that came closest to matching, without values of the payload."""

import pytest

from router.rules.dry_run import nearest as module
from router.rules.dry_run.nearest import NearestRule, nearest_rule
from tests.rules.match.strategies import event
from tests.rules.match.test_index import only, ruleset_of


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise the time limit, which a busy machine would reach."""
    monkeypatch.setattr(module, "SECONDS", 60.0)


def test_the_closest_rule_has_the_most_matching_conditions() -> None:
    ruleset = only(
        {"$.a": 1, "$.b": 2, "$.c": 3},
        {"$.a": 1, "$.b": "secret", "$.c": {"prefix": "x"}},
        {"any": [{"$.a": 5}, {"$.b": 5}]},
    )

    assert nearest_rule(ruleset, event({"a": 1, "b": "secret", "c": "y"})) == NearestRule("r1", "$.c: prefix", 2, 3)
    assert nearest_rule(ruleset, event({})) == NearestRule("r0", "$.a: equals", 0, 3)


def test_combinators_and_failing_paths_are_named() -> None:
    failing = {"$.a": 1, "$.a.`parent`.`parent`.`parent`": 1}

    assert nearest_rule(only({"none": [{"$.a": 1}]}), event({"a": 1})) == NearestRule("r0", "none", 0, 1)
    assert nearest_rule(only(failing), event({"a": 1})) == NearestRule(
        "r0", "$.a.`parent`.`parent`.`parent`: equals", 1, 2
    )


def test_rules_of_other_sources_are_never_closest() -> None:
    ruleset = ruleset_of([({"$.a": 1}, frozenset({"t"}), False)])

    assert nearest_rule(ruleset, event({"a": 2})) is None


def test_the_search_is_time_limited_and_skips_large_events(monkeypatch: pytest.MonkeyPatch) -> None:
    ruleset = only({"$.a": 1}, {"$.b": 1, "$.a": 2})
    parsed = event({"a": 2, "b": 2})
    assert nearest_rule(ruleset, parsed) == NearestRule("r1", "$.b: equals", 1, 2)

    monkeypatch.setattr(module, "SECONDS", -1)
    assert nearest_rule(ruleset, parsed) == NearestRule("r0", "$.a: equals", 0, 1)

    assert nearest_rule(ruleset, event({"a": 2}, body=b"x" * (module.MAX_BODY + 1))) is None
