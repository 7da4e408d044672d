"""The groups that latest_by and once_by give to planned deliveries, and their display in `test`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from router.daemon.registries import REGISTRIES
from router.domain.groups import Group, Latest, Once, group_of
from router.rules.compile.loader import Loader
from router.rules.dry_run.preview import made_event, preview
from router.rules.grouping import LONGEST_KEY
from router.rules.parsing import parse_event
from router.rules.ruleset import Ruleset

NOW = 1_714_557_600_000
RULES = """
sources: {s: {verify: none}}
rules:
  - name: r
    actions:
      - {name: plain, append: a}
      - {name: latest, append: b, latest_by: $.id}
      - {name: waits, append: c, latest_by: $.id, wait: 30s}
      - {name: most, append: d, latest_by: $.id, wait: 30s, max_wait: 1m}
      - {name: once, append: e, once_by: $.id, within: 10m}
  - name: items
    for_each: $.items[*]
    actions: [{append: f, once_by: item.of, within: 1h}]
"""


@pytest.fixture
def groups(tmp_path: Path) -> Callable[[Any], dict[str, Group | None]]:
    """Return a function that plans an event, and gives the groups of its deliveries by action or place of the item."""
    ruleset = loaded(tmp_path)

    def found(payload: Any) -> dict[str, Group | None]:
        event = made_event(ruleset.sources["s"], orjson.dumps(payload), (), "", "application/json", NOW)
        plan = ruleset.plan(parse_event(event, ruleset.sources["s"]))
        return {one.item or one.action: one.group for one in plan.deliveries}

    return found


def loaded(folder: Path) -> Ruleset:
    """Load the rules."""
    return Loader(REGISTRIES, {}).load(RULES, "rules.yaml", folder).require()


def test_deliveries_are_grouped_by_the_value_of_a_field(groups: Callable[[Any], dict[str, Group | None]]) -> None:
    assert groups({"id": 7}) == {
        "plain": None,
        "latest": Latest("[7]"),
        "waits": Latest("[7]", 30_000, 300_000),
        "most": Latest("[7]", 30_000, 60_000),
        "once": Once("[7]", 600_000),
    }


def test_a_delivery_without_a_value_has_no_group(groups: Callable[[Any], dict[str, Group | None]]) -> None:
    assert set(groups({}).values()) == {None}


def test_a_long_value_is_replaced_by_its_hash(groups: Callable[[Any], dict[str, Group | None]]) -> None:
    group = groups({"id": "x" * LONGEST_KEY})["once"]

    assert group is not None and group.key.startswith("sha256:")


def test_items_are_grouped_by_their_own_values(groups: Callable[[Any], dict[str, Group | None]]) -> None:
    found = groups({"items": [{"of": "a"}, {"of": "b"}, {}]})

    assert [found[f"$.items[{n}]"] for n in range(3)] == [Once('["a"]', 3_600_000), Once('["b"]', 3_600_000), None]


@pytest.mark.parametrize("group", [Latest("[1]"), Latest("[1]", 5, 50), Once("[1]", 5)])
def test_a_group_is_unchanged_by_json(group: Group) -> None:
    assert group_of(orjson.loads(orjson.dumps(group))) == group


def test_the_preview_shows_the_values_and_times_of_groups(tmp_path: Path) -> None:
    ruleset = loaded(tmp_path)
    event = made_event(ruleset.sources["s"], b'{"id": 7}', (), "", "application/json", NOW)

    shown = {one["action"]: one for one in preview(ruleset, event).as_json()["deliveries"]}

    assert "latest_key" not in shown["plain"]
    assert (shown["latest"]["latest_key"], "wait_ms" in shown["latest"]) == ("[7]", False)
    assert (shown["most"]["wait_ms"], shown["most"]["max_wait_ms"]) == (30_000, 60_000)
    assert (shown["once"]["once_key"], shown["once"]["within_ms"]) == ("[7]", 600_000)
