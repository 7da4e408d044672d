"""While the database is away senders get 503. When it returns, no accepted event is lost and no delivery is dead."""

import contextlib
import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.fleet import RULES, Fleet, Senders, ledger_problems
from tests.conftest import PATIENCE_SECONDS, Answer, Daemon, Receiver
from tests.faulty_proxy import FaultyProxy, answers_commit, holds_batch
from tests.postgres import Server
from tests.postgres_standby import LARGEST_FILE, PRIMARY, Standby, configure, fill_disk, make_room, wait_for_standby

Wait = Callable[[Callable[[], Any]], Any]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that these tests may stop. Other tests of this process share another one."""
    own = Server({"max_connections": "40"}, LARGEST_FILE)
    yield own
    own.remove()


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultyProxy]:
    """A proxy between the nodes and the server."""
    between = FaultyProxy(server.port)
    yield between
    between.close()


@pytest.fixture
def fleet(tmp_path: Path, server: Server, proxy: FaultyProxy, receiver: Receiver) -> Iterator[Fleet]:
    """A fleet behind the proxy, without nodes."""
    made = Fleet(tmp_path, server, RULES.replace("URL", receiver.url), port=proxy.port)
    yield made
    made.close()


def _kill(_: Fleet, server: Server, __: FaultyProxy) -> Callable[[], None]:
    server.kill()
    return server.start


def _cut_off(_: Fleet, __: Server, proxy: FaultyProxy) -> Callable[[], None]:
    proxy.refusing = True
    proxy.cut()

    def back() -> None:
        proxy.refusing = False

    return back


def _read_only(fleet: Fleet, server: Server, _: FaultyProxy) -> Callable[[], None]:
    configure(server, default_transaction_read_only="on")

    def back() -> None:
        # A session with the setting can't change it.
        url = server.url() + "?options=-cdefault_transaction_read_only%3Doff"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            connection.execute("SELECT pg_reload_conf()")

    return back


def _full_disk(fleet: Fleet, server: Server, _: FaultyProxy) -> Callable[[], None]:
    fill_disk(server, fleet.database)
    return lambda: make_room(server, fleet.database)


def _no_connections(_: Fleet, server: Server, proxy: FaultyProxy) -> Callable[[], None]:
    hogs = contextlib.ExitStack()
    proxy.refusing = True
    proxy.cut()
    with contextlib.suppress(psycopg.OperationalError):
        for _number in range(60):
            hogs.enter_context(psycopg.connect(server.url()))
    proxy.refusing = False
    return hogs.close


FAULTS = {
    "killed": _kill,
    "cut off": _cut_off,
    "read-only": _read_only,
    "full disk": _full_disk,
    "out of connections": _no_connections,
}


#: by fault: the log line, with the cure
CAUSES = {
    "read-only": "the server is read-only: a standby, or set so",
    "full disk": "Check free disk space",
}


@pytest.mark.parametrize("name", FAULTS)
def test_senders_get_503_until_the_database_is_back_and_nothing_is_lost(
    name: str, fleet: Fleet, server: Server, proxy: FaultyProxy, receiver: Receiver, eventually: Wait
) -> None:
    nodes = [fleet.start(), fleet.start()]
    senders = Senders(lambda: nodes)
    senders.wait(10)

    back = FAULTS[name](fleet, server, proxy)
    try:
        eventually(lambda: senders.answers[503] >= 5)
        # Too large for the free space of an existing page.
        answer = nodes[0].post("/hooks/open", b'["%s"]' % (1500 * b"x"), {"X-Key": "away"})
    finally:
        back()
    senders.wait(10)
    senders.stop()

    eventually(lambda: fleet.unsettled() == 0)
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    said = nodes[0].wait_for_line("store can't commit; requests are answered 503 until it can")
    assert CAUSES.get(name, "") in said["error"]
    assert ledger_problems(fleet, senders, receiver.ids()) == []
    assert fleet.count("SELECT count(*) FROM webhook_router.delivery WHERE state = 'dead'") == 0


def test_a_commit_whose_answer_is_lost_stores_an_event_once(
    fleet: Fleet, proxy: FaultyProxy, receiver: Receiver, eventually: Wait
) -> None:
    nodes = [fleet.start(), fleet.start()]
    senders = Senders(lambda: nodes)
    for _ in range(3):
        for side, at in (("cut_before", holds_batch), ("cut_answer", answers_commit)):
            before = proxy.cuts
            setattr(proxy, side, at)
            eventually(partial(_more_cuts, proxy, before))
            setattr(proxy, side, lambda _: False)
            senders.wait(5)
    senders.stop()

    eventually(lambda: fleet.unsettled() == 0)
    assert ledger_problems(fleet, senders, receiver.ids()) == []


def _more_cuts(proxy: FaultyProxy, before: int) -> bool:
    return proxy.cuts > before


def test_nodes_recover_by_themselves_after_a_network_stall_longer_than_the_lease(
    fleet: Fleet, server: Server, proxy: FaultyProxy, receiver: Receiver, eventually: Wait
) -> None:
    node = fleet.start()
    other = fleet.start(url=server.url(fleet.database))
    receiver.answering.clear()
    assert node.post("/hooks/open", b'{"lane": 1}', {"X-Key": "1"}).status == 202
    eventually(lambda: receiver.requests)

    proxy.stalled.set()
    node.wait_for_line("the node's lease is over; its attempts are cut off, and made again here or by another node")
    other.wait_for_line("attempt settled", outcome="interrupted")
    proxy.stalled.clear()
    receiver.answering.set()

    eventually(lambda: fleet.unsettled() == 0)
    assert fleet.ask("SELECT DISTINCT state FROM webhook_router.delivery") == [("succeeded",)]
    eventually(lambda: node.post("/hooks/open", b"{}", {"X-Key": "2"}).status in (200, 202))


def test_the_daemon_pauses_between_connection_tries(
    fleet: Fleet, proxy: FaultyProxy, receiver: Receiver, eventually: Wait
) -> None:
    node = fleet.start()
    proxy.refusing = True
    proxy.cut()
    began, tried = time.monotonic(), proxy.refused
    eventually(lambda: node.post("/hooks/open", b"{}", {"X-Key": "1"}).status == 503)
    while time.monotonic() - began < 4:
        node.post("/hooks/open", b"{}", {"X-Key": "1"})
        time.sleep(0.05)

    # Each of the few threads retries after growing pauses.
    assert proxy.refused - tried < 30 * (time.monotonic() - began)
    lines = [line["message"] for line in node.lines if line["level"] == "error"]
    errors = [line for line in lines if line != "event not acknowledged"]  # one refused connection for each request
    assert len(errors) < 20, errors


def test_a_failover_to_a_synchronous_standby_loses_no_accepted_event(
    tmp_path: Path, receiver: Receiver, eventually: Wait
) -> None:
    with contextlib.ExitStack() as stack:
        primary = Server(PRIMARY)
        stack.callback(primary.remove)
        fleet = Fleet(tmp_path, primary, RULES.replace("URL", receiver.url))
        stack.callback(fleet.close)
        standby = Standby(primary)
        stack.callback(standby.remove)
        wait_for_standby(primary, synchronous=True)
        eventually(lambda: primary.execute("SELECT sync_state FROM pg_stat_replication") == [("sync",)])
        ports = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        url = f"postgresql://postgres@{ports}/{fleet.database}?target_session_attrs=read-write"
        nodes = [fleet.start(url=url), fleet.start(url=url)]
        senders = Senders(lambda: nodes)
        senders.wait(10)

        primary.kill()
        eventually(lambda: senders.answers[503])
        standby.promote()
        senders.wait(10)
        senders.stop()

        fleet.server = standby
        eventually(lambda: fleet.unsettled() == 0)
        assert ledger_problems(fleet, senders, receiver.ids()) == []


def test_a_failover_to_an_asynchronous_standby_loses_only_events_that_it_had_not_received(
    tmp_path: Path, receiver: Receiver, eventually: Wait
) -> None:
    with contextlib.ExitStack() as stack:
        primary = Server(PRIMARY)
        stack.callback(primary.remove)
        fleet = Fleet(tmp_path, primary, RULES.replace("URL", receiver.url))
        stack.callback(fleet.close)
        link = FaultyProxy(primary.port)
        stack.callback(link.close)
        standby = Standby(primary, port=link.port)
        stack.callback(standby.remove)
        ports = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        url = f"postgresql://postgres@{ports}/{fleet.database}?target_session_attrs=read-write"
        nodes = [fleet.start(url=url), fleet.start(url=url)]
        senders = Senders(lambda: nodes)
        senders.wait(10)
        senders.stop()
        eventually(lambda: fleet.unsettled() == 0)
        [(written,)] = primary.execute("SELECT pg_current_wal_lsn()")
        eventually(lambda: primary.execute(f"SELECT flush_lsn >= '{written}' FROM pg_stat_replication") == [(True,)])
        link.stalled.set()
        fleet.rules.write_text(fleet.rules.read_text().replace("/sent", "/moved"))
        for node in nodes:
            os.kill(node.process.pid, signal.SIGHUP)
            node.wait_for_line("rules reloaded")
        answers = [nodes[n % 2].post("/hooks/open", b"{}", {"X-Key": f"lost-{n}"}) for n in range(6)]
        assert [answer.status for answer in answers] == [202] * 6
        eventually(lambda: len(set(receiver.ids("/moved"))) == 6)

        primary.kill()
        link.close()
        standby.promote()
        fleet.server = standby
        repeated = eventually(lambda: _taken(nodes[0].post("/hooks/open", b"{}", {"X-Key": "lost-0"})))

        eventually(lambda: fleet.unsettled() == 0)
        assert ledger_problems(fleet, senders, receiver.ids()) == []
        stored = {id_ for (id_,) in fleet.ask("SELECT id FROM webhook_router.event")}
        assert stored == {*senders.ids.values(), repeated.json["id"]}
        # The standby lacks the reloaded rules too. They are recorded again.
        new = hashlib.sha256(fleet.rules.read_bytes()).hexdigest()
        eventually(lambda: fleet.ask("SELECT hash FROM webhook_router.ruleset WHERE retired_at IS NULL") == [(new,)])


def _taken(answer: Answer) -> Answer | None:
    return answer if answer.status == 202 else None


def test_a_commit_that_the_standby_may_not_have_is_answered_503(
    tmp_path: Path, receiver: Receiver, eventually: Wait
) -> None:
    with contextlib.ExitStack() as stack:
        primary = Server(PRIMARY)
        stack.callback(primary.remove)
        fleet = Fleet(tmp_path, primary, RULES.replace("URL", receiver.url))
        stack.callback(fleet.close)
        node = fleet.start()
        assert node.post("/hooks/open", b"{}", {"X-Key": "1"}).status == 202
        wait_for_standby(primary, synchronous=True)  # there is no such standby, so commits wait

        deadline = time.monotonic() + PATIENCE_SECONDS
        statuses: list[int] = []
        while 503 not in statuses:
            assert time.monotonic() < deadline, statuses
            statuses.append(_post_and_cancel(node, primary))
        wait_for_standby(primary, synchronous=False)

        eventually(lambda: node.post("/hooks/open", b"{}", {"X-Key": "2"}).status in (200, 202))


def _post_and_cancel(node: Daemon, primary: Server) -> int:
    """Send an event, and cancel its commit's wait for the standby."""
    over = threading.Event()

    def cancel() -> None:
        while not over.wait(0.05):
            primary.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        return node.post("/hooks/open", b"{}", {"X-Key": "2"}).status
    finally:
        over.set()
        thread.join()
