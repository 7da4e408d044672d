"""Opens a store by its location. All other rooms see only the contract."""

from pathlib import Path

from router.store.contract import CommitListener, OperatorStore, Store
from router.store.location import StoreLocation


def open_store(location: StoreLocation, on_commit: CommitListener = lambda *_: None) -> Store:
    """Open a store for a daemon; it is created when there is none.

    Raises StoreError, or StoreInUse while another daemon owns a store that has one owner.
    """
    if isinstance(location, Path):
        from router.store.sqlite.store import SqliteStore  # noqa: PLC0415 - one of both is used

        return SqliteStore(location, on_commit=on_commit)
    from router.store.postgres.store import PostgresStore  # noqa: PLC0415

    return PostgresStore(location, on_commit=on_commit)


def open_operator_store(location: StoreLocation) -> OperatorStore:
    """Open a store that exists, beside running daemons or without one. Raises StoreError."""
    if isinstance(location, Path):
        from router.store.sqlite.operator_store import SqliteOperatorStore  # noqa: PLC0415 - one of both is used

        return SqliteOperatorStore(location)
    from router.store.postgres.operator_store import PostgresOperatorStore  # noqa: PLC0415

    return PostgresOperatorStore(location)
