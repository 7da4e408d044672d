"""A plan compares the deliveries of stored events by two rulesets."""

from contextlib import closing
from dataclasses import replace

import pytest

from router.domain.events import Event
from router.domain.own_events import sample_event
from router.operate.plan.changes import Change, ChangeKind
from router.operate.plan.report import MOST_ENTRIES, PlanReport
from router.operate.scan import WorkLimit
from router.store.postgres.store import PostgresStore
from router.store.postgres.url import parse_url
from tests.operate.plan.conftest import HEAD, NOW, Planned

RULE = "rules: [{name: %s, match: {$.kind: %s}, actions: [%s]}]"
FORWARD = "{forward: {target: ci, path: '/%s?n={{ payload.n }}'}}"
PUSH = {"kind": "push", "n": 7}


def entries(report: PlanReport) -> list[tuple[str, str, str, tuple[str, ...], int]]:
    """Each entry as kind, rule and action before and after, changed fields, and count."""
    return [
        (e.key.kind.value, "/".join(e.key.before or ()), "/".join(e.key.after or ()), e.key.fields, e.count)
        for e in report.sorted_entries()
    ]


def test_the_same_rules_make_no_difference(planned: Planned) -> None:
    rules = planned.rules(RULE % ("a", "push", FORWARD % "x"))
    planned.receive(rules, PUSH, {"kind": "other"})

    report = planned.plan(rules, rules)

    assert entries(report) == []
    assert (report.events, report.changed, report.same, report.differs) == (2, 0, 1, False)


def test_added_and_removed_deliveries_have_samples(planned: Planned) -> None:
    old = planned.rules(RULE % ("a", "push", FORWARD % "x"))
    new = planned.rules(RULE % ("b", "pull", "{append: out.jsonl}"))
    [push, pull] = planned.receive(old, PUSH, {"kind": "pull"})

    report = planned.plan(old, new)

    assert entries(report) == [("go", "a/forward", "", (), 1), ("come", "", "b/append", (), 1)]
    assert [[s["event"] for s in e.samples] for e in report.sorted_entries()] == [[push], [pull]]
    assert report.as_json()["deliveries"] == {
        "same": 0, "come": 1, "go": 1, "change": 0, "move": 0, "fail": 0, "mend": 0,
    }  # fmt: skip
    assert report.differs


@pytest.mark.parametrize(
    ("before", "after", "fields"),
    [
        (FORWARD % "x", FORWARD % "y", ("url",)),
        (FORWARD % "x", "{forward: {url: 'http://other.example/x?n={{ payload.n }}'}}", ("target", "url")),
        (FORWARD % "x", "{forward: {target: ci, path: '/x?n={{ payload.n }}', method: PUT}}", ("method",)),
        ("{forward: {target: ci, body: {text: a}}}", "{forward: {target: ci, body: {text: b}}}", ("body",)),
        ("{command: {argv: [/bin/true, a]}}", "{command: {argv: [/bin/true, b]}}", ("argv",)),
        ("{append: a.jsonl}", "{append: b.jsonl}", ("path",)),
        ("{append: {path: a.txt, line: x}}", "{append: {path: a.txt, line: y}}", ("line",)),
    ],
)
def test_the_changed_parts_of_a_delivery_are_named(
    planned: Planned, before: str, after: str, fields: tuple[str, ...]
) -> None:
    head = HEAD.replace("verify: none", "verify: {scheme: github, secret: {env: TOKEN}}")
    old, new = (planned.rules(head + RULE % ("a", "push", one)) for one in (before, after))
    planned.receive(old, PUSH)

    report = planned.plan(old, new)

    [entry] = report.sorted_entries()
    assert (entry.key.kind, entry.key.fields) == (ChangeKind.CHANGE, fields)
    assert all(entry.samples[0]["before"][name] != entry.samples[0]["after"][name] for name in fields)


def test_a_target_with_another_url_changes_all_its_deliveries(planned: Planned) -> None:
    text = HEAD + RULE % ("a", "push", FORWARD % "x")
    old, new = planned.rules(text), planned.rules(text.replace("ci.example", "ci2.example"))
    planned.receive(old, PUSH)

    assert entries(planned.plan(old, new)) == [("change", "a/forward", "a/forward", ("url",), 1)]


@pytest.mark.parametrize("change", [("path: '/x", "path:   '/x"), ("{{ payload.n }}", "{{payload.n}}")])
def test_another_spelling_of_the_same_rules_is_no_change(planned: Planned, change: tuple[str, str]) -> None:
    text = RULE % ("a", "push", FORWARD % "x")
    old, new = planned.rules(text), planned.rules(text.replace(*change))
    planned.receive(old, PUSH)

    report = planned.plan(old, new)

    assert (entries(report), report.same) == ([], 1)


