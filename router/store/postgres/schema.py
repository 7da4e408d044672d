"""The schema's versions, and the migrations from one to the next."""

from importlib.resources import files

import psycopg
from psycopg import errors

from router.domain.errors import StoreUnusable
from router.store.postgres.connection import Connected
from router.store.postgres.faults import reason
from router.store.postgres.url import PostgresUrl

LOCK = (0x77687274, 1)  #: advisory key of migrations; the first number is the class of all our keys
OLDEST_SERVER = 14


MISSING_PRIVILEGES = (
    "as the owner: GRANT USAGE ON SCHEMA webhook_router TO …; GRANT ALL ON ALL TABLES IN SCHEMA webhook_router TO …; "
    "GRANT ALL ON ALL SEQUENCES IN SCHEMA webhook_router TO …"
)
_MAY_NOT_CREATE = "let the user make a schema, once: GRANT CREATE ON DATABASE … TO …"


def _script(number: int) -> str:
    return files("router.store.postgres").joinpath(f"schema_{number}.sql").read_text()


_SCRIPTS = tuple(_script(number) for number in range(1, 5))


# From the catalog, since to_regclass remembers until the end of a transaction that something did not exist.
_HAS_META = """
SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'webhook_router' AND c.relname = 'meta'
"""

_LIVING = """
SELECT DISTINCT name FROM webhook_router.node
WHERE expires_at > extract(epoch FROM clock_timestamp()) * 1000 ORDER BY name
"""
# A step may read a large table, and waits for a node that does the same step.
_NO_TIMEOUTS = """
SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true),
    set_config('idle_in_transaction_session_timeout', '0', true)
"""


def newest_version() -> int:
    """The schema version that this program works with."""
    return len(_SCRIPTS)


def version_of(connection: Connected) -> int:
    """The schema version; 0 where there is no store. Raises psycopg.Error."""
    if not connection.execute(_HAS_META).fetchall():
        return 0
    rows = connection.execute("SELECT version FROM webhook_router.meta").fetchall()
    return int(rows[0][0]) if rows else 0


def _is_too_new(connection: Connected, version: int) -> bool:
    """Whether this program can't work with this version.

    A step only adds, unless it says otherwise: nodes of the version before continue, so that nodes can be upgraded one
    after the other.
    """
    if version <= newest_version():
        return False
    rows = connection.execute("SELECT oldest_program FROM webhook_router.meta").fetchall()
    return version > newest_version() + 1 or int(rows[0][0]) > newest_version()


def check_version(connection: Connected, url: PostgresUrl) -> int:
    """The schema version. Raises StoreUnusable for a newer one, or an older server."""
    if connection.info.server_version < OLDEST_SERVER * 10_000:
        raise StoreUnusable(
            f"the store {url} is PostgreSQL {connection.info.server_version // 10_000}; use 14 or newer"
        )
    version = version_of(connection)
    if _is_too_new(connection, version):
        raise StoreUnusable(
            f"the store {url} has schema version {version}, this program knows up to {newest_version()}; "
            "use the newer program, or another database"
        )
    return version


def migrate(connection: Connected, url: PostgresUrl) -> None:
    """Migrate the store to the newest version, unless another node is doing so.

    Each step and its version number are one transaction. Raises StoreUnusable.
    """
    try:
        version = check_version(connection, url)
        if version >= newest_version():
            return
        if 0 < version < newest_version() - 1:
            _refuse_older_nodes(connection, url, version)
        for number in range(1, newest_version() + 1):
            with connection.transaction():
                connection.execute(_NO_TIMEOUTS)
                connection.execute("SELECT pg_advisory_xact_lock(%s::int, %s::int)", LOCK)
                if version_of(connection) < number:
                    apply(connection, number)
    except errors.InsufficientPrivilege as error:
        cause = " ".join((error.diag.message_primary or "").split())
        cure = MISSING_PRIVILEGES if "database" not in cause else _MAY_NOT_CREATE
        raise StoreUnusable(f"the store {url} can't be prepared: {cause}; {cure}") from None
    except psycopg.Error as error:
        raise StoreUnusable(f"the store {url} can't be prepared: {reason(error)}") from None


def _refuse_older_nodes(connection: Connected, url: PostgresUrl, version: int) -> None:
    """Raise StoreUnusable while nodes run that may know the schema's version only, not the steps that follow it."""
    living = [name for (name,) in connection.execute(_LIVING).fetchall()]
    if living:
        raise StoreUnusable(
            f"the store {url} has schema version {version}, this program brings {newest_version()}, and nodes run "
            f"beside one newer step only; stop {', '.join(living)} first, or upgrade by way of the version between"
        )


def apply(connection: Connected, number: int) -> None:
    """Run one step. Raises psycopg.Error."""
    if number == 1:
        connection.execute("CREATE SCHEMA IF NOT EXISTS webhook_router")
    connection.execute(_script(number).encode())
    connection.execute("UPDATE webhook_router.meta SET version = %s", (number,))
