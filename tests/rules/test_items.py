"""Rules with `for_each` from the rules file to the store: plans, templates, ids, replay, reroute and recorded rules."""

import asyncio
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from router.daemon.registries import REGISTRIES
from router.delivery.definitions import Definitions
from router.domain.deliveries import Delivery
from router.domain.events import Event
from router.domain.filters import Filter
from router.domain.ids import uuid7
from router.operate.reroute import Reroute, RerouteReport
from router.operate.serialize import delivery_json
from router.operate.waits import Waits
from router.rules.compile.loader import Loader
from router.rules.dry_run.explain import explain
from router.rules.dry_run.preview import preview
from router.rules.parsing import parse_event
from router.rules.ruleset import CurrentRuleset, Ruleset
from router.store.sqlite.operator_store import SqliteOperatorStore
from router.store.sqlite.store import SqliteStore
from tests.sqlite_template import open_store

NOW = 1_714_557_600_000
EACH_ALERT = """
sources: {s: {verify: none}}
rules:
  - name: alert
    for_each: $.alerts[*]
    match: {item.status: firing}
    actions:
      - append: {path: out.txt, line: "{{ item_index }} {{ item.labels.alertname }} of {{ payload.receiver }}"}
        order_by: item.fingerprint
"""
ALERTMANAGER = {
    "version": "4",
    "receiver": "team",
    "status": "firing",
    "alerts": [
        {"status": "resolved", "labels": {"alertname": "Up"}, "fingerprint": "a"},
        {"status": "firing", "labels": {"alertname": "Disk"}, "fingerprint": "b"},
        {"status": "firing", "labels": {"alertname": "Load"}, "fingerprint": "b"},
    ],
}
Load = Callable[[str], Ruleset]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function that loads rules without problems."""

    def loaded(text: str) -> Ruleset:
        found = Loader(REGISTRIES, {}).load(text, "rules.yaml", tmp_path)
        assert found.problems == (), found.problems
        return found.require()

    return loaded


def _event(payload: Any, source: str = "s") -> Event:
    body = json.dumps(payload).encode()
    headers = (("Content-Type", "application/json"),)
    return Event(uuid7(NOW), source, "POST", "/hooks/s", "", headers, body, "192.0.2.1", NOW)


def _does(ruleset: Ruleset, payload: Any) -> list[tuple[str | None, Any]]:
    """The item of each delivery, and the preview of its action."""
    shown = preview(ruleset, _event(payload))
    assert [delivery.error for delivery in shown.deliveries if delivery.error] == []
    return [(delivery.item, delivery.does) for delivery in shown.deliveries]


def test_each_alert_of_an_alertmanager_event_gets_a_delivery(load: Load) -> None:
    done = _does(load(EACH_ALERT), ALERTMANAGER)

    assert [(item, does["line"]) for item, does in done] == [
        ("$.alerts[1]", "1 Disk of team"),
        ("$.alerts[2]", "2 Load of team"),
    ]


@pytest.mark.parametrize(
    ("for_each", "match", "url", "payload", "urls"),
    [
        (
            "$.commits[*]",
            {"$.ref": "refs/heads/main", "item.modified[*]": {"prefix": "docs/"}},
            "{{ item.id }}/{{ payload.repository.name }}",
            {
                "ref": "refs/heads/main",
                "repository": {"name": "web"},
                "commits": [
                    {"id": "a1", "modified": ["README.md"], "added": [], "removed": []},
                    {"id": "b2", "modified": ["x.py", "docs/x.md"], "added": [], "removed": []},
                ],
            },
            ["b2/web"],
        ),
        (
            "$[*]",
            {"item.eventType": "Microsoft.Storage.BlobCreated", "item.data.contentLength": {"gt": 0}},
            "{{ item.id }}",
            [
                {"id": "1", "eventType": "Microsoft.Storage.BlobCreated", "data": {"contentLength": 7}},
                {"id": "2", "eventType": "Microsoft.Storage.BlobDeleted", "data": {}},
                {"id": "3", "eventType": "Microsoft.Storage.BlobCreated", "data": {"contentLength": 9}},
            ],
            ["1", "3"],
        ),
        (
            "$.Records[*]",
            {"item.Sns.MessageAttributes.kind.Value": "order"},
            "{{ item.Sns.MessageId }}",
            {
                "Records": [
                    {
                        "EventSource": "aws:sns",
                        "Sns": {"MessageId": "m1", "MessageAttributes": {"kind": {"Value": "order"}}},
                    },
                    {"EventSource": "aws:sns", "Sns": {"MessageId": "m2", "MessageAttributes": {}}},
                ]
            },
            ["m1"],
        ),
    ],
    ids=["github commits", "event grid", "sns"],
)
def test_batches_of_providers_become_one_delivery_for_each_item(
    load: Load, for_each: str, match: dict[str, Any], url: str, payload: Any, urls: list[str]
) -> None:
    rule = {
        "name": "r",
        "for_each": for_each,
        "match": match,
        "actions": [{"forward": {"url": f"http://h/{url}", "body": "item"}}],
    }
    ruleset = load(json.dumps({"sources": {"s": {"verify": "none"}}, "rules": [rule]}))

    done = [does for _, does in _does(ruleset, payload)]

    assert [does["url"].removeprefix("http://h/") for does in done] == urls
    assert all("id" in does["body"] or "MessageId" in does["body"] for does in done)


def test_order_by_can_use_the_item(load: Load) -> None:
    shown = preview(load(EACH_ALERT), _event(ALERTMANAGER))

    assert [delivery.order_key for delivery in shown.deliveries] == ['["b"]', '["b"]']


def test_unmatched_runs_only_when_no_rule_matched(load: Load) -> None:
    ruleset = load(EACH_ALERT + "unmatched: [append: rest.jsonl]\n")

    assert [item for item, _ in _does(ruleset, ALERTMANAGER)] == ["$.alerts[1]", "$.alerts[2]"]
    assert [item for item, _ in _does(ruleset, {"alerts": []})] == [None]


def test_a_template_may_define_a_variable_named_item(load: Load) -> None:
    line = "{% for item in payload.alerts %}{{ item.labels.alertname }} {% endfor %}{% set params = 1 %}{{ params }}"
    rule = f'rules: [{{name: r, actions: [append: {{path: x.txt, line: "{line}"}}]}}]'

    [(item, does)] = _does(load(f"sources: {{s: {{verify: none}}}}\n{rule}"), ALERTMANAGER)

    assert (item, does["line"]) == (None, "Up Disk Load 1")


def test_the_store_keeps_the_place_of_each_item(load: Load, tmp_path: Path) -> None:
    ruleset, event = load(EACH_ALERT), _event(ALERTMANAGER)
    with closing(open_store(tmp_path / "s.db")) as store:
        store.append(event, ruleset.plan(parse_event(event, ruleset.sources["s"])).deliveries, ruleset.hash).result(60)
        kept = store.deliveries()

    assert sorted((d.item, d.item_index) for d in kept) == [("$.alerts[1]", 1), ("$.alerts[2]", 2)]
    assert sorted(d.blocked for d in kept) == [False, True]  # they have the same order key
    assert {delivery_json(d, Waits({}), NOW)["item"] for d in kept} == {"$.alerts[1]", "$.alerts[2]"}


def test_a_thousand_items_are_one_commit(load: Load, tmp_path: Path) -> None:
    ruleset = load(EACH_ALERT)
    event = _event({"receiver": "x", "alerts": [{"status": "firing", "n": n} for n in range(1000)]})
    plan = ruleset.plan(parse_event(event, ruleset.sources["s"]))
    with closing(open_store(tmp_path / "s.db")) as store:
        store.append(event, plan.deliveries, ruleset.hash).result(30)

        assert len(store.deliveries(limit=2000)) == 1000


def test_too_many_deliveries_of_one_event_fail_the_rule_that_would_plan_them(load: Load) -> None:
    actions = ", ".join(f"{{name: a{n}, append: x}}" for n in range(11))
    text = f"sources: {{s: {{verify: none}}}}\nrules:\n- {{name: big, for_each: '$[*]', actions: [{actions}]}}\n"
    ruleset = load(text + "- {name: small, for_each: '$[*]', actions: [append: x]}\n")

    plan = ruleset.plan(parse_event(_event([0] * 1000), ruleset.sources["s"]))

    assert (plan.matched, len(plan.deliveries)) == (("small",), 1000)
    assert plan.errors == (("big", "the event would have more than 10,000 deliveries"),)


def _stored(store: SqliteStore, ruleset: Ruleset, event: Event) -> list[Delivery]:
    store.put_ruleset(ruleset.text, NOW).result(60)
    store.append(event, ruleset.plan(parse_event(event, ruleset.sources["s"])).deliveries, ruleset.hash).result(60)
    return store.deliveries()


def test_reroute_compares_rule_action_and_place(load: Load, tmp_path: Path) -> None:
    ruleset, event = load(EACH_ALERT), _event(ALERTMANAGER)
    wider = load(EACH_ALERT.replace("{item.status: firing}", "{item.status: [firing, resolved]}"))
    whole = load(EACH_ALERT.replace("    for_each: $.alerts[*]\n", "").replace("{item.status: firing}", "{}").replace(
        "{{ item_index }} {{ item.labels.alertname }}", "x").replace("        order_by: item.fingerprint\n", ""))  # fmt: skip
    with closing(open_store(tmp_path / "s.db")) as store:
        _stored(store, ruleset, event)
    with closing(SqliteOperatorStore(tmp_path / "s.db")) as operator:
        for rules, expected in ((ruleset, []), (wider, ["$.alerts[0]"]), (wider, []), (whole, [None])):
            report = RerouteReport(dry_run=False)
            Reroute(operator, rules, report, lambda: NOW).by_ids([event.id])

            assert [planned.item for _, planned in report.planned] == expected
        assert len(operator.deliveries(Filter(event_id=event.id), limit=10)) == 4


def test_waiting_items_of_a_rule_without_for_each_use_the_recorded_rules(load: Load, tmp_path: Path) -> None:
    ruleset, event = load(EACH_ALERT), _event(ALERTMANAGER)
    whole = load("sources: {s: {verify: none}}\nrules: [{name: alert, actions: [append: whole.txt]}]")
    with closing(open_store(tmp_path / "s.db")) as store:
        [first, *_] = _stored(store, ruleset, event)
        definitions = Definitions(CurrentRuleset(whole), store, lambda text: load(text.text))

        found = asyncio.run(definitions.of(first))
        of_whole = asyncio.run(definitions.of(replace(first, item=None, item_index=None)))

    assert not isinstance(found, str)
    assert not isinstance(of_whole, str)
    assert found.action.for_each
    assert found.ruleset.hash == ruleset.hash
    assert of_whole.ruleset is whole


def test_an_explanation_counts_the_items(load: Load) -> None:
    ruleset = load(EACH_ALERT)

    [some] = explain(ruleset, parse_event(_event(ALERTMANAGER), ruleset.sources["s"]))
    [none] = explain(ruleset, parse_event(_event({"alerts": [{"status": "resolved"}]}), ruleset.sources["s"]))
    [empty] = explain(ruleset, parse_event(_event({}), ruleset.sources["s"]))

    assert some.as_json()["items"] == {
        "matched": ["$.alerts[1]", "$.alerts[2]"],
        "unmatched": 1,
        "shown": "$.alerts[1]",
    }
    assert none.reason == 'none of its 1 items fits; of $.alerts[0]: item.status is "resolved"; asked: equals "firing"'
    assert empty.reason == "it has no items: nothing is at $.alerts[*]"


def test_conditions_and_templates_can_use_parts_of_the_path(load: Load) -> None:
    ruleset = load("""
sources: {s: {verify: none, path: "/hooks/{team}/deploy"}}
rules:
  - name: r
    match: {params.team: [pay, größe]}
    actions: [append: {path: x.txt, line: "{{ params.team }}"}]
""")
    [delivery] = preview(ruleset, replace(_event({}), path="/hooks/größe/deploy")).deliveries

    assert (delivery.does or {})["line"] == "größe"
    assert preview(ruleset, replace(_event({}), path="/hooks/web/deploy")).matched == ()
