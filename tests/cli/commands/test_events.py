"""`events list|show|replay`, with no daemon running."""

import base64
import json
from collections.abc import Callable

import pytest

from router.domain.deliveries import PlannedDelivery, State
from tests.cli.conftest import StoreCommands

Plan = Callable[..., PlannedDelivery]
HOUR = 3_600_000

RULES = """\
sources: {github: {verify: none}, stripe: {verify: none}}
rules:
  - name: deploy
    source: github
    match: {$.go: true}
    actions: [{name: forward, forward: "http://127.0.0.1:9/x", order_by: $.k}, {append: a.jsonl}]
  - name: late
    source: "*"
    match: {$.late: true}
    actions: [append: late.jsonl]
"""


def test_events_are_listed_newest_first_with_their_delivery_states(store_commands: StoreCommands, plan: Plan) -> None:
    old = store_commands.put(plan(), plan(action="b"), age=3 * HOUR, body=b"x" * 2048)
    store_commands.end(State.DEAD)
    store_commands.put(plan(target="other"), source="stripe", path="/hooks/\x1bstripe")
    new = store_commands.put()

    text = store_commands.run("events", "list").stdout
    lines = text.splitlines()

    assert lines[0].split() == ["id", "age", "source", "request", "size", "deliveries"]
    assert lines[1].split()[0] == new
    assert lines[1].endswith("none")
    assert "POST /hooks/\\x1bstripe" in lines[2]
    assert "\x1b" not in text
    assert lines[3].split() == [old, "3h", "github", "POST", "/hooks/github", "2.0", "KiB", "2", "dead"]
    assert [e["id"] for e in store_commands.json("events", "list", "--source", "github", "--since", "1h")] == [new]
    [found] = store_commands.json("events", "list", "--until", "1h")
    assert (found["size"], found["deliveries"]) == (2048, {"dead": 2})
    assert "--limit shows more" in store_commands.run("events", "list", "--limit", "1").stderr


def test_an_event_is_shown_without_its_body(store_commands: StoreCommands, plan: Plan) -> None:
    one = plan()
    headers = (("X-Evil", "a\x1b]0;title\x07b"), ("X-Two", "1"), ("X-Two", "2"))
    event = store_commands.put(one, headers=headers, body=b'{"secret": "of a customer"}', query="a=1", dedupe_key="k")
    store_commands.end(State.DEAD, error="HTTP 410")

    text = store_commands.run("events", "show", event).stdout
    found = store_commands.json("events", "show", event)

    assert "customer" not in text
    assert "X-Evil: a\\x1b]0;title\\x07b\n  X-Two: 1\n  X-Two: 2\n" in text
    assert f"{one.id}  dead" in text
    assert "HTTP 410" in text
    assert "body" not in found
    assert found["headers"] == [list(pair) for pair in headers]
    assert (found["query"], found["dedupe_key"], found["size"]) == ("a=1", "k", 27)
    assert [d["id"] for d in found["deliveries"]] == [one.id]
    assert (
        "the store has no event nobody; an id looks like"
        in store_commands.run("events", "show", "nobody", code=1).stderr
    )


@pytest.mark.parametrize("body", [b"", b'{"a": "\xc3\xa9"}\n', b"\x00\xff\x1b[2J\r\n\n", bytes(range(256)) * 300])
def test_events_body_writes_the_original_bytes(store_commands: StoreCommands, body: bytes) -> None:
    import subprocess

    from tests.conftest import forked_program

    event = store_commands.put(body=body)

    call = [forked_program(), "events", "show", event, "--body"]
    piped = subprocess.run(call, cwd=store_commands.folder, capture_output=True, check=True, timeout=60).stdout
    found = store_commands.json("events", "show", event, "--body")

    assert piped == body
    assert found.get("body", "").encode() == body or base64.b64decode(found["body_base64"]) == body


def test_a_body_is_escaped_at_a_terminal(store_commands: StoreCommands) -> None:
    text = store_commands.put(body='{"a": "\x1b[2J é"}\n'.encode())
    binary = store_commands.put(body=b"\xff\x00\x1b[2J")

    _, shown = store_commands.on_a_terminal("events", "show", text, "--body")
    _, other = store_commands.on_a_terminal("events", "show", binary, "--body")

    assert shown.startswith('{"a": "\\x1b[2J é"}')
    assert other.startswith("6 B that are not text")
    assert "\x1b[2J" not in shown + other


def test_replaying_an_event_replays_all_its_deliveries(store_commands: StoreCommands, plan: Plan) -> None:
    plans = [plan(action="a"), plan(action="b", target="other"), plan(action="c", target="waits")]
    event = store_commands.put(*plans)
    other = plan()
    store_commands.put(other)
    store_commands.end(State.DEAD)
    store_commands.end(State.SUCCEEDED, target="other")

    assert "would have replayed 3" in store_commands.run("events", "replay", event, "--dry-run").stdout
    only = store_commands.json("events", "replay", event, "--state", "dead")
    assert only["deliveries"] == [plans[0].id]
    done = store_commands.run("events", "replay", event, "nobody", code=1)

    assert "replayed 3 deliveries" in done.stdout
    assert "not found: nobody" in done.stderr
    states = store_commands.states()
    assert [states[one.id] for one in (*plans, other)] == [State.PENDING] * 3 + [State.DEAD]


