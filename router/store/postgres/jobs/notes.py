"""Keeps notes of the daemon about itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from router.store.postgres.arrays import Texts, columns
from router.store.postgres.jobs.job import Finish, Simple, none_for
from router.store.postgres.transaction import Transaction


@dataclass(slots=True)
class PutNote(Simple):
    """A note of the daemon about itself."""

    name: str
    value: str

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["PutNote"]) -> Finish:
        """Keep the last note of each name."""
        rows = sorted({job.name: job.value for job in jobs}.items())
        transaction.run(_PUT, columns(rows, Texts, Texts))
        return none_for(jobs)


_PUT = """
INSERT INTO webhook_router.note SELECT * FROM unnest(%b::text[], %b::text[])
ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
