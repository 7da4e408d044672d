"""`targets list`, `pause` and `resume` on a store without a daemon, and held deliveries in lists."""

import json
from collections.abc import Callable

import pytest

from router.domain.deliveries import PlannedDelivery, RulesetText, State
from router.domain.holds import HoldKind
from tests.cli.conftest import StoreCommands, now_ms

Plan = Callable[..., PlannedDelivery]
RULES = """
sources: {s: {verify: none}}
targets: {ci: {url: "http://127.0.0.1:9"}, spare: {url: "http://127.0.0.1:9"}}
rules:
  - {name: deploy, actions: [{forward: {target: ci}}, {name: log, append: a.jsonl}, {command: [x], enabled: false}]}
  - {name: off, enabled: false, actions: [append: b.jsonl]}
""".replace("{command: [x], enabled: false}", "{name: old, append: c.jsonl, enabled: false}")


@pytest.fixture
def ran(store_commands: StoreCommands, plan: Plan) -> StoreCommands:
    """A store on which rules ran, with two deliveries to ci."""
    with store_commands.opened() as store:
        store.put_ruleset(RulesetText("r2", RULES, str(store_commands.folder)), now_ms()).result(60)
        store.put_note("rules", json.dumps({"hash": "r2"})).result(60)
    store_commands.put(plan())
    store_commands.put(plan(), age=5000)
    return store_commands


def test_targets_of_the_rules_are_listed_with_their_waiting_deliveries(ran: StoreCommands) -> None:
    found = {target["target"]: target for target in ran.json("targets", "list")}

    assert sorted(found) == ["ci", "deploy/log", "deploy/old", "off/append", "spare"]
    assert (found["ci"]["due"], found["ci"]["held"], found["ci"]["paused"], found["ci"]["defined"]) == (2, 0, [], True)
    row = next(line for line in ran.run("targets", "list").stdout.splitlines() if line.startswith("ci "))
    assert row.split()[:4] == ["ci", "-", "2", "0"]


def test_a_pause_without_a_daemon_is_kept_in_the_store(ran: StoreCommands) -> None:
    assert ran.run("targets", "pause", "ci").stdout == "ci: paused until resumed; holds 2 deliveries\n"

    status = ran.json("status")
    assert (status["pending"], status["held"], status["oldest_at"]) == (2, 2, None)
    [hold] = status["holds"]
    assert (hold["kind"], hold["name"], hold["cause"], hold["until"]) == ("target", "ci", "operator", None)
    [target] = [target for target in status["targets"] if target["target"] == "ci"]
    assert (target["due"], target["held"], target["oldest_age_ms"], target["waits_for"]) == (0, 2, None, "paused")
    text = ran.run("status").stdout
    assert "held     2 of them\n         target ci is paused by command, for " in text
    assert "pending  2\n" in text
    assert {delivery["waits_for"] for delivery in ran.json("deliveries", "list")} == {"paused"}

    assert ran.run("targets", "resume", "ci").stdout == "ci: continues\n"
    assert ran.json("status")["held"] == 0
    assert {delivery["waits_for"] for delivery in ran.json("deliveries", "list")} == {None}


def test_a_pause_for_a_time_says_when_it_ends(ran: StoreCommands) -> None:
    [done] = ran.json("targets", "pause", "ci", "--for", "2h")

    [pause] = done["paused"]
    assert pause["until_ms"] - pause["since_ms"] == 7_200_000
    [first, _] = ran.json("deliveries", "list")
    assert first["waits_until_ms"] == pause["until_ms"]
    listed = ran.run("deliveries", "list").stdout
    assert "paused, in " in listed
    shown = ran.run("deliveries", "show", first["id"]).stdout
    assert "held, since target ci is paused by command, continues in " in shown


