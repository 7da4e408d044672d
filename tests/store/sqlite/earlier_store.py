"""Makes a store of an earlier version from the rows of a store of the current version."""

from contextlib import closing
from pathlib import Path

import apsw


def copy_rows(newest: Path, earlier: Path) -> None:
    """Copy the columns that the earlier version has."""
    with closing(apsw.Connection(str(earlier))) as connection:
        connection.execute("ATTACH ? AS newest", (str(newest),))
        tables = "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        for (table,) in connection.execute(tables).fetchall():
            columns = ", ".join(f'"{column[1]}"' for column in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"DELETE FROM main.{table}")
            connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newest.{table}")
