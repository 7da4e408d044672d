"""`deliveries list|show|replay|cancel`, with no daemon running."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from router.domain.deliveries import PlannedDelivery, State
from tests.cli.conftest import StoreCommands

Plan = Callable[..., PlannedDelivery]
HOUR = 3_600_000


@pytest.fixture
def dead(store_commands: StoreCommands, plan: Plan) -> list[str]:
    """Three dead deliveries: one from 3 hours ago and two from now. The last one has another rule and source."""
    plans = [plan(3 * HOUR), plan(), plan(rule="notify")]
    store_commands.put(plans[0], age=3 * HOUR)
    store_commands.put(plans[1])
    store_commands.put(plans[2], source="stripe")
    store_commands.end(State.DEAD, error="HTTP 410", excerpt="gone\x1b[31m away\nfor good")
    return [one.id for one in plans]


def test_a_list_in_a_pipe_is_plain_text_with_whole_ids_newest_first(
    store_commands: StoreCommands, dead: list[str]
) -> None:
    lines = store_commands.run("deliveries", "list", "--state", "dead").stdout.splitlines()

    assert lines[0].split() == ["id", "state", "rule/action", "target", "attempts", "next", "try", "age", "error"]
    assert [line.split()[0] for line in lines[1:]] == dead[::-1]
    assert lines[1].split()[1:5] == ["dead", "notify/forward", "ci", "1"]
    assert lines[1].endswith("HTTP 410")


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (80, r"{}  dead +1 +- +\w+\r\n  deploy/forward to ci: HTTP 410\r\n"),
        (160, r"{}  dead +deploy/forward +ci +1 +- +\w+ +HTTP 410 *\r\n"),
        (40, r"{}  dead "),
    ],
)
def test_a_list_at_a_terminal_fits_its_width_and_keeps_ids_whole(
    store_commands: StoreCommands, dead: list[str], columns: int, row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    code, shown = store_commands.on_a_terminal("deliveries", "list", columns=columns)

    assert code == 0
    assert [one for one in dead if one in shown] == dead
    assert re.search(row.format(dead[1]), shown), shown


def test_a_list_can_be_printed_as_json(store_commands: StoreCommands, dead: list[str]) -> None:
    [found] = store_commands.json("deliveries", "list", "--rule", "notify")

    assert found["id"] == dead[2]
    assert (found["state"], found["attempts"], found["error"]) == ("dead", 1, "HTTP 410")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["created_at"])
    assert abs(found["created_at_ms"] - time.time() * 1000) < 60_000
    assert found["next_attempt_at"] is None
    assert store_commands.run("deliveries", "list", "--rule", "none", "--json").stdout == "[]\n"


@pytest.mark.parametrize(
    ("flags", "which"),
    [
        (["--since", "2h"], [1, 2]),
        (["--until", "2h"], [0]),
        (["--since", "4h", "--until", "1h"], [0]),
        (["--since", "2020-01-01"], [0, 1, 2]),
        (["--since", "2020-01-01T00:00:00+02:00", "--until", "2020-01-02T00:00Z"], []),
        (["--source", "stripe"], [2]),
        (["--action", "forward", "--target", "ci", "--rule", "deploy"], [0, 1]),
        (["--state", "pending"], []),
        (["--state", "pending", "--state", "dead", "--limit", "1"], [2]),
    ],
)
def test_a_list_can_be_filtered(
    store_commands: StoreCommands, dead: list[str], flags: list[str], which: list[int]
) -> None:
    assert [d["id"] for d in store_commands.json("deliveries", "list", *flags)] == [dead[n] for n in reversed(which)]


def test_a_list_can_be_filtered_by_event(store_commands: StoreCommands, dead: list[str]) -> None:
    event = store_commands.json("deliveries", "show", dead[1])["event"]

    assert [d["id"] for d in store_commands.json("deliveries", "list", "--event", event)] == [dead[1]]


def test_a_truncated_list_says_so(store_commands: StoreCommands, dead: list[str]) -> None:
    assert "--limit shows more" in store_commands.run("deliveries", "list", "--limit", "2").stderr
    assert store_commands.run("deliveries", "list", "--limit", "3").stderr == ""
    assert (
        store_commands.run("deliveries", "list", "--state", "running").stderr
        == "no such delivery: looked for state running\n"
    )


def test_the_result_of_a_command_is_shown_as_an_exit_code(store_commands: StoreCommands, plan: Plan) -> None:
    one = plan(type="command")
    store_commands.put(one)
    store_commands.end(State.DEAD, error="exit code 3", excerpt="boom\n")

    text = store_commands.run("deliveries", "show", one.id).stdout

    assert text.endswith("exit code 410\n  exit code 3\n  | boom\n")


def test_a_long_list_is_complete(store_commands: StoreCommands, plan: Plan) -> None:
    plans = [plan() for _ in range(1200)]
    store_commands.put_many([((one,), 0, {}) for one in plans])

    found = store_commands.json("deliveries", "list", "--limit", "1100")

    assert [d["id"] for d in found] == [one.id for one in reversed(plans)][:1100]


def test_a_delivery_is_shown_with_every_attempt(store_commands: StoreCommands, dead: list[str]) -> None:
    store_commands.run("deliveries", "replay", dead[1])
    store_commands.end(State.PENDING, error="HTTP 500", excerpt="broken")

    text = store_commands.run("deliveries", "show", dead[1]).stdout
    found = store_commands.json("deliveries", "show", dead[1])

    assert "pending, in 59m" in text or "pending, in 60m" in text
    assert "took 12ms: failed, status 410\n  HTTP 410\n  | gone\\x1b[31m away\n  | for good\n" in text
    assert "took 12ms: retry, status 500\n  HTTP 500\n  | broken\n" in text
    assert "\x1b" not in text
    first, second = found["attempts_made"]
    assert (first["number"], first["outcome"], first["status"], first["duration_ms"]) == (1, "failed", 410, 12)
    assert first["excerpt"] == "gone\x1b[31m away\nfor good"
    assert (second["number"], second["outcome"]) == (2, "retry")
    assert found["attempts"] == 1


def test_a_named_delivery_is_replayed(store_commands: StoreCommands, dead: list[str]) -> None:
    done = store_commands.run("deliveries", "replay", dead[1])

    assert done.stdout == "replayed 1 delivery\n"
    assert "no daemon runs on this store" in done.stderr
    assert list(store_commands.states().values()) == [State.DEAD, State.PENDING, State.DEAD]


def test_an_unknown_id_fails_the_command_but_other_ids_are_replayed(
    store_commands: StoreCommands, dead: list[str]
) -> None:
    done = store_commands.run("deliveries", "replay", "nobody\x1b[2J", dead[0], code=1)

    assert "replayed 1 delivery" in done.stdout
    assert "not found: nobody\\x1b[2J\n" in done.stderr
    assert store_commands.state(dead[0]) is State.PENDING
    result = store_commands.json("deliveries", "cancel", "nobody", code=1)
    assert result == {"dry_run": False, "cancelled": 0, "deliveries": [], "skipped": [], "not_found": ["nobody"]}
    store_commands.run("deliveries", "show", "nobody", code=1)


def test_a_filter_replays_only_dead_deliveries(store_commands: StoreCommands, plan: Plan, dead: list[str]) -> None:
    succeeded, waiting = plan(), plan()
    store_commands.put(succeeded)
    store_commands.end(State.SUCCEEDED)
    store_commands.put(waiting)
    store_commands.end(State.PENDING)

    assert "replayed 2 deliveries" in store_commands.run("deliveries", "replay", "--rule", "deploy").stdout

    states = store_commands.states()
    assert [states[one] for one in dead] == [State.PENDING, State.PENDING, State.DEAD]
    assert states[succeeded.id] is State.SUCCEEDED
    with store_commands.opened(own=False) as store:
        assert store.delivery(waiting.id).next_attempt_at > time.time() * 1000 + HOUR / 2


def test_waiting_retries_are_replayed_when_their_state_is_given(store_commands: StoreCommands, plan: Plan) -> None:
    waiting = plan()
    store_commands.put(waiting)
    store_commands.end(State.PENDING)

    assert (
        "replayed 1 delivery"
        in store_commands.run("deliveries", "replay", "--target", "ci", "--state", "pending").stdout
    )

    with store_commands.opened(own=False) as store:
        assert store.delivery(waiting.id).next_attempt_at <= time.time() * 1000
        assert store.delivery(waiting.id).attempts == 1


def test_succeeded_deliveries_are_replayed_only_when_their_state_is_given(
    store_commands: StoreCommands, plan: Plan
) -> None:
    one = plan()
    store_commands.put(one)
    store_commands.end(State.SUCCEEDED)

    done = store_commands.run("deliveries", "replay", one.id)
    assert f"left alone {one.id}: it is succeeded; --state succeeded would replay it all the same" in done.stderr
    assert "replayed 0" in store_commands.run("deliveries", "replay", "--rule", "deploy").stdout
    assert "replayed 1" in store_commands.run("deliveries", "replay", one.id, "--state", "succeeded").stdout
    assert store_commands.state(one.id) is State.PENDING


def test_skipped_deliveries_are_explained(store_commands: StoreCommands, plan: Plan) -> None:
    running, head, follower = plan(target="slow"), plan(order_key="[1]"), plan(order_key="[1]")
    for one in (running, head, follower):
        store_commands.put(one)
    with store_commands.opened() as store:
        assert store.claim({"slow": 1}, 2**42).result(60)
        done = store_commands.run("deliveries", "replay", running.id, head.id, follower.id)

    assert "replayed 1 delivery" in done.stdout
    assert f"left alone {running.id}: an attempt is under way" in done.stderr
    assert f"left alone {follower.id}: it waits for an earlier delivery of its order" in done.stderr
    again = store_commands.json("deliveries", "replay", "--state", "pending", "--rule", "deploy")
    assert [skipped["id"] for skipped in again["skipped"]] == [follower.id]


def test_what_a_delivery_waits_for_is_shown_in_words(store_commands: StoreCommands, plan: Plan) -> None:
    head, follower = plan(order_key="[1]"), plan(order_key="[1]")
    store_commands.put(head)
    store_commands.put(follower)

    listed = store_commands.run("deliveries", "list").stdout.splitlines()

    assert "due, no daemon" in listed[2]
    assert "in its turn" in listed[1]
    assert "pending, due, no daemon\n" in store_commands.run("deliveries", "show", head.id).stdout
    shown = store_commands.run("deliveries", "show", follower.id).stdout
    assert "pending, in its turn, waits for the end of an earlier delivery with the same order key\n" in shown
    with store_commands.opened():  # as a daemon has it
        assert "no daemon" not in store_commands.run("deliveries", "list").stdout


def test_a_dry_run_of_replay_changes_nothing_and_says_what_it_would_do(
    store_commands: StoreCommands, dead: list[str]
) -> None:
    before = store_commands.states()

    text = store_commands.run("deliveries", "replay", "--since", "2h", "--dry-run").stdout.splitlines()
    cancelled = store_commands.json("deliveries", "cancel", dead[0], "nobody", "--dry-run", code=1)
    everything = store_commands.run("deliveries", "replay", "--dry-run").stdout

    assert [line.split()[0] for line in text[:-1]] == dead[1:]
    assert text[-1] == "would have replayed 2 deliveries"
    assert (cancelled["dry_run"], cancelled["deliveries"]) == (True, [dead[0]])
    assert everything.endswith("would have replayed 3 deliveries\n")
    assert store_commands.states() == before


@pytest.mark.parametrize("verb", ["replay", "cancel"])
def test_changing_every_delivery_needs_an_explicit_flag(
    store_commands: StoreCommands, plan: Plan, dead: list[str], verb: str
) -> None:
    state = State.DEAD
    arguments = ["deliveries", verb, "--state", "dead"]

    assert "or --all" in store_commands.run(*arguments, code=2).stderr
    code, shown = store_commands.on_a_terminal(*arguments, answer="n\n")
    assert (code, "all dead deliveries: 3 deliveries?" in shown) == (130, True)
    assert set(store_commands.states().values()) == {state}

    code, shown = store_commands.on_a_terminal(*arguments, answer="y\n")
    assert code == 0
    assert set(store_commands.states().values()) == {State.PENDING if verb == "replay" else State.CANCELLED}


@pytest.mark.parametrize("flag", ["--all", "--yes"])
def test_the_yes_flag_skips_the_question(store_commands: StoreCommands, dead: list[str], flag: str) -> None:
    assert "replayed 3 deliveries" in store_commands.run("deliveries", "replay", flag).stdout


def test_many_deliveries_are_replayed_in_pages_and_in_order(store_commands: StoreCommands, plan: Plan) -> None:
    plans = [plan(order_key=f"[{n % 7}]") for n in range(1200)]
    store_commands.put_many([((one,), 0, {}) for one in plans])
    store_commands.run("deliveries", "cancel", "--rule", "deploy")
    assert set(store_commands.states().values()) == {State.CANCELLED}

    code, shown = store_commands.on_a_terminal("deliveries", "replay", "--rule", "deploy", "--state", "cancelled")

    assert code == 0
    assert "replayed 1,200 deliveries" in shown
    assert "replaying" in shown  # the progress bar
    with store_commands.opened() as store:
        went: dict[str, list[str]] = {}
        while claims := store.claim({"ci": 100}, 2**42).result(60):
            for claim in claims:
                went.setdefault(claim.delivery.order_key, []).append(claim.delivery.id)
            store.cancel([claim.delivery.id for claim in claims], 2**42).result(60)
    for n in range(7):
        assert went[f"[{n}]"] == [one.id for one in plans if one.order_key == f"[{n}]"]


def test_no_progress_bar_is_shown_in_a_pipe(store_commands: StoreCommands, dead: list[str]) -> None:
    assert "replaying" not in store_commands.run("deliveries", "replay", "--all").stderr


def test_a_filter_cancels_only_pending_deliveries(store_commands: StoreCommands, plan: Plan, dead: list[str]) -> None:
    waiting = [plan(order_key="[1]"), plan(order_key="[1]"), plan(rule="other")]
    for one in waiting:
        store_commands.put(one)

    assert "cancelled 2 deliveries" in store_commands.run("deliveries", "cancel", "--rule", "deploy").stdout

    states = store_commands.states()
    assert [states[one.id] for one in waiting] == [State.CANCELLED, State.CANCELLED, State.PENDING]
    assert {states[one] for one in dead} == {State.DEAD}
    assert "cancelled 1 delivery" in store_commands.run("deliveries", "cancel", dead[0]).stdout
    assert "it is cancelled already" in store_commands.run("deliveries", "cancel", dead[0]).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["deliveries", "replay", "x", "--rule", "r"], "either ids or a filter"),
        (["deliveries", "cancel", "x", "--all"], "either ids or a filter"),
        (["deliveries", "replay", "--state", "running"], "running"),
        (["deliveries", "cancel", "--state", "succeeded"], "succeeded"),
        (["deliveries", "list", "--since", "yesterday"], "write 30m, 2h or 3d (ago), or 2026-01-31T12:00+01:00"),
        (["deliveries", "list", "--limit", "0"], "0"),
        (["deliveries", "list", "--store", "redis:x"], "write a path, such as"),
        (["events", "replay"], "give the ids of the events"),
        (["events", "replay", "--since", "2h"], "`deliveries replay` takes"),
        (["events", "replay", "x", "--rules", "r.yaml"], "need --reroute"),
        (["events", "replay", "--reroute"], "either ids, or"),
        (["events", "replay", "--reroute", "x", "--since", "2h"], "either ids, or"),
        (["events", "replay", "--reroute", "x", "--state", "dead"], "can't be used with --reroute"),
        (["status", "--store", "x:db"], "write a path, such as"),
        (["store", "check", "--store", "x:db"], "write a path, such as"),
    ],
)
def test_a_wrong_command_line_gets_a_clear_error(
    store_commands: StoreCommands, arguments: list[str], message: str
) -> None:
    assert message in " ".join(store_commands.run(*arguments, code=2).stderr.split())


_ALL: list[list[str]] = [
    ["deliveries", "list"],
    ["deliveries", "show", "x"],
    ["deliveries", "replay", "x"],
    ["deliveries", "cancel", "--all"],
    ["events", "list"],
    ["events", "show", "x"],
    ["events", "replay", "x"],
    ["status"],
    ["store", "check"],
    ["store", "backup", "copy.db"],
]


@pytest.mark.parametrize("arguments", _ALL)
def test_a_command_without_a_store_fails_and_creates_none(tmp_path: Any, arguments: list[str]) -> None:
    done = StoreCommands(tmp_path).run(*arguments, code=1)

    assert done.stderr.startswith("webhook-router: there is no store ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "there is no store"), (b"something else " * 500, "is not a webhook-router store but another file")],
)
@pytest.mark.parametrize("arguments", _ALL[::3])
def test_the_error_for_a_file_that_is_not_a_store_is_one_clear_line(
    tmp_path: Any, arguments: list[str], content: bytes, message: str
) -> None:
    (tmp_path / "webhook-router.db").write_bytes(content)

    done = StoreCommands(tmp_path).run(*arguments, code=1)

    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "webhook-router.db").read_bytes() == content


def test_the_error_for_a_store_of_an_older_program_is_one_clear_line(store_commands: StoreCommands) -> None:
    import apsw

    connection = apsw.Connection(str(store_commands.path))
    connection.pragma("user_version", 1)
    connection.close()

    done = store_commands.run("status", code=1)

    assert "has schema version 1, this program needs" in done.stderr
    assert "start its daemon once with this program" in done.stderr


def test_the_store_can_be_set_by_the_environment(
    store_commands: StoreCommands, dead: list[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = StoreCommands(tmp_path / "elsewhere")
    elsewhere.folder.mkdir()
    monkeypatch.setenv("WEBHOOK_ROUTER_STORE", f"sqlite:{store_commands.path}")

    assert dead[0] in elsewhere.run("deliveries", "list").stdout
