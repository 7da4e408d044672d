"""Opens SQLite stores for tests of other parts. A new store is copied from a template, which halves its cost."""

import functools
from pathlib import Path
from tempfile import TemporaryDirectory

from router.store.sqlite.store import SqliteStore
from tests.memory_folder import memory_folder


@functools.cache
def _template() -> bytes:
    with TemporaryDirectory(dir=memory_folder()) as folder:
        path = Path(folder) / "store.db"
        SqliteStore(path).close()
        return path.read_bytes()


def open_store(path: Path) -> SqliteStore:
    """Open the store at this path, or make a new one."""
    if not path.exists():
        path.touch(0o600)
        path.write_bytes(_template())
    return SqliteStore(path)
