"""Ids given by their beginning, as `last` or of the other kind, and unknown names in filters."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from router.domain.deliveries import PlannedDelivery, RulesetText, State
from tests.cli.conftest import StoreCommands, now_ms

Plan = Callable[..., PlannedDelivery]
HOUR = 3_600_000
RULES = """
sources: {github: {verify: none}, stripe: {verify: none}}
targets: {billing: {url: "https://billing.example"}}
rules:
  - {name: written-only, source: stripe, actions: [{forward: {target: billing}}, {name: log, append: events.log}]}
"""


@pytest.fixture
def two(store_commands: StoreCommands, plan: Plan) -> list[tuple[str, str]]:
    """Two events an hour apart with one delivery each, as (event id, delivery id), the older first."""
    found = []
    for age in (HOUR, 0):
        one = plan(age=age, rule="deploy", action="call", target="ci")
        found.append((store_commands.put(one, age=age), one.id))
    return found


def test_an_id_can_be_given_by_its_beginning(store_commands: StoreCommands, two: list[tuple[str, str]]) -> None:
    event, delivery = two[0]

    assert store_commands.json("events", "show", event[:13])["id"] == event
    assert store_commands.json("events", "show", event[:20].upper() + "…")["id"] == event
    assert store_commands.json("deliveries", "show", delivery[:14])["id"] == delivery
    assert [d["id"] for d in store_commands.json("deliveries", "list", "--event", event[:13])] == [delivery]


def test_the_id_last_means_the_newest(store_commands: StoreCommands, two: list[tuple[str, str]]) -> None:
    event, delivery = two[-1]

    assert store_commands.json("events", "show", "last")["id"] == event
    assert store_commands.json("deliveries", "show", "last")["id"] == delivery
    assert [d["id"] for d in store_commands.json("deliveries", "list", "--event", "last")] == [delivery]


def test_the_id_last_finds_nothing_in_an_empty_store(store_commands: StoreCommands) -> None:
    assert "the store has no event yet" in store_commands.run("events", "show", "last", code=1).stderr
    assert "the store has no delivery yet" in store_commands.run("deliveries", "show", "last", code=1).stderr


def test_the_error_for_an_ambiguous_beginning_lists_some_ids(store_commands: StoreCommands, plan: Plan) -> None:
    events = store_commands.put_many([((plan(),), 0, {"id": f"01900000-0000-7000-8000-{n:012x}"}) for n in range(7)])

    done = store_commands.run("events", "show", "01900000-0000", code=1)

    assert "is the beginning of several events: " in done.stderr
    assert sum(event in done.stderr for event in events) == 5
    assert "…; write more of it" in done.stderr
    assert store_commands.json("events", "show", events[3])["id"] == events[3]


@pytest.mark.parametrize("text", ["0190", "019", ""])
def test_the_error_for_a_short_beginning_says_how_long_it_must_be(
    store_commands: StoreCommands, two: list[tuple[str, str]], text: str
) -> None:
    done = store_commands.run("events", "show", text, code=1)

    assert "8 characters at least, or last" in done.stderr or "an id looks like" in done.stderr


@pytest.mark.parametrize(
    "text", ["%", "0190%", "0190' OR 1", "x" * 500, "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b0", "\x1b[31m"]
)
def test_a_text_that_is_not_an_id_is_not_found(
    store_commands: StoreCommands, two: list[tuple[str, str]], text: str
) -> None:
    done = store_commands.run("deliveries", "show", text, code=1)

    assert "the store has no delivery" in done.stderr
    assert "\x1b" not in done.stderr


def test_events_show_accepts_the_id_of_a_delivery_and_says_so(
    store_commands: StoreCommands, two: list[tuple[str, str]]
) -> None:
    event, delivery = two[0]

    done = store_commands.run("events", "show", delivery, "--json")

    assert json.loads(done.stdout)["id"] == event
    assert done.stderr == f"{delivery} is a delivery; this is its event, {event}\n"


def test_deliveries_show_of_an_event_id_names_the_right_command(
    store_commands: StoreCommands, two: list[tuple[str, str]]
) -> None:
    event = two[0][0]

    assert f"deliveries list --event {event}" in store_commands.run("deliveries", "show", event, code=1).stderr


def test_replay_and_cancel_accept_the_beginning_of_an_id(
    store_commands: StoreCommands, two: list[tuple[str, str]]
) -> None:
    event, delivery = two[0]

    assert store_commands.json("deliveries", "cancel", delivery[:14])["deliveries"] == [delivery]
    assert store_commands.json("deliveries", "replay", delivery[:14])["deliveries"] == [delivery]
    store_commands.run("deliveries", "cancel", delivery)
    assert store_commands.json("events", "replay", event[:14])["deliveries"] == [delivery]
    assert store_commands.json("deliveries", "cancel", "--event", event[:14])["deliveries"] == [delivery]


@pytest.mark.parametrize("command", [("deliveries", "cancel"), ("deliveries", "replay")])
def test_a_change_skips_ambiguous_ids_and_ids_of_the_other_kind(
    store_commands: StoreCommands, plan: Plan, command: tuple[str, str]
) -> None:
    deliveries = [plan(id=f"01900000-0000-7000-9000-{n:012x}") for n in range(2)]
    event = store_commands.put(*deliveries)
    before = store_commands.states()

    ambiguous = store_commands.run(*command, "01900000-0000", code=1)
    other = store_commands.run(*command, event, code=1)

    assert "is the beginning of several deliveries" in ambiguous.stderr
    assert f"{event} is an event" in other.stderr
    assert store_commands.states() == before


def test_events_replay_refuses_the_id_of_a_delivery(store_commands: StoreCommands, two: list[tuple[str, str]]) -> None:
    delivery = two[0][1]

    done = store_commands.run("events", "replay", delivery, "--json", code=1)

    assert json.loads(done.stdout)["not_found"] == [delivery]
    assert f"{delivery} is a delivery, no event; write deliveries instead of events" in done.stderr


def test_the_command_test_accepts_the_beginning_of_an_event_id(
    store_commands: StoreCommands, two: list[tuple[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)

    assert store_commands.json("test", "rules.yaml", "--event", two[0][0][:14])["matched"] == []
    assert "is a delivery; this is its event" in store_commands.run("test", "rules.yaml", "--event", two[0][1]).stderr


@pytest.fixture
def known(store_commands: StoreCommands, two: list[tuple[str, str]]) -> StoreCommands:
    """A store with events and with the rules of a daemon."""
    with store_commands.opened() as store:
        store.put_ruleset(RulesetText("r2", RULES, "/"), now_ms()).result(60)
        store.put_note("rules", json.dumps({"hash": "r2"})).result(60)
    return store_commands


COMMANDS = [
    ("deliveries", "list"), ("deliveries", "replay"), ("deliveries", "replay", "--dry-run"), ("deliveries", "cancel"),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("flag", "name", "said"),
    [
        ("--rule", "deplyo", 'no rule "deplyo" is known; did you mean "deploy"?'),
        ("--rule", "writen-only", 'did you mean "written-only"?'),
        ("--rule", "nosuch", 'no rule "nosuch" is known; known: deploy, written-only'),
        ("--action", "lgo", 'did you mean "log"?'),
        ("--target", "biling", 'did you mean "billing"?'),
        ("--source", "gitbuh", 'did you mean "github"?'),
    ],
)
def test_an_unknown_name_is_reported(
    known: StoreCommands, command: tuple[str, ...], flag: str, name: str, said: str
) -> None:
    done = known.run(*command, flag, name)
    for_programs = known.run(*command, flag, name, "--json")

    json.loads(for_programs.stdout)
    assert said in done.stderr and said in for_programs.stderr
    assert "looked for" in done.stderr and f'{flag[2:]} "{name}"' in done.stderr


def test_a_known_name_without_matches_gets_no_suggestion(known: StoreCommands) -> None:
    done = known.run("deliveries", "replay", "--rule", "written-only")

    assert done.stderr == 'no such delivery: looked for state dead, rule "written-only"\n'
    assert done.stdout == "replayed 0 deliveries\n"


def test_an_unknown_event_is_reported(known: StoreCommands) -> None:
    assert "the store has no event 01900000-0000" in known.run("deliveries", "list", "--event", "01900000-0000").stderr


def test_an_unknown_source_is_reported(known: StoreCommands, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)

    assert 'did you mean "stripe"?' in known.run("events", "list", "--source", "strip").stderr
    again = known.run("events", "replay", "--reroute", "--source", "strip")
    assert 'did you mean "stripe"?' in again.stderr


def test_an_unknown_name_is_found_out_in_a_large_store(store_commands: StoreCommands, plan: Plan) -> None:
    store_commands.put_many([((plan(rule=f"r{n}"),), 0, {}) for n in range(6_000)])

    assert 'no rule "nosuch" is known' in store_commands.run("deliveries", "replay", "--rule", "nosuch").stderr


def test_a_filter_without_matches_shows_its_states(known: StoreCommands) -> None:
    before = known.states()

    known.run("deliveries", "cancel", "--rule", "nosuch")

    assert known.states() == before
    assert set(before.values()) == {State.PENDING}


def test_the_message_for_no_matches_names_the_time_range(store_commands: StoreCommands) -> None:
    empty = store_commands.run("events", "list")
    bounded = store_commands.run(
        "deliveries", "list", "--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z"
    )

    assert empty.stderr == "the store has no event yet\n"
    assert re.fullmatch(
        r"no such delivery: looked for since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d \S+, until 2020-01-0\d .+\n",
        bounded.stderr,
    )
