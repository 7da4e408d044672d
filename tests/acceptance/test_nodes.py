"""Several nodes over one PostgreSQL lose no accepted event when one is killed, frozen or disconnected."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from router.store.postgres.schema import newest_version
from tests.acceptance.fleet import RULES, Fleet, Senders, ledger_problems
from tests.acceptance.test_clock import PROGRAM as WITH_OTHER_CLOCK
from tests.acceptance.test_clock import Clock
from tests.conftest import Daemon, Receiver
from tests.postgres import Server
from tests.transaction_pooler import TransactionPooler

Wait = Callable[[Callable[[], Any]], Any]
Start = Callable[..., Fleet]
Run = Callable[..., subprocess.CompletedProcess[str]]


def test_nodes_share_the_work_and_status_shows_them(
    fleet: Start, receiver: Receiver, eventually: Wait, run: Run
) -> None:
    one = fleet()
    nodes = [one.start(), one.start("--roles", "intake"), one.start("--roles", "delivery", "--actions", "forward")]
    senders = Senders(lambda: nodes[:2])
    senders.wait(30)
    senders.stop()

    eventually(lambda: one.unsettled() == 0)
    shown = run("status", "--store", one.url).stdout

    assert ledger_problems(one, senders, receiver.ids()) == []
    assert len(receiver.requests) == len(senders.ids)
    assert all(f"node node-{number}" in shown for number in (1, 2, 3))
    assert "delivers forward" in shown
    assert [node.stop() for node in nodes] == [0, 0, 0]
    assert one.ask("SELECT name FROM webhook_router.node") == []


def test_attempts_of_a_killed_node_are_repeated_by_another_node(
    fleet: Start, receiver: Receiver, eventually: Wait
) -> None:
    one = fleet(RULES.replace("/sent", "/hang"))
    first = one.start()
    assert first.post("/hooks/open", b"{}", {"X-Key": "1"}).status == 202
    eventually(lambda: len(receiver.requests) == 1)
    second = one.start()

    first.kill()
    taken = second.wait_for_line("attempt settled", outcome="interrupted", error="the node that ran it was lost")
    eventually(lambda: len(receiver.requests) == 2)
    receiver.release.set()
    second.wait_for_line("attempt settled", outcome="succeeded")

    assert (taken["attempt"], taken["state"]) == (1, "pending")
    assert [request.headers["webhook-attempt"] for request in receiver.requests] == ["1", "2"]
    assert one.count("SELECT interruptions FROM webhook_router.delivery") == 0


def test_another_node_takes_over_from_a_frozen_node_which_joins_again_later(
    fleet: Start, receiver: Receiver, eventually: Wait
) -> None:
    one = fleet(RULES.replace("/sent", "/hang"))
    first = one.start()
    assert first.post("/hooks/open", b"{}", {"X-Key": "1"}).status == 202
    eventually(lambda: len(receiver.requests) == 1)
    second = one.start()

    os.kill(first.process.pid, signal.SIGSTOP)
    second.wait_for_line("attempt settled", outcome="interrupted")
    os.kill(first.process.pid, signal.SIGCONT)
    first.wait_for_line("the node's lease is over; its attempts are cut off, and made again here or by another node")
    first.wait_for_line("attempt lost: someone else owns the delivery")
    receiver.release.set()

    eventually(lambda: one.unsettled() == 0)
    assert first.post("/hooks/open", b"{}", {"X-Key": "2"}).status == 202
    eventually(lambda: one.unsettled() == 0)
    assert one.ask("SELECT DISTINCT state FROM webhook_router.delivery") == [("succeeded",)]
    eventually(lambda: one.count("SELECT count(*) FROM webhook_router.node") == 2)


COMMAND_RULES = """
sources: {open: {verify: none}}
rules:
  - name: deploy
    allow_unverified: true
    actions: [{command: {argv: [./deploy.py], concurrency: 1}}]
"""
SCRIPT = f"""#!{sys.executable} -IS
import fcntl, os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = os.open("lock", os.O_RDWR | os.O_CREAT)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    print("twice at once", file=open("witness", "a"), flush=True)
    sys.exit()
