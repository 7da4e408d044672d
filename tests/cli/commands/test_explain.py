"""`events explain`, and the rules that `events show` names."""

import json
from dataclasses import replace

import apsw
import pytest

from router.daemon.registries import REGISTRIES
from router.domain.deliveries import RulesetText
from router.domain.events import Event
from router.domain.ids import uuid7
from router.rules.compile.loader import Loader
from tests.cli.conftest import StoreCommands, now_ms

THEN = """
sources: {github: {verify: none}}
rules:
  - {name: deploy, match: {$.ref: main}, actions: [append: {path: out/a.txt, line: "{{ payload.ref }}"}]}
  - {name: audit, match: {$.ref: other}, actions: [append: out/b.jsonl]}
"""
NOW = THEN.replace("$.ref: main", "$.ref: master")


class Ran:
    """A store with an event that earlier rules routed."""

    def __init__(self, commands: StoreCommands) -> None:
        self.commands = commands
        self.then, self.now = (
            Loader(REGISTRIES, {}).load(text, "rules.yaml", commands.folder).require().text for text in (THEN, NOW)
        )
        with commands.opened() as store:
            store.put_ruleset(self.then, now_ms() - 1000).result(60)
            store.put_ruleset(self.now, now_ms()).result(60)
            store.put_note("rules", json.dumps({"hash": self.now.hash})).result(60)

    def receive(self, text: RulesetText, *matched: str, errors: tuple[tuple[str, str], ...] = ()) -> str:
        """Store an event that matched these rules."""
        at = now_ms()
        body = b'{"ref": "main"}'
        event = Event(uuid7(at), "github", "POST", "/hooks/github", "", (), body, "192.0.2.1", at)
        with self.commands.opened() as store:
            store.append(event, [], text.hash, matched=matched, errors=errors).result(60)
        return event.id


@pytest.fixture
def ran(store_commands: StoreCommands) -> Ran:
    """A store with earlier rules, and a file with the current rules."""
    return Ran(store_commands)


def test_an_event_is_explained_by_the_rules_that_routed_it(ran: Ran) -> None:
    event = ran.receive(ran.then, "deploy")

    text = ran.commands.run("events", "explain", event).stdout

    assert f"by the rules that routed it then, {ran.then.hash[:12]}, first run " in text
    assert "matched: deploy\n" in text
    assert "\n+ deploy: matched\n" in text
    assert '- audit: unmatched, since $.ref is "main"; asked: equals "other"' in text


def test_an_event_without_deliveries_says_why(ran: Ran) -> None:
    ran.receive(ran.then)
    assert ran.commands.run("events", "show", "last").stdout.endswith("\nno deliveries: no rule matched\n")

    ran.receive(ran.then, "deploy")  # its action was disabled
    assert "no deliveries: the rules that matched planned none" in ran.commands.run("events", "show", "last").stdout


def test_an_event_is_explained_by_the_current_rules(ran: Ran) -> None:
    ran.receive(ran.then, "deploy")

    text = ran.commands.run("events", "explain", "last", "--now").stdout

    assert f"by the rules that run now, {ran.now.hash[:12]}" in text
    assert "a different result was recorded then: matched deploy\n" in text
    assert "matched: no rule" in text
    found = ran.commands.json("events", "explain", "last", "--now")
    assert (found["rules"]["of"], found["matched"], found["recorded"]["matched"]) == ("now", [], ["deploy"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (RulesetText("0" * 64, "", "/"), "the store no longer has their text"),
        (RulesetText("1" * 64, "rules: [{nam: x}]", "/"), "their text no longer compiles"),
    ],
)
def test_unusable_recorded_rules_are_reported_with_their_recorded_result(
    ran: Ran, text: RulesetText, reason: str
) -> None:
    event = ran.receive(text, "old", errors=(("slow", "too many values"),))
    if text.text:
        with ran.commands.opened() as store:
            store.put_ruleset(text, now_ms()).result(60)

    done = ran.commands.run("events", "explain", event, code=1)

    assert f"these rules can't be used: {reason}" in done.stdout
    assert "  matched: old\n  rule slow could not be judged: too many values\n" in done.stdout
    assert f"webhook-router events explain --now {event}" in done.stdout


def test_explain_says_that_an_earlier_version_stored_the_event(ran: Ran) -> None:
    event = ran.receive(ran.then)
    connection = apsw.Connection(str(ran.commands.path))
    connection.execute("UPDATE event SET ruleset = NULL, matched = NULL")
    connection.close()

    done = ran.commands.run("events", "explain", event, code=1)

    assert "a version that did not record its rules received the event" in done.stdout
    assert ran.commands.json("events", "show", event)["routing"] is None


def test_a_shown_event_names_its_rules_by_hash_and_time(ran: Ran) -> None:
    event = ran.receive(ran.then, "deploy", errors=(("slow", "too many values"),))

    text = ran.commands.run("events", "show", event).stdout

    assert f"rules       {ran.then.hash[:12]}, first run 20" in text
    assert "matched     deploy\n" in text
    assert "not judged  slow: too many values\n" in text
    routing = ran.commands.json("events", "show", event)["routing"]
    assert (routing["ruleset"], routing["matched"]) == (ran.then.hash, ["deploy"])
    assert routing["errors"] == [{"rule": "slow", "error": "too many values"}]


def test_a_shown_event_says_that_its_rules_are_gone(ran: Ran) -> None:
    ran.receive(replace(ran.then, hash="0" * 64))

    assert (
        "rules     000000000000, its text is gone\nmatched   no rule\n"
        in ran.commands.run("events", "show", "last").stdout
    )
