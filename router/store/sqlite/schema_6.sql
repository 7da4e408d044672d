-- Version 6: rules in several files.

-- The texts of the files that a ruleset includes, in their order.
CREATE TABLE included (
    ruleset TEXT NOT NULL, -- hash
    number INTEGER NOT NULL,
    pattern TEXT NOT NULL,
    name TEXT NOT NULL,
    text TEXT NOT NULL,
    base_dir TEXT NOT NULL,
    PRIMARY KEY (ruleset, number)
) STRICT, WITHOUT ROWID;

-- In the same statement, whoever removes a ruleset.
CREATE TRIGGER ruleset_goes AFTER DELETE ON ruleset
BEGIN
    DELETE FROM included WHERE ruleset = OLD.hash;
END;
