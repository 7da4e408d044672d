"""Keeps the text of the current ruleset."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import apsw

from router.domain.deliveries import RulesetText
from router.store.changes import DueListener


@dataclass(slots=True)
class PutRuleset:
    """The text of the ruleset that is current from this time (ms) on."""

    ruleset: RulesetText
    now: int
    weight: ClassVar[int] = 0
    is_append: ClassVar[bool] = False

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["PutRuleset"], due: DueListener) -> list[None]:  # noqa: ARG003
        """Record the texts. The same text from another folder replaces the folder where its paths start."""
        for job in jobs:
            connection.execute(_RETIRE_OTHERS, (job.now, job.ruleset.hash))
            connection.execute(_KEEP, (job.ruleset.hash, job.ruleset.text, job.ruleset.base_dir, job.now))
            keep_included(connection, job.ruleset)
        return [None] * len(jobs)


def keep_included(connection: apsw.Connection, ruleset: RulesetText) -> None:
    """Record the texts of the files that a ruleset includes, in place of those recorded before."""
    connection.execute("DELETE FROM included WHERE ruleset = ?", (ruleset.hash,))
    rows = [(ruleset.hash, n, i.pattern, i.name, i.text, i.base_dir) for n, i in enumerate(ruleset.included)]
    connection.executemany("INSERT INTO included VALUES (?, ?, ?, ?, ?, ?)", rows)


_RETIRE_OTHERS = "UPDATE ruleset SET retired_at = ? WHERE hash <> ? AND retired_at IS NULL"

_KEEP = """
INSERT INTO ruleset (hash, text, base_dir, first_at) VALUES (?, ?, ?, ?)
ON CONFLICT (hash) DO UPDATE SET
    base_dir = excluded.base_dir, retired_at = NULL, first_at = coalesce(first_at, excluded.first_at)
"""
