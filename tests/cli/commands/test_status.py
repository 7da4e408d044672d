"""`status`, `store check` and `store backup`, without a daemon and with the notes of a running daemon."""

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from router.domain.deliveries import PlannedDelivery, State
from router.operate.drift import drift
from router.operate.json_times import iso
from tests.cli.conftest import StoreCommands, now_ms

Plan = Callable[..., PlannedDelivery]
HOUR = 3_600_000


@pytest.fixture
def busy(store_commands: StoreCommands, plan: Plan) -> StoreCommands:
    """Deliveries to two targets."""
    store_commands.put(plan())
    store_commands.end(State.DEAD)
    store_commands.put(plan(order_key="[1]"), age=2 * HOUR)
    store_commands.put(plan(order_key="[1]"), plan(target="files\x1b", action="append"), age=HOUR)
    return store_commands


def notes(**given: Any) -> dict[str, str]:
    """Notes as a daemon writes them."""
    return {name: json.dumps(value) for name, value in given.items()}


def put_notes(store_commands: StoreCommands, given: dict[str, str]) -> None:
    """Write notes into the store."""
    with store_commands.opened() as store:
        for name, value in given.items():
            store.put_note(name, value).result(60)


def test_status_works_without_a_daemon(busy: StoreCommands) -> None:
    text = busy.run("status").stdout
    found = busy.json("status")

    assert "daemon   none runs on this store" in text
    assert "rules    no daemon has reported yet" in text
    assert "pending  3, the oldest for 120m" in text or "pending  3, the oldest for 2h" in text
    assert "dead     1; see `webhook-router deliveries list --state dead`" in text
    assert "\x1b" not in text
    rows = [line.split() for line in text.splitlines() if line.startswith(("ci ", "files"))]
    assert [row[:6] for row in rows] == [["ci", "1", "1", "0", "0", "1"], ["files\\x1b", "1", "0", "0", "0", "0"]]
    assert (found["running"], found["pid"]) == (False, None)
    assert (found["pending"], found["in_flight"], found["dead"]) == (3, 0, 1)
    assert found["targets"][0] | {"oldest_at": "", "oldest_at_ms": 0, "oldest_age_ms": 0} == {
        "target": "ci",
        "due": 1,
        "blocked": 1,
        "held": 0,
        "running": 0,
        "dead": 1,
        "oldest_at": "",
        "oldest_at_ms": 0,
        "oldest_age_ms": 0,
        "waits_for": None,
        "waits_until": None,
        "waits_until_ms": None,
        "paused": [],
        "breaker": {"state": "closed"},
    }
    assert 2 * HOUR <= found["oldest_age_ms"] < 3 * HOUR
    assert found["store"]["bytes"] == busy.path.stat().st_size
    assert (found["process"], found["rules"], found["breakers"]) == ({}, {}, {})


def test_status_shows_what_a_running_daemon_recorded(busy: StoreCommands) -> None:
    now = now_ms()
    put_notes(
        busy,
        notes(
            process={"pid": os.getpid(), "version": "9.9", "started_at": now - 3 * HOUR, "listen": "127.0.0.1:8080"},
            rules={
                "file": "/etc/rules.yaml",
                "hash": "0123456789abcdef",
                "rules": 12,
                "loaded_at": now - 2 * HOUR,
                "sources": {
                    "crm": {"keep": 172800.0, "redact": ["$.a", "$.b", "$.c", "$.d"], "show_payloads": False},
                    "ci": {"keep": "forever"},
                    "odd": {"keep": [], "redact": 7},
                },
                "drift": {
                    "why": "problems",
                    "since": now - 60_000,
                    "problems": ["rules.yaml:14:7: nonsense\x1b", "more"],
                },
            },
            breakers={"ci": {"state": "open", "since": now - 5000, "until": now + 90_000, "failures": 7}},
        ),
    )

    with busy.opened():  # this process stands for the daemon
        text = busy.run("status").stdout
        found = busy.json("status")

    assert f"runs, process {os.getpid()}, version 9.9, for 3h, listen 127.0.0.1:8080\n" in text
    assert "/etc/rules.yaml, 12 rules, hash 0123456789ab, loaded 2h ago\n" in text or "loaded 120m ago" in text
    drift = r"not what runs for 6\ds: rules\.yaml:14:7: nonsense\\x1b \(and more; see `webhook-router check`\)\n"
    assert re.search(drift, text)
    assert "keeps events 2d, redacts $.a, $.b, $.c and 1 more, hides payloads from who may only read\n" in text
    assert re.search(r"source ci +keeps events forever\n", text)
    assert "source odd" not in text
    assert found["rules"]["sources"]["ci"] == {"keep": "forever"}
    assert re.search(r"open, for \ds, tried again in", text)
    assert "7 failures" in text
    assert (found["running"], found["pid"]) == (True, os.getpid())
    assert found["rules"]["hash"] == "0123456789abcdef"
    assert found["targets"][0]["breaker"]["state"] == "open"
    for said, name, at in (
        (found["process"], "started_at", now - 3 * HOUR),
        (found["rules"], "loaded_at", now - 2 * HOUR),
        (found["rules"]["drift"], "since", now - 60_000),
        (found["breakers"]["ci"], "since", now - 5000),
        (found["targets"][0]["breaker"], "until", now + 90_000),
    ):
        assert (said[name], said[f"{name}_ms"]) == (iso(at), at)


