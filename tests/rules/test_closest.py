"""The rule that came closest, by names only."""

import pytest

from router.rules import closest as module
from router.rules.closest import Closest, closest
from tests.rules.generated import event
from tests.rules.test_index import only, ruleset_of


def test_the_rule_with_the_most_conditions_that_hold_is_the_closest() -> None:
    ruleset = only(
        {"$.a": 1, "$.b": 2, "$.c": 3},
        {"$.a": 1, "$.b": "secret", "$.c": {"prefix": "x"}},
        {"any": [{"$.a": 5}, {"$.b": 5}]},
    )

    assert closest(ruleset, event({"a": 1, "b": "secret", "c": "y"})) == Closest("r1", "$.c: prefix", 2, 3)
    assert closest(ruleset, event({})) == Closest("r0", "$.a: equals", 0, 3)


def test_combinators_and_failing_paths_are_named() -> None:
    failing = {"$.a": 1, "$.a.`parent`.`parent`.`parent`": 1}

    assert closest(only({"none": [{"$.a": 1}]}), event({"a": 1})) == Closest("r0", "none", 0, 1)
    assert closest(only(failing), event({"a": 1})) == Closest("r0", "$.a.`parent`.`parent`.`parent`: equals", 1, 2)


def test_rules_of_other_sources_are_not_meant() -> None:
    ruleset = ruleset_of([({"$.a": 1}, frozenset({"t"}), False)])

    assert closest(ruleset, event({"a": 2})) is None


def test_looking_ends_soon_and_large_events_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    ruleset = only({"$.a": 1}, {"$.b": 1, "$.a": 2})
    parsed = event({"a": 2, "b": 2})
    assert closest(ruleset, parsed) == Closest("r1", "$.b: equals", 1, 2)

    monkeypatch.setattr(module, "SECONDS", -1)
    assert closest(ruleset, parsed) == Closest("r0", "$.a: equals", 0, 1)

    assert closest(ruleset, event({"a": 2}, body=b"x" * (module.MAX_BODY + 1))) is None
