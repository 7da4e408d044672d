-- Version 8: notices of the router about itself.

-- By kind and subject: when one was last told (ms, 0: never), and what was gathered since.
CREATE TABLE notice (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    count INTEGER NOT NULL,
    last TEXT NOT NULL, -- JSON: the payload of the last one
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;
