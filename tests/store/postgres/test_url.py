"""URLs of PostgreSQL stores: their options, their display without the password, and errors for wrong ones."""

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from router.domain.errors import StartError
from router.store.location import store_location
from router.store.postgres.url import parse_url

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://localhost/hooks", "postgresql://localhost/hooks"),
        ("postgres://me@db.example:5433/hooks", "postgresql://me@db.example:5433/hooks"),
        (f"postgresql://me:{SECRET}@db/hooks?sslmode=require", "postgresql://me@db/hooks?sslmode=require"),
        (f"postgresql://me@db/hooks?password={SECRET}", "postgresql://me@db/hooks"),
        (f"postgresql://me@db/hooks?sslkey=k&sslpassword={SECRET}", "postgresql://me@db/hooks?sslkey=k"),
        (f"postgresql://me:{SECRET}@one:1,two:2/hooks", "postgresql://me@one:1,two:2/hooks"),
        ("postgresql://me@[::1]:5432/hooks", "postgresql://me@[::1]:5432/hooks"),
        ("postgresql:///hooks?host=/run/postgresql", "postgresql://%2Frun%2Fpostgresql/hooks"),
        (f"postgresql://m%40e:{SECRET}@db/ho%20oks", "postgresql://m%40e@db/ho%20oks"),
        ("postgresql://db/hooks?pgbouncer=true", "postgresql://db/hooks"),
        ("postgresql:///?service=hooks", "postgresql:///?service=hooks"),
        ("postgresql://db/hooks?client_encoding=latin1", "postgresql://db/hooks?client_encoding=latin1"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    found = parse_url(url)

    assert str(found) == shown
    assert SECRET not in repr(found)
    assert str(parse_url(shown)) == shown


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"postgresql://me:{SECRET}@db", "names no database"),
        (f"postgresql://me:{SECRET}@db/", "names no database"),
        (f"postgresql://me:{SECRET}@db/hooks?sslmod=require", "unknown option 'sslmod'"),
        (f"postgresql://me:{SECRET}@db/hooks?sslmode", "not name=value"),
        (f"postgresql://me:{SECRET}%zz@db/hooks", "does not parse"),
        (f"postgresql://me:{SECRET}@[db/hooks", "does not parse"),
        (f"postgresql://me:{SECRET}@db/hooks?pgbouncer=yes", "pgbouncer is true or false"),
        (f"postgresql://me:{SECRET}@db/hooks?password_file=x", "both a password and password_file"),
        (f"mysql://me:{SECRET}@db/hooks", "is not a store"),
        ("postgresql", "is not a store"),
    ],
)
def test_a_wrong_url_is_explained_without_its_password(url: str, why: str) -> None:
    with pytest.raises(StartError) as caught:
        store_location(url)

    assert why in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "postgresql://user@host/database" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_password_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    url = parse_url(f"postgresql://me@db/hooks?password_file={file}")

    assert conninfo_to_dict(url.conninfo())["password"] == SECRET
    assert SECRET not in str(url)
    file.write_text("renewed")
    assert conninfo_to_dict(url.conninfo())["password"] == "renewed"
    file.unlink()
    with pytest.raises(StartError, match=r"password file .* can't be read"):
        url.conninfo()


def test_texts_are_sent_in_utf_8_whatever_the_url_says() -> None:
    given = parse_url("postgresql://db/hooks?client_encoding=latin1").conninfo()
    assert conninfo_to_dict(given)["client_encoding"] == "utf8"


def test_a_lost_server_is_noticed_soon_unless_the_url_sets_a_timeout() -> None:
    assert conninfo_to_dict(parse_url("postgresql://db/hooks").conninfo())["connect_timeout"] == "5"
    given = parse_url("postgresql://db/hooks?connect_timeout=60").conninfo()
    assert conninfo_to_dict(given)["connect_timeout"] == "60"