@pytest.mark.parametrize("action", [FORWARD % "x", "{append: out.jsonl}", "{forward: {url: 'http://ci.example/'}}"])
def test_a_renamed_rule_is_recognized_by_its_actions(planned: Planned, action: str) -> None:
    old, new = planned.rules(RULE % ("a", "push", action)), planned.rules(RULE % ("b", "push", action))
    planned.receive(old, PUSH, PUSH)

    report = planned.plan(old, new)

    assert [entry[0] for entry in entries(report)] == ["move"]
    assert report.renamed() == {"a": "b"}
    [rule] = report.as_json()["rules"]
    assert (rule["rule"], rule["renamed_from"], rule["matched_before"], rule["matched_after"]) == ("b", "a", 2, 2)
    assert not report.differs


def test_a_plan_notices_an_action_that_moved_to_another_rule(planned: Planned) -> None:
    one = "{name: a, match: {$.kind: push}, actions: [%s]}"
    other = "{name: b, match: {$.n: 7}, actions: [%s]}"
    moved = "{append: moved.jsonl}"
    old = planned.rules(f"rules: [{one % (FORWARD % 'x' + ', ' + moved)}, {other % (FORWARD % 'y')}]")
    new = planned.rules(f"rules: [{other % (FORWARD % 'y' + ', ' + moved)}, {one % (FORWARD % 'x')}]")
    planned.receive(old, PUSH)

    report = planned.plan(old, new)

    assert entries(report) == [("move", "a/append", "b/append", (), 1)]
    assert (report.renamed(), report.same, report.differs) == ({}, 2, False)


def test_a_renamed_rule_with_another_action_is_not_taken_for_the_old_one(planned: Planned) -> None:
    old = planned.rules(RULE % ("a", "push", FORWARD % "x"))
    new = planned.rules(RULE % ("b", "push", FORWARD % "y"))
    planned.receive(old, PUSH)

    assert [entry[0] for entry in entries(planned.plan(old, new))] == ["go", "come"]


def test_a_delivery_that_would_be_dead_at_once_fails_with_its_reason(planned: Planned) -> None:
    old = planned.rules(RULE % ("a", "push", FORWARD % "x"))
    new = planned.rules(
        RULE % ("a", "push", "{append: {path: o.txt, line: '{{ payload.missing.x }}'}}, " + FORWARD % "x")
    )
    planned.receive(old, PUSH)

    forth, back = planned.plan(old, new), planned.plan(new, old)

    assert entries(forth) == [("fail", "", "a/append", (), 1)]
    assert "missing" in forth.sorted_entries()[0].key.reason
    assert entries(back) == [("go", "a/append", "", (), 1)]


def test_a_template_that_starts_or_stops_failing_is_reported(planned: Planned) -> None:
    good, bad = (
        planned.rules(RULE % ("a", "push", "{append: {path: o.txt, line: '{{ payload." + name + ".x }}'}}"))
        for name in ("deep", "n")
    )
    planned.receive(good, {"kind": "push", "n": 7, "deep": {"x": 1}})

    assert [entry[0] for entry in entries(planned.plan(good, bad))] == ["fail"]
    assert [entry[0] for entry in entries(planned.plan(bad, good))] == ["mend"]
    assert entries(planned.plan(bad, bad)) == []


def test_items_are_compared_one_by_one(planned: Planned) -> None:
    text = "rules: [{name: a, for_each: '$.l[*]', match: {item: {gte: %d}}, actions: [append: {path: o, line: x}]}]"
    old, new = planned.rules(text % 2), planned.rules(text % 3)
    planned.receive(old, {"l": [1, 2, 3, 4]})

    report = planned.plan(old, new)

    assert entries(report) == [("go", "a/append", "", (), 1)]
    assert (report.same, report.sorted_entries()[0].samples[0]["item"]) == (2, "$.l[1]")


def test_a_plan_shows_secrets_by_name(planned: Planned) -> None:
    text = HEAD + "secrets: {token: {env: TOKEN}}\n" + RULE % (
        "a", "push", "{forward: {target: ci, path: /%s, headers: {X-Key: '{{ secrets.token }}%s'}}}"
    )  # fmt: skip
    old, new = planned.rules(text % ("x", "")), planned.rules(text % ("x", "!"))
    planned.receive(old, PUSH)

    shown = planned.plan(old, new).as_json()

    assert "planted-secret" not in str(shown)
    assert shown["changes"][0]["samples"][0]["after"]["headers"]["X-Key"] == "<secret:token>!"


