"""Several nodes write to one store at once."""

import fcntl
import os
import random
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import psycopg
import pytest

from router.domain.deliveries import Claim, PlannedDelivery, RulesetText, Settlement, State
from router.domain.events import Event
from router.domain.filters import Filter
from router.domain.groups import Latest
from router.domain.ids import uuid7
from router.domain.outcomes import Outcome
from router.domain.stream import Arrival, EndedAttempt, StreamPosition
from router.operate.follow import Follower
from router.store.contract import StoreFaults
from router.store.fleet import Limits, NodeFacts, TakenOver
from router.store.postgres.store import PostgresStore
from router.store.postgres.url import parse_url
from tests.conftest import until

NOW = 1_700_000_000_000
NODES = 3
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


@pytest.fixture
def nodes(postgres_store_url: str) -> Iterator[list[PostgresStore]]:
    """Stores of several nodes on one database."""
    with ExitStack() as stack:
        opened = [
            stack.enter_context(closing(PostgresStore(parse_url(postgres_store_url), on_commit=lambda *_: None)))
            for _ in range(NODES)
        ]
        opened[0].put_ruleset(RulesetText("r1", "rules: []", "/etc"), NOW).result(30)
        yield opened


def test_duplicates_on_several_nodes_are_one_event(
    nodes: list[PostgresStore], event: MakeEvent, planned_delivery: MakePlan
) -> None:
    """Each node appends in another order, so that locks in the order of arrival would deadlock."""
    keys = [f"k{number}" for number in range(40)]
    futures = []
    for number, node in enumerate(nodes):
        for key in random.Random(number).sample(keys, len(keys)):
            made = event(dedupe_key=key)
            futures.append((key, node.append(made, [planned_delivery()], "r1", dedupe_window=1000)))

    answers = [(key, future.result(60)) for key, future in futures]

    assert Counter(key for key, answer in answers if not answer.duplicate) == dict.fromkeys(keys, 1)
    assert {answer.event_id for _, answer in answers} == {found.id for found in nodes[0].events(limit=1000)}
    assert sum(node.faults().deadlocks for node in nodes) == 0  # all nodes lock in the same order


def test_deliveries_of_one_order_key_keep_their_order_across_nodes(
    nodes: list[PostgresStore], event: MakeEvent, planned_delivery: MakePlan
) -> None:
    """All nodes append, claim, settle, replay and cancel at once, with few order keys."""
    went: dict[str, list[tuple[int, str]]] = {}  #: by order key: the attempts, as they began
    running: dict[str, set[str]] = {"[1]": set(), "[2]": set(), "[3]": set()}
    overlaps: list[set[str]] = []

    def work(seed: int) -> None:
        chance, node = random.Random(seed), nodes[seed % NODES]
        for number in range(25):
            lane = f"[{chance.randint(1, 3)}]"
            plan = [planned_delivery(order_key=lane), planned_delivery(order_key=None)]
            node.append(event(id=uuid7(NOW + number)), plan, "r1").result(60)
            for claim in node.claim({"ci": 4}, NOW).result(60):
                attempt(node, claim)
            if number % 10 == 5:
                chosen = [d.id for d in chance.sample(node.deliveries(limit=1000), 3)]
                node.cancel(chosen, NOW).result(60)

    def attempt(node: PostgresStore, claim: Claim) -> None:
        key = claim.delivery.order_key
        if key is not None:
            running[key].add(claim.delivery.id)
            overlaps.append(set(running[key]))
            went.setdefault(key, []).append((claim.delivery.seq, claim.delivery.id))
            running[key].discard(claim.delivery.id)
        end = Settlement(claim.delivery.id, claim.token, Outcome.succeeded(), State.SUCCEEDED, NOW, NOW)
        node.settle([end]).result(60)

    with ThreadPoolExecutor(2 * NODES) as pool:
        list(pool.map(work, range(2 * NODES)))
    while claims := nodes[0].claim({"ci": 50}, NOW).result(60):
        for claim in claims:
            attempt(nodes[0], claim)

    # After a cancel the next delivery starts while the attempt of the cancelled one still runs.
    cancelled = {d.id for d in nodes[0].deliveries(Filter(states=(State.CANCELLED,)), limit=5000)}
    assert [found for found in overlaps if len(found - cancelled) > 1] == []
    orders = [[seq for seq, id_ in attempts if id_ not in cancelled] for attempts in went.values()]
    assert all(seqs == sorted(seqs) for seqs in orders)
    assert sum(map(len, orders)) > 100
    ends = (State.SUCCEEDED, State.CANCELLED)
    assert {d.state for d in nodes[0].deliveries(limit=5000)} <= set(ends)
    assert [finding for finding in nodes[0].check(lambda *_: None) if finding.broken] == []


