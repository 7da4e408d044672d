"""The standby of the tests follows its primary and can take over."""

import contextlib
import time

import psycopg
import pytest

from tests.faulty_proxy import FaultyProxy, holds_commit
from tests.postgres import PATIENCE_SECONDS, Server
from tests.postgres_standby import PRIMARY, Standby, wait_for_standby


def test_a_promoted_synchronous_standby_has_every_committed_row() -> None:
    with contextlib.ExitStack() as stack:
        primary = Server(PRIMARY)
        stack.callback(primary.remove)
        primary.execute("CREATE TABLE t (n int)")
        standby = Standby(primary)
        stack.callback(standby.remove)
        wait_for_standby(primary, synchronous=True)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while primary.execute("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        primary.execute("INSERT INTO t VALUES (1)")

        primary.kill()
        standby.promote()

        assert standby.execute("INSERT INTO t VALUES (2) RETURNING (SELECT count(*) FROM t)") == [(1,)]


def test_the_proxy_can_cut_a_connection_before_or_after_the_commit(postgres_server: Server) -> None:
    name = postgres_server.new_database()
    proxy = FaultyProxy(postgres_server.port)
    try:
        url = f"postgresql://postgres@127.0.0.1:{proxy.port}/{name}"
        postgres_server.execute("CREATE TABLE t (n int)", name)
        for number, (before, after) in enumerate([(True, False), (False, True)]):
            proxy.cut_before = holds_commit if before else lambda _: False
            proxy.cut_after = holds_commit if after else lambda _: False
            with pytest.raises(psycopg.OperationalError), psycopg.connect(url) as connection:
                connection.execute("INSERT INTO t VALUES (%s)", (number,))

        assert proxy.cuts == 2
        assert postgres_server.execute("SELECT n FROM t", name) == [(1,)]
    finally:
        proxy.close()
        postgres_server.drop_database(name)
