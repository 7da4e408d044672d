-- Version 5: holds. A paused target, a disabled rule or action holds its pending deliveries.

-- Never updated but for `ended_at`, so that a retry policy's clock can leave out the time of each hold.
CREATE TABLE hold (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('target', 'rule', 'action')),
    name TEXT NOT NULL,
    cause TEXT NOT NULL CHECK (cause IN ('operator', 'file')),
    began_at INTEGER NOT NULL,
    until INTEGER, -- none: until somebody ends it
    ended_at INTEGER
) STRICT;

CREATE UNIQUE INDEX hold_open ON hold (kind, name, cause) WHERE ended_at IS NULL;

-- `blocked` has two bits now. 1: an earlier delivery of the same order key is not settled. 2: its rule or action is
-- disabled; the daemon marks such pending deliveries, so that claims never walk past them. Those of a paused target are
-- not marked: nothing is claimed there.
CREATE INDEX delivery_held ON delivery (rule, action, target, blocked) WHERE blocked >= 2;

DROP TRIGGER delivery_unblocks_the_next;
CREATE TRIGGER delivery_unblocks_the_next AFTER UPDATE OF state ON delivery
WHEN NEW.order_key IS NOT NULL
    AND OLD.state IN ('pending', 'running')
    AND NEW.state IN ('succeeded', 'dead', 'cancelled')
BEGIN
    UPDATE delivery SET blocked = blocked & ~1
    WHERE blocked & 1 AND seq = (
        SELECT seq FROM delivery
        WHERE rule = NEW.rule AND action = NEW.action AND order_key = NEW.order_key
            AND state IN ('pending', 'running')
        ORDER BY coalesce(place, seq) LIMIT 1
    );
END;