def test_several_targets_are_paused_together_or_not_at_all(ran: StoreCommands) -> None:
    done = ran.run("targets", "pause", "ci", "nobody", code=1)
    assert ran.json("status")["holds"] == []
    assert done.stderr.startswith('webhook-router: no target "nobody" is known; known: ci, deploy/log')

    ran.run("targets", "pause", "ci", "deploy/log")
    assert [hold["name"] for hold in ran.json("status")["holds"]] == ["ci", "deploy/log"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pause", "cii"), 'no target "cii" is known; did you mean "ci"?'),
        (("resume", "spar"), 'no target "spar" is known; did you mean "spare"?'),
        (("pause", "deploy/forward"), 'no target "deploy/forward" is known; this action goes to target "ci"'),
        (("pause", "a\x1b[2J"), 'no target "a?[2J" is known; known: ci, deploy/log, deploy/old, off/append, spare'),
    ],
)
def test_the_error_for_an_unknown_target_names_the_cure(
    ran: StoreCommands, arguments: tuple[str, str], message: str
) -> None:
    done = ran.run("targets", *arguments, code=1)

    assert done.stderr == f"webhook-router: {message}\n"


@pytest.mark.parametrize("duration", ["2", "0s", "soon", "-1h", "900d"])
def test_a_wrong_duration_is_refused(ran: StoreCommands, duration: str) -> None:
    done = ran.run("targets", "pause", "ci", f"--for={duration}", code=2)

    assert "expected a duration above zero and up to 366d" in done.stderr
    assert ran.json("status")["holds"] == []


def test_a_target_name_is_required(ran: StoreCommands) -> None:
    assert "NAME" in ran.run("targets", "pause", code=2).stderr


def test_resuming_a_target_that_is_not_paused_says_so(ran: StoreCommands) -> None:
    done = ran.run("targets", "resume", "ci")

    assert (done.stdout, done.stderr) == ("ci: continues\n", "target ci was not paused\n")


def test_a_command_can_not_resume_a_target_that_the_rules_file_pauses(ran: StoreCommands) -> None:
    with ran.opened() as store:
        store.put_file_holds([(HoldKind.TARGET, "ci")], now_ms()).result(60)

    done = ran.run("targets", "resume", "ci", code=1)
    assert done.stderr == ("webhook-router: target ci is paused by the rules file; remove its `paused: true` there\n")
    ran.run("targets", "pause", "ci", "--for", "1h")
    assert ran.run("targets", "resume", "ci").stdout == "ci: paused by the rules file; holds 2 deliveries\n"


def test_the_error_for_a_store_without_rules_says_that_none_ran(store_commands: StoreCommands) -> None:
    done = store_commands.run("targets", "pause", "ci", code=1)

    assert "no rules ran on this store, and nothing waits in it" in done.stderr
    assert "no rules ran on this store" in store_commands.run("targets", "list").stderr


def test_held_deliveries_are_not_replayed_but_can_be_cancelled(ran: StoreCommands) -> None:
    ran.run("targets", "pause", "ci")

    replayed = ran.run("deliveries", "replay", "--target", "ci", "--state", "pending")
    assert replayed.stdout == "replayed 0 deliveries\n"
    assert "it is held, since target ci is paused by command, and continues when that ends" in replayed.stderr

    assert "cancelled 2 deliveries" in ran.run("deliveries", "cancel", "--target", "ci").stdout
    assert set(ran.states().values()) == {State.CANCELLED}


def test_deliveries_held_by_a_disabled_rule_are_listed(ran: StoreCommands, plan: Plan) -> None:
    with ran.opened() as store:
        store.put_file_holds([(HoldKind.ACTION, "deploy/forward")], now_ms()).result(60)
        store.mark_held("deploy", "forward").result(60)

    assert {delivery["waits_for"] for delivery in ran.json("deliveries", "list")} == {"disabled"}
    [target] = ran.json("status")["targets"]
    assert (target["held"], target["waits_for"], target["paused"]) == (2, "disabled", [])
    assert "action deploy/forward is disabled by the rules file" in ran.run("status").stdout
