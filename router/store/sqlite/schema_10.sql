-- Version 10: large bodies in pieces, so that no commit takes long.

-- The size of a body that is in pieces; `body` is empty then. NULL: `body` holds it.
ALTER TABLE event ADD COLUMN size INTEGER;

CREATE TABLE piece (
    event TEXT NOT NULL, -- id
    number INTEGER NOT NULL, -- from 0
    data BLOB NOT NULL,
    PRIMARY KEY (event, number)
) STRICT;

-- Ids whose pieces no event refers to: not yet, since they are still being written, or no longer. The owner of the store
-- removes their pieces, unless it is writing them.
CREATE TABLE unreferenced (
    event TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- In the same statement, whoever removes an event or empties its body.
CREATE TRIGGER pieces_go AFTER DELETE ON event
WHEN OLD.size IS NOT NULL
BEGIN
    INSERT OR IGNORE INTO unreferenced (event) VALUES (OLD.id);
END;
CREATE TRIGGER pieces_are_replaced AFTER UPDATE OF size ON event
WHEN OLD.size IS NOT NULL AND NEW.size IS NULL
BEGIN
    INSERT OR IGNORE INTO unreferenced (event) VALUES (OLD.id);
END;
