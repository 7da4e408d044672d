"""The order key that order_by makes from an event."""

from pathlib import Path
from typing import Any

import pytest

from router.daemon.registries import REGISTRIES
from router.rules.compile.loader import Loader
from router.rules.grouping import LONGEST_KEY
from tests.rules.match.strategies import event


def _key(field: str, payload: Any) -> str | None:
    text = f'sources: {{s: {{verify: none}}}}\nrules: [{{name: r, actions: [{{append: x, order_by: "{field}"}}]}}]'
    ruleset = Loader(REGISTRIES, {}).load(text, "rules.yaml", Path("/")).require()
    (delivery,) = ruleset.plan(event(payload)).deliveries
    return delivery.order_key


@pytest.mark.parametrize(
    ("field", "payload", "key"),
    [
        ("$.a", {"a": 7}, "[7]"),
        ("$.a", {"a": {"y": 1, "x": [None]}}, '[{"x":[null],"y":1}]'),
        ("$.a[*].b", {"a": [{"b": 1}, {"b": "2"}]}, '[1,"2"]'),
        ("source", {}, '["s"]'),
        ("$.a", {}, None),
        ("$.`parent`", {}, None),
    ],
)
def test_an_order_key_is_the_canonical_json_of_its_values(field: str, payload: Any, key: str | None) -> None:
    assert _key(field, payload) == key


def test_a_long_order_key_is_replaced_by_its_hash() -> None:
    long = "x" * LONGEST_KEY

    assert str(_key("$.a", {"a": long})).startswith("sha256:")
    assert _key("$.a", {"a": long}) == _key("$.a", {"a": long}) != _key("$.a", {"a": long + "y"})
