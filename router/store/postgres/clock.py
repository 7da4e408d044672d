"""The database's time."""

NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"  #: SQL: Unix time in ms
