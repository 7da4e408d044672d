"""Every store keeps the matched rules of events and the requests of attempts, and finds events by them."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from router.domain.deliveries import PlannedDelivery, RulesetText, Settlement, State
from router.domain.events import Event, Routing, StoredEvent
from router.domain.filters import EventFilter, Filter
from router.domain.outcomes import Outcome, Sent
from router.store.contract import Store

NOW = 1_700_000_000_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


def test_a_store_records_which_rules_matched(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    errors = [("slow", "more than 10,000 values")]
    one, other = event(), event()
    store.append(one, [planned_delivery()], "r1", matched=["audit", "deploy"], errors=errors).result(60)
    store.append(other, [], "r1").result(60)

    assert store.routing(one.id) == Routing("r1", ("audit", "deploy"), tuple(errors))
    assert store.routing(other.id) == Routing("r1")
    assert store.routing("nobody") is None
    assert [stored.event for stored in store.stored_events()] == [one, other]
    [newest] = store.stored_events(limit=1, newest_first=True)
    assert newest == StoredEvent(newest.seq, other, Routing("r1"))
    assert [stored.event.id for stored in store.stored_events(after=newest.seq, newest_first=True)] == [one.id]


def test_events_are_found_by_rule(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    """Also by a rule that matched without planning a delivery, such as one that only responds."""
    one, other = event(), event()
    store.append(one, [planned_delivery()], "r1", matched=["audit", "deploy"]).result(60)
    store.append(other, [planned_delivery(action="b")], "r1", matched=["deploy"]).result(60)

    assert ids(store, rule="deploy") == [one.id, other.id]
    assert ids(store, rule="audit") == [one.id]
    assert ids(store, rule="unmatched") == ids(store, unmatched=True) == []


def test_events_are_found_by_the_state_of_their_deliveries(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    dead, waiting, nothing = event(), event(), event()
    store.append(dead, [planned_delivery(), planned_delivery(rule="audit", target="files")], "r1").result(60)
    store.append(waiting, [planned_delivery(target="files")], "r1").result(60)
    store.append(nothing, [], "r1").result(60)
    [claim] = store.claim({"ci": 1}, NOW).result(60)
    store.settle([_settled(claim.delivery.id, claim.token, Outcome.failed("no"), State.DEAD)]).result(60)

    assert ids(store, states=(State.DEAD,)) == [dead.id]
    assert ids(store, states=(State.PENDING,)) == [dead.id, waiting.id]
    assert ids(store, states=(State.DEAD, State.PENDING), rule="audit") == [dead.id]
    assert ids(store, states=(State.DEAD,), rule="audit") == []
    assert ids(store, states=(State.SUCCEEDED,), rule="deploy") == []
    assert store.count_events(EventFilter(states=(State.PENDING,))) == 2


def test_unmatched_events_are_found_until_they_are_planned_again(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    silent, logged, matched = event(), event(), event()
    store.append(silent, [], "r1").result(60)
    store.append(logged, [planned_delivery(rule="unmatched")], "r1").result(60)
    store.append(matched, [], "r1", matched=["audit"]).result(60)
    assert ids(store, unmatched=True) == [silent.id, logged.id]
    assert ids(store, rule="unmatched") == [silent.id, logged.id]

    store.plan_again(silent.id, [planned_delivery()], RulesetText("r2", "", "/"), NOW).result(60)

    assert ids(store, unmatched=True) == [logged.id]


@pytest.mark.parametrize("source", [None, "github"])
def test_events_are_found_by_their_dedupe_key(store: Store, event: MakeEvent, source: str | None) -> None:
    one = event(dedupe_key='"7d1"')
    store.append(one, [], "r1").result(60)
    store.append(event(dedupe_key='"7d2"'), [], "r1").result(60)
    store.append(event(), [], "r1").result(60)

    assert ids(store, dedupe_keys=('"7d1"', "7"), source=source) == [one.id]


def test_events_are_found_by_rule_source_and_time_at_once(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    for at in range(4):
        made = replace(event(received_at=NOW + at), id=f"{NOW + at:012x}"[:8] + f"-{NOW + at:012x}"[-5:] + "-7000")
        store.append(replace(made, source="ab"[at % 2]), [planned_delivery()], "r1", matched=["deploy"]).result(60)

    found = store.event_heads(EventFilter("b", NOW + 1, NOW + 4, rule="deploy"), newest_first=True)

    assert [head.received_at for head in found] == [NOW + 3, NOW + 1]


def test_removed_events_are_no_longer_found(store: Store, event: MakeEvent) -> None:
    store.append(event(), [], "r1", matched=["audit"]).result(60)
    store.append(event(), [], "r1").result(60)

    store.prune(NOW + 1, NOW + 1).result(60)

    assert ids(store, rule="audit") == ids(store, unmatched=True) == []


def test_a_ruleset_has_the_time_when_it_was_first_current(store: Store) -> None:
    text = RulesetText("r2", "rules: []", "/etc")
    store.put_ruleset(text, NOW + 5).result(60)
    store.put_ruleset(RulesetText("r3", "", "/etc"), NOW + 6).result(60)
    store.put_ruleset(text, NOW + 7).result(60)

    found = store.ruleset("r2")

    assert found is not None
    assert found.first_at == NOW + 5


@pytest.mark.parametrize("start", ["{}", "\udc80 half"])
def test_an_attempt_keeps_the_request_that_it_sent(
    store: Store, event: MakeEvent, planned_delivery: MakePlan, start: str
) -> None:
    store.append(event(), [planned_delivery()], "r1").result(60)
    [claim] = store.claim({"ci": 1}, NOW).result(60)
    sent = Sent("POST", "https://ci.example/build", (("X-A", "1"), ("X-A", "2")), 2, "44136f", start)
    outcome = replace(Outcome.succeeded(200), sent=sent)

    store.settle([_settled(claim.delivery.id, claim.token, outcome, State.SUCCEEDED)]).result(60)

    [attempt] = store.attempts(claim.delivery.id)
    assert attempt.sent == replace(sent, start=start.replace("\udc80", "?"))


def test_deliveries_are_found_by_rule_in_order(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    for number in range(3):
        store.append(event(), [planned_delivery(rule=f"r{number % 2}", action="a")], "r1").result(60)

    assert [d.seq for d in store.deliveries(Filter(rule="r0"), newest_first=True)] == [3, 1]


def ids(store: Store, **which: object) -> list[str]:
    """The ids of the found events, oldest first."""
    return [head.id for head in store.event_heads(EventFilter(**which))]  # type: ignore[arg-type]


def _settled(delivery: str, token: str, outcome: Outcome, state: State) -> Settlement:
    return Settlement(delivery, token, outcome, state, finished_at=NOW + 5, next_attempt_at=NOW)
