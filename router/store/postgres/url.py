"""A store's URL: `postgresql://user@host:port/database?option=value`, as libpq reads it, with two options of ours."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from router.domain.errors import StoreUrlError

EXAMPLE = "postgresql://user@host/database"
_POOLER, _PASSWORD_FILE = "pgbouncer", "password_file"
_SECRET = ("password", "sslpassword")
_IN_PLACE = ("user", "host", "port", "dbname")  #: options that the URL has before the question mark
_ENCODING = "client_encoding"  #: always UTF-8, whatever environment, user or database set
_DEFAULTS = {
    "connect_timeout": "5",  # seconds; a host that is gone must not delay the others
    "application_name": "webhook-router",
    "sslpassword": "-",  # of a key without one any will do; without it OpenSSL asks at the terminal
    "keepalives_idle": "10",  # seconds; a cut network is noticed within half a minute
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",  # ms, the same for sent data
}


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """Where a PostgreSQL store is, and how to connect."""

    shown: str  #: the URL without passwords
    _options: dict[str, str] = field(repr=False)
    password_file: Path | None = None
    pgbouncer: bool = False  #: a pooler in transaction mode is between this program and the server

    def __str__(self) -> str:
        return self.shown

    def conninfo(self) -> str:
        """The connection string for libpq; it may hold a password. Raises StoreUrlError if that is unreadable."""
        options = {**self._options, _ENCODING: "utf8"}
        if self.password_file is not None:
            options["password"] = _read(self.password_file)
        return make_conninfo("", **options)


def parse_url(text: str) -> PostgresUrl:
    """Parse a URL. Raises StoreUrlError, which never shows a password."""
    place, _, query = text.partition("?")
    try:
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise _wrong("what follows the question mark is not name=value") from None
    ours = {name: value for name, value in given if name in (_POOLER, _PASSWORD_FILE)}
    theirs = [(name, value) for name, value in given if name not in ours]
    if ours.get(_POOLER, "false") not in ("true", "false"):
        raise _wrong(f"{_POOLER} is true or false")
    try:
        # Parsed separately, libpq's message about the query can name an option, but never a password.
        options = {**conninfo_to_dict(place), **_query_options(theirs)}
    except ProgrammingError:
        raise _wrong("it does not parse; in a user or password write special characters as %40 for @") from None
    if not (options.get("dbname") or options.get("service")):
        raise _wrong("it names no database")
    if _PASSWORD_FILE in ours and "password" in options:
        raise _wrong(f"it has both a password and {_PASSWORD_FILE}")
    found = {name: str(value) for name, value in options.items()}
    file = Path(ours[_PASSWORD_FILE]) if _PASSWORD_FILE in ours else None
    return PostgresUrl(_shown(found), {**_DEFAULTS, **found}, file, ours.get(_POOLER) == "true")


def _query_options(given: list[tuple[str, str]]) -> dict[str, str]:
    for name, _ in given:
        try:
            conninfo_to_dict(f"postgresql:///?{urlencode([(name, '')])}")
        except ProgrammingError:
            raise _wrong(f"unknown option {name!r}") from None
    return dict(given)


def _shown(options: dict[str, str]) -> str:
    user = f"{quote(options['user'])}@" if "user" in options else ""
    hosts = options.get("host", "").split(",")
    ports = options.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    at = ",".join(f"{_host(host)}{f':{port}' if port else ''}" for host, port in zip(hosts, ports, strict=False))
    rest = [(k, v) for k, v in options.items() if k not in (*_IN_PLACE, *_SECRET)]
    query = f"?{urlencode(rest, safe='/')}" if rest else ""
    return f"postgresql://{user}{at}/{quote(options.get('dbname', ''))}{query}"


def _host(name: str) -> str:
    return f"[{name}]" if ":" in name else quote(name, safe="")


def _read(path: Path) -> str:
    try:
        return path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise StoreUrlError(f"the password file {path} can't be read: {reason}") from None


def _wrong(why: str) -> StoreUrlError:
    return StoreUrlError(f"the store's URL is wrong: {why}; write it as {EXAMPLE}")
