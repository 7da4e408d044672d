-- Version 4: polled sources.

-- What is known of each from one poll to the next. `token` changes with each write.
CREATE TABLE webhook_router.poll (
    source text COLLATE "C" PRIMARY KEY,
    series text COLLATE "C" NOT NULL,
    token text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL -- JSON
);

-- The ids of items that were there, and when they were last seen (ms).
CREATE TABLE webhook_router.poll_item (
    series text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    seen_at bigint NOT NULL,
    PRIMARY KEY (series, id)
);

CREATE INDEX poll_item_age ON webhook_router.poll_item (series, seen_at);

-- Series whose ids nobody needs any more. They are removed in steps.
CREATE TABLE webhook_router.poll_gone (series text COLLATE "C" PRIMARY KEY);
