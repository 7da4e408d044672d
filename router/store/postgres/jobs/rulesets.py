"""Keeps the text of the current ruleset."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.types.numeric import Int8

from router.domain.deliveries import RulesetText
from router.store.postgres.arrays import Numbers, Texts, columns, stored
from router.store.postgres.jobs.job import Finish, Simple, none_for
from router.store.postgres.transaction import Transaction


@dataclass(slots=True)
class PutRuleset(Simple):
    """The text of the ruleset that is current from this time (ms) on."""

    ruleset: RulesetText
    now: int

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["PutRuleset"]) -> Finish:
        """Record the texts. The same text from another folder replaces the folder where its paths start."""
        for job in jobs:
            text, now = job.ruleset, Int8(job.now)
            transaction.run(_KEEP, (text.hash, stored(text.text), text.base_dir, now))
            transaction.run(_RETIRE_OTHERS, (now, text.hash))
            if transaction.node is not None:
                transaction.run(_RUNS, (text.hash, transaction.node))
            keep_included(transaction, text)
        return none_for(jobs)


def keep_included(transaction: Transaction, ruleset: RulesetText) -> None:
    """Record the texts of the files that a ruleset includes, in place of those recorded before."""
    transaction.run("DELETE FROM webhook_router.included WHERE ruleset = %s", (ruleset.hash,))
    rows = [(ruleset.hash, n, i.pattern, i.name, i.text, i.base_dir) for n, i in enumerate(ruleset.included)]
    if rows:
        transaction.run(_INCLUDE, columns(rows, Texts, Numbers, Texts, Texts, Texts, Texts))


_RETIRE_OTHERS = "UPDATE webhook_router.ruleset SET retired_at = %s WHERE hash <> %s AND retired_at IS NULL"

# In the same transaction, so that no other node believes that nobody runs these rules.
_RUNS = "UPDATE webhook_router.node SET rules = %s WHERE id = %b"

_KEEP = """
INSERT INTO webhook_router.ruleset (hash, text, base_dir, first_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (hash) DO UPDATE
SET base_dir = excluded.base_dir, retired_at = NULL,
    first_at = coalesce(webhook_router.ruleset.first_at, excluded.first_at)
"""

_INCLUDE = """
INSERT INTO webhook_router.included
SELECT * FROM unnest(%b::text[], %b::bigint[], %b::text[], %b::text[], %b::text[], %b::text[])
"""
