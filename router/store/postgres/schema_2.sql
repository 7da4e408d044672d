-- Version 2: notices of the router about itself.

-- By kind and subject: when one was last told (ms, 0: never), and what was gathered since.
CREATE TABLE webhook_router.notice (
    kind text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    opened_at bigint NOT NULL,
    count bigint NOT NULL,
    last text NOT NULL, -- JSON: the payload of the last one
    event text COLLATE "C" NOT NULL, -- id of the event that told the last one
    newest text COLLATE "C" NOT NULL, -- id of the last one's event, told or gathered
    PRIMARY KEY (kind, subject)
);
