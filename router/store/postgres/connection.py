"""Connections to the database."""

import logging
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import Connection, errors

from router.domain.errors import StoreUnusable
from router.store.postgres.arrays import register
from router.store.postgres.faults import reason
from router.store.postgres.url import PostgresUrl

Connected = Connection[tuple[Any, ...]]
_CLIENT_CERTIFICATE = "give a client certificate that the server accepts: sslcert=FILE and sslkey=FILE in the URL"

# psycopg warns of each connection that broke inside a transaction. The store reports what this means for the router.
logging.getLogger("psycopg").setLevel(logging.ERROR)


def connect(url: PostgresUrl, notice: Callable[[errors.Diagnostic], None] | None = None) -> Connected:
    """A connection on which each statement is a transaction of its own. Raises psycopg.Error, StartError."""
    connection: Connected = psycopg.connect(
        url.conninfo(),
        autocommit=True,
        # Before version 1.21 PgBouncer sends a prepared statement to a server that does not know it.
        prepare_threshold=None if url.pgbouncer else 2,
    )
    register(connection)
    if notice is not None:
        connection.add_notice_handler(notice)
    return connection


def connect_or_explain(url: PostgresUrl) -> Connected:
    """A connection. Raises StoreUnusable with the cure."""
    try:
        return connect(url)
    except psycopg.Error as error:
        raise StoreUnusable(f"the store {url} can't be reached: {explained(error)}") from None


def explained(error: psycopg.Error) -> str:
    """Why the connection failed, with a cure. libpq's texts hold hosts and users, but no passwords."""
    text = reason(error)
    for sign, cure in _CURES:
        if sign in text:
            return f"{text}; {cure}"
    return text


_CURES = (
    ("password authentication failed", "give the right password by password_file=FILE, PGPASSWORD or ~/.pgpass"),
    ("no password supplied", "give the password by password_file=FILE, PGPASSWORD or ~/.pgpass"),
    ("server does not support SSL", "turn TLS on there, or say sslmode=disable on a network that you trust"),
    (
        "certificate verify failed",
        "say sslrootcert=FILE with the authority that signed the server's certificate; neither may have expired",
    ),
    ("root certificate file", "say sslrootcert=FILE with the authority that signed the server's certificate"),
    ("does not match host name", "connect by the name in the server's certificate, or say sslmode=verify-ca"),
    ("valid client certificate", _CLIENT_CERTIFICATE),
    ("certificate required", _CLIENT_CERTIFICATE),
    ("certificate authentication failed", _CLIENT_CERTIFICATE),
    ("unknown ca", _CLIENT_CERTIFICATE),
    ("private key file", "give a key that the daemon's user alone can read, and its password by sslpassword"),
    ("certificate expired", "renew the client certificate in sslcert and sslkey"),
    ("channel binding", "say channel_binding=prefer, or use TLS and scram-sha-256 on the server"),
    ("pg_hba.conf", "allow this host, user, database and kind of encryption in the server's pg_hba.conf"),
    ("not permitted to log in", "ALTER ROLE … LOGIN"),
    ("permission denied for database", "GRANT CONNECT ON DATABASE … TO …"),
    ("definition of service", "define it in ~/.pg_service.conf or the file that PGSERVICEFILE names"),
    ("session is read-only", "the server is a standby or read-only; name the one that takes writes"),
    ("session is not read-only", "say target_session_attrs=read-write"),
    ("unsupported startup parameter", "take it out of the URL, or name it in ignore_startup_parameters of the pooler"),
    ("too many", "raise max_connections or the limit of user or database: a node opens up to seven"),
    ("connection slots are reserved", "raise max_connections: a node opens up to seven"),
    ("does not exist", "create it, or correct the URL"),
    ("No such file or directory", "start the server, or correct the folder of its socket"),
    ("Connection refused", "start the server, or correct host and port"),
    ("could not translate host name", "correct the host"),
    ("failed to resolve host", "correct the host"),
    (
        "timeout expired",
        "correct host and port, let a firewall pass them, or give a pooler seven sessions for each node",
    ),
    ("invalid", "correct the URL"),
)
