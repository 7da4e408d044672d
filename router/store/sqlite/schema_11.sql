-- Version 11: polled sources.

-- What is known of each from one poll to the next. `token` changes with each write.
CREATE TABLE poll (
    source TEXT PRIMARY KEY,
    series TEXT NOT NULL,
    token TEXT NOT NULL,
    state TEXT NOT NULL -- JSON
) STRICT, WITHOUT ROWID;

-- The ids of items that were there, and when they were last seen (ms).
CREATE TABLE poll_item (
    series TEXT NOT NULL,
    id TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (series, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX poll_item_age ON poll_item (series, seen_at);

-- Series whose ids nobody needs any more. They are removed in steps.
CREATE TABLE poll_gone (series TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
