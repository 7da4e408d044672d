"""Checks a store before it is used: it exists, its schema is known, and its server is durable."""

import psycopg

from router.domain.errors import StoreError, StoreUnusable
from router.store.postgres.connection import Connected, connect_or_explain
from router.store.postgres.faults import reason
from router.store.postgres.pooler import check_pooler
from router.store.postgres.schema import MISSING_PRIVILEGES, check_version, migrate, newest_version
from router.store.postgres.server_settings import check_settings
from router.store.postgres.url import PostgresUrl

_PROBE = """
SELECT has_schema_privilege('webhook_router', 'USAGE'), (
    SELECT string_agg(c.relname, ', ' ORDER BY c.relname) FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'webhook_router' AND (
        c.relkind = 'r' AND NOT (
            SELECT bool_and(has_table_privilege(c.oid, needed))
            FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS one (needed)
        )
        OR c.relkind = 'S' AND NOT has_sequence_privilege(c.oid, 'USAGE')
    )
), (
    SELECT string_agg(c.relname, ', ' ORDER BY c.relname) FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'webhook_router' AND c.relkind = 'r' AND row_security_active(c.oid)
)
"""


def prepare(url: PostgresUrl) -> None:
    """Create or migrate the store, and check what a daemon needs. Raises StoreUnusable."""
    connection = connect_or_explain(url)
    try:
        check_pooler(connection, url)
        check_settings(connection, url)
        migrate(connection, url)
        _check_privileges(connection, url)
    except psycopg.Error as error:
        raise StoreUnusable(f"the store {url} can't be used: {reason(error)}") from None
    finally:
        connection.close()


def check_existing(url: PostgresUrl) -> None:
    """Raise StoreError unless there is a store that this program knows."""
    connection = connect_or_explain(url)
    try:
        check_pooler(connection, url)
        version = check_version(connection, url)
        if version == 0:
            raise StoreError(f"there is no store in {url}; a daemon makes it when it first serves")
        if version < newest_version():
            raise StoreUnusable(
                f"the store {url} has schema version {version}, and this program works with {newest_version()}; "
                "start a daemon of this version once: it migrates the store"
            )
        _check_privileges(connection, url)
    except psycopg.Error as error:
        raise StoreUnusable(f"the store {url} can't be used: {reason(error)}") from None
    finally:
        connection.close()


def _check_privileges(connection: Connected, url: PostgresUrl) -> None:
    try:
        [(usable, missing, hidden)] = connection.execute(_PROBE).fetchall()
    except psycopg.errors.UndefinedTable:
        usable, missing, hidden = False, None, None
    if not usable or missing:
        what = f"on {missing}" if usable else "on the schema webhook_router"
        raise StoreUnusable(f"the user of the store {url} lacks privileges {what}; {MISSING_PRIVILEGES}")
    if hidden:
        raise StoreUnusable(
            f"row security hides rows of {hidden} from the user of the store {url}; ALTER TABLE webhook_router.… "
            "DISABLE ROW LEVEL SECURITY, or ALTER ROLE … BYPASSRLS"
        )
