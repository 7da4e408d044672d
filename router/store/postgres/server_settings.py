"""The settings of server, database and user under which a store would lose events or fail, and the cure of each."""

from collections.abc import Callable
from dataclasses import dataclass

from router.domain.errors import StoreUnusable
from router.store.postgres.connection import Connected
from router.store.postgres.url import PostgresUrl

SHORTEST_MS = 5000  #: of a timeout; a migration, and a batch on a busy server, may take seconds


@dataclass(frozen=True, slots=True)
class _Needed:
    name: str
    value: str  #: that is right
    is_wrong: Callable[[str], bool]
    why: str


def _is_off(value: str) -> bool:
    return value == "off"


def _is_short(value: str) -> bool:
    return 0 < int(value) < SHORTEST_MS


_FORGETS = "it may lose events that were answered"
_ENDS = "it ends statements of the store"
_NEEDED = (
    _Needed("fsync", "on", _is_off, _FORGETS),
    _Needed("full_page_writes", "on", _is_off, _FORGETS),
    _Needed("synchronous_commit", "on", _is_off, _FORGETS),
    _Needed("default_transaction_read_only", "off", lambda value: value == "on", "nothing can be stored"),
    _Needed(
        "default_transaction_isolation",
        "'read committed'",
        lambda value: value != "read committed",
        "a node would not see what others have committed",
    ),
    _Needed("statement_timeout", "0", _is_short, _ENDS),
    _Needed("transaction_timeout", "0", _is_short, _ENDS),
    _Needed("idle_in_transaction_session_timeout", "0", _is_short, _ENDS),
    _Needed("idle_session_timeout", "0", _is_short, "it cuts connections that a node keeps"),
)
_SETTINGS = "SELECT name, setting, source FROM pg_settings WHERE name = ANY(%s)"


def check_settings(connection: Connected, url: PostgresUrl) -> None:
    """Raise StoreUnusable with the cure if a setting is unsafe, or the server is a standby. May raise psycopg.Error."""
    [(recovering, encoding)] = connection.execute(
        "SELECT pg_is_in_recovery(), current_setting('server_encoding')"
    ).fetchall()
    if recovering:
        raise StoreUnusable(
            f"the server of the store {url} is a standby; connect to the primary, or name all servers and say "
            "target_session_attrs=read-write: postgresql://user@one,two/database?target_session_attrs=read-write"
        )
    if encoding != "UTF8":
        raise StoreUnusable(
            f"the database of the store {url} has the encoding {encoding}, which can't hold every text; use one with "
            "UTF8: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
    rows = connection.execute(_SETTINGS, ([needed.name for needed in _NEEDED],)).fetchall()
    found = {name: (value, source) for name, value, source in rows}
    for needed in _NEEDED:
        value, source = found.get(needed.name, (needed.value, ""))  # an older server lacks some
        if value != needed.value and needed.is_wrong(value):
            raise StoreUnusable(
                f"the store {url} has {needed.name} = {value}, so {needed.why}; {_cure(needed, source)}"
            )


def _cure(needed: _Needed, source: str) -> str:
    """How to change a setting, by where its value comes from."""
    if source in ("user", "database user"):
        where = " IN DATABASE …" if source == "database user" else ""
        return f"set it right for the user: ALTER ROLE …{where} RESET {needed.name}"
    if source == "database":
        return f"set it right for the database: ALTER DATABASE … RESET {needed.name}"
    if source == "client":
        return "take it out of the URL's options and PGOPTIONS"
    if source == "command line":
        return f"start the server with -c {needed.name}={needed.value}"
    return f"set it right: ALTER SYSTEM SET {needed.name} = {needed.value}; SELECT pg_reload_conf()"