print("run", file=open("witness", "a"), flush=True)
while not os.path.exists("quick"):
    time.sleep(0.02)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_command_never_runs_twice_at_once_in_the_fleet(
    fleet: Start, eventually: Wait, tmp_path: Path, how: signal.Signals
) -> None:
    (tmp_path / "deploy.py").write_text(SCRIPT)
    (tmp_path / "deploy.py").chmod(0o755)
    one = fleet(COMMAND_RULES)
    witness = tmp_path / "witness"
    first = one.start()
    assert first.post("/hooks/open", b"{}").status == 202
    eventually(witness.exists)
    second = one.start()

    os.kill(first.process.pid, how)
    second.wait_for_line("attempt settled", outcome="interrupted")
    eventually(lambda: witness.read_text().count("\n") == 2)
    (tmp_path / "quick").touch()
    second.wait_for_line("attempt settled", outcome="succeeded")

    assert witness.read_text() == "run\nrun\n"
    if how is signal.SIGSTOP:
        os.kill(first.process.pid, signal.SIGCONT)


def test_a_pause_by_command_reaches_every_node(fleet: Start, receiver: Receiver, run: Run, eventually: Wait) -> None:
    one = fleet("targets: {hook: {url: URL}}\n" + RULES.replace('"URL/sent"', "{target: hook}"))
    nodes = [one.start(), one.start()]

    assert run("targets", "pause", "hook", "--store", one.url).returncode == 0
    for node in nodes:
        node.wait_for_line("target paused; its deliveries are held", target="hook")
        assert node.post("/hooks/open", b"{}", {"X-Key": str(node.port)}).status == 202
    assert run("targets", "resume", "hook", "--store", one.url).returncode == 0

    eventually(lambda: one.unsettled() == 0)
    held = one.ask("SELECT a.started_at >= h.ended_at FROM webhook_router.attempt a, webhook_router.hold h")
    assert held == [(True,), (True,)]


def test_duplicates_on_all_nodes_at_once_are_one_event(fleet: Start, receiver: Receiver) -> None:
    one = fleet()
    nodes = [one.start(), one.start(), one.start()]

    # All senders send the same keys, each to another node first.
    senders = [Senders(lambda n=n: nodes[n:] + nodes[:n], threads=2) for n in range(3)]  # type: ignore[misc]
    for sender in senders:
        sender.wait(20)
    for sender in senders:
        sender.stop()

    keys = {key for sender in senders for key in sender.ids}
    assert all(len({sender.ids[key] for sender in senders if key in sender.ids}) == 1 for key in keys)
    assert one.count("SELECT count(*) FROM webhook_router.event") == len(keys)


def test_nodes_with_clocks_an_hour_apart_work_as_usual(
    fleet: Start, receiver: Receiver, eventually: Wait, tmp_path: Path
) -> None:
    one = fleet()
    clock = Clock(tmp_path)
    clock.set(3600)
    late = one.start(env=clock.env, program=(sys.executable, "-c", WITH_OTHER_CLOCK))
    right = one.start()
    receiver.status = 500
    for node in (late, right):
        assert node.post("/hooks/open", b"{}", {"X-Key": str(node.port)}).status == 202
        assert node.post("/hooks/open", b"{}", {"X-Key": str(node.port)}).status == 200
    eventually(lambda: len(receiver.requests) >= 4)
    receiver.status = 200

    eventually(lambda: one.unsettled() == 0)
    ahead = "abs(extract(epoch FROM now()) * 1000 - received_at) > 1800000"
    assert one.count(f"SELECT count(*) FROM webhook_router.event WHERE {ahead}") == 0
    ids = one.ask("SELECT id FROM webhook_router.event")
    assert all(
        abs(int(str(id_)[:8] + str(id_)[9:13], 16) - one.count("SELECT (extract(epoch FROM now()) * 1000)::bigint"))
        < 1_800_000
        for (id_,) in ids
    )


def test_the_whole_fleet_makes_one_attempt_at_a_time_with_concurrency_1(
    fleet: Start, receiver: Receiver, eventually: Wait
) -> None:
    one = fleet("targets: {hook: {url: URL, concurrency: 1}}\n" + RULES.replace('"URL/sent"', "{target: hook}"))
    nodes = [one.start(), one.start(), one.start()]
    senders = Senders(lambda: nodes, threads=4)
    senders.wait(40)
    senders.stop()
    eventually(lambda: one.unsettled() == 0)

    assert receiver.most_at_once == 1
    assert one.count("SELECT sum(slots)::int FROM webhook_router.share WHERE target = 'hook'") == 1


