"""What an error of PostgreSQL means: try again, a faulty statement, or work for the operator."""

import psycopg
from psycopg import errors

# Another transaction was in the way. The same statement works a moment later.
IN_THE_WAY = (errors.DeadlockDetected, errors.SerializationFailure)

_UNAVAILABLE_CLASSES = ("08", "25", "53", "57", "58", "XX")  #: of SQLSTATE: connection, read-only, resources, stop, I/O
_CUT = ("08", "57P", "25P03", "25P04")  #: of SQLSTATE: connection, stop, a transaction that took too long
_OF_THE_SERVER = ("53", "58", "XX")  #: of SQLSTATE: resources, the operating system, I/O
_UNAVAILABLE = (
    *IN_THE_WAY,
    errors.LockNotAvailable,
    errors.InsufficientPrivilege,
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.InvalidSchemaName,
)


def is_unavailable(error: Exception) -> bool:
    """Whether the database is unable to do anything now, whatever the statement."""
    if isinstance(error, _UNAVAILABLE):
        return True
    if not isinstance(error, psycopg.Error):
        return isinstance(error, MemoryError | OSError)
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate[:2] in _UNAVAILABLE_CLASSES


def is_disconnect(error: Exception) -> bool:
    """Whether the connection is gone, so that nobody knows whether the last COMMIT was made."""
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate.startswith(_CUT)


def reason(error: Exception) -> str:
    """The error in one line, with a cure for the operator. It never holds a value of a row or a password."""
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    text = primary or str(error)
    text = " ".join(text.split())
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return f"{text}; the server is read-only: a standby, or set so"
    if isinstance(error, errors.InsufficientPrivilege):
        return f"{text}; grant the user ALL on the schema webhook_router, its tables and sequences"
    if isinstance(error, errors.DiskFull):
        return f"{text}; the server's disk is full"
    if isinstance(error, errors.TooManyConnections):
        return f"{text}; raise max_connections, or lower the number of nodes"
    for sign, cure in _OF_A_POOLER:
        if sign in text:
            return f"{text}; {cure}"
    hint = _hint(error) if isinstance(error, psycopg.Error) else ""
    return f"{text}; {hint}" if hint else text


_OF_A_POOLER = (
    ("max_client_conn", "raise max_client_conn of the pooler: a node opens up to seven connections"),
    ("query_wait_timeout", "raise default_pool_size of the pooler: in session mode a node takes up to seven sessions"),
    ("statement pooling mode", "set pool_mode of the pooler to transaction or session"),
)


def _hint(error: psycopg.Error) -> str:
    """The server's hint, for errors that don't depend on the statement."""
    hint = error.diag.message_hint if (error.sqlstate or "")[:2] in _OF_THE_SERVER else None
    return " ".join((hint or "").split()).rstrip(".")
