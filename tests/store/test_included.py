"""The texts of included files are stored and removed with their ruleset."""

from collections.abc import Callable
from dataclasses import replace

from router.domain.deliveries import IncludedText, PlannedDelivery, RulesetText
from router.domain.events import Event
from router.store.contract import Store
from tests.store.conftest import NOW

DAY = 86_400_000
TEXT = RulesetText(
    "several",
    "include: [b.yaml, a.yaml]",
    "/etc/rules",
    (
        IncludedText("b.yaml", "b.yaml", "rules: [b]", "/etc/rules"),
        IncludedText("a*.yaml", "a/é.yaml", "rules: [a]", "/srv/teams"),
    ),
)


def test_included_texts_are_read_back_in_order_with_their_folders(store: Store) -> None:
    store.put_ruleset(TEXT, NOW).result(60)
    assert store.ruleset("several") == TEXT

    moved = replace(TEXT, base_dir="/srv", included=(replace(TEXT.included[0], base_dir="/srv"), TEXT.included[1]))
    store.put_ruleset(moved, NOW).result(60)
    assert store.ruleset("several") == moved


def test_a_reroute_also_stores_included_texts(
    store: Store, event: Callable[..., Event], planned_delivery: Callable[..., PlannedDelivery]
) -> None:
    made = event()
    store.append(made, [], "r1").result(60)

    assert store.plan_again(made.id, [planned_delivery()], TEXT, NOW).result(60)

    assert store.ruleset("several") == TEXT


def test_included_texts_are_pruned_with_their_ruleset(store: Store) -> None:
    store.put_ruleset(TEXT, NOW).result(60)
    store.put_ruleset(RulesetText("next", "x", "/etc"), NOW + 1).result(60)

    store.prune(NOW + 10 * DAY, NOW + 10 * DAY).result(60)

    assert store.ruleset("several") is None
    again = RulesetText("several", TEXT.text, TEXT.base_dir)
    store.put_ruleset(again, NOW + 2).result(60)
    assert store.ruleset("several") == again