_RULES_OF_NOBODY = "no node runs the fleet's rules any more; those that run here are the fleet's now"


def test_a_node_with_an_older_rules_file_delivers_by_the_newer_rules_of_the_fleet(
    fleet: Start, receiver: Receiver, eventually: Wait, tmp_path: Path
) -> None:
    one = fleet()
    older = one.start("--roles", "delivery")
    new = tmp_path / "new.yaml"
    new.write_text(one.rules.read_text().replace("/sent", "/moved"))
    newer = one.start("--roles", "intake", rules=new)
    eventually(
        lambda: (
            one.ask(
                "SELECT count(*) FROM webhook_router.node n JOIN webhook_router.ruleset r "
                "ON r.hash = n.rules AND r.retired_at IS NULL"
            )
            == [(1,)]
        )
    )

    eventually(
        lambda: (
            newer.post("/hooks/open", b"{}", {"X-Key": str(len(receiver.requests))}).status in (200, 202)
            and receiver.ids("/moved")
        )
    )
    again = one.start("--roles", "delivery")

    again.wait_for_line("the rules file here is older than the fleet's; deliveries go by the fleet's rules")
    assert newer.stop() == 0
    # The node that notices the change first makes its rules those of the fleet. The other node has the same rules.
    eventually(lambda: any(line["message"] == _RULES_OF_NOBODY for node in (older, again) for line in node.lines))


def test_rules_that_one_node_reloads_become_and_stay_the_rules_of_the_fleet(
    fleet: Start, receiver: Receiver, eventually: Wait, tmp_path: Path
) -> None:
    one = fleet(lease=30)  # so that nodes renew their leases late
    newer_file = tmp_path / "newer.yaml"
    newer_file.write_text(one.rules.read_text())
    newer, older = one.start("--roles", "intake", rules=newer_file), one.start()
    keys = itertools.count()

    newer_file.write_text(one.rules.read_text().replace("/sent", "/moved"))
    os.kill(newer.process.pid, signal.SIGHUP)
    newer.wait_for_line("rules reloaded")

    def moved() -> list[str]:
        older.post("/hooks/open", b"{}", {"X-Key": str(next(keys))})
        return receiver.ids("/moved")

    eventually(moved)
    assert _RULES_OF_NOBODY not in [line["message"] for line in older.lines]


def test_a_rolling_restart_under_load_loses_and_repeats_nothing(
    fleet: Start, receiver: Receiver, eventually: Wait
) -> None:
    one = fleet()
    serving = [one.start(), one.start()]
    senders = Senders(lambda: list(serving))
    for _ in range(2):
        senders.wait(10)
        serving.append(one.start())
        old = serving.pop(0)
        assert old.stop() == 0
    senders.wait(10)
    senders.stop()
    eventually(lambda: one.unsettled() == 0)

    assert ledger_problems(one, senders, receiver.ids()) == []
    assert one.count("SELECT max(tries) FROM webhook_router.delivery") == 1


# Stands for the earlier version: it lacks the newest step of the schema. Its other differences are not simulated.
OLDER_PROGRAM = """
import sys
from router.store.postgres import schema
schema._SCRIPTS = schema._SCRIPTS[:-1]
from router.cli.main import main
sys.exit(main())
"""


def test_a_rolling_upgrade_under_load_migrates_to_the_newest_schema(
    fleet: Start, receiver: Receiver, eventually: Wait, run: Run
) -> None:
    one = fleet()
    serving = [one.start(program=(sys.executable, "-c", OLDER_PROGRAM))]
    senders = Senders(lambda: list(serving))
    senders.wait(10)
    assert one.ask("SELECT version FROM webhook_router.meta") == [(newest_version() - 1,)]

    serving.append(one.start())
    assert one.ask("SELECT version FROM webhook_router.meta") == [(newest_version(),)]
    senders.wait(20)  # the older one continues beside it
    before = one.count("SELECT count(*) FROM webhook_router.node")
    old = serving.pop(0)
    assert old.stop() == 0
    senders.wait(10)
    senders.stop()
    eventually(lambda: one.unsettled() == 0)

    assert before == 2
    assert ledger_problems(one, senders, receiver.ids()) == []
    assert [line for line in old.lines if line["level"] == "error"] == []


