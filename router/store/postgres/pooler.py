"""Finds a pooler in transaction mode that the URL does not name: settings of a session would reach other clients."""

from router.domain.errors import StoreUnusable
from router.store.postgres.connection import Connected, connect_or_explain
from router.store.postgres.url import PostgresUrl

_LOOKS = 8  #: a pooler may hand out several sessions in turn


def check_pooler(connection: Connected, url: PostgresUrl) -> None:
    """Raise StoreUnusable if two clients at once get the same session of the server. May raise psycopg.Error."""
    if url.pgbouncer or connection.info.backend_pid == _session(connection):
        return  # a pooler gives its clients numbers of its own
    other = connect_or_explain(url)
    try:
        seen = ({_session(one) for _ in range(_LOOKS)} for one in (connection, other))
        if set.intersection(*seen):
            raise StoreUnusable(
                f"the store {url} is behind a pooler in transaction mode; say so in the URL: ?pgbouncer=true "
                "(or have the pooler give it sessions)"
            )
    finally:
        other.close()


def _session(connection: Connected) -> int:
    [(process,)] = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchall()
    return int(process)