@pytest.mark.parametrize(
    "value",
    ["", "no json", "[]", "7", '{"since": "soon", "ci": 5, "loaded_at": "x"}', '{"started_at": 1e99, "loaded_at": -1}'],
)
def test_status_ignores_unreadable_notes(busy: StoreCommands, value: str) -> None:
    put_notes(busy, dict.fromkeys(("process", "rules", "breakers"), value))

    busy.run("status")
    busy.json("status")


def test_status_is_formatted_at_a_terminal(busy: StoreCommands) -> None:
    code, shown = busy.on_a_terminal("status")

    assert code == 0
    assert "files\\x1b" in shown


def test_store_check_passes_an_intact_store(busy: StoreCommands) -> None:
    done = busy.run("store", "check")
    found = busy.json("store", "check")

    assert done.stdout.endswith("the store is sound\n")
    assert found["ok"]
    assert {one["ok"] for one in found["checks"]} == {True}
    assert "checking" in busy.on_a_terminal("store", "check")[1]


def test_store_check_reports_damage_with_the_cure(busy: StoreCommands) -> None:
    import apsw

    connection = apsw.Connection(str(busy.path))
    connection.execute("UPDATE delivery SET blocked = 1 WHERE order_key IS NOT NULL")
    connection.close()

    done = busy.run("store", "check", code=1)
    found = busy.json("store", "check", code=1)

    [broken] = [one for one in found["checks"] if not one["ok"]]
    assert not found["ok"]
    assert (broken["broken"], len(broken["examples"])) == (1, 1)
    assert (
        f"- {broken['name']}\n    violated by: {broken['examples'][0]}\n    cure: webhook-router deliv" in done.stdout
    )
    assert done.stdout.endswith(f"1 of {len(found['checks'])} checks of the store failed\n")


def test_store_backup_writes_a_private_file_that_can_be_restored(busy: StoreCommands) -> None:
    done = busy.run("store", "backup", "copy.db")

    copy = busy.folder / "copy.db"
    assert done.stdout.startswith("copy.db: ")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert busy.json("deliveries", "list", "--store", "sqlite:copy.db") == busy.json("deliveries", "list")
    again = busy.run("store", "backup", "copy.db", code=1)
    assert "exists already, and a backup never overwrites; choose another name" in again.stderr
    assert "copying" in busy.on_a_terminal("store", "backup", "other.db")[1]


@pytest.mark.parametrize(
    ("text", "running", "why", "says"),
    [
        ("rules: []\n", False, None, None),
        ("\ufeffrules: []\n", True, None, None),
        ("rules: [x]\n", False, "changed", "changed since the last daemon read it; the next start loads it"),
        ("rules: [x]\n", True, "changed", "changed a moment ago; the daemon has not loaded it yet"),
        (None, False, "gone", "the rules file is gone; put it back"),
        (None, True, "gone", "the rules file is gone; put it back"),
    ],
)
def test_status_compares_the_rules_file_with_the_running_rules(
    busy: StoreCommands, text: str | None, running: bool, why: str | None, says: str | None
) -> None:
    path = busy.folder / "rules.yaml"
    if text is not None:
        path.write_text(text)
    ours = hashlib.sha256(b"rules: []\n").hexdigest()
    put_notes(busy, notes(rules={"file": str(path), "hash": ours, "rules": 0, "drift": None}))

    with busy.opened() if running else nullcontext():
        text_shown = busy.run("status").stdout
        drift = busy.json("status")["rules"]["drift"]

    assert (drift and drift["why"]) == why
    assert ("not what runs" in text_shown) == (why is not None)
    assert says is None or says in text_shown


def test_status_says_what_to_do_about_an_edit_the_daemon_has_not_loaded(busy: StoreCommands) -> None:
    path = busy.folder / "rules.yaml"
    path.write_text("rules: [x]\n")
    note = {"file": str(path), "hash": "0" * 64}

    found = drift(note, running=True, now=now_ms() + 60_000)

    assert found
    assert "the daemon has not loaded it; if this lasts, see its log, and restart it" in found["problems"][0]


@pytest.mark.parametrize(
    "note", [{}, {"file": 7, "hash": "x"}, {"file": "/", "hash": "x"}, {"file": "a\0", "hash": ""}]
)
def test_status_ignores_a_note_with_an_impossible_path(note: dict[str, Any]) -> None:
    found = drift(note, running=False, now=now_ms())

    assert found is None or found["why"] in ("unreadable", "gone")
