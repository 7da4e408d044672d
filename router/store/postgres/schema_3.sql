-- Version 3: the events of one source in their order, for retention and for lists of one source.

-- By seq + 0, as event_writer.
CREATE INDEX event_source_order ON webhook_router.event (source, (seq + 0));
DROP INDEX webhook_router.event_source;
