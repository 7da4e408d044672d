-- Version 2: replays, what the daemon says of itself, retention.

-- Where a replayed delivery stands in its order; none: where it was planned (seq).
ALTER TABLE delivery ADD COLUMN place INTEGER;

DROP INDEX delivery_order;
CREATE INDEX delivery_order ON delivery (rule, action, order_key, coalesce(place, seq))
    WHERE order_key IS NOT NULL AND state IN ('pending', 'running');

-- With what `depths` reads, so that it counts a million waiting rows without looking them up.
DROP INDEX delivery_due;
CREATE INDEX delivery_due ON delivery (target, next_attempt_at, seq, created_at)
    WHERE state = 'pending' AND blocked = 0;
CREATE INDEX delivery_blocked ON delivery (target, created_at) WHERE state = 'pending' AND blocked = 1;
CREATE INDEX delivery_dead ON delivery (seq, target) WHERE state = 'dead';

DROP TRIGGER delivery_unblocks_the_next;
CREATE TRIGGER delivery_unblocks_the_next AFTER UPDATE OF state ON delivery
WHEN NEW.order_key IS NOT NULL
    AND OLD.state IN ('pending', 'running')
    AND NEW.state IN ('succeeded', 'dead', 'cancelled')
BEGIN
    UPDATE delivery SET blocked = 0
    WHERE blocked = 1 AND seq = (
        SELECT seq FROM delivery
        WHERE rule = NEW.rule AND action = NEW.action AND order_key = NEW.order_key
            AND state IN ('pending', 'running')
        ORDER BY coalesce(place, seq) LIMIT 1
    );
END;

-- When another text took its place; none: it is the current one.
ALTER TABLE ruleset ADD COLUMN retired_at INTEGER;

-- What the daemon says of itself: JSON by name.
CREATE TABLE note (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