@pytest.fixture
def rules(store_commands: StoreCommands) -> None:
    """A file with the current rules."""
    (store_commands.folder / "rules.yaml").write_text(RULES)


def _body(**given: object) -> bytes:
    return json.dumps(given).encode()


@pytest.mark.usefixtures("rules")
def test_a_reroute_applies_rules_written_later(store_commands: StoreCommands) -> None:
    missed = store_commands.put(body=_body(go=True, k=7), age=3 * HOUR)
    other = store_commands.put(body=_body(go=False))

    done = store_commands.run("events", "replay", "--reroute", missed, other, "nobody", code=1)

    assert f"{missed}  deploy/forward  http://127.0.0.1:9\n{missed}  deploy/append  deploy/append\n" in done.stdout
    assert "planned 2 deliveries of 1 event\n" in done.stdout
    assert f"left alone {other}: no rule matches\n" in done.stderr
    assert "not found: nobody" in done.stderr
    found = store_commands.json("deliveries", "list", "--event", missed)
    assert [(d["action"], d["state"], d["order_key"]) for d in found] == [
        ("append", "pending", None),
        ("forward", "pending", "[7]"),
    ]
    # --since compares the time when a delivery was planned, not when its event came.
    assert store_commands.json("deliveries", "list", "--since", "1h") == found
    with store_commands.opened(own=False) as store:
        text = store.ruleset(found[0]["ruleset"])
        assert text is not None
        assert (text.text, text.base_dir) == (RULES, str(store_commands.folder.resolve()))


@pytest.mark.usefixtures("rules")
def test_a_reroute_plans_only_missing_deliveries_by_default(store_commands: StoreCommands, plan: Plan) -> None:
    event = store_commands.put(plan(target="http://127.0.0.1:9"), body=_body(go=True))

    first = store_commands.json("events", "replay", "--reroute", event)
    second = store_commands.run("events", "replay", "--reroute", event)
    again = store_commands.json("events", "replay", "--reroute", "--again", event)

    assert [(p["rule"], p["action"]) for p in first["planned"]] == [("deploy", "append")]
    assert "it has every delivery that these rules plan; --again plans them again" in second.stderr
    assert [p["action"] for p in again["planned"]] == ["forward", "append"]
    assert len(store_commands.states()) == 4


@pytest.mark.usefixtures("rules")
def test_a_dry_run_plans_nothing(store_commands: StoreCommands) -> None:
    event = store_commands.put(body=_body(go=True))

    text = store_commands.run("events", "replay", "--reroute", event, "--dry-run").stdout
    found = store_commands.json("events", "replay", "--reroute", "--source", "github", "--dry-run")

    assert "would have planned 2 deliveries of 1 event" in text
    assert [(p["event"], p["id"]) for p in found["planned"]] == [(event, None)] * 2
    assert store_commands.states() == {}
    with store_commands.opened(own=False) as store:
        assert [store.ruleset("r1").hash] == ["r1"]


@pytest.mark.usefixtures("rules")
def test_a_filter_reroutes_many_events_in_order(store_commands: StoreCommands) -> None:
    old = store_commands.put(body=_body(late=True), age=3 * HOUR)
    store_commands.put(body=_body(late=True), source="stripe")
    ids = store_commands.put_many([((), 0, {"body": _body(late=n % 2 == 0)}) for n in range(1200)])

    code, shown = store_commands.on_a_terminal("events", "replay", "--reroute", "--source", "github", "--since", "2h")

    assert code == 0
    assert "planned 600 deliveries of 600 events" in shown
    assert "left alone 600 events: no rule matches" in shown
    assert "planning" in shown  # the progress bar
    with store_commands.opened(own=False) as store:
        assert [d.event_id for d in store.deliveries(limit=5000)] == ids[::2]
        assert old not in ids


@pytest.mark.usefixtures("rules")
def test_skipped_events_are_explained(store_commands: StoreCommands) -> None:
    broken = store_commands.put(body=b"{", headers=(("Content-Type", "application/json"),))
    foreign = store_commands.put(source="gone")

    done = store_commands.run("events", "replay", "--reroute", broken, foreign)

    assert f"left alone {broken}: its payload can't be parsed: " in done.stderr
    assert f"left alone {foreign}: these rules have no source gone" in done.stderr


def test_a_reroute_with_invalid_rules_plans_nothing(store_commands: StoreCommands) -> None:
    event = store_commands.put(body=_body(go=True))
    (store_commands.folder / "mine.yaml").write_text(RULES.replace("match:", "mach:"))

    done = store_commands.run("events", "replay", "--reroute", event, "--rules", "mine.yaml", code=1)
    missing = store_commands.run("events", "replay", "--reroute", event, code=1)

    assert "mine.yaml:5:5:" in done.stderr
    assert 'did you mean "match"?' in done.stderr
    assert "rules.yaml:1:1: the rules file can't be read: No such file or directory" in missing.stderr
    assert store_commands.states() == {}
