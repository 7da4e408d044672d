"""The PostgreSQL server of the tests has empty databases and durable commits."""

import psycopg

from tests.postgres import Server


def test_each_database_of_the_server_is_empty(postgres_server: Server, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE made (n int)")
    other = postgres_server.new_database()

    assert postgres_server.execute("SELECT count(*) FROM pg_tables WHERE tablename = 'made'", other) == [(0,)]

    postgres_server.drop_database(other)


def test_committed_rows_survive_a_killed_server() -> None:
    server = Server()
    try:
        server.execute("CREATE TABLE made (n int)")
        server.kill()
        server.start()

        assert server.execute("SELECT count(*) FROM made") == [(0,)]
    finally:
        server.remove()
