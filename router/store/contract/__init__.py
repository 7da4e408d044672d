"""The contract of every store, in protocols: its state, reading, an operator's commands, and the daemon's work.

Any thread may call a store. Methods that write return a future at once. Its result means: committed and durable.

A future fails with StoreUnavailable when the commit could not be made (no room, no connection, too many writes queued,
closed). The caller may try again. If only the answer was lost, the write may have been made: an append is recognized by
its event's id, a settlement by its token and time, a claim by its token. A row that can't be stored fails alone, with
StoreError.

Callbacks of a future run in the store's writing thread. They must be short, and must not wait for the store.

Methods that read block the caller for one query, so an asyncio loop calls them in a thread. They raise StoreError when
the store is closed or can't be read.
"""

from router.store.contract.facts import (
    MAX_INTERRUPTIONS,
    PAGE,
    CommitListener,
    Due,
    Finding,
    Progress,
    StoreFaults,
    StoreSize,
)
from router.store.contract.operator import OperatorStore, Upkeep
from router.store.contract.reader import StoreReader, StoreState
from router.store.contract.store import EventSink, Store

__all__ = [
    "MAX_INTERRUPTIONS",
    "PAGE",
    "CommitListener",
    "Due",
    "EventSink",
    "Finding",
    "OperatorStore",
    "Progress",
    "Store",
    "StoreFaults",
    "StoreReader",
    "StoreSize",
    "StoreState",
    "Upkeep",
]
