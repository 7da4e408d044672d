"""The fixtures of a store, for the daemon's parts that need one."""

from tests.store.conftest import event, path, planned_delivery, sqlite_store, store

__all__ = ["event", "path", "planned_delivery", "sqlite_store", "store"]