def test_deadlocks_between_busy_nodes_are_rare_and_counted(
    nodes: list[PostgresStore], event: MakeEvent, planned_delivery: MakePlan
) -> None:
    """All nodes write at once, settle in random order and remove old events, with few order keys and groups."""
    rules, commits = RulesetText("r1", "rules: []", "/etc"), Counter[str]()

    def plan(chance: random.Random) -> list[PlannedDelivery]:
        key, group = f"[{chance.randint(1, 3)}]", Latest(f"[{chance.randint(1, 3)}]")
        return [planned_delivery(order_key=key), planned_delivery("cd"), planned_delivery("cd", group=group)]

    def work(seed: int) -> None:
        chance, node = random.Random(seed), nodes[seed % NODES]
        for round_ in range(20):
            now = NOW + round_
            made = [event(id=uuid7(now), received_at=now, dedupe_key=str(chance.randint(1, 9))) for _ in range(3)]
            futures: list[Future[Any]] = [node.append(one, plan(chance), "r1", dedupe_window=2) for one in made]
            claims = node.claim({"ci": 6, "cd": 6}, now).result(60)
            chance.shuffle(claims)
            ends = [Settlement(c.delivery.id, c.token, Outcome.failed("x"), State.DEAD, now, now) for c in claims]
            known = [found.id for found in node.deliveries(limit=40)]
            chosen = chance.sample(known, min(6, len(known)))
            futures += [node.settle(ends), node.replay(chosen, now), node.cancel(chosen[:2], now)]
            futures += [node.plan_again(made[0].id, plan(chance), rules, now), node.prune(now - 5, now - 5)]
            for future in futures:
                future.result(60)
            commits["jobs"] += len(futures) + 1

    with ThreadPoolExecutor(2 * NODES) as pool:
        list(pool.map(work, range(2 * NODES)))

    assert sum(node.faults().deadlocks for node in nodes) <= commits["jobs"] / 100
    assert sum(node.faults().errors for node in nodes) == 0
    assert [finding for finding in nodes[0].check(lambda *_: None) if finding.broken] == []


# A trigger raises the server's error for a deadlock twice, since a real deadlock is found after a varying time.
_TWO_DEADLOCKS = """
CREATE SEQUENCE tries;
CREATE FUNCTION deadlock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('tries') <= 2 THEN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = 'deadlock_detected'; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER deadlock BEFORE INSERT ON webhook_router.event FOR EACH STATEMENT EXECUTE FUNCTION deadlock()
"""


def test_a_transaction_that_fails_by_a_deadlock_is_repeated_and_counted(postgres_url: str, event: MakeEvent) -> None:
    with closing(PostgresStore(parse_url(postgres_url))) as store:
        with psycopg.connect(postgres_url) as connection:
            connection.execute(_TWO_DEADLOCKS)

        one = event()
        assert store.append(one, [], "r1").result(60).event_id == one.id

        assert store.faults() == StoreFaults(deadlocks=2)
        assert [found.id for found in store.events()] == [one.id]


def test_no_delivery_is_claimed_by_two_nodes(
    nodes: list[PostgresStore], event: MakeEvent, planned_delivery: MakePlan
) -> None:
    for _ in range(10):
        nodes[0].append(event(), [planned_delivery() for _ in range(20)], "r1").result(60)

    futures = [node.claim({"ci": 7}, NOW) for _ in range(12) for node in nodes]

    claimed = Counter(claim.delivery.id for future in futures for claim in future.result(60))
    left = [claim.delivery.id for claim in nodes[0].claim({"ci": 500}, NOW).result(60)]
    assert set(claimed.values()) == {1}
    assert len(claimed) + len(left) == 200


def test_a_follower_sees_each_commit_of_each_node_once(
    nodes: list[PostgresStore], event: MakeEvent, planned_delivery: MakePlan
) -> None:
    follower = Follower(nodes[0], nodes[0].newest())
    seen: list[str] = []
    sent: set[str] = set()

    def look() -> None:
        for item in follower.new_items():
            if isinstance(item, EndedAttempt):
                assert item.event_id in seen  # an event comes before its attempts
                seen.append(f"{item.delivery_id}#{item.attempt.number}")
            else:
                assert isinstance(item, Arrival)
                seen.append(item.id)

    for round_ in range(5):
        futures = [(one, node.append(one, [planned_delivery()], "r1")) for node in nodes for one in (event(), event())]
        look()
        sent |= {one.id for one, future in futures if future.result(60)}
        claims = [(node, claim) for node in nodes for claim in node.claim({"ci": 2}, NOW).result(60)]
        for node, claim in claims:
            end = Settlement(claim.delivery.id, claim.token, Outcome.succeeded(), State.SUCCEEDED, NOW + round_, NOW)
            node.settle([end]).result(60)
            sent.add(f"{claim.delivery.id}#1")
        look()

    assert Counter(seen) == dict.fromkeys(sent, 1)
    again = Follower(nodes[1], StreamPosition())
    assert len(list(again.new_items())) == len(sent)


