"""Queries over the deliveries of each target: what is due, and how much waits."""

# A loose index scan: one seek for each target, however many rows it has.
DUE = """
WITH RECURSIVE target (name) AS (
    SELECT min(target) FROM webhook_router.delivery WHERE state = 'pending' AND blocked = 0
    UNION ALL
    SELECT (
        SELECT min(target) FROM webhook_router.delivery WHERE state = 'pending' AND blocked = 0 AND target > name
    ) FROM target WHERE name IS NOT NULL
)
SELECT name, first.next_attempt_at, first.type FROM target CROSS JOIN LATERAL (
    SELECT next_attempt_at, type FROM webhook_router.delivery
    WHERE state = 'pending' AND blocked = 0 AND target = name ORDER BY next_attempt_at, seq LIMIT 1
) AS first
WHERE name IS NOT NULL
"""

# Each part reads one index and few rows. The oldest of those that are due is the first that was planned.
DEPTHS = """
SELECT due.target, 'due', due.number, d.created_at FROM (
    SELECT target, count(*) AS number, min(seq) AS first FROM webhook_router.delivery
    WHERE state = 'pending' AND blocked = 0 GROUP BY target
) AS due JOIN webhook_router.delivery d ON d.seq = due.first
UNION ALL
SELECT target, 'blocked', count(*), min(created_at) FROM webhook_router.delivery
    WHERE state = 'pending' AND blocked IN (1, 4, 5) GROUP BY target
UNION ALL
SELECT target, 'held', count(*), NULL FROM webhook_router.delivery WHERE blocked & 2 = 2 GROUP BY target
UNION ALL
SELECT target, 'running', count(*), NULL FROM webhook_router.delivery WHERE state = 'running' GROUP BY target
UNION ALL
SELECT target, 'dead', count(*), NULL FROM webhook_router.delivery WHERE state = 'dead' GROUP BY target
"""