def test_a_header_that_no_longer_passes_is_a_change(planned: Planned) -> None:
    """A condition on a header lets it pass to the targets of its source's forwards."""
    one, other = (
        f"{{name: {name}, match: {{{field}}}, actions: [%s]}}"
        for name, field in (("a", "$.n: 7"), ("b", "headers.X-Kind: q"))
    )
    old = planned.rules(f"rules: [{one % (FORWARD % 'x')}, {other % '{append: o}'}]")
    new = planned.rules(f"rules: [{one % (FORWARD % 'x')}]")
    planned.receive(old, PUSH, headers=(("X-Kind", "p"),))
    planned.receive(old, PUSH)

    assert entries(planned.plan(old, new)) == [("change", "a/forward", "a/forward", ("headers",), 1)]


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (HEAD.replace("hub:", "other:"), 'there is no source "hub"'),
        (HEAD.replace("verify: none", "verify: none, enabled: false"), 'the source "hub" is disabled'),
    ],
)
def test_events_of_a_removed_source_are_counted(planned: Planned, head: str, reason: str) -> None:
    old = planned.rules(RULE % ("a", "push", FORWARD % "x"))
    new = planned.rules(head + RULE % ("a", "push", FORWARD % "x"))
    [event] = planned.receive(old, PUSH)

    report = planned.plan(old, new)

    assert [entry[0] for entry in entries(report)] == ["go"]
    assert report.as_json()["events"]["not_accepted"] == [{"reason": reason, "count": 1, "events": [event]}]


def test_payloads_that_the_new_settings_can_not_read_are_counted(planned: Planned) -> None:
    old = planned.rules(HEAD.replace("verify: none", "verify: none, parse: text") + RULE % ("a", "x", "{append: o}"))
    new = planned.rules(HEAD.replace("verify: none", "verify: none, parse: json") + RULE % ("a", "x", "{append: o}"))
    planned.receive(old, b"{broken")

    [refused] = planned.plan(old, new).as_json()["events"]["not_accepted"]

    assert refused["count"] == 1
    assert refused["reason"].startswith("its payload can't be parsed")


def test_rules_that_can_no_longer_be_evaluated_are_named(planned: Planned) -> None:
    old = planned.rules("rules: [{name: a, for_each: {path: '$.l[*]', most: 10}, actions: [append: o]}]")
    new = planned.rules("rules: [{name: a, for_each: {path: '$.l[*]', most: 2}, actions: [append: o]}]")
    [event] = planned.receive(old, {"l": [1, 2, 3]})

    [told] = planned.plan(old, new).as_json()["not_judged"]

    assert (told["rule"], told["count"], told["events"]) == ("a", 1, [event])


def test_events_are_compared_with_the_rules_of_their_time(planned: Planned) -> None:
    first = planned.rules(RULE % ("a", "push", FORWARD % "x"))
    second = planned.rules(RULE % ("b", "push", FORWARD % "y"))
    planned.receive(first, PUSH)
    planned.receive(second, PUSH, PUSH)

    report = planned.plan(None, second)

    assert entries(report) == [("go", "a/forward", "", (), 1), ("come", "", "b/forward", (), 1)]
    assert (report.events, report.same) == (3, 2)


def test_events_whose_rules_are_gone_are_counted(planned: Planned) -> None:
    rules = planned.rules(RULE % ("a", "push", FORWARD % "x"))
    [event] = planned.receive(rules, PUSH)
    stored = planned.store.event(event)
    assert stored is not None
    planned.store.append(replace(stored, id=event[:-4] + "ffff"), [], "0" * 64).result(60)

    report = planned.plan(None, rules)

    assert report.events == 1
    [(reason, found)] = report.not_compared.items()
    assert (reason.startswith("the store no longer has the rules 000000000000"), found.count) == (True, 1)


def test_paths_in_a_plan_are_relative_to_the_folder_of_the_rules_file(planned: Planned) -> None:
    text = RULE % ("a", "push", "{append: out.jsonl}")
    (planned.folder / "checkout").mkdir()
    old, new = planned.rules(text), planned.rules(text.replace("out.jsonl", "./out.jsonl"), "checkout")
    planned.receive(old, PUSH)

    assert entries(planned.plan(old, new)) == []


def test_a_plan_stops_at_its_limit_and_can_be_continued(planned: Planned) -> None:
    rules = planned.rules(RULE % ("a", "push", FORWARD % "x"))
    planned.receive(rules, PUSH, PUSH, PUSH)

    report = planned.plan(rules, rules, limit=WorkLimit(2))

    assert report.events == 2
    assert report.rest is not None
    stopped = planned.plan(rules, rules, limit=WorkLimit(None, lambda: True))
    assert (stopped.events, stopped.rest is not None) == (0, True)


def test_the_numbers_of_samples_and_entries_are_limited(planned: Planned) -> None:
    rules = planned.rules(RULE % ("a", "push", FORWARD % "x"))
    ids = planned.receive(rules, *[PUSH] * 3)
    none = planned.rules(RULE % ("b", "never", "{append: o}"))

    assert [s["event"] for s in planned.plan(rules, none, samples=2).sorted_entries()[0].samples] == ids[:2]
    report = planned.plan(rules, none)
    report.entries.clear()
    for number in range(MOST_ENTRIES + 5):
        _count(report, number)
    assert len(report.entries) == MOST_ENTRIES + 1
    assert report.count_of(ChangeKind.COME) == MOST_ENTRIES + 5