def test_a_node_works_beside_one_with_the_next_schema_and_not_beside_a_later_one(
    fleet: Start, receiver: Receiver, eventually: Wait, run: Run
) -> None:
    one = fleet()
    # Like the migration of the next version: it adds a column and increments the version.
    older = one.start()
    one.ask("ALTER TABLE webhook_router.event ADD COLUMN further text")
    one.ask("ALTER TABLE webhook_router.delivery ADD COLUMN further text")
    one.ask("UPDATE webhook_router.meta SET version = version + 1")
    beside = one.start()

    for node in (older, beside):
        assert node.post("/hooks/open", b"{}", {"X-Key": str(node.port)}).status == 202
    eventually(lambda: len(receiver.requests) == 2 and one.unsettled() == 0)

    one.ask("UPDATE webhook_router.meta SET version = version + 1")
    refused = run("serve", one.rules, "--store", one.url, "--listen", "127.0.0.1:0", "--admin", "off")
    assert refused.returncode == 3
    assert "has schema version" in refused.stderr


def test_nodes_work_behind_a_pooler_in_transaction_mode(
    fleet: Start, postgres_server: Server, receiver: Receiver, eventually: Wait, run: Run
) -> None:
    pooler = TransactionPooler(postgres_server.port)
    try:
        one = fleet(
            "targets: {hook: {url: URL/sent, concurrency: 1}}\n" + RULES.replace('"URL/sent"', "{target: hook}")
        )
        url = f"postgresql://postgres@127.0.0.1:{pooler.port}/{one.database}?pgbouncer=true"
        nodes = [one.start(url=url), one.start(url=url)]
        senders = Senders(lambda: nodes)
        senders.wait(20)
        senders.stop()
        eventually(lambda: one.unsettled() == 0)
        assert ledger_problems(one, senders, receiver.ids()) == []
        assert receiver.most_at_once == 1
        checked = run("store", "check", "--store", url)
        assert checked.returncode == 0, checked.stdout + checked.stderr

        nodes[0].kill()
        nodes[1].wait_for_line("node lost; others have what it had running", node="node-1")
        assert nodes[1].stop() == 0
        assert pooler.of_sessions == []
        assert pooler.switches > 50
    finally:
        one.close()
        pooler.close()


ANSWERS = """
sources: {open: {verify: none, dedupe: {key: headers.X-Key, window: 1h}}}
rules:
  - name: answered
    allow_unverified: true
    actions: [{command: {shell: "echo script; cat", concurrency: 12}}]
    respond: {from: command, within: 8s, otherwise: {body: otherwise}}
"""


def test_the_node_that_received_an_event_makes_the_first_attempt_and_answers(fleet: Start, eventually: Wait) -> None:
    one = fleet(ANSWERS)
    nodes = [one.start(), one.start(), one.start()]
    others = [one.start("--roles", "intake"), one.start("--actions", "forward")]
    keys = itertools.count()

    def ask(node: Daemon, key: str = "") -> bytes:
        answer = node.post("/hooks/open", b"{}", {"X-Key": key or f"key-{next(keys)}"})
        assert answer.status == 200
        return answer.body

    def hears(node: Daemon) -> bool:
        return ask(node) == b"script\n{}"

    for node in nodes:  # after it has got its share of the twelve slots
        eventually(partial(hears, node))
    answers = [ask(nodes[number % 3], f"own-{number}") for number in range(30)]
    copy = nodes[1].post("/hooks/open", b"{}", {"X-Key": "own-0"})

    assert answers == [b"script\n{}"] * 30
    assert (copy.status, copy.json["duplicate"]) == (200, True)
    assert [ask(node) for node in others] == [b"otherwise"] * 2
    eventually(lambda: one.unsettled() == 0)
    assert one.ask("SELECT DISTINCT state FROM webhook_router.delivery") == [("succeeded",)]
    assert one.count("SELECT count(*) FROM webhook_router.attempt") == one.count(
        "SELECT count(*) FROM webhook_router.event"
    )
