"""Reads a store's location as the command line has it."""

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from router.domain.errors import StartError, StoreUrlError

if TYPE_CHECKING:
    from router.store.postgres.url import PostgresUrl

StoreLocation: TypeAlias = "Path | PostgresUrl"

DEFAULT_FILE = "webhook-router.db"
_POSTGRES = ("postgresql", "postgres")


def store_location(text: str) -> StoreLocation:
    """Parse a path, `sqlite:PATH` or `postgresql://…`. Raises StartError, which never shows a password."""
    scheme, colon, rest = text.partition(":")
    if _is_path(text):
        return Path(text)
    if scheme in _POSTGRES and colon:
        return _postgres(text)
    if scheme != "sqlite" or not colon or not rest:
        shown = text.partition("@")[2] if "@" in text else text  # the part before the @ may hold a password
        raise StartError(
            f"{shown!r} is not a store; write a path, such as {DEFAULT_FILE} or sqlite:{DEFAULT_FILE}, or postgresql://user@host/database"
        )
    return Path(rest)


def _is_path(text: str) -> bool:
    """Whether the text is a path: it has no colon, or begins as only paths do."""
    return text.startswith(("/", "./", "../")) or (":" not in text and text not in ("", "sqlite", *_POSTGRES))


def beside(location: StoreLocation) -> Path:
    """The path beside which the daemon keeps its own files, such as the admin token. For a database, a path in the
    working folder."""
    return location if isinstance(location, Path) else Path(DEFAULT_FILE)


def _postgres(text: str) -> "PostgresUrl":
    try:
        from router.store.postgres.url import parse_url  # noqa: PLC0415 - psycopg is installed for those who need it
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "psycopg":
            raise
        raise StoreUrlError(
            f"--store postgresql:// needs psycopg ({error}); install it: pip install 'webhook-router[postgres]'"
        ) from None
    return parse_url(text)
