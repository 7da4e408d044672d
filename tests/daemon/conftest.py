"""Fixtures of a store for the tests of the daemon."""

from tests.store.conftest import event, path, planned_delivery, sqlite_store, store

__all__ = ["event", "path", "planned_delivery", "sqlite_store", "store"]
