-- Version 9: groups. Of the deliveries of one latest_by or once_by value, some are skipped.

-- The values; none: not grouped, or replayed. A replayed delivery stands outside its group.
ALTER TABLE delivery ADD COLUMN latest_key TEXT;
ALTER TABLE delivery ADD COLUMN once_key TEXT;

-- With `wait`: when the first delivery was received that this one and those before it stand for.
ALTER TABLE delivery ADD COLUMN wait_since INTEGER;

-- Of a skipped delivery: 'newer' or 'earlier', and the id of the delivery that stands for it.
ALTER TABLE delivery ADD COLUMN skip_reason TEXT;
ALTER TABLE delivery ADD COLUMN skipped_for TEXT;

CREATE INDEX delivery_latest ON delivery (rule, action, latest_key)
    WHERE latest_key IS NOT NULL AND state IN ('pending', 'running');

-- `blocked` has a third bit. 4: an attempt at an earlier delivery of the same latest_by value is under way.
DROP INDEX delivery_held;
CREATE INDEX delivery_held ON delivery (rule, action, target, blocked) WHERE blocked & 2;
DROP INDEX delivery_blocked;
CREATE INDEX delivery_blocked ON delivery (target, created_at, blocked) WHERE state = 'pending' AND blocked IN (1, 4, 5);

-- The first delivery of each once_by value, until its time is over.
CREATE TABLE once (
    rule TEXT NOT NULL,
    action TEXT NOT NULL,
    key TEXT NOT NULL,
    delivery TEXT NOT NULL, -- id
    received_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (rule, action, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX once_expiry ON once (expires_at);

DROP TRIGGER delivery_unblocks_the_next;
CREATE TRIGGER delivery_unblocks_the_next AFTER UPDATE OF state ON delivery
WHEN NEW.order_key IS NOT NULL
    AND OLD.state IN ('pending', 'running')
    AND NEW.state NOT IN ('pending', 'running')
BEGIN
    UPDATE delivery SET blocked = blocked & ~1
    WHERE blocked & 1 AND seq = (
        SELECT seq FROM delivery
        WHERE rule = NEW.rule AND action = NEW.action AND order_key = NEW.order_key
            AND state IN ('pending', 'running')
        ORDER BY coalesce(place, seq) LIMIT 1
    );
END;

-- An attempt ended. When a newer delivery waits for it, it begins, and a failed one is not tried again. Of one value, one
-- delivery at most is pending, and one running.
CREATE TRIGGER delivery_makes_way AFTER UPDATE OF state ON delivery
WHEN NEW.latest_key IS NOT NULL AND OLD.state = 'running' AND NEW.state <> 'running'
BEGIN
    UPDATE delivery SET state = 'skipped', token = NULL, blocked = 0, skip_reason = 'newer', skipped_for = (
        SELECT n.id FROM delivery n
        WHERE n.rule = NEW.rule AND n.action = NEW.action AND n.latest_key = NEW.latest_key AND n.latest_key IS NOT NULL
            AND n.state IN ('pending', 'running') AND n.seq > NEW.seq
    )
    WHERE seq = NEW.seq AND NEW.state IN ('pending', 'dead') AND EXISTS (
        SELECT 1 FROM delivery n
        WHERE n.rule = NEW.rule AND n.action = NEW.action AND n.latest_key = NEW.latest_key AND n.latest_key IS NOT NULL
            AND n.state IN ('pending', 'running') AND n.seq > NEW.seq
    );
    UPDATE delivery SET blocked = blocked & ~4
    WHERE rule = NEW.rule AND action = NEW.action AND latest_key = NEW.latest_key AND latest_key IS NOT NULL
        AND state IN ('pending', 'running') AND blocked & 4;
END;

-- The next one counts as the first.
CREATE TRIGGER first_fails AFTER UPDATE OF state ON delivery
WHEN NEW.once_key IS NOT NULL AND NEW.state IN ('dead', 'cancelled')
BEGIN
    DELETE FROM once
    WHERE rule = NEW.rule AND action = NEW.action AND key = NEW.once_key AND delivery = NEW.id;
END;

-- For followers, as attempt number 0. When its attempt is under way, the writer adds it after the attempt's end.
CREATE TRIGGER delivery_is_skipped AFTER UPDATE OF state ON delivery
WHEN NEW.state = 'skipped'
BEGIN
    INSERT INTO settled (delivery, number)
    SELECT NEW.seq, 0 WHERE NOT EXISTS (SELECT 1 FROM attempt WHERE delivery = NEW.seq AND finished_at IS NULL);
END;

-- One more state. SQLite has no statement that changes a CHECK (sqlite.org/lang_altertable.html, "Making Other Kinds Of
-- Table Schema Changes"); the last of this script, since the statements before go by the old text.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '''dead'', ''cancelled'')', '''dead'', ''cancelled'', ''skipped'')')
    WHERE type = 'table' AND name = 'delivery';
PRAGMA writable_schema = RESET;
