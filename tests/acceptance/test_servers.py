"""The daemon with each HTTP server that it supports."""

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import Daemon

RULES = """
sources: {open: {verify: none, max_body: 100KiB}}
rules: [{name: all, actions: [append: all.jsonl]}]
"""


SERVERS = {"own": ("--server", "own"), "waitress": ("--server", "waitress"), "processes": ("--processes", "2")}


@pytest.mark.parametrize("server", SERVERS)
def test_every_event_answered_202_is_stored_and_all_others_are_refused(
    start: Callable[..., Daemon], server: str
) -> None:
    daemon = start(RULES, flags=SERVERS[server])

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: daemon.post("/hooks/open", b'{"n": %d}' % n), range(100)))
    wrong = [
        daemon.post(path, body).status
        for path, body in (
            ("/hooks/%6Fpen", b"{}"), ("//hooks/open", b"{}"), ("/hooks/other", b"{}"),
            ("/hooks/open", b"x" * 150_000), ("/hooks/open", b"{"),
        )
    ]  # fmt: skip

    assert {answer.status for answer in answers} == {202}
    assert wrong == [404, 404, 404, 413, 400]
    assert daemon.admin("/-/ready").status == 200
    assert daemon.stop() == 0
    with sqlite3.connect(daemon.store) as store:
        stored = {id_ for (id_,) in store.execute("SELECT id FROM event")}
    store.close()
    assert stored == {answer.json["id"] for answer in answers}
