"""`status`, `store check` and `store backup`, with no daemon running, and with what a daemon says of itself."""

import json
import os
import stat
from collections.abc import Callable
from typing import Any

import pytest

from router.model import PlannedDelivery, State
from tests.commands.conftest import Shop, now_ms

Plan = Callable[..., PlannedDelivery]
HOUR = 3_600_000


@pytest.fixture
def busy(shop: Shop, plan: Plan) -> Shop:
    """Deliveries to two targets."""
    shop.put(plan())
    shop.end(State.DEAD)
    shop.put(plan(order_key="[1]"), age=2 * HOUR)
    shop.put(plan(order_key="[1]"), plan(target="files\x1b", action="append"), age=HOUR)
    return shop


def notes(**given: Any) -> dict[str, str]:
    """What a daemon would have written."""
    return {name: json.dumps(value) for name, value in given.items()}


def put_notes(shop: Shop, given: dict[str, str]) -> None:
    """Write them."""
    with shop.opened() as store:
        for name, value in given.items():
            store.put_note(name, value).result(10)


def test_status_without_a_daemon(busy: Shop) -> None:
    text = busy.run("status").stdout
    found = busy.json("status")

    assert "daemon   none runs on this store" in text
    assert "rules    no word of a daemon yet" in text
    assert "pending  3, the oldest for 120m" in text or "pending  3, the oldest for 2h" in text
    assert "dead     1; see `webhook-router deliveries list --state dead`" in text
    assert "\x1b" not in text
    rows = [line.split() for line in text.splitlines() if line.startswith(("ci ", "files"))]
    assert [row[:5] for row in rows] == [["ci", "1", "1", "0", "1"], ["files\\x1b", "1", "0", "0", "0"]]
    assert (found["running"], found["pid"]) == (False, None)
    assert (found["pending"], found["in_flight"], found["dead"]) == (3, 0, 1)
    assert found["targets"][0] | {"oldest_at": "", "oldest_at_ms": 0, "oldest_age_ms": 0} == {
        "target": "ci",
        "due": 1,
        "blocked": 1,
        "running": 0,
        "dead": 1,
        "oldest_at": "",
        "oldest_at_ms": 0,
        "oldest_age_ms": 0,
        "breaker": {"state": "closed"},
    }
    assert 2 * HOUR <= found["oldest_age_ms"] < 3 * HOUR
    assert found["store"]["bytes"] == busy.path.stat().st_size
    assert (found["process"], found["rules"], found["breakers"]) == ({}, {}, {})


def test_status_tells_what_a_running_daemon_says_of_itself(busy: Shop) -> None:
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
                "drift": {
                    "why": "problems",
                    "since": now - 60_000,
                    "problems": ["rules.yaml:14:7: nonsense\x1b", "more"],
                },
            },
            breakers={"ci": {"state": "open", "since": now - 5000, "until": now + 90_000, "failures": 7}},
        ),
    )

    with busy.opened():  # as a daemon's process holds it
        text = busy.run("status").stdout
        found = busy.json("status")

    assert f"runs, process {os.getpid()}, version 9.9, for 3h, listen 127.0.0.1:8080\n" in text
    assert "/etc/rules.yaml, 12 rules, hash 0123456789ab, loaded 2h ago\n" in text or "loaded 120m ago" in text
    assert "ago, the rules above stay: rules.yaml:14:7: nonsense\\x1b (and more; see `webhook-router check`)\n" in text
    assert "open, for 5s, tried again in" in text
    assert "7 failures" in text
    assert (found["running"], found["pid"]) == (True, os.getpid())
    assert found["rules"]["hash"] == "0123456789abcdef"
    assert found["targets"][0]["breaker"]["state"] == "open"


@pytest.mark.parametrize("value", ["", "no json", "[]", "7", '{"since": "soon", "ci": 5, "loaded_at": "x"}'])
def test_status_bears_notes_that_it_can_not_read(busy: Shop, value: str) -> None:
    put_notes(busy, dict.fromkeys(("process", "rules", "breakers"), value))

    busy.run("status")
    busy.json("status")


def test_status_at_a_terminal(busy: Shop) -> None:
    code, shown = busy.on_a_terminal("status")

    assert code == 0
    assert "files\\x1b" in shown


def test_a_sound_store(busy: Shop) -> None:
    done = busy.run("store", "check")
    found = busy.json("store", "check")

    assert done.stdout.endswith("the store is sound\n")
    assert found["ok"]
    assert {one["ok"] for one in found["checks"]} == {True}
    assert "checking" in busy.on_a_terminal("store", "check")[1]


def test_a_broken_store_is_told_with_the_cure(busy: Shop) -> None:
    import apsw

    connection = apsw.Connection(str(busy.path))
    connection.execute("UPDATE delivery SET blocked = 1 WHERE order_key IS NOT NULL")
    connection.close()

    done = busy.run("store", "check", code=1)
    found = busy.json("store", "check", code=1)

    [broken] = [one for one in found["checks"] if not one["ok"]]
    assert not found["ok"]
    assert (broken["broken"], len(broken["examples"])) == (1, 1)
    assert f"- {broken['name']}\n    not so: {broken['examples'][0]}\n    cure: webhook-router deliv" in done.stdout
    assert done.stdout.endswith("the store has 1 of 10 checks broken\n")


def test_a_backup_is_private_and_restores(busy: Shop) -> None:
    done = busy.run("store", "backup", "copy.db")

    copy = busy.folder / "copy.db"
    assert done.stdout.startswith("copy.db: ")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert busy.json("deliveries", "list", "--store", "sqlite:copy.db") == busy.json("deliveries", "list")
    again = busy.run("store", "backup", "copy.db", code=1)
    assert "exists already, and a backup never overwrites; choose another name" in again.stderr
    assert "copying" in busy.on_a_terminal("store", "backup", "other.db")[1]
