"""`events list` and `deliveries list` find events by rule, state, header, payload and the provider's id."""

import json
from collections.abc import Callable

import pytest

from router.domain.deliveries import PlannedDelivery, RulesetText, State
from tests.cli.conftest import StoreCommands, now_ms

Plan = Callable[..., PlannedDelivery]
RULES = """
sources: {github: {verify: none, path: "/hooks/{team}", parse: json}}
rules: [{name: deploy, actions: [append: a.jsonl]}]
"""


@pytest.fixture
def ids(store_commands: StoreCommands, plan: Plan) -> list[str]:
    """Three events: one with a dead delivery, one with a waiting delivery, one without deliveries."""
    with store_commands.opened() as store:
        store.put_ruleset(RulesetText("r2", RULES, str(store_commands.folder)), now_ms()).result(60)
        store.put_note("rules", json.dumps({"hash": "r2"})).result(60)
    found = store_commands.put(
        plan(), headers=(("X-Kind", "push"),), body=b'{"n": 1}', dedupe_key='"d-1"', path="/hooks/red"
    )
    store_commands.end(State.DEAD)
    body = b'{"n": 2, "repository": {"full_name": "acme/api"}}'
    return [found, store_commands.put(plan(rule="audit"), body=body), store_commands.put(body=b'{"n": 3}')]


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (("--rule", "deploy"), [0]),
        (("--state", "dead"), [0]),
        (("--state", "pending", "--state", "dead"), [1, 0]),
        (("--unmatched",), [2]),
        (("--provider-id", "d-1"), [0]),
        (("--header", "x-kind: push"), [0]),
        (("--where", "$.repository.full_name: acme/api"), [1]),
        (("--where", "$.n: {gte: 2}", "--unmatched"), [2]),
        (("--where", "params.team: red"), [0]),
        (("--where", "{any: [$.n: 1, $.n: 2]}", "--source", "github"), [1, 0]),
    ],
)
def test_events_are_found_by_each_filter(
    store_commands: StoreCommands, ids: list[str], flags: tuple[str, ...], wanted: list[int]
) -> None:
    found = store_commands.json("events", "list", *flags)

    assert [event["id"] for event in found] == [ids[number] for number in wanted]


@pytest.mark.parametrize("flags", [("--provider-id", "d-1"), ("--header", "X-Kind: push"), ("--where", "$.n: 1")])
def test_deliveries_are_found_by_their_event(
    store_commands: StoreCommands, ids: list[str], flags: tuple[str, ...]
) -> None:
    assert [d["event"] for d in store_commands.json("deliveries", "list", *flags)] == [ids[0]]


def test_a_search_that_ends_early_says_how_to_go_on(store_commands: StoreCommands, ids: list[str]) -> None:
    done = store_commands.run("events", "list", "--where", "$.n: 1", "--scan", "1")

    assert "looked at the newest 1 event; to look further: --until 20" in done.stderr
    until = done.stderr.split("--until ")[1].split(",")[0]
    assert store_commands.json("events", "list", "--where", "$.n: 1", "--until", until)[0]["id"] == ids[0]
    done = store_commands.run("deliveries", "list", "--where", "$.n: 1", "--scan", "1")
    assert "looked at the newest 1 delivery; to look further: --until 20" in done.stderr


def test_the_error_for_a_wrong_condition_names_its_place(store_commands: StoreCommands) -> None:
    done = store_commands.run("events", "list", "--where", "$.n: {equal: 1}", code=2)

    assert '--where:1:7: unknown operator "equal"; did you mean "equals"?' in done.stderr


def test_the_search_is_repeated_in_the_output(store_commands: StoreCommands, ids: list[str]) -> None:
    text = store_commands.run("events", "list", "--rule", "deplo", "--state", "dead", "--unmatched").stderr

    assert 'no such event: looked for state dead, rule "deplo", unmatched' in text
    assert 'no rule "deplo" is known; did you mean "deploy"?' in text
    done = store_commands.run("events", "list", "--where", "$.n: 99", "--header", "X-Kind: a")
    assert "no such event: looked for header X-Kind: a, where $.n: 99\n" in done.stderr
    assert "no such delivery" in store_commands.run("deliveries", "list", "--provider-id", "nobody").stderr


@pytest.mark.parametrize("nothing", ["", "  ", "# a comment", "~"])
def test_an_empty_condition_is_an_error(store_commands: StoreCommands, nothing: str) -> None:
    done = store_commands.run("events", "list", "--where", nothing, code=2)

    assert "--where:1:1: the condition is empty; write a field and what it must be: '$.field: value'" in done.stderr