def _count(report: PlanReport, number: int) -> None:
    event = Event("e", "hub", "POST", "/", "", (), b"", "", number)
    report._count(event, Change(ChangeKind.COME, None, (f"r{number}", "a", None), "append", "t"))


def test_a_plan_writes_and_executes_nothing(planned: Planned) -> None:
    rules = planned.rules(RULE % ("a", "push", "{append: out.jsonl}"))
    planned.receive(rules, PUSH)
    before = planned.store.changes(), planned.store.deliveries()

    planned.plan(rules, planned.rules(RULE % ("b", "push", "{append: other.jsonl}")))

    assert (planned.store.changes(), planned.store.deliveries()) == before
    assert not list(planned.folder.glob("*.jsonl"))


def test_a_plan_works_on_postgresql(planned: Planned, postgres_store_url: str) -> None:
    with closing(PostgresStore(parse_url(postgres_store_url))) as store:
        planned.store = store
        old = planned.rules(RULE % ("a", "push", FORWARD % "x"))
        new = planned.rules(RULE % ("b", "push", FORWARD % "y"))
        planned.receive(old, PUSH, PUSH)

        assert entries(planned.plan(old, new)) == [("go", "a/forward", "", (), 2), ("come", "", "b/forward", (), 2)]
        assert planned.plan(None, old).same == 2


RESPOND = "rules: [{name: %s, allow_unverified: true, match: {$.kind: push}, respond: %s, actions: [{name: %s, append: a.txt}, %s]}]"
FROM = "{from: %s, within: 2s, otherwise: {json: {n: '{{ payload.n }}', at: %s}}}"


@pytest.mark.parametrize(
    ("before", "after", "fields", "values"),
    [
        ("{body: a}", "{body: b}", ("body",), ("a", "b")),
        ("{status: 200, body: a}", "{status: 201, body: a}", ("status",), (200, 201)),
        (FROM % ("forward", 1), "{json: {n: 7, at: 1}}", ("from", "within"), ("a/forward", None)),
        (FROM % ("forward", 1), FROM % ("forward", 2), ("body",), ('{"n":7,"at":1}', '{"n":7,"at":2}')),
    ],
)
def test_the_answers_to_senders_are_compared(
    planned: Planned, before: str, after: str, fields: tuple[str, ...], values: tuple[object, object]
) -> None:
    old, new = (planned.rules(RESPOND % ("a", one, "log", FORWARD % "x")) for one in (before, after))
    [push, _] = planned.receive(old, PUSH, {"kind": "other"})

    report = planned.plan(old, new)

    assert (entries(report), report.changed, report.differs) == ([], 0, True)
    [answer] = report.as_json()["answers"]
    assert (answer["before"], answer["after"], answer["count"], answer["samples"][0]["event"]) == ("a", "a", 1, push)
    assert tuple(answer["fields"]) == fields
    assert (answer["samples"][0]["before"][fields[0]], answer["samples"][0]["after"][fields[0]]) == values


def test_the_same_answer_by_a_renamed_rule_is_no_change(planned: Planned) -> None:
    forward = "{name: %s, forward: {target: ci, path: '/x'}}"
    old = planned.rules(RESPOND % ("a", FROM % ("ask", 1), "log", forward % "ask"))
    new = planned.rules(RESPOND % ("b", FROM % ("tell", 1), "log", forward % "tell"))
    planned.receive(old, PUSH)

    report = planned.plan(old, new)

    assert report.as_json()["answers"] == []
    assert not report.differs


def test_the_answer_of_the_source_counts_when_no_rule_answers(planned: Planned) -> None:
    rules = RULE % ("a", "push", "{append: a.txt}")
    old = planned.rules(rules)
    new = planned.rules("sources: {hub: {verify: none, respond: {body: hi}}}\n" + rules)
    planned.receive(old, PUSH)

    [answer] = planned.plan(old, new).as_json()["answers"]

    assert (answer["before"], answer["after"], answer["samples"][0]["after"]["body"]) == (None, None, "hi")


def test_own_events_are_compared(planned: Planned) -> None:
    own = "rules: [{name: dead, source: router, match: {$.kind: delivery.dead}, actions: [{append: %s.txt}]}]"
    old, new = planned.rules(own % "a"), planned.rules(own % "b")
    event = sample_event("delivery.dead", NOW)
    planned.store.append(event, (), old.hash, matched=("dead",)).result(60)

    report = planned.plan(old, new)

    assert entries(report) == [("change", "dead/append", "dead/append", ("path",), 1)]
