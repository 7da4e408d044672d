"""What may happen to nodes, server and network of a fleet, each fault as a method that ends with all nodes serving."""

import itertools
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from router.store.postgres.operator_store import PostgresOperatorStore
from router.store.postgres.url import parse_url
from tests.acceptance.fleet import Fleet
from tests.acceptance.test_clock import PROGRAM as WITH_OTHER_CLOCK
from tests.acceptance.test_clock import Clock
from tests.conftest import Daemon, Receiver
from tests.faulty_proxy import FaultyProxy, answers_commit, holds_batch
from tests.postgres import Server

NODES = 3
CUT_SECONDS = 20.0  #: that a proxy waits for a COMMIT to cut
HOUR = 3600


class Field:
    """A fleet behind a proxy, and the choices of one seed."""

    def __init__(self, folder: Path, rules: str, seed: int, lease: float, beside: Path | None) -> None:
        """`beside`: a tree with an older program, from which every second node is started."""
        self.chance = random.Random(seed)
        self.server = Server()
        self.proxy = FaultyProxy(self.server.port)
        self.receiver = Receiver()
        self.receiver.start()
        rules = rules.replace("URL", self.receiver.url)
        self.fleet = Fleet(folder, self.server, rules, port=self.proxy.port, lease=lease)
        self.serving: list[Daemon] = []
        self.done: Counter[str] = Counter()
        self.deadlocks = 0
        self._lease = lease
        self._beside = beside
        self._starts = itertools.count()
        self._folder = folder

    def start_node(self) -> None:
        """One more node serves: an older one in turns, if there is such a program, or one with another clock."""
        number = next(self._starts)
        if self._beside is not None and number % 2 == 0:
            program = (str(self._beside / ".venv/bin/webhook-router"),)
            self.serving.append(self.fleet.start(program=program))
            self.done["older node started"] += 1
        elif self.chance.random() < 0.25:
            folder = self._folder / f"clock-{number}"
            folder.mkdir()
            clock = Clock(folder)
            clock.set(self.chance.choice((-HOUR, HOUR)))
            program = (sys.executable, "-c", WITH_OTHER_CLOCK)
            self.serving.append(self.fleet.start(env=clock.env, program=program))
            self.done["node with a clock an hour off started"] += 1
        else:
            self.serving.append(self.fleet.start())

    def disturb(self) -> None:
        """Do one fault."""
        self._count_deadlocks()
        name = self.chance.choices(list(FAULTS), [weight for weight, _ in FAULTS.values()])[0]
        FAULTS[name][1](self)
        self.done[name] += 1

    def close(self) -> None:
        """End all of it."""
        self.fleet.close()
        self.receiver.stop()
        self.proxy.close()
        self.server.remove()

    def kill_node(self) -> None:
        """kill -9 the oldest node, and start another."""
        self._replace(Daemon.kill)

    def stop_node(self) -> None:
        """Stop the oldest node, and start another."""
        self._replace(Daemon.stop)

    def freeze_node(self) -> None:
        """Stop a node's process, often past its lease, and let it go on."""
        node = self.serving.pop(0)
        os.kill(node.process.pid, signal.SIGSTOP)
        time.sleep(self.chance.uniform(0, 2.5 * self._lease))
        os.kill(node.process.pid, signal.SIGCONT)
        self.serving.append(node)

    def kill_server(self) -> None:
        """kill -9 the server's processes, and start it again."""
        self.server.kill()
        time.sleep(self.chance.uniform(0, 2))
        self.server.start()

    def cut_commit(self) -> None:
        """Cut a connection before or after a COMMIT has reached the server."""
        before, until = self.proxy.cuts, time.monotonic() + CUT_SECONDS
        side, at = self.chance.choice((("cut_before", holds_batch), ("cut_answer", answers_commit)))
        setattr(self.proxy, side, at)
        while self.proxy.cuts == before and time.monotonic() < until:
            time.sleep(0.01)
        setattr(self.proxy, side, lambda _: False)

    def drop_network(self) -> None:
        """Cut all connections, and refuse new ones for a moment."""
        self.proxy.refusing = True
        self.proxy.cut()
        time.sleep(self.chance.uniform(0, 2))
        self.proxy.refusing = False

    def slow_network(self) -> None:
        """Delay all that passes."""
        self.proxy.delay = 0.1
        time.sleep(self.chance.uniform(0, 3))
        self.proxy.delay = 0.0

    def lose_node_while_paused(self) -> None:
        """Pause a target, kill a node, and resume the target: nothing may have arrived there meanwhile."""
        with closing(PostgresOperatorStore(parse_url(self.server.url(self.fleet.database)))) as store:
            now = self.fleet.count("SELECT (extract(epoch FROM now()) * 1000)::bigint")
            store.pause("held", None, now).result(60)
            time.sleep(3)  # every node hears of it within a second; what was under way ends
            before = len(self.receiver.ids("/held"))
            self.kill_node()
            time.sleep(self.chance.uniform(0, self._lease))
            self.done["arrived at a paused target"] += len(self.receiver.ids("/held")) - before
            store.resume("held", now).result(60)

    def lose_node_while_failing(self) -> None:
        """Let a target fail until its breaker opens, kill a node, and let it work again."""
        self.receiver.status = 500
        time.sleep(1)
        self.kill_node()
        time.sleep(self.chance.uniform(0, self._lease))
        self.receiver.status = 200

    def _replace(self, end: Callable[[Daemon], object]) -> None:
        node = self.serving.pop(0)
        end(node)
        self.fleet.nodes.remove(node)
        self.start_node()

    def _count_deadlocks(self) -> None:
        """A server that is killed forgets its count, so take it over each time."""
        sql = "SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()"
        found = self.fleet.count(sql)
        self.deadlocks += found
        if found:
            self.fleet.ask("SELECT pg_stat_reset()")


FAULTS = {
    "kill a node": (6, Field.kill_node),
    "stop a node": (2, Field.stop_node),
    "freeze a node": (2, Field.freeze_node),
    "kill the server": (1, Field.kill_server),
    "cut inside COMMIT": (2, Field.cut_commit),
    "drop the network": (1, Field.drop_network),
    "slow the network": (1, Field.slow_network),
    "kill a node while a target is paused": (1, Field.lose_node_while_paused),
    "kill a node while a breaker is open": (1, Field.lose_node_while_failing),
}
KILLS = tuple(name for name in FAULTS if name.startswith("kill"))
