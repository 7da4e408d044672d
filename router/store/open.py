"""Opens a store by its location. All other rooms see only the contract."""

from pathlib import Path

from router.store.contract import CommitListener, OperatorStore, Store
from router.store.sqlite.operator_store import SqliteOperatorStore
from router.store.sqlite.store import SqliteStore


def open_store(path: Path, on_commit: CommitListener = lambda *_: None) -> Store:
    """Open a store as its owner, for a daemon; it is created when there is none.

    Raises StoreError, or StoreInUse while another daemon owns it.
    """
    return SqliteStore(path, on_commit=on_commit)


def open_operator_store(path: Path) -> OperatorStore:
    """Open a store that exists, beside a running daemon or without one. Raises StoreError."""
    return SqliteOperatorStore(path)
