"""Fixtures that make events for the intake processes."""

from tests.store.conftest import event, path, planned_delivery, sqlite_store

__all__ = ["event", "path", "planned_delivery", "sqlite_store"]