def test_a_node_whose_id_belongs_to_another_node_must_join_again(
    nodes: list[PostgresStore], postgres_store_url: str
) -> None:
    """This happens after a failover to a standby that had not yet received the node's row."""
    facts = NodeFacts("one", "host", 1, "1", ("delivery",), ())
    nodes[0].fleet.join(facts, "r1", 60_000)
    assert nodes[0].fleet.renew("r1", 60_000) is not None

    with psycopg.connect(postgres_store_url) as connection:
        connection.execute("UPDATE webhook_router.node SET name = 'other', started_at = started_at + 1")

    assert nodes[0].fleet.renew("r1", 60_000) is None


def test_a_removed_node_that_was_frozen_gets_no_slots(nodes: list[PostgresStore], postgres_store_url: str) -> None:
    """The node was frozen after it had renewed its lease and before it asked for its shares of the limits."""
    for node in nodes:
        node.fleet.join(NodeFacts("one", "host", 1, "1", ("delivery",), ()), "r1", 60_000)
    frozen, other, last = (node.fleet for node in nodes)
    wanted = {"t": (Limits(1), 0)}
    assert frozen.share(wanted)["t"].slots == 1
    assert other.share(wanted)["t"].slots == 0
    with psycopg.connect(postgres_store_url) as connection:
        connection.execute(
            "UPDATE webhook_router.node SET expires_at = 1 WHERE id = (SELECT min(id) FROM webhook_router.node)"
        )
    while other.take_over(0) != TakenOver():
        pass

    frozen.share(wanted)

    assert other.share(wanted)["t"].slots == 1
    other.leave()
    last.leave()
    with psycopg.connect(postgres_store_url) as connection:
        assert connection.execute("SELECT node FROM webhook_router.share").fetchall() == []


def test_the_newest_delivery_of_a_value_waits_for_one_that_is_being_claimed(
    nodes: list[PostgresStore], event: MakeEvent, planned_delivery: MakePlan, postgres_store_url: str
) -> None:
    older, newest = (planned_delivery(group=Latest("key")) for _ in range(2))
    nodes[0].append(event(), [older], "r1").result(30)
    with psycopg.connect(postgres_store_url) as claiming:
        claiming.execute("UPDATE webhook_router.delivery SET state = 'running', token = 't', node = 1, tries = 1")
        appended = nodes[1].append(event(), [newest], "r1")
        until(lambda: _waits(postgres_store_url))
        claiming.commit()
    appended.result(30)

    assert nodes[1].claim({"ci": 2}, NOW + 60_000).result(30) == []
    end = Settlement(older.id, "t", Outcome.succeeded(), State.SUCCEEDED, NOW, NOW)
    nodes[0].settle([end]).result(30)
    assert [claim.delivery.id for claim in nodes[1].claim({"ci": 2}, NOW + 60_000).result(30)] == [newest.id]


def test_cancelling_a_delivery_that_is_being_claimed_ends_its_attempt(
    nodes: list[PostgresStore], event: MakeEvent, planned_delivery: MakePlan, postgres_store_url: str
) -> None:
    planned = planned_delivery()
    nodes[0].append(event(), [planned], "r1").result(30)
    with psycopg.connect(postgres_store_url) as claiming:
        claiming.execute("UPDATE webhook_router.delivery SET state = 'running', token = 't', node = 1, tries = 1")
        claiming.execute(
            "INSERT INTO webhook_router.attempt (delivery, number, started_at) "
            "SELECT seq, 1, created_at FROM webhook_router.delivery"
        )
        cancelled = nodes[1].cancel([planned.id], NOW)
        until(lambda: _waits(postgres_store_url))
        claiming.commit()

    assert cancelled.result(30) == [planned.id]
    assert [finding for finding in nodes[0].check(lambda *_: None) if finding.broken] == []


def _waits(url: str) -> bool:
    """Whether some statement waits for another transaction."""
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is not None


def test_a_node_waits_with_descriptors_of_any_number(nodes: list[PostgresStore]) -> None:
    """A connection that is opened again beside a thousand others has a high number."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    wake, sends = os.pipe()
    high = fcntl.fcntl(wake, fcntl.F_DUPFD, 1100)
    try:
        nodes[0].fleet.join(NodeFacts("one", "host", 1, "1", ("delivery",), ()), "r1", 60_000)
        os.write(sends, b"x")
        assert not nodes[0].fleet.wait(60, high)
        os.read(high, 1)
        nodes[1].fleet.tell()
        assert nodes[0].fleet.wait(60, high)
    finally:
        for one in (wake, sends, high):
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
