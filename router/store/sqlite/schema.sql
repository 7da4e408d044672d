-- Version 1. Times are Unix times in milliseconds. A change gets a new version: a script beside this one,
-- and its line in schema.py. schema_2.sql replaces some of the indexes, and the trigger.

CREATE TABLE ruleset (
    id INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    text TEXT NOT NULL,
    base_dir TEXT NOT NULL
) STRICT;

CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    query TEXT NOT NULL,
    headers TEXT NOT NULL, -- JSON: [[name, value], …]
    body BLOB NOT NULL,
    ip TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    dedupe_key TEXT
) STRICT;

CREATE TABLE delivery (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, -- commit order; never used twice, so that order survives pruning
    id TEXT NOT NULL UNIQUE,
    event INTEGER NOT NULL REFERENCES event (seq),
    rule TEXT NOT NULL,
    action TEXT NOT NULL,
    type TEXT NOT NULL,
    target TEXT NOT NULL,
    order_key TEXT,
    ruleset TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'running', 'succeeded', 'dead', 'cancelled')),
    blocked INTEGER NOT NULL DEFAULT 0, -- an earlier delivery of the same order key is not settled
    next_attempt_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    interruptions INTEGER NOT NULL DEFAULT 0,
    first_attempt_at INTEGER,
    created_at INTEGER NOT NULL,
    error TEXT NOT NULL DEFAULT '',
    token TEXT -- proof of the claim, while running
) STRICT;

-- What can be claimed, by target: a full target's rows and blocked rows are never walked past.
CREATE INDEX delivery_due ON delivery (target, next_attempt_at, seq) WHERE state = 'pending' AND blocked = 0;
CREATE INDEX delivery_running ON delivery (token) WHERE state = 'running';
CREATE INDEX delivery_order ON delivery (rule, action, order_key, seq)
    WHERE order_key IS NOT NULL AND state IN ('pending', 'running');
CREATE INDEX delivery_waiting ON delivery (rule) WHERE state IN ('pending', 'running');
CREATE INDEX delivery_event ON delivery (event);

-- In the same statement as the state change, so that no crash can come between.
CREATE TRIGGER delivery_unblocks_the_next AFTER UPDATE OF state ON delivery
WHEN NEW.order_key IS NOT NULL
    AND OLD.state IN ('pending', 'running')
    AND NEW.state IN ('succeeded', 'dead', 'cancelled')
BEGIN
    UPDATE delivery SET blocked = 0
    WHERE blocked = 1 AND seq = (
        SELECT min(seq) FROM delivery
        WHERE rule = NEW.rule AND action = NEW.action AND order_key = NEW.order_key
            AND state IN ('pending', 'running')
    );
END;

CREATE TABLE attempt (
    delivery INTEGER NOT NULL REFERENCES delivery (seq),
    number INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    finished_at INTEGER,
    outcome TEXT,
    status INTEGER,
    error TEXT NOT NULL DEFAULT '',
    excerpt TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE dedupe (
    source TEXT NOT NULL,
    key TEXT NOT NULL,
    event TEXT NOT NULL, -- id of the first event
    received_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (source, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX dedupe_expiry ON dedupe (expires_at);
