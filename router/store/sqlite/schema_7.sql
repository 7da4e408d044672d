-- Version 7: what the rules said of each event, what each attempt sent, and what searches need to be quick.

-- The hash of the rules that the event was routed by. None: it was received by an earlier version.
ALTER TABLE event ADD COLUMN ruleset TEXT;

-- JSON: the names of the rules that matched.
ALTER TABLE event ADD COLUMN matched TEXT;

-- JSON: [[rule, reason], …] of the rules that could not be judged. None: there are none.
ALTER TABLE event ADD COLUMN errors TEXT;

-- JSON: see Sent. None: it sent nothing, or nothing is known.
ALTER TABLE attempt ADD COLUMN sent TEXT;

-- When the text was first current; none: by an earlier version, or never.
ALTER TABLE ruleset ADD COLUMN first_at INTEGER;

CREATE INDEX event_source ON event (source);
CREATE INDEX event_dedupe ON event (dedupe_key) WHERE dedupe_key IS NOT NULL;
-- Only for queries that say rule <> '': the others have narrower indexes, and SQLite would take this one.
CREATE INDEX delivery_rule ON delivery (rule, seq, event) WHERE rule <> '';
CREATE INDEX delivery_unusual ON delivery (state, event) WHERE state NOT IN ('pending', 'running', 'succeeded');

-- Rules that matched an event and planned no delivery of it. The rule `unmatched`: no rule matched.
CREATE TABLE matched_alone (
    rule TEXT NOT NULL,
    event INTEGER NOT NULL,
    PRIMARY KEY (rule, event)
) STRICT, WITHOUT ROWID;

INSERT INTO matched_alone (rule, event)
SELECT 'unmatched', seq FROM event e WHERE NOT EXISTS (SELECT 1 FROM delivery WHERE event = e.seq);

-- In the same statement, whoever removes an event.
CREATE TRIGGER event_goes AFTER DELETE ON event
BEGIN
    DELETE FROM matched_alone
    WHERE event = OLD.seq AND rule IN (SELECT value FROM json_each(OLD.matched) UNION SELECT 'unmatched');
END;
