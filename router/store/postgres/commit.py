"""Commits jobs in one transaction."""

from collections.abc import Sequence
from typing import Any

from router.store.changes import DueListener
from router.store.postgres import lanes
from router.store.postgres.connection import Connected
from router.store.postgres.jobs.job import Finish, WriteJob
from router.store.postgres.transaction import Transaction, settings

IDLE_SECONDS = 4  #: after this the server ends a transaction whose node is frozen; below a third of the lease


def prepare_session(connection: Connected) -> None:
    """Prepare the session for `commit_jobs` with `in_session`. Raises psycopg.Error."""
    connection.execute(settings(IDLE_SECONDS, local=False).encode())


def commit_jobs(
    connection: Connected,
    writer: int,
    node: int | None,
    jobs: Sequence[WriteJob],
    due: DueListener,
    *,
    in_session: bool = False,
) -> list[Any]:
    """Commit jobs. Returns a result for each.

    `in_session`: the session is prepared. A pooler gives each transaction another session. Raises psycopg.Error, and
    ValueError and similar errors for values that no row can have.

    Jobs of one kind run together, since a dozen cost hardly more than one. Nobody sees in which order the jobs of one
    transaction ran, as long as those of a kind keep theirs. All writers run the kinds in the same order, so that they
    take locks in the same order.
    """
    kinds: dict[type[WriteJob], list[int]] = {}
    for index, job in enumerate(jobs):
        kinds.setdefault(type(job), []).append(index)
    finishers: list[tuple[type[WriteJob], Finish]] = []

    def fill(transaction: Transaction) -> None:
        known = {lane for job in jobs for lane in job.lanes}
        joined = {group for job in jobs for group in job.groups}
        lanes.lock(transaction, known, sorted({id_ for job in jobs for id_ in job.ids}), joined)
        for kind in sorted(kinds, key=lambda kind: kind.order):
            finish = kind.send(transaction, [jobs[index] for index in kinds[kind]])
            finishers.append((kind, finish))

    each = None if in_session else settings(IDLE_SECONDS, local=True)
    Transaction(connection, writer, node, each).commit(fill)
    results: list[Any] = [None] * len(jobs)
    for kind, finish in finishers:
        for index, result in zip(kinds[kind], finish(due), strict=True):
            results[index] = result
    return results
