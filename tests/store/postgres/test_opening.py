"""A PostgreSQL store that can't be used is refused when it is opened, with one line that says the cure."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from router.domain.errors import StoreError, StoreUnusable
from router.store.fleet import NodeFacts
from router.store.postgres import schema
from router.store.postgres.connection import explained
from router.store.postgres.operator_store import PostgresOperatorStore
from router.store.postgres.store import PostgresStore
from router.store.postgres.url import parse_url
from tests.http.authority import Authority
from tests.postgres import Server
from tests.tls_relay import TlsRelay

SECRET = "s3cr3t"
RULES = "sources: {open: {verify: none}}\nrules: [{name: kept, actions: [append: kept.jsonl]}]\n"


def refusal(url: str) -> str:
    """The error with which a daemon refuses the store."""
    with pytest.raises(StoreUnusable) as caught:
        PostgresStore(parse_url(url)).close()
    text = str(caught.value)
    assert "\n" not in text
    assert SECRET not in text
    return text


def test_the_error_for_a_stopped_server_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        text = refusal(f"postgresql://me:{SECRET}@127.0.0.1:{port}/hooks")

    assert "Connection refused" in text
    assert "start the server" in text


def test_the_error_for_a_missing_database_says_so(postgres_server: Server) -> None:
    assert "create it" in refusal(postgres_server.url("nobody_made_it"))


def test_the_error_for_a_server_without_tls_says_so(postgres_url: str) -> None:
    assert "sslmode=disable" in refusal(f"{postgres_url}?sslmode=require")


def test_the_error_for_a_missing_or_wrong_password_says_so() -> None:
    server = Server()
    try:
        server.execute(f"ALTER ROLE postgres PASSWORD '{SECRET}'")
        (server.data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        server.stop()
        server.start(server.url().replace("postgres@", f"postgres:{SECRET}@"))

        assert "password_file=FILE" in refusal(server.url())
        assert "give the right password" in refusal(server.url().replace("postgres@", f"postgres:{SECRET}x@"))
    finally:
        server.remove()


def test_tls_works_with_the_right_authority_and_name(
    tmp_path: Path, postgres_server: Server, postgres_store_url: str
) -> None:
    authority = Authority(tmp_path)
    relay = TlsRelay(postgres_server.port, authority.issue())
    try:
        url = postgres_store_url.replace(f"127.0.0.1:{postgres_server.port}", f"localhost:{relay.port}")
        with closing(PostgresStore(parse_url(f"{url}?sslmode=verify-full&sslrootcert={authority.path}"))) as store:
            store.put_note("tls", "all the way").result(30)
            store.fleet.join(NodeFacts("n", "host", 1, "1", ("intake",), ()), "", 10_000)
            assert store.notes() == {"tls": "all the way"}

        assert (relay.carried >= 3, relay.clear) == (True, 0)
    finally:
        relay.close()


def test_the_error_for_a_wrong_certificate_says_so(
    tmp_path: Path, postgres_server: Server, run: Callable[..., Any]
) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    relay = TlsRelay(postgres_server.port, authority.issue(), "127.0.0.2")
    url = f"postgresql://me:{SECRET}@127.0.0.2:{relay.port}/hooks"
    (tmp_path / "rules.yaml").write_text(RULES)
    try:
        assert "sslrootcert=FILE" in refusal(f"{url}?sslmode=verify-ca&sslrootcert={tmp_path / 'none.pem'}")
        wrong = f"{url}?sslmode=verify-ca&sslrootcert={other.path}"
        assert "sslrootcert=FILE" in refusal(wrong)
        assert "the name in the server's certificate" in refusal(
            f"{url}?sslmode=verify-full&sslrootcert={authority.path}"
        )
        served = run("serve", tmp_path / "rules.yaml", "--store", wrong, "--listen", "127.0.0.1:0", "--admin", "off")
    finally:
        relay.close()

    assert served.returncode == 3
    assert served.stderr.count("\n") == 1
    assert "certificate verify failed" in served.stderr
    assert "sslrootcert=FILE" in served.stderr
    assert SECRET not in served.stderr


def test_a_newer_schema_is_refused(postgres_store_url: str) -> None:
    with psycopg.connect(postgres_store_url) as connection:
        connection.execute("UPDATE webhook_router.meta SET version = version + 2")

    assert "use the newer program, or another database" in refusal(postgres_store_url)


def test_running_nodes_continue_with_a_schema_that_is_one_step_newer(postgres_store_url: str) -> None:
    with psycopg.connect(postgres_store_url) as connection:
        connection.execute("UPDATE webhook_router.meta SET version = version + 1")

    PostgresStore(parse_url(postgres_store_url)).close()


def test_a_newer_schema_can_refuse_older_programs(postgres_store_url: str) -> None:
    with psycopg.connect(postgres_store_url) as connection:
        connection.execute("UPDATE webhook_router.meta SET version = version + 1, oldest_program = version + 1")

    assert "use the newer program" in refusal(postgres_store_url)


def test_a_server_that_may_lose_commits_is_reported() -> None:
    server = Server({"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"})
    try:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            assert f"start the server with -c {setting}=on" in refusal(server.url())
            server.settings[setting] = "on"
            server.stop()
            server.start()
        PostgresStore(parse_url(server.url())).close()
    finally:
        server.remove()


@pytest.mark.parametrize(
    ("setting", "cure"),
    [
        ("synchronous_commit=off", "so it may lose events that were answered; set it right for the user: ALTER ROLE"),
        ("default_transaction_read_only=on", "so nothing can be stored"),
        ("default_transaction_isolation=serializable", "RESET default_transaction_isolation"),
        ("statement_timeout=100", "so it ends statements of the store"),
    ],
)
def test_an_unsafe_setting_of_the_user_is_refused(
    postgres_url: str, role: Callable[..., str], setting: str, cure: str
) -> None:
    assert cure in refusal(role(postgres_url, f"ALTER ROLE guest SET {setting}"))


def test_an_unsafe_setting_in_the_url_is_refused(postgres_url: str) -> None:
    assert "take it out of the URL's options" in refusal(f"{postgres_url}?options=-csynchronous_commit%3Doff")


def test_the_store_works_with_harmless_settings_of_the_user(postgres_url: str, role: Callable[..., str]) -> None:
    settings = (
        "statement_timeout='30s'",
        "lock_timeout=1",
        "search_path=''",
        "client_encoding=latin1",
        "DateStyle=German",
    )
    url = role(
        postgres_url,
        *(f"ALTER ROLE guest SET {setting}" for setting in settings),
        "GRANT CREATE ON DATABASE {database} TO guest",
    )

    with closing(PostgresStore(parse_url(url))) as store:
        store.put_note("text", "Grüße, 世界").result(30)
        assert store.notes() == {"text": "Grüße, 世界"}


def test_a_database_that_is_not_in_utf_8_is_refused(postgres_server: Server) -> None:
    postgres_server.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        assert "ENCODING 'UTF8' TEMPLATE template0" in refusal(postgres_server.url("latin"))
    finally:
        postgres_server.drop_database("latin")


@pytest.fixture
def role(postgres_server: Server) -> Iterator[Callable[[str, str], str]]:
    """Return a function that makes a user without rights, and returns the URL of a database with that user."""
    name = f"guest_{os.getpid()}"
    used: list[str] = []

    def url(database_url: str, *grants: str) -> str:
        used.append(database_url)
        with psycopg.connect(database_url, autocommit=True) as connection:
            for grant in grants:
                database = f'"{connection.info.dbname}"'
                connection.execute(grant.replace("guest", name).replace("{database}", database).encode())
        return database_url.replace("postgres@", f"{name}:{SECRET}@")

    postgres_server.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
    yield url
    for database_url in used:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {name}".encode())
    postgres_server.execute(f"DROP ROLE {name}")


def test_the_error_for_a_user_who_may_not_create_the_schema_says_so(
    postgres_url: str, role: Callable[..., str]
) -> None:
    assert "GRANT CREATE ON DATABASE" in refusal(role(postgres_url))


def test_the_error_for_a_user_who_may_not_use_the_schema_says_so(
    postgres_store_url: str, role: Callable[..., str]
) -> None:
    assert "GRANT USAGE ON SCHEMA" in refusal(role(postgres_store_url))


def test_the_error_for_a_user_who_may_only_read_says_so(postgres_store_url: str, role: Callable[..., str]) -> None:
    url = role(
        postgres_store_url,
        "GRANT USAGE ON SCHEMA webhook_router TO guest",
        "GRANT SELECT ON ALL TABLES IN SCHEMA webhook_router TO guest",
    )

    assert "delivery" in refusal(url)


def test_the_error_for_a_user_who_lacks_one_privilege_names_the_table(
    postgres_store_url: str, role: Callable[..., str]
) -> None:
    url = role(
        postgres_store_url,
        "GRANT USAGE ON SCHEMA webhook_router TO guest",
        "GRANT ALL ON ALL TABLES IN SCHEMA webhook_router TO guest",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA webhook_router TO guest",
        "REVOKE DELETE ON webhook_router.dedupe FROM guest",
    )

    assert "lacks privileges on dedupe;" in refusal(url)


def test_a_user_with_the_named_privileges_can_serve(postgres_store_url: str, role: Callable[..., str]) -> None:
    url = role(
        postgres_store_url,
        "GRANT USAGE ON SCHEMA webhook_router TO guest",
        "GRANT ALL ON ALL TABLES IN SCHEMA webhook_router TO guest",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA webhook_router TO guest",
    )

    PostgresStore(parse_url(url)).close()


def test_a_store_with_rows_hidden_by_row_security_is_refused(postgres_url: str, role: Callable[..., str]) -> None:
    PostgresStore(parse_url(postgres_url)).close()
    url = role(
        postgres_url,
        "GRANT USAGE ON SCHEMA webhook_router TO guest",
        "GRANT ALL ON ALL TABLES IN SCHEMA webhook_router TO guest",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA webhook_router TO guest",
        "ALTER TABLE webhook_router.note ENABLE ROW LEVEL SECURITY",
    )

    assert "row security hides rows of note" in refusal(url)


_OLDER_NODE = """
INSERT INTO webhook_router.node (name, host, process, version, roles, actions, started_at, renewed_at, expires_at)
VALUES ('older', 'host', 1, '0', '{}', '{}', 0, 0, 9e15)
"""


def test_two_steps_of_the_schema_wait_until_no_older_node_runs(postgres_url: str) -> None:
    url = parse_url(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for number in range(1, schema.newest_version() - 1):
            schema.apply(connection, number)
        connection.execute(_OLDER_NODE)
        assert "stop older first, or upgrade by way of the version between" in refusal(postgres_url)
        connection.execute("DELETE FROM webhook_router.node")
        PostgresStore(url).close()
        assert schema.version_of(connection) == schema.newest_version()


@pytest.mark.parametrize(
    ("said", "cure"),
    [
        ("SSL error: tlsv13 alert certificate required", "sslcert=FILE and sslkey=FILE"),
        ("connection requires a valid client certificate", "sslcert=FILE and sslkey=FILE"),
        ("pg_hba.conf rejects connection for host", "in the server's pg_hba.conf"),
        ("no more connections allowed (max_client_conn)", "raise max_client_conn of the pooler"),
        ('could not load private key file "x": bad decrypt', "its password by sslpassword"),
        ("query_wait_timeout", "raise default_pool_size of the pooler"),
        ("transaction blocks not allowed in statement pooling mode", "set pool_mode of the pooler"),
        ("unsupported startup parameter: options", "ignore_startup_parameters"),
        ("too many connections for role", "raise max_connections or the limit of user"),
    ],
)
def test_the_errors_of_servers_and_poolers_get_a_cure(said: str, cure: str) -> None:
    assert cure in explained(psycopg.OperationalError(f"connection failed: FATAL:  {said}"))


def test_a_command_never_creates_a_store(postgres_url: str) -> None:
    with pytest.raises(StoreError, match="there is no store in .*; a daemon makes it when it first serves"):
        PostgresOperatorStore(parse_url(postgres_url))


def test_nodes_that_start_at_the_same_time_create_one_schema(postgres_url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: PostgresStore(parse_url(postgres_url)), range(4)))
    for store in stores:
        store.close()

    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT version FROM webhook_router.meta").fetchall() == [(schema.newest_version(),)]
